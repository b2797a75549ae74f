"""Graphs, transforms and data sets."""

from .climate import ClimateRuns
from .cortex import load_fsaverage5
from .features import feature_type
from .graph import GaugeGraph, GraphLevel
from .moebius_digits import MoebiusDigits, moebius_shift
from .polarization import load_wmap
from .princeton import Princeton
from .rotated_digits import RotatedDigits, turn_image
from .scaling import FeatureScaler
from .shape_dataset import ShapeDataset
from .shape_sets import SHREC11, EmbeddedShapes
from .sphere_sampling import LatLonInterpolation
from .spherical_digits import SphericalDigits
from .static import StaticGraph
from .topography import load_topography, load_topography_coefficients
from .transforms import MeshToGauge
from .wind import GeopotentialWind

__all__ = [
    "SHREC11",
    "ClimateRuns",
    "EmbeddedShapes",
    "FeatureScaler",
    "GaugeGraph",
    "GeopotentialWind",
    "GraphLevel",
    "LatLonInterpolation",
    "MeshToGauge",
    "MoebiusDigits",
    "Princeton",
    "RotatedDigits",
    "ShapeDataset",
    "SphericalDigits",
    "StaticGraph",
    "feature_type",
    "load_fsaverage5",
    "load_topography",
    "load_topography_coefficients",
    "load_wmap",
    "moebius_shift",
    "turn_image",
]
