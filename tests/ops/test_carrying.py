from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.ops import Carrier, EdgePlan, carry_sum, make_sum_plan

CASES = [
    (groups.SO2(), "3x0 + 17x1 + 2x3"),
    (groups.O2(), "2x0 + 3x0- + 5x2"),
    (groups.Cyclic(5), "2xregular + 1x0"),
    (groups.Dihedral(3), "18xregular"),
    (groups.SO3(), "2x0 + 1x1"),  # no path in the fused loop
]


def plan_of(group, nodes: int = 900, targets: int = 300, seed: int = 0) -> EdgePlan:
    """Some targets without members; factors of either sign."""
    g = torch.Generator().manual_seed(seed)
    cluster = torch.randint(0, targets - 2, (nodes,), generator=g)
    factor = torch.randn(nodes, generator=g, dtype=torch.float64)
    return make_sum_plan(torch.arange(nodes), cluster, group.sample(nodes, generator=g), factor, (nodes, targets), group)


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_fused_equals_plain(case, back, threads, monkeypatch):
    """Values, gradients and the gradients of gradients, down to fewer nodes and up to more."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    group, text = case
    type, plan = FieldType(group, text), plan_of(group)
    plan = EdgePlan(plan.backward, plan.forward) if back else plan
    sizes = (300, 900) if back else (900, 300)
    x = torch.randn(sizes[0], type.dim, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(sizes[1], type.dim, dtype=torch.float64, requires_grad=True)
    results = []
    for backend in ("auto", "reference"):
        monkeypatch.setenv("GAUGENET_BACKEND", backend)
        out = carry_sum(x, Carrier.of(type), plan)
        (grad,) = torch.autograd.grad(out, x, upstream, create_graph=True)
        (second,) = torch.autograd.grad(grad.square().sum(), upstream)
        results.append((out, grad, second))
    for fused, plain in zip(*results):
        assert fused.shape == plain.shape
        assert (fused - plain).abs().max() <= 1e-12 * plain.abs().max()


def test_half_precision_and_gradients_to_the_factors():
    group = groups.SO2()
    type, plan = FieldType(group, "4x0 + 4x1"), plan_of(group)
    x = torch.randn(900, type.dim, dtype=torch.float64)
    exact = carry_sum(x, Carrier.of(type), plan)
    rough = carry_sum(x.bfloat16(), Carrier.of(type), plan)
    assert rough.dtype == torch.bfloat16 and (rough.double() - exact).norm() < 0.02 * exact.norm()
    table = plan.forward.table.clone().requires_grad_()
    learnt = plan._replace(forward=plan.forward._replace(table=table))
    carry_sum(x, Carrier.of(type), learnt).sum().backward()
    assert table.grad.abs().max() > 0


def test_the_operator_is_well_formed():
    group = groups.Cyclic(4)
    type, plan = FieldType(group, "2xregular + 1x1"), plan_of(group, 40, 12)
    carrier = Carrier.of(type)
    x = torch.randn(40, type.dim, requires_grad=True)
    torch.library.opcheck(
        torch.ops.gaugenet.carry_sum.default,
        (x, 1, list(plan.forward), list(plan.backward), carrier.blocks, carrier.permutations, "cpu"),
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )
