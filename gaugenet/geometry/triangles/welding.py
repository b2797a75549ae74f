"""Welding: coinciding vertices become one."""

from __future__ import annotations

import numpy as np

from .face_adjacency import components


def weld_exact(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group exactly equal points (0.0 and -0.0 are equal).

    Args:
        points: (V, 3) finite floats.

    Returns:
        first (W,), the first point of each group in order of appearance, and group (V,) with points[first][group] == points.
    """
    bits = (np.ascontiguousarray(points, dtype=np.float64) + 0.0).view(np.uint64)
    # One sort of a 64-bit hash instead of three of the columns; a collision (never seen) falls back to the sort of rows.
    with np.errstate(over="ignore"):
        key = np.zeros(bits.shape[0], dtype=np.uint64)
        for column in bits.T:
            key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    if not (bits[first[group]] == bits).all():
        _, first, group = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    return _by_appearance(first, group.reshape(-1))


def weld_near(points: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Group points that chains of steps of at most ``distance`` join; returned as by weld_exact."""
    from scipy.spatial import cKDTree

    first, group = weld_exact(points)
    pairs = cKDTree(points[first]).query_pairs(distance, output_type="ndarray")
    if pairs.size == 0:
        return first, group
    _, start, merged = np.unique(components(first.size, *pairs.T), return_index=True, return_inverse=True)
    return _by_appearance(first[start], merged.reshape(-1)[group])


def _by_appearance(first: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return first[order], rank[group]
