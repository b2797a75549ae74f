"""Networks on graphs for export: the graph becomes a dictionary of tensors, an input of the program beside the features."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Hashable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...fields import FieldType
from ...ops import EdgeList, EdgePlan, GraphParts
from ...ops.systems.solve import System
from ..graph.cone_points import CONE_KEY, ConePlan
from ..graph.edge_frames import EdgeFrames
from ..graph.lattice_pool import PoolPlan
from ..surfaces.laplacian import Basis

# What plain torch reads of the edges of a plan, but for the table.
_EDGES = ("source", "target", "transport")
# Of the plan of a pooling of lattices, and of cone points.
_TAPS = ("source", "element", "there", "conical")
_CONES = ("node", "source", "place", "part")
# Of the plans of other layers, by the first word of their keys: what they are made of, and the first word of the names.
_FRAMES = "edge frames"
_PARTS: dict[str, tuple[str, Any]] = {
    "eigenpairs": ("basis", Basis), "system": ("system", System), "factor": ("system", System),
}  # fmt: skip


class GraphProgram(nn.Module):
    """A copy of a network on graphs in evaluation mode, called with the tensors of a graph instead of the graph.

    It runs the layers themselves, by plain torch alone: ``torch.export`` and ``torch.onnx.export`` find no operator of ours,
    but for the sparse solves of :class:`gaugenet.nn.PoissonSolve` and implicit diffusion, which ONNX does not have. What
    depends on the graph and not on the features (the kernel coefficients, which need a Cholesky factorisation that ONNX does
    not have, and where they are learnt the weights of this network; the neighbours; the shares of pooling; eigenpairs) is
    prepared by :func:`graph_inputs`.

    Shapes:
        x (N, in_type.dim), graph the tensors of :func:`graph_inputs`; output that of the network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.eval()

    def forward(self, x: Tensor, graph: dict[str, Tensor]) -> Tensor:
        return self.network(x, _Level(graph, 0))


@torch.no_grad()
def graph_inputs(network: nn.Module, graph: Any) -> dict[str, Tensor]:
    """The tensors of a graph that an exported network takes, by name: the same names for every graph.

    Runs the network once, on zeros, and takes what its layers have read and made of the graph.

    Args:
        network: one whose ``forward`` takes ``(x, graph)``, or what :func:`gaugenet.nn.export` made of it.
        graph: a GaugeGraph or a batch of such, with the levels that the network uses; or a StaticGraph.

    Returns:
        ``area_k`` (N_k,) of every level k that is used; ``source_k``, ``target_k`` (E_k,) and ``transport_k`` (E_k, d, d) of
        its edges; for every plan p, in the order of their first use, ``table_k_p`` (E_k, J) and ``centre_k_p`` (N_k, J) of
        convolutions, or edges of its own (``source_k_p`` and so on) and ``rows_k_p`` (M,) of pooling; and where the network
        reads them ``batch_k`` (N_k,), the graph of every node, and ``sizes`` (number of graphs,), the nodes of each graph.
        Lattices add ``tap_..`` of largest values, and ``cone_..`` of cone points; convolutions in the frames of edges
        ``frame_..``; diffusion and Poisson solves ``basis_.._k_p_i`` and ``system_.._k_p_i`` of the i-th graph. Numbers have
        the dtype of the network, but for systems, which are float64. Tables of kernels that are learnt with moment matching,
        or are nets of the log map, hold the weights of the network: train no more before the program runs.

    Raises:
        TypeError: for a network that does not say its ``in_type``.
    """
    network = network.network if isinstance(network, GraphProgram) else network
    in_type = getattr(network, "in_type", None)
    if not isinstance(in_type, FieldType):
        raise TypeError(f"{type(network).__name__} has no in_type: give it the field type of its input as an attribute")
    like = next((p for p in network.parameters() if p.is_floating_point()), graph.log)
    record, training = _Record(graph), [module.training for module in network.modules()]
    network.eval()
    try:
        network(like.new_zeros(graph.radius.shape[0], in_type.dim), record)
    finally:
        for module, mode in zip(network.modules(), training):
            module.training = mode
    tensors = dict(record.tensors())
    kept = {name for name, t in tensors.items() if not t.is_floating_point() or name.startswith("system_")}
    return {name: t if name in kept else t.to(like.dtype) for name, t in tensors.items()}


