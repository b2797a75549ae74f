"""Networks on meshes, under the names of their papers."""

from .delta_net import DeltaNet
from .diffusion_net import DiffusionNet
from .eman import EMAN, EMANOptions
from .field_conv_net import FieldConvNet
from .gem_cnn import GEMCNN
from .geodesic_cnn import GCNN, GeodesicCNN
from .get import GET, GETOptions
from .hermes import Hermes, HermesOptions
from .hsn import HSN
from .mdgcnn import MDGCNN
from .poisson_net import PoissonNet

__all__ = [
    "EMAN",
    "GCNN",
    "GEMCNN",
    "GET",
    "HSN",
    "MDGCNN",
    "DeltaNet",
    "DiffusionNet",
    "EMANOptions",
    "FieldConvNet",
    "GETOptions",
    "GeodesicCNN",
    "Hermes",
    "HermesOptions",
    "PoissonNet",
]
