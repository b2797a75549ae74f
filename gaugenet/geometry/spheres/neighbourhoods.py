"""Who is a neighbour on the unit sphere: by angle, by number, or by steps along edges."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from .checks import TOLERANCE

# Distances that differ by less are a tie: all of them are in, or all out, whatever the rounding.
TIE = 1e-9
# Points whose neighbours are sought at a time: a million of them have 25 million neighbours, as lists gigabytes.
_PIECE = 2**14
# Default radius in units of the spacing of the hexagonal lattice with cells of the mean area: about 33 neighbours.
DEFAULT_SPACINGS = 3.0


def radius_angle(radius, a: float, area: np.ndarray) -> np.ndarray:
    """(N,) radius of the neighbourhoods in radians."""
    n = len(area)
    if radius is None:
        spacing = np.sqrt(2 / np.sqrt(3) * area.mean()) / a
        return np.full(n, min(DEFAULT_SPACINGS * spacing, np.pi / 2))
    radius = np.asarray(radius, dtype=np.float64)
    if radius.shape not in ((), (n,)):
        raise ValueError(f"radius expected a number or shape {(n,)}, got shape {radius.shape}")
    reach = np.broadcast_to(radius / a, (n,)).copy()
    if not ((reach > 0) & (reach < np.pi - TOLERANCE)).all():
        raise ValueError(f"radius must lie between 0 and pi x {a:g}, the distance of antipodes, got {radius}")
    return reach


def coarser_radius(radius, level: int, a: float):
    """The radius for so many levels up, where points are twice as far apart at every one; at most pi a / 2 or as it was."""
    if radius is None or level == 0:
        return radius
    radius = np.asarray(radius, dtype=np.float64)
    return np.minimum(2**level * radius, np.maximum(radius, np.pi / 2 * a))


def count_angle(tree: cKDTree, count: int) -> np.ndarray:
    """(N,) angle halfway between the count-th nearest neighbour (and all that tie with it) and the next one."""
    n = tree.n
    if count > n - 2:
        raise ValueError(f"count={count} needs at least {count + 2} points, got {n}")
    asked = min(count + 8, n - 1)
    while True:
        chord, _ = tree.query(tree.data, k=asked + 1)
        angle = 2 * np.arcsin(np.minimum(chord[:, 1:] / 2, 1))
        last = angle[:, count - 1 : count]
        beyond = angle > last * (1 + TIE)
        if beyond[:, -1].all():
            break
        if asked == n - 1:
            raise ValueError(f"count={count}: some points have no neighbour farther than the {count}-th; take a smaller count")
        asked = min(2 * asked, n - 1)
    following = np.take_along_axis(angle, beyond.argmax(1)[:, None], 1)
    return ((last + following) / 2)[:, 0]


def within_angle(tree: cKDTree, reach: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Source and target of all pairs within a little more than the angle, sorted by target, then source, in pieces."""
    chord = 2 * np.sin(np.minimum(reach * (1 + 1e-6), np.pi) / 2)
    for start in range(0, tree.n, _PIECE):
        part = slice(start, start + _PIECE)
        lists = tree.query_ball_point(tree.data[part], chord[part], return_sorted=True)
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        source = np.fromiter(itertools.chain.from_iterable(lists), np.int64, lengths.sum())
        target = np.repeat(np.arange(start, start + len(lists)), lengths)
        other = source != target
        yield source[other], target[other]


def face_pairs(faces: np.ndarray) -> np.ndarray:
    """(3 F, 2) ends of the edges of all faces."""
    return np.concatenate([faces[:, k] for k in ([0, 1], [1, 2], [2, 0])])


def within_steps(pairs: np.ndarray, n: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and target of all nodes within so many steps along the pairs, sorted by target, then source."""
    i, j = pairs.T
    step = sparse.csr_array((np.ones(2 * len(i), bool), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))
    step = (step + sparse.eye_array(n, dtype=bool, format="csr")).tocsr()
    reached = step
    for _ in range(steps - 1):
        reached = reached @ step
    reached.sort_indices()
    target = np.repeat(np.arange(n), np.diff(reached.indptr))
    source = reached.indices.astype(np.int64)
    other = source != target
    return source[other], target[other]


def in_pieces(source: np.ndarray, target: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs as :func:`within_angle` gives them."""
    size = 32 * _PIECE
    for start in range(0, max(len(source), 1), size):
        yield source[start : start + size], target[start : start + size]
