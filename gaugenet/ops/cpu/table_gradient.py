"""Gradient of the convolution to its table: the mixing and the combination backwards, then products with the neighbours.

With Z the combinations of a node and A its sums, dZ = W d(out), dA is the transposed combination of dZ, and

    dU[e, j] = <rho(g_e) x[q], dA_j[p]>,   dU_self[p, j] = <x[p], dA_j[p]>.
"""

from __future__ import annotations

import numpy as np

from ...compiled import njit
from .aggregate import add_row, add_wide, aligned, carry, most_edges, places_of, set_row, sum_tile
from .products import panels_of, plain_tile
from .team import make_team
from .tiles import ENTRY, HOT, OPTIONS, ROWS
from .vector import PANEL


@njit(**OPTIONS)
def _table_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`table_gradient`."""
    x, grad, edges, layout, weight, grad_table, grad_node, bounds, step = arguments
    rowptr, source, turn, det, element, _, node_table, _ = edges
    blocks, permutations, groups = layout[0], layout[1], layout[4]
    nodes, columns, width = node_table.shape[0], node_table.shape[1], x.shape[1]
    padded, wide_columns = (width + PANEL - 1) // PANEL * PANEL, (columns + PANEL - 1) // PANEL * PANEL
    span = (step + ROWS - 1) // ROWS * ROWS * PANEL
    places, panels, _, _ = panels_of(groups)
    reduced, zero = np.zeros(panels * span, x.dtype), np.zeros(PANEL, x.dtype)
    packed = pack_transposed(weight, groups, places, panels)
    (carried, c0), (sums, s0) = (
        aligned((most_edges(rowptr) + 1 + ROWS) * padded, x.dtype),
        aligned((columns + 1) * padded, x.dtype),
    )
    turned, t0 = aligned(padded * wide_columns, x.dtype)
    combine = places_of(layout, padded, s0, places, span, x.dtype)
    room, one = np.empty(ROWS * PANEL, x.dtype), np.ones(1, x.dtype)
    for copy in range(x.shape[0] // nodes):
        values = x[copy * nodes : (copy + 1) * nodes].reshape(-1)
        upstream = grad[copy * nodes : (copy + 1) * nodes].reshape(-1)
        for start in range(bounds[item], bounds[item + 1], step):
            stop = min(start + step, bounds[item + 1])
            combinations(
                reduced, span, packed, groups, places, upstream, start * grad.shape[1], grad.shape[1], stop - start, zero
            )
            for p in range(start, stop):
                first, count = rowptr[p], rowptr[p + 1] - rowptr[p]
                spread(reduced, (p - start) * PANEL, combine, sums, s0, columns * padded)
                for k in range(width):
                    for j in range(columns):
                        turned[t0 + k * wide_columns + j] = sums[s0 + j * padded + k]
                carry(values, source, turn, det, element, first, count, blocks, permutations, carried, c0, width, padded)
                set_row(carried, c0 + count * padded, values, p * width, p * width, width, one[0], zero[0])
                for j in range(0, columns, PANEL):
                    for i in range(0, count + 1, ROWS):
                        c, t = c0 + i * padded, t0 + j
                        plain_tile(
                            ROWS,
                            turned,
                            t,
                            wide_columns,
                            carried,
                            c,
                            1,
                            padded,
                            0,
                            width,
                            zero,
                            0,
                            0,
                            one,
                            0,
                            0,
                            room,
                            0,
                            PANEL,
                        )
                        for r in range(min(ROWS, count + 1 - i)):
                            for k in range(min(PANEL, columns - j)):
                                if i + r < count:
                                    grad_table[(first + i + r) * columns + j + k] += room[r * PANEL + k]
                                else:
                                    grad_node[p, j + k] += room[r * PANEL + k]


_table_team = make_team(_table_slice)


@njit(**ENTRY)
def table_gradient(fork, threads, first, last, arguments):
    """grad_table[e, j] += <carried x, dA_j>, for some slices of the nodes. Gives the number of slices that failed.

    ``arguments`` are x (B N, D); grad (B N, D_out), of the result; edges, layout and weight as of
    :func:`gaugenet.ops.cpu.kernels.convolve`; grad_table (E J,) and grad_node (N, J), added to; bounds (S + 1,) of the slices
    of the N nodes; step, nodes to a chunk.
    """
    return _table_team(fork, threads, first, last, arguments)


@njit(**OPTIONS)
def pack_transposed(weight, groups, places, panels):
    """The matrices in panels [z // PANEL][column][z % PANEL] of the most columns, with zeros where there is nothing."""
    most = 0
    for g in range(groups.shape[0]):
        most = max(most, groups[g, 3])
    packed = np.zeros(panels * most * PANEL, weight.dtype)
    for g in range(groups.shape[0]):
        rows, columns, first = groups[g, 1], groups[g, 3], groups[g, 4]
        for z in range(rows):
            to = (places[g, 0] + z // PANEL) * most * PANEL + z % PANEL
            for k in range(columns):
                packed[to + k * PANEL] = weight[first + z * columns + k]
    return packed


@njit(**OPTIONS)
def combinations(reduced, span, packed, groups, places, grad, at, width, count, zero):
    """reduced[r, z] = sum over k of weight[z, k] grad[r, k] for a chunk."""
    one, most = np.ones(1, reduced.dtype), 0
    for g in range(groups.shape[0]):
        most = max(most, groups[g, 3])
    for g in range(groups.shape[0]):
        column, columns = groups[g, 2], groups[g, 3]
        for z in range(places[g, 0], places[g, 0] + places[g, 1]):
            w, r = z * most * PANEL, 0
            while r < count:
                t, o = at + r * width + column, z * span + r * PANEL
                if r + ROWS <= count:
                    plain_tile(ROWS, packed, w, PANEL, grad, t, 1, width, 0, columns, zero, 0, 0, one, 0, 0, reduced, o, PANEL)
                    r += ROWS
                else:
                    sum_tile(1, packed, w, PANEL, grad, t, 1, width, 0, columns, zero, 0, 0, one, 0, 0, reduced, o, PANEL)
                    r += 1


@njit(**HOT)
def spread(reduced, row, combine, sums, s0, size):
    """The combination of sums backwards, for a node: sums[a] += f z and sums[b] += g z."""
    (wide, wide_factors), (rest, rest_factors) = combine
    zero = sums.dtype.type(0.0)
    for k in range(s0, s0 + size):
        sums[k] = zero
    for m in range(wide.shape[0]):
        z = row + wide[m, 0]
        add_wide(sums, wide[m, 1], reduced, z, z, wide_factors[m, 0], zero)
        if wide_factors[m, 1] != zero:
            add_wide(sums, wide[m, 2], reduced, z, z, wide_factors[m, 1], zero)
    for m in range(rest.shape[0]):
        z = row + rest[m, 0]
        add_row(sums, rest[m, 1], reduced, z, z, rest[m, 3], rest_factors[m, 0], zero)
        if rest_factors[m, 1] != zero:
            add_row(sums, rest[m, 2], reduced, z, z, rest[m, 3], rest_factors[m, 1], zero)
