"""Geodesic CNNs: scalars, and the best of all turns of a template."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar

from ...nn import AngularMaxPool
from ..encoder import EncoderOptions
from ..unet import GaugeUNet


class GeodesicCNN(GaugeUNet):
    r"""Geodesic convolutions with angular max pooling (Masci, Boscaini, Bronstein & Vandergheynst 2015, arXiv 1501.06297).

    .. math:: out(p) = \sigma\Big(\max_{a}\ \sum_{q \to p} w_{pq}\, K(r_{pq}, \theta_{pq} + a)\, f(q) + b\Big)

    on scalars. The convolution with all turns of a template is one with values in the functions of the angle, cut off at
    frequency L, :class:`gaugenet.nn.GaugeConv`; :class:`gaugenet.nn.AngularMaxPool` is the maximum. Intrinsic shape contexts
    (Kokkinos et al. 2012) are the same patches without learning: what they see, such a network sees of invariant inputs, heat
    kernel signatures or curvatures.

    Unlike the publication: the maximum is over all angles instead of 16, so that no frame matters; templates are radial
    functions times harmonics instead of bins; norms ("graph") in the blocks;
    moment-matched areas; a linear map of the scalars at the end (there also covariances of features over the surface). What
    a maximum forgets, directional networks keep: :class:`MDGCNN`.

    Args:
        in_type, out_type: field types of the input and the output; hidden fields and with them the outputs are scalars.
        options: :class:`EncoderOptions`, or its fields as keywords, see :class:`GaugeEncoder`.
            ``nonlinearity=functools.partial(nn.AngularMaxPool, order=5)`` is for sharper templates.
    """

    defaults: ClassVar[EncoderOptions] = replace(
        EncoderOptions(), channels=32, order=0, blocks=(3,), block="plain", nonlinearity=partial(AngularMaxPool, order=3)
    )


#: under the name in the paper
GCNN = GeodesicCNN
