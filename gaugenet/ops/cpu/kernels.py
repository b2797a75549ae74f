"""The fused loop on the CPU, in numba: carry the neighbours of a node, sum them against the table, combine, mix.

Arrays are flat where vector instructions take them; every function lets go of the GIL.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..mixing import FLIP, PERMUTE, ROTATE, SIGN
from .team import make_team
from .vector import WIDTH, make_combine, make_rotate, make_tile, prefetch

# A narrower step for blocks that are no multiple of the vector width.
_NARROW = WIDTH // 2
# Edges between the one that is worked on and the one that is fetched into the cache.
_AHEAD = 8

_set_wide, _set_narrow, _set_one = (make_combine(w, False) for w in (WIDTH, _NARROW, 1))
_add_wide, _add_narrow, _add_one = (make_combine(w, True) for w in (WIDTH, _NARROW, 1))
_rotate_wide, _rotate_narrow, _rotate_one = (make_rotate(w) for w in (WIDTH, _NARROW, 1))
# Rows that are summed in registers at a time.
_sum9, _sum5, _sum3, _sum1 = (make_tile(r, WIDTH) for r in (9, 5, 3, 1))
_mix8_double, _mix8_wide, _mix8_narrow, _mix8_one = (make_tile(8, w) for w in (2 * WIDTH, WIDTH, _NARROW, 1))
_mix1_double, _mix1_wide, _mix1_narrow, _mix1_one = (make_tile(1, w) for w in (2 * WIDTH, WIDTH, _NARROW, 1))

_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_OPTIONS)
def _convolve_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`convolve`."""
    x, edges, layout, weight, bias, out, bounds, step = arguments
    p, stop, nodes = bounds[item], bounds[item + 1], edges[6].shape[0]
    groups, out_width = layout[4], out.shape[1]
    reduced, width = _buffer(layout, step, x.dtype)
    flat = out.reshape(-1)
    work = _workspace(x, edges[0], edges[6].shape[1], layout)
    while p < stop:
        local = p % nodes
        count = min(step, stop - p, nodes - local)
        _aggregate(x[p - local : p - local + nodes], edges, layout, work, local, local + count, reduced, width)
        for g in range(groups.shape[0]):
            z, size, column, columns, w = groups[g, 0], groups[g, 1], groups[g, 2], groups[g, 3], groups[g, 4]
            to = p * out_width + column
            _product(reduced, z, 1, width, size, weight, w, columns, bias, column, 0, flat, to, out_width, count, columns)
        p += count


@njit(**_OPTIONS)
def _backward_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`convolve_backward`."""
    grad, x, edges, layout, weight, grad_x, grad_weights, bounds, step = arguments
    p, stop, nodes, grad_weight = bounds[item], bounds[item + 1], edges[6].shape[0], grad_weights[item]
    groups, out_width = layout[4], x.shape[1]
    reduced, width = _buffer(layout, step, x.dtype)
    features, flat, zeros = x.reshape(-1), grad_x.reshape(-1), np.zeros(x.shape[1], x.dtype)
    work = _workspace(grad, edges[0], edges[6].shape[1], layout)
    while p < stop:
        local = p % nodes
        count = min(step, stop - p, nodes - local)
        _aggregate(grad[p - local : p - local + nodes], edges, layout, work, local, local + count, reduced, width)
        for g in range(groups.shape[0]):
            z, size, column, columns, w = groups[g, 0], groups[g, 1], groups[g, 2], groups[g, 3], groups[g, 4]
            at = p * out_width + column
            if flat.size:
                _product(reduced, z, 1, width, size, weight, w, columns, zeros, 0, 0, flat, at, out_width, count, columns)
            if grad_weight.size:
                g_w = grad_weight
                _product(reduced, z, width, 1, count, features, at, out_width, g_w, w, columns, g_w, w, columns, size, columns)
        p += count


@njit(**_OPTIONS)
def _carry_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`carry_sum`."""
    x, edges, blocks, permutations, out, bounds, sources = arguments
    rowptr, source, turn, det, element, table = edges
    nodes, width = rowptr.size - 1, x.shape[1]
    padded = (width + WIDTH - 1) // WIDTH * WIDTH
    flat, one, zeros = out.reshape(-1), np.ones(1, x.dtype), np.zeros(WIDTH, x.dtype)
    (carried, c0), (sums, s0) = _aligned(_most(rowptr) * padded, x.dtype), _aligned(padded, x.dtype)
    for p in range(bounds[item], bounds[item + 1]):
        copy, local = p // nodes, p % nodes
        values = x[copy * sources : (copy + 1) * sources].reshape(-1)
        first, count = rowptr[local], rowptr[local + 1] - rowptr[local]
        _carry(values, source, turn, det, element, first, count, blocks, permutations, carried, c0, width, padded)
        for k in range(0, padded, WIDTH):
            _sum1(carried, c0 + k, padded, table, first, 1, 1, count, zeros, 0, 0, one, 0, 0, sums, s0 + k, padded)
        _set(flat, p * width, sums, s0, s0, width, one[0], zeros[0])


