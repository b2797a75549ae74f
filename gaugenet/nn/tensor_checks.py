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


def as_rows(x: Tensor, in_type: FieldType, network: str) -> Tensor:
    """Features (N, C), or (B, N, C) of B fields on one :class:`gaugenet.data.StaticGraph`, as rows for the first layer.

    Raises:
        TypeError, ValueError: anything else.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{network} expected a torch.Tensor of features first, then a graph; got {type(x).__name__} first")
    if x.dim() not in (2, 3) or x.shape[-1] != in_type.dim:
        shapes = f"(N, {in_type.dim}), or (B, N, {in_type.dim}) on a StaticGraph, for {in_type}"
        raise ValueError(f"{network} expected features of shape {shapes}, got {tuple(x.shape)}")
    return x.flatten(0, -2)


def check_graph(graph: Any, names: tuple[str, ...], num_nodes: int, device: torch.device, layer: str) -> None:
    """Raise unless the graph has the attributes that a layer needs, for as many nodes as there are features."""
    for name in names:
        value, got = getattr(graph, name, None), type(graph).__name__
        if value is None:
            raise ValueError(f"{layer} needs a graph with {', '.join(names)}; {got} has no {name!r}")
        if not isinstance(value, Tensor):
            text = f"{layer} expected a graph whose {name} is a torch.Tensor, got {type(value).__name__} of {got}"
            raise TypeError(f"{text}: of a geometry take .to_graph()")
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


# (E, ...) and (N, ...) arrays of a graph; those of the second row it need not have.
_SHAPES: dict[str, tuple[str, ...]] = {
    **{"edge_index": ("2", "E"), "log": ("E", "d"), "transport": ("E", "d", "d"), "weight": ("E",), "radius": ("N",)},
    **{"area": ("N",), "curvature": ("N",), "cone_angle": ("N",)},
}
_MEND = "make the graph by geometry.<maker>(...).to_graph(), or see what geometry.validate() says of it"


def check_arrays(graph: Any, dim: int, layer: str) -> bool:
    """Raise unless the arrays of a graph fit each other: shapes, range of the ids, finite numbers, no self-loops. Else True.

    It looks at every number, so call it where a plan is made, not at every call. While compiling, numbers are not looked at.

    Args:
        dim: d, of the structure group.
    """
    edge_index, log = graph.edge_index, graph.log
    if edge_index.dtype != torch.int64:
        raise TypeError(f"{layer} expected edge_index of dtype int64, got {edge_index.dtype}: convert it with .long()")
    if log.dim() == 2 and log.shape[1] != dim:
        raise ValueError(
            f"{layer} expected log maps of {dim} coordinates, for a structure group of dimension {dim}, got log of shape "
            f"{tuple(log.shape)}: take field types over a group of dimension {log.shape[1]}, or another geometry"
        )
    sizes = {"2": 2, "d": dim, "E": edge_index.shape[-1], "N": graph.radius.shape[0]}
    for name, letters in _SHAPES.items():
        value, shape = getattr(graph, name, None), tuple(sizes[letter] for letter in letters)
        if value is not None and tuple(value.shape) != shape:
            raise ValueError(
                f"{layer} expected {name} of shape ({', '.join(letters)}) = {shape}, got {tuple(value.shape)}: {_MEND}"
            )
    if torch.compiler.is_compiling() or edge_index.is_meta:
        return True
    source, target = edge_index
    _check_ids("edge_index", edge_index, sizes["N"], layer)
    _refuse_where("edge_index", source == target, source, layer, "no self-loops, the centre having a weight of its own")
    for name in _SHAPES:
        value = getattr(graph, name, None)
        if value is not None and value is not edge_index:
            _refuse_where(name, ~torch.isfinite(value), value, layer, "finite numbers")
    _refuse_where("radius", graph.radius <= 0, graph.radius, layer, "positive numbers")
    return True


def check_clusters(graph: Any, dim: int, layer: str) -> None:
    """Raise unless the way of a graph to its coarser level is whole: an id and a transporter for every node. As above."""
    for name in ("cluster", "cluster_transport"):
        if getattr(graph, name, None) is None:
            raise ValueError(f"{layer} needs a graph with {name}, the way to its coarser level, which it has: {_MEND}")
    few, cluster, radius = graph.coarse.radius.shape[0], graph.cluster, getattr(graph, "radius", None)
    nodes = len(cluster) if radius is None else len(radius)
    shapes = {"cluster": (nodes,), "cluster_transport": (nodes, dim, dim)}
    for name, shape in shapes.items():
        found = getattr(graph, name)
        if tuple(found.shape) != shape:
            raise ValueError(f"{layer} expected {name} of shape {shape}, got {tuple(found.shape)}: {_MEND}")
    if cluster.dtype != torch.int64:
        raise TypeError(f"{layer} expected cluster of dtype int64, got {cluster.dtype}: convert it with .long()")
    if torch.compiler.is_compiling() or cluster.is_meta:
        return
    _check_ids("cluster", cluster, few, layer)
    empty = torch.bincount(cluster, minlength=few) == 0
    if bool(empty.any()):
        raise ValueError(f"{layer} expected a member of every cluster, got none for coarse node {int(empty.nonzero()[0, 0])}")
    area = getattr(graph, "area", None)
    if area is not None:
        _refuse_where("area", ~(torch.isfinite(area) & (area >= 0)), area, layer, "finite numbers of at least 0")
        whole = area.new_zeros(few).index_add(0, cluster, area)
        _refuse_where("area", whole <= 0, whole, layer, "a positive sum over every cluster")


def _check_ids(name: str, ids: Tensor, number: int, layer: str) -> None:
    _refuse_where(name, (ids < 0) | (ids >= number), ids, layer, f"node ids from 0 to {number - 1}")


def _refuse_where(name: str, wrong: Tensor, values: Tensor, layer: str, wanted: str) -> None:
    """ValueError with the first place of a wrong number."""
    if bool(wrong.any()):
        place = tuple(wrong.nonzero()[0].tolist())
        where = place[0] if len(place) == 1 else place
        raise ValueError(f"{layer} expected in {name} {wanted}, got {values[place].item()} at {where}: {_MEND}")


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
