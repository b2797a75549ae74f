"""Arguments of the spheres: what was expected, what came."""

from __future__ import annotations

import numpy as np

from ...errors import GeometryError
from ..clouds.checks import checked_points, listed
from ..local_geometry import STRUCTURES

# Norms may differ by this much (float32 coordinates); frames may be this far from orthonormal.
TOLERANCE = 1e-6
#: structure groups of the spheres: those of surfaces, and {e}, transport as a copy between frames
SPHERE_STRUCTURES = (*STRUCTURES, "e")


def points_on_sphere(points, sphere_radius) -> tuple[np.ndarray, float]:
    """Unit vectors (N, 3) and the radius of the sphere."""
    points = checked_points(points, "points")
    norm = np.linalg.norm(points, axis=1)
    mean = float(norm.mean())
    bad = np.flatnonzero(~(np.abs(norm - mean) <= TOLERANCE * mean) | (norm == 0))
    if bad.size:
        raise GeometryError(
            f"points must lie on one sphere about the origin, their mean norm is {mean:.9g}, not that of {listed(bad)}"
        )
    unit = points / norm[:, None]
    if sphere_radius is None:
        return unit, 1.0 if abs(mean - 1) <= TOLERANCE else mean
    if not (np.isscalar(sphere_radius) and np.isfinite(sphere_radius) and sphere_radius > 0):
        raise ValueError(f"sphere_radius must be a positive number, got {sphere_radius!r}")
    return unit, float(sphere_radius)


def checked_structure(structure) -> str:
    if structure not in SPHERE_STRUCTURES:
        raise ValueError(f"unknown structure {structure!r}: expected one of {', '.join(SPHERE_STRUCTURES)}")
    return structure


def checked_frames(frames, unit: np.ndarray, structure: str) -> np.ndarray:
    """(N, 3, 2), made orthonormal to rounding; right-handed unless the structure admits both hands."""
    frames = np.asarray(frames, dtype=np.float64)
    if frames.shape != (len(unit), 3, 2):
        raise ValueError(f"frames expected shape {(len(unit), 3, 2)}, got {frames.shape}")
    full = np.concatenate([frames, unit[:, :, None]], -1)
    error = np.abs(np.swapaxes(full, 1, 2) @ full - np.eye(3)).max((1, 2))
    hand = np.sign(np.linalg.det(full))
    good = error <= TOLERANCE
    if structure == "SO2":
        good &= hand > 0
    bad = np.flatnonzero(~good)
    if bad.size:
        also = " and right-handed with the outward normal" if structure == "SO2" else ""
        raise GeometryError(f"frames must be orthonormal, tangent{also}: {listed(bad)}")
    first = frames[:, :, 0] - unit * np.einsum("ni,ni->n", unit, frames[:, :, 0])[:, None]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, hand[:, None] * np.cross(unit, first)], -1)


def checked_areas(area, n: int) -> np.ndarray:
    area = np.asarray(area, dtype=np.float64)
    if area.shape != (n,):
        raise ValueError(f"area expected shape {(n,)}, got {area.shape}")
    bad = np.flatnonzero(~(np.isfinite(area) & (area > 0)))
    if bad.size:
        raise GeometryError(f"areas must be positive and finite: {listed(bad)}")
    return area


def checked_indices(name: str, array, width: int, n: int) -> np.ndarray:
    """Faces (width 3) or pairs (width 2) of node ids."""
    array = np.asarray(array)
    if array.ndim != 2 or array.shape[1] != width or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} expected integers of shape (F, {width}), got {array.dtype} {array.shape}")
    bad = np.flatnonzero((array < 0).any(1) | (array >= n).any(1))
    if bad.size:
        raise GeometryError(f"{name} with an index outside 0..{n - 1}: {listed(bad)}")
    return array.astype(np.int64)


def checked_int(name: str, value, least: int = 1, most: int | None = None) -> int:
    fits = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not fits or value < least or (most is not None and value > most):
        span = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise ValueError(f"{name} must be an integer {span}, got {value!r}")
    return int(value)
