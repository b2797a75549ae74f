"""Other numbers of the nodes: the same graph, on all levels."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups, models
from tests.helpers.corpus import sphere


@pytest.fixture(scope="module")
def graph():
    v, f = sphere(2)
    return geometry.mesh(v, f, rings=2, levels=1, features=("curvature",), vertex_data={"height": v[:, 2]}).to_graph()


def permutations(graph):
    g = torch.Generator().manual_seed(0)
    return [torch.randperm(graph.level(k).num_nodes, generator=g) for k in range(2)]


def test_a_network_gives_the_same_field(graph):
    group = groups.SO2()
    net = models.MeshUNet(FieldType(group, "2x0 + 2x1"), FieldType(group, "1x1"), channels=4).double().eval()
    x = torch.randn(graph.num_nodes, 6, dtype=torch.float64)
    numbers = permutations(graph)
    moved = torch.empty_like(x).index_copy_(0, numbers[0], x)
    with torch.no_grad():
        torch.testing.assert_close(net(moved, graph.relabel(numbers))[numbers[0]], net(x, graph), rtol=1e-12, atol=1e-12)


def test_every_array_moves_along(graph):
    numbers = permutations(graph)
    other = graph.relabel(numbers)
    fine = numbers[0]
    for name in ("pos", "frame", "radius", "area", "feature_curvature", "vertex_height", "vertex_ids"):
        assert torch.equal(other[name][fine], graph[name]), name
    assert torch.equal(other.cluster_1[fine], numbers[1][graph.cluster_1])
    assert torch.equal(other.cluster_transport_1[fine], graph.cluster_transport_1)
    assert torch.equal(other.pos_1[numbers[1]], graph.pos_1)
    assert torch.equal(other.pos[other.face], graph.pos[graph.face])
    for k in range(2):
        source, target = other.level(k).edge_index
        key = target * other.level(k).num_nodes + source
        assert torch.equal(key, key.sort().values)
    # back again
    back = other.relabel([torch.argsort(n) for n in numbers])
    assert all(torch.equal(back[key], graph[key]) for key in graph.to_dict() if isinstance(graph[key], torch.Tensor))


def test_one_tensor_leaves_the_coarser_levels(graph):
    numbers = permutations(graph)[0]
    other = graph.relabel(numbers)
    assert torch.equal(other.pos_1, graph.pos_1) and torch.equal(other.cluster_1[numbers], graph.cluster_1)
    values = torch.randn(graph.num_nodes)
    assert torch.equal(other.on_input_vertices(values[torch.argsort(numbers)]), graph.on_input_vertices(values))


@pytest.mark.parametrize("numbers", [torch.zeros(66, dtype=torch.long), torch.arange(65), torch.arange(1, 67)])
def test_no_permutation(graph, numbers):
    with pytest.raises(ValueError, match="level 0 expected a permutation of the numbers of its 66 nodes"):
        graph.relabel(numbers)


def test_too_many_levels(graph):
    with pytest.raises(ValueError, match="numbers of 3 levels for 2 levels"):
        graph.relabel([torch.arange(66)] * 3)
