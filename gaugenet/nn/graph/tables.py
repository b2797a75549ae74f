"""Kernel coefficients that are kept with the graph."""

from __future__ import annotations

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from .gauge_conv import GaugeConv


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
    def forward(self, data: Data) -> Data:
        for level in range(data.num_levels):
            table = self.convolution.table(data.level(level))
            suffix = f"_{level}" if level else ""
            data["edge_table" + suffix], data["node_table" + suffix] = table.edge, table.node
        data.table_key = self.convolution.table_key
        return data
