"""Transforms in PyG's manner."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from ..nn import GaugeConv
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


class KernelTables(BaseTransform):
    """Keeps the kernel coefficients of a network with the graph, so that training does not compute them at every step.

    The table depends on the graph, the radial profile, the cut-off and the quadrature, and not on the weights. It is stored
    for every level under the key of the convolutions; layers of another key, and graphs in other frames, do without it.

    Args:
        network: a GaugeConv, or a module whose convolutions share one table (as those of the ready networks do).

    Raises:
        ValueError: when the convolutions have no common, unlearnt table.
    """

    def __init__(self, network: nn.Module) -> None:
        convolutions = [m for m in network.modules() if isinstance(m, GaugeConv)]
        keys = {m.table_key for m in convolutions}
        if len(keys) != 1 or None in keys:
            raise ValueError(f"KernelTables expected convolutions with one fixed table, got keys {sorted(map(str, keys))}")
        self.convolution = convolutions[0]

    @torch.no_grad()
    def forward(self, data: GaugeGraph) -> GaugeGraph:
        for level in range(data.num_levels):
            table = self.convolution.table(data.level(level))
            suffix = f"_{level}" if level else ""
            data["edge_table" + suffix], data["node_table" + suffix] = table.edge, table.node
        data.table_key = str(self.convolution.table_key)
        return data
