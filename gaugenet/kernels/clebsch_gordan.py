"""Clebsch-Gordan coefficients: every equivariant product of two representations, for any compact group."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from ..groups import Representation
from ..groups.invariants import invariant_basis
from .basis import check_pair


def clebsch_gordan(rep1: Representation, rep2: Representation, rep_out: Representation) -> torch.Tensor:
    r"""Orthonormal basis (K, dim_out, dim1, dim2) float64 of the equivariant bilinear maps from two representations to a third.

    .. math:: C_k(\rho_1(g) x, \rho_2(g) y) = \rho_{out}(g)\, C_k(x, y), \qquad C_k(x, y)_o = \sum_{ab} C_{koab}\, x_a y_b

    the invariant vectors of rho_out x rho_1 x rho_2, by averaging over the group. For SO(3) and O(3) these are the 3j symbols
    up to sign. For SO(2) orders add and subtract: with complex numbers z, w for fields of orders l, m > 0 there are z w and
    i z w of order l + m, and those of z and the conjugate of w of order \|l - m\| (of order 0 the dot and the cross product).

    Raises:
        ValueError: different groups. TypeError: no representations.
    """
    check_pair(rep1, rep2)
    check_pair(rep1, rep_out)
    return torch.from_numpy(_solve(rep1, rep2, rep_out).copy())


@lru_cache(maxsize=256)
def _solve(rep1: Representation, rep2: Representation, rep_out: Representation) -> np.ndarray:
    g, weights = rep1.group.quadrature(rep1.degree + rep2.degree + rep_out.degree)
    return invariant_basis([rep(g).numpy() for rep in (rep_out, rep1, rep2)], weights.numpy())
