"""Aggregates of the CPU loop: the neighbours of a node carried, summed against the table, and combined.

Arrays are flat where vector instructions take them; every function lets go of the GIL.
"""

from __future__ import annotations

import numpy as np

from ...compiled import njit
from ..mixing import FLIP, PERMUTE, ROTATE, SIGN
from .tiles import HOT, INLINED, OPTIONS, SUMS
from .vector import NARROW, PANEL, make_combine, make_rotate, make_tile, prefetch

set_wide, _set_narrow, _set_one = (make_combine(w, False) for w in (PANEL, NARROW, 1))
add_wide, _add_narrow, _add_one = (make_combine(w, True) for w in (PANEL, NARROW, 1))
_rotate_wide, _rotate_narrow, _rotate_one = (make_rotate(w, False) for w in (PANEL, NARROW, 1))
_back_wide, _back_narrow, _back_one = (make_rotate(w, True) for w in (PANEL, NARROW, 1))
sum_tile = make_tile(tuple(SUMS))


@njit(**HOT)
def aggregate(x, edges, layout, work, start, stop, out):
    r"""Combinations of :math:`A_j = \sum_e U_{ej} \rho(g_e) x_{q(e)} + U_{pj} x_p` for a range of nodes, in panels."""
    rowptr, source, turn, det, element, table, node_table, _ = edges
    blocks, permutations = layout[:2]
    carried, c0 = work[0]
    width, columns = x.shape[1], node_table.shape[1]
    padded = (width + PANEL - 1) // PANEL * PANEL
    values = x.reshape(-1)
    for p in range(start, stop):
        first, count = rowptr[p], rowptr[p + 1] - rowptr[p]
        for e in range(first + count, rowptr[min(p + 2, rowptr.size - 1)]):
            prefetch(table, e * columns)
        prefetch_rows(values, source, rowptr, p + 1, 0, width)
        carry(values, source, turn, det, element, first, count, blocks, permutations, carried, c0, width, padded)
        sum_node(values, p * width, width, edges, work, p, out, (p - start) * PANEL)


@njit(**INLINED)
def prefetch_rows(values, source, rowptr, p, lowest, width):
    """Fetch the rows of the neighbours of node p, if there is one, which values has from node ``lowest`` on."""
    for e in range(rowptr[min(p, rowptr.size - 1)], rowptr[min(p + 1, rowptr.size - 1)]):
        for k in range(0, width, 16):
            prefetch(values, (source[e] - lowest) * width + k)


@njit(**INLINED)
def sum_node(values, at, width, edges, work, p, out, row):
    """The carried neighbours of node p and the node itself, values[at:], summed against the table and combined, to a row."""
    rowptr, _, _, _, _, table, node_table, column = edges
    (carried, c0), (sums, s0), splits, (wide, wide_factors), (places, place_factors) = work
    zero, one = values.dtype.type(0.0), values.dtype.type(1.0)
    columns, node = node_table.shape[1], node_table.reshape(-1)
    padded = (width + PANEL - 1) // PANEL * PANEL
    first, count = rowptr[p], rowptr[p + 1] - rowptr[p]
    own = s0 + columns * padded  # the last row of the sums is the centre itself
    set_row(sums, own, values, at, at, width, one, zero)
    if column.size:
        _place(carried, c0, table, column, first, count, columns, node, p, sums, s0, padded)
    for k in range(0, 0 if column.size else padded, PANEL):
        v, c = c0 + k, own + k
        j = 0
        for rows in splits:
            t, n, o = first * columns + j, p * columns + j, s0 + j * padded + k
            sum_tile(rows, carried, v, padded, table, t, columns, 1, 0, count, sums, c, 0, node, n, 1, sums, o, padded)
            j += rows
    for m in range(wide.shape[0]):
        f, g = wide_factors[m, 0], wide_factors[m, 1]
        set_wide(out, row + wide[m, 0], sums, wide[m, 1], wide[m, 2], f, g)
    for m in range(places.shape[0]):
        to, a, b, mul = row + places[m, 0], places[m, 1], places[m, 2], places[m, 3]
        f, g = place_factors[m, 0], place_factors[m, 1]
        if places[m, 4]:
            set_row(out, to, sums, a, b, mul, f, g)
        else:
            add_row(out, to, sums, a, b, mul, f, g)


