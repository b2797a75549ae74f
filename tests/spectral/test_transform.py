"""The transform on every kind of sampling: against other people's code, the plain sum, and itself."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch

from gaugenet import geometry
from gaugenet.errors import GeometryError
from gaugenet.geometry.spheres.healpix_pixels import healpix_centers
from gaugenet.groups import SO3
from gaugenet.kernels import spherical_harmonics
from gaugenet.spectral import (
    LatLonGrid,
    SphericalTransform,
    from_complex,
    tangent_harmonics,
    to_complex,
)
from gaugenet.spectral.analysis import IteratedRings, PointTransform, SeparableRings
from gaugenet.spectral.harmonics import polar_angles, polar_frames
from gaugenet.spectral.sampling import Sampling
from tests.helpers.samplings import (
    coefficients,
    healpy_coefficients,
    icosphere_points,
    random_frames,
    random_points,
    reduced_rings,
)

LMAX = 10
SAMPLINGS = {
    "gauss": (LatLonGrid.gauss_legendre(LMAX + 1, 2 * LMAX + 1), SeparableRings),
    "equiangular": (LatLonGrid.equiangular(LMAX + 1, 24), SeparableRings),
    "equiangular with poles": (LatLonGrid.equiangular(LMAX + 2, 24, poles=True), SeparableRings),
    "shifted": (LatLonGrid(np.linspace(0.1, 3, 15), 25, offset=0.4), SeparableRings),
    "reduced": (reduced_rings(), IteratedRings),
    "icosphere": (icosphere_points(2), PointTransform),
    "random": (random_points(500), PointTransform),
}


def transform(sampling, lmax: int = LMAX, spin: int = 0, **options) -> SphericalTransform:
    return SphericalTransform(sampling, lmax, spin, **options).double()


def plain_sum(sampling, c: torch.Tensor, spin: int) -> torch.Tensor:
    """The definition, with the matrix of the harmonics."""
    grid = isinstance(sampling, LatLonGrid)
    points = sampling.points if grid else sampling
    lmax = math.isqrt(c.shape[-2 if spin else -1]) - 1
    w = tangent_harmonics(points, lmax, spin, sampling.frames if grid else None)
    if spin == 0:
        return c @ w.T
    w, c = torch.view_as_complex(w), torch.view_as_complex(c)
    return torch.view_as_real(c @ w.T)


@pytest.mark.parametrize("spin", [0, 1, 2, 4])
@pytest.mark.parametrize("name", SAMPLINGS)
def test_there_and_back(name, spin):
    sampling, engine = SAMPLINGS[name]
    t = transform(sampling, spin=spin)
    assert isinstance(t.engine, engine)
    c = coefficients(LMAX, spin, 2, 3)
    values = t.synthesis(c)
    torch.testing.assert_close(values, plain_sum(sampling, c, spin), rtol=0, atol=1e-12)
    torch.testing.assert_close(t.analysis(values), c, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spin", [0, 1, 2])
@pytest.mark.parametrize("name", ["gauss", "equiangular with poles", "reduced"])
@pytest.mark.parametrize("method", ["least_squares", "quadrature"])
def test_rings_against_the_matrix(name, spin, method):
    """Of fields that are not band-limited, too: the fast path solves the same problem."""
    sampling, _ = SAMPLINGS[name]
    fast = transform(sampling, spin=spin, method=method, structure="rings")
    slow = transform(sampling, spin=spin, method=method, structure="points")
    assert type(fast.engine) is not type(slow.engine)
    tail = (fast.num_points, 2) if spin else (fast.num_points,)
    values = torch.randn(2, *tail, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fast.analysis(values), slow.analysis(values), rtol=0, atol=1e-12)
    c = coefficients(LMAX, spin)
    torch.testing.assert_close(fast.synthesis(c), slow.synthesis(c), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spin", [0, 1])
def test_least_squares_is_least(spin):
    """The residual is orthogonal, in the given weights, to every harmonic."""
    points = random_points(300)
    weights = np.random.default_rng(2).uniform(0.5, 2, 300)
    t = transform(points, 6, spin, weights=weights)
    tail = (300, 2) if spin else (300,)
    values = torch.randn(tail, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rest = (values - t.synthesis(t.analysis(values))) * torch.from_numpy(weights).reshape(-1, *([1] * spin))
    projected = transform(points, 6, spin, method="quadrature").analysis(rest)
    assert projected.abs().max() < 1e-12 * rest.abs().max()
    assert t.condition > 1 and transform(points, 6, spin).condition != t.condition


def test_quadrature_is_exact_where_its_weights_are():
    for grid in (LatLonGrid.gauss_legendre(9, 17), LatLonGrid.equiangular(17, 17), LatLonGrid.equiangular(17, 17, poles=True)):
        t = transform(grid, 8, method="quadrature")
        c = coefficients(8, 0)
        torch.testing.assert_close(t.analysis(t.synthesis(c)), c, rtol=0, atol=1e-12)
        assert t.condition is None
        np.testing.assert_allclose(grid.weights.sum(), 4 * np.pi)
    coarse = transform(LatLonGrid.equiangular(9, 17), 8, method="quadrature")
    assert (coarse.analysis(coarse.synthesis(c)) - c).abs().max() > 0.01


def test_weights_of_many_and_of_odd_latitudes():
    many = LatLonGrid.equiangular(601, 9, poles=True).latitude_weights
    z = np.cos(np.linspace(0, np.pi, 601))
    assert (many > 0).all()
    for power in (0, 2, 40, 400):
        np.testing.assert_allclose(many @ z**power, 2 / (power + 1), rtol=1e-12)
    # all in the south: no positive weights, the cells
    south = LatLonGrid(np.linspace(2, 3, 12), 9).latitude_weights
    np.testing.assert_allclose(south.sum(), 2)
    assert (south > 0).all()
    repeated = LatLonGrid(np.array([1.0, 1.0, 2.0]), 9).latitude_weights
    np.testing.assert_allclose(repeated.sum(), 2)


def test_gauss_and_fejer_and_clenshaw_curtis_weights(shared):
    oracle = np.load(shared / "oracles" / "sphere" / "torch_harmonics.npz")
    for name in ("equiangular", "legendre-gauss", "lobatto"):
        grid = LatLonGrid(oracle[f"lat_{name}"], 32)
        scale = oracle[f"quad_{name}"].sum() / 2
        np.testing.assert_allclose(grid.latitude_weights, oracle[f"quad_{name}"] / scale, rtol=0, atol=1e-12)
    np.testing.assert_allclose(LatLonGrid.gauss_legendre(16).colatitude, oracle["lat_legendre-gauss"], atol=1e-14)


def test_scalars_against_torch_harmonics(shared):
    """Its coefficients [l, m] with m >= 0 are the a_lm of a field of longitudes 0, 2 pi / 32, ... and colatitudes from 0."""
    oracle = np.load(shared / "oracles" / "sphere" / "torch_harmonics.npz")
    t = transform(LatLonGrid.gauss_legendre(16, 32), 15)
    a = to_complex(t.analysis(torch.from_numpy(oracle["sht_f"]).reshape(-1)))
    for l in range(16):
        np.testing.assert_allclose(a[l * l + l : (l + 1) ** 2].numpy(), oracle["sht_coeffs"][l, : l + 1], rtol=0, atol=1e-12)


def test_vectors_against_torch_harmonics(shared):
    """Its fields are (south, east), its coefficients (of the gradient, of its turn to the right) over sqrt(l (l + 1)).

    They contain 1 / (l (l + 1)) rounded to single precision.
    """
    oracle = np.load(shared / "oracles" / "sphere" / "torch_harmonics.npz")
    south, east = torch.from_numpy(oracle["vsht_u"]).reshape(2, -1)
    c = transform(LatLonGrid.gauss_legendre(16, 32), 15, 1).analysis(torch.stack([east, -south], -1))
    gradient, turned = (to_complex(c[:, k]) for k in (0, 1))
    for l in range(1, 16):
        m = slice(l * l + l, (l + 1) ** 2)
        scale = 1 / (math.sqrt(l * (l + 1)) * float(np.float32(1 / l) / np.float32(l + 1)))
        expected = oracle["vsht_coeffs"][:, l, : l + 1]
        np.testing.assert_allclose(gradient[m].numpy() / scale, expected[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(turned[m].numpy() / scale, -expected[1], rtol=0, atol=1e-12)


def test_healpix_against_healpy(shared):
    oracle = np.load(shared / "oracles" / "sphere" / "healpix.npz")
    t = transform(healpix_centers(8, nest=False), 5)
    c = from_complex(healpy_coefficients(oracle["alm"], 5))
    values = torch.from_numpy(oracle["map_ns8_from_alm"])
    torch.testing.assert_close(t.synthesis(c), values, rtol=0, atol=1e-12)
    torch.testing.assert_close(t.analysis(values), c, rtol=0, atol=1e-12)


def test_wind_against_windspharm(shared):
    """Divergence, vorticity, potentials and the gradient part of a wind on 73 x 144 points; it keeps degree 72, in float32."""
    oracle = np.load(shared / "data" / "wind_windspharm" / "windspharm_reference_regular.npz")
    grid, lmax, earth = LatLonGrid.equiangular(73, 144, poles=True), 71, 6.3712e6
    wind = np.stack([oracle["uwnd"][0, 0], oracle["vwnd"][0, 0]], -1).astype(float)
    vectors, scalars = (transform(grid, lmax, spin) for spin in (1, 0))
    c = vectors.analysis(torch.from_numpy(wind).reshape(-1, 2))
    l = torch.from_numpy(np.repeat(np.arange(lmax + 1.0), 2 * np.arange(lmax + 1) + 1))
    slope = (l * (l + 1)).sqrt() / earth
    inverse = torch.where(l > 0, 1 / slope, 0)
    gradient = vectors.synthesis(torch.stack([c[:, 0], 0 * c[:, 0]], -1))
    for name, found, tolerance in (
        ("div", scalars.synthesis(-slope * c[:, 0]), 3e-4),
        ("vrt", scalars.synthesis(-slope * c[:, 1]), 3e-5),
        ("chi", scalars.synthesis(inverse * c[:, 0]), 1e-5),
        ("psi", scalars.synthesis(inverse * c[:, 1]), 1e-5),
        ("uchi", gradient[:, 0], 1e-4),
        ("vchi", gradient[:, 1], 1e-4),
    ):
        expected = oracle[name].reshape(-1)
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("spin", [0, 2])
@pytest.mark.parametrize("lmax", [8, 11])
def test_healpix_to_three_nside_minus_one(lmax, spin):
    """In any order of the pixels: the rings are found."""
    points = healpix_centers(4, nest=False)[np.random.default_rng(0).permutation(192)]
    t = transform(points, lmax, spin, structure="rings")
    assert isinstance(t.engine, IteratedRings) and t.condition < 4
    c = coefficients(lmax, spin, 2)
    torch.testing.assert_close(t.analysis(t.synthesis(c)), c, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["gauss", "reduced", "icosphere"])
@pytest.mark.parametrize("spin", [1, 2])
def test_frames(name, spin):
    """A field in other frames has the same coefficients."""
    sampling, _ = SAMPLINGS[name]
    points = sampling.points if isinstance(sampling, LatLonGrid) else sampling
    frames = random_frames(polar_frames(*polar_angles(points)))
    t = transform(sampling, spin=spin, frames=frames)
    c = coefficients(LMAX, spin, 2)
    expected = torch.view_as_complex(tangent_harmonics(points, LMAX, spin, frames)) @ torch.view_as_complex(c).mT
    values = t.synthesis(c)
    torch.testing.assert_close(torch.view_as_complex(values), expected.mT, rtol=0, atol=1e-12)
    torch.testing.assert_close(t.analysis(values), c, rtol=0, atol=1e-12)


def test_rings_are_found_or_not():
    """Through any rotation about z, not about others; of several points at a pole only a grid knows the longitudes."""
    points = SAMPLINGS["gauss"][0].points
    assert isinstance(transform(points).engine, SeparableRings)
    turn = SO3().sample(1, torch.Generator().manual_seed(0))[0].numpy()
    assert isinstance(transform(points @ turn.T).engine, PointTransform)
    assert isinstance(transform(points.astype(np.float32)).engine, PointTransform)
    poles = SAMPLINGS["equiangular with poles"][0]
    c = coefficients(LMAX, 1)
    t = transform(poles.points, spin=1)
    assert isinstance(t.engine, PointTransform)
    torch.testing.assert_close(t.synthesis(c), plain_sum(poles.points, c, 1), rtol=0, atol=1e-12)


def test_default_weights_of_rings_of_one_length_are_those_of_the_grid():
    for name in ("gauss", "equiangular"):
        grid = SAMPLINGS[name][0]
        found = Sampling.of(grid.points[::-1]).weights_or_default()
        np.testing.assert_allclose(found, grid.weights[::-1], rtol=1e-11)


def test_parseval():
    """Sums of squares of coefficients are integrals, of scalars and of vectors."""
    grid = LatLonGrid.gauss_legendre(21, 41)
    for spin in (0, 1, 3):
        c = coefficients(10, spin)
        values = transform(grid, 10, spin).synthesis(c).reshape(len(grid.points), -1)
        total = (torch.from_numpy(grid.weights)[:, None] * values.square()).sum()
        torch.testing.assert_close(total, c.square().sum())


def test_divergence_and_curl():
    """Coefficients (E, B) of a gradient and of a turned gradient are those of the potential times sqrt(l (l + 1))."""
    c = coefficients(8, 0)
    l = torch.from_numpy(np.repeat(np.arange(9), 2 * np.arange(9) + 1)).double()
    t = transform(icosphere_points(2), 8, 1)
    points = torch.from_numpy(icosphere_points(2)).requires_grad_()
    field = spherical_harmonics(points, 8) @ (c * ((2 * l + 1) / (4 * math.pi)).sqrt())
    (gradient,) = torch.autograd.grad(field.sum(), points)
    east_north = torch.from_numpy(polar_frames(*polar_angles(icosphere_points(2))))
    values = torch.einsum("nia,ni->na", east_north, gradient)
    expected = c * (l * (l + 1)).sqrt()
    found = t.analysis(values)
    torch.testing.assert_close(found[:, 0], expected, rtol=0, atol=1e-11)
    assert found[:, 1].abs().max() < 1e-11
    turned = t.analysis(torch.stack([-values[:, 1], values[:, 0]], -1))
    torch.testing.assert_close(turned[:, 1], expected, rtol=0, atol=1e-11)


def test_geometries_bring_their_frames_and_areas():
    geom = geometry.icosphere(2, sphere_radius=2.0)
    turned = geom.replace(frame=random_frames(geom.frame))
    c = coefficients(6, 1)
    for g in (geom, turned, turned.to_graph()):
        t = transform(g, 6, 1)
        frame = np.asarray(g.frame)
        np.testing.assert_allclose(Sampling.of(g).weights.sum(), 4 * np.pi, rtol=1e-6)
        expected = torch.view_as_complex(tangent_harmonics(geom.positions, 6, 1, frame)) @ torch.view_as_complex(c)
        atol = 1e-5 if frame.itemsize == 4 else 1e-12
        torch.testing.assert_close(torch.view_as_complex(t.synthesis(c)), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["gauss", "reduced", "random"])
@pytest.mark.parametrize("spin", [0, 1])
def test_differentiable(name, spin):
    sampling, _ = SAMPLINGS[name]
    t = transform(sampling, 4, spin)
    values = t.synthesis(coefficients(4, spin, 1)).requires_grad_()
    c = coefficients(4, spin, 1, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(t.synthesis, (c,), fast_mode=True)
    assert torch.autograd.gradcheck(t.analysis, (values,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda v: t(v) ** 2, (values,), fast_mode=True)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_module(name):
    """Single precision, double again without loss, pickle, deepcopy, an empty state, no values."""
    sampling, _ = SAMPLINGS[name]
    for spin in (0, 1):
        t = transform(sampling, 5, spin)
        assert not t.state_dict() and not list(t.parameters())
        c = coefficients(5, spin, 2)
        values = t.synthesis(c)
        single = copy.deepcopy(t).float()
        assert single.dtype == torch.float32 and single.synthesis(c.float()).dtype == torch.float32
        torch.testing.assert_close(single.analysis(values.float()).double(), c, rtol=0, atol=2e-5)
        for other in (single.double(), pickle.loads(pickle.dumps(t))):
            torch.testing.assert_close(other(values), t.analysis(values), rtol=0, atol=1e-13)
        assert t.analysis(values[:0]).shape == c[:0].shape


@pytest.mark.parametrize("name, spin", [("gauss", 0), ("reduced", 1), ("random", 1)])
def test_compiles(name, spin):
    torch._dynamo.reset()
    t = transform(SAMPLINGS[name][0], 2, spin)
    c = coefficients(2, spin, 2)
    values = t.synthesis(c)
    compiled = torch.compile(t, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(values), c, rtol=0, atol=1e-12)
    back = torch.compile(t.synthesis, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(back(c), values, rtol=0, atol=1e-13)


def test_lmax_zero_and_one_ring():
    t = transform(LatLonGrid(np.array([0.3]), 1), 0)
    torch.testing.assert_close(
        t.synthesis(torch.ones(1, dtype=torch.float64)), torch.full((1,), (4 * math.pi) ** -0.5).double()
    )
    assert float(t.analysis(torch.ones(1, dtype=torch.float64))) == pytest.approx((4 * math.pi) ** 0.5)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((random_points(10), 4), {}, "do not determine"),
        ((LatLonGrid.gauss_legendre(5, 20), 5), {}, "do not determine"),
        ((LatLonGrid.gauss_legendre(9, 16), 8), {}, "more than 16 longitudes"),
        ((reduced_rings(), 40), {}, "do not determine"),
        ((reduced_rings(), 26), {}, "do not determine"),
        ((random_points(10), 2), {"structure": "rings"}, "do not lie on rings"),
        ((random_points(10), 2), {"structure": "ring"}, "structure to be one of"),
        ((random_points(10), 2), {"method": "sum"}, "method to be one of"),
        ((random_points(10), 2), {"weights": np.ones(9)}, "weights expected shape"),
        ((random_points(10), 2), {"weights": -np.ones(10)}, "positive"),
        ((random_points(10), -1), {}, "lmax to be"),
        ((random_points(10), 2, 3), {}, "no degree below 3"),
        ((random_points(10), 2, -1), {}, "spin to be"),
        ((np.zeros((0, 3)), 2), {}, "N >= 1"),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        SphericalTransform(*arguments, **options)


def test_errors_of_values():
    t = transform(random_points(30), 3)
    with pytest.raises(ValueError, match=r"values of shape \(\.\.\., 30\)"):
        t(torch.zeros(31, dtype=torch.float64))
    with pytest.raises(TypeError, match="float32"):
        t(torch.zeros(30))
    with pytest.raises(GeometryError, match="ids 2"):
        SphericalTransform(np.array([[1, 0, 0], [0, 1, 0], [np.nan, 0, 0]]), 1)
    with pytest.raises(ValueError, match="colatitudes"):
        LatLonGrid(np.array([4.0]), 3)
    with pytest.raises(ValueError, match="nlon"):
        LatLonGrid(np.array([1.0]), 0)
    with pytest.raises(ValueError, match="latitude_weights"):
        LatLonGrid(np.array([1.0]), 2, latitude_weights=np.ones(2))
