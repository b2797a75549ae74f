"""Exact local geodesics by window propagation, one source at a time (numba).

Xin & Wang 2009, "Improving Chen & Han's algorithm on the discrete geodesic problem": windows are unfolded over the faces in
order of distance, pruned against the distances of the vertices that are known already. Everything is intrinsic: edge
lengths and angles only. Cut at a radius, the work is proportional to the neighbourhood.

The plane of a window has its (pseudo-)source at the origin. A window enters the face of halfedge ``h`` across it, a = tail(h)
on the left and b = head(h) on the right as seen from the origin; the rays lo (right) and hi (left) bound what the source sees.
"""

from __future__ import annotations

import math

import numpy as np

from ...compiled import njit
from .heap import pop, push

TIE = 1e-9  # relative difference of lengths under which two geodesics count as equally short
SAME = 1e-6  # angles closer than this belong to one geodesic that two windows found
MAX_TIES = 4
SIGHT = 1e-12  # slack of the test whether a ray is inside of a window, so that none falls between two
SADDLE = 1e-9  # excess of the total angle over 2 pi (pi at the boundary) from which a vertex bends geodesics; less is rounding
ALIGNED = 0.1  # a geodesic that falls between two windows turns by less than this at the vertex between them
INSIDE = 1e-9  # relative slack of the radius, so that vertices exactly on it do not come and go with rounding


@njit(nogil=True, error_model="numpy", allocates=False)
def _cross(ax, ay, bx, by):
    return ax * by - ay * bx


@njit(nogil=True, error_model="numpy", allocates=False)
def _wrap(angle):
    """To (-pi, pi]."""
    return angle - 2.0 * math.pi * math.ceil((angle - math.pi) / (2.0 * math.pi))


@njit(nogil=True, error_model="numpy", allocates=False)
def _offer(slot, length, theta, carry, back, edge, crossing, best, count, angles, edges, crossings):
    """A geodesic to the vertex of ``slot``: recorded if shortest, both if equally short.

    angles[slot, i] = (theta, carry, back direction at the vertex, unscaled); edges[slot, i] the halfedge it crossed last
    (or -1) at parameter crossings[slot, i].
    Returns whether the distance went down.
    """
    if count[slot] > 0 and length > best[slot] * (1.0 + TIE):
        return False
    shorter = count[slot] == 0 or length < best[slot] * (1.0 - TIE)
    if shorter:
        count[slot] = 0
    else:
        for i in range(count[slot]):
            if abs(_wrap(angles[slot, i, 0] - theta)) < SAME and abs(_wrap(angles[slot, i, 1] - carry)) < SAME:
                # One geodesic found twice, by windows on both sides of it.
                less = length < best[slot]
                if less:
                    best[slot] = length
                return False
        if count[slot] == MAX_TIES:
            return False
    i = count[slot]
    angles[slot, i, 0] = theta
    angles[slot, i, 1] = carry
    angles[slot, i, 2] = back
    edges[slot, i] = edge
    crossings[slot, i] = crossing
    count[slot] += 1
    if shorter or length < best[slot]:
        best[slot] = length
    return shorter


@njit(nogil=True, error_model="numpy", allocates=False)
def _mean_angles(slot, count, angles):
    """Circular means of the directions and of the transporters of equally short geodesics."""
    if count[slot] == 1:
        return angles[slot, 0, 0], angles[slot, 0, 1]
    c = s = cc = ss = 0.0
    for i in range(count[slot]):
        c += math.cos(angles[slot, i, 0])
        s += math.sin(angles[slot, i, 0])
        cc += math.cos(angles[slot, i, 1])
        ss += math.sin(angles[slot, i, 1])
    return math.atan2(s, c), math.atan2(ss, cc)


@njit(nogil=True, error_model="numpy")
def _nearest(ax, ay, bx, by, lox, loy, hix, hiy):
    """Distance from the origin to the visible part of the edge: (least, right end x, y, left end x, y)."""
    dx, dy = bx - ax, by - ay
    # where the rays lo and hi meet the line through a and b
    t = _cross(ax, ay, lox, loy) / -_cross(dx, dy, lox, loy)
    u = _cross(ax, ay, hix, hiy) / -_cross(dx, dy, hix, hiy)
    t = min(max(t, 0.0), 1.0)
    u = min(max(u, 0.0), 1.0)
    rx, ry = ax + t * dx, ay + t * dy
    lx, ly = ax + u * dx, ay + u * dy
    foot = -(ax * dx + ay * dy) / (dx * dx + dy * dy)
    foot = min(max(foot, min(t, u)), max(t, u))
    return math.hypot(ax + foot * dx, ay + foot * dy), rx, ry, lx, ly


