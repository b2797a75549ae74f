"""Gauge equivariant transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from ...fields import FieldType
from ..classifier import GaugeClassifier
from ..encoder import EncoderOptions
from .eman import EMANOptions


@dataclass(frozen=True)
class GETOptions(EMANOptions):
    """As of :class:`EMAN`, with pointwise functions of regular fields for the nonlinearity."""

    nonlinearity: str | Callable[[FieldType], nn.Module] = "regular"


class GET(GaugeClassifier):
    r"""Self-attention on regular fields of C_N (He, Dong, Wang, Tao & Lin 2021, NeurIPS, Gauge Equivariant Transformer).

    .. math:: f'(p) = K_{self} f(p) + \sum_{heads} \sum_q \alpha_{pq}\, w_{pq}\, W(\log_p q)\, \rho(g_{pq})\, V f(q)

    with regular fields as orders 0..N/2 of their Fourier series, on which a pointwise function of the N values follows every
    layer. Over C_N (frames that only differ by N-th turns: :class:`gaugenet.groups.Cyclic`, on a lattice, the icosahedron or
    along an N-direction field) with ``order`` at least N/2 the hidden fields are whole regular ones and every step is exact.
    Over SO(2), on any surface, they are functions on the circle: transport and attention are exact, and the pointwise function
    is equivariant up to aliasing, which falls with its samples.

    Differences from the published network: there regular fields of C_N are carried by angles that are not in C_N, by an
    extension of the representation, so that its layers are equivariant up to an error that falls with N; values are a Taylor
    polynomial of the log, and here radial functions times harmonics, all kernels that the group admits; scores are products of
    queries and carried keys, normalised over the measure of the neighbourhood.

    Args:
        in_type: field type of the input features, over C_N or SO(2).
        num_classes: number of logits.
        options: :class:`GETOptions`, or its fields as keywords, see :class:`GaugeEncoder`.

    Shapes:
        as of :class:`GaugeClassifier`.
    """

    defaults: ClassVar[EncoderOptions] = replace(GETOptions(), channels=12, order=4, blocks=(2,))
