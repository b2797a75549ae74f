"""Networks on meshes, under the names of their papers."""

from .field_conv_net import FieldConvNet
from .gem_cnn import GEMCNN
from .geodesic_cnn import GCNN, GeodesicCNN
from .hsn import HSN
from .mdgcnn import MDGCNN

__all__ = ["GCNN", "GEMCNN", "HSN", "MDGCNN", "FieldConvNet", "GeodesicCNN"]
