"""Moments of columns over every graph of a batch, in numba: few passes over the features, and no copies of them."""

from __future__ import annotations

from ...compiled import njit
from .team import make_team
from .tiles import ENTRY, OPTIONS


@njit(**OPTIONS)
def _sums_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`sums`."""
    x, share, batch, centre, power, out, bounds = arguments
    for p in range(bounds[item], bounds[item + 1]):
        row, total, middle, weight = x[p], out[item, batch[p]], centre[batch[p]], share[p]
        if power:
            for c in range(row.size):
                total[c] += weight * (row[c] - middle[c]) * (row[c] - middle[c])
        else:
            for c in range(row.size):
                total[c] += weight * row[c]


@njit(**OPTIONS)
def _scale_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`scale`."""
    x, scale, shift, batch, share, out, bounds = arguments
    for p in range(bounds[item], bounds[item + 1]):
        row, to, factor, more = x[p], out[p], scale[batch[p]], shift[batch[p]]
        if share.size:
            for c in range(row.size):
                to[c] = share[p] * (row[c] * factor[c] + more[c])
        else:
            for c in range(row.size):
                to[c] = row[c] * factor[c] + more[c]


@njit(**OPTIONS)
def _backward_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`scale_backward`."""
    grad, x, scale, batch, grad_x, grad_scale, grad_shift, bounds = arguments
    for p in range(bounds[item], bounds[item + 1]):
        slope, row, to, factor = grad[p], x[p], grad_x[p], scale[batch[p]]
        by_scale, by_shift = grad_scale[item, batch[p]], grad_shift[item, batch[p]]
        for c in range(row.size):
            to[c] = slope[c] * factor[c]
            by_scale[c] += slope[c] * row[c]
            by_shift[c] += slope[c]


_sums_team, _scale_team, _backward_team = make_team(_sums_slice), make_team(_scale_slice), make_team(_backward_slice)


@njit(**ENTRY)
def sums(fork, threads, first, last, arguments):
    """out[slice, g] += sum over the nodes p of graph g of share[p] x[p], or of share[p] (x[p] - centre[g])^2.

    ``arguments`` are x (N, D), share (N,), batch (N,), centre (G, D), whether the squares are wanted, out (S, G, D), added to,
    and bounds (S + 1,) of the slices.
    """
    return _sums_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
def scale(fork, threads, first, last, arguments):
    """out[p] = share[p] (x[p] scale[g] + shift[g]), g the graph of p; an empty share counts as 1.

    ``arguments`` are x (N, D), scale, shift (G, D), batch (N,), share (N,) or empty, out (N, D), written, bounds (S + 1,).
    """
    return _scale_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
def scale_backward(fork, threads, first, last, arguments):
    """grad_x[p] = grad[p] scale[g]; grad_scale[slice, g] += grad[p] x[p]; grad_shift[slice, g] += grad[p].

    ``arguments`` are grad, x (N, D), scale (G, D), batch (N,), grad_x (N, D), grad_scale, grad_shift (S, G, D), bounds.
    """
    return _backward_team(fork, threads, first, last, arguments)
