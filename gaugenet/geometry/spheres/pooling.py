"""From points on the sphere to fewer points: clusters and transport."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ...errors import GeometryError
from ..clouds.checks import listed
from ..local_geometry import LocalGeometry, Pooling
from .great_circle import DUPLICATE, great_circle
from .neighbourhoods import TIE


def pool_to(fine: LocalGeometry, coarse: LocalGeometry, cluster: np.ndarray | None = None) -> LocalGeometry:
    """The fine geometry with the coarse one as its next level.

    Args:
        fine, coarse: geometries of one sphere, with one structure.
        cluster: (N,) the coarse node of every fine one; by default the nearest, among equally near ones that of the
            smallest number.

    Returns:
        fine with ``coarse`` set; transport along the great circle from every fine node to its coarse one, or the identity
        for the structure {e}.

    Raises:
        GeometryError: geometries of different spheres or structures, coarse nodes without a member, a fine node opposite its
            coarse one.
    """
    pairs = {
        "sphere_radius": (coarse.metadata.get("sphere_radius"), fine.metadata.get("sphere_radius")),
        "structure": (coarse.structure, fine.structure),
    }
    for name, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise GeometryError(f"the coarse level has {name} {theirs}, the fine one {ours}")
    a, n, m = fine.metadata["sphere_radius"], fine.num_nodes, coarse.num_nodes
    unit = np.concatenate([fine.positions, coarse.positions]) / a
    if cluster is None:
        cluster = _nearest(unit[:n], unit[n:])
    empty = np.flatnonzero(np.bincount(cluster, minlength=m) == 0)
    if empty.size:
        raise GeometryError(f"coarse points that are nearest to no fine point: {listed(empty)}")
    if fine.structure == "e":
        transport = np.tile(np.eye(2), (n, 1, 1))
    else:
        frame = np.concatenate([fine.frame, coarse.frame])
        _, transport = great_circle(unit, frame, np.arange(n), n + cluster)
        same = np.linalg.norm(unit[:n] - unit[n + cluster], axis=1) < DUPLICATE
        transport[same] = np.swapaxes(coarse.frame[cluster[same]], 1, 2) @ fine.frame[same]
        opposite = np.flatnonzero(~np.isfinite(transport).all((1, 2)))
        if opposite.size:
            raise GeometryError(f"fine points opposite their coarse point: {listed(opposite)}")
    return fine.replace(coarse=Pooling(cluster.astype(np.int64), transport, coarse))


def _nearest(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    chord, found = cKDTree(coarse).query(fine, k=min(8, len(coarse)))
    chord, found = chord.reshape(len(fine), -1), found.reshape(len(fine), -1)
    tie = chord <= chord[:, :1] + TIE
    return np.where(tie, found, len(coarse)).min(1)
