"""Farthest-point sampling of the vertices of a mesh, nested: the first M samples are the coarse level of size M."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse

from ...compiled import njit

# Lengths are counted in integer steps of this times the mean edge, so that equal distances are equal whatever way they were
# summed, and ties (every symmetric mesh is full of them) fall by the order of the vertices and not by rounding.
_STEP = 1e-9
_FAR = np.iinfo(np.int64).max


class Samples(NamedTuple):
    """One level of a nested sampling, distances being shortest paths along edges.

    Attributes:
        nodes: (M,) the sampled vertices in order of sampling.
        cell: (N,) position in nodes of the nearest sample (ties: the earlier sample).
        distance: (N,) distance to it, in the unit of the edge lengths.
        parent: (N,) the vertex before on the path from that sample, -1 at the samples.
    """

    nodes: np.ndarray
    cell: np.ndarray
    distance: np.ndarray
    parent: np.ndarray


def edge_graph(faces: np.ndarray, edge_lengths: np.ndarray, num_vertices: int) -> sparse.csr_matrix:
    """(N, N) symmetric matrix of edge lengths.

    Args:
        faces: (F, 3). edge_lengths: (F, 3), [f, k] that of the edge from faces[f, k] to faces[f, (k + 1) % 3].
    """
    tail, head, length = faces.ravel(), np.roll(faces, -1, axis=1).ravel(), np.asarray(edge_lengths, np.float64).ravel()
    low, high = np.minimum(tail, head), np.maximum(tail, head)
    _, first = np.unique(low * np.int64(num_vertices) + high, return_index=True)
    low, high, length = low[first], high[first], length[first]
    entries = (np.r_[length, length], (np.r_[low, high], np.r_[high, low]))
    graph = sparse.coo_matrix(entries, shape=(num_vertices, num_vertices)).tocsr()
    graph.sort_indices()
    return graph


def component_starts(graph: sparse.csr_matrix, positions: np.ndarray | None, area: np.ndarray) -> np.ndarray:
    """(components,) the first sample of each component, largest area first: the vertex farthest from its area centroid.

    A choice by shape, so that it does not change with the order of the vertices; without positions it is the vertex of the
    largest graph eccentricity seen from the largest vertex.
    """
    count, label = sparse.csgraph.connected_components(graph, directed=False)
    size = np.bincount(label, area, minlength=count)
    if positions is None:
        seeds = np.array([np.flatnonzero(label == c)[np.argmax(_coarse(area[label == c]))] for c in range(count)])
        score = farthest_points(graph, seeds, [count])[0].distance
    else:
        total = np.where(size > 0, size, 1.0)
        centroid = np.stack([np.bincount(label, area * x, minlength=count) / total for x in positions.T], -1)
        score = np.linalg.norm(positions - centroid[label], axis=1)
    order = np.lexsort((-_coarse(score), label))
    starts = order[np.searchsorted(label[order], np.arange(count))]
    return starts[np.argsort(-_coarse(size), kind="stable")]


def farthest_points(graph: sparse.csr_matrix, starts: np.ndarray, counts: list[int]) -> list[Samples]:
    """Farthest-point sampling (Gonzalez 1985; Eldar et al. 1997) by Dijkstra distance, at several sizes in one run.

    Every step adds the vertex farthest from all the samples and updates the distances it shortens, so the whole costs about
    N log N times the logarithm of the number of samples.

    Args:
        graph: (N, N) edge lengths, symmetric CSR.
        starts: (S,) first samples, one in every component at least.
        counts: ascending sizes, from S to N.

    Returns:
        the Samples of each size, nested.
    """
    size = graph.shape[0]
    counts = list(counts)
    if counts != sorted(counts) or counts[0] < len(starts) or counts[-1] > size:
        raise ValueError(f"sample sizes must ascend from {len(starts)} (the components) to {size} (the vertices), got {counts}")
    positive = graph.data[graph.data > 0]
    step = _STEP * (positive.mean() if positive.size else 1.0)
    length = np.rint(graph.data / step).astype(np.int64)
    arrays = _sample(
        graph.indptr.astype(np.int64),
        graph.indices.astype(np.int64),
        length,
        np.asarray(starts, np.int64),
        np.asarray(counts, np.int64),
    )
    nodes, cells, distances, parents = arrays
    return [
        Samples(
            nodes[:count], cells[level], np.where(distances[level] == _FAR, np.inf, distances[level] * step), parents[level]
        )
        for level, count in enumerate(counts)
    ]


def _coarse(x: np.ndarray) -> np.ndarray:
    """x in steps of 1e-9 of its largest, so that equal values compare as equal after rounding errors."""
    return np.rint(x / (1e-9 * max(np.abs(x).max(), 1e-300)))


@njit(cache=True, nogil=True)
def _sample(ptr, index, length, starts, counts):
    size, levels = len(ptr) - 1, len(counts)
    distance = np.full(size, _FAR, np.int64)
    cell = np.full(size, -1, np.int64)
    parent = np.full(size, -1, np.int64)
    nodes = np.empty(counts[-1], np.int64)
    cells = np.empty((levels, size), np.int64)
    distances = np.empty((levels, size), np.int64)
    parents = np.empty((levels, size), np.int64)
    heap_key = np.empty(len(index) + 1, np.int64)
    heap_node = np.empty(len(index) + 1, np.int64)
    # A max-heap of all vertices by an upper bound of their distance, brought up to date only at the top.
    bound = np.empty(size, np.int64)
    far = np.empty(size, np.int64)
    level = 0
    for count in range(counts[-1]):
        if count < len(starts):
            node = starts[count]
        else:
            if count == len(starts):
                for v in range(size):
                    bound[v] = -distance[v]
                    far[v] = v
                for root in range(size // 2 - 1, -1, -1):
                    _sift_down(bound, far, size, root)
            while bound[0] != -distance[far[0]]:
                bound[0] = -distance[far[0]]
                _sift_down(bound, far, size, 0)
            node = far[0]
        nodes[count] = node
        _shorten(ptr, index, length, node, count, distance, cell, parent, heap_key, heap_node)
        while level < levels and counts[level] == count + 1:
            cells[level], distances[level], parents[level] = cell, distance, parent
            level += 1
    return nodes, cells, distances, parents


@njit(cache=True, nogil=True)
def _shorten(ptr, index, length, node, label, distance, cell, parent, heap_key, heap_node):
    """Dijkstra from a new sample through the vertices that it is nearer to than every sample before."""
    distance[node], cell[node], parent[node] = 0, label, -1
    heap_key[0], heap_node[0] = 0, node
    filled = 1
    while filled > 0:
        key, v = heap_key[0], heap_node[0]
        filled -= 1
        heap_key[0], heap_node[0] = heap_key[filled], heap_node[filled]
        _sift_down(heap_key, heap_node, filled, 0)
        if key > distance[v]:
            continue
        for k in range(ptr[v], ptr[v + 1]):
            u, reached = index[k], key + length[k]
            if reached < distance[u]:
                distance[u], cell[u], parent[u] = reached, label, v
                heap_key[filled], heap_node[filled] = reached, u
                _sift_up(heap_key, heap_node, filled)
                filled += 1


@njit(cache=True, nogil=True)
def _sift_up(key, node, i):
    while i > 0:
        up = (i - 1) // 2
        if key[up] < key[i] or (key[up] == key[i] and node[up] <= node[i]):
            return
        key[up], key[i] = key[i], key[up]
        node[up], node[i] = node[i], node[up]
        i = up


@njit(cache=True, nogil=True)
def _sift_down(key, node, size, i):
    while True:
        best, left = i, 2 * i + 1
        for child in (left, left + 1):
            if child < size and (key[child] < key[best] or (key[child] == key[best] and node[child] < node[best])):
                best = child
        if best == i:
            return
        key[best], key[i] = key[i], key[best]
        node[best], node[i] = node[i], node[best]
        i = best
