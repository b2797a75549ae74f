"""Graphs for the tests of the layers, and field types on them."""

from __future__ import annotations

import numpy as np
import torch

from gaugenet import geometry, groups
from gaugenet.data import GaugeGraph

#: group, input and output fields of GaugeConv
CASES = [
    (groups.SO2(), "3x0 + 2x1 + 4x2", "2x0 + 3x1 + 1x3"),
    (groups.O2(), "3x0 + 2x0- + 2x1", "2x0 + 1x0- + 3x2"),
    (groups.Cyclic(6), "2x0 + 2xregular", "3xregular + 1x2"),
    (groups.Dihedral(4), "2x0 + 1xregular", "2xregular + 1x1"),
    (groups.Trivial(), "3x0", "4x0"),
    (groups.Reflection(), "2x0 + 2x0-", "2x0- + 1xregular"),
    (groups.SO3(), "2x0 + 2x1", "1x0 + 2x1 + 1x2"),
]
#: group, input and output fields of LatticeConv on square grids
GRIDS = [
    (groups.Trivial(), "3x0", "4x0"),
    (groups.Reflection(), "2x0 + 2x0-", "2x0- + 1xregular"),
    (groups.Cyclic(4), "2xregular + 1x1", "1x0 + 2xregular + 1x2"),
    (groups.Dihedral(4), "2x0 + 1xregular", "2xregular + 1x1"),
]
#: input and output fields of LatticeConv over C_6
HEXAGONAL_TYPES = [("3x0", "2xregular"), ("2xregular", "3xregular"), ("2x0 + 1x1 + 2xregular", "1x2 + 1x3 + 2xregular + 1x0")]


def random_graph(group, nodes: int = 40, degree: int = 7, seed: int = 0) -> GaugeGraph:
    """Random log maps in the ball and random transporters of a group; some nodes have no neighbours."""
    g = torch.Generator().manual_seed(seed)
    target = torch.randint(0, nodes - 2, (nodes * degree,), generator=g)  # the last two nodes stay empty
    source = torch.randint(0, nodes, (nodes * degree,), generator=g)
    keep = source != target
    pairs = torch.unique(torch.stack([target, source], 1)[keep], dim=0)
    target, source = pairs.t()
    edges = target.numel()
    log = torch.randn(edges, group.dim, generator=g, dtype=torch.float64)
    log = log / log.norm(dim=1, keepdim=True) * torch.rand(edges, 1, generator=g, dtype=torch.float64) * 0.9
    graph = GaugeGraph(
        edge_index=torch.stack([source, target]),
        log=log,
        transport=group.sample(edges, generator=g),
        weight=torch.rand(edges, generator=g, dtype=torch.float64) / degree,
        radius=torch.ones(nodes, dtype=torch.float64),
        area=torch.rand(nodes, generator=g, dtype=torch.float64) + 0.1,
    )
    graph.num_nodes = nodes
    return graph


def sphere_graph(level: int = 2, rings: int = 2) -> GaugeGraph:
    """An icosphere with its Levi-Civita transport."""
    return geometry.icosphere(level, rings=rings).to_graph()


def two_level_graph(level: int = 2, seed: int = 0) -> GaugeGraph:
    """An icosphere with a coarser level: clusters with random transporters stand in for a hierarchy."""
    g = torch.Generator().manual_seed(seed)
    fine = geometry.icosphere(level, rings=2).to_graph()
    coarse = geometry.icosphere(level - 1, rings=2).to_graph()
    nodes, few = fine.radius.shape[0], coarse.radius.shape[0]
    for name in ("edge_index", "log", "transport", "weight", "radius", "area", "pos", "frame"):
        fine[f"{name}_1"] = coarse[name]
    fine.cluster_1 = torch.cat([torch.arange(few), torch.randint(0, few, (nodes - few,), generator=g)])
    fine.cluster_transport_1 = groups.SO2().sample(nodes, generator=g)
    fine.batch_1 = torch.zeros(few, dtype=torch.long)
    return fine


def icosphere_graph(level: int = 3, count: int = 3, rings: int = 2, structure: str = "SO2") -> GaugeGraph:
    """An icosphere and ``count`` - 1 coarser ones."""
    return geometry.icosphere(level, rings=rings, levels=count - 1, structure=structure).to_graph()


def square(height: int, width: int, group=None, radius: int = 1, periodic: bool = False, seed: int = 0):
    """A flat grid, x right and y up, with random frames of a group."""
    rows, columns = (a.ravel() for a in np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))
    edges, logs = [], []
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            r, c = rows - dy, columns + dx
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width) | periodic
            if dx or dy:
                edges.append(np.stack([(r % height * width + c % width)[inside], np.flatnonzero(inside)]))
                logs.append(np.broadcast_to([dx, dy], (inside.sum(), 2)))
    edges, logs = np.concatenate(edges, 1), np.concatenate(logs).astype(float)
    order = np.lexsort((edges[0], edges[1]))
    nodes = height * width
    graph = GaugeGraph(
        edge_index=torch.from_numpy(edges[:, order]),
        log=0.3 * torch.from_numpy(logs[order]),
        transport=torch.eye(2, dtype=torch.float64).repeat(len(order), 1, 1),
        weight=torch.ones(len(order), dtype=torch.float64),
        radius=torch.full((nodes,), 0.5 * radius, dtype=torch.float64),
    )
    graph.num_nodes = nodes
    if group is None:
        return graph, None
    h = group.sample(nodes, generator=torch.Generator().manual_seed(seed))
    return graph.gauge_transform(h), h
