from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.nn import GaugePool, GaugeUnpool
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import sphere_graph, two_level_graph

FT = FieldType(groups.SO2(), "3x0 + 2x1 + 2x2")


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_pool_is_equivariant(reduce):
    graph = two_level_graph()
    assert equivariance_error(GaugePool(FT, reduce).double(), graph, FT, FT, out_level=1) < 1e-12
    assert equivariance_error(GaugePool(FT, reduce), graph.float(), FT, FT, out_level=1) < 1e-4


def test_unpool_is_equivariant_and_inverts():
    graph = two_level_graph()

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.unpool = GaugePool(FT), GaugeUnpool(FT)

        def forward(self, x, graph):
            return self.unpool(self.pool(x, graph), graph)

    assert equivariance_error(Both(), graph, FT, FT) < 1e-12
    coarse = torch.randn(graph.coarse.num_nodes, FT.dim, dtype=torch.float64)
    again = GaugePool(FT)(GaugeUnpool(FT)(coarse, graph), graph)
    assert torch.allclose(again, coarse, rtol=1e-12, atol=1e-12)


def test_pool_equals_the_definition():
    graph = two_level_graph()
    x = torch.randn(graph.num_nodes, FT.dim, dtype=torch.float64)
    pooled, largest = GaugePool(FT)(x, graph), GaugePool(FT, "max")(x, graph)
    carried = torch.einsum("nij,nj->ni", FT(graph.cluster_transport), x)
    for c in (0, 7):
        members = torch.nonzero(graph.cluster == c)[:, 0]
        a = graph.area[members]
        assert torch.allclose(pooled[c], (carried[members] * a[:, None]).sum(0) / a.sum(), rtol=1e-12, atol=1e-12)
        block = FT.split(carried[members])[1]
        best = block[block[:, :, 0].norm(dim=1).argmax(), :, 0]
        assert torch.allclose(FT.split(largest[c : c + 1])[1][0, :, 0], best)
    assert not torch.allclose(pooled, largest)


def test_pool_needs_a_coarse_level():
    graph = sphere_graph(1)
    x = torch.randn(graph.num_nodes, FT.dim)
    for layer in (GaugePool(FT), GaugeUnpool(FT)):
        with pytest.raises(ValueError, match="levels >= 1"):
            layer(x, graph)
    with pytest.raises(ValueError, match="mean"):
        GaugePool(FT, "sum")


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_without_areas_all_nodes_count_the_same(reduce):
    graph = two_level_graph()
    x = torch.randn(graph.num_nodes, FT.dim, dtype=torch.float64)
    even, bare = graph.clone(), graph.clone()
    even.area = torch.full_like(graph.area, 0.3)
    del bare.area
    assert torch.allclose(GaugePool(FT, reduce)(x, bare), GaugePool(FT, reduce)(x, even), rtol=1e-12, atol=1e-12)
