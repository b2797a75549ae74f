"""Voronoi cells of many points, each among its own neighbours in its own chart (numba)."""

from __future__ import annotations

import numpy as np

from ...compiled import njit


@njit(cache=True, nogil=True, error_model="numpy")
def voronoi_cells(xy, usable, reach):
    """Area of the cell of each point, restricted to its Delaunay triangles, and which neighbours these use.

    The cell of the origin is clipped by the bisectors. Its corners are the circumcentres of the Delaunay triangles at the
    origin: those within reach count, each with the kite between the midpoints of its two edges. Areas are the same however
    a degenerate (square) cell is triangulated, and inside the surface the kites make up the whole cell; at the boundary, where
    a cell is open, they make up the part in the triangles.

    Args:
        xy: (N, k, 2) neighbours in the chart of each point. usable: (N, k) bool.
        reach: (N,) largest circumradius.

    Returns:
        ring (N, k) bool; area (N,).
    """
    count, k = usable.shape
    ring = np.zeros((count, k), np.bool_)
    area = np.zeros(count)
    # Corners of the polygon, and the neighbour on whose bisector the edge after each of them lies (-1: the outer box).
    room = 4 * k + 8  # k + 4 corners, and some for rounding
    x, y, label = np.empty(room), np.empty(room), np.empty(room, np.int64)
    nx, ny, new_label = np.empty(room), np.empty(room), np.empty(room, np.int64)
    for p in range(count):
        box = 2.0 * reach[p]
        if box == 0.0:
            continue
        size = 4
        for i in range(4):
            x[i] = box if i == 0 or i == 3 else -box
            y[i] = box if i < 2 else -box
            label[i] = -1
        for j in range(k):
            if not usable[p, j]:
                continue
            qx, qy = xy[p, j, 0], xy[p, j, 1]
            level = 0.5 * (qx * qx + qy * qy)
            # Cutting off less than rounding would only shuffle the corners of degenerate cells.
            slack = 1e-12 * level
            new = 0
            for i in range(size):
                after = i + 1 if i + 1 < size else 0
                here = x[i] * qx + y[i] * qy - level
                there = x[after] * qx + y[after] * qy - level
                if here <= slack:
                    nx[new], ny[new], new_label[new] = x[i], y[i], label[i]
                    new += 1
                    if there > slack:
                        t = here / (here - there)
                        nx[new], ny[new], new_label[new] = x[i] + t * (x[after] - x[i]), y[i] + t * (y[after] - y[i]), j
                        new += 1
                elif there <= slack:
                    t = here / (here - there)
                    nx[new], ny[new], new_label[new] = x[i] + t * (x[after] - x[i]), y[i] + t * (y[after] - y[i]), label[i]
                    new += 1
            size = new
            for i in range(size):
                x[i], y[i], label[i] = nx[i], ny[i], new_label[i]
        for i in range(size):
            a, b = label[i - 1 if i > 0 else size - 1], label[i]
            if a >= 0 and b >= 0 and a != b and x[i] * x[i] + y[i] * y[i] <= reach[p] * reach[p]:
                ring[p, a] = ring[p, b] = True
                area[p] += 0.25 * (xy[p, a, 0] * y[i] - xy[p, a, 1] * x[i] + x[i] * xy[p, b, 1] - y[i] * xy[p, b, 0])
    return ring, area
