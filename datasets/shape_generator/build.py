"""From a family and a seed to a finished mesh."""

from __future__ import annotations

import numpy as np

from .families import FAMILIES
from .implicit import polygonise
from .remesh import genus_of, is_closed_manifold, laplacian_smooth, remesh
from .skeleton import random_rotation

VERTICES = (256, 384)  # the same range for every class
GRID = 2.0**-14  # coordinates are multiples of this: they compress to half, and rounding is a thousandth of an edge


def build(family: str, seed: int, spacing: float = 0.032) -> tuple[np.ndarray, np.ndarray]:
    """One shape of unit area: (V, 3) float32, (F, 3) int32; the same seed gives the same mesh.

    A pose in which parts touch (wrong genus) or whose remeshing fails is drawn again.
    """
    index = sorted(FAMILIES).index(family)
    for attempt in range(60):
        rng = np.random.default_rng([seed, index, attempt])
        shape = FAMILIES[family](rng)
        vertices, faces = polygonise(shape.parts, shape.blend, spacing)
        if genus_of(faces, len(vertices)) != shape.genus or not is_closed_manifold(faces, len(vertices)):
            continue
        dense = shape.warp(laplacian_smooth(vertices, faces, 6))
        result = remesh(dense, faces, int(rng.integers(*VERTICES)), shape.genus, rng)
        if result is None:
            continue
        points, triangles = result
        points = (points - points.mean(0)) @ random_rotation(rng).T
        points = points / np.sqrt(surface_area(points, triangles))
        points = np.round(points / GRID) * GRID
        return points.astype(np.float32), triangles.astype(np.int32)
    raise RuntimeError(f"no valid {family} in 60 attempts from seed {seed}")


def surface_area(vertices: np.ndarray, faces: np.ndarray) -> float:
    p = vertices[faces]
    return float(np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1).sum() / 2)
