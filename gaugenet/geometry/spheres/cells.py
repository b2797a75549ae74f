"""Cells and triangles of points on the unit sphere."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError, SphericalVoronoi

from ...errors import GeometryError
from .great_circle import DUPLICATE


def voronoi_areas(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell areas (N,) on the unit sphere and the dual Delaunay triangles (F, 3)."""
    try:
        cells = SphericalVoronoi(unit, threshold=DUPLICATE / 10)
        area = cells.calculate_areas()
    except (ValueError, QhullError, IndexError) as error:
        raise GeometryError(f"no Voronoi cells for these {len(unit)} points ({error}); give their areas by area=") from error
    total = area.sum() / (4 * np.pi)
    if not abs(total - 1) < 1e-6 or not (area > 0).all():
        raise GeometryError(
            f"the Voronoi cells cover {total:.9g} of the sphere instead of all of it; give their areas by area="
        )
    return area, outward(unit, cells._simplices)


def delaunay(unit: np.ndarray) -> np.ndarray:
    """(F, 3) Delaunay triangles, counter-clockwise from outside."""
    try:
        return outward(unit, ConvexHull(unit).simplices)
    except (ValueError, QhullError) as error:
        raise GeometryError(f"no triangulation of these {len(unit)} points; give faces=") from error


def outward(unit: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces of the convex hull, turned counter-clockwise as seen from outside."""
    corner = unit[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    inward = np.einsum("fi,fi->f", normal, corner[:, 0] - unit.mean(0)) < 0
    faces = faces.astype(np.int64)
    faces[inward] = faces[inward][:, ::-1]
    return faces
