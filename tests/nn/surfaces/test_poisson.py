"""The screened Poisson equation: exact on the sphere, to the antipode, with gradients; the factor and the other way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups, nn
from gaugenet.nn.surfaces.laplacian import connection_laplacians
from gaugenet.spectral.small_d import small_d
from gaugenet.testing import equivariance_error
from tests.helpers.harmonics import sphere_case
from tests.helpers.meshes import bumpy

SO2 = groups.SO2()


def t(blocks: str, group=SO2) -> FieldType:
    return FieldType(group, blocks)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_exact_on_harmonics(order):
    errors = []
    for level in (3, 4):
        graph, field = sphere_case(level, order)
        out = nn.PoissonSolve(t(f"1x{order}"), 0.5, unit="length").double()(field(torch.ones_like), graph)
        wanted = field(lambda e: 1 / (e + 0.5))
        errors.append(float((out - wanted).norm() / wanted.norm()))
    assert errors[1] < 4e-3 and errors[0] / errors[1] > 2**1.9


@pytest.mark.parametrize("order", [0, 1, 2])
def test_reaches_the_other_side(order):
    """The response to a peak at a point, beyond the equator: sum over l of (2 l + 1) / 4 pi d^l_nn(theta) / (eigenvalue + 1).

    A convolution of one ring has nothing there. At the antipode itself that of orders n > 0 is zero, there being no direction.
    """
    graph, type = geometry.icosphere(4, rings=1).to_graph(), t(f"1x{order}")
    x = torch.zeros(graph.num_nodes, type.dim, dtype=torch.float64)
    x[0, 0] = 1 / connection_laplacians(graph, type.blocks[0][1])[0][1][0]
    layer = nn.PoissonSolve(type)
    out = layer.double()(x, graph).norm(dim=1).numpy()
    cosine = (graph.pos @ graph.pos[0]).clamp(-1, 1)
    far = int(cosine.argmin())
    beyond = np.flatnonzero((cosine < -0.2) & (cosine > -0.9))[::40]
    conv = nn.GaugeConv(type, type).double()(x, graph)
    assert conv[0].abs().max() > 0 and conv[beyond].abs().max() == 0 and conv[far].abs().max() == 0
    wanted = np.zeros(len(beyond))
    for l, d in enumerate(small_d(300, order, np.arccos(cosine[beyond].numpy()))):
        if l >= order:  # summed with falling weights, because the series alternates
            wanted += (1 - l / 301) * (2 * l + 1) / (4 * np.pi) * d[l + order] / (l * (l + 1) - order**2 + 1.0)
    assert np.allclose(out[beyond], np.abs(wanted), rtol=0.02, atol=2e-5)
    assert out[beyond].min() > 1e-4 and (out[far] > 1e-2 if order == 0 else out[far] < 1e-12)


@pytest.mark.parametrize(
    ("group", "make", "blocks"),
    [
        (SO2, lambda: geometry.icosphere(3, rings=1), "2x0 + 2x1 + 1x2"),
        (groups.O2(), lambda: geometry.icosphere(2, rings=1, structure="O2"), "1x0 + 1x0- + 2x1"),
        (groups.Cyclic(6), lambda: geometry.icosahedron(2), "1x0 + 1x1 + 1xregular"),
        (groups.Reflection(), lambda: geometry.moebius(3, 9), "1x0 + 1x0- + 1xregular"),
    ],
    ids=lambda value: str(value) if isinstance(value, groups.Group) else "",
)
def test_gauge_equivariance(group, make, blocks):
    type = t(blocks, group)
    assert equivariance_error(nn.PoissonSolve(type).double(), make().to_graph(), type, type) < 1e-12


def test_solves_the_equation():
    graph = geometry.mesh(*bumpy(2), rings=1).to_graph()
    for order, shift in ((0, 1.0), (1, 0.3), (2, 5.0)):
        type = t(f"3x{order}")
        x = type.randn(graph.num_nodes, dtype=torch.float64)
        u = nn.PoissonSolve(type, shift, unit="length").double()(x, graph)
        ((matrix, mass),) = connection_laplacians(graph, SO2.irrep(order))
        u, f = (a.view(graph.num_nodes, -1, 3).numpy() for a in (u, x))
        u, f = (a[:, 0] + 1j * a[:, -1] * (order > 0) for a in (u, f))
        assert np.abs(matrix @ u + shift * mass[:, None] * u - mass[:, None] * f).max() < 1e-12


def test_units():
    """The size of a shape does not matter in units of the area; constants go to constants / shift."""
    vertices, faces = bumpy(2)
    one, two = (geometry.mesh(s * vertices, faces, rings=1).to_graph() for s in (1.0, 2.0))
    x, area, length = torch.randn(one.num_nodes, 3, dtype=torch.float64), nn.PoissonSolve(t("1x0 + 1x1"), 2.0), t("1x0 + 1x1")
    assert torch.allclose(area(x, one), area(x, two), rtol=1e-10, atol=1e-12)
    a, b = (nn.PoissonSolve(length, s, unit="length") for s in (2.0, 0.5))
    assert torch.allclose(4 * a(x, one), b(x, two), rtol=1e-10, atol=1e-12)
    constant = torch.ones(one.num_nodes, 1, dtype=torch.float64)
    assert torch.allclose(nn.PoissonSolve(t("1x0"), 4.0)(constant, one), constant / 4, rtol=1e-12)


def test_gradients():
    type, graph = t("1x0 + 2x1"), geometry.icosphere(1, rings=1).to_graph()
    layer = nn.PoissonSolve(type)
    x = type.randn(graph.num_nodes, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, graph), x)
    assert torch.autograd.gradgradcheck(lambda x: layer(x, graph).square(), x)
