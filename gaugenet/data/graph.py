"""GaugeGraph: a LocalGeometry as a torch_geometric Data that batches right."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.data import size_repr

from ..geometry import LocalGeometry
from ..geometry.attributes import ATTRIBUTES
from ..groups import Group
from ..ops import LevelPlans, PlanCache
from . import batched_plans
from .batched_plans import CACHE, PlannedLayer

# What a graph holds at every level, the registry of geometry and what only graphs have: name -> what is added when graphs are
# joined ("nodes": the node count of the level, "coarse": that of the next level, "graph": one, None: nothing) and the axis of
# joining. PyG goes by the *name* of an attribute otherwise ("index" in it), and would leave cluster as it is.
_ATTRIBUTES: dict[str, tuple[str | None, int]] = {
    **{a.graph_name: (None if a.partial else a.indexes, a.axis) for a in ATTRIBUTES.values()},
    "batch": ("graph", 0),
}
# What a mesh file says of vertices and faces: joined as it is, whatever it is called.
_DATA = ("vertex_", "face_")
_LEVEL = re.compile(r"(.+)_(\d+)$")
# cluster and its transport are stored with the level that they lead to.
_OF_POOLING = frozenset(a.graph_name for a in ATTRIBUTES.values() if a.holder == "pooling")


def _parse(key: str) -> tuple[str, int]:
    """``"edge_index_1"`` -> ("edge_index", 1); names outside of the registry have level -1."""
    if key in _ATTRIBUTES:
        return key, 0
    match = _LEVEL.match(key)
    if match and match.group(1) in _ATTRIBUTES:
        return match.group(1), int(match.group(2))
    return key, -1


def _key(name: str, level: int) -> str:
    """("edge_index", 1) -> ``"edge_index_1"``, the name under which an attribute of a level is stored."""
    level += name in _OF_POOLING
    return f"{name}_{level}" if level else name


class GraphLevel:
    """One level of a GaugeGraph: the attributes that layers read, under their plain names.

    ``cluster`` and ``cluster_transport`` lead to ``coarse``, the next level (None at the last).
    """

    __slots__ = ("_graph", "level")

    # What __getattr__ gives, for type checkers.
    edge_index: Tensor
    log: Tensor
    transport: Tensor
    weight: Tensor
    radius: Tensor
    cluster: Tensor | None
    cluster_transport: Tensor | None

    def __init__(self, graph: GaugeGraph, level: int) -> None:
        self._graph, self.level = graph, level

    def __getattr__(self, name: str) -> Any:
        if name == "num_graphs":
            return self._graph.num_graphs
        if name not in _ATTRIBUTES:
            raise AttributeError(f"a graph level has no attribute {name!r}")
        return self._graph._at(name, self.level)

    @property
    def num_nodes(self) -> int:
        return self.radius.shape[0]

    @property
    def num_levels(self) -> int:
        """Of this level and the coarser ones."""
        return self._graph.num_levels - self.level

    @property
    def coarse(self) -> GraphLevel | None:
        return self._graph.level(self.level + 1) if self.level + 1 < self._graph.num_levels else None

    @property
    def plans(self) -> LevelPlans:
        """What layers have made of this level, see :mod:`gaugenet.ops.plan_cache`."""
        return self._graph._plan_cache().level(self.level)

    def plan(self, layer: PlannedLayer) -> Any:
        """What a layer reads of this level: made once, kept with the graph, made anew when the level has changed."""
        return layer.plan(self)

    def joined_plan(self, key: Hashable, names: tuple[str, ...]) -> Any:
        """Of a batch, the plan joined from those of its graphs; None where one of them has none, or has changed."""
        return batched_plans.joined(self._graph, self.level, key, names)

    def share_plan(self, key: Hashable, names: tuple[str, ...], plan: Any) -> None:
        """Hand a plan of a batch on to its graphs."""
        batched_plans.share(self._graph, self.level, key, names, plan)

    def __repr__(self) -> str:
        return f"GraphLevel(level={self.level}, num_nodes={self.num_nodes}, num_edges={self.edge_index.shape[1]})"


class GaugeGraph(Data):
    """Graph with log maps, transporters and quadrature weights, and its coarser levels (suffix ``_1``, ``_2``, ...).

    Attributes (level 0): pos (N, D), frame (N, D, d), edge_index (2, E), log (E, d), transport (E, d, d), weight (E,),
    radius (N,), area (N,), curvature (N,), cone_angle (N,), orbit (N, Q), face (3, F);
    ``feature_<name>`` (N, C) stored feature fields with their types in ``feature_types``; ``vertex_<name>`` (N, ...) and
    ``face_<name>`` (F, ...), of a mesh what its file says of vertices and faces, among them ``vertex_ids`` and ``face_ids``,
    their numbers there; ``vertex_nodes`` (V,), the node of every vertex that came, see :meth:`on_input_vertices`; level k adds
    ``cluster_k``, ``cluster_transport_k`` from level k - 1. Conventions: docs/conventions.md.

    What layers make of a graph (kernel tables, sorted edges) is made once and kept in :attr:`plans`. It is made anew when an
    array of the graph was exchanged or changed in place. A batch joins the plans of its graphs; the first time, these get
    theirs from the batch. ``plan_cache`` holds them and is no attribute of the graph: copies and pickles do without.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._store[CACHE] = PlanCache.of(self)

    def _plan_cache(self) -> PlanCache:
        """The plans of all levels; a batch has in its store those of its graphs."""
        held = self._store.get(CACHE)
        if isinstance(held, PlanCache):
            return held
        if "_own_plans" not in self.__dict__:
            self.__dict__["_own_plans"] = PlanCache.of(self)
        return self.__dict__["_own_plans"]

    @property
    def plans(self) -> LevelPlans:
        """What layers have made of the finest level."""
        return self._plan_cache().level(0)

    def plan(self, layer: PlannedLayer) -> Any:
        """What a layer reads of the graph: made once, kept with the graph, made anew when the graph has changed."""
        return layer.plan(self)

    def joined_plan(self, key: Hashable, names: tuple[str, ...]) -> Any:
        """Of a batch, the plan joined from those of its graphs; None where one of them has none, or has changed."""
        return batched_plans.joined(self, 0, key, names)

    def share_plan(self, key: Hashable, names: tuple[str, ...], plan: Any) -> None:
        """Hand a plan of a batch on to its graphs."""
        batched_plans.share(self, 0, key, names, plan)

    def keys(self) -> list[str]:
        return [key for store in self.stores for key in store if key != CACHE]

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().to_dict().items() if key != CACHE}

    def __repr__(self) -> str:
        shown = copy.copy(self._store)
        shown.pop(CACHE, None)
        return f"{type(self).__name__}({', '.join(size_repr(key, value) for key, value in shown.items())})"

    def apply(self, func: Callable, *args: str) -> GaugeGraph:
        """Apply a function to all tensors, or to the attributes named; plans of tensors that change are dropped."""
        before = dict(self._store.items())
        super().apply(func, *args)
        if any(isinstance(v, Tensor) and self._store.get(key) is not v for key, v in before.items()):
            self.__dict__.pop("_own_plans", None)
            self._store[CACHE] = PlanCache.of(self)
        return self

    def to(self, device: int | str | torch.device, *args: str, non_blocking: bool = False) -> GaugeGraph:
        """Move the graph, and with a whole graph its plans, to a device."""
        plans = {} if args else batched_plans.collected(self)
        super().to(device, *args, non_blocking=non_blocking)
        if plans:
            batched_plans.put_moved(self, plans, device)
        return self

    # A shallow copy, such as every transform makes one, has the same plans: they are its own when the original is gone.
    def __copy__(self) -> GaugeGraph:
        return super().__copy__()._with_its_plans()

    def __deepcopy__(self, memo: dict) -> GaugeGraph:
        return super().__deepcopy__(memo)._with_its_plans()

    def _with_its_plans(self) -> GaugeGraph:
        held = self._store.get(CACHE)
        if isinstance(held, PlanCache):
            held.belongs_to(self)
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._store.setdefault(CACHE, PlanCache())  # pickles of version 0.1.0 have none
        self._with_its_plans()

    @classmethod
    def from_geometry(cls, geometry: LocalGeometry, dtype: torch.dtype | None = None) -> GaugeGraph:
        """The graph of a geometry; floating arrays keep their dtype unless one is given."""

        def tensor(array: np.ndarray) -> Tensor:
            out = torch.from_numpy(np.array(array, order="C"))  # a copy: records may be memory mapped and read-only
            return out.to(dtype) if dtype is not None and out.is_floating_point() else out

        graph = cls()
        finer = None  # the level before, which has the way to this one
        for level, g in enumerate(geometry.levels()):
            suffix = f"_{level}" if level else ""
            for a in ATTRIBUTES.values():
                value = a.of(g if a.holder == "geometry" else finer)
                if value is not None:
                    setattr(graph, a.graph_name + suffix, tensor(value.T if a.transposed else value))
            if level:
                setattr(graph, f"batch_{level}", torch.zeros(g.num_nodes, dtype=torch.long, device="cpu"))
            finer = g
        for name, feature in geometry.features.items():
            setattr(graph, f"feature_{name}", tensor(feature.values))
        for kind, data in (("vertex", geometry.vertex_data), ("face", geometry.face_data)):
            for name, values in data.items():
                graph[f"{kind}_{name}"] = tensor(values)
        graph.feature_types = {name: feature.type for name, feature in geometry.features.items()}
        graph.num_nodes = geometry.num_nodes
        return graph

    @property
    def num_levels(self) -> int:
        level = 1
        while f"radius_{level}" in self:
            level += 1
        return level

    @property
    def num_graphs(self) -> int:
        return self._num_graphs if "_num_graphs" in self.__dict__ else 1

    @property
    def coarse(self) -> GraphLevel | None:
        """The next coarser level, or None."""
        return self.level(1) if "radius_1" in self else None

    @property
    def cluster(self) -> Tensor | None:
        """(N,) the coarse node of every node."""
        return self._at("cluster", 0)

    @property
    def cluster_transport(self) -> Tensor | None:
        """(N, d, d) transporters into the frames of the coarse nodes."""
        return self._at("cluster_transport", 0)

    def level(self, k: int) -> GraphLevel:
        """The attributes of level k under their plain names."""
        if not 0 <= k < self.num_levels:
            raise IndexError(f"this graph has levels 0 to {self.num_levels - 1}, got {k}")
        return GraphLevel(self, k)

    def _at(self, name: str, level: int) -> Any:
        """An attribute of a level; None when there is none."""
        return self._store.get(_key(name, level))

    def features(self, *names: str) -> Tensor:
        """Stored features side by side: (N, total dim); the matching type is :func:`gaugenet.data.feature_type`."""
        for name in names:
            if f"feature_{name}" not in self:
                raise ValueError(f"this graph has no feature {name!r}: it has {sorted(self.feature_types)}")
        return torch.cat([self[f"feature_{name}"] for name in names], -1)

    def on_input_vertices(self, values: Tensor, fill: float | None = None) -> Tensor:
        """Values of the nodes, such as predictions, at the vertices that came, before repair, welding and renumbering.

        Args:
            values: (N, ...); of a batch those of all its nodes.
            fill: for vertices that no face uses; by default NaN, of integers -1.

        Returns:
            (V, ...), of a batch one graph after the other; of graphs that do not come from meshes the values themselves.

        Raises:
            ValueError: not a row for every node.
        """
        if values.shape[0] != self.num_nodes:
            raise ValueError(f"on_input_vertices expected a row for each of {self.num_nodes} nodes, got {tuple(values.shape)}")
        nodes = self._at("vertex_nodes", 0)
        if nodes is None:
            return values
        first = torch.zeros_like(nodes)
        if hasattr(self, "_slice_dict"):
            sizes = self._slice_dict["vertex_nodes"].diff().to(nodes.device)
            first = self._slice_dict["radius"][:-1].to(nodes.device).repeat_interleave(sizes)
        fill = (float("nan") if values.is_floating_point() else -1) if fill is None else fill
        out = values.new_full((nodes.shape[0], *values.shape[1:]), fill)
        used = nodes >= 0
        out[used] = values[(nodes + first)[used]]
        return out

    def type(self, dtype: torch.dtype) -> GaugeGraph:
        """A copy with floating arrays of another dtype; indices stay."""
        return copy.copy(self).apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self) -> GaugeGraph:
        """A copy in float32."""
        return self.type(torch.float32)

    def double(self) -> GaugeGraph:
        """A copy in float64."""
        return self.type(torch.float64)

    def gauge_transform(self, h: Tensor | list[Tensor], group: Group | None = None) -> GaugeGraph:
        """The same graph in the frames E_p h_p (docs/conventions.md); a list gives h for every level.

        Args:
            h: (N, d, d) matrices, or one such tensor per level. With one tensor, coarser levels keep their frames.
            group: structure group of the stored features, by default O(2) or SO(2) as their types say.
        """
        from .features import transform_feature

        changes = [h] if isinstance(h, Tensor) else list(h)
        if len(changes) > self.num_levels:
            raise ValueError(f"got {len(changes)} gauge changes for {self.num_levels} levels")
        out = self.clone()
        for level, change in enumerate(changes):
            radius = self._at("radius", level)
            d = self._at("log", level).shape[1]
            if change.shape != (radius.shape[0], d, d):
                raise ValueError(f"level {level} expected h of shape {(radius.shape[0], d, d)}, got {tuple(change.shape)}")
            change = change.to(radius)
            inverse = change.transpose(-1, -2)
            source, target = self._at("edge_index", level)
            rows = {"source": source, "target": target, "node": slice(None)}
            # The way from the finer level has the frames of this one on its other side.
            coarse = {"coarse": self._at("cluster", level - 1)} if level else {}
            for a in ATTRIBUTES.values():
                for at, owner in ((rows, level), (coarse, level - 1)):
                    key = _key(a.graph_name, owner)
                    left, right = (None if of not in at else g[at[of]] for of, g in ((a.left, inverse), (a.right, change)))
                    if key in out and not (left is None and right is None):
                        out[key] = a.in_new_frames(out[key], left, right)
            if not level:
                for name, type_string in (self._store.get("feature_types") or {}).items():
                    out[f"feature_{name}"] = transform_feature(self[f"feature_{name}"], type_string, inverse, group)
        return out

    def relabel(self, numbers: Tensor | list[Tensor]) -> GaugeGraph:
        """The same graph with other numbers of its nodes: node n becomes ``numbers[n]``. What users added to it stays as it is.

        Args:
            numbers: (N,) a permutation; a list gives one for every level. With one tensor, coarser levels keep theirs.

        Raises:
            ValueError: not a permutation of the nodes of its level.
        """
        given = [numbers] if isinstance(numbers, Tensor) else list(numbers)
        if len(given) > self.num_levels:
            raise ValueError(f"got numbers of {len(given)} levels for {self.num_levels} levels")
        radii = [self._at("radius", level) for level in range(self.num_levels)]
        new = [given[k].to(r.device) if k < len(given) else torch.arange(len(r), device=r.device) for k, r in enumerate(radii)]
        for level, (to, r) in enumerate(zip(new, radii)):
            if to.shape != (len(r),) or not torch.equal(to.sort().values, torch.arange(len(r), device=r.device)):
                raise ValueError(f"level {level} expected a permutation of the numbers of its {len(r)} nodes")
        order = [torch.argsort(to) for to in new]
        out = self.clone()
        for level in range(self.num_levels):
            for a in ATTRIBUTES.values():
                key = _key(a.graph_name, level)
                if key not in self:
                    continue
                value = self[key]
                if a.indexes is not None:
                    to = new[level + (a.indexes == "coarse")]
                    value = torch.where(value < 0, value, to[value.clamp_min(0)])
                out[key] = value[order[level]] if a.shape[0] == "N" else value
        for key, value in self._store.items():
            nodes = key == "batch" or (key.startswith(("feature_", "vertex_")) and _parse(key)[1] < 0)
            if nodes and isinstance(value, Tensor) and value.shape[:1] == radii[0].shape:
                out[key] = value[order[0]]
            elif key.startswith("batch_"):
                out[key] = value[order[_parse(key)[1]]]
        return out.sort(sort_by_row=False)

    def sort(self, sort_by_row: bool = True) -> GaugeGraph:
        """A copy with the edges of every level, and all that belongs to them, sorted by source, or else by target.

        Layers do not need it: their plans are sorted.
        """
        out = copy.copy(self)
        for level in range(self.num_levels):
            first, second = self._at("edge_index", level).unbind()[:: 1 if sort_by_row else -1]
            order = torch.argsort(second, stable=True)
            order = order[torch.argsort(first[order], stable=True)]
            for a in ATTRIBUTES.values():
                key = _key(a.graph_name, level)
                if "E" in a.shape and key in self:
                    out[key] = self[key].index_select(a.axis, order)
        return out

    def coalesce(self) -> GaugeGraph:
        """As :meth:`sort`. Two edges between the same nodes are two ways, round a torus for example: both stay."""
        return self.sort()

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, Batch):  # its graphs are joined anew: the levels of one do not tell where they begin
            raise ValueError("a batch cannot be batched again: join the graphs of all, batch.to_data_list()")
        name, level = _parse(key)
        rule = _ATTRIBUTES[name][0] if level >= 0 else None
        if rule == "nodes":
            return self._at("radius", level).shape[0]
        if rule == "coarse":
            return self._at("radius", level).shape[0]  # cluster_k holds node ids of level k
        if rule == "graph":
            return 1
        return super().__inc__(key, value, *args, **kwargs) if level < 0 and not key.startswith(_DATA) else 0

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        name, level = _parse(key)
        if level >= 0 or key.startswith(_DATA):
            return _ATTRIBUTES[name][1] if level >= 0 else 0
        return super().__cat_dim__(key, value, *args, **kwargs)