# Copies element by element: of slices numba compiles the messages of all errors that there could be, which takes it seconds.
@njit(nogil=True, error_model="numpy")
def _vertices(capacity, used, vertex, best, count, angles, edges, crossings, final, order, spare, spare_edge):
    """The arrays of the vertices with room for more; the first ``used`` are copied."""
    vertex_, best_, count_ = np.empty(capacity, np.int64), np.empty(capacity), np.empty(capacity, np.int64)
    angles_, edges_ = np.empty((capacity, MAX_TIES, 3)), np.empty((capacity, MAX_TIES), np.int64)
    crossings_, final_, order_ = np.empty((capacity, MAX_TIES)), np.empty(capacity, np.bool_), np.empty(capacity, np.int64)
    spare_, spare_edge_ = np.empty(capacity), np.empty(capacity, np.int64)
    for i in range(used):
        vertex_[i], best_[i], count_[i], final_[i], order_[i] = vertex[i], best[i], count[i], final[i], order[i]
        spare_[i], spare_edge_[i] = spare[i], spare_edge[i]
        for j in range(MAX_TIES):
            edges_[i, j], crossings_[i, j] = edges[i, j], crossings[i, j]
            angles_[i, j, 0], angles_[i, j, 1], angles_[i, j, 2] = angles[i, j, 0], angles[i, j, 1], angles[i, j, 2]
    return vertex_, best_, count_, angles_, edges_, crossings_, final_, order_, spare_, spare_edge_


@njit(nogil=True, error_model="numpy")
def _windows(capacity, used, plane, entered):
    """The arrays of the windows with room for more."""
    plane_, entered_ = np.empty((capacity, plane.shape[1])), np.empty((capacity, 2), np.int64)
    for i in range(used):
        entered_[i, 0], entered_[i, 1] = entered[i, 0], entered[i, 1]
        for j in range(plane.shape[1]):
            plane_[i, j] = plane[i, j]
    return plane_, entered_


@njit(nogil=True, error_model="numpy")
def _heap(capacity, used, key, item):
    """The arrays of a heap with room for more."""
    key_, item_ = np.empty(capacity), np.empty(capacity, np.int64)
    for i in range(used):
        key_[i], item_[i] = key[i], item[i]
    return key_, item_


@njit(nogil=True, error_model="numpy", allocates=False)
def _visible_corner(start, corner, back, total, boundary):
    """The part [low, high] of a corner at a pseudo-source into which geodesics continue straight or bent away.

    A shortest path through a saddle or boundary vertex leaves angles of at least pi on both sides (Mitchell, Mount &
    Papadimitriou 1987). ``start`` is where the corner begins around the vertex and ``back`` the direction the path came from,
    both unscaled. Returns low > high when nothing of the corner is visible.
    """
    slack = 1e-9
    low, high = 0.0, corner
    offset = start - back
    if boundary:
        if offset + corner >= math.pi - slack and offset + corner > 0.0:
            return max(low, math.pi - slack - offset), high
        if offset <= -math.pi + slack:
            return low, min(high, -math.pi + slack - offset)
        return 1.0, 0.0
    offset -= total * math.floor(offset / total)
    first, last = math.pi - slack, total - math.pi + slack
    a, b = max(low, first - offset), min(high, last - offset)
    if a > b:
        a, b = max(low, first - offset + total), min(high, last - offset + total)
    return a, b


