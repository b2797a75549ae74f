"""Pictures of digits, each turned by an angle of its own: rotated MNIST and its small kin."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from .array_files import labelled_images

_MARGIN = 4  # pixels of zeros in which the splines of the border die out


class RotatedDigits(torch.utils.data.Dataset):
    r"""Images of digits turned about their centres, in the manner of rotated MNIST (Larochelle et al. 2007, ICML).

    A turned image is :math:`f(R^{-1} x / scale)`, x in pixels from the centre, counter-clockwise, f the cubic spline through
    the pixels and 0 beyond them, cut to [0, 1].

    Args:
        images: (N, H, W), uint8 (scaled by 1 / 255) or floating, of values between 0 and 1.
        labels: (N,) integers.
        rotated: turn every image by an angle drawn uniformly from [0, 2 pi); False leaves all upright.
        size: pixels a side of the result, by default W scale rounded up.
        scale: enlargement; 8 x 8 pixels are few to turn.
        seed: of the angles. Give training and test sets different seeds.
        angles: (N,) in radians, instead of random ones.

    Attributes:
        images: (N, 1, size, size) float32. labels: (N,) int64. angles: (N,) float64.

    Raises:
        ValueError: arrays of other shapes, or size and scale out of range.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        rotated: bool = True,
        *,
        size: int | None = None,
        scale: float = 1.0,
        seed: int = 0,
        angles: np.ndarray | None = None,
    ) -> None:
        images, labels = labelled_images(images, labels)
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale!r}")
        size = int(np.ceil(images.shape[2] * scale)) if size is None else size
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size!r}")
        if angles is None:
            angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(images)) if rotated else np.zeros(len(images))
        self.angles = np.asarray(angles, dtype=np.float64)
        if self.angles.shape != (len(images),):
            raise ValueError(f"expected angles ({len(images)},), got {self.angles.shape}")
        pixels = images.astype(np.float64) / (255 if images.dtype == np.uint8 else 1)
        turned = np.stack([turn_image(*pair, size, scale) for pair in zip(pixels, self.angles)]) if len(images) else pixels
        self.images = torch.from_numpy(np.clip(turned, 0, 1).astype(np.float32).reshape(-1, 1, size, size))
        self.labels = torch.from_numpy(labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]


def turn_image(image: np.ndarray, angle: float, size: int | None = None, scale: float = 1.0) -> np.ndarray:
    """An image (H, W) turned counter-clockwise by an angle in radians about its centre, enlarged: (size, size).

    A cubic spline through the pixels, 0 beyond them; ``size`` is W by default.
    """
    size = image.shape[1] if size is None else size
    c = (np.arange(size) - (size - 1) / 2) / scale
    x, y = c[None, :], -c[:, None]
    cos, sin = np.cos(angle), np.sin(angle)
    column, row = cos * x + sin * y, sin * x - cos * y  # R^-1 (x, y), and rows go down
    middle = [(n - 1) / 2 + _MARGIN for n in image.shape]
    return ndimage.map_coordinates(np.pad(image, _MARGIN), [row + middle[0], column + middle[1]], order=3, mode="constant")