_convolve_team, _backward_team = make_team(_convolve_slice), make_team(_backward_slice)
_carry_team = make_team(_carry_slice)


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
            out (B N, D_out), written;
            bounds (S + 1,) of the slices of the B N nodes; step, nodes to a chunk.
    """
    return _convolve_team(fork, threads, first, last, arguments)


@njit(**_OPTIONS)
def convolve_backward(fork, threads, first, last, arguments):
    """The same over the transposed edges, for the gradients: grad_x[p] = ..., and grad_weight[slice] += reduced^T x.

    ``arguments`` are grad, x, edges, layout, weight, grad_x (B N, D), grad_weight (S, like weight), bounds and step. Either of
    grad_x and grad_weight may be empty: then it is not wanted.
    """
    return _backward_team(fork, threads, first, last, arguments)


@njit(**_OPTIONS)
def _buffer(layout, step, dtype):
    """Room for the combinations of a chunk, and their number."""
    groups = layout[4]
    width = 0
    for g in range(groups.shape[0]):
        width = max(width, groups[g, 0] + groups[g, 1])
    return np.empty(step * width, dtype), width


@njit(**_OPTIONS)
def _workspace(x, rowptr, columns, layout):
    """Aligned room for the carried neighbours and the sums of one node, each with its first element."""
    padded = (x.shape[1] + WIDTH - 1) // WIDTH * WIDTH
    sums = _aligned((columns + 1) * padded, x.dtype)
    return _aligned(_most(rowptr) * padded, x.dtype), sums, *_places(layout, padded, sums[1], x.dtype)


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
def _aggregate(x, edges, layout, work, start, stop, out, out_width):
    r"""Combinations of :math:`A_j = \sum_e U_{ej} \rho(g_e) x_{q(e)} + U_{pj} x_p` for a range of nodes, one row a node."""
    rowptr, source, turn, det, element, table, node_table, column = edges
    blocks, permutations = layout[:2]
    (carried, c0), (sums, s0), (wide, wide_factors), (places, place_factors) = work
    zero, one = x.dtype.type(0.0), x.dtype.type(1.0)
    width, columns, last = x.shape[1], node_table.shape[1], rowptr[stop]
    padded = (width + WIDTH - 1) // WIDTH * WIDTH
    values, node = x.reshape(-1), node_table.reshape(-1)
    for p in range(start, stop):
        first, count = rowptr[p], rowptr[p + 1] - rowptr[p]
        own = s0 + columns * padded  # the last row of the sums is the centre itself
        _set(sums, own, values, p * width, p * width, width, one, zero)
        for i in range(count):
            ahead = first + i + _AHEAD
            if ahead < last:
                prefetch(table, ahead * columns)
                for k in range(0, width, 16):
                    prefetch(values, source[ahead] * width + k)
        _carry(values, source, turn, det, element, first, count, blocks, permutations, carried, c0, width, padded)
        if column.size:
            _place(carried, c0, table, column, first, count, columns, node, p, sums, s0, padded)
        for k in range(0, 0 if column.size else padded, WIDTH):
            v, c = c0 + k, own + k
            j = 0
            while j < columns:
                t, n, o = first * columns + j, p * columns + j, s0 + j * padded + k
                if columns - j >= 9:
                    _sum9(carried, v, padded, table, t, columns, 1, count, sums, c, 0, node, n, 1, sums, o, padded)
                    j += 9
                elif columns - j >= 5:
                    _sum5(carried, v, padded, table, t, columns, 1, count, sums, c, 0, node, n, 1, sums, o, padded)
                    j += 5
                elif columns - j >= 3:
                    _sum3(carried, v, padded, table, t, columns, 1, count, sums, c, 0, node, n, 1, sums, o, padded)
                    j += 3
                else:
                    _sum1(carried, v, padded, table, t, columns, 1, count, sums, c, 0, node, n, 1, sums, o, padded)
                    j += 1
        row = (p - start) * out_width
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
    sums[s0:own] = zero
    for i in range(count):
        to, at, u = s0 + column[first + i] * padded, c0 + i * padded, table[(first + i) * columns + column[first + i]]
        _add(sums, to, carried, at, at, padded, u, zero)
    for j in range(columns):
        if node[p * columns + j] != zero:
            _add(sums, s0 + j * padded, sums, own, own, padded, node[p * columns + j], zero)


@njit(**_OPTIONS)
def _places(layout, padded, s0, dtype):
    """The entries of a layout as places in the sums: whole registers (to, a, b), the rest (to, a, b, mul, first); factors."""
    entries, factors = layout[2], layout[3]
    count = 0
    for m in range(entries.shape[0]):
        if entries[m, 6]:
            count += entries[m, 5] // WIDTH
    wide, wide_factors = np.empty((count, 3), np.int64), np.empty((count, 2), dtype)
    rest, rest_factors = np.empty((entries.shape[0], 5), np.int64), np.empty((entries.shape[0], 2), dtype)
    i = j = 0
    for m in range(entries.shape[0]):
        to, mul = entries[m, 0], entries[m, 5]
        a, b = s0 + entries[m, 1] * padded + entries[m, 2], s0 + entries[m, 3] * padded + entries[m, 4]
        k = 0
        while entries[m, 6] and k + WIDTH <= mul:
            wide[i, 0], wide[i, 1], wide[i, 2] = to + k, a + k, b + k
            wide_factors[i] = factors[m]
            i, k = i + 1, k + WIDTH
        if k < mul:
            rest[j, 0], rest[j, 1], rest[j, 2], rest[j, 3], rest[j, 4] = to + k, a + k, b + k, mul - k, entries[m, 6]
            rest_factors[j] = factors[m]
            j += 1
    return (wide, wide_factors), (rest[:j], rest_factors[:j])


@njit(**_OPTIONS, inline="always")
def _set(out, to, values, a, b, mul, f, g):
    k = 0
    while k + WIDTH <= mul:
        _set_wide(out, to + k, values, a + k, b + k, f, g)
        k += WIDTH
    while k + _NARROW <= mul:
        _set_narrow(out, to + k, values, a + k, b + k, f, g)
        k += _NARROW
    while k < mul:
        _set_one(out, to + k, values, a + k, b + k, f, g)
        k += 1


@njit(**_OPTIONS, inline="always")
def _add(out, to, values, a, b, mul, f, g):
    k = 0
    while k + WIDTH <= mul:
        _add_wide(out, to + k, values, a + k, b + k, f, g)
        k += WIDTH
    while k + _NARROW <= mul:
        _add_narrow(out, to + k, values, a + k, b + k, f, g)
        k += _NARROW
    while k < mul:
        _add_one(out, to + k, values, a + k, b + k, f, g)
        k += 1


@njit(**_OPTIONS, inline="always")
def _carry(values, source, turn, det, element, first, count, blocks, permutations, out, o, width, padded):
    """out[i] = rho(turn[e]) values[source[e]] for the edges e = first + i, i < count, block by block; rows of ``padded``."""
    zero, one = values.dtype.type(0.0), values.dtype.type(1.0)
    for b in range(blocks.shape[0]):
        kind, order, mul, column = blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3]
        for i in range(count):
            e = first + i
            to, at = o + i * padded + column, source[e] * width + column
            if kind == ROTATE:
                cos, sin, flip = turn[2 * e], turn[2 * e + 1], det[e] if det.size else one
                c, s = cos, sin
                for _ in range(order - 1):
                    c, s = c * cos - s * sin, c * sin + s * cos
                k = 0
                while k + WIDTH <= mul:
                    _rotate_wide(out, to + k, values, at + k, mul, c, s, flip)
                    k += WIDTH
                while k + _NARROW <= mul:
                    _rotate_narrow(out, to + k, values, at + k, mul, c, s, flip)
                    k += _NARROW
                while k < mul:
                    _rotate_one(out, to + k, values, at + k, mul, c, s, flip)
                    k += 1
            elif kind == PERMUTE:
                dim = blocks[b, 4]
                for k in range(dim):
                    row = permutations[order + element[e] * dim + k]
                    _set(out, to + row * mul, values, at + k * mul, at, mul, one, zero)
            elif kind == FLIP:
                _set(out, to, values, at, at, mul, values.dtype.type(permutations[order + element[e]]), zero)
            else:
                _set(out, to, values, at, at, mul, det[e] if kind == SIGN and det.size else one, zero)


@njit(**_OPTIONS)
def _product(table, t, t_i, t_r, count, values, v, v_i, start, s, s_r, out, o, o_r, rows, columns):
    """out[r, k] = start[r, k] + sum over i < count of table[i, r] values[i, k], for r < rows and k < columns.

    Every array comes with the offset of its first element and its strides.
    """
    one = np.ones(1, out.dtype)
    k = 0
    while k < columns:
        rest = columns - k
        step = 2 * WIDTH if rest >= 2 * WIDTH else WIDTH if rest >= WIDTH else _NARROW if rest >= _NARROW else 1
        a, r = v + k, 0
        while r + 8 <= rows:
            b, c, d = t + r * t_r, s + r * s_r + k, o + r * o_r + k
            if step == 2 * WIDTH:
                _mix8_double(values, a, v_i, table, b, t_i, t_r, count, start, c, s_r, one, 0, 0, out, d, o_r)
            elif step == WIDTH:
                _mix8_wide(values, a, v_i, table, b, t_i, t_r, count, start, c, s_r, one, 0, 0, out, d, o_r)
            elif step == _NARROW:
                _mix8_narrow(values, a, v_i, table, b, t_i, t_r, count, start, c, s_r, one, 0, 0, out, d, o_r)
            else:
                _mix8_one(values, a, v_i, table, b, t_i, t_r, count, start, c, s_r, one, 0, 0, out, d, o_r)
            r += 8
        while r < rows:
            b, c, d = t + r * t_r, s + r * s_r + k, o + r * o_r + k
            if step == 2 * WIDTH:
                _mix1_double(values, a, v_i, table, b, t_i, t_r, count, start, c, s_r, one, 0, 0, out, d, o_r)
            elif step == WIDTH:
                _mix1_wide(values, a, v_i, table, b, t_i, t_r, count, start, c, s_r, one, 0, 0, out, d, o_r)
            elif step == _NARROW:
                _mix1_narrow(values, a, v_i, table, b, t_i, t_r, count, start, c, s_r, one, 0, 0, out, d, o_r)
            else:
                _mix1_one(values, a, v_i, table, b, t_i, t_r, count, start, c, s_r, one, 0, 0, out, d, o_r)
            r += 1
        k += step
