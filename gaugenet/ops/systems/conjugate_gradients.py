"""Conjugate gradients for a few right-hand sides in one compiled loop."""

from __future__ import annotations

import numpy as np

from ...compiled import njit

#: right-hand sides side by side
LANES = 4
_TINY = 1e-300


@njit(nogil=True, error_model="numpy", fastmath=True, cache=True)
def conjugate_gradients(
    rowptr: np.ndarray,
    column: np.ndarray,
    value: np.ndarray,
    diagonal: np.ndarray,
    mass: np.ndarray,
    s: np.ndarray,
    t: np.ndarray,
    x: np.ndarray,
    tolerance: float,
    most: int,
) -> bool:
    """x (R, 4) <- (s M + t L)^-1 x, s and t (4,), to a residual below ``tolerance`` of the first in the preconditioner's norm.

    Whether that was so after ``most`` steps at the latest.
    """
    rows = x.shape[0]
    r, p, q = x.copy(), np.empty_like(x), np.empty_like(x)
    s0, s1, s2, s3, t0, t1, t2, t3 = s[0], s[1], s[2], s[3], t[0], t[1], t[2], t[3]
    w0 = w1 = w2 = w3 = 0.0
    for i in range(rows):
        m, d = mass[i], diagonal[i]
        p[i, 0], p[i, 1] = r[i, 0] / (s0 * m + t0 * d), r[i, 1] / (s1 * m + t1 * d)
        p[i, 2], p[i, 3] = r[i, 2] / (s2 * m + t2 * d), r[i, 3] / (s3 * m + t3 * d)
        w0, w1, w2, w3 = w0 + r[i, 0] * p[i, 0], w1 + r[i, 1] * p[i, 1], w2 + r[i, 2] * p[i, 2], w3 + r[i, 3] * p[i, 3]
        x[i] = 0.0
    limit = tolerance * tolerance
    b0, b1, b2, b3 = limit * w0, limit * w1, limit * w2, limit * w3
    for _ in range(most):
        if w0 <= b0 and w1 <= b1 and w2 <= b2 and w3 <= b3:
            return True
        a0 = a1 = a2 = a3 = 0.0
        for i in range(rows):
            y0 = y1 = y2 = y3 = 0.0
            for e in range(rowptr[i], rowptr[i + 1]):
                j, v = column[e], value[e]
                y0, y1, y2, y3 = y0 + v * p[j, 0], y1 + v * p[j, 1], y2 + v * p[j, 2], y3 + v * p[j, 3]
            m = mass[i]
            y0, y1 = s0 * m * p[i, 0] + t0 * y0, s1 * m * p[i, 1] + t1 * y1
            y2, y3 = s2 * m * p[i, 2] + t2 * y2, s3 * m * p[i, 3] + t3 * y3
            q[i, 0], q[i, 1], q[i, 2], q[i, 3] = y0, y1, y2, y3
            a0, a1, a2, a3 = a0 + p[i, 0] * y0, a1 + p[i, 1] * y1, a2 + p[i, 2] * y2, a3 + p[i, 3] * y3
        # A column of zeros stays one.
        a0, a1, a2, a3 = w0 / max(a0, _TINY), w1 / max(a1, _TINY), w2 / max(a2, _TINY), w3 / max(a3, _TINY)
        n0 = n1 = n2 = n3 = 0.0
        for i in range(rows):
            m, d = mass[i], diagonal[i]
            x[i, 0], x[i, 1] = x[i, 0] + a0 * p[i, 0], x[i, 1] + a1 * p[i, 1]
            x[i, 2], x[i, 3] = x[i, 2] + a2 * p[i, 2], x[i, 3] + a3 * p[i, 3]
            r0, r1, r2, r3 = r[i, 0] - a0 * q[i, 0], r[i, 1] - a1 * q[i, 1], r[i, 2] - a2 * q[i, 2], r[i, 3] - a3 * q[i, 3]
            r[i, 0], r[i, 1], r[i, 2], r[i, 3] = r0, r1, r2, r3
            z0, z1 = r0 / (s0 * m + t0 * d), r1 / (s1 * m + t1 * d)
            z2, z3 = r2 / (s2 * m + t2 * d), r3 / (s3 * m + t3 * d)
            q[i, 0], q[i, 1], q[i, 2], q[i, 3] = z0, z1, z2, z3
            n0, n1, n2, n3 = n0 + r0 * z0, n1 + r1 * z1, n2 + r2 * z2, n3 + r3 * z3
        c0, c1, c2, c3 = n0 / max(w0, _TINY), n1 / max(w1, _TINY), n2 / max(w2, _TINY), n3 / max(w3, _TINY)
        w0, w1, w2, w3 = n0, n1, n2, n3
        for i in range(rows):
            p[i, 0], p[i, 1] = q[i, 0] + c0 * p[i, 0], q[i, 1] + c1 * p[i, 1]
            p[i, 2], p[i, 3] = q[i, 2] + c2 * p[i, 2], q[i, 3] + c3 * p[i, 3]
    return False
