"""Gauge-equivariant attention: the formula by hand, the convolution as its special case, frames, gradients."""

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


def by_hand(layer: nn.GaugeAttention, x: torch.Tensor, graph) -> torch.Tensor:
    """Edge by edge, from the formula."""
    source, target = graph.edge_index
    conv, table, types = layer.conv, layer.conv.table(graph), (layer.keys.out_type, layer.value_type)
    out = layer.self_interaction(x) if layer.self_interaction is not None else 0
    queries, keys = layer.queries(x), types[0].transform(graph.transport, layer.keys(x)[source])
    products = [q * k for q, k in zip(types[0].split(queries[target]), types[0].split(keys))]
    carried = types[1].split(types[1].transform(graph.transport, layer.values(x)[source]))
    factors = []
    for head in range(layer.heads):
        logits = sum(p.unflatten(-1, (layer.heads, -1))[:, :, head].sum((1, 2)) for p in products) / layer.key_type.dim**0.5
        raised = logits.exp()
        sums = lambda v: torch.zeros(len(x), dtype=x.dtype).index_add(0, target, v)  # noqa: E731
        factors.append(raised * (sums(graph.weight) / sums(graph.weight * raised))[target])
    weighted = [
        torch.cat([part * f[:, None, None] for part, f in zip(block.chunk(layer.heads, -1), factors)], -1) for block in carried
    ]
    matrices = conv.expansion(conv.weight)
    out = out + torch.einsum("nj,ni,jio->no", table.node.expand(len(x), -1), layer.values(x), matrices)
    edges = torch.einsum("ej,ei,jio->eo", table.edge, types[1].join(weighted), matrices)
    return out + torch.zeros_like(out).index_add(0, target, edges) + (0 if conv.bias is None else conv.bias.row())


@pytest.mark.parametrize("group", [SO2, groups.O2(), groups.Cyclic(4), groups.Dihedral(3)], ids=str)
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_formula(group, backend):
    blocks = "3x0 + 2x1" if group.order is None else "2x0 + 1xregular"
    a, b = FieldType(group, blocks), FieldType(group, "2x0 + 1x1")
    layer, graph = randomise(nn.GaugeAttention(a, b, 2, backend=backend)).double(), random_graph(group)
    x = torch.randn(graph.num_nodes, a.dim, dtype=torch.float64)
    assert torch.allclose(layer(x, graph), by_hand(layer, x, graph), rtol=1e-11, atol=1e-12)
    for module in (layer.train(), layer.eval()):
        assert equivariance_error(module, graph, a, b) < 1e-12


def test_equal_logits_are_the_convolution():
    layer, graph = randomise(nn.GaugeAttention(A, B, 2, value_type=FieldType(SO2, "4x0 + 2x1"))).double(), sphere_graph()
    with torch.no_grad():
        layer.queries.weight.zero_()
    x = torch.randn(graph.num_nodes, A.dim, dtype=torch.float64)
    expected = layer.conv(layer.values(x), graph) + layer.self_interaction(x)
    assert torch.allclose(layer(x, graph), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradients(backend):
    graph = geometry.icosphere(0).to_graph()
    layer = randomise(nn.GaugeAttention(FieldType(SO2, "2x0 + 2x1"), FieldType(SO2, "1x0 + 1x1"), backend=backend)).double()
    x = torch.randn(graph.num_nodes, 6, dtype=torch.float64, requires_grad=True)
    names = ["queries.weight", "keys.weight", "values.weight", "conv.weight"]
    weights = [dict(layer.named_parameters())[name].detach().clone().requires_grad_() for name in names]

    def function(x, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights)), (x, graph))

    assert torch.autograd.gradcheck(function, (x, *weights), atol=1e-6)
    assert torch.autograd.gradgradcheck(function, (x, *weights), atol=1e-6)


TYPES = [(SO2, "18x0 + 10x1 + 2x2"), (groups.O2(), "2x0 + 2x0- + 34x1"), (groups.Dihedral(3), "4x0 + 2x0- + 2xregular"), (
    groups.Cyclic(4), "2x0 + 2x2 + 2xregular"), (groups.Trivial(2), "6x0")]  # fmt: skip


