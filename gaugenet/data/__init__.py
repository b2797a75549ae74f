"""Graphs, transforms and data sets."""

from .datasets.climate import ClimateRuns
from .datasets.cortex import load_fsaverage5
from .datasets.moebius_digits import MoebiusDigits, moebius_shift
from .datasets.polarization import load_wmap
from .datasets.princeton import Princeton
from .datasets.rotated_digits import RotatedDigits, turn_image
from .datasets.shape_sets import SHREC11, EmbeddedShapes
from .datasets.spherical_digits import SphericalDigits
from .datasets.topography import load_topography, load_topography_coefficients
from .datasets.wind import GeopotentialWind
from .features import feature_type
from .graph import GaugeGraph, GraphLevel
from .scaling import FeatureScaler
from .shape_dataset import ShapeDataset
from .sphere_sampling import LatLonInterpolation
from .static import StaticGraph
from .tables import MeshDataset, NodeBudget, Preparation, Task
from .transforms import MeshToGauge

__all__ = [
    "SHREC11",
    "ClimateRuns",
    "EmbeddedShapes",
    "FeatureScaler",
    "GaugeGraph",
    "GeopotentialWind",
    "GraphLevel",
    "LatLonInterpolation",
    "MeshDataset",
    "MeshToGauge",
    "MoebiusDigits",
    "NodeBudget",
    "Preparation",
    "Princeton",
    "RotatedDigits",
    "ShapeDataset",
    "SphericalDigits",
    "StaticGraph",
    "Task",
    "feature_type",
    "load_fsaverage5",
    "load_topography",
    "load_topography_coefficients",
    "load_wmap",
    "moebius_shift",
    "turn_image",
]
