"""Gradient, divergence, curl and Laplacian: exact on polynomials, second order on the sphere, adjoint to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, GaugeGraph, geometry, groups, kernels, nn
from gaugenet.spectral.harmonics import tangent_harmonics
from gaugenet.testing import equivariance_error
from tests.helpers.meshes import torus
from tests.helpers.networks import randomise

SO2, O2 = groups.SO2(), groups.O2()


def t(blocks: str, group=SO2) -> FieldType:
    return FieldType(group, blocks)


@pytest.fixture(scope="module")
def plane() -> GaugeGraph:
    """Irregular points of the plane, in a neighbourhood of which polynomials are themselves."""
    points = np.random.default_rng(0).uniform(-1, 1, (150, 2))
    return geometry.points(points, neighbours=24).to_graph()


def test_exact_on_polynomials_of_the_plane(plane):
    """f = (1 + x - y)^2 (2 + x), v = (x y, x^2 - y^3), S = (x^2, x y): by hand."""
    x, y = plane.pos.T
    f = (1 + x - y) ** 2 * (2 + x)
    gradient = torch.stack([2 * (1 + x - y) * (2 + x) + (1 + x - y) ** 2, -2 * (1 + x - y) * (2 + x)], 1)
    assert torch.allclose(nn.Gradient(t("1x0"))(f[:, None], plane), gradient, atol=1e-9)
    turned = torch.stack([-gradient[:, 1], gradient[:, 0]], 1)
    assert torch.allclose(nn.Curl(t("1x0"))(f[:, None], plane), turned, atol=1e-9)
    laplacian = 4 * (2 + x) + 4 * (1 + x - y)
    assert torch.allclose(nn.Laplacian(t("1x0"))(f[:, None], plane)[:, 0], laplacian, atol=1e-8)
    v = torch.stack([x * y, x**2 - y**3], 1)
    assert torch.allclose(nn.Divergence(t("1x1"))(v, plane)[:, 0], y - 3 * y**2, atol=1e-9)
    assert torch.allclose(nn.Curl(t("1x1"))(v, plane)[:, 0], 2 * x - x, atol=1e-9)
    strain = torch.stack([(y + 3 * y**2) / 2, (2 * x + x) / 2], 1)
    assert torch.allclose(nn.Gradient(t("1x1"))(v, plane), strain, atol=1e-9)
    assert torch.allclose(nn.Laplacian(t("1x1"))(v, plane), torch.stack([0 * x, 2 - 6 * y], 1), atol=1e-8)
    s = torch.stack([x**2, x * y], 1)
    assert torch.allclose(nn.Divergence(t("1x2"))(s, plane), torch.stack([2 * x + x, y - 0 * x], 1), atol=1e-9)


def test_the_degree_is_that_of_the_polynomials(plane):
    x, y = plane.pos.T
    f = (x**3 - 2 * x * y**2)[:, None]
    wanted = torch.stack([3 * x**2 - 2 * y**2, -4 * x * y], 1)
    errors = [(nn.Gradient(t("1x0"), degree=degree)(f, plane) - wanted).abs().max() for degree in (2, 3)]
    assert errors[1] < 1e-9 < 1e-4 < errors[0]


def sphere_errors(count: int) -> dict[str, float]:
    """On irregular points of the unit sphere, against f = (a x)^2, its gradient, and that one's derivatives."""
    points = torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(0)).double(), dim=1)
    for _ in range(8):  # spread them: a step away from the nearest
        near = torch.cdist(points, points).topk(7, largest=False).indices[:, 1:]
        away = (points[:, None] - points[near]) / (points[:, None] - points[near]).norm(dim=-1, keepdim=True) ** 2
        points = torch.nn.functional.normalize(points + 0.3 / count * away.sum(1), dim=1)
    geom = geometry.sphere(points.numpy())
    graph, a = geom.to_graph(), torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    p, frame, along = graph.pos, graph.frame, graph.pos @ a
    f = along[:, None] ** 2
    gradient = torch.einsum("nai,na->ni", frame, 2 * along[:, None] * (a - along[:, None] * p))
    laplacian = 2 * a @ a - 6 * f
    found = {
        "gradient": (nn.Gradient(t("1x0"))(f, graph), gradient),
        "divergence": (nn.Divergence(t("1x1"))(gradient, graph), laplacian),
        "curl": (nn.Curl(t("1x1"))(torch.stack([-gradient[:, 1], gradient[:, 0]], 1), graph), laplacian),
        "laplacian": (nn.Laplacian(t("1x0"))(f, graph), laplacian),
        # of degree 2 and spin 1: -(2 * 3 - 1)
        "laplacian of vectors": (nn.Laplacian(t("1x1"))(gradient, graph), -5 * gradient),
        # eth eth: degree 2 and spin 2, -(2 * 3 - 4)
        "laplacian of tensors": (lambda s: (nn.Laplacian(t("1x2"))(s, graph), -2 * s))(nn.Gradient(t("1x1"))(gradient, graph)),
    }
    return {name: float((got - wanted).norm() / wanted.norm()) for name, (got, wanted) in found.items()}


