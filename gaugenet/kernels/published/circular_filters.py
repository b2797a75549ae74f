"""Rings times circular harmonics, sampled on pixels through a Gaussian: the filters of Harmonic Networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from ...checks import check_counts
from ...fields import FieldType
from ...groups import SO2
from ..taps import square_taps
from .sampled import SampledExpansion, no_graphs, odd_square


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


def stream_type(channels: int, max_order: int) -> FieldType:
    """Complex fields of the orders 0 .. max_order over SO(2), ``channels`` of each: real parts, then imaginary ones.

    An irrep of order m >= 1 is one complex number z, turned by :math:`e^{i m a}` for a counter-clockwise angle a; the complex
    numbers of order 0 are pairs of scalars. (The published code keeps the conjugate, :math:`e^{-i m a}`.)
    """
    return FieldType(SO2(), [(2 * channels, "0"), *((channels, str(m)) for m in range(1, max_order + 1))])


class CircularExpansion(SampledExpansion):
    """The matrices of :class:`CircularHarmonic` kernels.

    Its parameters are "radial" (orders, rings, in, out), the values R on the rings, and with phases "offset" (orders, in, out).

    Raises:
        TypeError, ValueError: as :meth:`CircularHarmonic.on_taps`.
    """

    real_filters: Tensor
    imaginary_filters: Tensor

    def __init__(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray, family: CircularHarmonic) -> None:
        super().__init__(in_type, out_type)
        scalars = in_type.dim > 0 and in_type == FieldType(SO2(), [(in_type.dim, "0")])
        self.real = scalars if family.real_input is None else family.real_input
        if self.real and not scalars:
            raise TypeError(f"CircularHarmonic expected scalar fields over groups.SO2() as a real input, got {in_type}")
        channels_in, self.in_order = (in_type.dim, 0) if self.real else _stream(in_type)
        channels_out, self.out_order = _stream(out_type)
        size = odd_square(taps, "CircularHarmonic")
        rings = max(size // 2, 2) if family.rings is None else family.rings
        orders = max(self.in_order, self.out_order) + 1
        filters = circular_filters(size, rings, orders - 1)
        self.register_constant("real_filters", torch.from_numpy(filters.real.copy()))
        self.register_constant("imaginary_filters", torch.from_numpy(filters.imag.copy()))
        self.parameter_shapes = {"radial": (orders, rings, channels_in, channels_out)}
        if family.phase:
            self.parameter_shapes["offset"] = (orders, channels_in, channels_out)
        energy = (np.abs(filters) ** 2).sum(-1).mean()
        self._std = float(energy * rings * channels_in * (self.in_order + 1)) ** -0.5

    def initial_parameters(self) -> dict[str, Tensor]:
        """Normal values that about keep the variance, uniform phases."""
        shapes = self.parameter_shapes
        found = {"radial": torch.randn(shapes["radial"], device="cpu") * self._std}
        if "offset" in shapes:
            found["offset"] = torch.rand(shapes["offset"], device="cpu") * 2 * torch.pi
        return found

    def filters(self, radial: Tensor, offset: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts of W_m for m = 0, 1, ...: (orders, out, T, in)."""
        real, imaginary = (torch.einsum("mrt,mrio->moti", f, radial) for f in (self.real_filters, self.imaginary_filters))
        if offset is None:
            return real, imaginary
        cos, sin = (f(offset).mT.unsqueeze(2) for f in (torch.cos, torch.sin))
        return cos * real - sin * imaginary, cos * imaginary + sin * real

    def forward(self, radial: Tensor, offset: Tensor | None = None) -> Tensor:
        real, imaginary = self.filters(radial, offset)
        rows = []
        for o in range(self.out_order + 1):
            if self.real:
                rows.append(torch.cat([real[o], imaginary[o]]))
                continue
            row = []
            for i in range(self.in_order + 1):
                m = abs(o - i)
                a, b = real[m], (imaginary[m] if o > i else -imaginary[m] if o < i else torch.zeros_like(imaginary[m]))
                row.append(torch.cat([torch.cat([a, -b], -1), torch.cat([b, a], -1)]))
            rows.append(torch.cat(row, -1))
        return torch.cat(rows).permute(1, 2, 0)


@dataclass(frozen=True)
class CircularHarmonic:
    r"""Circular harmonics on rings between complex fields (Worrall et al. 2017, arXiv 1612.04642, section 4).

    .. math:: K_{oi} = W_{o-i}, \qquad W_m(r, \varphi) = R_m(r)\, e^{i (m \varphi + \beta_m)}, \quad W_{-m} = \overline{W_m}

    :class:`gaugenet.nn.HarmonicConv` is
    ``GridConv(stream_type(c, m), stream_type(d, n), kernel_size, kernel=CircularHarmonic(), bias=False)``.

    Args:
        rings: number of radii, by default the larger of size // 2 and 2.
        phase: learn beta; without it beta = 0.
        real_input: the input are real scalar fields, and no complex ones of order 0; by default whenever it has scalars alone.
    """

    rings: int | None = None
    phase: bool = True
    real_input: bool | None = None

    def __post_init__(self) -> None:
        check_counts(self, rings=1 if self.rings is None else self.rings)

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> NoReturn:
        """Refused with TypeError."""
        raise no_graphs("CircularHarmonic")

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray) -> CircularExpansion:
        """The kernels on an odd square of taps.

        Raises:
            TypeError: types that are no :func:`stream_type` (scalar fields of SO(2) for a real input).
            ValueError: other taps; no rings.
        """
        return CircularExpansion(in_type, out_type, taps, self)


def _stream(type: FieldType) -> tuple[int, int]:
    """Channels and largest order of a :func:`stream_type`. TypeError for other types."""
    scalars, order = type.blocks[0][0] if type.blocks else 0, len(type.blocks) - 1
    if not scalars or scalars % 2 or type != stream_type(scalars // 2, order):
        raise TypeError(
            f"CircularHarmonic expected complex fields over groups.SO2(), such as nn.stream_type(4, 2) = "
            f'"8x0 + 4x1 + 4x2", got {type} over {type.group}'
        )
    return scalars // 2, order
