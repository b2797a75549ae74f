"""Normals of a point cloud, estimated and oriented."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

from .curvature import quadric_normals


def estimate_normals(points: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Oriented unit normals of second order.

    The direction of least variance of the neighbours (Hoppe et al. 1992, "Surface reconstruction from unorganized points"),
    oriented along a minimum spanning tree (:func:`orient_normals`), then tilted to a quadric fitted to the neighbours
    (Cazals, Pouget 2005): the plane alone is wrong to first order where the neighbours are not spread evenly.

    Args:
        points: (N, 3). neighbours: (N, k) ids of the nearest points, without the point itself.

    Returns:
        (N, 3) unit normals.
    """
    count, k = neighbours.shape
    near = np.concatenate([np.arange(count)[:, None], neighbours], 1)
    offset = points[near] - points[near].mean(1, keepdims=True)
    normals = np.linalg.eigh(np.swapaxes(offset, 1, 2) @ offset)[1][:, :, 0]
    normals = orient_normals(points, normals, neighbours)
    return quadric_normals(points, normals, np.arange(count + 1) * (k + 1), near.ravel())


def orient_normals(points: np.ndarray, normals: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """The normals (N, 3) with signs that agree along the minimum spanning tree of 1 - |n_i . n_j| (Hoppe et al. 1992).

    Every component of the graph of neighbours is oriented on its own, away from the middle at the extreme point (of the three
    in the directions of the axes the one whose normal is closest to its axis): outward where the component is closed.
    """
    count, k = neighbours.shape
    rows, columns = np.repeat(np.arange(count), k), neighbours.ravel()
    # Plus one: every spanning tree gets heavier by the same, and no edge has weight zero, which would be none.
    weight = 2.0 - np.minimum(np.abs((normals[rows] * normals[columns]).sum(1)), 1.0)
    graph = sparse.csr_matrix((weight, (rows, columns)), shape=(count, count))
    tree = minimum_spanning_tree(graph.maximum(graph.T))
    tree = (tree + tree.T).tocsr()
    number, label = connected_components(tree, directed=False)
    order = np.argsort(label, kind="stable")
    sign = np.ones(count)
    for nodes in np.split(order, np.cumsum(np.bincount(label, minlength=number))[:-1]):
        extreme = nodes[points[nodes].argmax(0)]
        axis = np.abs(normals[extreme, [0, 1, 2]]).argmax()
        root = extreme[axis]
        visited, parent = breadth_first_order(tree, root, directed=False)
        sign[root] = -1.0 if normals[root, axis] < 0 else 1.0
        relative = np.where((normals[visited[1:]] * normals[parent[visited[1:]]]).sum(1) < 0, -1.0, 1.0)
        for node, turn in zip(visited[1:].tolist(), relative.tolist()):
            sign[node] = turn * sign[parent[node]]
    return normals * sign[:, None]
