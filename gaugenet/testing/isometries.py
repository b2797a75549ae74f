"""Rigid motions that map a sampled surface to itself, and surfaces that are moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ..groups import Group

# Of positions and log maps, in parts of the size of the surface or of a neighbourhood.
_CLOSE = 1e-6
# Motions that are tried at most; the icosahedral group has 120.
_MOST_TRIES = 2000


def has_frames_in_space(graph: Any) -> bool:
    """Whether a graph has positions (N, 3) and frames (N, 3, 2) on all levels."""
    levels = [graph.level(k) for k in range(graph.num_levels)]
    return all(g.pos is not None and g.frame is not None and g.frame.shape[1:] == (3, 2) for g in levels)


def moved_rigidly(graph: Any, seed: int = 0) -> Any:
    """A surface in space turned and shifted as a whole, frames along: nothing that lies in the surface changes."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64, device="cpu")).Q
    turn = (turn * turn.det().sign()).to(graph.log)
    shift = torch.randn(3, generator=generator, dtype=torch.float64, device="cpu").to(graph.log) * graph.pos.abs().max()
    out = graph.clone()
    for k in range(graph.num_levels):
        suffix = f"_{k}" if k else ""
        out[f"pos{suffix}"] = graph[f"pos{suffix}"] @ turn.t() + shift
        out[f"frame{suffix}"] = turn @ graph[f"frame{suffix}"]
    return out


def scaled(graph: Any, factor: float) -> Any:
    """The same manifold in another unit of length."""
    out = graph.clone()
    powers = {"log": 1, "radius": 1, "pos": 1, "weight": 2, "area": 2, "curvature": -2}
    for k in range(graph.num_levels):
        for name, power in powers.items():
            key = f"{name}_{k}" if k else name
            if key in out:
                out[key] = out[key] * factor**power
    return out


def rigid_symmetries(graph: Any, group: Group) -> tuple[Tensor, Tensor, float] | None:
    r"""Rigid motions other than the identity under which a sampled surface, with all of its levels, is the same as before.

    The motions :math:`R` map nodes to nodes and edges to edges, with :math:`R E_n = E_{s(n)} g_{s,n}` and g in the group; log
    maps agree in the frames that are moved along. They are found by moving one node with a neighbour to all others alike.

    Args:
        graph: a graph of a surface in space.
        group: rotations alone, or mirror images as well.

    Returns:
        permutation (S, N) and g (S, N, 2, 2), as :func:`gaugenet.testing.symmetry_error` takes them, and the largest difference
        of log maps in parts of the radius; None where there are no such motions.
    """
    levels = [_Level(graph.level(k)) for k in range(graph.num_levels)]
    found, worst = [], 0.0
    for motion in _candidates(levels[0], mirrors=_has_mirrors(group)):
        errors: list[float] = []
        moves = first = None
        for k, level in enumerate(levels):
            moved = level.moved(motion)
            if moved is None or (k == 0 and not _all_in(group, moved[1])):
                break
            numbers, _, error = moved
            finer = levels[k - 1].cluster  # of level k - 1, whose nodes have moved by moves
            if k and not np.array_equal(finer[moves], numbers[finer]):
                break
            errors.append(error)
            moves = numbers
            first = moved if first is None else first
        else:
            if first is not None and not np.array_equal(first[0], np.arange(len(first[0]))):
                found.append(first)
                worst = max(worst, *errors)
    if not found:
        return None
    return torch.from_numpy(np.stack([f[0] for f in found])), torch.from_numpy(np.stack([f[1] for f in found])), worst


