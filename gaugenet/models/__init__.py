"""Ready networks."""

from . import published as published
from .classifier import GaugeClassifier, MeshClassifier
from .encoder import EncoderOptions, GaugeEncoder
from .icosahedral import IcosahedralCNN
from .lie import LieConvNet
from .meshes import (
    EMAN,
    GCNN,
    GEMCNN,
    GET,
    HSN,
    MDGCNN,
    DeltaNet,
    DiffusionNet,
    EMANOptions,
    FieldConvNet,
    GeodesicCNN,
    GETOptions,
    Hermes,
    HermesOptions,
    PoissonNet,
)
from .moebius import MobiusCNN, StripCNN
from .planar import (
    HarmonicConv,
    HarmonicNetwork,
    InterpolatedConv,
    MagnitudeNonlinearity,
    PlanarCNN,
    ScaleConv,
    Scattering,
)
from .points import ClebschGordanNet, TensorFieldNetwork
from .spherical import UGSCNN, ClebschGordanCNN, DeepSphere, SphericalCNN, SphericalUNet, SpinCNN, ZonalCNN
from .unet import GaugeUNet, MeshUNet
from .voxels import GCNN3D, CubeNet, SteerableCNN3D, VoxelCNN

__all__ = [
    "EMAN",
    "GCNN",
    "GCNN3D",
    "GEMCNN",
    "GET",
    "HSN",
    "MDGCNN",
    "UGSCNN",
    "ClebschGordanCNN",
    "ClebschGordanNet",
    "CubeNet",
    "DeepSphere",
    "DeltaNet",
    "DiffusionNet",
    "EMANOptions",
    "EncoderOptions",
    "FieldConvNet",
    "GETOptions",
    "GaugeClassifier",
    "GaugeEncoder",
    "GaugeUNet",
    "GeodesicCNN",
    "HarmonicConv",
    "HarmonicNetwork",
    "Hermes",
    "HermesOptions",
    "IcosahedralCNN",
    "InterpolatedConv",
    "LieConvNet",
    "MagnitudeNonlinearity",
    "MeshClassifier",
    "MeshUNet",
    "MobiusCNN",
    "PlanarCNN",
    "PoissonNet",
    "ScaleConv",
    "Scattering",
    "SphericalCNN",
    "SphericalUNet",
    "SpinCNN",
    "SteerableCNN3D",
    "StripCNN",
    "TensorFieldNetwork",
    "VoxelCNN",
    "ZonalCNN",
]