def test_second_order_on_irregular_points_of_the_sphere():
    coarse, fine = sphere_errors(500), sphere_errors(2000)
    for name in coarse:
        assert fine[name] < 0.03, (name, fine)
        assert coarse[name] / fine[name] > 2**1.7, (name, coarse, fine)


@pytest.mark.parametrize("structure", ["sphere", "torus"])
def test_adjoints_are_exact(structure):
    geom = geometry.icosphere(2) if structure == "sphere" else geometry.mesh(*torus(16, 10), rings=2)
    graph = geom.to_graph().double()
    area = graph.area[:, None]
    for layer in (nn.Gradient(t("2x0 + 1x1")), nn.Divergence(t("1x1")), nn.Curl(t("1x1")), nn.Laplacian(t("1x0 + 1x1"))):
        x = torch.randn(graph.num_nodes, layer.in_type.dim, dtype=torch.float64)
        y = torch.randn(graph.num_nodes, layer.out_type.dim, dtype=torch.float64)
        left, right = (area * layer(x, graph) * y).sum(), (area * x * layer.adjoint(y, graph)).sum()
        assert torch.isclose(left, right, rtol=1e-11) and left.abs() > 1e-3
        assert layer.adjoint(y, graph).shape == x.shape


def test_the_adjoint_of_the_gradient_is_minus_the_divergence():
    """In the mean against smooth functions, and exactly zero against constants."""
    graph = geometry.fibonacci_sphere(2000).to_graph()
    v = nn.Gradient(t("1x0"))(graph.pos[:, :1] * graph.pos[:, 1:2], graph)
    adjoint, divergence = nn.Gradient(t("1x0")).adjoint(v, graph), nn.Divergence(t("1x1"))(v, graph)
    smooth = graph.area[:, None] * graph.pos[:, :1] * graph.pos[:, 1:2]
    left, right = (smooth * adjoint).sum(), -(smooth * divergence).sum()
    assert torch.isclose(left, right, rtol=1e-4) and left > 0.1
    assert (graph.area[:, None] * adjoint).sum().abs() < 1e-11


@pytest.mark.parametrize("group", [SO2, O2, groups.Cyclic(6), groups.Dihedral(6)], ids=str)
def test_gauge_equivariance(group):
    graph = geometry.icosahedron(2).to_graph() if group == groups.Cyclic(6) else geometry.hexagonal((7, 8)).to_graph()
    if group.order is None:
        graph = geometry.fibonacci_sphere(200).to_graph()
    for layer in (nn.Gradient(t("2x0 + 1x1", group)), nn.Divergence(t("2x1 + 1x2", group)), nn.Curl(t("1x1", group)),
                  nn.Laplacian(t("1x0 + 1x1 + 1x2", group))):  # fmt: skip
        assert equivariance_error(layer.double(), graph, layer.in_type, layer.out_type) < 1e-12


def test_units_and_scales():
    """Twice as large a shape: half the gradient, a quarter of the Laplacian; learnt combinations do not see the size."""
    points = geometry.fibonacci_points(300)
    one, two = (geometry.sphere(s * points, sphere_radius=s).to_graph() for s in (1.0, 2.0))
    x = torch.randn(300, 1, dtype=torch.float64)
    assert torch.allclose(nn.Gradient(t("1x0"))(x, one), 2 * nn.Gradient(t("1x0"))(x, two), rtol=1e-10)
    assert torch.allclose(nn.Laplacian(t("1x0"))(x, one), 4 * nn.Laplacian(t("1x0"))(x, two), rtol=1e-10, atol=1e-9)
    conv = randomise(nn.GaugeConv(t("1x0"), t("1x0 + 1x1"), kernel=kernels.Derivatives())).double()
    assert torch.allclose(conv(x, one), conv(x, two), rtol=1e-10)


