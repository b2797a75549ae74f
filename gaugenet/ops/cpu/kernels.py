"""The fused loop on the CPU, in numba: aggregate the neighbours of a chunk of nodes, then mix.

Arrays are flat where vector instructions take them; every function lets go of the GIL.
"""

from __future__ import annotations

import numpy as np

from ...compiled import njit
from .aggregate import aggregate, aligned, carry, most_edges, set_row, sum_tile, workspace
from .products import gradients, pack, panels_of, products, unpack
from .team import make_team
from .tiles import ENTRY, OPTIONS, ROWS
from .vector import PANEL


@njit(**OPTIONS)
def _convolve_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`convolve`."""
    x, edges, layout, weight, bias, out, features, grad_weights, bounds, step = arguments
    p, stop, nodes, groups, out_width = bounds[item], bounds[item + 1], edges[6].shape[0], layout[4], bias.size
    flat, values = out.reshape(-1), features.reshape(-1)
    # A chunk of combinations in panels [z // PANEL][node][z % PANEL]: both products read it without gaps.
    span = (step + ROWS - 1) // ROWS * ROWS * PANEL
    places, count_panels, packed_size, gradient_size = panels_of(groups)
    reduced = np.zeros(count_panels * span, x.dtype)
    work = workspace(x, edges[0], edges[6].shape[1], layout, places, span)
    packed = pack(weight, groups, places, packed_size if flat.size else 0)
    gradient = np.zeros(gradient_size if values.size else 0, x.dtype)
    start = np.zeros(out_width + PANEL, x.dtype)
    for k in range(out_width):
        start[k] = bias[k]
    while p < stop:
        local = p % nodes
        count = min(step, stop - p, nodes - local)
        aggregate(x[p - local : p - local + nodes], edges, layout, work, local, local + count, reduced)
        if flat.size:
            products(reduced, span, packed, places, groups, start, flat, p * out_width, out_width, count)
        if values.size:
            gradients(reduced, span, values, p * out_width, out_width, places, groups, gradient, count)
        p += count
    if values.size:
        unpack(gradient, groups, places, grad_weights[item])


@njit(**OPTIONS)
def _carry_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`carry_sum`."""
    x, edges, blocks, permutations, out, bounds, sources = arguments
    rowptr, source, turn, det, element, table = edges
    nodes, width = rowptr.size - 1, x.shape[1]
    padded = (width + PANEL - 1) // PANEL * PANEL
    flat, one, zeros = out.reshape(-1), np.ones(1, x.dtype), np.zeros(PANEL, x.dtype)
    (carried, c0), (sums, s0) = aligned(most_edges(rowptr) * padded, x.dtype), aligned(padded, x.dtype)
    for p in range(bounds[item], bounds[item + 1]):
        copy, local = p // nodes, p % nodes
        values = x[copy * sources : (copy + 1) * sources].reshape(-1)
        first, count = rowptr[local], rowptr[local + 1] - rowptr[local]
        carry(values, source, turn, det, element, first, count, blocks, permutations, carried, c0, width, padded)
        for k in range(0, padded, PANEL):
            sum_tile(1, carried, c0 + k, padded, table, first, 1, 1, 0, count, zeros, 0, 0, one, 0, 0, sums, s0 + k, padded)
        set_row(flat, p * width, sums, s0, s0, width, one[0], zeros[0])


_convolve_team, _carry_team = make_team(_convolve_slice), make_team(_carry_slice)


@njit(**ENTRY)
def carry_sum(fork, threads, first, last, arguments):
    """out[p] = sum over the edges e into p of table[e] rho(turn[e]) x[source[e]], for some slices of the nodes.

    ``arguments`` are x (B N, D); edges as for :func:`convolve`, of one column and without node_table; blocks and permutations
    of a Layout; out (B M, D), written; bounds of the slices; N.
    """
    return _carry_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
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
