"""Spin-weighted and tangent harmonics: against other people's code, and against what they are defined by."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from gaugenet.errors import GeometryError
from gaugenet.groups import SO3
from gaugenet.kernels import harmonic_frequencies, spherical_harmonics
from gaugenet.spectral import from_complex, rotate_coefficients, spin_weighted_harmonics, tangent_harmonics, to_complex
from gaugenet.spectral.harmonics import polar_angles, polar_frames
from gaugenet.spectral.small_d import small_d
from tests.helpers.samplings import coefficients, random_frames, random_points

POINTS = np.concatenate([random_points(30), [[0, 0, 1], [0, 0, -1], [0, 1, 0], [1e-9, 0, 1]]])


def as_complex(pairs: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(pairs.contiguous())


@pytest.mark.parametrize("spin", range(-2, 3))
def test_against_the_spherical_package(shared, spin):
    oracle = np.load(shared / "oracles" / "sphere" / "harmonics.npz")
    l, m = oracle["lm_order"].T
    y = spin_weighted_harmonics(oracle["points"], 6, spin)[:, l * l + l + m]
    np.testing.assert_allclose(y.numpy(), oracle[f"sYlm_s{spin}"], rtol=0, atol=1e-12)
    if spin == 0:
        np.testing.assert_allclose(y.numpy(), oracle["Y_complex_scipy"], rtol=0, atol=1e-12)


def test_high_degrees_against_scipy():
    theta, phi = polar_angles(POINTS)
    y = spin_weighted_harmonics(POINTS, 200)
    for l, m in ((64, 0), (64, -31), (200, 1), (200, 120), (200, 200)):
        np.testing.assert_allclose(y[:, l * l + l + m].numpy(), sph_harm_y(l, m, theta, phi), rtol=0, atol=1e-11)


@pytest.mark.parametrize("spin", [0, 1, 2, 4])
def test_addition_theorem(spin):
    """sum_m |sY_lm|^2 = (2l + 1) / 4 pi at every point, to degree 64."""
    y = spin_weighted_harmonics(POINTS, 64, spin)
    for l in (spin, 7, 32, 64):
        total = y[:, l * l : (l + 1) ** 2].abs().square().sum(1)
        torch.testing.assert_close(total, torch.full_like(total, (2 * l + 1) / (4 * math.pi)), rtol=1e-12, atol=0)
    assert (y[:, : spin**2] == 0).all()


def test_small_d_is_a_representation():
    n = np.arange(-20, 21)
    for one, two, both in zip(*(small_d(20, n, np.full(41, t)) for t in (0.4, 1.1, 1.5))):
        l = len(one) // 2
        inside = slice(20 - l, 21 + l)
        np.testing.assert_allclose(one[:, inside] @ two[:, inside], both[:, inside], atol=1e-13)
    with pytest.raises(ValueError, match="degree 500"):
        next(small_d(501, 0, np.zeros(1)))


def test_scalars_are_the_harmonics_of_the_kernels():
    scale = ((2 * harmonic_frequencies(3, 20).double() + 1) / (4 * math.pi)).sqrt()
    expected = spherical_harmonics(torch.from_numpy(POINTS), 20) * scale
    torch.testing.assert_close(tangent_harmonics(POINTS, 20), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(tangent_harmonics(3 * torch.from_numpy(POINTS), 20), expected, rtol=0, atol=1e-12)


def test_order_one_is_the_gradient():
    points = torch.from_numpy(POINTS[:30]).requires_grad_()
    frames = torch.from_numpy(polar_frames(*polar_angles(POINTS[:30])))
    fields = tangent_harmonics(POINTS[:30], 6, 1)
    for l in (1, 3, 6):
        for k in range(l * l, (l + 1) ** 2):
            (gradient,) = torch.autograd.grad(spherical_harmonics(points, 6)[:, k].sum(), points)
            expected = torch.einsum("nia,ni->na", frames, gradient) * math.sqrt((2 * l + 1) / (4 * math.pi * l * (l + 1)))
            torch.testing.assert_close(fields[:, k], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spin", [0, 1, 2, 3])
def test_real_and_complex_coefficients_give_one_field(spin):
    """a + ib = sum a_lm i^s sY_lm in (east, north)."""
    c = coefficients(9, spin, 3)
    a = to_complex(c, spin)
    y = 1j**spin * spin_weighted_harmonics(POINTS, 9, spin)
    w = tangent_harmonics(POINTS, 9, spin)
    if spin:
        torch.testing.assert_close(a @ y.T, as_complex(c) @ as_complex(w).T, rtol=0, atol=1e-12)
    else:
        torch.testing.assert_close(a @ y.T, (c @ w.T).to(torch.complex128), rtol=0, atol=1e-12)
    torch.testing.assert_close(from_complex(a, spin), c, rtol=0, atol=1e-13)


@pytest.mark.parametrize("spin", [1, 2, 3])
def test_sign_of_the_spin(spin):
    """(a, b) is the irrep of SO(2): in frames turned by t it is exp(-i s t) (a + ib)."""
    frames = polar_frames(*polar_angles(POINTS))
    turned = random_frames(frames)
    angle = np.arctan2(
        np.einsum("ni,ni->n", turned[..., 0], frames[..., 1]), np.einsum("ni,ni->n", turned[..., 0], frames[..., 0])
    )
    expected = torch.from_numpy(np.exp(-1j * spin * angle))[:, None] * as_complex(tangent_harmonics(POINTS, 5, spin))
    torch.testing.assert_close(as_complex(tangent_harmonics(POINTS, 5, spin, turned)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spin", [0, 1, 2, 4])
@pytest.mark.parametrize("proper", [True, False])
def test_rotation(spin, proper):
    """The turned field at R p, in the frame R E(p) (turned over by a reflection), has the components of the field at p."""
    rotation = SO3().sample(1, torch.Generator().manual_seed(3))[0] * (1 if proper else -1)
    frames = polar_frames(*polar_angles(POINTS))
    carried = rotation.numpy() @ frames
    if not proper:
        carried[..., 1] *= -1
    c = coefficients(12, spin)
    before = tangent_harmonics(POINTS, 12, spin)
    after = tangent_harmonics(POINTS @ rotation.numpy().T, 12, spin, carried)
    turned = rotate_coefficients(c, rotation, spin)
    if spin == 0:
        torch.testing.assert_close(after @ turned, before @ c, rtol=0, atol=1e-12)
        return
    expected = as_complex(before) @ as_complex(c)
    expected = expected if proper else expected.conj()
    torch.testing.assert_close(as_complex(after) @ as_complex(turned), expected, rtol=0, atol=1e-12)


def test_errors():
    with pytest.raises(ValueError, match=r"\(N, 3\)"):
        tangent_harmonics(np.zeros((3, 2)), 2)
    with pytest.raises(GeometryError, match="ids 1"):
        tangent_harmonics(np.array([[1.0, 0, 0], [0, 0, 0]]), 2)
    with pytest.raises(ValueError, match="at least 0"):
        tangent_harmonics(POINTS, 2, -1)
    with pytest.raises(ValueError, match="shape"):
        tangent_harmonics(POINTS, 2, 1, np.zeros((3, 3, 2)))
    left_handed = polar_frames(*polar_angles(POINTS))[..., ::-1]
    with pytest.raises(GeometryError, match="right-handed"):
        tangent_harmonics(POINTS, 2, 1, left_handed)
