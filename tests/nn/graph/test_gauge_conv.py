from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from gaugenet import FieldType, groups, kernels
from gaugenet.nn import GaugeConv
from gaugenet.testing import assert_gauge_equivariant, equivariance_error
from tests.helpers.graphs import CASES, random_graph, sphere_graph
from tests.helpers.networks import randomise


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
def test_is_gauge_equivariant(case, dtype):
    group, a, b = case
    in_type, out_type = FieldType(group, a), FieldType(group, b)
    conv = randomise(GaugeConv(in_type, out_type)).to(dtype)
    assert_gauge_equivariant(conv, random_graph(group), in_type, out_type, tolerance=1e-10 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("quadrature", [None, 0, 1, 2, 3])
def test_is_gauge_equivariant_on_a_surface(quadrature):
    types = [FieldType(groups.SO2(), s) for s in ("3x0 + 2x1", "2x0 + 2x1 + 2x2")]
    conv = randomise(GaugeConv(*types, quadrature=quadrature)).double()
    assert equivariance_error(conv, sphere_graph(), *types) < 1e-11


def test_a_wrong_transport_is_noticed():
    """The equivariance test can fail: features that are not carried along break it."""
    types = [FieldType(groups.SO2(), "2x1"), FieldType(groups.SO2(), "2x1")]
    conv = randomise(GaugeConv(*types)).double()

    class NoTransport(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv

        def forward(self, x, graph):
            graph = graph.clone()
            graph.transport = torch.eye(2, dtype=x.dtype).expand_as(graph.transport)
            return self.conv(x, graph)

    assert equivariance_error(NoTransport(), sphere_graph(), *types) > 0.1


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
def test_equals_the_sum_over_edges(case):
    """Aggregate-first against the definition: a kernel matrix per edge, from the steerable basis alone."""
    group, a, b = case
    in_type, out_type = FieldType(group, a), FieldType(group, b)
    graph = random_graph(group)
    conv = randomise(GaugeConv(in_type, out_type, radial=3, max_frequency=2, quadrature=None)).double()
    x = torch.randn(graph.num_nodes, in_type.dim, dtype=torch.float64)
    source, target = graph.edge_index
    y = in_type.transform(graph.transport, x[source])
    radial = conv.radial(graph.log.norm(dim=1))
    harmonics = kernels.harmonics(graph.log, 2)
    basis = conv.expansion(conv.weight).unflatten(0, (3, -1))
    matrices = torch.einsum("e,eb,ey,byio->eio", graph.weight, radial, harmonics, basis)
    expected = torch.zeros(graph.num_nodes, out_type.dim, dtype=torch.float64)
    expected = expected.index_add(0, target, torch.einsum("ei,eio->eo", y, matrices))
    zero = torch.zeros(1, group.dim, dtype=torch.float64)
    ball = {2: torch.pi, 3: 4 * torch.pi / 3}[group.dim]
    centre = torch.einsum(
        "n,b,y,byio,ni->no",
        graph.area / ball,
        conv.radial(torch.zeros(1, dtype=torch.float64))[0],
        kernels.harmonics(zero, 2)[0],
        basis,
        x,
    )
    expected = conv.bias(expected + centre + conv.self_interaction(x))
    assert torch.allclose(conv(x, graph), expected, rtol=1e-11, atol=1e-11)


def test_the_readable_path_equals_the_fused_one():
    types = [FieldType(groups.SO2(), s) for s in ("3x0 + 2x1", "2x0 + 2x2")]
    conv, graph = randomise(GaugeConv(*types)).double(), sphere_graph()
    x = torch.randn(graph.num_nodes, types[0].dim, dtype=torch.float64, requires_grad=True)
    fused = conv(x, graph)
    mask = torch.ones(graph.edge_index.shape[1], dtype=torch.float64)
    set_masks(conv, mask, graph.edge_index, apply_sigmoid=False)  # what PyG's explainers do
    readable = conv(x, graph)
    set_masks(conv, 0 * mask, graph.edge_index, apply_sigmoid=False)
    assert not torch.allclose(conv(x, graph), readable)
    clear_masks(conv)
    assert torch.equal(conv(x, graph), fused)
    assert torch.allclose(fused, readable, rtol=1e-12, atol=1e-12)
    g1, g2 = (torch.autograd.grad(y.square().sum(), x)[0] for y in (fused, readable))
    assert torch.allclose(g1, g2, rtol=1e-11, atol=1e-11)


def test_arguments_matter():
    so2 = groups.SO2()
    a, b = FieldType(so2, "2x0 + 1x1"), FieldType(so2, "3x0 + 1x2")
    assert GaugeConv(a, b, radial=2).weight.numel() * 2 == GaugeConv(a, b, radial=4).weight.numel()
    assert GaugeConv(a, b, radial=kernels.BSpline(3)).radial.num == 3
    assert GaugeConv(a, b).max_frequency == 3
    assert GaugeConv(a, b, max_frequency=0).weight.numel() < GaugeConv(a, b).weight.numel()
    assert GaugeConv(a, b, bias=False).bias is None
    assert GaugeConv(a, b).bias.value.numel() == 3  # only the scalars
    assert GaugeConv(a, b, self_interaction=False).self_interaction is None
    graph, x = sphere_graph(), torch.randn(162, a.dim)
    conv = GaugeConv(a, b)
    outputs = []
    for degree in (None, 0, 2):
        conv.quadrature = degree
        outputs.append(conv(x, graph))
    assert not torch.allclose(outputs[0], outputs[1]) and not torch.allclose(outputs[1], outputs[2])


def test_a_learnt_profile_gets_gradients():
    so2 = groups.SO2()
    a = FieldType(so2, "2x0 + 1x1")
    conv = GaugeConv(a, a, radial=kernels.RadialMLP(3))
    conv(torch.randn(162, a.dim), sphere_graph()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in conv.radial.parameters())


def test_gradients_against_finite_differences():
    a, b = (FieldType(groups.SO2(), s) for s in ("1x0 + 1x1", "1x1 + 1x2"))
    graph = random_graph(groups.SO2(), 8, 4)
    conv = randomise(GaugeConv(a, b, radial=2)).double()
    x = torch.randn(8, a.dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: conv(x, graph), x)
    assert torch.autograd.gradgradcheck(lambda x: conv(x, graph).square(), x)


def test_compiles_without_graph_breaks():
    a = FieldType(groups.SO2(), "2x0 + 1x1")
    conv, graph = GaugeConv(a, a, radial=2), sphere_graph().float()
    x = torch.randn(162, a.dim)
    plan = conv.plan(graph)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, graph, plan), conv(x, graph, plan), atol=1e-5)


def test_errors_say_what_was_expected():
    so2 = groups.SO2()
    a = FieldType(so2, "2x0 + 1x1")
    conv, graph = GaugeConv(a, a), sphere_graph()
    with pytest.raises(ValueError, match=r"\(N, 4\).*\(162, 5\)"):
        conv(torch.randn(162, 5), graph)
    with pytest.raises(TypeError, match="float64"):
        conv(torch.randn(162, 4).double(), graph)
    with pytest.raises(ValueError, match="160 nodes for a graph of 162"):
        conv(torch.randn(160, 4), graph)
    with pytest.raises(TypeError, match="one group"):
        GaugeConv(a, FieldType(groups.O2(), "2x0"))
    with pytest.raises(TypeError, match="Tensor"):
        conv(np.zeros((162, 4)), graph)
    del graph.transport
    with pytest.raises(ValueError, match="transport"):
        conv(torch.randn(162, 4), graph)
