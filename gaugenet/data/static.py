"""One geometry under many fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..ops import LevelPlans
from .batched_plans import PlannedLayer
from .graph import _ATTRIBUTES, GaugeGraph


class StaticGraph:
    """A graph shared by all samples of a batch (PyG calls it static): a data set on one sphere, one grid, one mesh.

    Layers on it take B fields one under the other, (B N, dim), the layout of a batch of B equal graphs, but read the edges of
    one graph; what they make of them (kernel tables, edge plans) is made once, without gradients, and kept in :attr:`plans`.
    The ready networks also take (B, N, dim). So a training loop needs no graph loader::

        sphere = StaticGraph(geometry.icosphere(4, levels=3).to_graph().float())
        for x, y in DataLoader(TensorDataset(images, labels), 32):  # images (samples, N, 1)
            loss = cross_entropy(net(x, sphere), y)

    Before ``torch.compile(fullgraph=True)`` run a network once on it, so that the plans are there.

    Args:
        graph: a GaugeGraph, not a batch. Give it in the dtype of the features, or its arrays are cast at every call.
        level: its finest level here.

    Attributes:
        edge_index, log, ...: as of the level of the graph; coarse: the StaticGraph of the next level, or None.
        plans: what layers have made of this level, by their keys.

    Raises:
        TypeError: for anything but a GaugeGraph. ValueError: for a batch of several graphs.
    """

    edge_index: Tensor
    log: Tensor
    transport: Tensor
    weight: Tensor
    radius: Tensor
    cluster: Tensor | None
    cluster_transport: Tensor | None

    #: for layers: features may be B fields one under the other
    static = True

    def __init__(self, graph: GaugeGraph, level: int = 0) -> None:
        if not isinstance(graph, GaugeGraph):
            raise TypeError(f"StaticGraph expected a GaugeGraph, got {type(graph).__name__}")
        if graph.num_graphs != 1:
            raise ValueError(f"StaticGraph expected one graph, got a batch of {graph.num_graphs}")
        self.level = level
        for name in _ATTRIBUTES:
            setattr(self, name, None if name == "batch" else graph._at(name, level))
        self.coarse = StaticGraph(graph, level + 1) if level + 1 < graph.num_levels else None
        #: shared with the graph: plans are used only for the arrays that they were made of
        self.plans = graph.level(level).plans

    @property
    def num_nodes(self) -> int:
        return self.radius.shape[0]

    @property
    def num_levels(self) -> int:
        """Of this level and the coarser ones."""
        return 1 if self.coarse is None else 1 + self.coarse.num_levels

    def plan(self, layer: PlannedLayer) -> Any:
        """What a layer reads of this level: made once, kept here, made anew when the level has changed."""
        return layer.plan(self)

    def apply(self, function: Callable[[Tensor], Tensor]) -> StaticGraph:
        """The graph with every tensor changed, on all levels, and no plans."""
        out = object.__new__(StaticGraph)
        out.__dict__.update({k: function(v) if isinstance(v, Tensor) else v for k, v in self.__dict__.items()})
        out.coarse, out.plans = None if self.coarse is None else self.coarse.apply(function), LevelPlans()
        return out

    def to(self, device: torch.device | str) -> StaticGraph:
        """The graph on another device."""
        return self.apply(lambda t: t.to(device))

    def type(self, dtype: torch.dtype) -> StaticGraph:
        """The graph with floating arrays of another dtype."""
        return self.apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def __repr__(self) -> str:
        return f"StaticGraph(level={self.level}, num_nodes={self.num_nodes}, num_edges={self.edge_index.shape[1]})"
