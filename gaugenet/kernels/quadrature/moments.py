"""Exact integrals of kernels times polynomials over a flat or curved ball, in a basis that rotations do not mix.

Letters: d dimension, D degree, M monomials, B radial functions, Y harmonics, n nodes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..harmonics import harmonic_frequencies, harmonics
from ..radial import RadialProfile

#: |K| radius^2 is cut here: the distance of antipodes.
MAX_CURVATURE = math.pi**2
# Terms of the power series of the area element; at MAX_CURVATURE the next one is below 1e-16 (d <= 4).
_SERIES = 30
# 840 = lcm(1, ..., 8) equal panels have the knots of uniform splines on their borders; 4 Gauss points each.
_PANELS, _POINTS = 840, 4
_KEPT: dict[tuple, Tensor] = {}


class PolynomialBasis(NamedTuple):
    r"""Polynomials :math:`Z_{ln}(r) Y_{lm}` of degree l + 2 n <= D, orthonormal over the unit ball (mean square 1).

    Rotations mix only the m of one (l, n). Sorted by degree, so that every lower degree is a leading part.

    Attributes:
        degree: (M,) int64, degree of each polynomial.
        harmonic: (M,) int64, index y of its harmonic.
        radial: (M, D + 1), coefficients of its radial part in powers of r, the norm of the harmonic included.
    """

    degree: Tensor
    harmonic: Tensor
    radial: Tensor

    def to(self, device: torch.device) -> PolynomialBasis:
        return PolynomialBasis(*(t.to(device) for t in self))

    def __call__(self, r: Tensor, y: Tensor) -> Tensor:
        """Values (e, M) at radii r (e,) with harmonics y (e, Y)."""
        powers = r[:, None] ** torch.arange(self.radial.shape[1], device=r.device)
        return (powers @ self.radial.T) * y[:, self.harmonic]


@lru_cache(maxsize=64)
def polynomial_basis(dim: int, degree: int) -> PolynomialBasis:
    """The basis in dimension `dim` up to `degree`; float64 on the CPU."""
    frequency = harmonic_frequencies(dim, degree).tolist()
    mean_square = angular_gram(dim, degree).diagonal().tolist()
    columns = []
    for l in range(degree + 1):
        radial: list[np.ndarray] = []
        for power in range(l, degree + 1, 2):
            row = np.zeros(degree + 1)
            row[power] = 1
            for _ in range(2):  # Gram-Schmidt, twice for the rounding
                for other in radial:
                    row = row - _ball_inner(row, other, dim) * other
            radial.append(row / math.sqrt(_ball_inner(row, row, dim)))
        for y in (y for y, f in enumerate(frequency) if f == l):
            columns += [(l + 2 * n, y, row / math.sqrt(mean_square[y])) for n, row in enumerate(radial)]
    columns.sort(key=lambda column: column[:2])
    degrees, harmonic, rows = zip(*columns)
    return PolynomialBasis(*(torch.tensor(part, device="cpu") for part in (degrees, harmonic, np.stack(rows))))


def _ball_inner(a: np.ndarray, b: np.ndarray, dim: int) -> float:
    """Mean over the unit ball of the product of two polynomials in r."""
    product = np.convolve(a, b)
    return float((product * dim / (np.arange(len(product)) + dim)).sum())


@lru_cache(maxsize=64)
def angular_gram(dim: int, max_frequency: int) -> Tensor:
    """(Y, Y) means over the unit sphere of products of two harmonics, by a quadrature that is exact for them."""
    if dim == 1:
        points = torch.tensor([[1.0], [-1.0]], dtype=torch.float64, device="cpu")
        weight = torch.ones_like(points[:, 0])
    elif dim == 2:
        angle = torch.arange(4 * max_frequency + 4, dtype=torch.float64, device="cpu") * (2 * math.pi / (4 * max_frequency + 4))
        points, weight = torch.stack([angle.cos(), angle.sin()], -1), torch.ones_like(angle)
    elif dim == 3:
        z, wz = (torch.from_numpy(t) for t in np.polynomial.legendre.leggauss(max_frequency + 2))
        angle = torch.arange(4 * max_frequency + 4, dtype=torch.float64, device="cpu") * (2 * math.pi / (4 * max_frequency + 4))
        z, angle = torch.meshgrid(z, angle, indexing="ij")
        rho = (1 - z**2).sqrt()
        points = torch.stack([rho * angle.cos(), rho * angle.sin(), z], -1).flatten(0, 1)
        weight = wz[:, None].expand_as(z).flatten()
    else:
        raise ValueError(f"harmonics exist in 1, 2 and 3 dimensions, got {dim}")
    values = harmonics(points, max_frequency)
    gram = values.T @ (values * (weight / weight.sum())[:, None])
    return torch.where(gram.abs() < 1e-12, 0, gram)


@lru_cache(maxsize=8)
def area_element_series(dim: int) -> Tensor:
    r"""Coefficients s_j with :math:`(\sin k r / k r)^{d-1} = \sum_j s_j (k r)^{2 j}`; k^2 < 0 gives sinh."""
    one = np.array([(-1) ** j / math.factorial(2 * j + 1) for j in range(_SERIES)])
    product = np.eye(1, _SERIES)[0]
    for _ in range(dim - 1):
        product = np.convolve(product, one)[:_SERIES]
    return torch.from_numpy(product)


def volume_series(dim: int) -> Tensor:
    """(terms,) volume of the geodesic unit ball, relative to the flat one, as a power series in its curvature."""
    return area_element_series(dim) * dim / (2 * torch.arange(_SERIES, device="cpu") + dim)


def ball_volume(kappa: Tensor, dim: int) -> Tensor:
    """(n,) volume of the geodesic unit ball of curvature kappa, relative to the flat one."""
    return (kappa[:, None] ** torch.arange(_SERIES, device=kappa.device)) @ volume_series(dim).to(kappa.device)


def profile_values(profile: nn.Module, r: Tensor) -> Tensor:
    """(e,) float64 -> (e, B) float64; a learnt profile computes in its own precision."""
    parameter = next((p for p in profile.parameters() if p.is_floating_point()), None)
    values = profile(r if parameter is None else r.to(parameter.dtype))
    if values.ndim != 2 or values.shape[0] != r.shape[0]:
        raise ValueError(f"profile expected to map {tuple(r.shape)} to {(*r.shape, 'B')}, it gave {tuple(values.shape)}")
    return values.to(torch.float64)


def radial_moments(profile: nn.Module, dim: int, degree: int, device: torch.device) -> Tensor:
    """(B, D + 2 * terms) integrals of R_b r^p d r^(d-1) over [0, 1], p = 0, 1, ..., by composite Gauss-Legendre.

    Those of profiles that a key names are kept.
    """
    key = getattr(profile, "key", None) if isinstance(profile, RadialProfile) else None
    if key is None or torch.compiler.is_compiling():
        return _radial_moments(profile, dim, degree, device)
    place = key, dim, degree, device
    if place not in _KEPT:
        if len(_KEPT) > 64:
            _KEPT.clear()
        with torch.inference_mode(False):
            _KEPT[place] = _radial_moments(profile, dim, degree, device)
    return _KEPT[place]


def _radial_moments(profile: nn.Module, dim: int, degree: int, device: torch.device) -> Tensor:
    r, weight = (t.to(device) for t in _radial_rule(tuple(_breakpoints(profile))))
    values = profile_values(profile, r)
    powers = torch.linalg.vander(r, N=degree + 2 * _SERIES)
    return values.T @ (powers * (weight * dim * r ** (dim - 1))[:, None])


def _breakpoints(profile: nn.Module) -> list[float]:
    points = torch.as_tensor(getattr(profile, "breakpoints", ()), dtype=torch.float64, device="cpu").flatten().tolist()
    return sorted({p for p in points if 0 < p < 1})


@lru_cache(maxsize=64)
def _radial_rule(breakpoints: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    edges = np.union1d(np.arange(_PANELS + 1) / _PANELS, breakpoints)
    x, w = np.polynomial.legendre.leggauss(_POINTS)
    half = np.diff(edges)[:, None] / 2
    return torch.from_numpy((edges[:-1, None] + half * (x + 1)).ravel()), torch.from_numpy((half * w).ravel())


def flat_moment_series(moments: Tensor, dim: int, max_frequency: int, degree: int) -> Tensor:
    r"""Those integrals of :func:`kernel_moments` that are not zero, as power series in kappa: (terms, M, B).

    Entry (j, m, b) is the coefficient of :math:`\kappa^j` of the integral of :math:`R_b Y_y P_m s`, y the harmonic of
    :math:`P_m`, to which all other harmonics are orthogonal.
    """
    basis = polynomial_basis(dim, degree)
    square = angular_gram(dim, max(max_frequency, degree)).diagonal()[basis.harmonic]
    windows = moments.unfold(1, degree + 1, 2)[:, :_SERIES]  # (B, terms, D + 1): powers 2 j, ..., 2 j + D
    return torch.einsum("j,bjp,mp,m->jmb", area_element_series(dim), windows, basis.radial, square)


def kernel_moments(moments: Tensor, kappa: Tensor, dim: int, max_frequency: int, degree: int) -> Tensor:
    r"""Exact integrals :math:`\frac1{|B|} \int_B R_b Y_y P_\alpha s\,dx` over the unit ball of curvature kappa.

    Args:
        moments: (B, D + 2 * terms) of :func:`radial_moments`.
        kappa: (n,) K radius^2, within +-MAX_CURVATURE.

    Returns:
        (n, M, B Y).
    """
    basis = polynomial_basis(dim, degree).to(kappa.device)
    largest = max(max_frequency, degree)
    num_y = len(harmonic_frequencies(dim, max_frequency))
    gram = angular_gram(dim, largest).to(kappa.device)[basis.harmonic, :num_y]  # (M, Y)
    windows = moments.unfold(1, degree + 1, 2)[:, :_SERIES]  # (B, terms, D + 1): powers 2 j, ..., 2 j + D
    series = area_element_series(dim).to(kappa.device)
    j = torch.arange(_SERIES, device=kappa.device)
    curved = torch.einsum("nj,bjp->nbp", kappa[:, None] ** j * series, windows)
    radial = torch.einsum("mp,nbp->nmb", basis.radial, curved)
    return (radial[..., None] * gram[None, :, None, :]).flatten(2)
