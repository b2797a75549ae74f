r"""What a steerable kernel needs of the aggregate: few combinations of (component, harmonic), instead of all of them.

The aggregate has an entry for every component d_i of the input and every harmonic y. A kernel between two irreps uses only
some combinations: for SO(2), orders m and n, the products with the harmonics of frequency \|n - m\| and n + m, four instead of
2 (4 L + 1). Collecting them first makes the matrix product after the aggregation smaller, five times for orders 0 to 2; the
space of kernels is the same.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from ..kernel import KernelBasis

_ZERO = 1e-9


@lru_cache(maxsize=512)
def reduction(basis: KernelBasis, transposed: bool) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Factors of a kernel basis, :math:`Q_k[d_o, d_i, y] = \sum_u S[u, k, d_o]\, F[u, d_i, y]`.

    Rows (k, d_o) of Q that are multiples of one another share one functional F_u. Where that saves nothing (regular
    representations), the F_u are the single entries that the kernel uses.

    Args:
        basis: Q (K, dim_out, dim_in, Y).
        transposed: factorise the transposed kernel, :math:`Q_k[d_o, d_i, y] = \sum_u S[u, k, d_i]\, F[u, d_o, y]`.

    Returns:
        F (U, d, Y) and S (U, K, d'), float64 tensors.
    """
    array = basis.coefficients.cpu().numpy()
    if transposed:
        array = array.swapaxes(1, 2)
    count, rows, columns, harmonics = array.shape
    matrix = array.reshape(count * rows, columns * harmonics)
    functionals, place, factor = _distinct_rows(matrix)
    used = np.flatnonzero(np.abs(matrix).max(axis=0, initial=0.0) > _ZERO)
    if len(functionals) < len(used):
        spread = np.zeros((len(functionals), count * rows))
        nonzero = place >= 0
        spread[place[nonzero], np.flatnonzero(nonzero)] = factor[nonzero]
    else:
        functionals = np.eye(columns * harmonics)[used]
        spread = matrix[:, used].T
    return (
        torch.from_numpy(np.ascontiguousarray(functionals.reshape(-1, columns, harmonics))),
        torch.from_numpy(np.ascontiguousarray(spread.reshape(-1, count, rows))),
    )


def _distinct_rows(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows up to a factor: the distinct ones, the number of each row's (-1 for zero rows), its factor."""
    top = np.abs(matrix).max(axis=1, initial=0.0)
    rows = np.flatnonzero(top > _ZERO)
    place, factor = np.full(len(matrix), -1), np.zeros(len(matrix))
    if rows.size == 0:
        return np.zeros((0, matrix.shape[1])), place, factor
    # The first of the large entries becomes 1, so that rounding does not decide between equal ones.
    pivot = np.argmax(np.abs(matrix[rows]) > 0.5 * top[rows, None], axis=1)
    factor[rows] = matrix[rows, pivot]
    scaled = matrix[rows] / factor[rows, None]
    _, first, inverse = np.unique(np.round(scaled, 7) + 0.0, axis=0, return_index=True, return_inverse=True)
    place[rows] = inverse.reshape(-1)
    distinct = scaled[first]
    return np.where(np.abs(distinct) > _ZERO, distinct, 0.0), place, factor