def dynamic_shapes(inputs: dict[str, Tensor]) -> dict[str, Any]:
    """The ``dynamic_shapes`` for ``torch.export`` and ``torch.onnx.export``: graphs of any size, of as many levels.

    The number of graphs is free when the example is a batch of two or more, and one otherwise: torch takes an axis of one
    element for a constant.

    Args:
        inputs: an example of :func:`graph_inputs`.

    Raises:
        ValueError: a batch of several graphs for a network that solves systems or has eigenpairs of each of them.
    """
    if any(re.match(r"(basis|system)_\w+_\d+_\d+_1$", name) for name in inputs):
        raise ValueError(
            "dynamic_shapes expected one graph as the example of a network with diffusion or Poisson solves, which act on each "
            "graph for itself: export for one graph of any size, or for this batch without dynamic_shapes"
        )
    nodes = {k: torch.export.Dim(f"nodes_{k}") for k in range(sum(name.startswith("area_") for name in inputs))}
    by_count = {len(inputs[f"area_{k}"]): dim for k, dim in nodes.items()}
    dims: dict[str, Any] = {}
    shapes: dict[str, dict[int, Any]] = {}
    for name, tensor in inputs.items():
        kind, *place = cast(re.Match[str], re.match(r"([a-z_]*[a-z])(?:_(\d+))?(?:_(\d+))?(?:_(\d+))?$", name)).groups()
        level = int(place[0] or 0)
        if kind.startswith(("basis_", "system_")):
            shapes[name] = _part_shape(kind, "_".join(place), tensor, inputs, nodes[level], dims)
            continue
        place = place[:2]
        if kind == "sizes":
            shapes[name] = {0: torch.export.Dim("graphs")} if len(tensor) > 1 else {}
            continue
        if kind in ("area", "batch", "centre", "frame_centre"):
            dim = nodes[level]
        elif kind == "rows":
            dim = by_count[len(tensor)]
        elif kind.startswith("tap_"):
            dim = nodes[level + 1]
        elif "cone_" in kind:
            # the cone points, and the nearest neighbours of all of them
            axis = "_".join([kind.rsplit("_", 1)[0], "points" if kind.endswith("node") else "near", *place])
            dim = dims.setdefault(axis, torch.export.Dim(axis))
        else:
            own = kind.startswith("frame_") or f"source_{place[0]}_{place[1]}" in inputs
            axis = "_".join(["edges", *(place if own else place[:1])])
            dim = dims.setdefault(axis, torch.export.Dim(axis))
        shapes[name] = {0: dim}
    return {"x": {0: nodes[0]}, "graph": shapes}


def _part_shape(kind: str, place: str, tensor: Tensor, inputs: dict[str, Tensor], nodes: Any, dims: dict) -> dict[int, Any]:
    """Of a tensor of a Basis or a System: rows are multiples of the number of nodes."""

    def free(axis: str) -> Any:
        return dims.setdefault(f"{axis}_{place}", torch.export.Dim(f"{axis}_{place}"))

    def rows(more: int = 0) -> Any:
        count = inputs[f"basis_mass_{place}" if kind.startswith("basis_") else f"system_node_{place}"].shape[0]
        times = (tensor.shape[0] - more) // count
        return (nodes if times == 1 else times * nodes) + more if more else nodes if times == 1 else times * nodes

    if not tensor.shape[0]:
        return {}
    if kind == "basis_values":
        return {0: free("pairs")}
    if kind == "basis_vectors":
        return {0: rows(), 1: free("pairs")}
    if kind in ("system_rowptr", "system_colptr"):
        return {0: rows(1)}
    if kind in ("system_column", "system_value", "system_row", "system_factor"):
        return {0: free("entries" if kind in ("system_column", "system_value") else "factor")}
    return {0: rows()}


