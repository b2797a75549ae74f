"""Transforms in PyG's manner."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from .graph import GaugeGraph


def _rows_of(key: str, value: Any, vertices: int, faces: int) -> str | None:
    """What an attribute has rows for: "vertex_ids", "face_ids" or None."""
    count = value.shape[0] if isinstance(value, Tensor) and value.dim() else -1
    if count == faces and (count != vertices or key.startswith("face")):
        return "face_ids"
    return "vertex_ids" if count == vertices else None


class MeshToGauge(BaseTransform):
    """Turns ``Data(pos, face)`` into a GaugeGraph; other attributes (y, name, ...) are kept.

    Those with a row for every vertex, or for every face (with as many faces as vertices: if their names begin with "face"), are
    taken to the vertices and faces that are left, in their order. ``graph.on_input_vertices`` takes predictions back.

    Args:
        radius, rings, method, smooth, structure, frames, repair, min_component, renumber, features, levels, ratio: and
            threads, dtype, progress: see :func:`gaugenet.geometry.mesh`. The graph has the dtype of ``pos``.

    Raises:
        ValueError: when pos or face is missing.
        MeshError: when the mesh cannot be used.
    """

    def __init__(
        self,
        *,
        radius: float | np.ndarray | None = None,
        rings: int | None = None,
        method: str = "exact",
        smooth: bool = True,
        structure: str = "SO2",
        frames: np.ndarray | str | None = None,
        repair: bool = False,
        min_component: float = 0.0,
        renumber: bool = False,
        features: str | Iterable[str] = (),
        levels: int = 0,
        ratio: float = 0.25,
        threads: int | None = None,
        dtype: type = np.float64,
        progress: Callable[[int, int], Any] | None = None,
    ) -> None:
        given = {
            "radius": radius,
            "rings": rings,
            "method": method,
            "smooth": smooth,
            "structure": structure,
            "frames": frames,
            "repair": repair,
            "min_component": min_component,
            "renumber": renumber,
            "features": features,
            "levels": levels,
            "ratio": ratio,
            "threads": threads,
            "dtype": dtype,
            "progress": progress,
        }
        defaults = inspect.signature(MeshToGauge).parameters
        #: the arguments that are not the defaults
        self.options: dict[str, Any] = {name: value for name, value in given.items() if value is not defaults[name].default}

    def forward(self, data: Data) -> GaugeGraph:
        from ..geometry import mesh  # brings numba: only when a mesh comes

        if data.pos is None or data.face is None:
            raise ValueError("MeshToGauge expected Data with pos (V, 3) and face (3, F)")
        geometry = mesh(data.pos.detach().cpu().double().numpy(), data.face.t().cpu().numpy(), **self.options)
        graph = GaugeGraph.from_geometry(geometry, dtype=data.pos.dtype)
        for key, value in data.to_dict().items():
            if key not in graph and key not in ("pos", "face", "num_nodes"):
                rows = _rows_of(key, value, len(data.pos), data.face.shape[1])
                graph[key] = value if rows is None else value[graph[rows].to(value.device)]
        return graph

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"
