"""Harmonic convolution on surfaces: the formula by hand at every order, its place among all kernels, frames, arguments."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups, kernels, nn
from gaugenet.kernels.published.harmonic_rings import HarmonicBasis
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import random_graph, sphere_graph
from tests.helpers.networks import randomise

SO2, O2 = groups.SO2(), groups.O2()
A, B = FieldType(SO2, "3x0 + 2x1 + 1x2 + 2x3"), FieldType(SO2, "2x0 + 1x1 + 3x2")


def complex_numbers(block: torch.Tensor) -> torch.Tensor:
    """(N, n, mul) to (N, mul); fields of order 0 are real."""
    return torch.complex(block[:, 0], block[:, 1] if block.shape[1] == 2 else torch.zeros_like(block[:, 0]))


def by_hand(layer: nn.HarmonicSurfaceConv, x: torch.Tensor, graph) -> torch.Tensor:
    """Order by order with complex numbers: hats on rings, a phase, e^{i (m - n) theta}, transport by e^{i n phi}."""
    source, target = graph.edge_index
    theta = torch.atan2(graph.log[:, 1], graph.log[:, 0])
    phi = torch.atan2(graph.transport[:, 1, 0], graph.transport[:, 0, 0])
    r, rings = graph.log.norm(dim=1) / graph.radius[target], layer.rings
    hats = (1 - (r[:, None] * (rings - 1) - torch.arange(rings)).abs()).clamp_min(0) * graph.weight[:, None]
    blocks = layer.in_type.split(x)
    sums = [torch.zeros(len(x), mul, dtype=torch.complex128) for mul, _ in layer.out_type.blocks]
    values, phases = layer.radial_profile, layer.phase_offset
    for i, o, shape, turned in layer.expansion.pairs:
        count = torch.Size(shape).numel()
        profile, values = values[:count].view(shape), values[count:]
        beta = torch.zeros(shape[-2:], dtype=torch.float64)
        if turned:
            beta, phases = phases[: beta.numel()].view(beta.shape), phases[beta.numel() :]
        n, m = layer.in_type.blocks[i][1].degree, layer.out_type.blocks[o][1].degree
        # Kernels have unit norm over the harmonics: one of a real number has half the square of one of two, and of a wave half.
        norm = ((2 if n and m else 1) * (2 if n != m else 1)) ** -0.5
        carried = complex_numbers(blocks[i])[source] * torch.exp(1j * n * phi)[:, None]
        message = torch.einsum("er,rab,ab,ea->eb", hats + 0j, profile + 0j, torch.exp(1j * beta), carried)
        sums[o].index_add_(0, target, norm * torch.exp(1j * (m - n) * theta)[:, None] * message)
    parts = [torch.stack([s.real, s.imag][: rep.dim], 1) for s, (_, rep) in zip(sums, layer.out_type.blocks)]
    return layer.out_type.join(parts)


@pytest.mark.parametrize("rings", [2, 4])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_formula(rings, backend):
    options = {"quadrature": None, "bias": False, "self_interaction": False, "backend": backend}
    layer, graph = randomise(nn.HarmonicSurfaceConv(A, B, rings, **options)).double(), random_graph(SO2)
    graph.area = None
    x = torch.randn(graph.num_nodes, A.dim, dtype=torch.float64)
    # The centre belongs to the first ring, with the mean weight of its neighbours; it has no direction.
    centre = layer.plan(graph).forward.node_table
    own = torch.einsum("nj,ni,jio->no", centre, x, layer.expansion(layer.kernel_weight()))
    assert torch.allclose(layer(x, graph), by_hand(layer, x, graph) + own, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "group, a, b",
    [
        (SO2, "3x0 + 2x1 + 2x2", "2x0 + 3x1 + 1x3"),
        (O2, "3x0 + 2x0- + 2x1", "2x0 + 1x0- + 3x2"),
        (groups.Cyclic(4), "2x0 + 1x1 + 1x2", "1x2 + 2x1 + 1x0"),
        (groups.Cyclic(6), "2x0 + 1xregular", "1xregular + 1x2"),
        (groups.Dihedral(4), "2x0 + 1xregular + 1x1", "1xregular + 1x0- + 1x1"),
        (groups.Reflection(), "2x0 + 2x0-", "2x0- + 1xregular"),
    ],
    ids=str,
)
def test_frames_do_not_matter(group, a, b):
    a, b = FieldType(group, a), FieldType(group, b)
    layer, graph = randomise(nn.HarmonicSurfaceConv(a, b, 3)).double(), random_graph(group)
    for module in (layer.train(), layer.eval()):
        assert equivariance_error(module, graph, a, b) < 1e-12


def test_transport_of_order_one_at_order_two_is_noticed():
    """What the published code does: order 2 turns like order 1."""
    type = FieldType(SO2, "2x2")
    layer, graph = randomise(nn.HarmonicSurfaceConv(type, type)).double(), sphere_graph()

    class Published(torch.nn.Module):
        def forward(self, x, graph):
            half = torch.atan2(graph.transport[:, 1, 0], graph.transport[:, 0, 0]) / 2
            wrong = graph.clone()
            wrong.transport = SO2.irrep(1)(torch.stack([half.cos(), -half.sin(), half.sin(), half.cos()], -1).view(-1, 2, 2))
            return layer(x, wrong)

    assert equivariance_error(layer, graph, type, type) < 1e-12
    assert equivariance_error(Published(), graph, type, type) > 0.1


def test_half_of_all_kernels():
    """Between orders n, m > 0 two of four, those that commute with i."""
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    for n in range(1, 4):
        for m in range(1, 4):
            found = HarmonicBasis(SO2.irrep(n), SO2.irrep(m), 3).coefficients
            every = kernels.SteerableBasis(SO2.irrep(n), SO2.irrep(m), n + m).coefficients
            assert len(found) == 2 and len(every) == 4
            left, right = torch.einsum("ab,kbcy->kacy", turn, found), torch.einsum("kacy,cb->kaby", found, turn)
            assert torch.allclose(left, right)


def test_equals_a_convolution_with_all_kernels():
    """The same function as a GaugeConv with polar kernels on the same rings."""
    graph = sphere_graph()
    layer = randomise(nn.HarmonicSurfaceConv(A, B, 3)).double()
    wide = nn.GaugeConv(A, B, kernel=kernels.Polar(kernels.LinearRings(3, cutoff=False))).double()
    # As many points as determine both; the kernels of the wide layer that are not there get zero.
    points = torch.randn(400, 2, dtype=torch.float64)
    points = points / points.norm(dim=1, keepdim=True) * torch.rand(400, 1, dtype=torch.float64)
    wanted = layer.kernel(points)
    spread = torch.func.vmap(wide.expansion)(torch.eye(wide.weight.numel(), dtype=torch.float64))
    matrix = torch.einsum("pj,wjio->poiw", wide.columns.functions(points), spread).flatten(0, 2)
    with torch.no_grad():
        wide.weight.copy_(torch.linalg.lstsq(matrix, wanted.flatten()[:, None]).solution[:, 0])
        wide.self_interaction.weight.copy_(layer.self_interaction.weight)
        wide.bias.value.copy_(layer.bias.value)
    x = torch.randn(graph.num_nodes, A.dim, dtype=torch.float64)
    assert torch.allclose(layer(x, graph), wide(x, graph), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradients(backend):
    graph = geometry.icosphere(0).to_graph()
    layer = randomise(
        nn.HarmonicSurfaceConv(FieldType(SO2, "1x0 + 1x1"), FieldType(SO2, "1x0 + 1x2"), backend=backend)
    ).double()
    x = torch.randn(graph.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    names = ["radial_profile", "phase_offset"]
    weights = [dict(layer.named_parameters())[name].detach().clone().requires_grad_() for name in names]

    def function(x, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights)), (x, graph))

    assert torch.autograd.gradcheck(function, (x, *weights), atol=1e-6)
    assert torch.autograd.gradgradcheck(function, (x, *weights), atol=1e-6)


def test_every_argument_matters():
    graph, x = sphere_graph(), torch.randn(162, A.dim, dtype=torch.float64)
    made = {}
    variants = [{}, {"phase": False}, {"quadrature": None}, {"rings": 3}, {"bias": False}, {"self_interaction": False}]
    for options in variants:
        torch.manual_seed(0)
        layer = nn.HarmonicSurfaceConv(A, B, **options).double()
        with torch.no_grad():
            for p in layer.parameters():
                p.add_(0.3)
        made[str(options)] = layer(x, graph)
    first = made.pop("{}")
    assert all((first - other).abs().max() > 1e-3 for other in made.values())
    assert nn.HarmonicSurfaceConv(A, B, backend="reference").backend == "reference"
    assert nn.HarmonicSurfaceConv(A, B, corners="zero").corners_in.mode == "zero"


def test_other_dimensions_are_refused():
    space = FieldType(groups.SO3(), "1x0 + 1x1")
    with pytest.raises(ValueError, match="for surfaces"):
        nn.HarmonicSurfaceConv(space, space)
    with pytest.raises(TypeError, match="CircularHarmonic"):
        nn.GridConv(A, B, 3, 1, kernel=kernels.HarmonicRings())