class _Record:
    """A level of a graph as a network sees it, which notes what is read and the plans that are made."""

    def __init__(self, graph: Any, level: int = 0) -> None:
        self._graph, self._level = graph, level
        self._read: set[str] = set()
        self.plans = _Made(graph)
        self.coarse = None if graph.coarse is None else _Record(graph.coarse, level + 1)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._graph, name)
        self._read.add(name)
        return value

    def tensors(self, pooled: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors of :func:`graph_inputs`, of this level and the coarser ones that were used, or pooled to."""
        k, graph = self._level, self._graph
        if k and not (self._read or pooled):
            return
        area = getattr(graph, "area", None)
        yield f"area_{k}", torch.ones_like(graph.radius) if area is None else area
        if "batch" in self._read:
            batch = getattr(graph, "batch", None)
            batch = graph.edge_index.new_zeros(graph.radius.shape[0]) if batch is None else batch
            yield f"batch_{k}", batch
            yield "sizes", torch.bincount(batch, minlength=getattr(graph, "num_graphs", 1))
        for p, (key, plan) in enumerate(self.plans.items()):
            yield from _named(key, plan, f"{k}_{p}") if isinstance(plan, EdgeFrames | GraphParts) else _parts(plan, k, p)
        if self.coarse is not None:
            yield from self.coarse.tensors(any(_is_pooling(plan) for plan in self.plans.values()))


def _is_pooling(plan: Any) -> bool:
    return isinstance(plan, PoolPlan) or (isinstance(plan, EdgePlan) and not plan.forward.node_table.shape[0])


def _named(key: Any, plan: EdgeFrames | GraphParts, place: str) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of the plan of another layer than convolutions and poolings."""
    if isinstance(plan, EdgeFrames):
        for field, value in plan._asdict().items():
            if isinstance(value, tuple):
                yield from ((f"frame_{field}_{place}_{i}", tensor) for i, tensor in enumerate(value))
            elif value is not None:
                yield f"frame_{field}_{place}", value
        return
    for i, part in enumerate(plan.parts):
        yield from ((f"{_PARTS[key[0]][0]}_{field}_{place}_{i}", value) for field, value in part._asdict().items())


def _parts(plan: EdgePlan | PoolPlan | ConePlan | tuple[()], k: int, p: int) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of the p-th plan of level k."""
    if not isinstance(plan, EdgePlan | PoolPlan):  # of cone points, or of none
        yield from _cone_parts("cone", plan or None, k, p)
        return
    cones = {"cone": plan.cone}
    if isinstance(plan, PoolPlan):
        cones["coarse_cone"] = plan.coarse_cone
        if plan.source.numel():
            yield from ((f"tap_{name}_{k}_{p}", getattr(plan, name)) for name in _TAPS)
        plan = plan.sum
    edges = plan.forward
    own = "" if edges.node_table.shape[0] and not edges.column.numel() else f"_{p}"  # all edges of the graph, or others
    yield from ((f"{name}_{k}{own}", getattr(edges, name)) for name in _EDGES)
    yield f"table_{k}_{p}", edges.table
    yield (f"centre_{k}_{p}", edges.node_table) if edges.node_table.shape[0] else (f"rows_{k}_{p}", edges.rowptr[:-1])
    for name, cone in cones.items():
        yield from _cone_parts(name, cone, k, p)


def _cone_parts(name: str, cone: ConePlan | None, k: int, p: int) -> Iterator[tuple[str, Tensor]]:
    if cone is not None:
        yield from ((f"{name}_{field}_{k}_{p}", getattr(cone, field)) for field in _CONES)


class _Made(dict):
    """The plans that layers make of a level, or that it keeps, by their keys (as of :class:`gaugenet.ops.LevelPlans`)."""

    def __init__(self, graph: Any) -> None:
        super().__init__()
        self._graph = graph

    def find(self, graph: Any, key: Hashable, names: tuple[str, ...]) -> Any:
        if key not in self:
            kept = getattr(self._graph, "plans", None)
            found = None if kept is None else kept.find(self._graph, key, names)
            if found is None or isinstance(found, bool):  # a verdict
                return found
            self[key] = found
        return self[key]

    def put(self, graph: Any, key: Hashable, names: tuple[str, ...], plan: Any) -> None:
        if not isinstance(plan, bool):
            self[key] = plan

    def unkept(self, make: Callable[[], Any]) -> Any:
        """A plan that depends on what a layer learns."""
        plan = make()
        self["unkept", len(self)] = plan
        return plan


class _Level:
    """A level of a graph as layers see it, of which there are the tensors of :func:`graph_inputs` alone."""

    def __init__(self, tensors: dict[str, Tensor], level: int) -> None:
        self._tensors, self._level = tensors, level
        self.area = tensors[f"area_{level}"]
        # Of these layers ask whether they are there, where they are, and how many nodes they have.
        self.edge_index = self.log = self.transport = self.weight = self.radius = self.cluster = self.area
        self.batch = tensors.get(f"batch_{level}")
        self.coarse = _Level(tensors, level + 1) if f"area_{level + 1}" in tensors else None
        self.plans = _Given(self)

    @property
    def num_graphs(self) -> int:
        return self._tensors["sizes"].shape[0]

    @property
    def num_levels(self) -> int:
        return 1 if self.coarse is None else 1 + self.coarse.num_levels

    def plan(self, p: int) -> EdgePlan:
        """The p-th plan."""
        edges = self._edges(p)
        return EdgePlan(edges, edges, self.cone_plan("cone", p))

    def pool_plan(self, p: int) -> PoolPlan:
        """The p-th plan, of a pooling of lattices."""
        edges, k = self._edges(p), self._level
        coarse: Any = self.coarse  # what pools has a coarser level
        source, element, there, conical = [self._tensors.get(f"tap_{name}_{k}_{p}", edges.element) for name in _TAPS]
        cone, coarse_cone = self.cone_plan("cone", p), self.cone_plan("coarse_cone", p)
        sizes = self.area.shape[0], coarse.area.shape[0]
        return PoolPlan(EdgePlan(edges, edges), source, element, there, conical, cone, coarse_cone, sizes)

    def _edges(self, p: int) -> EdgeList:
        k, tensors = self._level, self._tensors
        own = f"{k}_{p}" if f"source_{k}_{p}" in tensors else str(k)
        source, target, transport = (tensors[f"{name}_{own}"] for name in _EDGES)
        table, centre = tensors[f"table_{k}_{p}"], tensors.get(f"centre_{k}_{p}")
        whole, number = source.new_zeros(0), table.new_zeros(0)
        # Of pooling the row pointers say how many targets there are.
        rowptr = whole if centre is not None else torch.cat([tensors[f"rows_{k}_{p}"], source.new_zeros(1)])
        centre = table.new_zeros(0, 1) if centre is None else centre
        return EdgeList(rowptr, source, target, transport, number, number, whole, table, centre, whole)

    def edge_frames(self, p: int) -> EdgeFrames:
        found: dict[str, Any] = {field: self._tensors.get(f"frame_{field}_{self._level}_{p}") for field in EdgeFrames._fields}
        found["actions"] = tuple(self._counted(f"frame_actions_{self._level}_{p}"))
        return EdgeFrames(**found)

    def graph_parts(self, p: int, name: str, cls: Any) -> GraphParts:
        fields = [self._counted(f"{name}_{field}_{self._level}_{p}") for field in cls._fields]
        return GraphParts(tuple(cls(*tensors) for tensors in zip(*fields)))

    def _counted(self, name: str) -> Iterator[Tensor]:
        """The tensors ``name_0``, ``name_1``, ..."""
        i = 0
        while f"{name}_{i}" in self._tensors:
            yield self._tensors[f"{name}_{i}"]
            i += 1

    def cone_plan(self, name: str, p: int) -> ConePlan | None:
        """The cone points of the p-th plan, of this level or ("coarse_cone") of the next."""
        tensors, k = self._tensors, self._level
        if f"{name}_node_{k}_{p}" not in tensors:
            return None
        level: Any = self.coarse if name == "coarse_cone" else self
        node, source, place, part = [tensors[f"{name}_{field}_{k}_{p}"] for field in _CONES]
        return ConePlan(node, source, place, part, level.area.new_zeros(level.area.shape[0], 0))


class _Given(dict):
    """Plans in the order in which layers ask for them (as of :class:`gaugenet.ops.LevelPlans`)."""

    def __init__(self, level: _Level) -> None:
        super().__init__()
        self._level = level

    def find(self, graph: Any, key: tuple, names: tuple[str, ...]) -> EdgePlan | PoolPlan | ConePlan | tuple[()]:
        if key not in self:
            level, p = self._level, len(self)
            if key == CONE_KEY:
                self[key] = level.cone_plan("cone", p) or ()
            elif key[0] == _FRAMES:
                self[key] = level.edge_frames(p)
            elif key[0] in _PARTS:
                self[key] = level.graph_parts(p, *_PARTS[key[0]])
            else:
                self[key] = level.pool_plan(p) if key[0] == "lattice pool" else level.plan(p)
        return self[key]

    def unkept(self, make: Callable[[], Any]) -> Any:
        return self.find(None, ("unkept", len(self)), ())