def test_learnt_combinations_have_all_of_them():
    """The self kernel, first and second derivatives: scalars to scalars two, to vectors two, to tensors two weights."""
    for blocks, count in (("1x0", 1), ("1x1", 2), ("1x2", 2)):
        assert nn.GaugeConv(t("1x0"), t(blocks), kernel=kernels.Derivatives()).weight.numel() == count


def test_one_rings_and_small_neighbourhoods():
    """Where there are too few neighbours for cubics, quadratics; for a valence of three what is nearest to exact."""
    graph = geometry.icosphere(2, rings=1).to_graph()
    x = graph.pos[:, :1]
    gradient = torch.einsum("nai,a->ni", graph.frame, torch.tensor([1.0, 0, 0], dtype=torch.float64))
    error = (nn.Gradient(t("1x0"))(x, graph) - gradient).norm() / gradient.norm()
    assert error < 0.02
    vertices = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    small = geometry.mesh(vertices, faces, rings=1).to_graph()
    assert nn.Laplacian(t("1x0 + 1x1"))(torch.ones(4, 3, dtype=torch.float64), small).isfinite().all()
    constant = nn.Gradient(t("1x0"))(torch.ones(4, 1, dtype=torch.float64), small)
    assert constant.abs().max() < 1e-10


def test_operators_share_a_plan_and_refuse():
    graph = geometry.fibonacci_sphere(100).to_graph().double()
    gradient, divergence = nn.Gradient(t("1x0")), nn.Divergence(t("1x1"))
    assert gradient.plan(graph) is divergence.plan(graph)
    with pytest.raises(TypeError, match="an equivariant form"):
        nn.Curl(t("1x0", O2))
    with pytest.raises(TypeError, match="an equivariant form"):
        nn.Divergence(t("1x0"))
    with pytest.raises(TypeError, match="a type of irreps"):
        nn.Gradient(FieldType(groups.Cyclic(4), "1xregular"))
    with pytest.raises(TypeError, match="does not have as a pair"):
        nn.Gradient(t("1x1", groups.Cyclic(4)))
    with pytest.raises(ValueError, match="over groups of the plane"):
        nn.Gradient(FieldType(groups.SO3(), "1x0"))
    with pytest.raises(ValueError, match="expected log maps of 2 coordinates"):
        gradient(torch.zeros(27, 1, dtype=torch.float64), geometry.grid((3, 3, 3), 3).to_graph())


def harmonic_errors(count: int, degree: int = 3) -> dict[str, float]:
    """On harmonics of degree 3 and every spin, which are exact fields of every order; at the points of a Fibonacci sphere."""
    points = geometry.fibonacci_points(count)
    graph = geometry.sphere(points).to_graph()
    fields = [
        tangent_harmonics(points, degree, s, graph.frame.numpy())[:, degree * degree + 2].reshape(count, -1) for s in range(4)
    ]
    pairs: dict[str, tuple] = {}
    for s, field in enumerate(fields[:-1]):
        step = ((degree - s) * (degree + s + 1)) ** 0.5
        pairs[f"gradient of {s}"] = nn.Gradient(t(f"1x{s}")), field, step * (0.5 if s else 1) * fields[s + 1]
        pairs[f"divergence of {s + 1}"] = nn.Divergence(t(f"1x{s + 1}")), fields[s + 1], -step * field
    turned = torch.stack([-fields[1][:, 1], fields[1][:, 0]], 1)
    root = (degree * (degree + 1)) ** 0.5
    pairs["curl of 0"] = nn.Curl(t("1x0")), fields[0], root * turned
    pairs["curl of 1"] = nn.Curl(t("1x1")), turned, -root * fields[0]
    for s, field in enumerate(fields):
        pairs[f"Laplacian of {s}"] = nn.Laplacian(t(f"1x{s}")), field, -(degree * (degree + 1) - s * s) * field
    return {name: float((layer(x, graph) - y).norm() / y.norm()) for name, (layer, x, y) in pairs.items()}


def test_order_of_convergence_for_every_order_of_the_field():
    """First derivatives third order, the Laplacian second, of fields of orders 0 to 3."""
    coarse, fine = harmonic_errors(500), harmonic_errors(2000)
    for name in coarse:
        rate = np.log2(coarse[name] / fine[name])
        assert rate > (1.85 if "Laplacian" in name else 2.9), (name, rate)
        assert fine[name] < (0.05 if "Laplacian" in name else 1e-3), (name, fine)
