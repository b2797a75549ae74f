"""Rotation matrices of harmonics, and the change between real and complex harmonics.

Degree l of a coefficient vector of length K = (lmax + 1)^2 is ``[l^2 : (l + 1)^2]``. Real harmonics are those of
`groups.SO3` (components m = -l..l about the y axis, so that l = 1 is (x, y, z)), complex ones those of the textbooks (m = -l..l
about the z axis, with the Condon-Shortley phase).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..groups.harmonic_action import raised_action, space_determinant
from .small_d import small_d

_QUARTER = np.array([1, 1j, -1, -1j])


def degree_slice(l: int) -> slice:
    """Where degree l lies in a coefficient vector."""
    return slice(l * l, (l + 1) * (l + 1))


def wigner_matrices(rotation: Tensor, lmax: int) -> list[Tensor]:
    r"""D_0, ..., D_lmax of orthogonal matrices (..., 3, 3): tensors (..., 2l + 1, 2l + 1), real, with Y_l(R x) = D_l(R) Y_l(x).

    The irreps of `groups.SO3` (and O3, of the harmonics' own parity), all degrees in one pass; differentiable in the rotation.
    """
    _check_rotation(rotation)
    matrices = [torch.ones_like(rotation[..., :1, :1]), rotation]
    for l in range(2, lmax + 1):
        matrices.append(raised_action(l, rotation, matrices[-1]))
    return matrices[: lmax + 1]


def complex_wigner_matrices(rotation: Tensor, lmax: int) -> list[Tensor]:
    r"""Wigner's D^l_{m'm}, complex (..., 2l + 1, 2l + 1): :math:`Y_{lm}(R^{-1} x) = \sum_{m'} D^l_{m'm}(R)\, Y_{lm'}(x)`.

    For R = Rz(a) Ry(b) Rz(c) it is exp(-i m' a) d^l_{m'm}(b) exp(-i m c).
    """
    matrices = []
    for l, real in enumerate(wigner_matrices(rotation, lmax)):
        u = torch.tensor(complex_basis(l), dtype=real.dtype.to_complex(), device=real.device)
        matrices.append(u.conj() @ real.to(u.dtype) @ u.mT)
    return matrices


def rotate_coefficients(coefficients: Tensor, rotation: Tensor, spin: int = 0) -> Tensor:
    """The coefficients of the turned field (R f)(x) = R f(R^-1 x): degree by degree D_l(R) c_l.

    Args:
        coefficients: (..., K), or (..., K, 2) for spin > 0, see `SphericalTransform`. The leading shape broadcasts with that of
            the rotation.
        rotation: (..., 3, 3) orthogonal. A reflection turns the frames over: of a field of spin > 0 with components (a, b) it
            gives (a, -b) in the reflected frame, so that the second coefficients change their sign beside.
    """
    pairs = coefficients if spin else coefficients.unsqueeze(-1)
    lmax = degree_of(pairs.shape[-2])
    parts = [D @ pairs[..., degree_slice(l), :] for l, D in enumerate(wigner_matrices(rotation.to(pairs), lmax))]
    turned = torch.cat(parts, -2)
    if not spin:
        return turned.squeeze(-1)
    det = space_determinant(rotation.to(pairs))[..., None]
    return torch.stack([turned[..., 0], turned[..., 1] * det], -1)


def to_complex(coefficients: Tensor, spin: int = 0) -> Tensor:
    r"""Complex coefficients a_lm, (..., K), at l^2 + l + m, of real ones (..., K) or, for spin > 0, (..., K, 2).

    Scalars: :math:`f = \sum a_{lm} Y_{lm}`, hence a_{l,-m} = (-1)^m conj a_lm. Spin s:
    :math:`a + ib = \sum a_{lm}\, i^s\, {}_sY_{lm}` in (east, north) frames; see `spin_weighted_harmonics`.
    """
    values = (
        torch.view_as_complex(coefficients.contiguous())
        if spin
        else torch.complex(coefficients, torch.zeros_like(coefficients))
    )
    parts = []
    for l in range(degree_of(values.shape[-1]) + 1):
        u = torch.tensor(complex_basis(l), dtype=values.dtype, device=values.device)
        parts.append(values[..., degree_slice(l)] @ u.mH)
    return torch.cat(parts, -1)


def from_complex(coefficients: Tensor, spin: int = 0) -> Tensor:
    """Inverse of `to_complex`. For scalars what is not the coefficient of a real field is dropped."""
    parts = []
    for l in range(degree_of(coefficients.shape[-1]) + 1):
        u = torch.tensor(complex_basis(l), dtype=coefficients.dtype, device=coefficients.device)
        parts.append(coefficients[..., degree_slice(l)] @ u)
    values = torch.cat(parts, -1)
    return torch.view_as_real(values) if spin else values.real


def degree_of(size: int) -> int:
    """lmax of a coefficient vector of this length. ValueError when it is no square."""
    lmax = round(size**0.5) - 1
    if lmax < 0 or (lmax + 1) ** 2 != size:
        raise ValueError(f"coefficients up to degree L have length (L + 1)^2, got {size}")
    return lmax


@lru_cache(maxsize=128)
def complex_basis(l: int) -> np.ndarray:
    """U, complex and unitary, (2l + 1, 2l + 1): complex harmonics = U real harmonics. Read-only."""
    u = textbook_basis(l) @ polar_turns(l)[l]
    u.setflags(write=False)
    return u


def textbook_basis(l: int) -> np.ndarray:
    """S, (2l + 1, 2l + 1), complex: Y_lm = S times the real harmonics about the z axis, sqrt(2) (-1)^m times Re (m > 0) or Im
    (m < 0, of |m|) of Y_l|m|. The same holds for fields of any spin."""
    s = np.zeros((2 * l + 1, 2 * l + 1), complex)
    s[l, l] = 1
    for m in range(1, l + 1):
        sign = (-1) ** m
        s[l + m, [l + m, l - m]] = np.array([sign, 1j * sign]) / np.sqrt(2)
        s[l - m, [l + m, l - m]] = np.array([1, -1j]) / np.sqrt(2)
    return s


@lru_cache(maxsize=4)
def polar_turns(lmax: int) -> list[np.ndarray]:
    """Q_0, ..., Q_lmax, orthogonal: real harmonics about the z axis = Q_l times those of `groups.SO3`, which are about y."""
    n = np.arange(-lmax, lmax + 1)
    turns = []
    for l, d in enumerate(small_d(lmax, n, np.full(n.size, np.pi / 2))):
        m = np.arange(-l, l + 1)
        # (x, y, z) -> (y, z, x) is Rz(pi/2) Ry(pi/2) Rz(pi).
        wigner = _QUARTER[-m % 4][:, None] * d[:, lmax - l : lmax + l + 1] * _QUARTER[(-2 * m) % 4]
        s = textbook_basis(l)
        turns.append((s.conj().T @ wigner.conj() @ s).real)
    return turns


def _check_rotation(rotation: Tensor) -> None:
    if not isinstance(rotation, Tensor) or not rotation.is_floating_point() or rotation.shape[-2:] != (3, 3):
        raise TypeError(f"rotations are floating-point tensors (..., 3, 3), got {getattr(rotation, 'shape', rotation)!r}")
    if torch.compiler.is_compiling() or rotation.is_meta:
        return
    matrix = rotation.detach()
    error = (matrix @ matrix.mT - torch.eye(3, dtype=matrix.dtype, device=matrix.device)).abs().amax((-1, -2))
    if not bool((error < 1e-4).all()):
        raise ValueError(f"rotations must be orthogonal; one of them is off by {float(error.max()):.3g}")
