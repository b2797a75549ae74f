"""Coarser and coarser samplings of one surface: the pooling hierarchy of a mesh.

No mesh is simplified. Every level is a subset of the vertices of the level before, and its log maps and transporters are the
exact ones of the *original* surface; so each level is a geometry like any other, with the same conventions.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sparse

from ...errors import GeometryError
from ..attributes import of_nodes
from ..geodesics.assembly import symmetric_transport
from ..geodesics.exact import local_geodesics
from ..local_geometry import Feature, LocalGeometry, Pooling
from ..triangles.angles import RingAngles, ring_angles, rotations
from ..triangles.sampling import Samples, component_starts, edge_graph, farthest_points
from ..triangles.topology import Topology

# A radius must reach this many times the mean distance to the centres of the adjacent cells.
_REACH = 1.25
# Relative: radii grow by it so that rounding drops no node, and distances that differ by less are equal.
_TIE = 1e-9


def build_hierarchy(
    geometry: LocalGeometry,
    topology: Topology,
    edge_lengths: np.ndarray,
    levels: int,
    ratio: float = 0.25,
    *,
    ring_to_frame: np.ndarray | None = None,
    samples: list[Samples] | None = None,
    angles: RingAngles | None = None,
    smooth: bool = True,
    threads: int | None = None,
) -> LocalGeometry:
    r"""The geometry with ``levels`` coarser ones chained at ``.coarse``.

    - **Nodes**: nested farthest-point sampling by Dijkstra distance along edges (:mod:`gaugenet.geometry.triangles.sampling`),
      so level l has :math:`\max(\text{components}, \operatorname{round}(r^l N))` nodes, r the ratio; every component has one.
    - **Clusters**: each node goes to the coarse node of smallest exact geodesic distance.
    - **Transport** (cluster and coarse edges): along the geodesic on the original surface, as in the fine geometry.
    - **Radius**: :math:`\rho_l = r^{-l/2} \, \rho_0`, with :math:`\rho_0` the radius of the fine geometry where it is one
      number; otherwise (rings) that of the disc that holds as many evenly spaced nodes as the fine neighbourhoods do on
      average, since the samples are evenly spaced however uneven the mesh. At least 1.25 times the mean distance to the
      centres of the adjacent cells, so that every node has neighbours.
    - **Area**: sum over the cluster; **weight** area[q] / (pi radius[p]^2).
    - **Frames**, positions, curvature, vertex_data: those of the vertex. **Features**: mean over the cluster by area, after
      transport.

    Args:
        geometry: N nodes, the vertices of the mesh, with ``area``.
        topology: the Topology of the mesh.
        edge_lengths: (F, 3), [f, k] that of the edge from faces[f, k] to faces[f, (k + 1) % 3].
        levels: number of coarser levels.
        ratio: coarse nodes per fine node, in (0, 1).
        ring_to_frame: (N, 2, 2) orthogonal, coordinates_frame = ring_to_frame[p] @ coordinates in the ring frame of p
            (direction 0 along the first halfedge of the fan); by default the frames are the ring frames.
        samples: the nodes of every coarser level, by default those of :func:`sample_levels`.
        angles: the ring angles, by default those of the lengths.
        smooth: of :func:`gaugenet.geometry.geodesics.exact.local_geodesics`; take the one of the fine geometry.
        threads: number of threads, by default one per core.

    Returns:
        the fine geometry with ``coarse`` set.

    Raises:
        ValueError: levels or ratio out of range.
        GeometryError: the geometry has no area, or does not have the topology's vertices.
    """
    _check_levels(levels, ratio)
    if geometry.area is None:
        raise GeometryError("build_hierarchy needs the area of every node")
    count = geometry.num_nodes
    if topology.num_vertices != count:
        raise GeometryError(f"build_hierarchy: {count} nodes, but a topology of {topology.num_vertices} vertices")
    if levels == 0:
        return geometry.replace(coarse=None)
    if ring_to_frame is None:
        ring_to_frame = np.broadcast_to(np.eye(2), (count, 2, 2))

    graph = edge_graph(topology.faces, edge_lengths, count)
    if samples is None:
        samples = sample_levels(graph, geometry.positions, geometry.area, levels, ratio)

    angles = ring_angles(topology, edge_lengths) if angles is None else angles
    options = {"smooth": smooth, "threads": threads, "angles": angles}
    surface = _Surface(topology, edge_lengths, graph, ring_to_frame, options)
    typical = _typical_radius(geometry)
    nodes, fine, steps = np.arange(count), geometry, []
    for level, sample in enumerate(samples, 1):
        radius = np.maximum(typical * ratio ** (-level / 2), _reach(graph, sample))
        nodes, pooling = _coarsen(surface, fine, nodes, sample, radius)
        fine = pooling.geometry
        steps.append(pooling)
    coarse = None
    for pooling in reversed(steps):
        coarse = dataclasses.replace(pooling, geometry=pooling.geometry.replace(coarse=coarse))
    return geometry.replace(coarse=coarse)


def sample_levels(
    graph: sparse.csr_matrix, positions: np.ndarray | None, area: np.ndarray, levels: int, ratio: float
) -> list[Samples]:
    """The nested samples of every coarser level, finest first (arguments as for build_hierarchy; graph: edge lengths)."""
    _check_levels(levels, ratio)
    starts = component_starts(graph, positions, area)
    sizes = [max(len(starts), round(ratio**level * len(area))) for level in range(1, levels + 1)]
    return farthest_points(graph, starts, sizes[::-1])[::-1]


def _check_levels(levels: int, ratio: float) -> None:
    if isinstance(levels, bool) or int(levels) != levels or levels < 0:
        raise ValueError(f"levels must be an integer from 0, got {levels!r}")
    if not 0 < ratio < 1:
        raise ValueError(f"ratio, the coarse nodes per fine node, must lie between 0 and 1, got {ratio!r}")


class _Surface(NamedTuple):
    topology: object
    edge_lengths: np.ndarray
    graph: sparse.csr_matrix
    ring_to_frame: np.ndarray
    options: dict[str, Any]


class _Pairs(NamedTuple):
    """Geodesics: index of the source, target vertex, distance, log (., 2) in the frame, transport angle in the ring frames."""

    row: np.ndarray
    target: np.ndarray
    distance: np.ndarray
    log: np.ndarray
    turn: np.ndarray


def _geodesics(surface: _Surface, sources: np.ndarray, radius: np.ndarray, targets: np.ndarray) -> _Pairs:
    """All geodesics no longer than radius[s] from each source to the targets (vertex ids)."""
    mask = np.zeros(len(surface.ring_to_frame), bool)
    mask[targets] = True
    found = local_geodesics(surface.topology, surface.edge_lengths, sources, radius, targets=mask, **surface.options)
    row = np.repeat(np.arange(len(sources)), np.diff(found.ptr))
    direction = np.stack([np.cos(found.theta), np.sin(found.theta)], -1)
    log = found.r[:, None] * np.einsum("eij,ej->ei", surface.ring_to_frame[sources[row]], direction)
    return _Pairs(row, found.target, found.r, log, found.transport)


def _transport(surface: _Surface, to: np.ndarray, at: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Matrices, in the frames, of the transport from vertices ``at`` to vertices ``to`` by an angle in the ring frames."""
    return surface.ring_to_frame[to] @ rotations(turn) @ np.swapaxes(surface.ring_to_frame[at], 1, 2)


