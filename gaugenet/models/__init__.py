"""Ready networks."""

from .classifier import GaugeClassifier, MeshClassifier
from .spherical import UGSCNN, DeepSphere, SphericalCNN, SphericalUNet, SpinCNN, ZonalCNN
from .stages import GaugeEncoder
from .unet import GaugeUNet, MeshUNet

__all__ = [
    "UGSCNN",
    "DeepSphere",
    "GaugeClassifier",
    "GaugeEncoder",
    "GaugeUNet",
    "MeshClassifier",
    "MeshUNet",
    "SphericalCNN",
    "SphericalUNet",
    "SpinCNN",
    "ZonalCNN",
]
