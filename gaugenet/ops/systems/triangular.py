"""The two triangular systems of a sparse factor, for many right-hand sides."""

from __future__ import annotations

import numpy as np

from ...compiled import njit


@njit(nogil=True, error_model="numpy", cache=True)
def solve_real(colptr: np.ndarray, row: np.ndarray, value: np.ndarray, pivot: np.ndarray, x: np.ndarray) -> None:
    """x (N, C) <- (L D L^T)^-1 x."""
    nodes, width = x.shape
    for j in range(nodes):
        for e in range(colptr[j], colptr[j + 1]):
            i, v = row[e], value[e, 0]
            for c in range(width):
                x[i, c] -= v * x[j, c]
    for j in range(nodes - 1, -1, -1):
        scale = 1 / pivot[j]
        for c in range(width):
            x[j, c] *= scale
        for e in range(colptr[j], colptr[j + 1]):
            i, v = row[e], value[e, 0]
            for c in range(width):
                x[j, c] -= v * x[i, c]


@njit(nogil=True, error_model="numpy", cache=True)
def solve_complex(colptr: np.ndarray, row: np.ndarray, value: np.ndarray, pivot: np.ndarray, x: np.ndarray) -> None:
    """x (N, 2 C), real parts before imaginary ones, <- (L D L^*)^-1 x; value (K, 2)."""
    nodes, width = x.shape[0], x.shape[1] // 2
    for j in range(nodes):
        for e in range(colptr[j], colptr[j + 1]):
            i, v, w = row[e], value[e, 0], value[e, 1]
            for c in range(width):
                x[i, c] -= v * x[j, c] - w * x[j, width + c]
                x[i, width + c] -= v * x[j, width + c] + w * x[j, c]
    for j in range(nodes - 1, -1, -1):
        scale = 1 / pivot[j]
        for c in range(2 * width):
            x[j, c] *= scale
        for e in range(colptr[j], colptr[j + 1]):
            i, v, w = row[e], value[e, 0], value[e, 1]
            for c in range(width):
                x[j, c] -= v * x[i, c] + w * x[i, width + c]
                x[j, width + c] -= v * x[i, width + c] - w * x[i, c]
