"""Adjacency of the faces of any triangle list: edges, fans, components, orientation. No assumption of manifoldness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """The undirected edges of F faces; halfedge h = 3 f + k goes from faces[f, k] to faces[f, (k + 1) % 3].

    Attributes:
        order: (3F,) halfedges sorted by edge.
        start: (M + 1,) the halfedges of edge m are order[start[m] : start[m + 1]].
        ends: (M, 2) vertices of each edge, the smaller first.
    """

    order: np.ndarray
    start: np.ndarray
    ends: np.ndarray

    @property
    def valence(self) -> np.ndarray:
        """(M,) number of faces at each edge."""
        return np.diff(self.start)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The two halfedges of every edge with exactly two faces."""
        first = self.start[:-1][self.valence == 2]
        return self.order[first], self.order[first + 1]

    def boundary(self) -> np.ndarray:
        """The halfedges of the edges with one face."""
        return self.order[self.start[:-1][self.valence == 1]]


def edge_table(faces: np.ndarray) -> EdgeTable:
    """The EdgeTable of (F, 3) faces without repeated indices."""
    tail, head = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    low, high = np.minimum(tail, head), np.maximum(tail, head)
    if faces.max(initial=0) < 2**31:
        order = np.argsort(low << 32 | high, kind="stable")
    else:
        order = np.lexsort((high, low))
    low, high = low[order], high[order]
    new = np.ones(order.size, dtype=bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    first = np.flatnonzero(new)
    return EdgeTable(order, np.append(first, order.size), np.stack([low[first], high[first]], 1))


def components(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(count,) component numbers of the graph with the edges a - b."""
    graph = coo_matrix((np.ones(a.size, dtype=np.int8), (a, b)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def corner_fans(faces: np.ndarray, table: EdgeTable) -> np.ndarray:
    """(3F,) number of the fan of each corner: corners of a vertex that hang together across edges with two faces.

    A vertex is manifold when it has one fan. Giving every fan its own vertex cuts the surface at exactly its
    non-manifold edges and vertices (Gueziec et al. 2001, "Cutting and stitching").
    """
    h, g = table.pairs()
    vertex = faces.reshape(-1)
    # The corner at the tail of h meets the corner of g at the same vertex, whichever way g runs.
    opposite = vertex[h] != vertex[g]
    a = np.concatenate([h, _after(h)])
    b = np.concatenate([np.where(opposite, _after(g), g), np.where(opposite, g, _after(g))])
    return components(faces.size, a, b)


def _after(halfedge: np.ndarray) -> np.ndarray:
    """The next halfedge around the face."""
    return halfedge - halfedge % 3 + (halfedge + 1) % 3


def face_components(faces: np.ndarray, table: EdgeTable) -> np.ndarray:
    """(F,) component of each face, joined across edges with two faces."""
    h, g = table.pairs()
    return components(faces.shape[0], h // 3, g // 3)


def orientation(faces: np.ndarray, table: EdgeTable, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which faces to flip so that neighbours agree, as few as possible in each component.

    The faces are coloured on the orientation double cover: (f, as given) and (f, flipped) are nodes, and a component is
    orientable when the two are not connected.

    Args:
        faces: (F, 3).
        table: its EdgeTable.
        part: (F,) face_components.

    Returns:
        flip (F,) bool, and conflict: the halfedges whose edge cannot be made consistent, empty when orientable.
    """
    count = faces.shape[0]
    h, g = table.pairs()
    vertex = faces.reshape(-1)
    same = vertex[h] == vertex[g]
    if not same.any():
        return np.zeros(count, dtype=bool), np.zeros(0, dtype=np.int64)
    f, e = h // 3, g // 3
    cover = components(2 * count, np.concatenate([f, f + count]), np.concatenate([e + same * count, e + ~same * count]))
    flip = cover[:count] > cover[count:]
    for number in np.unique(part[cover[:count] == cover[count:]]):
        members = part == number
        flip[members] = _tree_orientation(members, f, e, same)
    size = np.bincount(part)
    flip ^= (2 * np.bincount(part, weights=flip) > size)[part]
    wrong = same ^ flip[f] ^ flip[e]
    return flip, np.concatenate([h[wrong], g[wrong]])


def _tree_orientation(members: np.ndarray, f: np.ndarray, e: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Flips along a breadth-first tree of a component that is not orientable: consistent but for a seam."""
    number = np.cumsum(members) - 1
    inside = members[f]
    a, b, odd = number[f[inside]], number[e[inside]], same[inside]
    count = int(members.sum())
    # Two faces may share two edges; the tree uses one of them, and a sparse matrix would add the entries up.
    _, once = np.unique(np.minimum(a, b) * count + np.maximum(a, b), return_index=True)
    a, b, value = a[once], b[once], np.where(odd[once], 2, 1)
    ends = np.concatenate([a, b]), np.concatenate([b, a])
    graph = coo_matrix((np.concatenate([value, value]), ends), shape=(count, count)).tocsr()
    order, parent = breadth_first_order(graph, 0, directed=False)
    parent[order[0]] = order[0]
    flip = np.zeros(count, dtype=bool)
    flip[order[1:]] = np.asarray(graph[order[1:], parent[order[1:]]]).ravel() == 2
    while (parent != parent[parent]).any():
        flip, parent = flip ^ flip[parent], parent[parent]
    return flip
