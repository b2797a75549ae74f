"""Ready networks."""

from .classifier import MeshClassifier
from .moebius import MobiusCNN, StripCNN
from .unet import MeshUNet

__all__ = ["MeshClassifier", "MeshUNet", "MobiusCNN", "StripCNN"]
