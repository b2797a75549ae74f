"""Graphs, transforms and data sets."""

from .features import feature_type
from .graph import GaugeGraph, GraphLevel
from .transforms import KernelTables, MeshToGauge

__all__ = ["GaugeGraph", "GraphLevel", "KernelTables", "MeshToGauge", "feature_type"]
