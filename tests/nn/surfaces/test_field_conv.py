"""Field convolution: the published formula by hand, frames, vectors without length, arguments."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups, kernels, nn
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import random_graph, sphere_graph
from tests.helpers.networks import randomise

SO2 = groups.SO2()
A, B = FieldType(SO2, "3x1"), FieldType(SO2, "2x1")


def as_complex(x: torch.Tensor) -> torch.Tensor:
    """(N, 2 C) component-major to (N, C)."""
    return torch.complex(*x.unflatten(-1, (2, -1)).unbind(-2))


def scattered(x: torch.Tensor, graph, coefficients: torch.Tensor, profile) -> torch.Tensor:
    """Mitchel et al. 2021, equations 4 and 7: out(p) = sum_q w F(e^{-i arg x_q} log_q p) e^{i phi_pq} x_q.

    Args:
        x: (N, C) complex. coefficients: (out, C, rings, 2 B + 1) of e^{i m theta}, m = -B..B.
    """
    source, target = graph.edge_index
    back = -torch.einsum("eba,eb->ea", graph.transport, graph.log)  # log_q(p), in the frame of q
    theta = torch.atan2(back[:, 1], back[:, 0])
    phi = torch.atan2(graph.transport[:, 1, 0], graph.transport[:, 0, 0])
    radial = profile(graph.log.norm(dim=1) / graph.radius[target]) * graph.weight[:, None]
    largest = coefficients.shape[-1] // 2
    out = torch.zeros(len(x), coefficients.shape[0], dtype=x.dtype)
    for m in range(-largest, largest + 1):
        seen = x[source] * torch.exp(1j * m * (theta[:, None] - x[source].angle())) * torch.exp(1j * phi)[:, None]
        out.index_add_(0, target, torch.einsum("er,ocr,ec->eo", radial + 0j, coefficients[..., m + largest], seen))
    return out


@pytest.mark.parametrize("frequency", [0, 1, 2, 3])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_formula(frequency, backend):
    """Some filter, of as many real parameters as the published ones, gives the output for any field."""
    profile = kernels.LinearRings(3, equal_area=True, cutoff=False)
    graph, single = random_graph(SO2), FieldType(SO2, "1x1")
    layer = nn.FieldConv(
        A, single, profile, frequency, False, quadrature=None, self_interaction=False, backend=backend
    ).double()
    assert layer.conv.weight.numel() == 3 * 3 * 2 * (2 * frequency + 1)
    graph.area = None
    x, other = (torch.randn(graph.num_nodes, A.dim, dtype=torch.float64) for _ in range(2))

    def out(field):  # without what the centre sends to itself, which has no direction
        seen = layer.directions(field)
        own = torch.einsum("nj,ni,jio->no", layer.plan(graph).forward.node_table, seen, layer.conv.expansion(layer.conv.weight))
        return as_complex(layer(field, graph) - own)[:, 0]

    # The published form is linear in the filter: solve for it on one field, and see it on another.
    basis = torch.eye(3 * 3 * (2 * frequency + 1), dtype=torch.complex128).view(-1, 3, 3, 2 * frequency + 1)
    spread, check = (scattered(as_complex(f), graph, basis, profile) for f in (x, other))
    more = torch.linalg.lstsq(spread, out(x)[:, None])
    wide = [torch.randn(graph.num_nodes, A.dim, dtype=torch.float64) for _ in range(4)]
    rows = torch.cat([scattered(as_complex(f), graph, basis, profile) for f in wide])
    solution = torch.linalg.lstsq(rows, torch.cat([out(f) for f in wide])[:, None]).solution
    assert torch.allclose((check @ solution)[:, 0], out(other), rtol=1e-9, atol=1e-9)
    assert more.solution.shape == solution.shape


@pytest.mark.parametrize(
    "group, a, b",
    [
        (SO2, "3x1", "2x1"),
        (SO2, "2x0 + 2x1 + 2x2", "2x0 + 3x1 + 1x3"),
        (groups.O2(), "3x0 + 2x0- + 2x1", "2x0 + 1x0- + 3x2"),
        (groups.Cyclic(6), "1x1 + 1xregular + 1x3", "1x1 + 1xregular"),
        (groups.Dihedral(4), "2x0 + 2x1", "1xregular + 1x1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("frequency", [1, 3])
def test_frames_do_not_matter(group, a, b, frequency):
    a, b = FieldType(group, a), FieldType(group, b)
    layer, graph = randomise(nn.FieldConv(a, b, max_frequency=frequency)).double(), random_graph(group)
    for module in (layer.train(), layer.eval()):
        assert equivariance_error(module, graph, a, b) < 1e-12


def test_not_linear_but_homogeneous():
    graph = sphere_graph()
    layer = randomise(nn.FieldConv(A, B, bias=False)).double()
    x, y = (torch.randn(graph.num_nodes, A.dim, dtype=torch.float64) for _ in range(2))
    assert torch.allclose(layer(3 * x, graph), 3 * layer(x, graph), rtol=1e-9, atol=1e-9)
    assert (layer(x + y, graph) - layer(x, graph) - layer(y, graph)).abs().max() > 0.1
    assert not layer(0 * x, graph).any()


def test_gradients_where_the_field_is_zero():
    graph = geometry.icosphere(0).to_graph()
    layer = randomise(nn.FieldConv(FieldType(SO2, "1x1"), FieldType(SO2, "1x0 + 1x1"), max_frequency=2)).double()
    x = torch.zeros(graph.num_nodes, 2, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(layer(x, graph).square().sum(), x)
    assert grad.isfinite().all()


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradients(backend):
    graph = geometry.icosphere(0).to_graph()
    layer = randomise(
        nn.FieldConv(FieldType(SO2, "2x1"), FieldType(SO2, "1x0 + 1x1"), max_frequency=2, backend=backend)
    ).double()
    x = torch.randn(graph.num_nodes, 4, dtype=torch.float64, requires_grad=True)
    weight = layer.conv.weight.detach().clone().requires_grad_()

    def function(x, weight):
        return torch.func.functional_call(layer, {"conv.weight": weight}, (x, graph))

    assert torch.autograd.gradcheck(function, (x, weight), atol=1e-6)
    assert torch.autograd.gradgradcheck(function, (x, weight), atol=1e-6)


def test_every_argument_matters():
    graph, x = sphere_graph(), torch.randn(162, A.dim, dtype=torch.float64)
    made, out = {}, FieldType(SO2, "1x0 + 2x1")
    variants: list[dict] = [{}, {"radial": 3}, {"max_frequency": 2}, {"quadrature": None}, {"eps": 1.0}, {"bias": False}]
    variants += [{"self_interaction": False}, {"kernel": kernels.HarmonicRings(2)}]
    for options in variants:
        torch.manual_seed(0)
        layer = nn.FieldConv(A, out, **options).double()
        with torch.no_grad():
            for p in layer.parameters():
                p.add_(0.3)
        made[str(options)] = layer(x, graph)
    first = made.pop("{}")
    assert all((first - other).abs().max() > 1e-3 for other in made.values())
    layer = nn.FieldConv(A, out, backend="reference")
    assert layer.backend == layer.conv.backend == "reference"
    layer.backend = "auto"
    assert layer.conv.backend == "auto" and layer.quadrature == 3


def test_refused():
    space = FieldType(groups.SO3(), "1x1")
    with pytest.raises(ValueError, match="for surfaces"):
        nn.FieldConv(space, space)
    with pytest.raises(ValueError, match="put them into kernel="):
        nn.FieldConv(A, B, 3, kernel=kernels.HarmonicRings())
