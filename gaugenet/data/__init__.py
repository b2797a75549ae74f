"""Graphs, transforms and data sets."""

from .features import feature_type
from .graph import GaugeGraph, GraphLevel
from .transforms import MeshToGauge

__all__ = ["GaugeGraph", "GraphLevel", "MeshToGauge", "feature_type"]
