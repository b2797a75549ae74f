"""Eigenvalues of small symmetric matrices, compiled."""

from __future__ import annotations

import numpy as np

from ...compiled import njit
from ...ops.cpu.tiles import HOT


@njit(**HOT)
def extreme_eigenvalues(a, size, stride):
    """Least and largest eigenvalue of a symmetric matrix, which is overwritten (cyclic Jacobi rotations)."""
    for _ in range(30):
        off = trace = 0.0
        for i in range(size):
            trace += a[i * stride + i] ** 2
            for j in range(i):
                off += a[i * stride + j] ** 2
        if not off > 1e-34 * trace:
            break
        for i in range(1, size):
            for j in range(i):
                if a[i * stride + j] != 0:
                    cot = (a[i * stride + i] - a[j * stride + j]) / (2 * a[i * stride + j])
                    tan = (1.0 if cot >= 0 else -1.0) / (abs(cot) + np.sqrt(cot * cot + 1))
                    cos = 1 / np.sqrt(tan * tan + 1)
                    sin = tan * cos
                    for side in range(2):
                        for k in range(size):
                            x, y = (i * stride + k, j * stride + k) if side else (k * stride + i, k * stride + j)
                            a[x], a[y] = cos * a[x] + sin * a[y], cos * a[y] - sin * a[x]
    least = largest = a[0]
    for i in range(1, size):
        least, largest = min(least, a[i * stride + i]), max(largest, a[i * stride + i])
    return least, largest
