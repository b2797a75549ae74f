"""Plans of a network, made before the training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from ...checks import check_instance
from .gauge_conv import GaugeConv


class KernelTables(BaseTransform):
    """Makes the plans of a network's convolutions on every level of a graph, which keeps them.

    Those of layers that see the whole surface (:class:`gaugenet.nn.FieldDiffusion`, :class:`gaugenet.nn.PoissonSolve`) on the
    finest level, which for large graphs takes seconds.

    A network does so by itself at its first call, and a batch hands the plans on to its graphs. As a transform of a data set
    this does it in the workers of a DataLoader, which send the plans along.

    Args:
        network: a GaugeConv, or a module whose convolutions share one table (as those of the ready networks do), or that has
            layers of the other kind.

    Raises:
        ValueError: when the convolutions have no common, unlearnt table.
    """

    def __init__(self, network: nn.Module) -> None:
        check_instance(self, "network", network, nn.Module, "a network with convolutions")
        convolutions = [m for m in network.modules() if isinstance(m, GaugeConv)]
        self.global_layers: list[Any] = [m for m in network.modules() if getattr(m, "sees_everything", False)]
        keys = {m.table_key for m in convolutions}
        if (len(keys) != 1 and not (self.global_layers and not keys)) or None in keys:
            found = sorted(map(str, keys))
            raise ValueError(f"KernelTables expected a network whose convolutions have one fixed table, got keys {found}")
        self.convolutions = convolutions[:1]

    @torch.no_grad()
    def forward(self, data: Data) -> Data:
        for convolution in self.convolutions:
            for level in range(data.num_levels):
                convolution.plan(data.level(level))
        for layer in self.global_layers:
            layer.plan(data)
        return data
