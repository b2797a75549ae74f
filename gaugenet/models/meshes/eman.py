"""Equivariant mesh attention networks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from ...fields import FieldType
from ...nn import GaugeAttention
from ..classifier import GaugeClassifier
from ..encoder import EncoderOptions


@dataclass(frozen=True)
class EMANOptions(EncoderOptions):
    """Options of a network whose convolutions are :class:`gaugenet.nn.GaugeAttention`.

    Args:
        heads: number of heads of every attention.
    """

    heads: int = field(default=2, kw_only=True)

    def convolution(self, in_type: FieldType, out_type: FieldType) -> GaugeAttention:
        if self.kernel is not None:
            raise ValueError(f"attention has polar kernels: set radial, max_frequency and quadrature, not kernel={self.kernel}")
        return GaugeAttention(
            in_type,
            out_type,
            self.heads,
            radial=self.radial,
            max_frequency=self.max_frequency,
            quadrature=self.quadrature,
        )


class EMAN(GaugeClassifier):
    r"""Residual blocks of attention (Basu, Gallego-Posada, Vigano, Rowbottom & Cohen 2022, arXiv 2205.10662).

    .. math:: f'(p) = K_{self} f(p) + \sum_q \alpha_{pq}\, w_{pq}\, K(\log_p q)\, \rho(g_{pq})\, V f(q), \qquad
        \alpha_{pq} \propto \exp\big( Q f(p) \cdot \rho(g_{pq}) K f(q) / \sqrt{D} \big)

    Two layers of :class:`gaugenet.nn.GaugeAttention` to a block, each with a norm and a nonlinearity, beside a shortcut; then
    the read-out of :class:`GaugeClassifier`. Over any planar group.

    Differences from the published code: logits do not depend on the frames (there components of keys in other frames are
    multiplied, and there is a bias on vectors: turning the frames changes its output by half); keys are linear in the neighbour
    and do not depend on the log; the softmax is over the measure of the neighbourhood and not over a number of neighbours, so
    that refining the mesh does not change it; the heads' kernels read every copy of the field, where there each makes its share
    of the copies; the nonlinearity is exact, where there the circle is sampled at a few points.

    Args:
        in_type: field type of the input features.
        num_classes: number of logits.
        options: :class:`EMANOptions`, or its fields as keywords, see :class:`GaugeEncoder`.

    Shapes:
        as of :class:`GaugeClassifier`.
    """

    defaults: ClassVar[EncoderOptions] = replace(EMANOptions(), channels=16, blocks=(3,))
