"""Turned fields: through the coefficients, by moving the points, and what both must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry
from gaugenet.errors import GeometryError
from gaugenet.geometry.spheres.healpix_pixels import healpix_centers
from gaugenet.groups import O2, SO2, SO3, Cyclic, Octahedral
from gaugenet.spectral import LatLonGrid, from_complex, rotate_coefficients, rotate_field, sampling_permutation
from gaugenet.spectral.harmonics import polar_angles, polar_frames
from tests.helpers.samplings import (
    band_limited,
    healpy_coefficients,
    icosphere_points,
    polynomial,
    random_frames,
    random_points,
)

TYPE = FieldType(SO2(), "2x0 + 3x1 + 1x2 + 1x4")
LMAX = 6


def rotation(seed: int = 0) -> torch.Tensor:
    return SO3().sample(1, torch.Generator().manual_seed(seed))[0]


@pytest.mark.parametrize(
    "sampling", [LatLonGrid.gauss_legendre(9, 17), icosphere_points(2), random_points(300), healpix_centers(4, nest=False)]
)
def test_scalars_and_vectors_of_space(sampling):
    """Band-limited fields with a formula, in random frames."""
    points = sampling.points if isinstance(sampling, LatLonGrid) else sampling
    frames = random_frames(polar_frames(*polar_angles(points)))
    field_type = FieldType(SO2(), "1x0 + 1x1")
    turn = rotation()

    def features(r):
        scalar, vector = polynomial(points, r)
        return torch.from_numpy(np.concatenate([scalar[:, None], np.einsum("nia,ni->na", frames, vector)], 1))

    found = rotate_field(features(np.eye(3)), field_type, turn, sampling, 5, frames=frames)
    torch.testing.assert_close(found, features(turn.numpy()), rtol=0, atol=1e-12)


def test_against_healpy(shared):
    """healpy.rotate_alm(alm, psi, theta, phi) turns by Rz(phi) Ry(theta) Rz(psi)."""
    oracle = np.load(shared / "oracles" / "sphere" / "healpix.npz")

    def about(axis, t):
        c, s = np.cos(t), np.sin(t)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
        return matrix

    turn = torch.from_numpy(about(2, -1.1) @ about(1, 0.7) @ about(2, 0.3))
    c = from_complex(healpy_coefficients(oracle["alm"], 5))
    expected = from_complex(healpy_coefficients(oracle["alm_rotated_psi.3_theta.7_phi-1.1"], 5))
    torch.testing.assert_close(rotate_coefficients(c, turn), expected, rtol=0, atol=1e-12)
    values = torch.from_numpy(oracle["map_ns8_from_alm"])[:, None]
    turned = rotate_field(values, FieldType(SO2(), "0"), turn, healpix_centers(8, nest=False), 5)
    back = rotate_field(turned, FieldType(SO2(), "0"), turn.T, healpix_centers(8, nest=False), 5)
    torch.testing.assert_close(back, values, rtol=0, atol=1e-11)


@pytest.mark.parametrize("group, names", [(SO2(), "2x0 + 3x1 + 1x2"), (O2(), "1x0 + 2x0- + 2x1 + 1x3")])
def test_symmetries_of_the_sampling(group, names):
    """Where R maps the points to points, both methods agree; reflections are among them for O(2)."""
    field_type = FieldType(group, names)
    geom = geometry.icosphere(1)
    geom = geom.replace(frame=random_frames(geom.frame))
    x, _ = band_limited(geom, field_type, 4)
    # The octahedral rotations that are symmetries of the icosphere: the tetrahedral group. And the inversion.
    turns = [g for g in Octahedral().elements if maps(geom.positions, g)]
    assert len(turns) == 12
    if group == O2():
        turns = [*turns[:3], *(-g for g in turns)]
    for turn in turns[::3]:
        moved = rotate_field(x, field_type, turn, geom, method="permutation")
        torch.testing.assert_close(moved, rotate_field(x, field_type, turn, geom, 4), rtol=0, atol=1e-12)
        assert torch.equal(moved, rotate_field(x, field_type, turn, geom, 4, method="auto"))


def maps(points, turn) -> bool:
    try:
        sampling_permutation(points, turn)
    except GeometryError:
        return False
    return True


def test_permutation():
    points = icosphere_points(1)
    turn = Octahedral().elements[[maps(points, g) for g in Octahedral().elements]][5]
    place = sampling_permutation(points, turn)
    np.testing.assert_allclose(points[place], points @ turn.numpy().T, atol=1e-12)
    noise = torch.randn(len(points), 2, dtype=torch.float64)
    moved = rotate_field(noise, FieldType(SO2(), "2x0"), turn, points, method="permutation")
    assert torch.equal(moved[place], noise)
    with pytest.raises(GeometryError, match="does not map the points"):
        sampling_permutation(points, rotation())
    with pytest.raises(GeometryError, match="does not map the points"):
        rotate_field(noise, FieldType(SO2(), "2x0"), rotation(), points, 3, method="permutation")
    spectral = rotate_field(noise, FieldType(SO2(), "2x0"), rotation(), points, 3)
    assert torch.equal(rotate_field(noise, FieldType(SO2(), "2x0"), rotation(), points, 3, method="auto"), spectral)


def test_permutation_needs_a_group_with_the_turns_of_the_frames():
    points = healpix_centers(2, nest=False)
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    regular = FieldType(Cyclic(4), "regular")
    x = torch.randn(len(points), 4, dtype=torch.float64)
    moved = rotate_field(x, regular, quarter, points, method="permutation")
    assert torch.equal(moved[sampling_permutation(points, quarter)], x)  # (east, north) turn with the axis
    frames = random_frames(polar_frames(*polar_angles(points)))
    with pytest.raises(GeometryError, match="outside of"):
        rotate_field(x, regular, quarter, points, frames=frames, method="permutation")
    with pytest.raises(TypeError, match="irreps of SO"):
        rotate_field(x, regular, quarter, points, 3)


def test_turning_twice_and_many_at_once():
    x, t = band_limited(icosphere_points(2))
    g, h = rotation(1), rotation(2)
    both = rotate_field(x, TYPE, g @ h, icosphere_points(2), LMAX)
    one_by_one = rotate_field(rotate_field(x, TYPE, h, icosphere_points(2), LMAX), TYPE, g, icosphere_points(2), LMAX)
    torch.testing.assert_close(both, one_by_one, rtol=0, atol=1e-11)
    many = t.synthesis(t.rotate(t.analysis(x), torch.stack([g, h])))
    for k, turn in enumerate((g, h)):
        torch.testing.assert_close(many[k], rotate_field(x[k], TYPE, turn, icosphere_points(2), LMAX), rtol=0, atol=1e-12)


def test_drops_higher_degrees_only():
    points = icosphere_points(2)
    x, _ = band_limited(points)
    noise = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(rotate_field(x, TYPE, eye, points, LMAX), x, rtol=0, atol=1e-12)
    assert rotate_field(noise, TYPE, eye, points, LMAX).norm() < 0.8 * noise.norm()


def test_weights_matter_for_what_is_not_band_limited():
    points = random_points(200)
    noise = torch.randn(200, 1, dtype=torch.float64)
    weights = np.random.default_rng(0).uniform(0.2, 2, 200)
    one, two = (rotate_field(noise, FieldType(SO2(), "0"), rotation(), points, 4, weights=w) for w in (None, weights))
    assert (one - two).abs().max() > 1e-3


def test_single_precision_and_gradients():
    points = icosphere_points(2)
    x, t = band_limited(points)
    turned = rotate_field(x.float(), TYPE, rotation(), points, LMAX)
    assert turned.dtype == torch.float32
    torch.testing.assert_close(turned.double(), rotate_field(x, TYPE, rotation(), points, LMAX), rtol=0, atol=2e-5)
    v = x[:1].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: t.synthesis(t.rotate(t(y), rotation()[None])), (v,), fast_mode=True)


def test_errors():
    points = icosphere_points(1)
    x = torch.zeros(len(points), 1, dtype=torch.float64)
    scalar = FieldType(SO2(), "0")
    with pytest.raises(ValueError, match="needs lmax"):
        rotate_field(x, scalar, rotation(), points)
    with pytest.raises(ValueError, match="method must be"):
        rotate_field(x, scalar, rotation(), points, 2, method="exact")
    with pytest.raises(ValueError, match="one rotation"):
        rotate_field(x, scalar, rotation()[None], points, method="permutation")
    with pytest.raises(ValueError, match="no reflections"):
        rotate_field(x, scalar, -rotation(), points, 2)
    with pytest.raises(ValueError, match="orthogonal"):
        rotate_field(x, scalar, 2 * rotation(), points, 2)
