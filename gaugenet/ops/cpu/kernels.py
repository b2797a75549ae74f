"""The fused loop on the CPU, in numba: carry the neighbours of a node, sum them against the table, combine, mix.

Arrays are flat where vector instructions take them; every function lets go of the GIL.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..mixing import FLIP, PERMUTE, ROTATE, SIGN
from .team import make_team
from .tiles import SHAPES, instruction_set
from .vector import PANEL, make_combine, make_rotate, make_tile, prefetch

# Narrower steps for blocks that are no multiple of a panel.
_NARROW = PANEL // 2
# Edges between the one that is worked on and the one that is fetched into the cache.
_AHEAD = 8

_NAME, _CHOSEN = instruction_set()
_SHAPES = SHAPES[_NAME]
# Rows to a tile of the products, the larger and the smaller; numbers of rows for which there is a tile of the sums.
_ROWS, _FEWER = _SHAPES.product
_SUMS = np.array(_SHAPES.sums)

_set_wide, _set_narrow, _set_one = (make_combine(w, False) for w in (PANEL, _NARROW, 1))
_add_wide, _add_narrow, _add_one = (make_combine(w, True) for w in (PANEL, _NARROW, 1))
_rotate_wide, _rotate_narrow, _rotate_one = (make_rotate(w) for w in (PANEL, _NARROW, 1))
_sum_tile = make_tile(_SHAPES.sums)
_product_tile = make_tile((_ROWS,), panels=True)
_gradient_tile = make_tile(_SHAPES.product)

# The compiled code depends on the tiles; what is kept on the disk goes by the processor alone.
_OPTIONS = {"cache": not _CHOSEN, "nogil": True, "error_model": "numpy"}


@njit(**_OPTIONS)
def _convolve_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`convolve`."""
    x, edges, layout, weight, bias, out, features, grad_weights, bounds, step = arguments
    p, stop, nodes, groups, out_width = bounds[item], bounds[item + 1], edges[6].shape[0], layout[4], bias.size
    flat, values = out.reshape(-1), features.reshape(-1)
    # A chunk of combinations in panels [z // PANEL][node][z % PANEL]: both products read it without gaps.
    span = (step + _ROWS - 1) // _ROWS * _ROWS * PANEL
    places, count_panels, packed_size, gradient_size = _panels(groups)
    reduced = np.zeros(count_panels * span, x.dtype)
    work = _workspace(x, edges[0], edges[6].shape[1], layout, places, span)
    packed = _pack(weight, groups, places, packed_size if flat.size else 0)
    gradient = np.zeros(gradient_size if values.size else 0, x.dtype)
    start = np.zeros(out_width + PANEL, x.dtype)
    for k in range(out_width):
        start[k] = bias[k]
    while p < stop:
        local = p % nodes
        count = min(step, stop - p, nodes - local)
        _aggregate(x[p - local : p - local + nodes], edges, layout, work, local, local + count, reduced)
        if flat.size:
            _products(reduced, span, packed, places, groups, start, flat, p * out_width, out_width, count)
        if values.size:
            _gradients(reduced, span, values, p * out_width, out_width, places, groups, gradient, count)
        p += count
    if values.size:
        _unpack(gradient, groups, places, grad_weights[item])


