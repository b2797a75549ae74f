"""Invariant subspaces by exact group averaging, in a basis that is the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

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


class OrbitInvariants(NamedTuple):
    """Invariants of permutations x another representation, orbit by orbit of what is permuted.

    Attributes:
        orbit: (P,) the orbit of every permuted component, numbered by their first members. slots: (orbits, k) numbers of the
            vectors that live on an orbit, -1 where it has fewer. values: (P, k, d), of the vectors on the component's orbit.
    """

    orbit: np.ndarray
    slots: np.ndarray
    values: np.ndarray


def orbit_invariants(images: np.ndarray, matrices: np.ndarray) -> OrbitInvariants:
    """The basis of `invariant_basis` for a finite group that permutes P components, times a representation of dimension d.

    A vector that is invariant is known from its part at one component p of each orbit, which the stabiliser S of p keeps:
    ``v(g p) = D(g) v(p)``. So every basis vector lives on one orbit, and pivots are sought among the S-invariants of dimension
    d at the most, instead of P d. Vectors and their order are the same, to rounding.

    Args:
        images: (order, P), where each element moves each component. matrices: D (order, d, d).
    """
    lowest = images.min(0)
    first, orbit = np.unique(lowest, return_inverse=True)
    rows: list[np.ndarray] = []  # of every orbit (members, k, d)
    pivots: list[list[tuple[float, int]]] = []  # of every orbit, in order: what was left at the pivot, its place
    d = matrices.shape[1]
    members = np.split(np.argsort(orbit, kind="stable"), np.cumsum(np.bincount(orbit))[:-1])
    for p, orbit_of_p in zip(first, members):
        there = images[:, p]
        kept = matrices[there == p].mean(0)
        inside = projector_basis(np.diagonal(kept).copy(), lambda j, kept=kept: kept[:, j])  # type: ignore[misc]
        mover = np.zeros(images.shape[1], dtype=np.int64)
        mover[there[::-1]] = np.arange(len(there))[::-1]
        spread = (matrices[mover[orbit_of_p]] @ inside.T) / np.sqrt(len(orbit_of_p))  # (members, d, k)
        flat = spread.reshape(len(orbit_of_p) * d, len(inside))
        residual, chosen, found = (flat**2).sum(1), np.zeros((len(inside), len(inside))), []
        for k in range(len(inside)):
            pivot = int(np.argmax(residual >= residual.max() * (1 - 1e-6)))
            found.append((float(residual[pivot]), int(orbit_of_p[pivot // d]) * d + pivot % d))
            vector = flat[pivot] - chosen[:k].T @ (chosen[:k] @ flat[pivot])
            chosen[k] = vector / np.linalg.norm(vector)
            residual = residual - (flat @ chosen[k]) ** 2
        rows.append((spread @ chosen.T).transpose(0, 2, 1))
        pivots.append(found)
    slots = _in_order(pivots)
    values = np.zeros((images.shape[1], slots.shape[1], d))
    for part, orbit_of_p in zip(rows, members):
        values[orbit_of_p, : part.shape[1]] = part
    values[np.abs(values) < 1e-14] = 0.0
    return OrbitInvariants(orbit, slots, values)


def _in_order(pivots: list[list[tuple[float, int]]]) -> np.ndarray:
    """The numbers of the vectors of all orbits by the order in which one search over everything would find them."""
    slots = np.full((len(pivots), max(map(len, pivots), default=0)), -1)
    taken = np.zeros(len(pivots), dtype=np.int64)
    left = np.array([found[0][0] if found else -1.0 for found in pivots])
    place = np.array([found[0][1] if found else 0 for found in pivots])
    for number in range(sum(map(len, pivots))):
        tied = left >= left.max() * (1 - 1e-6)
        o = int(np.argmin(np.where(tied, place, np.iinfo(np.int64).max)))
        slots[o, taken[o]] = number
        taken[o] += 1
        left[o], place[o] = pivots[o][taken[o]] if taken[o] < len(pivots[o]) else (-1.0, 0)
    return slots
