"""Normals of a point cloud, estimated and oriented."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

from ..meshes.curvature import quadric_normals

# Neighbours for the first planes, and for the graph of orientation: few, so that the two sides of thin parts stay apart.
_PLANE_NEIGHBOURS = 12
_GRAPH_NEIGHBOURS = 8


def estimate_normals(points: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Oriented unit normals of second order.

    The direction of least variance of the nearest 12 neighbours (Hoppe et al. 1992, "Surface reconstruction from unorganized
    points"), oriented along a minimum spanning tree (:func:`orient_normals`), then tilted to a quadric fitted to all the
    neighbours (Cazals, Pouget 2005): the plane alone is wrong to first order where the neighbours are not spread evenly.

    Args:
        points: (N, 3). neighbours: (N, k) ids of the nearest points, nearest first, without the point itself.

    Returns:
        (N, 3) unit normals.
    """
    count, k = neighbours.shape
    itself = np.arange(count)[:, None]
    near = points[np.concatenate([itself, neighbours[:, :_PLANE_NEIGHBOURS]], 1)]
    offset = near - near.mean(1, keepdims=True)
    normals = np.linalg.eigh(np.swapaxes(offset, 1, 2) @ offset)[1][:, :, 0]
    normals = orient_normals(points, normals, neighbours[:, :_GRAPH_NEIGHBOURS])
    around = np.concatenate([itself, neighbours], 1)
    return quadric_normals(points, normals, np.arange(count + 1) * (k + 1), around.ravel())


def orient_normals(points: np.ndarray, normals: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    r"""The normals (N, 3) with signs that agree along a minimum spanning tree of the graph of neighbours (Hoppe et al. 1992).

    Two normals agree when :math:`n_i \cdot n_j' > 0`, and the edge has the weight :math:`1 - |n_i \cdot n_j'|`, with n_j'
    reflected at the plane halfway between the points, which a circular arc between them would do (König, Gumhold 2009,
    "Consistent propagation of normal orientations in point clouds"). Hoppe's n_j itself fails at thin parts and creases.

    Every component of the graph is oriented on its own, away from the middle at the extreme point (of the three in the
    directions of the axes the one whose normal is closest to its axis): outward where the component is closed.

    Args:
        points: (N, 3). normals: (N, 3) unit, of any sign. neighbours: (N, k) ids.
    """
    count, k = neighbours.shape
    rows, columns = np.repeat(np.arange(count), k), neighbours.ravel()
    # Plus one: every spanning tree gets heavier by the same, and no edge has weight zero, which would be none.
    weight = 2.0 - np.minimum(np.abs(_agreement(points, normals, rows, columns)), 1.0)
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
        child = visited[1:]
        relative = np.where(_agreement(points, normals, child, parent[child]) < 0, -1.0, 1.0)
        for node, above, turn in zip(child.tolist(), parent[child].tolist(), relative.tolist()):
            sign[node] = turn * sign[above]
    return normals * sign[:, None]


def _agreement(points: np.ndarray, normals: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """(E,) n_i . n_j' of edges i - j."""
    chord = points[j] - points[i]
    chord = chord / np.linalg.norm(chord, axis=1, keepdims=True)
    along = (normals[i] * chord).sum(1) * (normals[j] * chord).sum(1)
    return (normals[i] * normals[j]).sum(1) - 2.0 * along
