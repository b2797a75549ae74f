"""Halfedges of an oriented manifold triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse


@dataclass(frozen=True, eq=False)
class Topology:
    """Connectivity of an oriented manifold mesh, checked before (:func:`gaugenet.geometry.triangles.checks.check_mesh`).

    Halfedge h = 3 f + k goes from faces[f, k] to faces[f, (k + 1) % 3], with the face on its left.

    Attributes:
        faces: (F, 3) int64.
        num_vertices: N.
        twin: (3F,) the opposite halfedge, -1 on the boundary.
        ring_ptr, ring_halfedge: CSR of the outgoing halfedges of every vertex, counter-clockwise; at a boundary vertex they
            start at the boundary halfedge.
        is_boundary: (N,) bool.
    """

    faces: np.ndarray
    num_vertices: int
    twin: np.ndarray
    ring_ptr: np.ndarray
    ring_halfedge: np.ndarray
    is_boundary: np.ndarray

    @staticmethod
    def of(faces: np.ndarray, num_vertices: int) -> Topology:
        """Build the halfedge arrays of (F, 3) faces."""
        faces = np.ascontiguousarray(faces, np.int64)
        tail, head = faces.reshape(-1), np.roll(faces, -1, 1).reshape(-1)
        twin = _twins(tail, head, num_vertices)
        open_ = twin < 0
        is_boundary = np.zeros(num_vertices, bool)
        is_boundary[tail[open_]] = True
        is_boundary[head[open_]] = True
        degree = np.bincount(tail, minlength=num_vertices)
        ptr = np.concatenate([[0], np.cumsum(degree)])
        start = np.full(num_vertices, -1)
        start[tail[::-1]] = np.arange(tail.size)[::-1]  # the lowest halfedge, or below the boundary one
        start[tail[open_]] = np.flatnonzero(open_)
        return Topology(faces, num_vertices, twin, ptr, _fans(start, degree, ptr, twin), is_boundary)

    @property
    def num_edges(self) -> int:
        """Undirected edges."""
        return (self.twin.size + int((self.twin < 0).sum())) // 2

    @property
    def euler(self) -> int:
        """V - E + F, over vertices that some face uses."""
        return int((np.diff(self.ring_ptr) > 0).sum()) - self.num_edges + self.faces.shape[0]

    @property
    def tail(self) -> np.ndarray:
        """(3F,) vertex that each halfedge leaves."""
        return self.faces.reshape(-1)

    @property
    def head(self) -> np.ndarray:
        """(3F,) vertex that each halfedge goes to."""
        return np.roll(self.faces, -1, 1).reshape(-1)

    def components(self) -> tuple[int, np.ndarray]:
        """Number of connected components and the component of every vertex."""
        ones = np.ones(self.tail.size, bool)
        graph = sparse.coo_matrix((ones, (self.tail, self.head)), shape=(self.num_vertices,) * 2)
        return sparse.csgraph.connected_components(graph, directed=False)


def next_halfedge(h: np.ndarray) -> np.ndarray:
    """The halfedge after h in its face."""
    return h - h % 3 + (h + 1) % 3


def previous_halfedge(h: np.ndarray) -> np.ndarray:
    """The halfedge before h in its face."""
    return h - h % 3 + (h + 2) % 3


def _twins(tail: np.ndarray, head: np.ndarray, num_vertices: int) -> np.ndarray:
    key, reverse = tail * num_vertices + head, head * num_vertices + tail
    order = np.argsort(key)
    place = np.minimum(np.searchsorted(key, reverse, sorter=order), key.size - 1)
    found = order[place]
    return np.where(key[found] == reverse, found, -1)


def _fans(start: np.ndarray, degree: np.ndarray, ptr: np.ndarray, twin: np.ndarray) -> np.ndarray:
    """Outgoing halfedges in counter-clockwise order: the twin of the previous halfedge follows."""
    follower = twin[previous_halfedge(np.arange(twin.size))]
    out = np.empty(twin.size, np.int64)
    active = np.flatnonzero(degree > 0)
    current = start[active]
    step = 0
    while active.size:
        out[ptr[active] + step] = current
        step += 1
        more = degree[active] > step
        active, current = active[more], follower[current[more]]
    return out
