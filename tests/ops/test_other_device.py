"""Once plans are there, nothing crosses between the host and a GPU: on a device that counts, under Triton's interpreter."""

from __future__ import annotations

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before the kernels are defined

pytest.importorskip("triton", reason="the GPU loop is written in Triton, which is released for Linux only")

import gaugenet.ops.cuda.kernels as kernels
from gaugenet import FieldType, groups
from gaugenet.nn import FieldNorm, GatedNonlinearity, GaugeConv, NormNonlinearity, RegularNonlinearity
from gaugenet.ops import Carrier, EdgeList, EdgePlan, carry_sum, make_sum_plan
from tests.helpers.graphs import random_graph
from tests.helpers.networks import randomise
from tests.helpers.other_device import DEVICE, Border, Elsewhere, Launcher

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="the kernels are compiled here, and take no tensors of the host"
)


@pytest.fixture
def launchers(monkeypatch) -> dict[str, Launcher]:
    found = {name: Launcher(getattr(kernels, name)) for name in ("aggregate", "combine", "mix_on_chip")}
    for name, launcher in found.items():
        monkeypatch.setattr(kernels, name, launcher)
    return found


def moved(plan: EdgePlan) -> EdgePlan:
    """A plan on the other device."""
    sides = [EdgeList(*(t.to(DEVICE) for t in side)) for side in (plan.forward, plan.backward)]
    return plan._replace(forward=sides[0], backward=sides[1], turned=sides[0].table)


def here(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.here if isinstance(tensor, Elsewhere) else tensor


@pytest.mark.parametrize("loop", ["cuda", "cuda-on-chip"])
@pytest.mark.parametrize(
    "group, text", [(groups.SO2(), "2x0 + 3x1"), (groups.O2(), "2x0 + 1x0- + 2x1"), (groups.Cyclic(4), "2xregular + 1x1")]
)
def test_a_convolution(group, text, loop, launchers):
    """The first step copies its tables; later ones nothing, forth and back, and no number is waited for."""
    if loop == "cuda-on-chip" and "regular" in text:
        pytest.skip("the loop on the chip takes irreps alone")
    type, graph = FieldType(group, text), random_graph(group, 12, 4).float()
    conv = randomise(GaugeConv(type, type, radial=1))
    x = torch.randn(12, type.dim)
    plan, results = conv.plan(graph), []
    expected = [y := conv(x.requires_grad_(), graph), *torch.autograd.grad(y.sin().sum(), [x, *conv.parameters()])]
    conv.backend = loop
    with Border() as border:
        conv.to(DEVICE)
        graph, plan, x = graph.to(DEVICE), moved(plan), x.detach().to(DEVICE).requires_grad_()
        counts = []
        for _ in range(2):
            border.counts.clear()
            out = conv(x, graph, plan)
            results = [out, *torch.autograd.grad(out.sin().sum(), [x, *conv.parameters()])]
            counts.append(border.counts.total())
    assert not counts[1], border.counts
    assert counts[0] > 0  # the border does count
    for e, r in zip(expected, results):
        assert (e - here(r)).abs().max() <= 1e-5 * e.abs().max()


@pytest.mark.parametrize("identity", [True, False])
def test_transporters_that_do_nothing(identity, launchers):
    """The tables of features that are carried as they are belong to the layer as well."""
    group = groups.SO2()
    type, graph = FieldType(group, "2x0 + 3x1"), random_graph(group, 12, 4).float()
    graph.transport = torch.eye(2).expand(len(graph.transport), 2, 2).clone()
    conv = GaugeConv(type, type, radial=1, backend="cuda")
    plan = conv.plan(graph)._replace(identity=identity)
    with Border() as border:
        conv.to(DEVICE)
        graph, plan, x = graph.to(DEVICE), moved(plan), torch.randn(12, type.dim).to(DEVICE)
        for _ in range(2):
            border.counts.clear()
            conv(x, graph, plan)
    assert not border.counts


@pytest.mark.parametrize("layer", [GatedNonlinearity, NormNonlinearity, RegularNonlinearity, FieldNorm])
def test_pointwise_layers(layer):
    """No copy and no wait, at their first call either."""
    net = layer(FieldType(groups.SO2(), "2x0 + 2x1"))
    with Border() as border:
        net.to(DEVICE)
        x = torch.randn(12, net.in_type.dim).to(DEVICE).requires_grad_()
        border.counts.clear()
        net(x).sin().sum().backward()
    assert not border.counts


@pytest.mark.parametrize("sizes", [(30, 8), (8, 30)])
@pytest.mark.parametrize("text", ["2x0 + 3x1", "65x0"])
def test_sums_over_clusters(sizes, text, launchers, monkeypatch):
    """Pooling and unpooling: one kernel a pass and no atomic addition; two fields on the graph."""
    monkeypatch.setenv("GAUGENET_BACKEND", "cuda")
    group = groups.SO2()
    type, count = FieldType(group, text), max(sizes)
    ends = [torch.arange(n) if n == count else torch.randint(0, n - 1, (count,)) for n in sizes]
    plan = make_sum_plan(*ends, group.sample(count).float(), torch.rand(count), sizes, group)
    x, carrier = torch.randn(2 * sizes[0], type.dim, requires_grad=True), Carrier.of(type)
    monkeypatch.setenv("GAUGENET_BACKEND", "reference")
    expected = [y := carry_sum(x, carrier, plan, 2), *torch.autograd.grad(y.sin().sum(), x)]
    monkeypatch.setenv("GAUGENET_BACKEND", "cuda")
    with Border() as border:
        plan, x = moved(plan), x.detach().to(DEVICE).requires_grad_()
        for _ in range(2):
            border.counts.clear()
            out = carry_sum(x, carrier, plan, 2)
            results = [out, *torch.autograd.grad(out.sin().sum(), x)]
    assert not border.counts and launchers["aggregate"].launches == 4
    for e, r in zip(expected, results):
        assert (e - here(r)).abs().max() <= 1e-5 * e.abs().max()
