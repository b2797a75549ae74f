"""Layers: gauge-equivariant convolution, linear maps, nonlinearities, norms, pooling."""

from ..kernels import CoefficientTable
from ..kernels.published.circular_filters import stream_type
from ..ops import EdgePlan as LatticePlan
from .exporting.graphs import dynamic_shapes, graph_inputs
from .exporting.network import export
from .fields.angular_max import AngularMaxPool
from .fields.bias import FieldBias
from .fields.by_name import make_nonlinearity
from .fields.invariants import GroupPool, ToScalars, global_mean, global_sum, to_scalars
from .fields.linear import GaugeLinear
from .fields.nonlinearities import GatedNonlinearity, NormNonlinearity
from .fields.norm import FieldDropout, FieldNorm
from .fields.regular import PolynomialNonlinearity, RegularNonlinearity
from .fields.restriction import Restrict
from .fields.running import refresh_norms
from .fields.tensor_product import TensorNonlinearity, TensorProduct
from .frechet.mean import FrechetDistances, FrechetMean, frechet_mean
from .frechet.spaces import PositiveDefinite, Rotations, UnitSphere
from .graph.blocks import BlockOptions, BottleneckBlock, ConvBlock, ResidualBlock
from .graph.cone_points import ConePoints
from .graph.edge_frames import EdgeFrameConv
from .graph.gauge_conv import GaugeConv
from .graph.lattice_conv import LatticeConv
from .graph.lattice_pool import LatticePool
from .graph.pooling import GaugePool, GaugeUnpool
from .graph.tables import KernelTables
from .grid.conv import GridConv
from .grid.harmonic_conv import HarmonicConv, MagnitudeNonlinearity
from .grid.interpolated import InterpolatedConv
from .grid.layers import GridBlur, GridDropout, GridUpsample, OnGrid
from .grid.masks import GridMask
from .grid.padding import GridPadding
from .grid.pooling import GridPool
from .grid.scale import ScaleConv
from .grid.scattering import Scattering
from .grid.transpose import GridConvTranspose
from .surfaces.attention import GaugeAttention
from .surfaces.diffusion import FieldDiffusion
from .surfaces.field_conv import FieldConv
from .surfaces.functional_maps import functional_map, laplacian_basis, map_of_matches, matches_of_map, zoom_out
from .surfaces.harmonic_conv import HarmonicSurfaceConv
from .surfaces.message_passing import GaugeMessagePassing
from .surfaces.operators import Curl, Divergence, Gradient, Laplacian
from .surfaces.poisson import PoissonSolve

__all__ = [
    "AngularMaxPool",
    "BlockOptions",
    "BottleneckBlock",
    "CoefficientTable",
    "ConePoints",
    "ConvBlock",
    "Curl",
    "Divergence",
    "EdgeFrameConv",
    "FieldBias",
    "FieldConv",
    "FieldDiffusion",
    "FieldDropout",
    "FieldNorm",
    "FrechetDistances",
    "FrechetMean",
    "GatedNonlinearity",
    "GaugeAttention",
    "GaugeConv",
    "GaugeLinear",
    "GaugeMessagePassing",
    "GaugePool",
    "GaugeUnpool",
    "Gradient",
    "GridBlur",
    "GridConv",
    "GridConvTranspose",
    "GridDropout",
    "GridMask",
    "GridPadding",
    "GridPool",
    "GridUpsample",
    "GroupPool",
    "HarmonicConv",
    "HarmonicSurfaceConv",
    "InterpolatedConv",
    "KernelTables",
    "Laplacian",
    "LatticeConv",
    "LatticePlan",
    "LatticePool",
    "MagnitudeNonlinearity",
    "NormNonlinearity",
    "OnGrid",
    "PoissonSolve",
    "PolynomialNonlinearity",
    "PositiveDefinite",
    "RegularNonlinearity",
    "ResidualBlock",
    "Restrict",
    "Rotations",
    "ScaleConv",
    "Scattering",
    "TensorNonlinearity",
    "TensorProduct",
    "ToScalars",
    "UnitSphere",
    "dynamic_shapes",
    "export",
    "frechet_mean",
    "functional_map",
    "global_mean",
    "global_sum",
    "graph_inputs",
    "laplacian_basis",
    "make_nonlinearity",
    "map_of_matches",
    "matches_of_map",
    "refresh_norms",
    "stream_type",
    "to_scalars",
    "zoom_out",
]
