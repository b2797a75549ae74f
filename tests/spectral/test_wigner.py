"""Rotation matrices of harmonics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet.groups import SO3
from gaugenet.spectral import complex_wigner_matrices, degree_slice, rotate_coefficients, tangent_harmonics, wigner_matrices
from tests.helpers.samplings import coefficients, random_points


def rotations(n: int, seed: int = 0) -> torch.Tensor:
    return SO3().sample(n, torch.Generator().manual_seed(seed))


def test_they_are_the_irreps():
    g = rotations(4)
    for l, matrix in enumerate(wigner_matrices(g, 7)):
        torch.testing.assert_close(matrix, SO3().irrep(l)(g), rtol=0, atol=1e-14)
    assert len(wigner_matrices(g, 0)) == 1


def test_degree_64_turns_the_harmonics():
    g = rotations(1)[0]
    points = random_points(50)
    before, after = (tangent_harmonics(p, 64) for p in (points, points @ g.numpy().T))
    for l, matrix in enumerate(wigner_matrices(g, 64)):
        part = degree_slice(l)
        torch.testing.assert_close(after[:, part], before[:, part] @ matrix.T, rtol=0, atol=1e-12)
        eye = torch.eye(2 * l + 1, dtype=torch.float64)
        torch.testing.assert_close(matrix @ matrix.T, eye, rtol=0, atol=1e-12)


def test_degrees_beyond_the_factorials():
    g, h = rotations(2)
    product = wigner_matrices(g @ h, 90)[90]
    torch.testing.assert_close(product, wigner_matrices(g, 90)[90] @ wigner_matrices(h, 90)[90], rtol=0, atol=1e-12)


def test_complex_against_the_spherical_package(shared):
    """Its D is the conjugate of the textbooks' (Varshalovich's, Wikipedia's)."""
    oracle = np.load(shared / "oracles" / "sphere" / "harmonics.npz")
    for l, matrix in enumerate(complex_wigner_matrices(torch.from_numpy(oracle["R_zyz"]), 3)):
        np.testing.assert_allclose(matrix.conj().resolve_conj().numpy(), oracle[f"D_complex_zyz_l{l}"], rtol=0, atol=1e-12)


def test_complex_about_the_z_axis():
    angle = 0.7
    c, s = np.cos(angle), np.sin(angle)
    about_z = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    for l, matrix in enumerate(complex_wigner_matrices(about_z, 4)):
        m = torch.arange(-l, l + 1)
        torch.testing.assert_close(matrix, torch.diag(torch.exp(-1j * angle * m.to(torch.complex128))), rtol=0, atol=1e-13)


@pytest.mark.parametrize("spin", [0, 2])
def test_rotations_compose_and_broadcast(spin):
    g, h = rotations(2, 5)
    c = coefficients(6, spin, 3)
    both = rotate_coefficients(c, g @ h, spin)
    torch.testing.assert_close(both, rotate_coefficients(rotate_coefficients(c, h, spin), g, spin), rtol=0, atol=1e-12)
    many = rotate_coefficients(c, rotations(3), spin)
    for k, one in enumerate(rotations(3)):
        torch.testing.assert_close(many[k], rotate_coefficients(c[k], one, spin), rtol=0, atol=1e-13)
    single = rotate_coefficients(c.float(), g, spin)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), rotate_coefficients(c, g, spin), rtol=0, atol=1e-5)


def test_gradients():
    g = rotations(1)[0].requires_grad_()
    c = coefficients(3, 1, 2).requires_grad_()
    # only where the matrix stays orthogonal is it a rotation: skew-symmetric steps
    skew = torch.zeros(3, dtype=torch.float64, requires_grad=True)

    def turned(v, x):
        generator = torch.linalg.cross(torch.eye(3, dtype=torch.float64), v.expand(3, 3))
        return rotate_coefficients(x, torch.matrix_exp(generator) @ g.detach(), 1)

    assert torch.autograd.gradcheck(turned, (skew, c))


def test_errors():
    with pytest.raises(ValueError, match="orthogonal"):
        wigner_matrices(2 * torch.eye(3), 2)
    with pytest.raises(TypeError, match="floating-point"):
        wigner_matrices(torch.eye(2), 2)
    with pytest.raises(ValueError, match="length"):
        rotate_coefficients(torch.zeros(5), torch.eye(3))
