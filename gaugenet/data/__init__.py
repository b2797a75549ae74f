"""Graphs, transforms and data sets."""

from .features import feature_type
from .graph import GaugeGraph, GraphLevel
from .moebius_digits import MoebiusDigits, moebius_shift
from .princeton import Princeton
from .scaling import FeatureScaler
from .shape_dataset import ShapeDataset
from .shape_sets import SHREC11, EmbeddedShapes
from .static import StaticGraph
from .transforms import MeshToGauge

__all__ = [
    "SHREC11",
    "EmbeddedShapes",
    "FeatureScaler",
    "GaugeGraph",
    "GraphLevel",
    "MeshToGauge",
    "MoebiusDigits",
    "Princeton",
    "ShapeDataset",
    "StaticGraph",
    "feature_type",
    "moebius_shift",
]
