"""Morlet wavelets on a periodic grid."""

from __future__ import annotations

import numpy as np

# The published normalisation takes this for pi: it changes all filters by 3e-5.
_PUBLISHED_PI = 3.1415


def morlet(shape: tuple[int, int], sigma: float, angle: float, frequency: float, slant: float) -> np.ndarray:
    r"""A plane wave in an elliptic Gaussian, less a Gaussian so that its sum is 0, periodised: (H, W) complex.

    .. math:: \psi(x) = g(x)\, (e^{i \xi \langle u, x \rangle} - \kappa), \qquad
              g(x) = \frac{s}{2 \pi \sigma^2} e^{-(\langle u, x \rangle^2 + s^2 \langle u_\perp, x \rangle^2) / 2 \sigma^2}

    (Bruna & Mallat 2013, arXiv 1203.1513, section 2.1; numbers as in Andreux et al. 2020, arXiv 1812.11214.)

    Args:
        shape: (H, W), the period in pixels.
        sigma: width along the wave, in pixels.
        angle: of the wave's direction u, counter-clockwise from the x axis (y up), in radians.
        frequency: xi, in radians per pixel.
        slant: s, the width along the wave divided by that across it.

    Returns:
        Values at x = (column, -row), the origin at [0, 0].
    """
    envelope = _periodised(shape, sigma, angle, 0.0, slant)
    wave = _periodised(shape, sigma, angle, frequency, slant)
    return wave - wave.sum() / envelope.sum() * envelope


def gaussian(shape: tuple[int, int], sigma: float) -> np.ndarray:
    """The isotropic Gaussian of width sigma in pixels, periodised: (H, W), the origin at [0, 0]."""
    return _periodised(shape, sigma, 0.0, 0.0, 1.0).real


def _periodised(shape: tuple[int, int], sigma: float, angle: float, frequency: float, slant: float) -> np.ndarray:
    """Sum over five periods a direction."""
    total = np.zeros(shape, dtype=complex)
    for above in range(-2, 3):
        for left in range(-2, 3):
            rows, columns = (np.arange(n) + k * n for n, k in zip(shape, (above, left)))
            x, y = columns[None, :], -rows[:, None]
            along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
            total += np.exp(-(along**2 + (slant * across) ** 2) / (2 * sigma**2) + 1j * frequency * along)
    return total * slant / (2 * _PUBLISHED_PI * sigma**2)
