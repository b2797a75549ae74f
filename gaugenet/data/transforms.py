"""Transforms in PyG's manner."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from .graph import GaugeGraph


class MeshToGauge(BaseTransform):
    """Turns ``Data(pos, face)`` into a GaugeGraph; other attributes (y, name, ...) are kept.

    Args:
        radius, rings, method, smooth, structure, frames, repair, renumber, features, levels, ratio, threads, dtype, progress:
            see :func:`gaugenet.geometry.mesh`. The graph has the dtype of ``pos``.

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
                graph[key] = value
        return graph

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"
