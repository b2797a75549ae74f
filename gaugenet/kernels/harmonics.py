"""Circular and real spherical harmonics of the direction of a vector; on a line its sign."""

from __future__ import annotations

import numpy as np
import torch

from ..groups.harmonic_action import gradient_tensor


def harmonics(x: torch.Tensor, max_frequency: int) -> torch.Tensor:
    """Harmonics of x / |x| up to a frequency: (..., d) -> (..., Y), d = 1, 2 or 3; see `circular_harmonics`,
    `spherical_harmonics`. On a line they are 1 and the sign, and there are none above frequency 1.

    At x = 0 only the entry of frequency 0 is not zero (a direction-dependent kernel has no value there). The gradient is finite
    everywhere, zero at x = 0. For orthogonal g, ``Y_f(g x) = D_f(g) Y_f(x)`` with D of `groups.harmonic_action`.
    """
    return _in_dimension(x.shape[-1], max_frequency, _signs, circular_harmonics, spherical_harmonics)(x, max_frequency)


def harmonic_frequencies(dim: int, max_frequency: int) -> torch.Tensor:
    """The frequency of each column of `harmonics`, (Y,) int64: 2F + 1 in the plane, (F + 1)^2 in space, at most 2 on a line."""
    sizes = [harmonic_size(dim, f) for f in range(max_frequency + 1)]
    return torch.from_numpy(np.repeat(np.arange(max_frequency + 1), sizes))


def harmonic_size(dim: int, frequency: int) -> int:
    """How many harmonics of this frequency there are in dimension 1 (1 or 0), 2 (1 or 2) or 3 (2l + 1)."""
    return _in_dimension(dim, frequency, int(frequency < 2), 2 if frequency else 1, 2 * frequency + 1)


def _signs(x: torch.Tensor, max_frequency: int) -> torch.Tensor:
    """[1, x / |x|], or [1]: (..., 1) -> (..., 2)."""
    direction = _direction(x)
    return torch.cat([torch.ones_like(direction), direction], -1) if max_frequency else torch.ones_like(direction)


def circular_harmonics(x: torch.Tensor, max_frequency: int) -> torch.Tensor:
    """[1, cos a, sin a, cos 2a, sin 2a, ...] for x = |x| (cos a, sin a): (..., 2) -> (..., 2F + 1)."""
    c, s = _direction(x).unbind(-1)
    columns, cos, sin = [torch.ones_like(c)], c, s
    for frequency in range(1, max_frequency + 1):
        if frequency > 1:
            cos, sin = cos * c - sin * s, cos * s + sin * c
        columns += [cos, sin]
    return torch.stack(columns, -1)


def spherical_harmonics(x: torch.Tensor, max_frequency: int) -> torch.Tensor:
    """Real spherical harmonics of degree 0..F: (..., 3) -> (..., (F + 1)^2).

    Normalised to sum_m Y_lm^2 = 1 on the unit sphere, so that l = 1 is (x, y, z) itself. Components m = -l..l about the y
    axis (the order and the signs of e3nn's ``normalization="norm"``).
    """
    unit = _direction(x)
    degree = torch.ones_like(unit[..., :1])
    columns = [degree]
    for l in range(1, max_frequency + 1):
        coupling = (gradient_tensor(l) / l).to(x)
        degree = torch.einsum("...a,...m,amk->...k", unit, degree, coupling)
        columns.append(degree)
    return torch.cat(columns, -1)


def _direction(x: torch.Tensor) -> torch.Tensor:
    """x / |x|, and 0 at 0; safe for tiny and huge x, with a gradient of 0 at 0."""
    if not x.is_floating_point():
        raise TypeError(f"harmonics take floating-point vectors, got {x.dtype}")
    # The direction does not depend on the scale, so the scale needs no gradient.
    scale = x.detach().abs().amax(-1, keepdim=True)
    x = x / torch.where(scale > 0, scale, 1)
    square = (x * x).sum(-1, keepdim=True)
    return torch.where(square > 0, x * torch.where(square > 0, square, 1).rsqrt(), 0)


def _in_dimension(dim: int, frequency: int, linear, planar, spatial):
    if frequency < 0:
        raise ValueError(f"a frequency is at least 0, got {frequency}")
    if dim not in (1, 2, 3):
        raise ValueError(f"harmonics are implemented in dimension 1, 2 and 3, got vectors of dimension {dim}")
    return (linear, planar, spatial)[dim - 1]