def _coarsen(
    surface: _Surface, fine: LocalGeometry, fine_nodes: np.ndarray, sample: Samples, radius: np.ndarray
) -> tuple[np.ndarray, Pooling]:
    """One step: from the level at the vertices fine_nodes (ascending) to that at the vertices of the sample."""
    # In the order of the vertices, which keeps neighbours close in memory; rank is the order of sampling, which settles ties.
    rank = np.argsort(sample.nodes)
    nodes, count = sample.nodes[rank], len(sample.nodes)
    reach = np.maximum(radius, _cell_reach(surface.graph, sample, fine_nodes)[rank]) * (1 + _TIE)
    pairs = _geodesics(surface, nodes, reach, fine_nodes)

    position = np.full(len(sample.cell), -1)
    position[nodes] = np.arange(count)
    cluster, transport = _clusters(surface, pairs, fine_nodes, sample, rank)

    q = position[pairs.target]
    # With the slack of the finest level, so that nodes at exactly the radius do not come and go with rounding.
    edge = (q >= 0) & (q != pairs.row) & (pairs.distance <= radius[pairs.row] * (1 + _TIE))
    p, q, log, turn = pairs.row[edge], q[edge], pairs.log[edge], pairs.turn[edge]
    order = np.lexsort((q, p))
    p, q = p[order], q[order]
    turn = symmetric_transport(p, q, turn[order], count)
    area = np.bincount(cluster, fine.area, minlength=count)
    at = np.searchsorted(fine_nodes, nodes)
    coarse = LocalGeometry(
        edge_index=np.stack([q, p]).astype(np.int64),
        log=log[order],
        transport=_transport(surface, nodes[p], nodes[q], turn),
        weight=area[q] / (np.pi * radius[p] ** 2),
        radius=radius,
        area=area,
        structure=fine.structure,
        features={name: _mean(f, fine.area, cluster, transport, count) for name, f in fine.features.items()},
        vertex_data={name: values[at] for name, values in fine.vertex_data.items()},
        **{name: None if getattr(fine, name) is None else getattr(fine, name)[at] for name in of_nodes("radius", "area")},
    )
    return nodes, Pooling(cluster, transport, coarse)


