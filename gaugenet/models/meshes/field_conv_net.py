"""Networks of field convolutions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ...fields import FieldType
from ...kernels import LinearRings
from ...nn import FieldConv
from ..encoder import EncoderOptions
from ..unet import GaugeUNet


@dataclass(frozen=True)
class FieldConvOptions(EncoderOptions):
    """:class:`EncoderOptions` of a network whose convolutions are :class:`gaugenet.nn.FieldConv`."""

    def convolution(self, in_type: FieldType, out_type: FieldType) -> Any:
        return FieldConv(in_type, out_type, self.radial, self.max_frequency, kernel=self.kernel, quadrature=self.quadrature)


class FieldConvNet(GaugeUNet):
    r"""Residual blocks of field convolutions (Mitchel, Kim & Kazhdan 2021, arXiv 2104.03916, section 5, FCNet).

    .. math:: out(p) = \sum_{q \to p} w_{pq}\, F\big(e^{-i \arg f(q)} \log_q p\big)\, e^{i \varphi_{pq}}\, f(q)

    with filters of frequencies up to 1 on six rings of equal area, a nonlinearity on the moduli of vectors, and one level.

    Unlike the publication: hidden fields have scalars beside vectors, which the input goes to by a linear map and
    outputs of scalars are read from (there a learnt gradient makes the first vectors, and histograms or moduli the outputs);
    norms ("graph") in the blocks; moment-matched areas.

    Args:
        in_type, out_type: field types of the input and the output, over a group of the plane.
        options: :class:`EncoderOptions`, or its fields as keywords, see :class:`GaugeEncoder`.
    """

    defaults: ClassVar[EncoderOptions] = replace(
        FieldConvOptions(), order=1, blocks=(3,), nonlinearity="norm", radial=LinearRings(6, equal_area=True, cutoff=False)
    )
