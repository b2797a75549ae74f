"""The neighbours of a graph by tap, for the layers on lattices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...groups import FiniteGroup
from ...kernels.taps import tap_permutation
from ...ops import TapPlan, make_tap_plan
from ..checks import check_graph, check_transport
from .cone_points import ConePlan, cone_plan

NEEDS = ("edge_index", "log", "transport", "radius")
# Log maps within this of a tap, in lattice spacings, lie on it: records hold float32.
TOLERANCE = 1e-3
# Edges whose taps are looked up at a time.
_EDGES = 1 << 17


class LatticePlan(NamedTuple):
    """The neighbours of a graph by tap, and its cone points."""

    taps: TapPlan
    cone: ConePlan | None


@torch.no_grad()
def lattice_plan(graph, group: FiniteGroup, taps: np.ndarray, layer: str) -> LatticePlan:
    """The plan of a graph for layers on the same taps, over the same group.

    Raises:
        ValueError: a log map that is on no tap, or two of one node on one tap (with the edge); transporters outside the group.
    """
    check_graph(graph, NEEDS, graph.radius.shape[0], graph.edge_index.device, layer)
    with torch.autocast(graph.log.device.type, enabled=False):
        check_transport(group, graph.transport, layer)
        edge, tap = _taps_of(graph, taps, layer)
        _check_alone(graph, graph.edge_index[1, edge] * len(taps) + tap, edge, layer)
        inverse = group.nearest(group.elements.transpose(-1, -2), TOLERANCE)
        element = group.nearest(graph.transport[edge], 1.0)  # check_transport knows the tolerance
        moved = torch.from_numpy(tap_permutation(group, taps))
        edges, nodes, cone = graph.edge_index[:, edge], graph.radius.shape[0], cone_plan(graph)
        share = graph.log.new_ones(nodes, dtype=torch.float64)
        if cone is not None:  # the angle that is there stands for a full turn
            share[cone.node] = cone.factor
        tables = inverse.to(edge.device), moved.to(edge.device)
        return LatticePlan(make_tap_plan(edges, tap, element, share[edges[1]], nodes, centre_of(taps), tables), cone)


def centre_of(taps: np.ndarray) -> int | None:
    """The number of the tap 0."""
    at_zero = np.flatnonzero(np.linalg.norm(taps, axis=1) < TOLERANCE)
    return int(at_zero[0]) if at_zero.size else None


def _taps_of(graph, taps: np.ndarray, layer: str) -> tuple[Tensor, Tensor]:
    """Edges within reach of the taps, and the tap of each."""
    if graph.log.shape[1] != taps.shape[1]:
        raise ValueError(f"{layer} has taps of dimension {taps.shape[1]} but the graph log maps of {graph.log.shape[1]}")
    target = graph.edge_index[1]
    length = graph.log.norm(dim=1)
    spacing = length.new_full((graph.radius.shape[0],), torch.inf).scatter_reduce(0, target, length, "amin")
    points = graph.log / spacing[target, None]
    taps = torch.from_numpy(taps).to(points)
    edge = (points.norm(dim=1) <= taps.norm(dim=1).max() + TOLERANCE).nonzero()[:, 0]
    found = []
    for part in edge.split(_EDGES):
        away, tap = torch.linalg.vector_norm(points[part, None] - taps, dim=-1).min(1)
        off = (away > TOLERANCE).nonzero()
        if off.numel():
            e = int(part[off[0, 0]])
            q, p = graph.edge_index[:, e].tolist()
            where = [round(c, 4) for c in points[e].tolist()]
            raise ValueError(
                f"{layer}: edge {e} from node {q} to node {p} has the log map {where} in lattice spacings, on none of "
                f"the {len(taps)} taps: take taps of the graph's lattice, or GaugeConv"
            )
        found.append(tap)
    return edge, torch.cat(found) if found else edge


def _check_alone(graph, place: Tensor, edge: Tensor, layer: str) -> None:
    """Raise when two neighbours of a node are on one tap."""
    order = torch.argsort(place, stable=True)
    twice = (place[order].diff() == 0).nonzero()
    if twice.numel():
        first, second = (int(edge[order[twice[0, 0] + k]]) for k in range(2))
        raise ValueError(
            f"{layer}: edges {first} and {second} into node {int(graph.edge_index[1, first])} have their log maps on one tap"
        )
