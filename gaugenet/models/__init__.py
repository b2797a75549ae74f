"""Ready networks."""

from .classifier import MeshClassifier
from .icosahedral import IcosahedralCNN
from .unet import MeshUNet

__all__ = ["IcosahedralCNN", "MeshClassifier", "MeshUNet"]
