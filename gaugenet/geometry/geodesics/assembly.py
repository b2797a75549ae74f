"""From geodesics in ring frames to the edges of a LocalGeometry, piece by piece: a million vertices have 35 million edges."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..local_geometry import LocalGeometry
from .exact import Geodesics

# Edges to a piece: temporaries of a few MB.
_PIECE = 1 << 18


def assemble(
    found: Geodesics,
    offset: np.ndarray,
    area: np.ndarray,
    radius: np.ndarray | None,
    rings: int | None,
    *,
    dtype: type = np.float64,
    threads: int | None = None,
) -> LocalGeometry:
    """Edges, log maps and transport in the frames from geodesics in the ring frames (all vertices are sources).

    Args:
        found: geodesics; its arrays are used up.
        offset: (N,) direction in the frame = direction in the ring + offset.
        area: (N,); radius: (N,) or None with rings.
        dtype: of log, transport and weight, which are computed in float64 whatever it is.
        threads: number of threads, by default one per core.
    """
    ptr, q, r, theta, turn = found
    del found
    count, edges = len(area), len(q)
    if radius is None:
        farthest = np.zeros(count)
        some = np.diff(ptr) > 0
        farthest[some] = np.maximum.reduceat(r, ptr[:-1][some]) if edges else 0.0
        radius = farthest * (rings + 0.5) / rings
        radius[farthest == 0.0] = 1.0  # a lone vertex: any radius will do
    p = np.repeat(np.arange(count), np.diff(ptr))
    log, weight = np.empty((edges, 2), dtype), np.empty(edges, dtype)
    for start in range(0, edges, _PIECE):
        e = slice(start, start + _PIECE)
        angle = theta[e] + offset[p[e]]
        log[e, 0], log[e, 1] = r[e] * np.cos(angle), r[e] * np.sin(angle)
        weight[e] = area[q[e]] / (np.pi * radius[p[e]] ** 2)
    del r, theta
    into_frames(ptr, q, turn, offset, threads)
    transport = np.empty((edges, 2, 2), dtype)
    for start in range(0, edges, _PIECE):
        e = slice(start, start + _PIECE)
        cos, sin = np.cos(turn[e]), np.sin(turn[e])
        transport[e, 0, 0], transport[e, 0, 1], transport[e, 1, 0], transport[e, 1, 1] = cos, -sin, sin, cos
    del turn
    edge_index = np.empty((2, edges), np.int64)
    edge_index[0], edge_index[1] = q, p
    return LocalGeometry(edge_index, log, transport, weight, np.array(radius, float), area=area)


def into_frames(ptr: np.ndarray, source: np.ndarray, turn: np.ndarray, offset: np.ndarray, threads: int | None = None) -> None:
    """Add offset[p] - offset[q] to the transport angles from q to p, and make those of reverse edges opposite, in place.

    Where both edges exist both become the mean of the two answers.

    Args:
        ptr: (N + 1,) the edges into p are ptr[p] to ptr[p + 1]; source: (E,) their nodes q, ascending for every p.
        turn: (E,) radians, changed; offset: (N,).
        threads: number of threads, by default one per core.
    """
    from .local import frame_turns  # brings numba

    count = len(ptr) - 1
    threads = max(1, min(threads or os.cpu_count() or 1, count // 4096))
    bounds = [count * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda i: frame_turns(ptr, source, turn, offset, bounds[i], bounds[i + 1]), range(threads)))


def symmetric_transport(p: np.ndarray, q: np.ndarray, turn: np.ndarray, count: int) -> np.ndarray:
    """Transport angles of which those of reverse edges are opposite: the mean of both ends' answers, where both exist.

    Args:
        p, q: (E,) target and source of the edges, sorted by p, then q; turn: (E,) radians; count: number of nodes.
    """
    ptr, turn = np.searchsorted(p, np.arange(count + 1)), np.array(turn, float)
    into_frames(ptr, np.asarray(q, np.int64), turn, np.zeros(count))
    return turn
