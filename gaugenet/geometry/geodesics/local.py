"""Neighbourhoods of many sources in numba: which vertices, smoothing, and sorting of what the windows found."""

from __future__ import annotations

import math

import numpy as np

from ...compiled import njit
from .heap import pop, push
from .windows import INSIDE, geodesics_from


@njit(cache=True, nogil=True, error_model="numpy")
def neighbourhoods(sources, radius, rings, wanted, smooth, mesh):
    """Geodesics from each source: (sizes (S,), targets, r, theta, transport), targets ascending by source.

    Args:
        sources: (S,); radius: (S,), inf with rings.
        rings: number of rings, or 0 to go by radius.
        wanted: (N,) bool, vertices to report.
        smooth: average over the ends of the last edge.
        mesh: the arrays of :func:`gaugenet.geometry.geodesics.windows.geodesics_from`.
    """
    count = mesh[8].shape[0] - 1
    slot_of = np.full(count, -1, np.int64)
    mark = np.zeros(count, np.bool_)
    queue = np.empty(count, np.int64)
    capacity = 32 * max(1, sources.shape[0])
    target = np.empty(capacity, np.int64)
    r, theta, transport = np.empty(capacity), np.empty(capacity), np.empty(capacity)
    sizes = np.zeros(sources.shape[0], np.int64)
    used = np.int64(0)
    for i in range(sources.shape[0]):
        source, members = sources[i], 0
        if rings > 0:
            members = _mark_rings(source, rings, mesh, mark, queue)
        n, vertex, best, ties, angles, edges, crossings, order = geodesics_from(source, radius[i], mark, members, mesh, slot_of)
        direction, turn = _directions(n, vertex, best, ties, angles, edges, crossings, order, smooth, mesh, slot_of)
        limit = radius[i] * (1.0 + INSIDE)
        heap_key, heap_id, keep = np.empty(n), np.empty(n, np.int64), np.int64(0)
        for k in range(n):
            slot = order[k]
            v = vertex[slot]
            if v != source and wanted[v] and best[slot] <= limit and (rings == 0 or mark[v]):
                keep = push(heap_key, heap_id, keep, float(v), slot)
        if used + keep > capacity:
            capacity = 2 * (used + keep)
            target, r, theta, transport = _edges(capacity, used, target, r, theta, transport)
        left = keep
        for k in range(used, used + keep):  # by ascending ids
            _, slot, left = pop(heap_key, heap_id, left)
            target[k], r[k], theta[k], transport[k] = vertex[slot], best[slot], direction[slot], turn[slot]
        used += keep
        sizes[i] = keep
        if rings > 0:
            for k in range(members):
                mark[queue[k]] = False
    return sizes, *_edges(used, used, target, r, theta, transport)


@njit(nogil=True, error_model="numpy")
def _edges(capacity, used, target, r, theta, transport):
    """The arrays of the edges with other room; the first ``used`` are copied."""
    target_, r_, theta_, transport_ = np.empty(capacity, np.int64), np.empty(capacity), np.empty(capacity), np.empty(capacity)
    for i in range(used):
        target_[i], r_[i], theta_[i], transport_[i] = target[i], r[i], theta[i], transport[i]
    return target_, r_, theta_, transport_


