"""Matrix products of the CPU loop: combinations times weights, and combinations times features for the gradient.

The combinations of a chunk of nodes lie in panels [z // PANEL][node][z % PANEL], the weights in panels
[column // PANEL][z][column % PANEL]: every tile reads what it needs without gaps.
"""

from __future__ import annotations

import numpy as np

from ...compiled import njit
from .aggregate import set_row
from .tiles import FEWER, OPTIONS, ROWS
from .vector import PANEL, make_tile

product_tile = make_tile((ROWS,), panels=True)
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
    one, room = np.ones(1, out.dtype), np.empty(ROWS * PANEL, out.dtype)
    for g in range(groups.shape[0]):
        first, panels, column, columns = places[g, 0] * span, places[g, 1], groups[g, 2], groups[g, 3]
        for k in range(0, columns, PANEL):
            w, c, wide = places[g, 2] + k * panels * PANEL, column + k, min(PANEL, columns - k)
            for r in range(0, count, ROWS):
                rows, t = min(ROWS, count - r), first + r * PANEL
                whole = rows == ROWS and wide == PANEL
                to, at, stride = (out, o + r * width + c, width) if whole else (room, 0, PANEL)
                product_tile(
                    ROWS, packed, w, PANEL, reduced, t, 1, PANEL, span - PANEL, panels, start, c, 0, one, 0, 0, to, at, stride
                )
                if not whole:
                    for i in range(rows):
                        for j in range(wide):
                            out[o + (r + i) * width + c + j] = room[i * PANEL + j]


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
        to = places[g, 3]
        for z in range(places[g, 0], places[g, 0] + places[g, 1]):
            k = 0
            while k < columns:
                rows = _rows(columns - k)
                t, g = k * count, gradient
                plain_tile(rows, reduced, z * span, PANEL, tiles, t, rows, 1, 0, count, g, to, PANEL, one, 0, 0, g, to, PANEL)
                k, to = k + rows, to + rows * PANEL


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
