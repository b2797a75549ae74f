"""The largest eigenpairs of a Hermitian operator that is applied to blocks of vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Vectors at a time: a sparse factor is then read once for all of them, and the basis is kept orthogonal by matrix products.
_BLOCK = 8
# Dimensions of the Krylov space for every pair that is wanted: of the first look whether they have converged, and the most.
_FIRST_LOOK, _MOST = 3, 6
# Relative residual of a converged pair; the error of its eigenvalue is about the square of it.
TOLERANCE = 1e-10
# A block that adds nothing new to the space, relative.
_BREAKDOWN = 1e-10


def block_lanczos(
    apply: Callable[[np.ndarray], np.ndarray], size: int, count: int, dtype: type = np.float64, tolerance: float = TOLERANCE
) -> tuple[np.ndarray, np.ndarray] | None:
    """The largest eigenpairs by the block Lanczos method with full orthogonalisation (Golub, Underwood 1977).

    Args:
        apply: (N, b) -> (N, b), Hermitian and positive definite.
        size: N.
        count: number of pairs.
        dtype: of the vectors, real or complex.
        tolerance: largest relative residual of a pair.

    Returns:
        values (count,) descending, vectors (N, count) orthonormal; None when the space is exhausted or grows too large.
    """
    most = min(_MOST * count, size // 2) // _BLOCK * _BLOCK
    basis: np.ndarray = np.empty((size, most), dtype, order="F")
    projected: np.ndarray = np.zeros((most, most), dtype)
    block = np.linalg.qr(np.random.default_rng(0).standard_normal((size, _BLOCK)).astype(dtype))[0]
    for start in range(0, most, _BLOCK):
        end = start + _BLOCK
        basis[:, start:end] = block
        image = apply(block)
        # All but the last two blocks are orthogonal to the image but for rounding, which the second pass removes.
        near = basis[:, max(0, start - _BLOCK) : end]
        part = near.conj().T @ image
        image = image - near @ part
        image -= basis[:, :end] @ (basis[:, :end].conj().T @ image)
        projected[max(0, start - _BLOCK) : end, start:end] = part
        projected[start:end, max(0, start - _BLOCK) : end] = part.conj().T
        block, rest = np.linalg.qr(image)
        size_of_rest = np.abs(np.diag(rest))
        if not size_of_rest.min() > _BREAKDOWN * size_of_rest.max():
            return None
        if end >= _FIRST_LOOK * count and (start // _BLOCK) % 4 == 0:
            values, vectors = np.linalg.eigh(projected[:end, :end])
            values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
            residual = np.linalg.norm(rest @ vectors[start:end], axis=0)
            if (residual <= tolerance * values).all():
                return values, basis[:, :end] @ vectors
    return None
