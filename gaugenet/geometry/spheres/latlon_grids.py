"""Latitude-longitude grids: colatitudes with quadrature weights, and one node for every pole."""

from __future__ import annotations

import numpy as np
from scipy.special import eval_legendre, roots_jacobi

from .checks import checked_int

GRIDS = ("gauss-legendre", "equiangular", "lobatto", "cell-centred")


def latlon_rings(nlat: int, grid: str = "gauss-legendre") -> tuple[np.ndarray, np.ndarray]:
    r"""Colatitudes theta (nlat,), from north to south, and weights w (nlat,) with
    :math:`\sum_j w_j f(\theta_j) \approx \int_0^\pi f(\theta) \sin\theta \, d\theta`, so that they add up to 2.

    The sum is exact for polynomials in cos theta of the degree given.

    Args:
        nlat: number of rings, poles included.
        grid: "gauss-legendre": roots of P_nlat, without poles, degree 2 nlat - 1.
            "equiangular": theta_j = pi j / (nlat - 1), with both poles, by Clenshaw & Curtis (Waldvogel 2006,
            doi:10.1007/s10543-006-0045-4), degree nlat - 1.
            "lobatto": the poles and the roots of P'_(nlat - 1) (Gauss-Lobatto), degree 2 nlat - 3.
            "cell-centred": theta_j = pi (j + 1/2) / nlat, without poles, by Fejer's first rule, degree nlat - 1.

    Raises:
        ValueError: an unknown grid, or fewer than 2 rings (3 with poles).
    """
    if grid not in GRIDS:
        raise ValueError(f"unknown grid {grid!r}: expected one of {', '.join(GRIDS)}")
    nlat = checked_int("nlat", nlat, 3 if has_poles(grid) else 2)
    if grid == "gauss-legendre":
        z, weight = np.polynomial.legendre.leggauss(nlat)
    elif grid == "lobatto":
        inner, _ = roots_jacobi(nlat - 2, 1, 1)
        z = np.concatenate([[-1.0], inner, [1.0]])
        weight = 2 / (nlat * (nlat - 1) * eval_legendre(nlat - 1, z) ** 2)
    else:
        return _equal_steps(nlat, grid)
    z, weight = (z - z[::-1]) / 2, (weight + weight[::-1]) / 2  # symmetric to the last digit
    return np.arccos(z[::-1]), weight


def has_poles(grid: str) -> bool:
    """Whether the first and the last ring of a grid are the poles."""
    return grid in ("equiangular", "lobatto")


def latlon_nodes(nlat: int, nlon: int, grid: str = "gauss-legendre") -> np.ndarray:
    """(nlat, nlon) int64, the node of every cell of a grid of values in the geometry of :func:`latlon`.

    Nodes are numbered row by row, north first; a row at a pole is one node. So ``values_on_nodes[latlon_nodes(...)]`` is the
    grid, and ``grid.reshape(-1)[np.unique(latlon_nodes(...), return_index=True)[1]]`` are the values of the nodes.
    """
    nlat, nlon = checked_int("nlat", nlat, 3 if has_poles(grid) else 2), checked_int("nlon", nlon, 3)
    if not has_poles(grid):
        return np.arange(nlat * nlon).reshape(nlat, nlon)
    inner = 1 + np.arange((nlat - 2) * nlon).reshape(nlat - 2, nlon)
    pole = np.zeros((1, nlon), np.int64)
    return np.concatenate([pole, inner, pole + inner.size + 1])


def _equal_steps(nlat: int, grid: str) -> tuple[np.ndarray, np.ndarray]:
    """By integration of the cosine series through the values."""
    if grid == "equiangular":
        n, theta = nlat - 1, np.pi * np.arange(nlat) / (nlat - 1)
    else:
        n, theta = nlat, np.pi * (np.arange(nlat) + 0.5) / nlat
    k = np.arange(1, n // 2 + 1)
    share = np.full(len(k), 2.0)
    if grid == "equiangular" and n % 2 == 0:
        share[-1] = 1
    weight = 2 / n * (1 - np.cos(2 * theta[:, None] * k) @ (share / (4 * k**2 - 1)))
    if grid == "equiangular":
        weight[[0, -1]] /= 2
    return theta, (weight + weight[::-1]) / 2
