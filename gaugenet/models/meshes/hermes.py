"""Gauge-equivariant nonlinear message passing networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import nn

from ...fields import FieldType
from ...nn import GaugeMessagePassing
from ..encoder import EncoderOptions
from ..unet import GaugeUNet


@dataclass(frozen=True)
class HermesOptions(EncoderOptions):
    """Options of a network whose convolutions are :class:`gaugenet.nn.GaugeMessagePassing`.

    Args:
        messages: the nonlinearity of the messages, as ``nonlinearity`` of the blocks.
    """

    messages: str | Callable[[FieldType], nn.Module] = field(default="gated", kw_only=True)

    def convolution(self, in_type: FieldType, out_type: FieldType) -> GaugeMessagePassing:
        if self.kernel is not None or self.quadrature != EncoderOptions.quadrature:
            raise ValueError(
                f"messages have polar kernels at single edges, of which no moments are matched: set radial and max_frequency, "
                f"not kernel={self.kernel} or quadrature={self.quadrature}"
            )
        return GaugeMessagePassing(
            in_type,
            out_type,
            radial=self.radial,
            max_frequency=self.max_frequency,
            nonlinearity=self.messages,
            activation=self.activation,
        )


class Hermes(GaugeUNet):
    r"""Nonlinear message passing for dynamics on meshes (Park, Wong & Walters 2023, arXiv 2310.19589).

    .. math:: f'(p) = f(p) + \mathrm{update}\Big( f(p),\ \sum_q w_{pq}\, \sigma\big( K(\log_p q)\, \rho(g_{pq}) f(q)
        + K'(\log_p q)\, f(p) \big) \Big)

    Residual blocks of :class:`gaugenet.nn.GaugeMessagePassing`, and a linear map to the output field, such as the next state of
    a partial differential equation. Over any planar group.

    Differences from the published network: one nonlinear map of both ends to a layer and not two; messages are gated, which is
    exact, where there the circle is sampled at a few points and vectors have a bias; sums over neighbours have quadrature
    weights, where there is a mean; no edge features.

    Args:
        in_type, out_type: field types of the input and the output.
        options: :class:`HermesOptions`, or its fields as keywords, see :class:`GaugeEncoder`.

    Shapes:
        as of :class:`GaugeUNet`.
    """

    defaults: ClassVar[EncoderOptions] = replace(HermesOptions(), channels=16, blocks=(2,))
