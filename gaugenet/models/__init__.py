"""Ready networks."""

from .classifier import MeshClassifier
from .unet import MeshUNet

__all__ = ["MeshClassifier", "MeshUNet"]
