from __future__ import annotations

import pickle

import pytest
import torch
from torch_geometric.data import Batch

import gaugenet.kernels.polar as polar
from gaugenet import FieldType, geometry, groups
from gaugenet.data import GaugeGraph, StaticGraph
from gaugenet.nn import GaugeConv, GaugePool, GaugeUnpool, KernelTables, LatticeConv, global_mean
from tests.helpers.graphs import icosphere_graph, random_graph
from tests.helpers.networks import randomise

SO2 = groups.SO2()
FT = FieldType(SO2, "3x0 + 2x1 + 2x2")
FIELDS = 3


@pytest.fixture(scope="module")
def graph():
    return icosphere_graph(2, count=2)


def same(layer, graph, in_type, level: int = 0) -> None:
    """Values and gradients on a static graph and on a batch of equal graphs."""
    nodes = graph.level(level).num_nodes
    x = torch.randn(FIELDS * nodes, in_type.dim, dtype=torch.float64, requires_grad=True)
    results = []
    for on in (StaticGraph(graph), Batch.from_data_list([graph] * FIELDS)):
        out = layer(x, on)
        weights = [p for p in layer.parameters() if p.numel()] if isinstance(layer, torch.nn.Module) else []
        results.append([out, *torch.autograd.grad(out.sin().sum(), [x, *weights])])
    for ours, expected in zip(*results):
        assert ours.shape == expected.shape
        assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("group", [SO2, groups.Cyclic(4)], ids=str)
def test_convolution(group, backend):
    a, b = FieldType(group, "3x0 + 2x1"), FieldType(group, "9x0 + 2x1")
    for narrow in (a, b):  # the gradient to the weights has two ways
        conv = randomise(GaugeConv(narrow, b if narrow is a else a, backend=backend)).double()
        same(conv, random_graph(group), narrow)


def test_threads(graph):
    """Slices of the nodes that begin and end within a field."""
    conv = randomise(GaugeConv(FT, FT)).double()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        same(conv, icosphere_graph(3, count=1), FT)
        same(GaugePool(FT), icosphere_graph(3, count=2), FT)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("first", [True, False])
def test_first_layers_have_the_same_gradient(graph, first):
    """Without a gradient to the features, that to the weights is gathered the other way round."""
    a, b = FieldType(SO2, "1x0"), FieldType(SO2, "4x0 + 4x1")
    conv = randomise(GaugeConv(a, b) if first else GaugeConv(b, a)).double()
    x = torch.randn(graph.num_nodes, conv.in_type.dim, dtype=torch.float64)
    weights = [conv.weight, conv.self_interaction.weight, conv.bias.value]
    short = torch.autograd.grad(conv(x, graph).sin().sum(), weights)
    whole = torch.autograd.grad(conv(x.requires_grad_(), graph).sin().sum(), [*weights, x])
    for ours, expected in zip(short, whole):
        assert torch.allclose(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_pooling(graph, reduce):
    same(GaugePool(FT, reduce), graph, FT)
    same(GaugeUnpool(FT), graph, FT, level=1)
    same(global_mean, graph, FT)


def test_pooling_without_the_fused_loop(graph, monkeypatch):
    monkeypatch.setenv("GAUGENET_BACKEND", "reference")
    same(GaugePool(FT), graph, FT)
    same(GaugeUnpool(FT), graph, FT, level=1)


def test_second_derivatives(graph):
    conv = randomise(GaugeConv(FT, FT, radial=1)).double()
    results = []
    x = torch.randn(2 * graph.num_nodes, FT.dim, dtype=torch.float64, requires_grad=True)
    for on in (StaticGraph(graph), Batch.from_data_list([graph] * 2)):
        (g,) = torch.autograd.grad(conv(x, on).sin().sum(), x, create_graph=True)
        results.append(torch.autograd.grad(g.square().sum(), [x, conv.weight]))
    for ours, expected in zip(*results):
        assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-10)


def test_plans_are_made_once(graph, monkeypatch):
    """And not shared by layers that need different ones."""
    sphere, made = StaticGraph(graph.float()), []
    table = polar.coefficient_table
    monkeypatch.setattr(polar, "coefficient_table", lambda *a, **k: made.append(1) or table(*a, **k))
    x = torch.randn(graph.num_nodes, FT.dim)
    convs = [GaugeConv(FT, FT), GaugeConv(FT, FT), GaugeConv(FT, FT, radial=3), GaugeConv(FT, FT, quadrature=None)]
    for conv in convs * 2:
        assert torch.allclose(conv(x, sphere), conv(x, graph.float()), rtol=1e-4, atol=1e-5)
    assert len(made) == 2 * len(convs) + 3
    stored = StaticGraph(KernelTables(convs[0])(graph.float()))
    made.clear()
    convs[0](x, stored)
    assert not made
    learnt = GaugeConv(FT, FT, radial=_learnt())
    first = learnt(x, sphere)
    with torch.no_grad():
        for p in learnt.radial.parameters():
            p.add_(0.1)
    assert not torch.allclose(learnt(x, sphere), first)  # no plan of the old profile


def _learnt():
    from gaugenet.kernels import RadialMLP

    return RadialMLP(2)


def test_plans_made_in_evaluation_serve_training(graph):
    sphere, conv, x = StaticGraph(graph), GaugeConv(FT, FT).double(), torch.randn(graph.num_nodes, FT.dim, dtype=torch.float64)
    with torch.inference_mode():
        conv(x, sphere)
    conv(x.requires_grad_(), sphere).sum().backward()
    assert x.grad.abs().max() > 0


def test_the_graph_itself(graph):
    sphere = StaticGraph(graph.clone())
    assert sphere.num_nodes == 162 and sphere.coarse.num_nodes == 42 and sphere.coarse.coarse is None
    assert StaticGraph(graph, level=1).num_nodes == 42
    GaugeConv(FT, FT).plan(sphere)
    assert len(sphere.plans) == 1
    single = sphere.type(torch.float32)
    assert single.log.dtype == single.coarse.log.dtype == torch.float32 and single.edge_index.dtype == torch.int64
    assert not single.plans and sphere.log.dtype == torch.float64 and sphere.to("cpu").coarse.num_nodes == 42
    again = pickle.loads(pickle.dumps(sphere))
    assert torch.equal(again.log, sphere.log) and "num_nodes=162" in repr(again)
    for other, error in ((object(), TypeError), (Batch.from_data_list([graph, graph]), ValueError)):
        with pytest.raises(error, match="StaticGraph expected"):
            StaticGraph(other)


def test_wrong_numbers_of_nodes(graph):
    conv, sphere = GaugeConv(FT, FT).double(), StaticGraph(graph)
    x = torch.randn(2 * graph.num_nodes, FT.dim, dtype=torch.float64)
    for layer, on, field in (
        (conv, graph, x),
        (conv, sphere, x[:-1]),
        (GaugePool(FT), graph, x),
        (GaugePool(FT, "max"), sphere, x[:-1]),
        (GaugeUnpool(FT), graph, x),
    ):
        with pytest.raises(ValueError, match="nodes for a graph of"):
            layer(field, on)
    lattice = GaugeGraph.from_geometry(geometry.icosahedron(1))
    hexagonal = FieldType(groups.Cyclic(6), "1x0")
    with pytest.raises(ValueError, match="nodes for a graph of"):
        LatticeConv(hexagonal, hexagonal).double()(torch.zeros(2 * lattice.num_nodes + 1, 1).double(), StaticGraph(lattice))
    conv.explain = True
    with pytest.raises(ValueError, match="one field at a time"):
        conv(x, sphere)
