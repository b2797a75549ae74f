"""Who is near whom on a Lie group, and subsets of points that are far from each other.

Candidates come from a tree: a map e of the group into a vector space with |e(u) - e(v)| <= c_u(distance(u, v)); but for
scalings c is the identity. Distances that differ by less than 1e-9 of them are a tie, so that the answers do not depend on the
rounding: they are those of every left translate.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from .groups import LieGroup

TIE = 5e-10
# Pairs whose logarithms are taken at a time.
_PIECE = 1 << 18


@dataclass(frozen=True, eq=False)
class Sample:
    """Elements of a group, where there are several orbits also those, and the distance.

    Attributes:
        group: the group. elements: (N, n, n). orbit: (N, Q) or None. alpha: of :meth:`LieGroup.distance`.
    """

    group: LieGroup
    elements: np.ndarray
    orbit: np.ndarray | None
    alpha: float | None

    def of(self, nodes: np.ndarray) -> Sample:
        """Some of the elements."""
        return replace(self, elements=self.elements[nodes], orbit=None if self.orbit is None else self.orbit[nodes])

    @cached_property
    def inverse(self) -> np.ndarray:
        """(N, n, n)."""
        return self.group.inverse(self.elements)

    def log(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """log(u_p^-1 u_q) for pairs: (E, d)."""
        parts = []
        for start in range(0, max(len(source), 1), _PIECE):
            q, p = source[start : start + _PIECE], target[start : start + _PIECE]
            parts.append(self.group.log(self.inverse[p] @ self.elements[q]))
        return np.concatenate(parts)

    def distance(self, source: np.ndarray, target: np.ndarray, log: np.ndarray) -> np.ndarray:
        """(E,) of logarithms (E, d)."""
        orbit = None if self.orbit is None else (self.orbit[target], self.orbit[source])
        return self.group.distance(log, orbit, self.alpha)

    def embedding(self) -> np.ndarray:
        """e: (N, m). Turns as rotation matrices, whose chords are 2 sin(angle / 2); translations as they are."""
        group, u, n = self.group, self.elements, self.group.space
        if group.scaling is not None:
            return u[:, :n, n]
        parts = [u[:, :n, n]] if group.size > n else []
        turn = u[:, :n, :n]
        if group.name == "RxSO2":
            log = group.log(u)[:, :1]
            parts, turn = [log], turn / np.exp(log)[..., None]
        parts += [turn.reshape(len(u), -1) / 2**0.5] if group.turn else []
        factors = [1.0] * len(parts)
        if self.alpha is not None:
            factors = [1 - self.alpha, self.alpha] if len(parts) == 2 else [self.alpha]
        parts = [factor * part for factor, part in zip(factors, parts)]
        if self.orbit is not None and self.alpha is None:
            parts.append(self.orbit)
        elif self.orbit is not None and len(parts) == 1 and group.name != "SO2":
            parts.append((1 - self.alpha) * self.orbit)
        return np.concatenate(parts, 1)

    def chord(self, reach: np.ndarray) -> np.ndarray:
        """c: how far in the embedding elements can be from each (N,) that are within ``reach`` (N,) of it."""
        if self.group.scaling is None:
            return reach
        # A translation by x / s is reached by a velocity of its size times log r / (r - 1), r the factor.
        with np.errstate(over="ignore"):
            return self.elements[:, 0, 0] * np.expm1(reach / (1.0 if self.alpha is None else self.alpha))

    def least(self, node: int, chord: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`chord`: how near to an element others can be whose embeddings are so far away."""
        if self.group.scaling is None:
            return chord
        return np.log1p(chord / self.elements[node, 0, 0]) * (1.0 if self.alpha is None else self.alpha)


def within(sample: Sample, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs within ``reach`` (N,) of their target: source, target, log, distance, sorted by target, then source."""
    points = sample.embedding()
    tree, chord = cKDTree(points), sample.chord(reach)
    found: list[tuple[np.ndarray, ...]] = []
    step = _PIECE // 256
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        lists = tree.query_ball_point(points[part], chord[part] * (1 + 1e-6) + 1e-12, return_sorted=True)
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        source = np.fromiter(itertools.chain.from_iterable(lists), np.int64, lengths.sum())
        target = np.repeat(np.arange(start, start + len(lists)), lengths)
        source, target = source[source != target], target[source != target]
        log = sample.log(source, target)
        distance = sample.distance(source, target, log)
        near = distance <= reach[target] * (1 + TIE)
        found.append((source[near], target[near], log[near], distance[near]))
    source, target, log, distance = (np.concatenate(column) for column in zip(*found))
    return source, target, log, distance


def nearest(sample: Sample, count: int, reach: float = np.inf) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """As :func:`within`, the ``count`` nearest and all that tie with the last of them, within ``reach``."""
    n = len(sample.elements)
    count = min(count, n - 1)
    if count < 1:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, np.zeros((0, sample.group.dim)), np.zeros(0)
    points = sample.embedding()
    # So many are no farther than the farthest of those that are nearest in the embedding.
    close = cKDTree(points).query(points, k=count + 1)[1]
    target = np.repeat(np.arange(n), count + 1)
    source = close.ravel()
    distance = sample.distance(source, target, sample.log(source, target))
    bound = np.minimum(distance.reshape(n, -1).max(1), reach)
    source, target, log, distance = within(sample, bound)
    first = np.searchsorted(target, np.arange(n + 1))
    order = np.lexsort([distance, target])
    place = first[:-1] + np.minimum(count, np.diff(first)) - 1  # the last of a node's in order of distance
    last = np.where(np.diff(first) > 0, distance[order][np.minimum(place, len(order) - 1)], 0.0) if len(order) else bound
    near = distance <= last[target] * (1 + TIE)
    return source[near], target[near], log[near], distance[near]


def farthest_points(sample: Sample, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Elements chosen one after the other, each the farthest from those before, beginning with the first.

    Returns:
        chosen: (count,) their numbers in ascending order. cluster: (N,) of every element the nearest of them, by its place.
    """
    points, n = sample.embedding(), len(sample.elements)
    far, owner = np.full(n, np.inf), np.zeros(n, np.int64)
    chosen, following = [], 0
    for number in range(count):
        chosen.append(following)
        # The embedding tells whom the new one cannot be nearer to.
        close = np.flatnonzero(sample.least(following, np.linalg.norm(points - points[following], axis=1)) < far)
        here = np.full(len(close), following)
        distance = sample.distance(close, here, sample.log(close, here))
        nearer = distance < far[close] * (1 - TIE) if number else np.ones(len(close), bool)
        far[close[nearer]], owner[close[nearer]] = distance[nearer], number
        far[following], owner[following] = -1.0, number
        following = int(np.flatnonzero(far >= far.max() * (1 - TIE))[0])
    order = np.argsort(chosen)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    return np.array(chosen, np.int64)[order], place[owner]
