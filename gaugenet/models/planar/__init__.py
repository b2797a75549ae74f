"""The published planar networks: choices of group, fields and kernel family over shared layers (docs/planar.md)."""

from ...nn import HarmonicConv, InterpolatedConv, MagnitudeNonlinearity, ScaleConv, Scattering, stream_type
from .cnn import PlanarCNN
from .harmonic import HarmonicNetwork

__all__ = [
    "HarmonicConv",
    "HarmonicNetwork",
    "InterpolatedConv",
    "MagnitudeNonlinearity",
    "PlanarCNN",
    "ScaleConv",
    "Scattering",
    "stream_type",
]
