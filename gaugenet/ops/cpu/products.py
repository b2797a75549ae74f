"""Matrix products of the CPU loop: combinations times weights, and combinations times features for the gradient.

The combinations of a chunk of nodes lie in panels [z // PANEL][node][z % PANEL], the weights in panels
[column // PANEL][z][column % PANEL]: every tile reads what it needs without gaps.
"""

from __future__ import annotations

import numpy as np

from ...compiled import njit
from .aggregate import set_row
from .tiles import FEWER, OPTIONS, ROWS, WIDE
from .vector import PANEL, make_tile, make_wide_tile

product_tile = make_tile((ROWS,), panels=True)
wide_tile = make_wide_tile((ROWS,), WIDE, panels=True)
plain_wide = make_wide_tile((ROWS, FEWER), WIDE)
plain_tile = make_tile((ROWS, FEWER))


@njit(**OPTIONS)
def panels_of(groups):
    """Where the parts of every group begin: first panel of combinations, their number, first packed weight, first gradient.

    And the number of panels, of packed weights and of gradients of all groups.
    """
    places = np.empty((groups.shape[0], 4), np.int64)
    panels = packed = gradient = 0
    for g in range(groups.shape[0]):
        count, columns = (groups[g, 1] + PANEL - 1) // PANEL, groups[g, 3]
        places[g, 0], places[g, 1], places[g, 2], places[g, 3] = panels, count, packed, gradient
        panels += count
        packed += (columns + PANEL - 1) // PANEL * PANEL * count * PANEL
        gradient += _tiled(columns) * count * PANEL
    return places, panels, packed, gradient


@njit(**OPTIONS)
def _rows(rest):
    """Rows of the next tile, of ``rest`` that are left."""
    return FEWER if rest % ROWS else ROWS


@njit(**OPTIONS)
def _tiled(rows):
    """How many rows the tiles of so many rows have."""
    total = 0
    while total < rows:
        total += _rows(rows - total)
    return total


@njit(**OPTIONS)
def pack(weight, groups, places, size):
    """The matrices in panels [column // PANEL][z][column % PANEL], with zeros where there is nothing."""
    packed = np.zeros(size, weight.dtype)
    for g in range(groups.shape[0] if size else 0):
        rows, columns, first = groups[g, 1], groups[g, 3], groups[g, 4]
        for k in range(0, columns, PANEL):
            to = places[g, 2] + k * places[g, 1] * PANEL
            for z in range(rows):
                for c in range(min(PANEL, columns - k)):
                    packed[to + z * PANEL + c] = weight[first + z * columns + k + c]
    return packed


@njit(**OPTIONS)
def products(reduced, span, packed, places, groups, start, out, o, width, count):
    """out[r, k] = start[k] + sum over z of reduced[r, z] weight[z, k] for a chunk: rows r < count."""
    one, both, gap = np.ones(1, out.dtype), WIDE * PANEL, span - PANEL
    room, v, s = np.empty(ROWS * both, out.dtype), packed, start
    for g in range(groups.shape[0]):
        first, panels, column, columns = places[g, 0] * span, places[g, 1], groups[g, 2], groups[g, 3]
        across = panels * PANEL * PANEL, PANEL, PANEL
        for k in range(0, columns, both):
            w, c, left = places[g, 2] + k * panels * PANEL, column + k, min(both, columns - k)
            for r in range(0, count, ROWS):
                rows, t, place = min(ROWS, count - r), first + r * PANEL, o + r * width + c
                whole = rows == ROWS and left == (both if left > PANEL else PANEL)
                to, at, stride = (out, place, width) if whole else (room, 0, both)
                if left > PANEL:
                    wide_tile(ROWS, v, w, PANEL, reduced, t, 1, PANEL, gap, panels, s, c, 0, one, 0, 0, to, at, stride, across)
                else:
                    product_tile(ROWS, v, w, PANEL, reduced, t, 1, PANEL, gap, panels, s, c, 0, one, 0, 0, to, at, stride)
                if not whole:
                    for i in range(rows):
                        for j in range(left):
                            out[place + i * width + j] = room[i * both + j]


@njit(**OPTIONS)
def gradients(reduced, span, features, at, width, places, groups, gradient, count):
    """gradient[z, k] += sum over r < count of reduced[r, z] features[r, k], in panels [z // PANEL][k][z % PANEL]."""
    one, most = np.ones(1, gradient.dtype), 0
    for g in range(groups.shape[0]):
        most = max(most, _tiled(groups[g, 3]))
    tiles = np.zeros(most * count, gradient.dtype)
    for g in range(groups.shape[0]):
        column, columns = groups[g, 2], groups[g, 3]
        k = 0
        while k < columns:  # the columns of a tile side by side
            rows = _rows(columns - k)
            inside = min(rows, columns - k)  # what is over stays zero
            for r in range(count):
                a = at + r * width + column + k
                set_row(tiles, k * count + r * rows, features, a, a, inside, one[0], one[0] * 0)
            k += rows
        to, z, last, apart = places[g, 3], places[g, 0], places[g, 0] + places[g, 1], _tiled(columns) * PANEL
        while z < last:
            at_once = WIDE if last - z >= WIDE else 1
            k, s = 0, gradient
            while k < columns:
                rows, o = _rows(columns - k), to + k * PANEL
                t, v = k * count, z * span
                if at_once == 1:
                    plain_tile(rows, reduced, v, PANEL, tiles, t, rows, 1, 0, count, s, o, PANEL, one, 0, 0, s, o, PANEL)
                else:
                    across = span, apart, apart
                    plain_wide(
                        rows, reduced, v, PANEL, tiles, t, rows, 1, 0, count, s, o, PANEL, one, 0, 0, s, o, PANEL, across
                    )
                k += rows
            z, to = z + at_once, to + at_once * apart


@njit(**OPTIONS)
def unpack(gradient, groups, places, out):
    """The gradients of the groups in the order of the weight."""
    for g in range(groups.shape[0]):
        rows, columns, first = groups[g, 1], groups[g, 3], groups[g, 4]
        tiled = _tiled(columns)
        for z in range(rows):
            at = places[g, 3] + z // PANEL * tiled * PANEL + z % PANEL
            for k in range(columns):
                out[first + z * columns + k] = gradient[at + k * PANEL]
