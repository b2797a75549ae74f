"""The gathering loop against the definition, and as a torch operator."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups
from gaugenet.nn import LatticeConv
from gaugenet.ops import TapLayout, lattice, tap_convolve
from gaugenet.ops.cpu import driver as cpu
from tests.nn.graph.test_gauge_conv import randomise
from tests.nn.graph.test_lattice_conv import GRIDS, TYPES, square

C6 = groups.Cyclic(6)
HEXAGONAL = [(C6, *types) for types in TYPES] + [
    (C6, [(2, C6.quotient(groups.Cyclic(2))), (1, C6.regular + C6.trivial)], [(2, C6.regular + C6.irrep(1))]),
    (groups.Cyclic(6), "6xregular", "6xregular"),
]


def setting(case):
    """(conv, x, plan) on the icosahedron or a square grid."""
    group, a, b = case[0], FieldType(case[0], case[1]), FieldType(case[0], case[2])
    if group == C6:
        conv, graph = LatticeConv(a, b), geometry.icosahedron(2).to_graph()
    else:
        from gaugenet.kernels import square_taps

        conv, graph = LatticeConv(a, b, square_taps(3)), square(6, 7, group)[0]
    conv = randomise(conv).double()
    x = torch.randn(graph.num_nodes, a.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return conv, x.requires_grad_(), conv.plan(graph)


def outputs(conv, x, plan, backend):
    out = tap_convolve(
        x, conv.expansion(conv.weight), conv.bias.row(), (conv.in_type, conv.out_type), conv.layouts, plan.taps, backend
    )
    cotangent = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [out, *torch.autograd.grad(out, [x, conv.weight, conv.bias.value], cotangent)]


@pytest.mark.parametrize("case", HEXAGONAL + GRIDS, ids=str)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_gather_is_the_definition(case, chunk, monkeypatch):
    monkeypatch.setitem(lattice._CHUNK_BYTES, "cpu", chunk)
    conv, x, plan = setting(case)
    reference = outputs(conv, x, plan, "reference")
    for fast, slow in zip(outputs(conv, x, plan, "gather"), reference):
        assert torch.allclose(fast, slow, rtol=1e-11, atol=1e-11)
    if all(layout.special for layout in conv.layouts):
        monkeypatch.setattr(cpu, "_CHUNK_BYTES", chunk)
        for fast, slow in zip(outputs(conv, x, plan, "cpu"), reference):
            assert torch.allclose(fast, slow, rtol=1e-11, atol=1e-11)
    else:
        with pytest.raises(ValueError, match="backend 'cpu' takes"):
            outputs(conv, x, plan, "cpu")


@pytest.mark.parametrize("case, loop", [(HEXAGONAL[2], "gather"), (HEXAGONAL[1], "cpu"), (GRIDS[1], "cpu")], ids=str)
def test_opcheck(case, loop):
    conv, x, plan = setting(case)
    weight = conv.expansion(conv.weight).detach().requires_grad_()
    tables = [*plan.taps.forward, *plan.taps.backward]
    second = weight.transpose(1, 2).contiguous().detach().requires_grad_()
    layouts = [layout.tensors for layout in conv.layouts]
    arguments = x, weight, second, conv.bias.row().detach(), tables, *layouts, loop
    # the gradient to the weight arrives at its transpose, so the numerical check of gradients is the test above
    torch.library.opcheck(torch.ops.gaugenet.tap_convolve.default, arguments)
    grad = torch.randn(x.shape[0], conv.out_type.dim, dtype=torch.float64)
    for needs in ((True, True), (True, False), (False, True)):
        backward = grad, x.detach(), second.detach(), tables[3:], layouts[1], *needs, loop
        torch.library.opcheck(torch.ops.gaugenet.tap_convolve_backward.default, backward)


def test_gradients_of_gradients():
    conv, x, plan = setting((C6, "1xregular", "1x1 + 1xregular"))
    x = x[:, :6].detach().requires_grad_()

    def run(x, weight):
        matrices = conv.expansion(weight)
        types = conv.in_type, conv.out_type
        return tap_convolve(x, matrices, None, types, conv.layouts, plan.taps, "gather")[:20].square()

    short = conv.weight.detach().requires_grad_()
    first = torch.autograd.grad(run(x, short).sum(), [x, short], create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), [x, short])

    def slow(x, weight):
        types = conv.in_type, conv.out_type
        return tap_convolve(x, conv.expansion(weight), None, types, conv.layouts, plan.taps, "reference")[:20].square()

    wanted = torch.autograd.grad(slow(x, short).sum(), [x, short], create_graph=True)
    wanted = torch.autograd.grad(sum(g.square().sum() for g in wanted), [x, short])
    for a, b in zip(second, wanted):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


def test_reversed_edges_that_share_a_tap():
    """A node with two neighbours that both see it to their right: no gathering backward pass, the same numbers."""
    group = groups.Trivial()
    a, b = FieldType(group, "2x0"), FieldType(group, "3x0")
    graph, _ = square(1, 4)
    graph.edge_index = torch.tensor([[0, 0], [1, 2]])
    graph.log, graph.transport = graph.log[:2] * 0 + torch.tensor([[0.3, 0.0]]).double(), graph.transport[:2]
    from gaugenet.kernels import square_taps

    conv = randomise(LatticeConv(a, b, square_taps(3))).double()
    plan = conv.plan(graph)
    assert plan.taps.backward is None
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: conv(x, graph), x)
    with pytest.raises(ValueError, match="reversed edges"):
        tap_convolve(x, conv.expansion(conv.weight), None, (a, b), conv.layouts, plan.taps, "gather")


def test_backends():
    conv, x, plan = setting(HEXAGONAL[1])
    with pytest.raises(ValueError, match="auto, reference, gather, cpu"):
        outputs(conv, x, plan, "numba")
    layout = TapLayout.of(conv.in_type)
    assert all(torch.equal(p, q) for p, q in zip(layout.tensors, conv.layouts[0].tensors))
    empty = tap_convolve(
        x[:0], conv.expansion(conv.weight), None, (conv.in_type, conv.out_type), conv.layouts, _empty(), "gather"
    )
    assert empty.shape == (0, conv.out_type.dim)


def _empty() -> lattice.TapPlan:
    none = lattice.TapTable(*[torch.zeros(0, 7, dtype=torch.int32)] * 2, torch.zeros(0, 7, dtype=torch.float64))
    return lattice.TapPlan(none, none)
