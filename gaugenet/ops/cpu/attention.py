r"""Attention of the CPU loop: weights of the neighbours of a node, then the convolution with them; and backwards.

Everything of a node is made anew in the backward pass, nothing is kept for an edge. With the logits :math:`a_e = q \cdot k_e`,
:math:`\alpha_e = e^{a_e} S / T`, :math:`T = \sum w_e e^{a_e}`, :math:`S = \sum w_e`, the carried values :math:`v_e` and the
gradients :math:`y_e = \sum_j U_{ej}\, dA_j` of what :math:`\alpha_e v_e` is summed to,

.. math:: dv_e = \alpha_e y_e, \qquad t_e = \alpha_e v_e \cdot y_e, \qquad da_e = t_e - \frac{w_e e^{a_e}}{T} \sum_r t_r.
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
from .messages import padded_width, row_tiles
from .products import gradients, pack, panels_of, products, unpack
from .table_gradient import combinations, pack_transposed, spread
from .team import make_team
from .tiles import ENTRY, HOT, OPTIONS, ROWS
from .vector import PANEL, make_map, product

_multiply_panel = make_map(PANEL, product)


@njit(**OPTIONS)
def _room(most, runs, width, dtype):
    """Zeros for the logits of a node, and for its query in two orders: [panel of heads][column][head] and [head][column]."""
    heads, padded = runs[:, 2].max() + 1, padded_width(width)
    across = padded_width(heads)
    return aligned(most * across, dtype), aligned(across * padded, dtype), aligned(heads * padded, dtype)


@njit(**HOT)
def _weights(query, q, width, keys, k0, room, share, measure, first, count, runs, heads, zeros, one):
    """alpha[i, h] of the neighbours of a node by its query and the carried keys, and share[i, h] = alpha measure[i] / total."""
    (alpha, a0), (by_column, b0), (by_head, h0) = room
    padded, across = padded_width(width), padded_width(heads)
    for r in range(runs.shape[0]):
        head = runs[r, 2]
        for k in range(runs[r, 0], runs[r, 0] + runs[r, 1]):
            by_column[b0 + (head // PANEL * padded + k) * PANEL + head % PANEL] = query[q + k]
            by_head[h0 + head * padded + k] = query[q + k]
    for h in range(0, heads, PANEL):
        row_tiles(by_column, b0 + h * padded, PANEL, keys, k0, 1, padded, width, count, alpha, a0 + h, across, zeros, one)
    zero, least = alpha.dtype.type(0), alpha.dtype.type(np.finfo(np.float32).tiny)
    whole = zero
    for i in range(count):
        whole += measure[first + i]
    for h in range(a0, a0 + heads):
        top, total = alpha.dtype.type(-np.inf), zero
        for i in range(count):
            top = max(top, alpha[i * across + h])
        for i in range(count):
            at = i * across + h
            alpha[at] = np.exp(alpha[at] - top)
            share[at] = measure[first + i] * alpha[at]
            total += share[at]
        total = max(total, least)
        for i in range(count):
            at = i * across + h
            alpha[at] *= whole / total
            share[at] /= total


@njit(**OPTIONS)
def _members(runs, heads, width, dtype):
    """What of the columns belongs to what head, in ones: [head][column] and [column][head], in rows of whole panels."""
    padded, across = padded_width(width), padded_width(heads)
    (by_head, h0), (by_column, c0) = aligned(heads * padded, dtype), aligned(width * across, dtype)
    for r in range(runs.shape[0]):
        head = runs[r, 2]
        for k in range(runs[r, 0], runs[r, 0] + runs[r, 1]):
            by_head[h0 + head * padded + k] = by_column[c0 + k * across + head] = 1
    return (by_head, h0), (by_column, c0)


@njit(**HOT)
def _spread_heads(alpha, a0, across, heads, members, count, padded, out, o, zeros, one):
    """out[i, k] = alpha[i, head of column k]: a matrix product with ones, which is faster than short runs of columns."""
    by_head, h0 = members[0]
    for k in range(0, padded, PANEL):
        row_tiles(by_head, h0 + k, padded, alpha, a0, 1, across, heads, count, out, o + k, padded, zeros, one)


@njit(**HOT)
def _sum_heads(rows, r0, padded, width, members, count, out, o, across, zeros, one):
    """out[i, h] = sum of rows[i] over the columns of head h."""
    by_column, c0 = members[1]
    for h in range(0, across, PANEL):
        row_tiles(by_column, c0 + h, across, rows, r0, 1, padded, width, count, out, o + h, across, zeros, one)


@njit(**HOT)
def _multiply(rows, r0, factors, f0, size):
    """rows[r0:] *= factors[f0:], so many: whole panels."""
    one = rows.dtype.type(1)
    for k in range(0, size, PANEL):
        _multiply_panel(rows, r0 + k, rows, r0 + k, factors, f0 + k, one)


@njit(**OPTIONS)
def _attend_slice(arguments, item):
    query, key, value, edges, measure, keyed, layout, value_runs, weight, bias, out, bounds, step = arguments
    rowptr, source, turn, det, element = edges[:5]
    key_blocks, key_permutations, key_runs = keyed
    nodes, columns, groups, out_width = edges[6].shape[0], edges[6].shape[1], layout[4], bias.size
    heads, wide, width = key_runs[:, 2].max() + 1, key.shape[1], value.shape[1]
    key_padded, padded, across, most = padded_width(wide), padded_width(width), padded_width(heads), most_edges(rowptr)
    span = (step + ROWS - 1) // ROWS * ROWS * PANEL
    places, panels, packed_size, _ = panels_of(groups)
    reduced = np.zeros(panels * span, value.dtype)
    work, room = workspace(value, rowptr, columns, layout, places, span), _room(most, key_runs, wide, value.dtype)
    (carried, c0), (keys, k0), (alpha, a0) = work[0], aligned(most * key_padded, value.dtype), room[0]
    share, zeros, one = np.empty(alpha.size, value.dtype), np.zeros(PANEL, value.dtype), np.ones(1, value.dtype)
    members, (factors, f0) = _members(value_runs, heads, width, value.dtype), aligned(most * padded, value.dtype)
    packed, flat, start = pack(weight, groups, places, packed_size), out.reshape(-1), np.zeros(out_width + PANEL, value.dtype)
    start[:out_width] = bias
    p = bounds[item]
    while p < bounds[item + 1]:
        local = p % nodes
        count, first_row = min(step, bounds[item + 1] - p, nodes - local), p - local
        k_flat = key[first_row : first_row + nodes].reshape(-1)
        q_flat = query[first_row : first_row + nodes].reshape(-1)
        values = value[first_row : first_row + nodes].reshape(-1)
        for n in range(local, local + count):
            first, degree = rowptr[n], rowptr[n + 1] - rowptr[n]
            edge = source, turn, det, element, first, degree
            prefetch_rows(k_flat, source, rowptr, n + 1, 0, wide)
            prefetch_rows(values, source, rowptr, n + 1, 0, width)
            carry(k_flat, *edge, key_blocks, key_permutations, keys, k0, wide, key_padded)
            _weights(q_flat, n * wide, wide, keys, k0, room, share, measure, first, degree, key_runs, heads, zeros, one)
            carry(values, *edge, layout[0], layout[1], carried, c0, width, padded)
            _spread_heads(alpha, a0, across, heads, members, degree, padded, factors, f0, zeros, one)
            _multiply(carried, c0, factors, f0, degree * padded)
            sum_node(values, n * width, width, edges, work, n, reduced, (n - local) * PANEL)
        products(reduced, span, packed, places, groups, start, flat, p * out_width, out_width, count)
        p += count


@njit(**OPTIONS)
def _backward_slice(arguments, item):
    query, key, value, edges, measure, keyed, layout, value_runs, weight, grad, grads, spans, bounds, step = arguments
    rowptr, source, turn, det, element, table, node_table, _ = edges
    key_blocks, key_permutations, key_runs = keyed
    grad_query, grad_keys, grad_values, grad_weights = grads
    nodes, columns, groups, out_width = node_table.shape[0], node_table.shape[1], layout[4], grad.shape[1]
    heads, wide, width = key_runs[:, 2].max() + 1, key.shape[1], value.shape[1]
    key_padded, padded, across, most = padded_width(wide), padded_width(width), padded_width(heads), most_edges(rowptr)
    span = (step + ROWS - 1) // ROWS * ROWS * PANEL
    places, panels, _, gradient_size = panels_of(groups)
    reduced, backward = np.zeros(panels * span, value.dtype), np.zeros(panels * span, value.dtype)
    work, room = workspace(value, rowptr, columns, layout, places, span), _room(most, key_runs, wide, value.dtype)
    (carried, c0), (sums, s0), (keys, k0) = work[0], work[1], aligned(most * key_padded, value.dtype)
    (alpha, a0), (by_head, h0) = room[0], room[2]
    (back, b0), (sent, t0) = aligned((most + 1) * padded, value.dtype), aligned(heads * key_padded, value.dtype)
    combine = places_of(layout, padded, s0, places, span, value.dtype)
    share, slope = np.zeros(alpha.size, value.dtype), np.zeros(alpha.size, value.dtype)
    members, (factors, f0) = _members(value_runs, heads, width, value.dtype), aligned(most * padded, value.dtype)
    packed, gradient = pack_transposed(weight, groups, places, panels), np.zeros(gradient_size, value.dtype)
    zeros, one, upstream = np.zeros(PANEL, value.dtype), np.ones(1, value.dtype), grad.reshape(-1)
    node, to_query = node_table.reshape(-1), grad_query.reshape(-1)
    to_keys, to_values = grad_keys[spans[item, 0] * wide :], grad_values[spans[item, 0] * width :]
    p = bounds[item]
    while p < bounds[item + 1]:
        local = p % nodes
        count, first_row = min(step, bounds[item + 1] - p, nodes - local), p - local
        k_flat = key[first_row : first_row + nodes].reshape(-1)
        q_flat = query[first_row : first_row + nodes].reshape(-1)
        values = value[first_row : first_row + nodes].reshape(-1)
        combinations(backward, span, packed, groups, places, upstream, p * out_width, out_width, count, zeros)
        lowest = spans[item, 1] - first_row
        for n in range(local, local + count):
            first, degree = rowptr[n], rowptr[n + 1] - rowptr[n]
            edge = source, turn, det, element, first, degree
            prefetch_rows(k_flat, source, rowptr, n + 1, 0, wide)
            prefetch_rows(values, source, rowptr, n + 1, 0, width)
            prefetch_rows(to_keys, source, rowptr, n, lowest, wide)
            prefetch_rows(to_values, source, rowptr, n, lowest, width)
            carry(k_flat, *edge, key_blocks, key_permutations, keys, k0, wide, key_padded)
            _weights(q_flat, n * wide, wide, keys, k0, room, share, measure, first, degree, key_runs, heads, zeros, one)
            carry(values, *edge, layout[0], layout[1], carried, c0, width, padded)
            _spread_heads(alpha, a0, across, heads, members, degree, padded, factors, f0, zeros, one)
            _multiply(carried, c0, factors, f0, degree * padded)
            sum_node(values, n * width, width, edges, work, n, reduced, (n - local) * PANEL)
            # From here on the sums are their own gradients.
            spread(backward, (n - local) * PANEL, combine, sums, s0, (columns + 1) * padded)
            own = b0 + degree * padded
            for k in range(0, padded, PANEL):
                s, c = s0 + k, s0 + columns * padded + k
                row_tiles(
                    sums, s, padded, table, first * columns, 1, columns, columns, degree, back, b0 + k, padded, zeros, one
                )
                sum_tile(1, sums, s, padded, node, n * columns, 1, 1, 0, columns, sums, c, 0, one, 0, 0, back, own + k, padded)
            add_row(to_values, (n - lowest) * width, back, own, own, width, one[0], zeros[0])
            _multiply(carried, c0, back, b0, degree * padded)
            _sum_heads(carried, c0, padded, width, members, degree, slope, a0, across, zeros, one)
            _multiply(back, b0, factors, f0, degree * padded)
            carry_back(back, b0, *edge, layout[0], layout[1], to_values, lowest, width, padded)
            for h in range(a0, a0 + heads):
                total = zeros[0]
                for i in range(degree):
                    total += slope[i * across + h]
                for i in range(degree):
                    slope[i * across + h] -= share[i * across + h] * total
            for k in range(0, key_padded, PANEL):
                row_tiles(keys, k0 + k, key_padded, slope, a0, across, 1, degree, heads, sent, t0 + k, key_padded, zeros, one)
                row_tiles(
                    by_head, h0 + k, key_padded, slope, a0, 1, across, heads, degree, keys, k0 + k, key_padded, zeros, one
                )
            for r in range(key_runs.shape[0]):
                at, to = t0 + key_runs[r, 2] * key_padded + key_runs[r, 0], (p + n - local) * wide + key_runs[r, 0]
                set_row(to_query, to, sent, at, at, key_runs[r, 1], one[0], zeros[0])
            carry_back(keys, k0, *edge, key_blocks, key_permutations, to_keys, lowest, wide, key_padded)
        gradients(reduced, span, upstream, p * out_width, out_width, places, groups, gradient, count)
        p += count
    unpack(gradient, groups, places, grad_weights[item])


_attend_team, _backward_team = make_team(_attend_slice), make_team(_backward_slice)


@njit(**ENTRY)
def attend(fork, threads, first, last, arguments):
    """Attention for some slices of the nodes. Gives the number of slices that failed.

    Args:
        fork, threads, first, last: as of :func:`gaugenet.ops.cpu.kernels.convolve`.
        arguments: tuple of
            query (B N, K), key (B N, K), value (B N, D) of B fields on the graph, one under the other;
            edges, layout, weight, bias, bounds, step as of :func:`gaugenet.ops.cpu.kernels.convolve`;
            measure (E,) w of the edges;
            keyed: blocks, permutations and runs (R, 3) of columns, first, length, head, of the keys; runs of the values;
            out (B N, D_out), written.
    """
    return _attend_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
def attend_backward(fork, threads, first, last, arguments):
    """Gradients of :func:`attend`; arguments as there, but for grad (B N, D_out) and, in the places of bias and out,

    grads: of the query (B N, K); of key and value, flat, with rows of its own for every slice; of the weight (S, like weight),
    all added to; spans (S, 2): the place of a slice in those rows, and the node of its first one.
    """
    return _backward_team(fork, threads, first, last, arguments)
