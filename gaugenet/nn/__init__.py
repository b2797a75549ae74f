"""Layers: gauge-equivariant convolution, linear maps, nonlinearities, norms, pooling."""

from .bias import FieldBias
from .blocks import ConvBlock, ResidualBlock
from .cone_points import ConePoints
from .gauge_conv import CoefficientTable, GaugeConv
from .grid_conv import GridConv
from .grid_conv_transpose import GridConvTranspose
from .grid_export import export
from .grid_layers import GridBlur, GridDropout, GridUpsample
from .grid_mask import GridMask
from .grid_padding import GridPadding
from .grid_pooling import GridPool
from .lattice_conv import LatticeConv
from .lattice_plan import LatticePlan
from .lattice_pool import LatticePool
from .linear import GaugeLinear
from .nonlinearities import GatedNonlinearity, NormNonlinearity
from .norm import FieldDropout, FieldNorm
from .on_grid import OnGrid
from .pooling import GaugePool, GaugeUnpool, GroupPool, ToScalars, global_mean, to_scalars
from .regular import PolynomialNonlinearity, RegularNonlinearity
from .restriction import Restrict
from .tables import KernelTables
from .tensor_product import TensorNonlinearity, TensorProduct

__all__ = [
    "CoefficientTable",
    "ConePoints",
    "ConvBlock",
    "FieldBias",
    "FieldDropout",
    "FieldNorm",
    "GatedNonlinearity",
    "GaugeConv",
    "GaugeLinear",
    "GaugePool",
    "GaugeUnpool",
    "GridBlur",
    "GridConv",
    "GridConvTranspose",
    "GridDropout",
    "GridMask",
    "GridPadding",
    "GridPool",
    "GridUpsample",
    "GroupPool",
    "KernelTables",
    "LatticeConv",
    "LatticePlan",
    "LatticePool",
    "NormNonlinearity",
    "OnGrid",
    "PolynomialNonlinearity",
    "RegularNonlinearity",
    "ResidualBlock",
    "Restrict",
    "TensorNonlinearity",
    "TensorProduct",
    "ToScalars",
    "export",
    "global_mean",
    "to_scalars",
]