@njit(**HOT)
def _place(carried, c0, table, column, first, count, columns, node, p, sums, s0, padded):
    """The sums of a one-hot table: every carried neighbour is added to the row of its column, the centre to those it has."""
    zero, own = carried.dtype.type(0.0), s0 + columns * padded
    for k in range(s0, own):
        sums[k] = zero
    for i in range(count):
        to, at, u = s0 + column[first + i] * padded, c0 + i * padded, table[(first + i) * columns + column[first + i]]
        add_row(sums, to, carried, at, at, padded, u, zero)
    for j in range(columns):
        if node[p * columns + j] != zero:
            add_row(sums, s0 + j * padded, sums, own, own, padded, node[p * columns + j], zero)


@njit(**OPTIONS)
def _splits(columns):
    """Numbers of columns that are summed at a time: few parts, of nearly the same size."""
    parts, count = np.empty(columns, np.int64), 0
    while columns > 0:
        even = -(-columns // -(-columns // SUMS[0]))
        for rows in SUMS:
            if rows <= even:
                parts[count] = rows
                count += 1
                columns -= rows
                break
    return parts[:count]


@njit(**OPTIONS)
def places_of(layout, padded, s0, groups, span, dtype):
    """The entries of a layout as places in the sums: whole panels (to, a, b), the rest (to, a, b, mul, first); factors."""
    entries, factors, sizes = layout[2], layout[3], layout[4]
    count = 0
    for m in range(entries.shape[0]):
        count += entries[m, 5] // PANEL + 2
    wide, wide_factors = np.empty((count, 3), np.int64), np.empty((count, 2), dtype)
    rest, rest_factors = np.empty((count, 5), np.int64), np.empty((count, 2), dtype)
    i = j = g = 0
    for m in range(entries.shape[0]):
        while entries[m, 0] >= sizes[g, 0] + sizes[g, 1]:
            g += 1
        z, mul = entries[m, 0] - sizes[g, 0], entries[m, 5]
        a, b = s0 + entries[m, 1] * padded + entries[m, 2], s0 + entries[m, 3] * padded + entries[m, 4]
        k = 0
        while k < mul:
            inside = (z + k) % PANEL
            take = min(mul - k, PANEL - inside)
            to = (groups[g, 0] + (z + k) // PANEL) * span + inside
            if take == PANEL and entries[m, 6]:
                wide[i, 0], wide[i, 1], wide[i, 2] = to, a + k, b + k
                wide_factors[i, 0], wide_factors[i, 1] = factors[m, 0], factors[m, 1]
                i += 1
            else:
                rest[j, 0], rest[j, 1], rest[j, 2], rest[j, 3], rest[j, 4] = to, a + k, b + k, take, entries[m, 6]
                rest_factors[j, 0], rest_factors[j, 1] = factors[m, 0], factors[m, 1]
                j += 1
            k += take
    return (wide[:i], wide_factors[:i]), (rest[:j], rest_factors[:j])


def _make_row(name, wide, narrow, one):
    """A function of rows of any length, from those of a panel, of half a panel and of one number, compiled under a name."""

    def row(out, to, values, a, b, mul, f, g):
        k = 0
        while k + PANEL <= mul:
            wide(out, to + k, values, a + k, b + k, f, g)
            k += PANEL
        while k + NARROW <= mul:
            narrow(out, to + k, values, a + k, b + k, f, g)
            k += NARROW
        while k < mul:
            one(out, to + k, values, a + k, b + k, f, g)
            k += 1

    row.__qualname__ = name
    return njit(**INLINED)(row)


set_row = _make_row("set_row", set_wide, _set_narrow, _set_one)
add_row = _make_row("add_row", add_wide, _add_narrow, _add_one)


@njit(**INLINED)
def carry(values, source, turn, det, element, first, count, blocks, permutations, out, o, width, padded):
    """out[i] = rho(turn[e]) values[source[e]] for the edges e = first + i, i < count, block by block; rows of ``padded``."""
    zero, one = values.dtype.type(0.0), values.dtype.type(1.0)
    for b in range(blocks.shape[0]):
        kind, order, mul, column, dim = blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3], blocks[b, 4]
        to = o + column
        if kind == ROTATE:
            for e in range(first, first + count):
                at, c, s = source[e] * width + column, turn[2 * e], turn[2 * e + 1]
                cos, sin, flip = c, s, det[e] if det.size else one
                for _ in range(order - 1):
                    c, s = c * cos - s * sin, c * sin + s * cos
                k = 0
                while k + PANEL <= mul:
                    _rotate_wide(out, to + k, values, at + k, mul, c, s, flip)
                    k += PANEL
                while k + NARROW <= mul:
                    _rotate_narrow(out, to + k, values, at + k, mul, c, s, flip)
                    k += NARROW
                while k < mul:
                    _rotate_one(out, to + k, values, at + k, mul, c, s, flip)
                    k += 1
                to += padded
        elif kind == PERMUTE:
            for e in range(first, first + count):
                at, rows = source[e] * width + column, order + element[e] * dim
                for k in range(dim):
                    set_row(out, to + permutations[rows + k] * mul, values, at + k * mul, at, mul, one, zero)
                to += padded
        else:
            for e in range(first, first + count):
                at, factor = source[e] * width + column, one
                if kind == FLIP:
                    factor = values.dtype.type(permutations[order + element[e]])
                elif kind == SIGN and det.size:
                    factor = det[e]
                set_row(out, to, values, at, at, mul, factor, zero)
                to += padded


@njit(**HOT)
def carry_back(rows, r, source, turn, det, element, first, count, blocks, permutations, out, lowest, width, padded):
    """out[source[e] - lowest] += transposed rho(turn[e]) rows[i] for the edges e = first + i: the adjoint of :func:`carry`."""
    zero, one = rows.dtype.type(0.0), rows.dtype.type(1.0)
    for b in range(blocks.shape[0]):
        kind, order, mul, column, dim = blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3], blocks[b, 4]
        at = r + column
        for e in range(first, first + count):
            to, factor = (source[e] - lowest) * width + column, one
            if kind == ROTATE:
                c, s = turn[2 * e], turn[2 * e + 1]
                cos, sin, flip = c, s, det[e] if det.size else one
                for _ in range(order - 1):
                    c, s = c * cos - s * sin, c * sin + s * cos
                k = 0
                while k + PANEL <= mul:
                    _back_wide(out, to + k, rows, at + k, mul, c, s, flip)
                    k += PANEL
                while k + NARROW <= mul:
                    _back_narrow(out, to + k, rows, at + k, mul, c, s, flip)
                    k += NARROW
                while k < mul:
                    _back_one(out, to + k, rows, at + k, mul, c, s, flip)
                    k += 1
            elif kind == PERMUTE:
                there = order + element[e] * dim
                for k in range(dim):
                    place = at + permutations[there + k] * mul
                    add_row(out, to + k * mul, rows, place, place, mul, one, zero)
            else:
                if kind == FLIP:
                    factor = rows.dtype.type(permutations[order + element[e]])
                elif kind == SIGN and det.size:
                    factor = det[e]
                add_row(out, to, rows, at, at, mul * dim, factor, zero)
            at += padded


@njit(**OPTIONS)
def workspace(x, rowptr, columns, layout, places, span):
    """Aligned room for the carried neighbours and the sums of one node, each with its first element; how to sum and combine."""
    padded = (x.shape[1] + PANEL - 1) // PANEL * PANEL
    sums = aligned((columns + 1) * padded, x.dtype)
    return (
        aligned(most_edges(rowptr) * padded, x.dtype),
        sums,
        _splits(columns),
        *places_of(layout, padded, sums[1], places, span, x.dtype),
    )


@njit(**OPTIONS)
def most_edges(rowptr):
    """Most edges into a node."""
    most = 0
    for p in range(rowptr.size - 1):
        most = max(most, rowptr[p + 1] - rowptr[p])
    return most


@njit(**OPTIONS)
def aligned(size, dtype):
    """Zeros, and the offset from which they lie on a cache line: a load across two lines takes twice the time."""
    out = np.zeros(size + 64, dtype)
    return out, (64 - out.ctypes.data % 64) % 64 // out.itemsize
