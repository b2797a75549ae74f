"""Plans that are kept with a graph: made once for a graph and a key, and dropped when the geometry changes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from .plan import EdgeList, EdgePlan, is_identity


class LevelPlans:
    """The plans of one level of a graph, by their keys.

    A plan is used again only while the arrays it was made of are the same tensors, unchanged since: assigning another tensor to
    the graph makes a new plan, and so does an in-place change, which the version counter of the tensor shows. Plans are made
    without gradients; of geometry that requires gradients nothing is kept.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Any, dict[str, Tensor | None], list[int]]] = {}

    def find(self, graph: Any, key: Hashable, names: tuple[str, ...]) -> Any:
        """The plan under a key if the arrays ``names`` of the graph are those it was made of, else None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        plan, sources, versions = entry
        for (name, source), version in zip(sources.items(), versions):
            changed = not torch.compiler.is_compiling() and _version(source) != version
            if changed or getattr(graph, name, None) is not source:
                return None
        return plan

    def put(self, graph: Any, key: Hashable, names: tuple[str, ...], plan: Any) -> None:
        """Keep a plan that was made of the arrays ``names`` of the graph."""
        sources = {name: getattr(graph, name, None) for name in names}
        self._entries[key] = plan, sources, [_version(source) for source in sources.values()]

    def sources(self, key: Hashable) -> dict[str, Tensor | None]:
        """The arrays that the plan under a key was made of, by name."""
        return self._entries[key][1]

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def __getitem__(self, key: Hashable) -> Any:
        return self._entries[key][0]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        self._entries.clear()

    # A copy or a pickle of a graph has other tensors, of which there are no plans. A worker of a DataLoader sends them along.
    def __deepcopy__(self, memo: dict) -> LevelPlans:
        return LevelPlans()

    def __reduce__(self) -> tuple:
        if get_worker_info() is None:
            return LevelPlans, ()
        return _received, ({key: (plan, sources) for key, (plan, sources, _) in self._entries.items()},)

    def __repr__(self) -> str:
        return f"{len(self)} plans"


class PlanCache:
    """The plans of all levels of a graph, and the graphs whose tensors they were made of: that one, and its shallow copies."""

    def __init__(self, levels: dict[int, LevelPlans] | None = None) -> None:
        self._levels: dict[int, LevelPlans] = {} if levels is None else levels
        self._owners: list[weakref.ref] = []

    @classmethod
    def of(cls, graph: Any) -> PlanCache:
        """An empty cache of a graph."""
        return cls().belongs_to(graph)

    def belongs_to(self, graph: Any) -> PlanCache:
        """The cache, of which the graph is one of the owners from now on."""
        self._owners = [*(ref for ref in self._owners if ref() is not None), weakref.ref(graph)]
        return self

    @property
    def owners(self) -> list[Any]:
        """The graphs that are still there and have no other plans by now."""
        graphs = (ref() for ref in self._owners)
        return [graph for graph in graphs if graph is not None and graph._plan_cache() is self]

    def level(self, number: int) -> LevelPlans:
        found = self._levels.get(number)
        if found is None:
            found = LevelPlans()
            if not torch.compiler.is_compiling():  # which wants no side effects
                self._levels[number] = found
        return found

    def __deepcopy__(self, memo: dict) -> PlanCache:
        return PlanCache()

    def __reduce__(self) -> tuple:
        return (PlanCache, ()) if get_worker_info() is None else (PlanCache, (self._levels,))

    def __repr__(self) -> str:
        return f"{sum(map(len, self._levels.values()))} plans"


def _received(entries: dict[Hashable, tuple[Any, dict[str, Tensor | None]]]) -> LevelPlans:
    plans = LevelPlans()
    plans._entries = {key: (plan, arrays, [_version(a) for a in arrays.values()]) for key, (plan, arrays) in entries.items()}
    return plans


def kept_plan(graph: Any, key: Hashable | None, names: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """What ``make`` gives, made once for a graph with a :class:`LevelPlans` under ``plans``, or at every call.

    Args:
        graph: any object with the arrays of a graph. Of a batch whose graphs all have the plan it is joined from theirs
            (``joined_plan``), otherwise made of the batch and handed to them (``share_plan``).
        key: None for plans that depend on what a layer learns: these are made at every call. (In an export by the ``unkept`` of
            the plans.)
        names: of the arrays that the plan is made of.
        make: makes the plan.
    """
    plans = getattr(graph, "plans", None)
    if key is None or plans is None:
        unkept = getattr(plans, "unkept", None)
        return make() if unkept is None else unkept(make)
    found = plans.find(graph, key, names)
    if found is not None:
        return found
    if torch.compiler.is_compiling() or any(_learnt(getattr(graph, name, None)) for name in names):
        return make()
    join, share = getattr(graph, "joined_plan", None), getattr(graph, "share_plan", None)
    # What is made in evaluation must serve training.
    with torch.inference_mode(False), torch.no_grad():
        plan = None if join is None else join(key, names)
        if plan is None:
            plan = make()
            if share is not None:
                share(key, names, plan)
        plans.put(graph, key, names, plan)
    return plan


class GraphParts(NamedTuple):
    """A plan of a batch that is one plan after the other of its graphs, such as their eigenpairs."""

    parts: tuple[Any, ...]


def join_plans(plans: list[Any]) -> EdgePlan | GraphParts | None:
    """The plan of graphs side by side; None when that is more than their edges (cone points)."""
    if all(isinstance(plan, GraphParts) for plan in plans):
        return GraphParts(tuple(part for plan in plans for part in plan.parts))
    if any(plan.cone is not None for plan in plans):
        return None
    forth, back = [plan.forward for plan in plans], [plan.backward for plan in plans]
    rows, sources = ([side.rowptr.numel() - 1 for side in sides] for sides in (forth, back))
    forward, backward = _joined(forth, rows, sources), _joined(back, sources, rows)
    return EdgePlan(forward, backward, identity=all(plan.identity for plan in plans), turned=forward.table)


def split_plan(plan: EdgePlan | GraphParts, rows: list[int], sources: list[int]) -> list[Any] | None:
    """The plans of the parts of a batch, the inverse of :func:`join_plans`; None where it cannot be taken apart.

    Args:
        rows: number of nodes of each part that edges lead to, sources: that they come from.
    """
    if isinstance(plan, GraphParts):
        return [GraphParts((part,)) for part in plan.parts]
    if plan.cone is not None:
        return None
    sides = zip(_split(plan.forward, rows, sources), _split(plan.backward, sources, rows))
    return [EdgePlan(forth, back, identity=is_identity(forth.transport), turned=forth.table) for forth, back in sides]


def _joined(parts: list[EdgeList], rows: list[int], sources: list[int]) -> EdgeList:
    edges = [int(part.source.numel()) for part in parts]
    fields = {name: [getattr(part, name) for part in parts] for name in EdgeList._fields}
    first_row, first_source, first_edge = (accumulate([0, *sizes[:-1]]) for sizes in (rows, sources, edges))
    fields["rowptr"] = [ptr[(i > 0) :] + first for i, (ptr, first) in enumerate(zip(fields["rowptr"], first_edge))]
    fields["source"] = [part + first for part, first in zip(fields["source"], first_source)]
    fields["target"] = [part + first for part, first in zip(fields["target"], first_row)]
    return EdgeList(**{name: torch.cat(part) for name, part in fields.items()})


def _split(edges: EdgeList, rows: list[int], sources: list[int]) -> list[EdgeList]:
    parts, row, source = [], 0, 0
    for count, width in zip(rows, sources):
        ptr = edges.rowptr[row : row + count + 1]
        first, last = int(ptr[0]), int(ptr[-1])
        values = {}
        for name, value in edges._asdict().items():
            per_node = name == "node_table" and value.shape[0]
            low, high = (row, row + count) if per_node else (first, last)
            values[name] = value[low:high].clone() if value.shape[0] else value
        values["rowptr"], values["source"] = ptr - first, values["source"] - source
        values["target"] = values["target"] - row
        parts.append(EdgeList(**values))
        row, source = row + count, source + width
    return parts


def _version(tensor: Tensor | None) -> int:
    """How often a tensor was changed in place; tensors of inference mode do not tell."""
    if tensor is None or tensor.is_inference():
        return 0
    return tensor._version


def _learnt(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.requires_grad
