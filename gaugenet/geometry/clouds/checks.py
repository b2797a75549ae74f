"""Arguments that are arrays of points: what was expected, what came, and the ids of what does not fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from ...errors import GeometryError

# So many ids are named, the others counted.
_SHOWN = 8


def checked_points(values, name: str) -> np.ndarray:
    """(N, 3) float64: points, or vectors at points.

    Raises:
        ValueError: for another shape, or none. GeometryError: for NaN or infinity.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 3 or len(values) == 0:
        raise ValueError(f"{name} must have shape (N, 3) with N >= 1, got {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if bad.size:
        raise GeometryError(f"{name} with NaN or infinity: {listed(bad)}")
    return values


def reject_repeated(tree: cKDTree, distance: float) -> None:
    """GeometryError where two points are within this distance of each other."""
    pairs = tree.query_pairs(distance, output_type="ndarray")
    if len(pairs):
        raise GeometryError(f"repeated points: {listed(np.unique(pairs))}")


def listed(ids: Sequence[int]) -> str:
    """For messages: the first few ids, and how many there are."""
    shown = ", ".join(str(int(i)) for i in ids[:_SHOWN])
    return f"ids {shown}{', ...' if len(ids) > _SHOWN else ''} ({len(ids)} in all)"
