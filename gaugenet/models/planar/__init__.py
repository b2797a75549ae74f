"""The published planar networks: choices of group, fields and kernel family over shared layers (docs/planar.md)."""

from ...nn.grid.interpolated import InterpolatedConv
from ...nn.grid.scale import ScaleConv
from ...nn.grid.scattering import Scattering
from .cnn import PlanarCNN
from .harmonic import HarmonicConv, HarmonicNetwork, MagnitudeNonlinearity, stream_type

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
