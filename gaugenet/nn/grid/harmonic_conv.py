"""Convolution and nonlinearity of Harmonic Networks (Worrall, Garbin, Turmukhambetov & Brostow 2017, arXiv 1612.04642)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, nn

from ...checks import check_counts, check_int, check_number
from ...fields import FieldType
from ...groups import SO2
from ...kernels.published.circular_filters import CircularHarmonic, stream_type
from ..exporting.exportable import Exportable, Seen
from ..exporting.plain import traced
from ..fields.nonlinearities import activation_function
from ..precision import room_for_squares
from ..tensor_checks import check_features
from .conv import GridConv


class HarmonicConv(GridConv):
    r"""Convolution of complex streams with circular harmonics (Worrall et al. 2017, arXiv 1612.04642, section 4).

    .. math:: out_o(p) = \sum_i \sum_t W_{o-i}(x_t)\, f_i(p + x_t), \qquad
              W_m(r, \varphi) = R_m(r)\, e^{i (m \varphi + \beta_m)}, \quad W_{-m} = \overline{W_m}

    with the learnt values R_m on rings, a learnt phase offset beta_m for every pair of channels, and one W_m for all pairs of
    orders with o - i = m, as in the authors' code; there W_0 is real between complex streams, so that its phase acts as
    cos(beta_0). It is equivariant up to the sampling of the rings on pixels (exactly for turns by 90 degrees).
    Of the four kernels per ring that SO(2) admits between orders n, m > 0 these are the two that are linear over the complex
    numbers; :class:`gaugenet.nn.GridConv` with ``kernel=kernels.Rings.of(5)`` has all of them and shares none between orders.
    This layer is GridConv with ``kernel=kernels.CircularHarmonic()``.

    Args:
        in_channels, out_channels: of each order.
        kernel_size: odd, pixels a side.
        in_order: largest order of the input; None for real images of ``in_channels`` scalar fields.
        out_order: largest order of the output.
        rings: number of radii, by default the larger of kernel_size // 2 and 2.
        phase: learn beta; without it beta = 0.
        padding: as in conv2d, with zeros; None for kernel_size // 2.
        stride: see :class:`gaugenet.nn.GridConv`.

    Attributes:
        radial: (orders, rings, in_channels, out_channels), R; the orders m are 0 .. max(in_order, out_order).
        offset: (orders, in_channels, out_channels), beta, or None.
        in_type, out_type: see :func:`gaugenet.nn.stream_type`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 5,
        *,
        in_order: int | None = None,
        out_order: int = 1,
        rings: int | None = None,
        phase: bool = True,
        padding: int | Sequence[int] | None = None,
        stride: int | Sequence[int] = 1,
    ) -> None:
        check_counts(self, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        check_int(self, "in_order", 0 if in_order is None else in_order, 0)
        check_int(self, "out_order", out_order, 0)
        check_int(self, "rings", 1 if rings is None else rings)
        in_type = FieldType(SO2(), [(in_channels, "0")]) if in_order is None else stream_type(in_channels, in_order)
        padding = kernel_size // 2 if padding is None else padding
        family = CircularHarmonic(rings, phase, real_input=in_order is None)
        out_type = stream_type(out_channels, out_order)
        super().__init__(in_type, out_type, kernel_size, padding, stride=stride, bias=False, kernel=family)
        self.in_channels, self.out_channels, self.in_order, self.out_order = in_channels, out_channels, in_order, out_order
        if not phase:
            self.register_parameter("offset", None)

    def _off_middle(self, message: str) -> None:
        warnings.warn(f"{message}; an error from the next release on", DeprecationWarning, stacklevel=5)

    @property
    def rings(self) -> int:  # type: ignore[override]  # the name in the paper
        """Number of radii."""
        return self.radial.shape[1]

    def filters(self) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts of W_m for m = 0, 1, ...: (orders, out, in, kernel_size, kernel_size)."""
        parts = self.expansion.filters(*self.kernel_parameters())
        real, imaginary = (part.transpose(2, 3).unflatten(-1, (self.kernel_size,) * 2) for part in parts)
        return real, imaginary


class MagnitudeNonlinearity(Exportable):
    r"""Acts on the modulus of every complex number, :math:`z \mapsto \sigma(|z| + b)\, z / |z|` (Worrall et al. 2017, eq. 11).

    Of order 0 too, whose complex numbers are pairs of scalars (:class:`gaugenet.nn.NormNonlinearity` takes scalars singly).

    Args:
        channels, max_order: of the streams, see :func:`gaugenet.nn.stream_type`.
        activation: name or callable.
        eps: :math:`|z|^2` is at least eps.

    Attributes:
        bias: (max_order + 1, channels), b.

    Shapes:
        (B, C, ...) -> (B, C, ...), C = 2 channels (max_order + 1); nodes or pixels.
    """

    def __init__(
        self, channels: int, max_order: int, activation: str | Callable[[Tensor], Tensor] = "relu", *, eps: float = 1e-12
    ) -> None:
        check_int(self, "channels", channels)
        check_int(self, "max_order", max_order, 0)
        check_number(self, "eps", eps)
        super().__init__()
        self.in_type = self.out_type = stream_type(channels, max_order)
        self.activation, self.act, self.eps = activation, activation_function(activation), eps
        self.bias = nn.Parameter(torch.zeros(max_order + 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.bias, "MagnitudeNonlinearity", x.dim() if x.dim() in (4, 5) else 2)
        z = x.unflatten(1, (len(self.bias), 2, -1))
        modulus = room_for_squares(z).square().sum(2, keepdim=True).clamp_min(self.eps).sqrt()
        bias = self.bias.view(1, len(self.bias), 1, -1, *[1] * (x.dim() - 2))
        return (self.act(modulus + bias) / modulus * z).flatten(1, 3).to(x.dtype)

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        return traced(_PlainMagnitude(self.bias, self.act, self.eps))

    def extra_repr(self) -> str:
        return f"{self.in_type}, activation={self.activation!r}"


class _PlainMagnitude(nn.Module):
    """:class:`MagnitudeNonlinearity` on images of channels."""

    def __init__(self, bias: Tensor, act: Callable[[Tensor], Tensor], eps: float) -> None:
        super().__init__()
        self.orders, self.act, self.eps = len(bias), act, eps
        self.register_buffer("bias", bias.detach().clone()[None, :, None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        z = x.unflatten(1, (self.orders, 2, -1))
        modulus = z.square().sum(2, keepdim=True).clamp_min(self.eps).sqrt()
        return (self.act(modulus + self.bias) / modulus * z).flatten(1, 3)
