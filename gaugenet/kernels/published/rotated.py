"""Kernels turned by bilinear interpolation."""

from __future__ import annotations

import numpy as np

from ..taps import square_taps


def rotation_operators(size: int, count: int, disk: bool = True) -> np.ndarray:
    r"""Matrices that turn a kernel by the angles 2 pi n / count: (count, T, T), T = size^2 taps in the order of conv2d.

    .. math:: K_n(x_t) = \sum_s M_{n,ts}\, K(x_s) \approx K(R_n^{-1} x_t)

    by bilinear interpolation between the taps and 0 beyond them (Bekkers et al. 2018, arXiv 1804.03393, section 3.2). Turns
    by 90 degrees are permutations of the taps; others are not, and composing them blurs.

    Args:
        size: taps a side.
        count: number of rotations, counter-clockwise from none.
        disk: cut out the taps farther than size / 2 from the middle, which rotations carry out of the square.
    """
    taps = square_taps(size)
    angle = 2 * np.pi * np.arange(count) / count
    cos, sin = np.cos(angle), np.sin(angle)
    # R_n^-1 x; multiples of 90 degrees must not miss a tap by rounding.
    source = np.einsum("nij,tj->nti", np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1), taps).round(12)
    hat = np.maximum(1 - np.abs(source[:, :, None] - taps), 0)  # (count, T, T, 2)
    operators = hat.prod(-1)
    if disk:
        operators *= (np.linalg.norm(taps, axis=1) <= size / 2)[:, None]
    return operators
