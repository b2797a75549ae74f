"""Exact local log maps and transport: the driver of the window propagation, and the second-order smoothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from ..triangles.angles import RingAngles, ring_angles
from ..triangles.topology import Topology

# Sources per task: small enough to balance two cores on ten thousand vertices, large enough to drown the overhead.
_TASK = 512


class Geodesics(NamedTuple):
    """Shortest geodesics from S sources, CSR by source, targets ascending, the source itself left out.

    Attributes:
        ptr: (S + 1,) int64.
        target: (P,) vertex ids.
        r: (P,) exact polyhedral distances.
        theta: (P,) direction of log at the source, in its ring frame (radians).
        transport: (P,) angle to add to a vector's angle in the ring frame of the target to get it in that of the source.
    """

    ptr: np.ndarray
    target: np.ndarray
    r: np.ndarray
    theta: np.ndarray
    transport: np.ndarray


def local_geodesics(
    topology: Topology,
    edge_lengths: np.ndarray,
    sources: np.ndarray | None = None,
    radius: float | np.ndarray | None = None,
    *,
    rings: int | None = None,
    targets: np.ndarray | None = None,
    smooth: bool = True,
    angles: RingAngles | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> Geodesics:
    r"""Exact geodesics from vertices to the vertices around them.

    Distances are those of the polyhedron, by window propagation (Xin & Wang 2009). Transport along a straight geodesic
    that leaves at :math:`\theta` and arrives with back direction :math:`\psi` turns vectors by
    :math:`\theta - \psi - \pi`, in scaled ring angles; through saddle and boundary vertices vectors and transporters compose.
    Equally short geodesics (1e-9 relative) are averaged.

    With ``smooth`` directions and transporters are brought to second order against the smooth surface: in order of distance,
    each is replaced by the mean over the two ends a, b of the edge that the geodesic crosses last,

    .. math:: \log_s(t) \parallel \sum_{v \in \{a, b\}} w_v (\log_s(v) + g_{sv} \log_v(t)), \qquad
              \tau_{st} = \mathrm{mean}_w (\tau_{sv} + \tau_{vt}),

    with w the barycentric weights of the crossing and one-ring quantities for v to t.

    Args:
        topology: of the mesh.
        edge_lengths: (F, 3) lengths of the halfedges; positions are not needed.
        sources: (S,) vertex ids, by default all.
        radius: length up to which geodesics are wanted, a number or one per source.
        rings: instead, all vertices within this many edges.
        targets: (N,) bool, the vertices to report; by default all.
        smooth: see above; False gives the raw polyhedral angles.
        angles: the ring angles, when they are at hand.
        threads: number of threads, by default one per core.
        progress: called with the number of sources done, and of all.

    Raises:
        ValueError: unless exactly one of radius and rings is given.
    """
    from .local import neighbourhoods  # brings numba

    if (radius is None) == (rings is None):
        raise ValueError(f"expected one of radius and rings, got radius={radius}, rings={rings}")
    count = topology.num_vertices
    sources = np.arange(count) if sources is None else np.asarray(sources, np.int64)
    reach = np.full(len(sources), np.inf) if radius is None else np.broadcast_to(np.asarray(radius, float), sources.shape)
    wanted = np.ones(count, bool) if targets is None else np.asarray(targets, bool)
    angles = ring_angles(topology, edge_lengths) if angles is None else angles
    mesh = (
        topology.faces,
        topology.twin,
        np.ascontiguousarray(edge_lengths, float).reshape(-1),
        angles.corner,
        angles.cumulative,
        angles.total,
        angles.scale,
        topology.is_boundary,
        topology.ring_ptr,
        topology.ring_halfedge,
        angles.arrival,
    )

    def run(start: int):
        part = slice(start, start + task)
        return neighbourhoods(sources[part], np.ascontiguousarray(reach[part]), rings or 0, wanted, smooth, mesh)

    threads = threads or os.cpu_count() or 1
    # A few sources with a large radius are as much work as many with a small one: four tasks per thread at least.
    task = min(_TASK, max(1, -(-len(sources) // (4 * threads))))
    starts = range(0, len(sources), task)
    threads = min(threads, max(1, len(starts)))
    result = _Growing(len(sources))
    with ThreadPoolExecutor(threads) as pool:  # numba lets go of the GIL
        for part in map(run, starts) if threads == 1 else pool.map(run, starts):
            result.append(*part)
            if progress is not None:
                progress(result.done, len(sources))
    return result.geodesics()


class _Growing:
    """Geodesics of more and more sources, in arrays of about the final size: to join pieces would take twice the memory."""

    def __init__(self, sources: int) -> None:
        self.sizes, self.done, self.used = np.zeros(sources, np.int64), 0, 0
        self.arrays = [np.empty(0, np.int64), *(np.empty(0) for _ in range(3))]

    def append(self, sizes: np.ndarray, *parts: np.ndarray) -> None:
        self.sizes[self.done : self.done + len(sizes)] = sizes
        self.done += len(sizes)
        stop = self.used + len(parts[0])
        if stop > len(self.arrays[0]):
            self._resize(max(stop, int(1.02 * stop / self.done * len(self.sizes))))
        for array, part in zip(self.arrays, parts):
            array[self.used : stop] = part
        self.used = stop

    def _resize(self, size: int) -> None:
        # In place: for large arrays the system moves pages, and nothing is copied.
        for array in self.arrays:
            array.resize(size, refcheck=False)

    def geodesics(self) -> Geodesics:
        self._resize(self.used)
        return Geodesics(np.concatenate([[0], np.cumsum(self.sizes)]), *self.arrays)
