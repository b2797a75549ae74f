"""Ready networks."""

from .classifier import GaugeClassifier, MeshClassifier
from .icosahedral import IcosahedralCNN
from .moebius import MobiusCNN, StripCNN
from .spherical import UGSCNN, ClebschGordanCNN, DeepSphere, SphericalCNN, SphericalUNet, SpinCNN, ZonalCNN
from .stages import GaugeEncoder
from .unet import GaugeUNet, MeshUNet

__all__ = [
    "UGSCNN",
    "ClebschGordanCNN",
    "DeepSphere",
    "GaugeClassifier",
    "GaugeEncoder",
    "GaugeUNet",
    "IcosahedralCNN",
    "MeshClassifier",
    "MeshUNet",
    "MobiusCNN",
    "SphericalCNN",
    "SphericalUNet",
    "SpinCNN",
    "StripCNN",
    "ZonalCNN",
]
