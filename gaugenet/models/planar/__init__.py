"""The published planar networks: choices of group, fields and kernel family over shared layers (docs/planar.md)."""

from .cnn import PlanarCNN
from .harmonic import HarmonicConv, HarmonicNetwork, MagnitudeNonlinearity, stream_type
from .interpolated import InterpolatedConv
from .scale import ScaleConv
from .scattering import Scattering

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
