"""Lowest eigenpairs of sparse Hermitian matrices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sparse

from .factors import Factorised
from .lanczos import TOLERANCE, block_lanczos

# Below this many rows a dense solve is faster than ARPACK and has no limit on the number of pairs.
_DENSE_ROWS = 300
# Below, ARPACK is as fast as the block method; above, the basis of the latter takes gigabytes.
_BLOCK_ROWS = (5_000, 200_000)
# A negative shift keeps the singular matrix factorisable. The first eigenvalues times the mass are of the order of 10: with a
# much smaller shift the inverse of the eigenvalue 0 would drown the others in rounding.
_SIGMA = -10.0


def eigenpairs(
    matrix: sparse.spmatrix, mass: np.ndarray, count: int, *, constant: bool = False, tolerance: float = TOLERANCE
) -> tuple[np.ndarray, np.ndarray]:
    r"""The lowest eigenpairs of :math:`A \phi = \lambda M \phi`, component by component.

    Components are solved one by one (a Krylov method can miss copies of the eigenvalue zero) and merged in order of eigenvalue.

    Args:
        matrix: A (N, N) sparse Hermitian positive semi-definite, real or complex.
        mass: (N,) positive, the diagonal of M.
        count: number of pairs; there are at most N.
        constant: the first vector of every component is known to be constant, of the eigenvalue 0.
        tolerance: largest relative residual.

    Returns:
        values (k,) ascending, not negative; vectors (N, k) with :math:`\phi^* M \phi = 1`; k = min(count, N). Phases, and bases
        of repeated eigenvalues, are arbitrary but the same on every run.
    """
    values, vectors = [], []
    for nodes, part in connected_parts(matrix):
        lam, phi = _connected_eigenpairs(part, mass[nodes], min(count, len(nodes)), constant, tolerance)
        values.append(lam)
        vectors.append((nodes, phi))
    pairs = [(c, k) for c, lam in enumerate(values) for k in range(len(lam))]
    pairs = sorted(pairs, key=lambda pair: values[pair[0]][pair[1]])[:count]
    merged = np.zeros((len(mass), len(pairs)), vectors[0][1].dtype)
    for column, (c, k) in enumerate(pairs):
        merged[vectors[c][0], column] = vectors[c][1][:, k]
    return np.array([values[c][k] for c, k in pairs]), merged


def connected_parts(matrix: sparse.spmatrix) -> Iterator[tuple[np.ndarray, sparse.csc_matrix]]:
    """The nodes of every connected component, ascending, and its part of the matrix."""
    matrix = sparse.csc_matrix(matrix)
    number, label = sparse.csgraph.connected_components(abs(matrix) if np.iscomplexobj(matrix) else matrix, directed=False)
    order = np.argsort(label, kind="stable")
    for nodes in np.split(order, np.cumsum(np.bincount(label, minlength=number))[:-1]):
        yield nodes, matrix if number == 1 else matrix[nodes][:, nodes]


def _connected_eigenpairs(
    matrix: sparse.csc_matrix, mass: np.ndarray, count: int, constant: bool, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest pairs of one component, through the Hermitian matrix M^-1/2 A M^-1/2."""
    size = len(mass)
    total = mass.sum()
    scale = np.sqrt(total / mass)
    # Times the area: a dimensionless problem whatever the unit of length.
    symmetric = sparse.diags(scale) @ matrix @ sparse.diags(scale)
    if size <= _DENSE_ROWS or count > size - 2:
        from scipy.linalg import eigh

        dense = symmetric.toarray()
        values, vectors = eigh(0.5 * (dense + dense.conj().T), subset_by_index=(0, count - 1))
    else:
        values, vectors = _shift_invert(symmetric.tocsc(), count, tolerance)
    values = np.maximum(values, 0) / total
    if constant:
        values[0] = 0.0
        vectors[:, 0] = 1 / scale
    return values, vectors * (scale / np.sqrt(total))[:, None]


def _shift_invert(symmetric: sparse.csc_matrix, count: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Lanczos on (S - sigma)^-1."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    size = symmetric.shape[0]
    shifted = symmetric - _SIGMA * sparse.identity(size, format="csc")
    solve = Factorised(shifted.tocsc()).solve
    # ARPACK reads the factor and its basis once for every vector, not for every block.
    # Of complex matrices it does not know that they are Hermitian.
    inside = (np.iscomplexobj(symmetric) or size >= _BLOCK_ROWS[0]) and size <= _BLOCK_ROWS[1]
    found = block_lanczos(solve, size, count, symmetric.dtype, tolerance) if inside else None
    if found is not None:
        return 1.0 / found[0] + _SIGMA, found[1]
    inverse = LinearOperator(symmetric.shape, matvec=solve, dtype=symmetric.dtype)
    start = np.random.default_rng(0).standard_normal(size).astype(symmetric.dtype)
    values, vectors = eigsh(symmetric, k=count, sigma=_SIGMA, which="LM", OPinv=inverse, v0=start)
    if np.iscomplexobj(vectors):  # those of a repeated eigenvalue are not orthogonal
        basis = np.linalg.qr(vectors)[0]
        values, turn = np.linalg.eigh(basis.conj().T @ (symmetric @ basis))
        vectors = basis @ turn
    order = np.argsort(values)
    return values[order], vectors[:, order]
