"""Digits projected on the sphere: spherical MNIST (Cohen, Geiger, Köhler, Welling 2018, arXiv 1801.10130, section 5.3)."""

from __future__ import annotations

import os

import numpy as np
from scipy.spatial.transform import Rotation

from ...errors import GaugenetError
from ..sphere_sampling import angles, east_north, unit_points
from .array_files import check_shapes, existing_file, read_npz

# Images that are projected at a time: about 1 MB of coordinates for 642 points fits into the cache.
_CHUNK_POINTS = 2**17


class SphericalDigits:
    r"""Images of digits as functions on the sphere, sampled at any points, upright ("NR") or each turned by a rotation ("R").

    An image lies in the plane of the stereographic projection from the south pole: the point at angle :math:`\theta` from the
    north pole and azimuth :math:`\varphi` takes the value of the image at
    :math:`\tan(\theta/2)\,(\cos\varphi, \sin\varphi) / \tan(\mathrm{extent}/2)`, where the image is the square [-1, 1]^2 with
    its x axis to the right and its y axis up (so that a digit seen from outside is not mirrored); between the centres of pixels
    the image is bilinear, beyond them 0. With extent = 90 degrees the sides of the square touch the equator and the digit
    (20 of the 28 pixels) fills most of the hemisphere, as in the paper.

    A turned digit is the function :math:`f(R^{-1} x)`, R uniform on SO(3). The protocols of the paper, train/test: NR/NR, R/R
    and NR/R.

    Args:
        path: npz file with images ``x`` (n, 28, 28) uint8 and labels ``y`` (n,), for example MNIST's.
        extent: angle in degrees from the centre of the digit to the middle of the sides of the image, between 0 and 170.
        blur: standard deviation in degrees of a Gaussian that the signal is averaged with before it is sampled, against
            aliasing on coarse points; half their spacing serves. 0 for none.
        seed: of the rotations. Give training and test sets different seeds.

    Attributes:
        images: (n, h, w) uint8. labels: (n,) int64. type: the field type "1x0" of the signals.

    Raises:
        FileNotFoundError: no such file.
        GaugenetError: a damaged file, or arrays of other shapes and types.
        ValueError: extent or blur out of range.
    """

    type = "1x0"

    def __init__(self, path: str | os.PathLike, *, extent: float = 90.0, blur: float = 0.0, seed: int = 0) -> None:
        file = existing_file(path, "mnist_train10k.npz")
        arrays = read_npz(file, {"x": 3, "y": 1})
        check_shapes(file, arrays, {"x": (None, None, None), "y": (len(arrays["x"]),)})
        if arrays["x"].dtype != np.uint8 or not np.issubdtype(arrays["y"].dtype, np.integer):
            raise GaugenetError(
                f"{file}: expected images of uint8 and integer labels, got {arrays['x'].dtype}, {arrays['y'].dtype}"
            )
        if not 0 < extent <= 170:
            raise ValueError(f"extent must lie between 0 and 170 degrees, got {extent!r}")
        self.images, self.labels = arrays["x"], arrays["y"].astype(np.int64)
        if not 0 <= blur <= 45:
            raise ValueError(f"blur must lie between 0 and 45 degrees, got {blur!r}")
        self.extent, self.blur, self.seed = float(extent), float(blur), int(seed)

    def __len__(self) -> int:
        return len(self.images)

    def rotations(self, draw: int = 0) -> np.ndarray:
        """(n, 3, 3) rotation matrices, uniform on SO(3); image i has the same one whatever subset is asked for.

        Args:
            draw: 0 for the rotations of the data set, other numbers for fresh ones (say, in every epoch).
        """
        quaternions = np.random.default_rng([self.seed, draw]).standard_normal((len(self), 4))
        return Rotation.from_quat(quaternions).as_matrix()

    def signals(
        self,
        points: np.ndarray,
        *,
        rotated: bool | np.ndarray = False,
        draw: int = 0,
        indices: np.ndarray | None = None,
    ) -> np.ndarray:
        """Values at points of the sphere: (n, N) float32 between 0 and 1.

        Args:
            points: (N, 3), of any positive length.
            rotated: False (NR), True (R), or rotation matrices (n, 3, 3) of your own.
            draw: see :meth:`rotations`.
            indices: which images, by default all.

        Raises:
            ValueError: points or rotations of another shape.
        """
        points = unit_points(points)
        chosen = np.arange(len(self)) if indices is None else np.arange(len(self))[indices]
        if rotated is False:
            turns = np.broadcast_to(np.eye(3), (len(chosen), 3, 3))
        elif rotated is True:
            turns = self.rotations(draw)[chosen]
        else:
            turns = np.asarray(rotated, dtype=np.float64)
            if turns.shape != (len(chosen), 3, 3):
                raise ValueError(f"rotations expected shape {(len(chosen), 3, 3)}, got {turns.shape}")
        out = np.zeros((len(chosen), len(points)), dtype=np.float32)
        step = max(1, _CHUNK_POINTS // len(points))
        scale = 1 / np.tan(np.radians(self.extent) / 2)
        for share, moved in _gaussian_stencil(points, np.radians(self.blur)):
            for start in range(0, len(chosen), step):
                part = slice(start, start + step)
                out[part] += share * _project(self.images[chosen[part]], moved, turns[part], scale)
        return out

    def split(self, validation: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Indices of training and validation images in random order (the file may be ordered by class).

        Raises:
            ValueError: when nothing would be left to train on.
        """
        if not 0 <= validation < len(self):
            raise ValueError(f"{len(self)} images: {validation} of them for validation leave nothing to train on")
        order = np.random.default_rng(seed).permutation(len(self))
        return order[validation:], order[:validation]

    def __repr__(self) -> str:
        return f"SphericalDigits({len(self)}, extent={self.extent:g}, blur={self.blur:g}, seed={self.seed})"


def _gaussian_stencil(points: np.ndarray, deviation: float) -> list[tuple[np.float32, np.ndarray]]:
    """Weights and moved points whose sum is the mean over a Gaussian: the centre and a hexagon at twice the deviation.

    Exact for polynomials of degree 5 in the tangent plane: 6/12 (2 s)^2 / 2 = s^2 and 6/12 (2 s)^4 = 8 s^4.
    """
    if deviation == 0:
        return [(np.float32(1), points)]
    frame = east_north(*angles(points))
    out = [(np.float32(1 / 2), points)]
    for turn in np.arange(6) * (np.pi / 3):
        direction = frame @ [np.cos(turn), np.sin(turn)]
        out.append((np.float32(1 / 12), np.cos(2 * deviation) * points + np.sin(2 * deviation) * direction))
    return out


def _project(images: np.ndarray, points: np.ndarray, turns: np.ndarray, scale: float) -> np.ndarray:
    """(b, N) values of the turned images (b, h, w) at unit vectors (N, 3)."""
    b, h, w = images.shape
    x, y, z = np.moveaxis(points @ turns, -1, 0)  # R^-1 p
    shrink = scale / np.maximum(1 + z, 1e-9)
    # In pixels, from the centre of pixel (-1, -1): a frame of zeros surrounds the image. The south pole is far outside.
    column = np.where(1 + z < 1e-6, 0, np.clip((x * shrink + 1) * (w / 2) + 0.5, 0, w + 1))
    row = np.clip((1 - y * shrink) * (h / 2) + 0.5, 0, h + 1)
    left, top = column.astype(np.int64), row.astype(np.int64)
    right, down = (column - left).astype(np.float32), (row - top).astype(np.float32)
    framed = np.zeros((b, h + 3, w + 3), dtype=np.float32)
    framed[:, 1:-2, 1:-2] = images
    corner = (np.arange(b)[:, None] * (h + 3) + top) * (w + 3) + left
    framed = framed.ravel()
    above = framed[corner] * (1 - right) + framed[corner + 1] * right
    below = framed[corner + w + 3] * (1 - right) + framed[corner + w + 4] * right
    return (above * (1 - down) + below * down) / 255
