"""How orthogonal matrices act on circular and real spherical harmonics.

``Y_f(g x) = D_f(g) Y_f(x)`` for every orthogonal ``g``; ``D_f`` is a homogeneous polynomial of degree ``f`` in the entries of
``g``, so nothing here needs an angle and everything is differentiable. Improper matrices have their natural parity, ``D_l(-g)
= (-1)^l D_l(g)``.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

from .constants import constant_tensor


def angular_power(g: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(cos l a, sin l a) of the rotation by a in the upper left 2 x 2 block of g, as polynomials of its first column.

    Args:
        g: (..., d, d) with d >= 2 (any d when order is 0); for a reflected g = R(a) diag(1, -1) the angle is that of R.
        order: l >= 0.
    """
    cos, sin = torch.ones_like(g[..., 0, 0]), torch.zeros_like(g[..., 0, 0])
    for _ in range(order):
        c, s = g[..., 0, 0], g[..., 1, 0]
        cos, sin = cos * c - sin * s, cos * s + sin * c
    return cos, sin


def block_determinant(g: torch.Tensor) -> torch.Tensor:
    """Determinant of the upper left 2 x 2 block of g (..., d, d)."""
    return g[..., 0, 0] * g[..., 1, 1] - g[..., 0, 1] * g[..., 1, 0]


def space_determinant(g: torch.Tensor) -> torch.Tensor:
    """Determinant of g (..., 3, 3) as a polynomial (torch.linalg.det knows no half precision and is slow on many small
    matrices)."""
    return (torch.linalg.cross(g[..., 0, :], g[..., 1, :]) * g[..., 2, :]).sum(-1)


def circular_action(order: int, g: torch.Tensor, reflects: bool = True) -> torch.Tensor:
    """O(2) acting on (cos f a, sin f a): (..., 2, 2) -> (..., 2, 2), or (..., 1, 1) of ones when f is 0.

    Args:
        order: f. g: (..., 2, 2). reflects: whether there are reflections among them; without, determinants are not looked at.
    """
    cos, sin = angular_power(g, order)
    if order == 0:
        return cos[..., None, None]
    if not reflects:
        return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    det = block_determinant(g)
    return torch.stack([torch.stack([cos, -sin * det], -1), torch.stack([sin, cos * det], -1)], -2)


@lru_cache(maxsize=64)
def gradient_coupling(degree: int) -> np.ndarray:
    r"""G (3, 2l-1, 2l+1) with d Y_lm / d x_a = sum_m' G[a, m', m] Y_{l-1, m'}, for solid harmonics with ``|Y_l(x)| = |x|^l``.

    G is, up to a factor, the Clebsch-Gordan coefficient of 1 x (l-1) -> l, and by Euler's theorem
    ``Y_l = (1 / l) sum_a x_a G[a] Y_{l-1}``: one small constant array serves the harmonics and their rotation matrices.
    Closed form from the derivatives of r^l P_l^m e^{i m phi} / (l+m)! (Hobson 1931, chapter III); read-only float64.

    The order of components is m = -l..l about the y axis (as in e3nn), which makes l = 1 the vector (x, y, z) itself.
    """
    l = degree
    grad = np.zeros((3, 2 * l - 1, 2 * l + 1))
    x, y, z = 2, 0, 1  # the polar axis is y: the textbook's (x, y, z) are our (z, x, y)

    def ratio(m: int, k: int) -> float:
        """Norm of order m of degree l over that of order k of degree l - 1: quotients of factorials, which alone overflow."""
        square = math.perm(l - m, k - m + 1) * math.perm(l + m, m - k + 1)
        return math.sqrt((2 - (m == 0)) / (2 - (k == 0)) * square)

    def put(axis: int, source: int, target: int, value: float) -> None:
        """Component `target` of degree l has d/d(axis) = value times component `source` of degree l - 1 (negative: sine)."""
        if abs(source) <= l - 1:
            grad[axis, source + l - 1, target + l] += value * ratio(abs(target), abs(source))

    put(z, 0, 0, 1.0)
    put(x, 1, 0, -1.0)
    put(y, -1, 0, -1.0)
    for m in range(1, l + 1):
        put(z, m, m, 1.0)
        put(z, -m, -m, 1.0)
        put(x, m - 1, m, 0.5)
        put(x, m + 1, m, -0.5)
        put(x, -(m + 1), -m, -0.5)
        put(y, -(m + 1), m, -0.5)
        put(y, m + 1, -m, 0.5)
        put(y, m - 1, -m, 0.5)
        if m > 1:  # the sine of order 0 vanishes
            put(x, -(m - 1), -m, 0.5)
            put(y, -(m - 1), m, -0.5)
    grad.setflags(write=False)
    return grad


@torch.compiler.assume_constant_result  # torch.compile must not trace how it was made
def gradient_tensor(degree: int) -> torch.Tensor:
    """`gradient_coupling` as a new tensor (3, 2l-1, 2l+1), float64, CPU."""
    return constant_tensor(gradient_coupling(degree))


def spherical_action(degree: int, g: torch.Tensor) -> torch.Tensor:
    """Wigner matrices of real spherical harmonics, as polynomials of the orthogonal matrix: (..., 3, 3) -> (..., 2l+1, 2l+1).

    D_l is the part of g x D_{l-1} that acts on degree l: ``D_l = k G^T (g x D_{l-1}) G`` with G of `gradient_coupling`.
    """
    if degree == 0:
        return torch.ones_like(g[..., :1, :1])
    matrix = g
    for l in range(2, degree + 1):
        matrix = raised_action(l, g, matrix)
    return matrix


def raised_action(degree: int, g: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """D_l of g from D_{l-1}, l >= 2: one step of `spherical_action`."""
    coupling = (gradient_tensor(degree) / math.sqrt(degree * (2 * degree - 1))).to(g)
    half = torch.einsum("...mp,bpn->...mbn", lower, coupling)
    half = torch.einsum("...ab,...mbn->...amn", g, half)
    return torch.einsum("amk,...amn->...kn", coupling, half)


def harmonic_action(dim: int, frequency: int, g: torch.Tensor) -> torch.Tensor:
    """The matrix by which g (..., d, d) acts on the harmonics of one frequency on the (d-1)-sphere, d = `dim`, 1, 2 or 3."""
    if dim == 1:  # 1 and the sign are all
        return (torch.ones_like(g), g, g[..., :0, :0])[min(frequency, 2)]
    if dim == 2:
        return circular_action(frequency, g)
    if dim == 3:
        return spherical_action(frequency, g)
    if frequency == 0:
        return torch.ones_like(g[..., :1, :1])
    raise ValueError(f"harmonics of frequency above 0 exist here in dimension 1, 2 and 3, not {dim}")
