from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from gaugenet import FieldType, groups, kernels, models
from gaugenet.nn import FieldDiffusion, GaugeConv, KernelTables, PoissonSolve
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import two_level_graph

IN = FieldType(groups.SO2(), "2x0 + 1x1")


def test_stored_tables_change_nothing():
    graphs = [two_level_graph(2, seed).float() for seed in range(2)]
    net = models.MeshClassifier(IN, 3, channels=4, blocks=(1, 1)).eval()
    stored = [KernelTables(net)(g.clone()) for g in graphs]
    plain, batch = Batch.from_data_list(graphs), Batch.from_data_list(stored)
    x = torch.randn(plain.num_nodes, IN.dim)
    assert torch.allclose(net(x, plain), net(x, batch), atol=1e-6)
    stored[1].level(1).plans[next(iter(stored[1].level(1).plans))].forward.table.mul_(2.0)  # it is really used
    assert not torch.allclose(net(x, plain), net(x, Batch.from_data_list(stored)), atol=1e-6)


def test_tables_of_another_layer_are_not_taken():
    graph = two_level_graph()
    KernelTables(GaugeConv(IN, IN, radial=3))(graph)
    conv = GaugeConv(IN, IN, radial=2)
    assert conv.plan(graph).forward.table.shape[1] == 2 * 5


def test_eigenpairs_and_factors_are_made_before(monkeypatch):
    """Of layers that see the whole surface, which then make nothing."""
    net = torch.nn.ModuleList([FieldDiffusion(IN, pairs=10), PoissonSolve(IN), GaugeConv(IN, IN)]).double()
    graph = KernelTables(net)(two_level_graph())
    assert len(graph.plans) == 6 and len(graph.level(1).plans) == 1  # two irreps each, the convolution, the cone points
    for layer in list(net)[:2]:
        monkeypatch.setattr(layer, "_make", None)
        assert layer(torch.randn(graph.num_nodes, IN.dim, dtype=torch.float64), graph).isfinite().all()
    only = KernelTables(models.DiffusionNet(2, 2, width=4, pairs=10))(two_level_graph())
    assert len(only.plans) == 2


def test_tables_go_with_the_frames():
    graph = KernelTables(GaugeConv(IN, IN))(two_level_graph())
    turned = graph.gauge_transform(groups.SO2().sample(graph.num_nodes))
    assert len(graph.plans) == len(graph.level(1).plans) == 1
    assert not turned.plans and not turned.level(1).plans
    assert equivariance_error(GaugeConv(IN, IN).double(), graph, IN, IN) < 1e-11


def test_tables_need_one_fixed_profile():
    with pytest.raises(ValueError, match="one fixed table"):
        KernelTables(GaugeConv(IN, IN, radial=kernels.RadialMLP(2)))
    with pytest.raises(ValueError, match="one fixed table"):
        KernelTables(torch.nn.ModuleList([GaugeConv(IN, IN), GaugeConv(IN, IN, radial=3)]))
