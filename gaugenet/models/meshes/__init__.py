"""Networks on meshes, under the names of their papers."""

from .delta_net import DeltaNet
from .diffusion_net import DiffusionNet
from .field_conv_net import FieldConvNet
from .gem_cnn import GEMCNN
from .geodesic_cnn import GCNN, GeodesicCNN
from .hsn import HSN
from .mdgcnn import MDGCNN
from .poisson_net import PoissonNet

__all__ = ["GCNN", "GEMCNN", "HSN", "MDGCNN", "DeltaNet", "DiffusionNet", "FieldConvNet", "GeodesicCNN", "PoissonNet"]