def _clusters(
    surface: _Surface, pairs: _Pairs, fine_nodes: np.ndarray, sample: Samples, rank: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The coarse node nearest to every fine node, and the transport to it."""
    scale = _TIE * max(pairs.distance.max(initial=0.0), 1e-300)
    order = np.lexsort((rank[pairs.row], np.rint(pairs.distance / scale), pairs.target))
    targets, first = np.unique(pairs.target[order], return_index=True)
    best = order[first]
    size = len(sample.cell)
    cluster, transport = np.full(size, -1), np.zeros((size, 2, 2))
    nodes = sample.nodes[rank]
    cluster[targets] = pairs.row[best]
    transport[targets] = _transport(surface, nodes[pairs.row[best]], targets, pairs.turn[best])
    # A coarse node is its own.
    cluster[nodes], transport[nodes] = np.arange(len(nodes)), np.eye(2)
    missing = fine_nodes[cluster[fine_nodes] < 0]
    if missing.size:
        _follow_paths(surface, sample, rank, missing, cluster, transport)
    return cluster[fine_nodes], transport[fine_nodes]


def _follow_paths(surface, sample, rank, missing, cluster, transport) -> None:
    """Fill in nodes that no geodesic reached: their Dijkstra cell, and the product of the transports along its path."""
    position = np.empty_like(rank)
    position[rank] = np.arange(len(rank))
    known = np.zeros(len(cluster), bool)
    known[sample.nodes] = True
    along = transport.copy()
    path = []
    for node in missing:
        while not known[node]:
            known[node] = True
            path.append(node)
            node = sample.parent[node]
    path = np.array(path)[np.argsort(sample.distance[path], kind="stable")]
    parents = sample.parent[path]
    length = np.asarray(surface.graph[path, parents]).ravel()
    sources, row = np.unique(parents, return_inverse=True)
    radius = np.zeros(len(sources))
    np.maximum.at(radius, row, length * (1 + _TIE))
    steps = _geodesics(surface, sources, radius, path)
    matrices = _transport(surface, sources[steps.row], steps.target, steps.turn)
    step = dict(zip(zip(sources[steps.row], steps.target), matrices))
    for node, parent in zip(path, parents):
        if (parent, node) not in step:
            raise GeometryError(f"no geodesic was found from vertex {parent} to its neighbour {node}")
        along[node] = along[parent] @ step[parent, node]
    cluster[missing] = position[sample.cell[missing]]
    transport[missing] = along[missing]


def _typical_radius(geometry: LocalGeometry) -> float:
    """The common radius, or sqrt(n A / (pi N)) for neighbourhoods of n of the N nodes on the area average."""
    if np.ptp(geometry.radius) <= _TIE * geometry.radius.max():
        return geometry.radius[0]
    size = np.bincount(geometry.edge_index[1], minlength=geometry.num_nodes) + 1
    return np.sqrt(geometry.area @ size / (np.pi * geometry.num_nodes))


def _border(graph: sparse.csr_matrix, sample: Samples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of adjacent cells a, b (both ways) and the shortest path between their centres through the border."""
    edges = graph.tocoo()
    a, b = sample.cell[edges.row], sample.cell[edges.col]
    crossing = a != b
    a, b = a[crossing], b[crossing]
    length = sample.distance[edges.row][crossing] + edges.data[crossing] + sample.distance[edges.col][crossing]
    order = np.lexsort((length, b, a))
    a, b, length = a[order], b[order], length[order]
    first = np.r_[True, (np.diff(a) != 0) | (np.diff(b) != 0)][: len(a)]
    return a[first], b[first], length[first]


def _reach(graph: sparse.csr_matrix, sample: Samples) -> np.ndarray:
    """(M,) in the order of the vertices: 1.25 times the mean distance to the centres of the adjacent cells; 0 without any."""
    a, _, length = _border(graph, sample)
    count = len(sample.nodes)
    mean = np.bincount(a, length, minlength=count) / np.maximum(np.bincount(a, minlength=count), 1)
    return _REACH * mean[np.argsort(sample.nodes)]


def _cell_reach(graph: sparse.csr_matrix, sample: Samples, fine_nodes: np.ndarray) -> np.ndarray:
    """(M,) in the order of sampling: the radius that covers the fine nodes of a cell and of the cells around it."""
    own = np.zeros(len(sample.nodes))
    np.maximum.at(own, sample.cell[fine_nodes], sample.distance[fine_nodes])
    a, b, _ = _border(graph, sample)
    reach = own.copy()
    np.maximum.at(reach, a, own[b])
    return reach


def _mean(feature: Feature, area: np.ndarray, cluster: np.ndarray, transport: np.ndarray, count: int) -> Feature:
    """Area-weighted mean over every cluster of the features carried to its centre."""
    # A cluster of no area (degenerate faces only) takes the plain mean.
    flat = np.bincount(cluster, area, minlength=count)[cluster] <= 0
    weight = np.where(flat, 1.0, area)
    weight = weight / np.bincount(cluster, weight, minlength=count)[cluster]
    mean = sparse.csr_matrix((weight, (cluster, np.arange(len(cluster)))), shape=(count, len(cluster)))
    return feature._replace(values=(mean @ feature.carried(transport).values).astype(feature.values.dtype))
