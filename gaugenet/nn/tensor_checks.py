"""Errors at the boundary of a layer, for features, graphs and transporters: what was expected, what came."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ..fields import FieldType
from ..groups import Group
from .precision import in_autocast, no_autocast

# How far a transporter may be from the group: records hold float32, and products of a few of them add up.
_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}


class GraphLike(Protocol):
    """What layers read of a graph: a GaugeGraph, one of its levels, a StaticGraph, or any object with these arrays.

    Others (area, curvature, cone_angle, batch, plans, ...) they read where the object has them.

    Attributes:
        edge_index: (2, E). log: (E, d). transport: (E, d, d). weight: (E,). radius: (N,).
    """

    @property
    def edge_index(self) -> Tensor: ...
    @property
    def log(self) -> Tensor: ...
    @property
    def transport(self) -> Tensor: ...
    @property
    def weight(self) -> Tensor: ...
    @property
    def radius(self) -> Tensor: ...


class ClusteredGraph(Protocol):
    """What pooling reads of a graph.

    Attributes:
        cluster: (N,) the coarse node of every node, cluster_transport: (N, d, d) transporters into the frames of these; None at
            the coarsest level. coarse: the next level, a graph itself, or None.
    """

    @property
    def cluster(self) -> Any: ...
    @property
    def cluster_transport(self) -> Any: ...
    @property
    def coarse(self) -> Any: ...


class LatticeLike(GraphLike, ClusteredGraph, Protocol):
    """A graph with a coarser level, of which pooling reads the edges too."""


def check_features(x: Tensor, in_type: FieldType, parameter: Tensor | None, layer: str, dim: int = 2) -> None:
    """Raise TypeError or ValueError unless x is (N, in_type.dim) in the dtype and on the device of the layer.

    With dim = 4 or 5 the features are an image (B, in_type.dim, H, W) or a volume.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{layer} expected a torch.Tensor of features, got {type(x).__name__}")
    if x.dim() != dim or x.shape[1] != in_type.dim:
        shape = {2: "(N, {})", 4: "(B, {}, H, W)", 5: "(B, {}, Z, H, W)"}[dim].format(in_type.dim)
        hint = f" (on images: OnGrid({layer}(...)))" if dim == 2 and x.dim() > 3 else ""
        raise ValueError(f"{layer} expected features of shape {shape} for {in_type}, got {tuple(x.shape)}{hint}")
    if parameter is None:
        return
    if x.dtype != parameter.dtype and not in_autocast(x):
        raise TypeError(f"{layer} has {parameter.dtype} parameters but got {x.dtype} features: convert one with .to(dtype)")
    if x.device != parameter.device:
        raise ValueError(f"{layer} is on {parameter.device} but the features are on {x.device}")


def check_graph(graph: Any, names: tuple[str, ...], num_nodes: int, device: torch.device, layer: str) -> None:
    """Raise unless the graph has the attributes that a layer needs, for as many nodes as there are features."""
    for name in names:
        if getattr(graph, name, None) is None:
            raise ValueError(f"{layer} needs a graph with {', '.join(names)}; {type(graph).__name__} has no {name!r}")
    if "radius" in names:
        count_copies(graph, num_nodes, graph.radius.shape[0], layer)
    if graph.edge_index.device != device:
        raise ValueError(f"{layer} got features on {device} but a graph on {graph.edge_index.device}")


def count_copies(graph: Any, num_nodes: int, expected: int, layer: str) -> int:
    """How many fields there are: 1, or on a static graph as often as the expected nodes are in those given. Else raise."""
    if getattr(graph, "static", False) and expected and num_nodes % expected == 0:
        return num_nodes // expected
    if num_nodes != expected:
        raise ValueError(f"{layer} got features of {num_nodes} nodes for a graph of {expected}")
    return 1


def check_transport(group: Group, transport: Tensor, layer: str, name: str = "transport") -> None:
    """Raise ValueError unless every transporter lies in the structure group (not looked at while compiling)."""
    if torch.compiler.is_compiling() or transport.is_meta or transport.numel() == 0:
        return
    d = transport.shape[-1]
    if d != group.dim:
        raise ValueError(f"{layer} has the structure group {group} of dimension {group.dim}, but {name} is {d} x {d}")
    with no_autocast(transport):
        inside = group.contains(transport.detach(), _TOLERANCE[transport.dtype])
    if not bool(inside.all()):
        edge = int((~inside).nonzero()[0, 0])
        raise ValueError(
            f"{layer} has the structure group {group}, but {name}[{edge}] = {transport[edge].tolist()} does not lie in it; "
            "take a group that contains the transporters, or a geometry whose frames reduce to the group"
        )


def check_same_type(actual: FieldType, expected: FieldType, what: str) -> None:
    """Raise TypeError unless two field types agree."""
    if actual != expected:
        raise TypeError(f"{what} expected field type {expected}, got {actual}")
