"""The one operator against the layers that are to come: attention, diffusion and nets of the log map need nothing new."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from gaugenet import FieldType, geometry, groups, kernels
from gaugenet.kernels import FixedColumns, FreeBasis, KernelExpansion
from gaugenet.nn import GaugeConv
from gaugenet.ops import Carrier, carry_sum, make_sum_plan
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import sphere_graph
from tests.helpers.networks import randomise

SO2 = groups.SO2()
FT = FieldType(SO2, "2x0 + 2x1 + 1x2")


class Attention(nn.Module):
    """A factor on the coefficients U: the softmax of invariant products of transported queries and keys."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale = GaugeConv(FT, FT), nn.Parameter(torch.tensor(0.7))

    def forward(self, x: torch.Tensor, graph) -> torch.Tensor:
        plan = graph.plan(self.conv)
        edges = plan.forward
        keys = FT.transform(edges.transport.to(x), x[edges.source])
        logits = (self.scale * (keys * x[edges.target]).sum(1)).exp()
        total = logits.new_zeros(x.shape[0]).index_add(0, edges.target, logits)
        factor = (logits / total[edges.target])[:, None]
        return self.conv(x, graph, plan._replace(forward=edges._replace(table=factor * edges.table.to(x))))


def test_attention_is_a_factor_on_the_table():
    graph = sphere_graph()
    layer = randomise(Attention()).double()
    assert equivariance_error(layer, graph, FT, FT) < 1e-12
    small = geometry.icosphere(0).to_graph()
    x = torch.randn(small.num_nodes, FT.dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, scale: layer(x, small), (x, layer.scale))


def test_a_table_put_into_a_plan_takes_plain_torch():
    """The transposed edges have the table that was there before, so the fused backward pass would be of that one."""
    graph, conv = sphere_graph(), randomise(GaugeConv(FT, FT, backend="cpu")).double()
    plan = conv.plan(graph)
    assert plan.paired
    twice = plan._replace(forward=plan.forward._replace(table=2 * plan.forward.table))
    x = torch.randn(graph.num_nodes, FT.dim, dtype=torch.float64, requires_grad=True)
    grads = [torch.autograd.grad(conv(x, graph, p).sum(), x)[0] for p in (twice, conv.plan(graph, conv.table(graph)))]
    conv.backend = "reference"
    (expected,) = torch.autograd.grad(conv(x, graph, twice).sum(), x)
    assert (grads[0] - expected).abs().max() <= 1e-12 * expected.abs().max()
    assert (grads[1] - expected).abs().max() > 0.1 * expected.abs().max()


def test_diffusion_is_a_sum_with_the_weights_of_the_connection_laplacian():
    """Explicit heat flow, f + t L f with L f(p) = sum over edges of w (rho(g) f(q) - f(p)): J = 1, nothing mixed."""
    graph = sphere_graph()
    weight = torch.rand(graph.num_edges, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    class Diffusion(nn.Module):
        def forward(self, x: torch.Tensor, graph) -> torch.Tensor:
            nodes, (source, target) = x.shape[0], graph.edge_index
            plan = make_sum_plan(source, target, graph.transport, weight, (nodes, nodes), SO2)
            degree = weight.new_zeros(nodes).index_add(0, target, weight)
            return x + 0.1 * (carry_sum(x, Carrier.of(FT), plan) - degree[:, None] * x)

    assert equivariance_error(Diffusion(), graph, FT, FT) < 1e-12
    x = torch.randn(graph.num_nodes, FT.dim, dtype=torch.float64)
    source, target = graph.edge_index
    flow = weight[:, None] * (FT.transform(graph.transport, x[source]) - x[target])
    expected = x + 0.1 * torch.zeros_like(x).index_add(0, target, flow)
    assert torch.allclose(Diffusion()(x, graph), expected, rtol=1e-12, atol=1e-12)


class NetColumns(FixedColumns):
    """Hidden units of a net of the log map (PointConv, LieConv): learnt, so that the table is made at every call."""

    def __init__(self, dim: int, size: int) -> None:
        self.module, self.size = nn.Sequential(nn.Linear(dim, 8), nn.SiLU(), nn.Linear(8, size)), size

    def functions(self, points: torch.Tensor) -> torch.Tensor:
        return self.module(points)


class Net:
    """The family of these kernels."""

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> KernelExpansion:
        columns = NetColumns(in_type.group.dim, 5)
        return KernelExpansion(in_type, out_type, partial(FreeBasis, size=5), columns=columns, dense=True)

    def on_taps(self, in_type, out_type, taps) -> KernelExpansion:
        raise TypeError("for graphs")


def test_nets_of_the_log_map_are_a_family():
    a = FieldType(groups.Trivial(), "3x0")
    graph = geometry.grid((4, 5)).to_graph()
    assert isinstance(Net(), kernels.KernelFamily)
    conv = GaugeConv(a, a, kernel=Net()).double()
    x = torch.randn(graph.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    weights = list(conv.radial.parameters())
    assert {name.split(".")[0] for name in conv.state_dict()} == {"weight", "self_interaction", "bias", "radial"}
    assert torch.autograd.gradcheck(lambda x, *_: conv(x, graph), (x, *weights))
    # The definition: sum over edges of w K(log / radius) f(q), K of the net.
    source, target = graph.edge_index
    kernel = conv.kernel(graph.log / graph.radius[target, None])
    out = torch.zeros_like(x).index_add(0, target, graph.weight[:, None] * torch.einsum("eoi,ei->eo", kernel, x[source]))
    mean = graph.weight.new_zeros(len(x)).index_add(0, target, graph.weight) / torch.bincount(target)
    out = out + mean[:, None] * torch.einsum("oi,ni->no", conv.kernel(torch.zeros(1, 2).double())[0], x)
    expected = conv.bias(out + conv.self_interaction(x))
    assert torch.allclose(conv(x, graph), expected, rtol=1e-12, atol=1e-12)