@njit(nogil=True, error_model="numpy")
def geodesics_from(source, radius, mark, wanted, mesh, slot_of):
    """All shortest geodesics from one vertex up to a length.

    Args:
        source: vertex id.
        radius: cut-off; may be inf when marks end the search.
        mark: (N,) bool scratch; ``wanted`` vertices of it are True and must be reached before stopping (rings); with
            wanted = 0 the radius ends the search.
        mesh: the intrinsic mesh, see :func:`intrinsic_arrays`.
        slot_of: (N,) int64 scratch of -1, left as it was found.

    Returns:
        (n, vertex, length, count, angles, edges, crossings, order): n vertices by slot in ``vertex``; ``order`` the slots by
        length; ``angles[slot, i]`` = (theta, carry, back) of up to MAX_TIES equally short geodesics: theta the scaled
        direction at the source, carry the angle to add to a vector's angle at the vertex to bring it to the source, back the
        unscaled direction at the vertex that it came from; ``edges`` and ``crossings`` where it crossed the last edge
        (halfedge entered, parameter from its tail), -1 when it came along an edge.
    """
    faces, twin, length, corner, cumulative, total, scale, boundary, out_ptr, out_halfedge, arrival = mesh
    limit = radius * (1.0 + INSIDE)
    capacity = 256
    vertex = np.empty(capacity, np.int64)
    best = np.empty(capacity)
    count = np.empty(capacity, np.int64)
    angles = np.empty((capacity, MAX_TIES, 3))
    edges = np.empty((capacity, MAX_TIES), np.int64)
    crossings = np.empty((capacity, MAX_TIES))
    final = np.empty(capacity, np.bool_)
    order = np.empty(capacity, np.int64)
    # Where rounding at a sliver lets a geodesic fall between two windows, the path along the edge from a vertex before it,
    # no shorter and by rounding no longer, takes its place: its length, and 2 h + 1 for the halfedge h back, 2 h for forth.
    spare = np.empty(capacity)
    spare_edge = np.empty(capacity, np.int64)
    heap_key, heap_id = np.empty(256), np.empty(256, np.int64)
    # ax, ay, bx, by, lox, loy, hix, hiy, base of every window, and the direction from a to b, which their difference would not
    # give where they are close together: at a needle it would turn all that comes behind.
    plane = np.empty((256, 11))
    entered = np.empty((256, 2), np.int64)  # halfedge, root slot
    # Typed: for a literal 0 numba would compile what is called a second time.
    size, windows, popped, slots = np.int64(0), np.int64(0), np.int64(0), np.int64(1)

    vertex[0], best[0], count[0], final[0] = source, 0.0, 1, False
    angles[0, 0, 0] = angles[0, 0, 1] = angles[0, 0, 2] = 0.0
    edges[0, 0], crossings[0, 0] = -1, 0.0
    spare[0] = np.inf
    slot_of[source] = 0
    size = push(heap_key, heap_id, size, 0.0, np.int64(-1))

    while size > 0:
        key, item, size = pop(heap_key, heap_id, size)
        if key > limit:
            break
        # Room for all that one item adds: a window a vertex, two windows; a vertex its neighbours, and windows for every way.
        corners = 1
        if item < 0:
            at = -item - 1
            if final[at] or key > best[at] * (1.0 + TIE):
                continue
            corners = (out_ptr[vertex[at] + 1] - out_ptr[vertex[at]]) * MAX_TIES
        if slots + 2 * corners + 2 > capacity:
            capacity = 2 * (slots + 2 * corners + 2)
            vertex, best, count, angles, edges, crossings, final, order, spare, spare_edge = _vertices(
                capacity, slots, vertex, best, count, angles, edges, crossings, final, order, spare, spare_edge
            )
        if windows + corners + 1 > plane.shape[0]:
            plane, entered = _windows(2 * (windows + corners + 1), windows, plane, entered)
        if size + 4 * corners + 1 > heap_key.shape[0]:
            heap_key, heap_id = _heap(2 * (size + 4 * corners + 1), size, heap_key, heap_id)
        if item < 0:
            at = -item - 1
            v = vertex[at]
            if spare[at] < best[at] * (1.0 - TIE):
                h = spare_edge[at] >> 1
                k = h % 3
                before = faces[h // 3, k]
                theta, back = scale[before] * cumulative[h], arrival[h] / scale[v]
                if spare_edge[at] & 1:
                    before = faces[h // 3, (k + 1) % 3]
                    theta, back = arrival[h], cumulative[h]
                reach = length[h]
                slot = slot_of[before]
                theta_v, carry_v = _mean_angles(slot, count, angles)
                x = best[slot] * math.cos(theta_v) + reach * math.cos(carry_v + theta)
                y = best[slot] * math.sin(theta_v) + reach * math.sin(carry_v + theta)
                carry = carry_v + theta - scale[v] * back - math.pi
                theta = math.atan2(y, x)
                _offer(at, spare[at], theta, carry, back, np.int64(-1), 0.0, best, count, angles, edges, crossings)
            final[at] = True
            order[popped] = at
            popped += 1
            if wanted > 0 and mark[v]:
                wanted -= 1
                if wanted == 0:
                    # Whatever is equally short must still come in.
                    limit = min(limit, best[at] * (1.0 + INSIDE))
            is_source = at == 0
            fan = out_ptr[v + 1] - out_ptr[v]
            for i in range(0 if is_source else fan + 1 if boundary[v] else fan):
                h = out_halfedge[out_ptr[v] + min(i, fan - 1)]
                target, back_along = faces[h // 3, (h + 1) % 3], 0
                if i == fan:  # the last edge of a boundary fan is no outgoing halfedge
                    h += 2 if h % 3 == 0 else -1
                    target, back_along = faces[h // 3, h % 3], 1
                offset = (total[v] if back_along else cumulative[h]) - angles[at, 0, 2]
                if not boundary[v]:
                    offset -= total[v] * math.floor(offset / total[v])
                    offset = min(offset, total[v] - offset)
                if abs(offset) < math.pi - ALIGNED and count[at] == 1:
                    continue
                r = best[at] + length[h]
                slot = slot_of[target]
                if r > limit or (slot >= 0 and (r >= best[slot] * (1.0 - TIE) or r >= spare[slot])):
                    continue
                if slot < 0:
                    slot = slots
                    slots += 1
                    slot_of[target], vertex[slot], count[slot], best[slot], final[slot] = slot, target, 0, np.inf, False
                spare[slot], spare_edge[slot] = r, 2 * h + back_along
                size = push(heap_key, heap_id, size, r, -slot - 1)
            if not is_source and total[v] <= (math.pi if boundary[v] else 2.0 * math.pi) + SADDLE:
                continue
            theta_v, carry_v = _mean_angles(at, count, angles)
            ways = 1 if is_source else count[at]
            # Every corner, for each of the equally short ways in which geodesics arrived.
            for i in range(fan * ways):
                h = out_halfedge[out_ptr[v] + i % fan]
                k = h % 3
                nxt, prv = h - k + (k + 1) % 3, h - k + (k + 2) % 3
                v1, v2 = faces[nxt // 3, nxt % 3], faces[prv // 3, prv % 3]
                low, high = 0.0, corner[h]
                if not is_source:
                    low, high = _visible_corner(cumulative[h], corner[h], angles[at, i // fan, 2], total[v], boundary[v])
                    if low > high:
                        continue
                ax, ay = length[prv] * math.cos(corner[h]), length[prv] * math.sin(corner[h])
                bx, by = length[h], 0.0
                for side in range(2):
                    if side == 0:
                        if low > 0.0:
                            continue
                        target, reach, turn, back = v1, length[h], 0.0, arrival[h] / scale[v1]
                    else:
                        if high < corner[h]:
                            continue
                        target, reach, turn, back = v2, length[prv], corner[h], cumulative[prv]
                    theta = scale[v] * (cumulative[h] + turn)
                    carry = theta - scale[target] * back - math.pi
                    if not is_source:
                        x = best[at] * math.cos(theta_v) + reach * math.cos(carry_v + theta)
                        y = best[at] * math.sin(theta_v) + reach * math.sin(carry_v + theta)
                        theta, carry = math.atan2(y, x), carry_v + carry
                    slot = slot_of[target]
                    if slot < 0:
                        slot = slots
                        slots += 1
                        slot_of[target], vertex[slot], count[slot], best[slot], final[slot] = slot, target, 0, np.inf, False
                        spare[slot] = np.inf
                    r = best[at] + reach
                    if _offer(slot, r, theta, carry, back, np.int64(-1), 0.0, best, count, angles, edges, crossings):
                        size = push(heap_key, heap_id, size, best[slot], -slot - 1)
                if twin[nxt] < 0:
                    continue
                lox, loy, hix, hiy = bx, by, ax, ay
                if low > 0.0:
                    lox, loy = math.cos(low), math.sin(low)
                if high < corner[h]:
                    hix, hiy = math.cos(high), math.sin(high)
                least = best[at] + _nearest(ax, ay, bx, by, lox, loy, hix, hiy)[0]
                if least <= limit:
                    _store(plane, entered, windows, ax, ay, bx, by, lox, loy, hix, hiy, cumulative[h], twin[nxt], at)
                    plane[windows, 9], plane[windows, 10] = math.cos(corner[nxt]), -math.sin(corner[nxt])
                    size = push(heap_key, heap_id, size, least, np.int64(windows))
                    windows += 1
        else:
            ax, ay, bx, by = plane[item, 0], plane[item, 1], plane[item, 2], plane[item, 3]
            lox, loy, hix, hiy = plane[item, 4], plane[item, 5], plane[item, 6], plane[item, 7]
            base, h, root = plane[item, 8], entered[item, 0], entered[item, 1]
            sigma = best[root]
            k = h % 3
            nxt, prv = h - k + (k + 1) % 3, h - k + (k + 2) % 3
            va, vb, vc = faces[h // 3, k], faces[nxt // 3, nxt % 3], faces[prv // 3, prv % 3]
            # third corner in the plane: left of a -> b, by the angle at a
            ex, ey = plane[item, 9], plane[item, 10]
            c0, s0 = math.cos(corner[h]), math.sin(corner[h])
            fx, fy = ex * c0 - ey * s0, ex * s0 + ey * c0
            cx, cy = ax + length[prv] * fx, ay + length[prv] * fy
            reach = math.hypot(cx, cy)
            right = _cross(lox, loy, cx, cy) / (math.hypot(lox, loy) * reach)
            left = _cross(cx, cy, hix, hiy) / (math.hypot(hix, hiy) * reach)
            if right >= -SIGHT and left >= -SIGHT and sigma + reach <= limit:
                v = vertex[root]
                theta = scale[v] * (base + math.atan2(cy, cx))
                # at c: from the outgoing halfedge c -> a counter-clockwise to the origin
                turn = math.atan2(_cross(ax - cx, ay - cy, -cx, -cy), -(ax - cx) * cx - (ay - cy) * cy)
                back = cumulative[prv] + max(turn, 0.0)
                carry = theta - scale[vc] * back - math.pi
                if root > 0:
                    theta_v, carry_v = _mean_angles(root, count, angles)
                    x = sigma * math.cos(theta_v) + reach * math.cos(carry_v + theta)
                    y = sigma * math.sin(theta_v) + reach * math.sin(carry_v + theta)
                    theta, carry = math.atan2(y, x), carry_v + carry
                slot = slot_of[vc]
                if slot < 0:
                    slot = slots
                    slots += 1
                    slot_of[vc], vertex[slot], count[slot], best[slot], final[slot] = slot, vc, 0, np.inf, False
                    spare[slot] = np.inf
                # where the geodesic crosses a -> b
                crossing = _cross(ax, ay, cx, cy) / (_cross(ax, ay, cx, cy) - _cross(bx, by, cx, cy))
                r = sigma + reach
                if _offer(slot, r, theta, carry, back, h, crossing, best, count, angles, edges, crossings):
                    size = push(heap_key, heap_id, size, best[slot], -slot - 1)
            # children: through b -> c on the right of c, and through c -> a on its left
            for side in range(2):
                if side == 0:
                    if right <= 0.0:
                        continue
                    enter, px, py, qx, qy = twin[nxt], cx, cy, bx, by
                    rx, ry, lx, ly = lox, loy, hix, hiy
                    if left > 0.0:
                        lx, ly = cx, cy
                    va_, vb_ = vc, vb
                else:
                    if left <= 0.0:
                        continue
                    enter, px, py, qx, qy = twin[prv], ax, ay, cx, cy
                    rx, ry, lx, ly = lox, loy, hix, hiy
                    if right > 0.0:
                        rx, ry = cx, cy
                    va_, vb_ = va, vc
                if enter < 0:
                    continue
                least, rex, rey, lex, ley = _nearest(px, py, qx, qy, rx, ry, lx, ly)
                if sigma + least > limit:
                    continue
                # Xin & Wang 2009, theorem 3.2: an end of the edge reaches all that the window does, sooner.
                slot_a, slot_b = slot_of[va_], slot_of[vb_]
                far_right, far_left = sigma + math.hypot(rex, rey), sigma + math.hypot(lex, ley)
                if slot_a >= 0 and best[slot_a] + math.hypot(rex - px, rey - py) < far_right * (1.0 - TIE):
                    continue
                if slot_b >= 0 and best[slot_b] + math.hypot(lex - qx, ley - qy) < far_left * (1.0 - TIE):
                    continue
                _store(plane, entered, windows, px, py, qx, qy, rx, ry, lx, ly, base, enter, root)
                if side == 0:
                    c1, s1 = math.cos(corner[nxt]), math.sin(corner[nxt])
                    fx, fy = ex * c1 + ey * s1, ey * c1 - ex * s1
                else:
                    fx, fy = ex * c0 - ey * s0, ex * s0 + ey * c0
                plane[windows, 9], plane[windows, 10] = fx, fy
                size = push(heap_key, heap_id, size, sigma + least, np.int64(windows))
                windows += 1

    for i in range(slots):
        slot_of[vertex[i]] = -1
    return popped, vertex, best, count, angles, edges, crossings, order


@njit(nogil=True, error_model="numpy", allocates=False)
def _store(plane, entered, i, ax, ay, bx, by, lox, loy, hix, hiy, base, halfedge, root):
    plane[i, 0], plane[i, 1], plane[i, 2], plane[i, 3] = ax, ay, bx, by
    plane[i, 4], plane[i, 5], plane[i, 6], plane[i, 7], plane[i, 8] = lox, loy, hix, hiy, base
    entered[i, 0], entered[i, 1] = halfedge, root