@pytest.mark.parametrize("group, blocks", TYPES, ids=lambda value: str(value))
@pytest.mark.parametrize("threads", [1, 2])
def test_loop_is_plain_torch(group, blocks, threads):
    """Values and all gradients, of fields one under the other too, on one thread and with a share of the nodes for each."""
    type, graph = FieldType(group, blocks), StaticGraph(random_graph(group, 600, 5))
    layer = randomise(nn.GaugeAttention(type, type, 2)).double()
    x, found = torch.randn(3 * graph.num_nodes, type.dim, dtype=torch.float64, requires_grad=True), []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for layer.backend in ("reference", "cpu"):
            out = layer(x, graph)
            found.append((out, *torch.autograd.grad(out.sin().sum(), [x, *layer.parameters()])))
    finally:
        torch.set_num_threads(before)
    for expected, got in zip(*found):
        assert (got - expected).abs().max() <= 1e-13 * expected.abs().max()


def test_learnt_profile():
    """The functions of the kernel learn: plain torch, with gradients to them."""
    layer, graph = nn.GaugeAttention(A, B, radial=kernels.RadialMLP(2, 6, 4)).double(), sphere_graph()
    layer(torch.randn(graph.num_nodes, A.dim, dtype=torch.float64), graph).sin().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in layer.conv.radial.parameters())


def test_compiled_backward_pass():
    graph = StaticGraph(sphere_graph())
    layer = randomise(nn.GaugeAttention(A, B)).double()
    x, found = torch.randn(graph.num_nodes, A.dim, dtype=torch.float64, requires_grad=True), []
    layer(x, graph)  # which makes the plan
    for run in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager")):
        out = run(x, graph)
        found.append((out, *torch.autograd.grad(out.sin().sum(), [x, *layer.parameters()])))
    torch._dynamo.reset()
    for expected, got in zip(*found):
        assert (got - expected).abs().max() <= 1e-13 * expected.abs().max()


def test_every_argument_matters():
    graph = sphere_graph()
    x = torch.randn(graph.num_nodes, A.dim, dtype=torch.float64)
    made = {}
    for name, options in {
        "plain": {}, "heads": {"heads": 1}, "keys": {"key_type": FieldType(SO2, "1x0")},
        "values": {"value_type": FieldType(SO2, "2x0 + 2x1")}, "radial": {"radial": 3}, "frequency": {"max_frequency": 1},
        "quadrature": {"quadrature": None}, "bias": {"bias": False}, "self": {"self_interaction": False},
    }.items():  # fmt: skip
        torch.manual_seed(0)
        made[name] = randomise(nn.GaugeAttention(A, B, **options)).double()(x, graph)
    for name, out in made.items():
        assert name == "plain" or (out - made["plain"]).abs().max() > 1e-3, name


def test_large_logits_do_not_overflow():
    layer, graph = nn.GaugeAttention(A, B).double(), sphere_graph()
    with torch.no_grad():
        layer.queries.weight.mul_(1e4)
    assert layer(torch.randn(graph.num_nodes, A.dim, dtype=torch.float64), graph).isfinite().all()


def test_refinement_keeps_the_answer():
    """The softmax is over the measure: on four times as many points the same function of the sphere, nearly."""
    torch.manual_seed(0)
    layer = nn.GaugeAttention(FieldType(SO2, "1x0"), FieldType(SO2, "1x0"), key_type=FieldType(SO2, "2x0")).double()
    answers = []
    for level in (3, 4):
        graph = geometry.icosphere(level, radius=0.5).to_graph()  # the coarse points are among the fine ones
        x = torch.sin(3 * graph.pos[:, :1]) + graph.pos[:, 1:2]
        answers.append(layer(x, graph)[:642].detach())
    assert (answers[0] - answers[1]).norm() < 0.02 * answers[1].norm()


def test_what_is_refused():
    with pytest.raises(ValueError, match="copies for each of heads=2, got 3"):
        nn.GaugeAttention(A, B, value_type=FieldType(SO2, "3x0"))
    with pytest.raises(TypeError, match="key_type"):
        nn.GaugeAttention(A, B, key_type=FieldType(groups.Cyclic(4), "2x0"))
