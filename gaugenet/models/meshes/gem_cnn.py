"""Gauge equivariant mesh CNNs."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..encoder import EncoderOptions
from ..unet import GaugeUNet


class GEMCNN(GaugeUNet):
    r"""Residual blocks of gauge-equivariant convolutions on fields of orders 0..``order`` (de Haan, Weiler, Cohen & Welling
    2021, arXiv 2003.05425).

    .. math:: out(p) = K_{self} f(p) + \sum_{q \to p} w_{pq}\, K_{neigh}(\log_p q)\, \rho(g_{pq})\, f(q)

    with every kernel that the constraint admits, in blocks of two convolutions, and as many scalars or vectors at every vertex
    as ``out_type`` asks for. The published network for FAUST has one level, and another one pools (``blocks=(3, 3)``, on a
    geometry with two levels).

    Unlike the publication: the nonlinearity is the exactly equivariant "polynomial" one by default
    (``nonlinearity=functools.partial(nn.RegularNonlinearity, samples=7)`` is the published one; with so few samples it is
    equivariant to one part in ten); biases are on invariants alone, where the published ones on vectors break equivariance;
    areas weight the neighbours, moment-matched, instead of a mean; radial functions are smooth; log maps and transporters
    are those of exact geodesics. :mod:`gaugenet.models.published` reads published weights.

    Args:
        in_type, out_type: field types of the input and the output.
        options: :class:`EncoderOptions`, or its fields as keywords, see :class:`GaugeEncoder`.
    """

    defaults: ClassVar[EncoderOptions] = replace(EncoderOptions(), channels=16, order=2, blocks=(3,), lift=False)
