r"""Kernels at single edges of the CPU loop: what nodes send along every edge, and the sums that are its gradients.

With the matrices of a transposed layout, :math:`K(x)^T = \sum_j \varphi_j(x) W_j`, the adjoint of the convolution over edges:
:math:`y_e = K(x_e) f(p)` for the edges e of node p, made of the products :math:`W_j^T f(p)` of the node.
"""

from __future__ import annotations

import numpy as np

from ...compiled import njit
from .aggregate import (
    add_row,
    aligned,
    carry,
    carry_back,
    most_edges,
    places_of,
    prefetch_rows,
    set_row,
    sum_node,
    sum_tile,
    workspace,
)
from .products import gradients, pack, panels_of, products, unpack
from .table_gradient import combinations, pack_transposed, spread
from .team import make_team
from .tiles import ENTRY, HOT, OPTIONS, ROWS, SUMS
from .vector import (
    NARROW,
    PANEL,
    add_positive,
    add_product,
    logistic,
    logistic_slope,
    make_map,
    product,
    weighted_sum,
    where_positive,
)


@njit(**HOT)
def padded_width(width):
    return (width + PANEL - 1) // PANEL * PANEL


@njit(**HOT)
def row_tiles(values, v, v_i, table, t, t_i, t_r, size, count, out, o, o_r, zeros, one):
    """out[r, :PANEL] = sum over i < size of table[i, r] values[i, :PANEL] for r < count."""
    r = 0
    for rows in SUMS:
        while r + rows <= count:
            to, at = o + r * o_r, t + r * t_r
            sum_tile(rows, values, v, v_i, table, at, t_i, t_r, 0, size, zeros, 0, 0, one, 0, 0, out, to, o_r)
            r += rows


@njit(**OPTIONS)
def _expand_slice(arguments, item):
    x, edges, layout, weight, other, place, out, bounds, step = arguments
    rowptr, source, turn, det, element, table, node_table, _ = edges
    nodes, columns, groups, wide, width = node_table.shape[0], node_table.shape[1], layout[4], x.shape[1], out.shape[1]
    padded, most, number = padded_width(width), most_edges(rowptr), source.size
    span = (step + ROWS - 1) // ROWS * ROWS * PANEL
    places, panels, _, _ = panels_of(groups)
    reduced, (sums, s0) = np.zeros(panels * span, x.dtype), aligned((columns + 1) * padded, x.dtype)
    combine, packed = places_of(layout, padded, s0, places, span, x.dtype), pack_transposed(weight, groups, places, panels)
    (rows, r0), (carried, c0) = aligned(most * padded, x.dtype), aligned(most * padded, x.dtype)
    zeros, one, values, flat = np.zeros(PANEL, x.dtype), np.ones(1, x.dtype), x.reshape(-1), out.reshape(-1)
    p = bounds[item]
    while p < bounds[item + 1]:
        local = p % nodes
        count, row = min(step, bounds[item + 1] - p, nodes - local), p // nodes * number
        others = other[row : row + number].reshape(-1)
        combinations(reduced, span, packed, groups, places, values, p * wide, wide, count, zeros)
        for n in range(local, local + count):
            first, degree = rowptr[n], rowptr[n + 1] - rowptr[n]
            spread(reduced, (n - local) * PANEL, combine, sums, s0, (columns + 1) * padded)
            for k in range(0, padded, PANEL):
                row_tiles(
                    sums, s0 + k, padded, table, first * columns, 1, columns, columns, degree, rows, r0 + k, padded, zeros, one
                )
            if other.size:
                edge = place, turn, det, element, first, degree
                prefetch_rows(others, place, rowptr, n + 1, 0, width)
                carry(others, *edge, layout[0], layout[1], carried, c0, width, padded)
            for i in range(degree):
                to, at = (row + first + i) * width, r0 + i * padded
                set_row(flat, to, rows, at, at, width, one[0], zeros[0])
                if other.size:
                    add_row(flat, to, carried, c0 + i * padded, c0 + i * padded, width, one[0], zeros[0])
        p += count


