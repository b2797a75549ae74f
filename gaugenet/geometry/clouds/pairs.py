"""Pairs of points within a distance."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import cKDTree


def pairs_within(tree: cKDTree, middle: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source and target of all pairs, sorted by target, then source: of point p those within radius[p] of middle[p], not p."""
    lists = tree.query_ball_point(middle, radius, return_sorted=True)
    sizes = np.fromiter(map(len, lists), np.int64, len(lists))
    source = np.fromiter(itertools.chain.from_iterable(lists), np.int64, sizes.sum())
    target = np.repeat(np.arange(len(lists)), sizes)
    other = source != target
    return source[other], target[other]
