"""Gauge-equivariant attention: the formula by hand, the convolution as its special case, frames, gradients."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups, nn
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import random_graph, sphere_graph
from tests.helpers.networks import randomise

SO2 = groups.SO2()
A, B = FieldType(SO2, "3x0 + 2x1 + 2x2"), FieldType(SO2, "2x0 + 2x1")


def by_hand(layer: nn.GaugeAttention, x: torch.Tensor, graph) -> torch.Tensor:
    """Edge by edge, from the formula."""
    source, target = graph.edge_index
    table = layer.heads_of[0].table(graph)
    out = layer.self_interaction(x) if layer.self_interaction is not None else 0
    queries, keys = layer.queries(x), layer.keys.out_type.transform(graph.transport, layer.keys(x)[source])
    products = [q * k for q, k in zip(layer.keys.out_type.split(queries[target]), layer.keys.out_type.split(keys))]
    for head, conv in enumerate(layer.heads_of):
        logits = sum(p.unflatten(-1, (layer.heads, -1))[:, :, head].sum((1, 2)) for p in products) / layer.key_type.dim**0.5
        raised = logits.exp()
        sums = lambda v: torch.zeros(len(x), dtype=x.dtype).index_add(0, target, v)  # noqa: E731
        factor = raised * (sums(graph.weight) / sums(graph.weight * raised))[target]
        values = layer.value_type.split(layer.values(x))
        part = conv.in_type.join([v.unflatten(-1, (layer.heads, -1))[..., head, :] for v in values])
        carried = conv.in_type.transform(graph.transport, part[source])
        matrices = conv.expansion(conv.weight)
        out = out + torch.einsum("nj,ni,jio->no", table.node.expand(len(x), -1), part, matrices)
        edges = torch.einsum("e,ej,ei,jio->eo", factor, table.edge, carried, matrices)
        out = out + torch.zeros_like(out).index_add(0, target, edges)
        out = out + (0 if conv.bias is None else conv.bias.row())
    return out


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
    values, parts = layer.value_type.split(layer.values(x)), []
    for head, conv in enumerate(layer.heads_of):
        parts.append(conv(conv.in_type.join([v.chunk(2, -1)[head] for v in values]), graph))
    assert torch.allclose(layer(x, graph), sum(parts) + layer.self_interaction(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradients(backend):
    graph = geometry.icosphere(0).to_graph()
    layer = randomise(nn.GaugeAttention(FieldType(SO2, "2x0 + 2x1"), FieldType(SO2, "1x0 + 1x1"), backend=backend)).double()
    x = torch.randn(graph.num_nodes, 6, dtype=torch.float64, requires_grad=True)
    names = ["queries.weight", "keys.weight", "values.weight", "heads_of.1.weight"]
    weights = [dict(layer.named_parameters())[name].detach().clone().requires_grad_() for name in names]

    def function(x, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights)), (x, graph))

    assert torch.autograd.gradcheck(function, (x, *weights), atol=1e-6)


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