@njit(nogil=True, error_model="numpy", allocates=False)
def _mark_rings(source, rings, mesh, mark, queue):
    """Breadth-first search over edges; marks and lists the vertices within the rings, the source included."""
    faces, out_ptr, out_halfedge = mesh[0], mesh[8], mesh[9]
    mark[source] = True
    queue[0] = source
    size, start = 1, 0
    for _ in range(rings):
        stop = size
        for i in range(start, stop):
            v = queue[i]
            for j in range(out_ptr[v], out_ptr[v + 1]):
                h = out_halfedge[j]
                for step in range(1, 3):  # both other corners, so that the last boundary edge counts
                    u = faces[h // 3, (h + step) % 3]
                    if not mark[u]:
                        mark[u] = True
                        queue[size] = u
                        size += 1
        start = stop
    return size


@njit(nogil=True, error_model="numpy")
def _directions(n, vertex, best, ties, angles, edges, crossings, order, smooth, mesh, slot_of):
    """Direction and transport angle of every slot: means over ties, and with ``smooth`` over the ends of the last edge."""
    faces, scale, cumulative, arrival = mesh[0], mesh[6], mesh[4], mesh[10]
    size = vertex.shape[0]
    theta, turn = np.zeros(size), np.zeros(size)
    done = np.zeros(size, np.bool_)
    for k in range(n):
        slot_of[vertex[order[k]]] = order[k]
    for k in range(n):
        slot = order[k]
        done[slot] = True
        if slot == 0:
            continue
        lx = ly = tx = ty = 0.0
        for i in range(ties[slot]):
            raw_theta, raw_turn = angles[slot, i, 0], angles[slot, i, 1]
            h = edges[slot, i]
            x, y, cc, ss, weight = 0.0, 0.0, 0.0, 0.0, 0.0
            if smooth and h >= 0:
                third = h - h % 3 + (h + 2) % 3  # the halfedge from the target to a
                second = h - h % 3 + (h + 1) % 3  # from b to the target
                c = vertex[slot]
                for side in range(2):
                    if side == 0:
                        v, w = faces[h // 3, h % 3], 1.0 - crossings[slot, i]
                        leave, come = arrival[third], scale[c] * cumulative[third]
                        reach = mesh[2][third]
                    else:
                        v, w = faces[second // 3, second % 3], crossings[slot, i]
                        leave, come = scale[v] * cumulative[second], arrival[second]
                        reach = mesh[2][second]
                    other = slot_of[v]
                    if other < 0 or not done[other]:
                        continue
                    # raw where the other end is farther than the target: it has not been smoothed yet
                    along = turn[other] + leave
                    w = max(w, 0.0)
                    x += w * (best[other] * math.cos(theta[other]) + reach * math.cos(along))
                    y += w * (best[other] * math.sin(theta[other]) + reach * math.sin(along))
                    angle = turn[other] + leave - come - math.pi
                    cc += w * math.cos(angle)
                    ss += w * math.sin(angle)
                    weight += w
            rest = 1.0 - weight
            x += rest * best[slot] * math.cos(raw_theta)
            y += rest * best[slot] * math.sin(raw_theta)
            cc += rest * math.cos(raw_turn)
            ss += rest * math.sin(raw_turn)
            length = math.hypot(x, y)
            if length > 0.0:
                lx += x / length
                ly += y / length
            tx += cc
            ty += ss
        theta[slot] = math.atan2(ly, lx)
        turn[slot] = math.atan2(ty, tx)
    for k in range(n):
        slot_of[vertex[order[k]]] = -1
    return theta, turn


@njit(cache=True, nogil=True, error_model="numpy")
def frame_turns(ptr, source, turn, offset, start, stop):
    """See :func:`gaugenet.geometry.geodesics.assembly.into_frames`, for the edges into start <= p < stop.

    Both edges of a pair are written where p < q, and read nowhere else: slices may run at once.
    """
    for p in range(start, stop):
        for e in range(ptr[p], ptr[p + 1]):
            q = source[e]
            low, high = ptr[q], ptr[q + 1]
            while low < high:
                middle = (low + high) // 2
                if source[middle] < p:
                    low = middle + 1
                else:
                    high = middle
            if low < ptr[q + 1] and source[low] == p:
                if p < q:
                    forth, back = turn[e] + offset[p] - offset[q], turn[low] + offset[q] - offset[p]
                    mean = math.atan2(math.sin(forth) - math.sin(back), math.cos(forth) + math.cos(back))
                    turn[e], turn[low] = mean, -mean
            else:
                turn[e] += offset[p] - offset[q]