class _Level:
    """One level as arrays."""

    def __init__(self, level: Any) -> None:
        def array(value: Tensor | None) -> Any:
            return None if value is None else value.detach().cpu().double().numpy()

        self.source, self.target = level.edge_index.cpu().numpy()
        self.log, self.radius, self.frame = array(level.log), array(level.radius), array(level.frame)
        positions = array(level.pos)
        self.positions = positions - positions.mean(0)
        self.size = float(np.abs(self.positions).max())
        self.tree = cKDTree(self.positions)
        # Several edges may join two nodes: they are told apart by their log maps.
        self.edges = self.source + len(positions) * self.target
        cluster = level.cluster
        self.cluster: Any = None if cluster is None else cluster.cpu().numpy()

    def moved(self, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
        """Where nodes go, their changes of frames and the largest difference of log maps; None for no symmetry."""
        few = self.positions[:: max(1, len(self.positions) // 20)]
        if (self.tree.query(few @ motion.T)[0] > _CLOSE * self.size).any():
            return None
        distance, to = self.tree.query(self.positions @ motion.T)
        if (distance > _CLOSE * self.size).any() or len(np.unique(to)) < len(to):
            return None
        g = np.swapaxes(self.frame[to], 1, 2) @ (motion @ self.frame)
        if np.abs(np.swapaxes(g, 1, 2) @ g - np.eye(2)).max() > 1e-4:
            return None
        log = np.einsum("eij,ej->ei", g[self.target], self.log)
        moved = to[self.source] + len(to) * to[self.target]
        here, there = (np.lexsort((*np.round(l / _CLOSE / r, -2).T, key)) for l, r, key in self._keys(log, moved, to))
        if not np.array_equal(self.edges[here], moved[there]):
            return None
        error = float((np.abs(self.log[here] - log[there]) / self.radius[self.target[here], None]).max(initial=0.0))
        return (to, g, error) if error <= 100 * _CLOSE else None

    def _keys(self, log: np.ndarray, moved: np.ndarray, to: np.ndarray) -> Any:
        yield self.log, self.radius[self.target, None], self.edges
        yield log, self.radius[to[self.target], None], moved


def _candidates(level: _Level, mirrors: bool) -> list[np.ndarray]:
    """Motions about the centre that take one node and one of its neighbours to another such pair."""
    points = level.positions
    height = np.round(np.linalg.norm(points, axis=1) / level.size, 5)
    kinds, kind, count = np.unique(
        np.stack([np.bincount(level.target, minlength=len(points)), height], 1), axis=0, return_inverse=True, return_counts=True
    )
    kind = kind.reshape(-1)
    usable = (kinds[:, 1] > 1e-3) & (count > 0)
    if not usable.any():
        return []
    alike = np.flatnonzero(kind == np.flatnonzero(usable)[count[usable].argmin()])
    length = np.round(np.linalg.norm(points[level.source] - points[level.target], axis=1) / level.size, 5)
    pairs: list[tuple[int, int]] = []
    wanted = None
    for a in alike:
        edges = np.flatnonzero(level.target == a)
        for e in edges:
            b = level.source[e]
            if wanted is None and np.linalg.norm(np.cross(points[a], points[b])) < 1e-3 * level.size**2:
                continue
            wanted = (length[e], kind[b]) if wanted is None else wanted
            if (length[e], kind[b]) == wanted:
                pairs.append((int(a), int(b)))
    if not pairs:
        return []
    first = _triad(*points[list(pairs[0])])
    out = []
    for pair in pairs[:_MOST_TRIES]:
        triad = _triad(*points[list(pair)])
        out += [triad @ np.diag([1.0, 1.0, sign]) @ first.T for sign in ((1.0, -1.0) if mirrors else (1.0,))]
    return out


def _triad(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Orthonormal columns from two vectors."""
    x = a / np.linalg.norm(a)
    z = np.cross(a, b)
    z = z / max(np.linalg.norm(z), 1e-300)
    return np.stack([x, np.cross(z, x), z], 1)


def _has_mirrors(group: Group) -> bool:
    sample = group.sample(64, generator=torch.Generator("cpu").manual_seed(0)) if group.order is None else group.elements
    return sample is not None and bool((torch.linalg.det(sample.double()) < 0).any())


def _all_in(group: Group, g: np.ndarray) -> bool:
    """Whether all matrices are elements of a group."""
    if group.order is None:
        return True  # mirror images were tried only where the group has them
    elements: Any = group.elements
    elements = elements.double().cpu().numpy()
    return bool(np.abs(g[:, None] - elements).max((2, 3)).min(1).max() < 1e-4)
