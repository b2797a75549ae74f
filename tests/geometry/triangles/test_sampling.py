"""Nested farthest-point sampling against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra

from gaugenet.geometry.triangles.sampling import component_starts, edge_graph, farthest_points
from tests.helpers.corpus import joined, plate, sphere, tetrahedron, torus


def graph_of(vertices, faces):
    lengths = np.linalg.norm(vertices[np.roll(faces, -1, axis=1)] - vertices[faces], axis=-1)
    return edge_graph(faces, lengths, len(vertices))


def irregular():
    vertices, faces = torus(30, 14)
    return vertices + 0.03 * np.random.default_rng(0).standard_normal(vertices.shape), faces


def test_edge_graph():
    vertices, faces = plate()
    graph = graph_of(vertices, faces)
    assert abs(graph - graph.T).max() == 0
    i, j = graph.nonzero()
    np.testing.assert_allclose(np.asarray(graph[i, j]).ravel(), np.linalg.norm(vertices[i] - vertices[j], axis=1))
    assert len(i) == 2 * (len(vertices) + len(faces) - 1)


def test_every_level_is_the_brute_force_sampling():
    vertices, faces = irregular()
    graph = graph_of(vertices, faces)
    distance = dijkstra(graph, directed=False)
    nodes = [7]
    while len(nodes) < 100:
        nodes.append(int(distance[nodes].min(axis=0).argmax()))
    levels = farthest_points(graph, np.array([7]), [1, 25, 100])
    for count, level in zip([1, 25, 100], levels):
        np.testing.assert_array_equal(level.nodes, nodes[:count])
        np.testing.assert_array_equal(level.cell, distance[nodes[:count]].argmin(axis=0))
        np.testing.assert_allclose(level.distance, distance[nodes[:count]].min(axis=0), atol=1e-6)
        inner = level.parent >= 0
        assert (inner == (level.distance > 0)).all()
        np.testing.assert_array_equal(level.cell[level.parent[inner]], level.cell[inner])
        steps = np.asarray(graph[np.flatnonzero(inner), level.parent[inner]]).ravel()
        np.testing.assert_allclose(level.distance[level.parent[inner]] + steps, level.distance[inner], atol=1e-6)


def test_everything_can_be_sampled():
    vertices, faces = joined(sphere(1), tetrahedron())
    graph = graph_of(vertices, faces)
    level = farthest_points(graph, np.array([0, 20]), [len(vertices)])[0]
    assert sorted(level.nodes) == list(range(len(vertices))) and (level.distance == 0).all()


def test_starts_follow_the_shape_and_not_the_labels():
    vertices, faces = joined(irregular(), (0.1 * plate(7, 5)[0] + 9, plate(7, 5)[1]))
    area = np.random.default_rng(1).uniform(1, 2, len(vertices))
    order = np.random.default_rng(2).permutation(len(vertices))
    new = np.empty_like(order)
    new[order] = np.arange(len(order))
    for position in (vertices, None):
        graph = graph_of(vertices, faces)
        starts = component_starts(graph, position, area)
        assert len(starts) == 2 and starts[0] < 420 <= starts[1]  # the largest component first
        other = component_starts(
            graph_of(vertices[order], new[faces]), None if position is None else position[order], area[order]
        )
        np.testing.assert_array_equal(order[other], starts)
        a = farthest_points(graph, starts, [40])[0]
        b = farthest_points(graph_of(vertices[order], new[faces]), other, [40])[0]
        np.testing.assert_array_equal(order[b.nodes], a.nodes)
    centroid = area[:420] @ vertices[:420] / area[:420].sum()
    assert (
        component_starts(graph_of(vertices, faces), vertices, area)[0]
        == np.linalg.norm(vertices[:420] - centroid, axis=1).argmax()
    )


def test_ties_do_not_fall_by_rounding():
    vertices, faces = sphere(3)  # symmetric: ties everywhere
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    area = np.ones(len(vertices))
    results = []
    for moved in (vertices, 1e3 * vertices @ rotation.T + 5):
        graph = graph_of(moved, faces)
        results.append(farthest_points(graph, component_starts(graph, moved, area), [64])[0])
    np.testing.assert_array_equal(results[0].nodes, results[1].nodes)
    np.testing.assert_array_equal(results[0].cell, results[1].cell)


@pytest.mark.parametrize("counts", [[3, 2], [1, 4], [4, 500]])
def test_wrong_counts(counts):
    vertices, faces = joined(sphere(1), tetrahedron())
    with pytest.raises(ValueError, match="sample sizes"):
        farthest_points(graph_of(vertices, faces), np.array([0, 20]), counts)
