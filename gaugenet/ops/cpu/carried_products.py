"""Products of the features of nodes with those carried to them, edge by edge, and the sums that are their gradients."""

from __future__ import annotations

from ...compiled import njit
from .aggregate import aligned, carry, most_edges
from .team import make_team
from .tiles import ENTRY, OPTIONS
from .vector import PANEL


@njit(**OPTIONS)
def _products_slice(arguments, item):
    x, edges, blocks, permutations, query, runs, out, bounds = arguments
    rowptr, source, turn, det, element, _ = edges
    width = x.shape[1]
    padded = (width + PANEL - 1) // PANEL * PANEL
    values, (carried, c0) = x.reshape(-1), aligned(most_edges(rowptr) * padded, x.dtype)
    for p in range(bounds[item], bounds[item + 1]):
        first, count = rowptr[p], rowptr[p + 1] - rowptr[p]
        carry(values, source, turn, det, element, first, count, blocks, permutations, carried, c0, width, padded)
        for i in range(count):
            at = c0 + i * padded
            for r in range(runs.shape[0]):
                total = x.dtype.type(0)
                for k in range(runs[r, 0], runs[r, 0] + runs[r, 1]):
                    total += carried[at + k] * query[p, k]
                out[first + i, runs[r, 2]] += total


@njit(**OPTIONS)
def _sums_slice(arguments, item):
    x, edges, blocks, permutations, factor, runs, out, bounds = arguments
    rowptr, source, turn, det, element, _ = edges
    width = x.shape[1]
    padded = (width + PANEL - 1) // PANEL * PANEL
    values, (carried, c0) = x.reshape(-1), aligned(most_edges(rowptr) * padded, x.dtype)
    for p in range(bounds[item], bounds[item + 1]):
        first, count = rowptr[p], rowptr[p + 1] - rowptr[p]
        carry(values, source, turn, det, element, first, count, blocks, permutations, carried, c0, width, padded)
        for i in range(count):
            at = c0 + i * padded
            for r in range(runs.shape[0]):
                scale = factor[first + i, runs[r, 2]]
                for k in range(runs[r, 0], runs[r, 0] + runs[r, 1]):
                    out[p, k] += scale * carried[at + k]


_products_team, _sums_team = make_team(_products_slice), make_team(_sums_slice)


@njit(**ENTRY)
def carried_products(fork, threads, first, last, arguments):
    """out[e, h] += query[p] . rho(turn[e]) x[source[e]] over the columns of head h, for the edges e into some slices of nodes.

    ``arguments`` are x (N, D); edges as for :func:`gaugenet.ops.cpu.kernels.carry_sum`, whose table is not read; blocks and
    permutations of a Layout; query (M, D); runs (R, 3) of columns: first, length, head; out (E, H); bounds of the slices.
    """
    return _products_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
def carried_sums(fork, threads, first, last, arguments):
    """out[p] += factor[e, h] rho(turn[e]) x[source[e]] in the columns of each head h; ``factor`` in the place of query."""
    return _sums_team(fork, threads, first, last, arguments)
