"""Layers: gauge-equivariant convolution, linear maps, nonlinearities, norms, pooling."""

from .bias import FieldBias
from .blocks import ConvBlock, ResidualBlock
from .gauge_conv import CoefficientTable, GaugeConv
from .linear import GaugeLinear
from .nonlinearities import GatedNonlinearity, NormNonlinearity
from .norm import FieldDropout, FieldNorm
from .pooling import GaugePool, GaugeUnpool, GroupPool, global_mean, to_scalars
from .regular import PolynomialNonlinearity, RegularNonlinearity
from .tables import KernelTables
from .tensor_product import TensorNonlinearity, TensorProduct

__all__ = [
    "CoefficientTable",
    "ConvBlock",
    "FieldBias",
    "FieldDropout",
    "FieldNorm",
    "GatedNonlinearity",
    "GaugeConv",
    "GaugeLinear",
    "GaugePool",
    "GaugeUnpool",
    "GroupPool",
    "KernelTables",
    "NormNonlinearity",
    "PolynomialNonlinearity",
    "RegularNonlinearity",
    "ResidualBlock",
    "TensorNonlinearity",
    "TensorProduct",
    "global_mean",
    "to_scalars",
]
