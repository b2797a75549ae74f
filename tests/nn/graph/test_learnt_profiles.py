"""Radial profiles that learn: what does not change is kept by the graph, the rest is made at every call."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.loader import DataLoader

from gaugenet import FieldType, geometry, groups, kernels
from gaugenet.nn import GaugeConv
from gaugenet.ops import make_plan
from tests.helpers.networks import randomise

SO3, SO2 = groups.SO3(), groups.SO2()
SPACE = FieldType(SO3, "2x0 + 1x1"), FieldType(SO3, "1x0 + 2x1 + 1x2")
PLANE = FieldType(SO2, "2x0 + 1x1"), FieldType(SO2, "1x0 + 2x1")


def cloud(n: int = 30, seed: int = 0):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)).numpy()
    return geometry.points(x, neighbours=6).to_graph(torch.float64)


def field(type: FieldType, n: int) -> torch.Tensor:
    return type.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))


CASES = {"space": (SPACE, cloud), "sphere": (PLANE, lambda: geometry.icosphere(1, rings=2).to_graph())}


def layer(types) -> GaugeConv:
    torch.manual_seed(0)
    return randomise(GaugeConv(*types, kernel=kernels.Polar(kernels.RadialMLP(3, 5, 4), quadrature=None))).double()


@pytest.mark.parametrize("case", CASES)
def test_completed_tables_are_those_made_at_once(case):
    types, make = CASES[case]
    conv, graph = layer(types), make()
    edge, node = conv.columns.table(graph, "test")  # without anything kept
    whole = make_plan(graph.edge_index, graph.transport, edge, node, conv.columns, types[0].group)
    plan = conv.plan(graph)
    assert torch.allclose(plan.forward.table, whole.forward.table, atol=1e-14)
    assert torch.allclose(plan.forward.node_table, whole.forward.node_table, atol=1e-14)
    assert torch.allclose(plan.backward.table, whole.backward.table, atol=1e-14)
    assert plan.paired and plan.identity == (case == "space")


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_plain_torch(case):
    types, make = CASES[case]
    conv, graph = layer(types), make()
    x = field(types[0], graph.num_nodes).requires_grad_()

    def gradients(backend: str) -> list[torch.Tensor]:
        conv.backend = backend
        return torch.autograd.grad(conv(x, graph).sin().sum(), [x, *conv.parameters()])

    for fast, plain in zip(gradients("auto"), gradients("reference")):
        assert not plain.numel() or (fast - plain).abs().max() < 1e-12 * plain.abs().max()


def test_the_graph_keeps_what_does_not_change(monkeypatch):
    conv, graph = layer(SPACE), cloud()
    x = field(SPACE[0], graph.num_nodes)
    first = conv(x, graph)
    kept = len(graph.plans)
    assert kept and conv.table_key is None
    monkeypatch.setattr(kernels.polar, "harmonics", lambda *_, **__: pytest.fail("the harmonics were made again"))
    assert torch.equal(conv(x, graph), first)
    with torch.no_grad():
        for p in conv.radial.parameters():
            p.add_(0.1)
    assert not torch.allclose(conv(x, graph), first)  # no table of the old profile
    assert len(graph.plans) == kept
    monkeypatch.undo()
    other = layer(SPACE)
    graph.log = graph.log * 0.9
    assert not torch.allclose(other(x, graph), first)  # nor the directions of another cloud


def test_layers_of_one_cut_off_share_what_is_kept():
    graph = cloud()
    x = field(SPACE[0], graph.num_nodes)
    layer(SPACE)(x, graph)
    kept = len(graph.plans)
    randomise(GaugeConv(*SPACE, kernel=kernels.Polar(kernels.RadialMLP(1, 2), quadrature=None))).double()(x, graph)
    assert len(graph.plans) == kept


def test_batches_join_what_their_graphs_keep(monkeypatch):
    conv, graphs = layer(SPACE), [cloud(20, 1), cloud(12, 2)]
    fields = [field(SPACE[0], g.num_nodes) for g in graphs]
    alone = torch.cat([conv(x, g) for x, g in zip(fields, graphs)])
    batch = next(iter(DataLoader(graphs, batch_size=2)))
    monkeypatch.setattr(kernels.polar, "harmonics", lambda *_, **__: pytest.fail("not joined"))
    assert torch.allclose(conv(torch.cat(fields), batch), alone, atol=1e-12)


def test_gradients_reach_the_positions():
    """Forces: the derivative along the points, against differences."""
    conv, graph = layer(SPACE), cloud()
    x = field(SPACE[0], graph.num_nodes)
    graph.log = graph.log.clone().requires_grad_()
    step = torch.randn_like(graph.log)
    (gradient,) = torch.autograd.grad(conv(x, graph).sin().sum(), graph.log)
    log = graph.log.detach()

    def at(t: float) -> torch.Tensor:
        graph.log = log + t * step
        return conv(x, graph).sin().sum()

    assert (gradient * step).sum() == pytest.approx(float((at(1e-6) - at(-1e-6)).detach() / 2e-6), rel=1e-5)
