"""Graphs for the tests of the layers."""

from __future__ import annotations

import torch

from gaugenet import geometry
from gaugenet.data import GaugeGraph


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
    from gaugenet.groups import SO2

    g = torch.Generator().manual_seed(seed)
    fine = geometry.icosphere(level, rings=2).to_graph()
    coarse = geometry.icosphere(level - 1, rings=2).to_graph()
    nodes, few = fine.radius.shape[0], coarse.radius.shape[0]
    for name in ("edge_index", "log", "transport", "weight", "radius", "area", "pos", "frame"):
        fine[f"{name}_1"] = coarse[name]
    fine.cluster_1 = torch.cat([torch.arange(few), torch.randint(0, few, (nodes - few,), generator=g)])
    fine.cluster_transport_1 = SO2().sample(nodes, generator=g)
    fine.batch_1 = torch.zeros(few, dtype=torch.long)
    return fine


def icosphere_graph(level: int = 3, count: int = 3, rings: int = 2, structure: str = "SO2") -> GaugeGraph:
    """An icosphere and ``count`` - 1 coarser ones."""
    return geometry.icosphere(level, rings=rings, levels=count - 1, structure=structure).to_graph()
