"""Multi-directional geodesic networks."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ..encoder import EncoderOptions
from ..unet import GaugeUNet


class MDGCNN(GaugeUNet):
    r"""Directional functions, one value for every vertex and direction there (Poulenard & Ovsjanikov 2018, arXiv 1810.02303).

    .. math:: (f * k)(p, v) = \int k(u)\, f(\exp_p u,\ \Gamma_{p \to \exp_p u} v)\, du, \qquad u \text{ in the frame of } v

    A function of the direction that is cut off at frequency L has the irreps of the orders 0..L (``order``) of
    SO(2), and parallel transport of v is that of these fields; the convolution is linear and equivariant, hence a
    :class:`gaugenet.nn.GaugeConv`. The first layer makes functions of the direction out of scalars; two levels with pooling.

    Unlike the publication: kernels mix directions as well (all that are equivariant; there k leaves v where it is); functions
    are expanded in frequencies instead of sampled at a few directions and interpolated, and the nonlinearity is the exactly
    equivariant "polynomial" one (``nonlinearity=functools.partial(nn.RegularNonlinearity, samples=16)`` is ReLU on samples);
    the end is a linear map of the means over directions instead of a maximum; norms ("graph") in the blocks. Over C_N, with
    frames of an N-RoSy field, there are N directions, exactly.

    Args:
        in_type, out_type: field types of the input and the output.
        options: :class:`EncoderOptions`, or its fields as keywords, see :class:`GaugeEncoder`.
    """

    defaults: ClassVar[EncoderOptions] = replace(EncoderOptions(), channels=(16, 32), order=3, lift=False)
