"""Plans of a batch of graphs: joined from those of its graphs, and handed on to them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ..ops import EdgePlan, GraphParts, PlanCache
from ..ops.plan_cache import join_plans, split_plan

if TYPE_CHECKING:
    from .graph import GaugeGraph

# Where the store of a graph has its plans: there PyG gathers those of the graphs of a batch in a list.
CACHE = "plan_cache"
# (level, key) -> (plan, names of the arrays it was made of)
Plans = dict[tuple[int, Hashable], tuple[Any, tuple[str, ...]]]


class PlannedLayer(Protocol):
    """A layer that makes a plan of a graph: :class:`gaugenet.nn.GaugeConv`, :class:`gaugenet.nn.GaugePool`, ..."""

    def plan(self, graph: Any) -> Any: ...


def joined(graph: GaugeGraph, level: int, key: Hashable, names: tuple[str, ...]) -> EdgePlan | GraphParts | None:
    """The plan of a batch from those of its graphs, if all have one, of the numbers that the batch has."""
    caches = _caches(graph)
    if caches is None:
        return None
    plans = []
    for i, cache in enumerate(caches):
        found = cache.level(level)
        if key not in found or not isinstance(found[key], EdgePlan | GraphParts):
            return None
        parts = _part(graph, level, names, i)
        if parts is None or not all(_same(found.sources(key).get(name), parts[name]) for name in names):
            return None
        plans.append(found[key])
    return join_plans(plans)


def share(graph: GaugeGraph, level: int, key: Hashable, names: tuple[str, ...], plan: Any) -> None:
    """Give the graphs of a batch, where they are still there and unchanged, their parts of its plan."""
    caches = _caches(graph)
    if caches is None or not isinstance(plan, EdgePlan | GraphParts):
        return
    slices = graph._slice_dict
    suffix = f"_{level}" if level else ""
    rows = sources = sizes = slices[f"radius{suffix}"].diff().tolist()
    if isinstance(plan, EdgePlan) and "cluster" in names:
        # Pooling leads to the coarser level, or from it.
        others = slices[f"radius_{level + 1}"].diff().tolist()
        rows, sources = (sizes if side.rowptr.numel() - 1 == sum(sizes) else others for side in (plan.forward, plan.backward))
    parts = split_plan(plan, rows, sources)
    for i, (cache, part) in enumerate(zip(caches, parts or [])):
        numbers = _part(graph, level, names, i)
        if numbers is None:
            continue
        for owner in cache.owners:
            own = owner.level(level) if level else owner
            if all(_same(getattr(own, name, None), numbers[name]) for name in names):
                cache.level(level).put(own, key, names, part)
                break


def collected(graph: GaugeGraph) -> Plans:
    """All plans of a graph that are of its present arrays, those included that a batch can join from its graphs."""
    found: Plans = {}
    caches = _caches(graph) or []
    for level in range(graph.num_levels) if "radius" in graph._store else ():
        here = graph.level(level)
        keys = {key: cache.level(level).sources(key) for cache in caches for key in cache.level(level)}
        keys |= {key: here.plans.sources(key) for key in here.plans}
        for key, sources in keys.items():
            names = tuple(sources)
            plan = here.plans.find(here, key, names)
            plan = joined(graph, level, key, names) if plan is None else plan
            if plan is not None:
                found[level, key] = plan, names
    return found


def put_moved(graph: GaugeGraph, plans: Plans, device: torch.device | str | int) -> None:
    """Keep plans of a graph whose arrays were moved to a device."""
    for (level, key), (plan, names) in plans.items():
        here = graph.level(level)
        here.plans.put(here, key, names, _moved(plan, device))


def _caches(graph: GaugeGraph) -> list[PlanCache] | None:
    """The plans of the graphs of a batch; None for a single graph."""
    held = graph._store.get(CACHE)
    batch = isinstance(held, list) and hasattr(graph, "_slice_dict") and all(isinstance(c, PlanCache) for c in held)
    return held if batch else None


def _part(graph: GaugeGraph, level: int, names: tuple[str, ...], i: int) -> dict[str, Tensor | None] | None:
    """The arrays of graph i of a batch, as the batch has them; None where that cannot be told."""
    from .graph import _key

    parts: dict[str, Tensor | None] = {}
    for name in names:
        stored = _key(name, level)
        value = graph._store.get(stored)
        if value is None:
            parts[name] = None
            continue
        slices, increments = graph._slice_dict.get(stored), graph._inc_dict.get(stored)
        axis = graph.__cat_dim__(stored, value)
        if slices is None or int(slices[-1]) != value.shape[axis]:
            return None
        part = value.narrow(axis, int(slices[i]), int(slices[i + 1] - slices[i]))
        parts[name] = part if increments is None else part - increments[i].to(value.device)
    return parts


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two arrays have the same numbers in the same place and precision."""
    if a is None or b is None:
        return a is b
    return a.device == b.device and a.dtype == b.dtype and torch.equal(a, b)


def _moved(plan: Any, device: torch.device | str | int, done: dict[int, Tensor] | None = None) -> Any:
    """What stands at several places of a plan is moved once, and is one tensor there as well (``EdgePlan.paired``)."""
    done = {} if done is None else done
    if isinstance(plan, Tensor):
        if id(plan) not in done:
            done[id(plan)] = plan.to(device)
        return done[id(plan)]
    if isinstance(plan, tuple):
        parts: Iterator = (_moved(part, device, done) for part in plan)
        return type(plan)(*parts) if hasattr(plan, "_fields") else tuple(parts)
    return plan
