"""Homogeneous spaces: the hyperbolic plane, and correlation on G/H as the layer with structure group H."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, GaugeGraph, geometry, groups
from gaugenet.errors import GeometryError
from gaugenet.nn import GaugeConv
from tests.helpers.networks import randomise

SO2 = groups.SO2()


def motion(z: np.ndarray, middle: complex, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """A Moebius map of the disc: images of points, and the angles by which it turns their frames."""
    w = z[:, 0] + 1j * z[:, 1]
    slope = np.exp(1j * angle) * (1 - abs(middle) ** 2) / (1 - np.conj(middle) * w) ** 2
    w = np.exp(1j * angle) * (w - middle) / (1 - np.conj(middle) * w)
    return np.stack([w.real, w.imag], -1), np.angle(slope)


def rotation(angle: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def hyperboloid(z: np.ndarray) -> np.ndarray:
    square = (z**2).sum(1, keepdims=True)
    return np.concatenate([1 + square, 2 * z], 1) / (1 - square)


def test_distances_and_neighbours_are_those_of_the_hyperboloid():
    z = geometry.hyperbolic_points(200, 3.0)
    geom = geometry.hyperbolic_plane(z, radius=0.7)
    x = hyperboloid(z)
    product = -x[:, :1] * x[:, 0] + x[:, 1:] @ x[:, 1:].T
    distance = np.arccosh(np.maximum(-product, 1))
    source, target = geom.edge_index
    assert np.allclose(np.linalg.norm(geom.log, axis=1), distance[target, source], rtol=1e-9)
    near = (distance <= 0.7) & ~np.eye(200, dtype=bool)
    assert near.sum() == geom.num_edges and near[target, source].all()


def test_transport_round_a_triangle_turns_by_its_area():
    """Gauss-Bonnet: the holonomy of a geodesic triangle is minus its area, pi less the sum of its angles."""
    z = np.array([[0.1, -0.2], [0.5, 0.3], [-0.4, 0.45]])
    geom = geometry.hyperbolic_plane(z, radius=5.0, area=np.ones(3))
    edge = {(int(q), int(p)): e for e, (q, p) in enumerate(geom.edge_index.T)}
    g = lambda q, p: geom.transport[edge[q, p]]  # noqa: E731
    turn = g(2, 0) @ g(1, 2) @ g(0, 1)
    angles = []
    for p in range(3):
        a, b = (geom.log[edge[q, p]] for q in range(3) if q != p)
        angles.append(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    area = np.pi - sum(angles)
    counterclockwise = np.sign(np.linalg.det(np.stack([z[1] - z[0], z[2] - z[0]])))
    assert area > 0.1
    assert np.isclose(np.arctan2(turn[1, 0], turn[0, 0]), -counterclockwise * area, atol=1e-12)


def test_cells_of_the_spiral_have_equal_areas():
    z = geometry.hyperbolic_points(2000, 2.5)
    geom = geometry.hyperbolic_plane(z)
    assert np.isclose(geom.area.sum(), 2 * np.pi * (np.cosh(2.5) - 1), rtol=1e-12)
    inner = 2 * np.arctanh(np.linalg.norm(z, axis=1)) < 1.2
    share = (np.cosh(1.2) - 1) / (np.cosh(2.5) - 1)
    assert np.isclose(inner.mean(), share, atol=2e-3)


def test_layers_commute_with_the_motions_of_the_plane():
    z = geometry.hyperbolic_points(120, 2.0)
    moved, turn = motion(z, 0.4 - 0.3j, 1.1)
    here, there = (geometry.hyperbolic_plane(points, radius=0.8, area=np.full(120, 0.1)) for points in (z, moved))
    assert np.array_equal(here.edge_index, there.edge_index)
    type = FieldType(SO2, "2x0 + 2x1 + 1x2")
    conv = randomise(GaugeConv(type, type)).double()
    x = torch.randn(120, type.dim, dtype=torch.float64)

    def turned(x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nij,nj->ni", type(torch.from_numpy(rotation(turn))), x)

    wanted = turned(conv(x, here.to_graph()))
    got = conv(turned(x), there.to_graph())
    assert (got - wanted).norm() < 1e-10 * wanted.norm() and wanted.norm() > 1


def test_what_is_refused():
    with pytest.raises(GeometryError, match=r"not within the unit disc: ids 1"):
        geometry.hyperbolic_plane([[0.0, 0.0], [1.0, 0.0]])
    with pytest.raises(GeometryError, match="repeated points: ids 0, 1"):
        geometry.hyperbolic_plane([[0.1, 0.0], [0.1, 0.0]])
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        geometry.hyperbolic_plane(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="radius expected positive"):
        geometry.hyperbolic_plane(geometry.hyperbolic_points(9, 1.0), radius=-1.0)
    with pytest.raises(ValueError, match="area to be positive"):
        geometry.hyperbolic_plane(geometry.hyperbolic_points(9, 1.0), area=np.zeros(9))
    with pytest.raises(ValueError, match="between 0 and 30"):
        geometry.hyperbolic_points(9, 40.0)
    with pytest.raises(ValueError, match="count"):
        geometry.hyperbolic_points(0, 1.0)


def flat() -> geometry.LocalGeometry:
    return geometry.grid((7, 8), 5)


SPACES = {
    "R2 = SE(2)/SO(2)": flat,
    "S2 = SO(3)/SO(2)": lambda: geometry.fibonacci_sphere(120, radius=0.7),
    "H2 = SO(2,1)/SO(2)": lambda: geometry.hyperbolic_plane(geometry.hyperbolic_points(120, 2.0), radius=0.8),
}


@pytest.mark.parametrize("space", SPACES)
def test_correlation_on_a_homogeneous_space_is_the_lifting_layer(space):
    """(psi * f)(g) over all frames g above every point, summed out, against GaugeConv to a band-limited regular field.

    psi is a function on the space about its origin: sum over m of radial(r) (a_m cos m theta + b_m sin m theta). A frame turned
    by alpha at p sees q at the angle theta_pq - alpha, and the regular field's value at alpha is its Fourier series there.
    """
    geom, orders = SPACES[space](), 3
    graph = GaugeGraph.from_geometry(geom)
    lifted = FieldType(SO2, " + ".join(f"1x{m}" for m in range(orders + 1)))
    conv = randomise(GaugeConv(FieldType(SO2, "1x0"), lifted, quadrature=None, self_interaction=False, bias=False)).double()
    f = torch.randn(geom.num_nodes, 1, dtype=torch.float64)
    out = conv(f, graph).detach()

    def psi(points: torch.Tensor) -> torch.Tensor:
        return evaluate(conv.kernel(points).detach()[:, :, 0], orders, 0.0)

    source, target = (torch.from_numpy(i) for i in geom.edge_index)
    points = torch.from_numpy(geom.log / geom.radius[geom.edge_index[1], None])
    own = torch.from_numpy(geom.area / (np.pi * geom.radius**2)) * psi(torch.zeros(1, 2, dtype=torch.float64)) * f[:, 0]
    for alpha in np.linspace(0, 2 * np.pi, 9)[:-1]:
        seen = points @ torch.from_numpy(rotation(alpha))  # by the frame that is turned by alpha
        terms = torch.from_numpy(geom.weight) * psi(seen) * f[source, 0]
        wanted = own.index_add(0, target, terms)
        assert torch.allclose(evaluate(out, orders, alpha), wanted, rtol=1e-11, atol=1e-12) and wanted.abs().max() > 0.01


def evaluate(field: torch.Tensor, orders: int, alpha: float) -> torch.Tensor:
    """The function on the fibre with these Fourier coefficients, at the frame turned by alpha."""
    value = field[:, 0].clone()
    for m in range(1, orders + 1):
        value += field[:, 2 * m - 1] * np.cos(m * alpha) + field[:, 2 * m] * np.sin(m * alpha)
    return value
