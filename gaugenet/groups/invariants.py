"""Invariant subspaces by exact group averaging, in a basis that is the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np


def invariant_basis(factors: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the vectors invariant under a tensor product of orthogonal representations.

    The projector is P = sum_n w_n F1[n] x F2[n] x ...; its trace is the dimension K. Pivoted Cholesky factorisation P = L L^T
    needs only K of its columns, and since P is a projector the columns of L are orthonormal, so P is never formed.

    Args:
        factors: arrays (Q, d_i, d_i), the representations at Q group elements.
        weights: (Q,) quadrature weights that average the product over the group exactly; they sum to 1.

    Returns:
        (K, d_1, d_2, ...) float64. Deterministic: the pivots are taken in a fixed order with ties broken towards the first
        index, and each vector is positive at its pivot.
    """
    shape = tuple(factor.shape[1] for factor in factors)
    diagonals = [np.diagonal(factor, axis1=1, axis2=2) for factor in factors]
    diagonal = _weighted_outer(weights, diagonals)

    def column(index: int) -> np.ndarray:
        picked = np.unravel_index(index, shape)
        return _weighted_outer(weights, [factor[:, :, i] for factor, i in zip(factors, picked)])

    return projector_basis(diagonal, column).reshape(-1, *shape)


def projector_basis(diagonal: np.ndarray, column: Callable[[int], np.ndarray]) -> np.ndarray:
    """Orthonormal basis (K, D) of the range of an orthogonal projector, given its diagonal (D,) and its columns on demand."""
    trace = float(diagonal.sum())
    rank = round(trace)
    if abs(trace - rank) > 1e-6:
        raise ValueError(f"not a projector: its trace is {trace}, not an integer (are the representations orthogonal?)")
    basis: np.ndarray = np.zeros((rank, diagonal.size))
    residual = diagonal.copy()
    for k in range(rank):
        # Equal pivots differ by rounding from machine to machine: take the first of all that tie.
        pivot = int(np.argmax(residual >= residual.max() * (1 - 1e-6)))
        vector = column(pivot) - basis[:k, pivot] @ basis[:k]
        basis[k] = vector / np.sqrt(vector[pivot])
        residual -= basis[k] ** 2
    if rank:
        # One step of Cholesky-QR removes the rounding that small pivots amplify.
        basis = np.linalg.solve(np.linalg.cholesky(basis @ basis.T), basis)
        basis[np.abs(basis) < 1e-14] = 0.0
    return basis


def _weighted_outer(weights: np.ndarray, factors: Sequence[np.ndarray]) -> np.ndarray:
    """sum_n w_n a[n] x b[n] x ... flattened, for factors (Q, d_i)."""
    first, *rest = factors
    others = reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(len(a), -1), rest, np.ones((len(weights), 1)))
    return ((weights[:, None] * first).T @ others).reshape(-1)
