"""Log maps and transport by the vector heat method of potpourri3d: an optional, approximate backend.

Sharp, Soliman & Crane 2019, "The Vector Heat Method". One linear solve per vertex: minutes for ten thousand vertices, and
distances off by about half an edge length with the default strategy. It is here to compare with.
"""

from __future__ import annotations

import numpy as np

from ...errors import MissingDependencyError
from ..triangles.angles import RingAngles, ambient_frames
from ..triangles.topology import Topology
from .exact import Geodesics


def heat_geodesics(
    vertices: np.ndarray,
    topology: Topology,
    angles: RingAngles,
    radius: np.ndarray | None,
    rings: int | None,
    strategy: str = "AffineLocal",
) -> Geodesics:
    """What :func:`gaugenet.geometry.geodesics.exact.local_geodesics` returns, from potpourri3d's MeshVectorHeatSolver.

    Args:
        vertices: (N, 3); topology, angles: of the mesh.
        radius: (N,), or None with rings.
        rings: number of rings, or None.
        strategy: of ``compute_log_map``: "VectorHeat", "AffineLocal" or "AffineAdaptive".

    Raises:
        MissingDependencyError: potpourri3d is not installed.
    """
    try:
        import potpourri3d as pp3d
    except ImportError:
        text = "method=\"potpourri3d\" needs potpourri3d, which is not installed: pip install 'gaugenet[heat]'"
        raise MissingDependencyError(text) from None
    solver = pp3d.MeshVectorHeatSolver(vertices, topology.faces)
    basis_x, basis_y, _ = solver.get_tangent_frames()
    basis = np.stack([_unit(basis_x), _unit(basis_y)], -1)
    # Direction in its frames = direction in our rings + offset.
    _, offset = ambient_frames(vertices, topology, angles, basis)
    members = None if rings is None else _ring_members(topology, rings)
    sizes, target, r, theta, turn = [], [], [], [], []
    for p in range(topology.num_vertices):
        log = solver.compute_log_map(p, strategy=strategy)
        carried = solver.transport_tangent_vector(p, [1.0, 0.0])
        length = np.hypot(log[:, 0], log[:, 1])
        inside = length <= radius[p] if members is None else members[p]
        inside = inside & np.isfinite(length)
        inside[p] = False
        q = np.flatnonzero(inside)
        sizes.append(q.size)
        target.append(q)
        r.append(length[q])
        theta.append(np.arctan2(log[q, 1], log[q, 0]) - offset[p])
        # The vector along direction 0 at p, carried to q, has angle -transport there.
        turn.append(-np.arctan2(carried[q, 1], carried[q, 0]) - offset[p] + offset[q])
    ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Geodesics(ptr, *(np.concatenate(parts) for parts in (target, r, theta, turn)))


def _ring_members(topology: Topology, rings: int) -> list[np.ndarray]:
    """For every vertex a mask of those within some edges."""
    import scipy.sparse as sparse

    n = topology.num_vertices
    ones = np.ones(topology.tail.size, bool)
    step = sparse.coo_matrix((ones, (topology.tail, topology.head)), shape=(n, n)).tocsr()
    step = step + step.T + sparse.identity(n, dtype=bool, format="csr")
    reach = step
    for _ in range(rings - 1):
        reach = reach @ step
    return [reach[p].toarray().ravel() > 0 for p in range(n)]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