@njit(**OPTIONS)
def _contract_slice(arguments, item):
    grad, x, edges, layout, weight, place, grad_x, grad_other, grad_weights, bounds, step = arguments
    rowptr, source, turn, det, element, _, node_table, _ = edges
    nodes, columns, groups, wide, width = node_table.shape[0], node_table.shape[1], layout[4], x.shape[1], grad.shape[1]
    padded, number = padded_width(width), source.size
    span = (step + ROWS - 1) // ROWS * ROWS * PANEL
    places, panels, packed_size, gradient_size = panels_of(groups)
    reduced, packed = np.zeros(panels * span, x.dtype), pack(weight, groups, places, packed_size)
    work, gradient = workspace(grad, rowptr, columns, layout, places, span), np.zeros(gradient_size, x.dtype)
    (rows, r0), start, nothing = work[0], np.zeros(wide + PANEL, x.dtype), np.zeros(padded, x.dtype)
    flat, values, upstream, zero, one = grad_x.reshape(-1), x.reshape(-1), grad.reshape(-1), x.dtype.type(0), x.dtype.type(1)
    p = bounds[item]
    while p < bounds[item + 1]:
        local = p % nodes
        count, row = min(step, bounds[item + 1] - p, nodes - local), p // nodes * number
        others = grad_other[row : row + number].reshape(-1)
        for n in range(local, local + count):
            first, degree = rowptr[n], rowptr[n + 1] - rowptr[n]
            if grad_other.size:
                prefetch_rows(others, place, rowptr, n, 0, width)
            for i in range(degree):
                at = (row + first + i) * width
                set_row(rows, r0 + i * padded, upstream, at, at, width, one, zero)
            sum_node(nothing, 0, width, edges, work, n, reduced, (n - local) * PANEL)
            if grad_other.size:
                edge = place, turn, det, element, first, degree
                carry_back(rows, r0, *edge, layout[0], layout[1], others, 0, width, padded)
        products(reduced, span, packed, places, groups, start, flat, p * wide, wide, count)
        gradients(reduced, span, values, p * wide, wide, places, groups, gradient, count)
        p += count
    unpack(gradient, groups, places, grad_weights[item])


@njit(**OPTIONS)
def _places_slice(arguments, item):
    """place[e] = the number of the forward edge e among the transposed ones, which begin at ``rowptr``."""
    source, rowptr, place = arguments
    following = rowptr.copy()
    for e in range(source.size):
        place[e] = following[source[e]]
        following[source[e]] += 1


def _make_rows(expression):
    """A function of rows of any length: dst[i:] = expression of dst[i:], a[j:], b[k:] and f, so many."""
    wide, narrow, one = (make_map(width, expression) for width in (PANEL, NARROW, 1))

    def rows(dst, i, a, j, b, k, f, size):
        n = 0
        while n + PANEL <= size:
            wide(dst, i + n, a, j + n, b, k + n, f)
            n += PANEL
        while n + NARROW <= size:
            narrow(dst, i + n, a, j + n, b, k + n, f)
            n += NARROW
        while n < size:
            one(dst, i + n, a, j + n, b, k + n, f)
            n += 1

    rows.__qualname__ = f"rows_{expression.__name__}"
    return njit(**HOT)(rows)


_sum, _logistic, _product, _add_product = map(_make_rows, (weighted_sum, logistic, product, add_product))
_add_positive, _where_positive, _slope = map(_make_rows, (add_positive, where_positive, logistic_slope))


@njit(**HOT)
def _gate_row(z, at, shift, blocks, row, gates, one):
    """row = z[at:] + shift, and the gates where a block has them: 1 / (1 + exp(-row))."""
    _sum(row, 0, z, at, shift, 0, one, shift.size)
    for b in range(blocks.shape[0]):
        if blocks[b, 3] >= 0:
            _logistic(gates, blocks[b, 3], row, blocks[b, 3], row, blocks[b, 3], one, blocks[b, 2])


