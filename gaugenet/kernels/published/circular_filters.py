"""Rings times circular harmonics, sampled on pixels through a Gaussian: the filters of Harmonic Networks."""

from __future__ import annotations

import numpy as np

from ..taps import square_taps


def circular_filters(
    size: int, rings: int, max_order: int, *, bandwidth: float = 0.5, samples: int | None = None
) -> np.ndarray:
    r"""Circular harmonics on rings, resampled on the taps (Worrall et al. 2017, arXiv 1612.04642, section 4, eq. 14).

    .. math:: B_{m,r}(x_t) = \sum_{s} e^{i m \varphi_s}\, \frac{w_{rs}(x_t)}{\sum_{t'} w_{rs}(x_{t'})}, \qquad
              w_{rs}(x) = e^{-|\varrho_r u_s - x|^2 / 2 b^2}

    with S points u_s on the unit circle. The rings have radii from 0 (orders m >= 1: from 1) to rings - 1/2 pixels, equally
    spaced.

    Args:
        size: taps a side.
        rings: number of radii.
        max_order: largest m.
        bandwidth: b in pixels.
        samples: S, by default the larger of 101 and ceil(pi size).

    Returns:
        (max_order + 1, rings, T) complex, taps in the order of conv2d, angles counter-clockwise (y up).

    Raises:
        ValueError: numbers out of range.
    """
    if size < 1 or rings < 1 or max_order < 0 or bandwidth <= 0 or (samples is not None and samples < 1):
        raise ValueError(
            f"expected size, rings, samples >= 1, max_order >= 0 and bandwidth > 0, got {size}, {rings}, {max_order}"
        )
    samples = max(int(np.ceil(np.pi * size)), 101) if samples is None else samples
    angle = 2 * np.pi * np.arange(samples) / samples
    circle, taps = np.stack([np.cos(angle), np.sin(angle)], -1), square_taps(size)
    filters = []
    for m in range(max_order + 1):
        radii = np.linspace(float(m != 0), rings - 0.5, rings)
        distance = np.linalg.norm(radii[:, None, None, None] * circle[:, None] - taps, axis=-1)  # (rings, S, T)
        weight = np.exp(-(distance**2) / (2 * bandwidth**2))
        weight /= weight.sum(-1, keepdims=True)
        filters.append(np.einsum("s,rst->rt", np.exp(1j * m * angle), weight))
    return np.stack(filters)
