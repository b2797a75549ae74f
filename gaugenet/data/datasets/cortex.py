"""A cortical surface on a subdivided icosahedron, with its folding and its parcels (FreeSurfer's fsaverage5)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ... import geometry
from ...errors import GaugenetError
from ...geometry import LocalGeometry
from .array_files import check_shapes, existing_file, read_npz

#: The scalars of every vertex, in order.
MEASURES = ("sulc", "curv", "thickness")
_SURFACES = ("white", "pial", "inflated")


class CorticalSurface(NamedTuple):
    """One hemisphere: a labelled scalar field on a sphere or on the folded surface.

    Attributes:
        unit: (N, 3) float64, vertices on the unit sphere. faces: (F, 3) int64, counter-clockwise from outside.
        positions: "white", "pial" and "inflated" -> (N, 3) float64 in mm.
        measures: (N, 3) float32, sulcal depth, mean curvature and thickness (mm): type "3x0", see MEASURES.
        labels: (N,) int64, parcels of the Desikan-Killiany atlas, an index into names.
        names: of the parcels; "unknown" and "corpuscallosum" are the medial wall.
    """

    unit: np.ndarray
    faces: np.ndarray
    positions: dict[str, np.ndarray]
    measures: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]

    @property
    def cortex(self) -> np.ndarray:
        """(N,) bool, vertices that are cortex and not medial wall."""
        wall = [i for i, name in enumerate(self.names) if name in ("unknown", "corpuscallosum")]
        return ~np.isin(self.labels, wall)

    def sphere(
        self,
        *,
        radius: float | np.ndarray | None = None,
        rings: int | None = None,
        count: int | None = None,
        frames: np.ndarray | None = None,
        structure: str = "SO2",
    ) -> LocalGeometry:
        """The unit sphere with these vertices; arguments of :func:`gaugenet.geometry.sphere`."""
        near: dict[str, Any] = {"radius": radius, "rings": rings, "count": count}
        return geometry.sphere(self.unit, faces=self.faces, frames=frames, structure=structure, **near)

    def surface(
        self,
        name: str = "white",
        *,
        radius: float | np.ndarray | None = None,
        rings: int | None = None,
        structure: str = "SO2",
        frames: np.ndarray | str | None = None,
        features: str | Iterable[str] = (),
        levels: int = 0,
        repair: bool = False,
    ) -> LocalGeometry:
        """The folded surface "white", "pial" or "inflated"; arguments of :func:`gaugenet.geometry.mesh`."""
        if name not in self.positions:
            raise ValueError(f"no surface {name!r}: expected one of {', '.join(self.positions)}")
        options: dict[str, Any] = {"features": features, "levels": levels, "repair": repair}
        near: dict[str, Any] = {"radius": radius, "rings": rings}
        return geometry.mesh(self.positions[name], self.faces, structure=structure, frames=frames, **near, **options)


def load_fsaverage5(path: str | os.PathLike) -> CorticalSurface:
    """The left hemisphere of fsaverage5: 10242 vertices, an icosahedron subdivided five times.

    One average subject: enough to test segmentation and spherical operators on, not to train on.

    Args:
        path: folder with fsaverage5_left.npz, or the file: sphere, white, pial, inflated (N, 3), faces (F, 3), sulc, curv,
            thickness, aparc_label (N,), aparc_names.

    Raises:
        FileNotFoundError: no such file.
        GaugenetError: a damaged file, or another layout.
    """
    file = existing_file(path, "fsaverage5_left.npz")
    ndim = {"sphere": 2, "faces": 2, "aparc_label": 1, "aparc_names": 1}
    data = read_npz(file, {**ndim, **dict.fromkeys(_SURFACES, 2), **dict.fromkeys(MEASURES, 1)})
    n = len(data["sphere"])
    check_shapes(file, data, {**dict.fromkeys(("sphere", *_SURFACES), (n, 3)), "faces": (None, 3)})
    check_shapes(file, data, dict.fromkeys((*MEASURES, "aparc_label"), (n,)))
    faces, labels = data["faces"].astype(np.int64), data["aparc_label"].astype(np.int64)
    names = tuple(str(name) for name in data["aparc_names"])
    if faces.min() < 0 or faces.max() >= n:
        raise GaugenetError(f"{file}: faces with an index outside 0..{n - 1}")
    if labels.min() < -1 or labels.max() >= len(names):
        raise GaugenetError(f"{file}: labels outside of the {len(names)} names")
    unit = data["sphere"].astype(np.float64)
    norm = np.linalg.norm(unit, axis=1, keepdims=True)
    if not np.allclose(norm, norm.mean(), rtol=1e-3) or norm.min() == 0:
        raise GaugenetError(f"{file}: the vertices of sphere do not lie on one sphere about the origin")
    corner = unit[faces]
    if np.einsum("fi,fi->f", np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), corner[:, 0]).mean() < 0:
        faces = faces[:, ::-1].copy()
    return CorticalSurface(
        unit=unit / norm,
        faces=faces,
        positions={name: data[name].astype(np.float64) for name in _SURFACES},
        measures=np.stack([data[name] for name in MEASURES], -1).astype(np.float32),
        labels=np.maximum(labels, 0),  # -1 marks the medial wall in some files, as "unknown" does
        names=names,
    )
