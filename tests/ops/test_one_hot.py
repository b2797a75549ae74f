"""Tables with one function an edge, on a tap: the loop of all kernels against the definition, and as a torch operator."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups
from gaugenet.kernels import square_taps
from gaugenet.nn import LatticeConv
from gaugenet.ops import operator
from gaugenet.ops.cpu import driver as cpu
from tests.helpers.graphs import GRIDS, HEXAGONAL_TYPES, square
from tests.helpers.networks import randomise

C6 = groups.Cyclic(6)
HEXAGONAL = [(C6, *types) for types in HEXAGONAL_TYPES] + [
    (C6, [(2, C6.quotient(groups.Cyclic(2))), (1, C6.regular + C6.trivial)], [(2, C6.regular + C6.irrep(1))]),
    (C6, "6xregular", "6xregular"),
]


def setting(case):
    """(conv, x, graph) on the icosahedron or a square grid."""
    group, a, b = case[0], FieldType(case[0], case[1]), FieldType(case[0], case[2])
    if group == C6:
        conv, graph = LatticeConv(a, b), geometry.icosahedron(2).to_graph()
    else:
        conv, graph = LatticeConv(a, b, square_taps(3)), square(6, 7, group)[0]
    conv = randomise(conv).double()
    x = torch.randn(graph.num_nodes, a.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return conv, x.requires_grad_(), graph


def outputs(conv, x, graph, backend):
    conv.backend = backend
    out = conv(x, graph)
    cotangent = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [out, *torch.autograd.grad(out, [x, conv.weight, conv.bias.value], cotangent)]


@pytest.mark.parametrize("case", HEXAGONAL + GRIDS, ids=str)
@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_the_loop_is_the_definition(case, chunk, monkeypatch):
    monkeypatch.setattr(cpu, "_CHUNK_BYTES", chunk)
    conv, x, graph = setting(case)
    reference = outputs(conv, x, graph, "reference")
    if all(layout.special for layout in conv.layouts):
        for fast, slow in zip(outputs(conv, x, graph, "cpu"), reference):
            assert torch.allclose(fast, slow, rtol=1e-11, atol=1e-11)
    else:
        with pytest.raises(ValueError, match="backend 'cpu' takes"):
            outputs(conv, x, graph, "cpu")


@pytest.mark.parametrize("case", [HEXAGONAL[1], HEXAGONAL[2], GRIDS[1]], ids=str)
def test_one_hot_is_the_dense_sum(case):
    """The branch for one-hot tables gives what summing all columns gives."""
    conv, x, graph = setting(case)
    plan = conv.plan(graph)
    assert plan.forward.column.numel() == graph.num_edges
    dense = plan._replace(
        forward=plan.forward._replace(column=plan.forward.column[:0]),
        backward=plan.backward._replace(column=plan.backward.column[:0]),
    )
    results = []
    for which in (plan, dense):
        out = conv(x, graph, which)
        results.append([out, *torch.autograd.grad(out.sin().sum(), [x, conv.weight])])
    for ours, expected in zip(*results):
        assert torch.allclose(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", [HEXAGONAL[1], GRIDS[1]], ids=str)
def test_opcheck(case):
    conv, x, graph = setting(case)
    plan, (layout, transposed) = conv.plan(graph), conv.layouts
    matrices = [m.detach().requires_grad_() for m in map(conv.mixing.of([conv.weight]), (False, True))]
    arguments = x, conv.bias.row().detach(), *matrices, list(plan.forward), layout.tensors
    torch.library.opcheck(operator.convolve, (*arguments, list(plan.backward), transposed.tensors, "cpu"))


def test_gradients_of_gradients():
    conv, _, graph = setting((C6, "1xregular", "1x1 + 1xregular"))
    x = torch.randn(graph.num_nodes, 6, dtype=torch.float64, requires_grad=True)
    results = []
    for backend in ("auto", "reference"):
        conv.backend = backend
        first = torch.autograd.grad(conv(x, graph)[:20].square().sum(), [x, conv.weight], create_graph=True)
        results.append(torch.autograd.grad(sum(g.square().sum() for g in first), [x, conv.weight]))
    for ours, expected in zip(*results):
        assert torch.allclose(ours, expected, rtol=1e-10, atol=1e-10)


def test_reversed_edges_that_share_a_tap():
    """A node with two neighbours that both see it to their right: their gradients add up on one tap."""
    group = groups.Trivial()
    a, b = FieldType(group, "2x0"), FieldType(group, "3x0")
    graph, _ = square(1, 4)
    graph.edge_index = torch.tensor([[0, 0], [1, 2]])
    graph.log, graph.transport = graph.log[:2] * 0 + torch.tensor([[0.3, 0.0]]).double(), graph.transport[:2]
    graph.weight = graph.weight[:2]
    conv = randomise(LatticeConv(a, b, square_taps(3), backend="cpu")).double()
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert conv.plan(graph).backward.column.unique().numel() == 1
    assert torch.autograd.gradcheck(lambda x: conv(x, graph), x)


def test_one_backend_switch(monkeypatch):
    conv, x, graph = setting(HEXAGONAL[1])
    with pytest.raises(ValueError, match="expected one of auto, reference, cpu"):
        outputs(conv, x, graph, "numba")
    monkeypatch.setenv("GAUGENET_BACKEND", "nonsense")
    with pytest.raises(ValueError, match="'nonsense' in the environment variable GAUGENET_BACKEND"):
        outputs(conv, x, graph, "auto")
