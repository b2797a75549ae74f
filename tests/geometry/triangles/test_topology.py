from __future__ import annotations

import numpy as np
import pytest

from gaugenet.geometry.triangles.topology import Topology, next_halfedge, previous_halfedge
from tests.helpers.meshes import bumpy, cube, cylinder, plate, torus


@pytest.mark.parametrize("make, euler, parts", [(plate, 1, 1), (cylinder, 0, 1), (torus, 0, 1), (cube, 2, 1), (bumpy, 2, 1)])
def test_euler_number_and_components(make, euler, parts):
    vertices, faces = make()
    topology = Topology.of(faces, len(vertices))
    assert topology.euler == euler and topology.components()[0] == parts
    two = Topology.of(np.concatenate([faces, faces + len(vertices)]), 2 * len(vertices))
    assert two.euler == 2 * euler and two.components()[0] == 2


@pytest.mark.parametrize("make", [plate, cylinder, torus])
def test_halfedges(make):
    vertices, faces = make()
    t = Topology.of(faces, len(vertices))
    h = np.arange(t.twin.size)
    inner = t.twin >= 0
    assert np.array_equal(t.twin[t.twin[inner]], h[inner])
    assert np.array_equal(t.tail[t.twin[inner]], t.head[inner])
    assert np.array_equal(next_halfedge(next_halfedge(next_halfedge(h))), h)
    assert np.array_equal(previous_halfedge(next_halfedge(h)), h)
    assert np.array_equal(t.tail[next_halfedge(h)], t.head)


@pytest.mark.parametrize("make", [plate, cylinder, torus])
def test_fans_turn_counter_clockwise(make):
    vertices, faces = make()
    t = Topology.of(faces, len(vertices))
    assert np.array_equal(np.sort(t.ring_halfedge), np.arange(t.twin.size))
    for v in range(len(vertices)):
        fan = t.ring_halfedge[t.ring_ptr[v] : t.ring_ptr[v + 1]]
        assert (t.tail[fan] == v).all()
        assert np.array_equal(t.twin[previous_halfedge(fan[:-1])], fan[1:])
        if t.is_boundary[v]:
            assert t.twin[fan[0]] == -1 and t.twin[previous_halfedge(fan[-1])] == -1
        else:
            assert t.twin[previous_halfedge(fan[-1])] == fan[0]


def test_unused_vertices():
    t = Topology.of(np.array([[0, 1, 2]]), 5)
    assert t.euler == 1 and np.array_equal(np.diff(t.ring_ptr), [1, 1, 1, 0, 0]) and t.num_edges == 3