@njit(**OPTIONS)
def _gated_slice(arguments, item):
    z, shift, measure, rowptr, blocks, out, bounds = arguments
    nodes, width, flat, sums = rowptr.size - 1, z.shape[1], z.reshape(-1), out.reshape(-1)
    row, gates, one = np.empty(width, z.dtype), np.empty(width, z.dtype), z.dtype.type(1)
    for p in range(bounds[item], bounds[item + 1]):
        before, n, to = p // nodes * rowptr[nodes], p % nodes, p * out.shape[1]
        for e in range(rowptr[n], rowptr[n + 1]):
            w = measure[e]
            _gate_row(flat, (before + e) * width, shift, blocks, row, gates, one)
            for b in range(blocks.shape[0]):
                column, dim, mul, gate = blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3]
                if gate < 0:
                    _add_positive(sums, to + column, row, column, row, column, w, dim * mul)
                    continue
                for i in range(column, column + dim * mul, mul):
                    _add_product(sums, to + i, gates, gate, row, i, w, mul)


@njit(**OPTIONS)
def _gated_back_slice(arguments, item):
    z, shift, measure, rowptr, blocks, grad, grad_z, grad_shift, bounds = arguments
    nodes, width, flat, to_z, upstream = rowptr.size - 1, z.shape[1], z.reshape(-1), grad_z.reshape(-1), grad.reshape(-1)
    row, gates, back, total = np.empty(width, z.dtype), np.empty(width, z.dtype), np.empty(width, z.dtype), grad_shift[item]
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for p in range(bounds[item], bounds[item + 1]):
        before, n, at = p // nodes * rowptr[nodes], p % nodes, p * grad.shape[1]
        for e in range(rowptr[n], rowptr[n + 1]):
            w, place = measure[e], (before + e) * width
            _gate_row(flat, place, shift, blocks, row, gates, one)
            for b in range(blocks.shape[0]):
                column, dim, mul, gate = blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3]
                if gate < 0:
                    _where_positive(back, column, row, column, upstream, at + column, w, dim * mul)
                    continue
                for k in range(gate, gate + mul):
                    back[k] = zero
                for i in range(column, column + dim * mul, mul):
                    _product(back, i, gates, gate, upstream, at + i, w, mul)
                    _add_product(back, gate, row, i, upstream, at + i, one, mul)
                _slope(back, gate, back, gate, gates, gate, w, mul)
            _sum(to_z, place, back, 0, back, 0, zero, width)
            _sum(total, 0, total, 0, back, 0, one, width)


_expand_team, _contract_team, _places_team = (make_team(f) for f in (_expand_slice, _contract_slice, _places_slice))
_gated_team, _gated_back_team = make_team(_gated_slice), make_team(_gated_back_slice)


@njit(**ENTRY)
def expand(fork, threads, first, last, arguments):
    """out[e] = K(x_e) x[p] + rho(turn[e]) other[place[e]], for some slices of the nodes. Gives the number that failed.

    ``arguments`` are x (B N, D); edges, layout (transposed) and weight as of :func:`gaugenet.ops.cpu.kernels.convolve`; other
    (B E, H) or empty; place (E,); out (B E, H), written; bounds, step.
    """
    return _expand_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
def contract(fork, threads, first, last, arguments):
    """Gradients of :func:`expand`: grad_x (B N, D) written, grad_other (B E, H) or empty and grad_weight (S, ...) added to."""
    return _contract_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
def places(fork, threads, first, last, arguments):
    """Numbers of edges among the transposed ones: source (E,), rowptr (N + 1,) of those, place (E,) written; one slice."""
    return _places_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
def gated_sum(fork, threads, first, last, arguments):
    """out[p] += measure[e] sigma(z[e] + shift), sigma a ReLU or gates, over the edges e of node p, for some slices of nodes.

    ``arguments`` are z (B E, H); shift (H,); measure (E,); rowptr (N + 1,); blocks (K, 4) first column, dim, mul and first
    column of the gates or -1; out (B N, H'); bounds. Gives the number of slices that failed.
    """
    return _gated_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
def gated_sum_backward(fork, threads, first, last, arguments):
    """Gradients of :func:`gated_sum`: grad (B N, H') in the place of out; grad_z (B E, H) written, grad_shift (S, H) too."""
    return _gated_back_team(fork, threads, first, last, arguments)
