"""Transforms in PyG's manner."""

from __future__ import annotations

from typing import Any

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from .graph import GaugeGraph


class MeshToGauge(BaseTransform):
    """Turns ``Data(pos, face)`` into a GaugeGraph; other attributes (y, name, ...) are kept.

    Args:
        **options: passed to :func:`gaugenet.geometry.mesh` (radius, rings, features, levels, repair, ...).

    Raises:
        ValueError: when pos or face is missing.
        MeshError: when the mesh cannot be used.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def forward(self, data: Data) -> GaugeGraph:
        from ..geometry import mesh  # brings numba: only when a mesh comes

        if data.pos is None or data.face is None:
            raise ValueError("MeshToGauge expected Data with pos (V, 3) and face (3, F)")
        geometry = mesh(data.pos.detach().cpu().double().numpy(), data.face.t().cpu().numpy(), **self.options)
        graph = GaugeGraph.from_geometry(geometry, dtype=data.pos.dtype)
        for key, value in data.to_dict().items():
            if key not in graph and key not in ("pos", "face", "num_nodes"):
                graph[key] = value
        return graph

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"
