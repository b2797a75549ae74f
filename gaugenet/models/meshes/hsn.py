"""Harmonic Surface Networks."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ...kernels import HarmonicRings
from ..encoder import EncoderOptions
from ..unet import GaugeUNet


class HSN(GaugeUNet):
    r"""U-shaped network of harmonic convolutions (Wiersma, Eisemann & Hildebrandt 2020, arXiv 2006.01570).

    .. math:: out_m(p) = \sum_n \sum_{q \to p} w_{pq} R(r_{pq}) e^{i (\beta + (m - n) \theta_{pq})} e^{i n \varphi_{pq}} f_n(q)

    in residual blocks, two on each of two levels, on fields of orders 0 and 1, with values on six rings; a nonlinearity on the
    moduli, and pooling by transported means.

    Unlike the publication: transporters turn order n by n times their angle (the published code is off from order 2 on);
    numbers of order 0 are real; one block on the way up; a linear map of the invariants at the end instead of a sum of
    moduli; norms ("graph") in the blocks; moment-matched areas. Levels are subsets of vertices with exact transport.

    Args:
        in_type, out_type: field types of the input and the output.
        options: :class:`EncoderOptions`, or its fields as keywords, see :class:`GaugeEncoder`.
    """

    defaults: ClassVar[EncoderOptions] = replace(
        EncoderOptions(), channels=(16, 32), order=1, blocks=(2, 2), nonlinearity="norm", kernel=HarmonicRings(6)
    )
