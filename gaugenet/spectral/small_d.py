"""Wigner's small d by recursion in the degree: the polar part of every harmonic here."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

# Above it the binomials of the first values leave the range of double precision.
MAX_DEGREE = 500


def small_d(lmax: int, n: np.ndarray | int, theta: np.ndarray) -> Iterator[np.ndarray]:
    r"""Yields d^l_{mn}(theta) for l = 0, 1, ..., lmax: arrays (2l + 1, X), rows m = -l..l; 0 where l < |n|.

    The sign convention is that of Edmonds and Wikipedia: :math:`d^{1/2}_{1/2,-1/2} = -\sin(\theta/2)`. Upward three-term
    recursion in l (Varshalovich et al. 1988, section 4.8), which is stable, from the closed form at l = max(\|m\|, \|n\|).

    Args:
        n: (X,) or one integer. theta: (X,) radians in [0, pi].
    """
    if lmax > MAX_DEGREE:
        raise ValueError(f"harmonics are implemented up to degree {MAX_DEGREE}, got lmax={lmax}")
    n, theta = np.broadcast_arrays(np.atleast_1d(n), np.atleast_1d(np.asarray(theta, np.float64)))
    cosine, c, s = np.cos(theta), np.cos(theta / 2), np.sin(theta / 2)
    orders = np.arange(-lmax, lmax + 1)[:, None]
    older = newer = np.zeros((1, theta.size))
    for l in range(lmax + 1):
        m = orders[lmax - l : lmax + l + 1]
        now = np.zeros((2 * l + 1, theta.size))
        if l == 1:
            now[1] = cosine * newer[0]
        elif l > 1:
            k, inner = l - 1, m[1:-1]
            grown = (2 * k + 1) * (k * (k + 1) * cosine - inner * n) * newer
            grown[1:-1] -= (k + 1) * np.sqrt(np.maximum((k * k - m[2:-2] ** 2) * (k * k - n * n), 0)) * older
            scale = k * np.sqrt(np.maximum((l * l - inner**2) * (l * l - n * n), 0.0))
            now[1:-1] = np.divide(grown, scale, out=np.zeros_like(grown), where=scale > 0)
        _start(now, l, n, c, s)
        older, newer = newer, now
        yield now


def _start(now: np.ndarray, l: int, n: np.ndarray, c: np.ndarray, s: np.ndarray) -> None:
    """Fills in the entries with max(|m|, |n|) = l: sqrt(binomial(2l, l + k)) cos^|m+n| (+-sin)^|m-n|, k the smaller index."""
    inside = np.flatnonzero(np.abs(n) <= l)
    root = {int(k): math.sqrt(math.comb(2 * l, l + int(k))) for k in np.unique(n[inside])}
    at_n = np.array([root[int(k)] for k in n[inside]])
    for m in (-l, l):
        now[m + l, inside] = at_n * _monomial(m, n[inside], c[inside], s[inside])
    for column in np.flatnonzero(np.abs(n) == l):
        orders = np.arange(-l, l + 1)
        at_m = np.array([math.sqrt(math.comb(2 * l, l + int(k))) for k in orders])
        now[:, column] = at_m * _monomial(orders, n[column], c[column], s[column])


def _monomial(m, n, c, s):
    sign = np.where((m > n) & ((m - n) % 2 == 1), -1.0, 1.0)
    return sign * c ** np.abs(m + n) * s ** np.abs(m - n)
