"""Gauge-equivariant message passing: the formula by hand, frames, the loop against plain torch, gradients."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups, kernels, nn
from gaugenet.data import StaticGraph
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import random_graph, sphere_graph
from tests.helpers.networks import randomise

SO2 = groups.SO2()
A, B = FieldType(SO2, "3x0 + 2x1 + 2x2"), FieldType(SO2, "2x0 + 2x1")


def by_hand(layer: nn.GaugeMessagePassing, x: torch.Tensor, graph) -> torch.Tensor:
    """Edge by edge, from the formula, with the kernels at the edges."""
    source, target = graph.edge_index
    functions = layer.columns.functions(graph.log / graph.radius[target, None])
    near, centre = (torch.einsum("ej,jio->eoi", functions, layer.expansion(w)) for w in (layer.neighbour, layer.centre))
    carried = layer.in_type.transform(graph.transport, x[source])
    z = torch.einsum("eoi,ei->eo", near, carried) + torch.einsum("eoi,ei->eo", centre, x[target])
    messages = layer.act(z if layer.shift is None else z + layer.shift.row())
    sums = torch.zeros(len(x), messages.shape[1], dtype=x.dtype).index_add(0, target, graph.weight[:, None] * messages)
    own = 0 if layer.self_interaction is None else layer.self_interaction(x)
    return layer.update(sums) + own


CASES = [
    (SO2, "3x0 + 2x1", "2x0 + 1x2", "gated"),
    (SO2, "3x0 + 2x1", "2x0 + 1x2", "norm"),
    (groups.O2(), "2x0 + 1x0- + 2x1", "1x0 + 1x1", "gated"),
    (groups.Cyclic(4), "2x0 + 1xregular", "2x0 + 1x1", "regular"),
    (groups.Dihedral(3), "2x0 + 1xregular + 1x1", "1xregular", "gated"),
    (groups.SO3(), "2x0 + 1x1", "1x0 + 1x1", "gated"),
]


@pytest.mark.parametrize("group, first, last, kind", CASES, ids=str)
def test_formula_and_frames(group, first, last, kind):
    a, b, graph = FieldType(group, first), FieldType(group, last), random_graph(group)
    layer = randomise(nn.GaugeMessagePassing(a, b, nonlinearity=kind)).double()
    x = torch.randn(graph.num_nodes, a.dim, dtype=torch.float64)
    expected = by_hand(layer, x, graph)
    assert (layer(x, graph) - expected).abs().max() <= 1e-12 * expected.abs().max()
    for module in (layer.train(), layer.eval()):
        assert equivariance_error(module, graph, a, b) < 1e-12


@pytest.mark.parametrize("group, blocks", [
    (SO2, "18x0 + 10x1 + 2x2"), (groups.O2(), "2x0 + 2x0- + 34x1"), (groups.Dihedral(3), "4x0 + 2x0- + 2xregular"),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", ["gated", "norm"])
@pytest.mark.parametrize("threads", [1, 2])
def test_loop_is_plain_torch(group, blocks, kind, threads):
    """Values and all gradients, of fields one under the other too, on one thread and with a share of the nodes for each."""
    type, graph = FieldType(group, blocks), StaticGraph(random_graph(group, 600, 5))
    layer = randomise(nn.GaugeMessagePassing(type, type, nonlinearity=kind)).double()
    x, found = torch.randn(3 * graph.num_nodes, type.dim, dtype=torch.float64, requires_grad=True), []
    before, gates = torch.get_num_threads(), layer.gates
    torch.set_num_threads(threads)
    try:
        for layer.backend, layer.gates in (("reference", None), ("cpu", gates)):
            out = layer(x, graph)
            found.append((out, *torch.autograd.grad(out.sin().sum(), [x, *layer.parameters()])))
    finally:
        torch.set_num_threads(before)
    assert (gates is None) == (kind == "norm")
    for expected, got in zip(*found):
        assert (got - expected).abs().max() <= 1e-10 * expected.abs().max()


@pytest.mark.parametrize("kind", ["gated", "norm"])
def test_gradients(kind):
    """Twice, with ELUs for the ReLUs, whose second derivative is none."""
    graph = geometry.icosphere(0).to_graph()
    options = {"nonlinearity": kind, "activation": "elu"}
    layer = randomise(nn.GaugeMessagePassing(FieldType(SO2, "2x0 + 2x1"), FieldType(SO2, "1x0 + 1x1"), **options)).double()
    x = torch.randn(graph.num_nodes, 6, dtype=torch.float64, requires_grad=True)
    names = ["neighbour", "centre", "shift.value", "update.weight"]
    weights = [dict(layer.named_parameters())[name].detach().clone().requires_grad_() for name in names]

    def function(x, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights)), (x, graph))

    assert torch.autograd.gradcheck(function, (x, *weights), atol=1e-6)
    assert torch.autograd.gradgradcheck(function, (x, *weights), atol=1e-6)


def test_second_derivative_of_gates():
    """The loop of gates with ReLU, whose backward pass is differentiated in plain torch."""
    graph = geometry.icosphere(0).to_graph()
    layer = randomise(nn.GaugeMessagePassing(A, B)).double()
    x, found = torch.randn(graph.num_nodes, A.dim, dtype=torch.float64, requires_grad=True), []
    gates = layer.gates
    for layer.gates, layer.backend in ((gates, "cpu"), (None, "reference")):
        (first,) = torch.autograd.grad(layer(x, graph).sin().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, *layer.parameters()], allow_unused=True))
    for got, expected in zip(*found):
        assert (got is None) == (expected is None)
        assert got is None or (got - expected).abs().max() <= 1e-11 * expected.abs().max().clamp_min(1e-3)


def test_many_edges_at_a_time_are_as_few():
    """A nonlinearity without a loop of its own goes over some edges at a time."""
    graph, type = geometry.icosphere(4, rings=2).to_graph(), FieldType(SO2, "8x0 + 8x1")
    layer = randomise(nn.GaugeMessagePassing(type, type, nonlinearity="norm")).double()
    x, found = torch.randn(graph.num_nodes, type.dim, dtype=torch.float64, requires_grad=True), []
    for layer.backend in ("reference", "cpu"):
        out = torch.func.functional_call(layer, {}, (x, graph))
        found.append((out, *torch.autograd.grad(out.sin().sum(), [x, *layer.parameters()])))
    expected = by_hand(layer, x, graph)
    for got, other in zip(*found):
        assert (got - other).abs().max() <= 1e-10 * other.abs().max()
    assert (found[1][0] - expected).abs().max() <= 1e-11 * expected.abs().max()


def test_messages_are_not_linear_in_the_neighbour():
    layer, graph = randomise(nn.GaugeMessagePassing(A, B, bias=False, self_interaction=False)).double(), sphere_graph()
    x = torch.randn(graph.num_nodes, A.dim, dtype=torch.float64)
    assert (layer(2 * x, graph) - 2 * layer(x, graph)).abs().max() > 0.1 * layer(x, graph).abs().max()


def test_every_argument_matters():
    graph = sphere_graph()
    x = torch.randn(graph.num_nodes, A.dim, dtype=torch.float64)
    made = {}
    for name, options in {
        "plain": {}, "type": {"message_type": FieldType(SO2, "3x0 + 1x1")}, "radial": {"radial": 3},
        "frequency": {"max_frequency": 1}, "nonlinearity": {"nonlinearity": "norm"}, "activation": {"activation": "tanh"},
        "bias": {"bias": False}, "self": {"self_interaction": False},
    }.items():  # fmt: skip
        torch.manual_seed(0)
        made[name] = randomise(nn.GaugeMessagePassing(A, B, **options)).double()(x, graph)
    for name, out in made.items():
        assert name == "plain" or (out - made["plain"]).abs().max() > 1e-3, name


def test_learnt_profile():
    layer, graph = nn.GaugeMessagePassing(A, B, radial=kernels.RadialMLP(2, 6, 4)).double(), sphere_graph()
    layer(torch.randn(graph.num_nodes, A.dim, dtype=torch.float64), graph).sin().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in layer.radial.parameters())
