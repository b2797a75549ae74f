from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet.kernels import circular_harmonics, harmonic_frequencies, harmonics, spherical_harmonics


def test_circular():
    angle = torch.linspace(-3, 3, 13, dtype=torch.float64)
    x = 2.5 * torch.stack([angle.cos(), angle.sin()], -1)
    expected = [torch.ones_like(angle)]
    for f in range(1, 7):
        expected += [torch.cos(f * angle), torch.sin(f * angle)]
    torch.testing.assert_close(circular_harmonics(x, 6), torch.stack(expected, -1), rtol=0, atol=1e-13)
    assert torch.equal(harmonics(x, 6), circular_harmonics(x, 6))


@pytest.mark.parametrize("degree", range(7))
def test_spherical_against_e3nn(shared, degree):
    oracle = np.load(shared / "oracles" / "escnn" / "e3nn_so3.npz")
    y = harmonics(torch.from_numpy(oracle["points"].copy()), 6)[:, degree**2 : (degree + 1) ** 2]
    torch.testing.assert_close(y, torch.from_numpy(oracle[f"Y{degree}/norm"].copy()), rtol=0, atol=1e-12)


def test_spherical_normalisation():
    x = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = spherical_harmonics(x, 10)
    torch.testing.assert_close(y[:, 1:4], x / x.norm(dim=-1, keepdim=True))
    for l in range(11):
        norm = y[:, l * l : (l + 1) ** 2].square().sum(-1)
        torch.testing.assert_close(norm, torch.ones_like(norm), rtol=0, atol=1e-12)
    # Laplace: the polynomials |x|^l Y_l are harmonic
    for column in range(9, 16):
        hessian = torch.autograd.functional.hessian(lambda v, c=column: v.norm() ** 3 * spherical_harmonics(v, 3)[c], x[0])
        assert abs(hessian.trace()) < 1e-10 < hessian.abs().max()


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_frequencies(dim):
    frequencies = harmonic_frequencies(dim, 4)
    assert frequencies.dtype == torch.int64
    in_space = [l for l in range(5) for _ in range(2 * l + 1)]
    assert frequencies.tolist() == ([0, 1], [0, 1, 1, 2, 2, 3, 3, 4, 4], in_space)[dim - 1]
    x = torch.randn(3, dim)
    assert harmonics(x, 4).shape == (3, len(frequencies)) and harmonics(x, 0).shape == (3, 1)
    assert harmonics(x.reshape(3, 1, dim), 2).shape[:2] == (3, 1) and harmonics(x[:0], 2).shape[0] == 0
    # parity: the harmonics of frequency f change by (-1)^f under x -> -x
    torch.testing.assert_close(harmonics(-x, 4), harmonics(x, 4) * (-1.0) ** frequencies)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_at_the_origin_and_at_any_scale(dim, dtype):
    zero = torch.zeros(2, dim, dtype=dtype, requires_grad=True)
    y = harmonics(zero, 3)
    assert y.dtype == dtype and y[:, 0].eq(1).all() and y[:, 1:].eq(0).all()
    y.sum().backward()
    assert zero.grad.eq(0).all()
    x = torch.randn(5, dim, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for scale in (1e-30, 1e30):
        torch.testing.assert_close(harmonics(x * scale, 3), harmonics(x, 3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_gradients(dim):
    x = torch.randn(4, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: harmonics(v, 4), (x,))
    assert torch.autograd.gradgradcheck(lambda v: harmonics(v, 2), (x,))


def test_errors():
    with pytest.raises(ValueError, match="dimension 4"):
        harmonics(torch.zeros(2, 4), 1)
    with pytest.raises(ValueError, match="at least 0"):
        harmonics(torch.zeros(2, 2), -1)
    with pytest.raises(TypeError, match="floating"):
        harmonics(torch.zeros(2, 2, dtype=torch.int64), 1)
