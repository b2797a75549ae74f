"""Gaussian derivatives sampled at several scales: the kernels of scale-equivariant steerable networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.polynomial.hermite_e import hermeval

KINDS = ("A", "B")


def hermite_gaussians(
    size: int,
    scales: Sequence[float],
    effective_size: int,
    kind: str = "A",
    *,
    shrink: float = 1.4,
    max_order: int = 4,
) -> np.ndarray:
    r"""2D Hermite polynomials with a Gaussian envelope, each sampled at every scale (Sosnovik et al. 2020, arXiv 1910.11093).

    .. math:: \psi^{\sigma}_{nm}(x, y) = \sigma^{-2} He_n(x / \sigma)\, He_m(y / \sigma)\, e^{-(x^2 + y^2) / 2 \sigma^2}

    cut off beyond (2 floor(size sigma / (2 max sigma)) + 1) pixels a side, and divided by the norm that the function has at the
    first scale: the factor is one for all scales, so that psi stays one function of x / sigma.

    Args:
        size: pixels a side at the largest scale, odd.
        scales: sigma in pixels.
        effective_size: its square F is the number of functions, that of the weights of an ordinary kernel of this size.
        kind: "A", all orders n, m < effective_size; "B", orders n + m <= max_order with the width sigma, then sigma / shrink,
            and so on (the paper's multi-scale basis) until there are F.
        shrink, max_order: of kind "B".

    Returns:
        (F, S, size, size), rows along x: psi_nm stands at n + m F^(1/2) for kind "A".

    Raises:
        ValueError: an even size, an unknown kind, numbers out of range; a function that vanishes on the pixels of
            the first scale.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if size < 1 or size % 2 == 0 or effective_size < 1 or min(scales) <= 0 or shrink <= 1 or max_order < 0:
        raise ValueError(
            f"expected an odd size, positive scales, effective_size >= 1, shrink > 1 and max_order >= 0, got {size!r}, "
            f"{tuple(scales)}, {effective_size!r}, {shrink!r}, {max_order!r}"
        )
    count, functions = effective_size**2, []
    orders = [(n, m) for m in range(effective_size) for n in range(effective_size)]
    if kind == "B":
        orders = [(n, m) for m in range(max_order + 1) for n in range(max_order + 1 - m)]
    for number in range(count):
        level, place = divmod(number, len(orders))
        functions.append([_sample(size, int(size * s / max(scales)) // 2, s / shrink**level, *orders[place]) for s in scales])
    basis = np.array(functions)
    norm = np.sqrt((basis[:, :1] ** 2).sum((2, 3), keepdims=True))
    if not norm.all():
        half = int(size * scales[0] / max(scales)) // 2
        raise ValueError(
            f"{2 * half + 1} pixels a side at the scale {scales[0]} are too few for {effective_size} orders: take a larger "
            f"size, or fewer orders (size {size} belongs to the largest scale, {max(scales)})"
        )
    return basis / norm


def _sample(size: int, half: int, width: float, n: int, m: int) -> np.ndarray:
    x = np.arange(size) - size // 2
    envelope = np.where(np.abs(x) <= half, np.exp(-(x**2) / (2 * width**2)) / width, 0)
    along = [envelope * hermeval(x / width, [0] * order + [1]) for order in (n, m)]
    return np.outer(*along)