@njit(**_OPTIONS)
def _carry_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`carry_sum`."""
    x, edges, blocks, permutations, out, bounds, sources = arguments
    rowptr, source, turn, det, element, table = edges
    nodes, width = rowptr.size - 1, x.shape[1]
    padded = (width + PANEL - 1) // PANEL * PANEL
    flat, one, zeros = out.reshape(-1), np.ones(1, x.dtype), np.zeros(PANEL, x.dtype)
    (carried, c0), (sums, s0) = _aligned(_most(rowptr) * padded, x.dtype), _aligned(padded, x.dtype)
    for p in range(bounds[item], bounds[item + 1]):
        copy, local = p // nodes, p % nodes
        values = x[copy * sources : (copy + 1) * sources].reshape(-1)
        first, count = rowptr[local], rowptr[local + 1] - rowptr[local]
        _carry(values, source, turn, det, element, first, count, blocks, permutations, carried, c0, width, padded)
        for k in range(0, padded, PANEL):
            _sum_tile(1, carried, c0 + k, padded, table, first, 1, 1, 0, count, zeros, 0, 0, one, 0, 0, sums, s0 + k, padded)
        _set(flat, p * width, sums, s0, s0, width, one[0], zeros[0])


_convolve_team, _carry_team = make_team(_convolve_slice), make_team(_carry_slice)


@njit(**_OPTIONS)
def carry_sum(fork, threads, first, last, arguments):
    """out[p] = sum over the edges e into p of table[e] rho(turn[e]) x[source[e]], for some slices of the nodes.

    ``arguments`` are x (B N, D); edges as for :func:`convolve`, of one column and without node_table; blocks and permutations
    of a Layout; out (B M, D), written; bounds of the slices; N.
    """
    return _carry_team(fork, threads, first, last, arguments)


@njit(**_OPTIONS)
def convolve(fork, threads, first, last, arguments):
    """out[p] = mixed aggregate of node p + bias, for some slices of the nodes. Gives the number of slices that failed.

    Over the transposed edges, with the gradient in the place of x, the same gives the gradient to the features as out and that
    to the weight as the sum of combinations times features.

    Args:
        fork: address of ``GOMP_parallel``, see :mod:`gaugenet.ops.cpu.team`; not used by one thread.
        threads: on how many threads.
        first, last: the slices are first <= s < last.
        arguments: tuple of
            x (B N, D) features of B fields on the graph, one under the other;
            edges: rowptr (N + 1,), source (E,), turn (2 E,), det, element (E,), table (E J,), node_table (N, J), column, see
            :class:`gaugenet.ops.plan.EdgeList`;
            layout, see :class:`gaugenet.ops.mixing.Layout`;
            weight, the matrices of the groups, one after the other; bias (D_out,);
            out (B N, D_out), written, or empty where it is not wanted;
            features (B N, D_out) and grad_weight (S, like weight): grad_weight[s] = combinations^T features, or both empty;
            bounds (S + 1,) of the slices of the B N nodes; step, nodes to a chunk.
    """
    return _convolve_team(fork, threads, first, last, arguments)


@njit(**_OPTIONS)
def _panels(groups):
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


@njit(**_OPTIONS)
def _rows(rest):
    """Rows of the next tile, of ``rest`` that are left."""
    return _FEWER if rest % _ROWS else _ROWS


@njit(**_OPTIONS)
def _tiled(rows):
    """How many rows the tiles of so many rows have."""
    total = 0
    while total < rows:
        total += _rows(rows - total)
    return total


@njit(**_OPTIONS)
def _pack(weight, groups, places, size):
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


@njit(**_OPTIONS)
def _products(reduced, span, packed, places, groups, start, out, o, width, count):
    """out[r, k] = start[k] + sum over z of reduced[r, z] weight[z, k] for a chunk: rows r < count."""
    one, room = np.ones(1, out.dtype), np.empty(_ROWS * PANEL, out.dtype)
    for g in range(groups.shape[0]):
        first, panels, column, columns = places[g, 0] * span, places[g, 1], groups[g, 2], groups[g, 3]
        for k in range(0, columns, PANEL):
            w, c, wide = places[g, 2] + k * panels * PANEL, column + k, min(PANEL, columns - k)
            for r in range(0, count, _ROWS):
                rows, t = min(_ROWS, count - r), first + r * PANEL
                whole = rows == _ROWS and wide == PANEL
                to, at, stride = (out, o + r * width + c, width) if whole else (room, 0, PANEL)
                _product_tile(
                    _ROWS, packed, w, PANEL, reduced, t, 1, PANEL, span - PANEL, panels, start, c, 0, one, 0, 0, to, at, stride
                )
                if not whole:
                    for i in range(rows):
                        for j in range(wide):
                            out[o + (r + i) * width + c + j] = room[i * PANEL + j]


@njit(**_OPTIONS)
def _gradients(reduced, span, features, at, width, places, groups, gradient, count):
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
            for r in range(count):
                for i in range(rows):
                    inside = k + i < columns
                    tiles[k * count + r * rows + i] = features[at + r * width + column + k + i] if inside else one[0] * 0
            k += rows
        to = places[g, 3]
        for z in range(places[g, 0], places[g, 0] + places[g, 1]):
            k = 0
            while k < columns:
                rows = _rows(columns - k)
                _gradient_tile(
                    rows, reduced, z * span, PANEL, tiles, k * count, rows, 1, 0, count, gradient, to, PANEL, one, 0, 0, gradient,
                    to, PANEL,
                )  # fmt: skip
                k, to = k + rows, to + rows * PANEL


@njit(**_OPTIONS)
def _unpack(gradient, groups, places, out):
    """The gradients of the groups in the order of the weight."""
    for g in range(groups.shape[0]):
        rows, columns, first = groups[g, 1], groups[g, 3], groups[g, 4]
        tiled = _tiled(columns)
        for z in range(rows):
            at = places[g, 3] + z // PANEL * tiled * PANEL + z % PANEL
            for k in range(columns):
                out[first + z * columns + k] = gradient[at + k * PANEL]


@njit(**_OPTIONS)
def _workspace(x, rowptr, columns, layout, places, span):
    """Aligned room for the carried neighbours and the sums of one node, each with its first element; how to sum and combine."""
    padded = (x.shape[1] + PANEL - 1) // PANEL * PANEL
    sums = _aligned((columns + 1) * padded, x.dtype)
    return (
        _aligned(_most(rowptr) * padded, x.dtype),
        sums,
        _splits(columns),
        *_places(layout, padded, sums[1], places, span, x.dtype),
    )


@njit(**_OPTIONS)
def _most(rowptr):
    """Most edges into a node."""
    most = 0
    for p in range(rowptr.size - 1):
        most = max(most, rowptr[p + 1] - rowptr[p])
    return most


@njit(**_OPTIONS)
def _aligned(size, dtype):
    """Zeros, and the offset from which they lie on a cache line: a load across two lines takes twice the time."""
    out = np.zeros(size + 64, dtype)
    return out, (64 - out.ctypes.data % 64) % 64 // out.itemsize


@njit(**_OPTIONS)
def _aggregate(x, edges, layout, work, start, stop, out):
    r"""Combinations of :math:`A_j = \sum_e U_{ej} \rho(g_e) x_{q(e)} + U_{pj} x_p` for a range of nodes, in panels."""
    rowptr, source, turn, det, element, table, node_table, column = edges
    blocks, permutations = layout[:2]
    (carried, c0), (sums, s0), splits, (wide, wide_factors), (places, place_factors) = work
    zero, one = x.dtype.type(0.0), x.dtype.type(1.0)
    width, columns, last = x.shape[1], node_table.shape[1], rowptr[stop]
    padded = (width + PANEL - 1) // PANEL * PANEL
    values, node = x.reshape(-1), node_table.reshape(-1)
    for p in range(start, stop):
        first, count = rowptr[p], rowptr[p + 1] - rowptr[p]
        own = s0 + columns * padded  # the last row of the sums is the centre itself
        _set(sums, own, values, p * width, p * width, width, one, zero)
        for e in range(first + count, rowptr[min(p + 2, rowptr.size - 1)]):
            prefetch(table, e * columns)
            for k in range(0, width, 16):
                prefetch(values, source[e] * width + k)
        _carry(values, source, turn, det, element, first, count, blocks, permutations, carried, c0, width, padded)
        if column.size:
            _place(carried, c0, table, column, first, count, columns, node, p, sums, s0, padded)
        for k in range(0, 0 if column.size else padded, PANEL):
            v, c = c0 + k, own + k
            j = 0
            for rows in splits:
                t, n, o = first * columns + j, p * columns + j, s0 + j * padded + k
                _sum_tile(rows, carried, v, padded, table, t, columns, 1, 0, count, sums, c, 0, node, n, 1, sums, o, padded)
                j += rows
        row = (p - start) * PANEL
        for m in range(wide.shape[0]):
            f, g = wide_factors[m, 0], wide_factors[m, 1]
            _set_wide(out, row + wide[m, 0], sums, wide[m, 1], wide[m, 2], f, g)
        for m in range(places.shape[0]):
            to, a, b, mul = row + places[m, 0], places[m, 1], places[m, 2], places[m, 3]
            f, g = place_factors[m, 0], place_factors[m, 1]
            if places[m, 4]:
                _set(out, to, sums, a, b, mul, f, g)
            else:
                _add(out, to, sums, a, b, mul, f, g)


@njit(**_OPTIONS)
def _place(carried, c0, table, column, first, count, columns, node, p, sums, s0, padded):
    """The sums of a one-hot table: every carried neighbour is added to the row of its column, the centre to those it has."""
    zero, own = carried.dtype.type(0.0), s0 + columns * padded
    for k in range(s0, own):
        sums[k] = zero
    for i in range(count):
        to, at, u = s0 + column[first + i] * padded, c0 + i * padded, table[(first + i) * columns + column[first + i]]
        _add(sums, to, carried, at, at, padded, u, zero)
    for j in range(columns):
        if node[p * columns + j] != zero:
            _add(sums, s0 + j * padded, sums, own, own, padded, node[p * columns + j], zero)


@njit(**_OPTIONS)
def _splits(columns):
    """Numbers of columns that are summed at a time: few parts, of nearly the same size."""
    parts, count = np.empty(columns, np.int64), 0
    while columns > 0:
        even = -(-columns // -(-columns // _SUMS[0]))
        for rows in _SUMS:
            if rows <= even:
                parts[count] = rows
                count += 1
                columns -= rows
                break
    return parts[:count]


@njit(**_OPTIONS)
def _places(layout, padded, s0, groups, span, dtype):
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


@njit(**_OPTIONS)
def _set(out, to, values, a, b, mul, f, g):
    k = 0
    while k + PANEL <= mul:
        _set_wide(out, to + k, values, a + k, b + k, f, g)
        k += PANEL
    while k + _NARROW <= mul:
        _set_narrow(out, to + k, values, a + k, b + k, f, g)
        k += _NARROW
    while k < mul:
        _set_one(out, to + k, values, a + k, b + k, f, g)
        k += 1


@njit(**_OPTIONS)
def _add(out, to, values, a, b, mul, f, g):
    k = 0
    while k + PANEL <= mul:
        _add_wide(out, to + k, values, a + k, b + k, f, g)
        k += PANEL
    while k + _NARROW <= mul:
        _add_narrow(out, to + k, values, a + k, b + k, f, g)
        k += _NARROW
    while k < mul:
        _add_one(out, to + k, values, a + k, b + k, f, g)
        k += 1


@njit(**_OPTIONS)
def _carry(values, source, turn, det, element, first, count, blocks, permutations, out, o, width, padded):
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
                while k + _NARROW <= mul:
                    _rotate_narrow(out, to + k, values, at + k, mul, c, s, flip)
                    k += _NARROW
                while k < mul:
                    _rotate_one(out, to + k, values, at + k, mul, c, s, flip)
                    k += 1
                to += padded
        elif kind == PERMUTE:
            for e in range(first, first + count):
                at, rows = source[e] * width + column, order + element[e] * dim
                for k in range(dim):
                    _set(out, to + permutations[rows + k] * mul, values, at + k * mul, at, mul, one, zero)
                to += padded
        else:
            for e in range(first, first + count):
                at, factor = source[e] * width + column, one
                if kind == FLIP:
                    factor = values.dtype.type(permutations[order + element[e]])
                elif kind == SIGN and det.size:
                    factor = det[e]
                _set(out, to, values, at, at, mul, factor, zero)
                to += padded
