"""Moment matching node by node, compiled: the numbers of :mod:`gaugenet.kernels.quadrature.matching`, in float64.

Letters: K slots of a node (its centre, then its neighbours), M polynomials, J = B Y table columns, F + 1 frequencies. Matrices
are flat, as vector instructions take them; their rows are padded with zeros to whole vectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...compiled import njit
from ...ops.cpu.team import make_team
from ...ops.cpu.tiles import ENTRY, HOT, OPTIONS
from ...ops.cpu.vector import make_block, make_combine
from .eigenvalues import extreme_eigenvalues

# Doubles to a vector.
_PAD = 4
_tile_wide, _tile = make_block(_PAD, 2 * _PAD), make_block(_PAD, _PAD)
_set_scaled = make_combine(_PAD, False)
# Rows of the norms by frequency, and of two lists beside them.
_BEFORE, _LIMIT, _SQUARE, _MIXED, _STEP, _SUMS, _DIAGONAL = range(7)
# Between the bounds of a condition number and the number itself, for rounding.
_MARGIN = 1e-6


class Rule(NamedTuple):
    """What is to be matched; float64 and int64 arrays.

    Attributes:
        polynomial: ((D + 1) rows,) coefficients of the radial parts, power by power. harmonic: (M,) of each polynomial.
        sizes: (D + 1,) how many polynomials have degree <= d; of plain area weights [0].
        frequency: (Y,) of the columns. num_harmonics: Y, or of the polynomials where these have more.
        goal: (T, M B) power series in the curvature of the moments that are not zero. volume: (T,) that of the ball.
        limits: largest amplification, largest condition number.
    """

    polynomial: np.ndarray
    harmonic: np.ndarray
    sizes: np.ndarray
    frequency: np.ndarray
    num_harmonics: int
    goal: np.ndarray
    volume: np.ndarray
    reach: np.ndarray
    limits: np.ndarray


class _Work(NamedTuple):
    """Room for one node: (K, J) tables, (K, M) polynomials, (M, M) and (M, J) matrices, (F + 1,) norms."""

    plain: np.ndarray
    table: np.ndarray
    step: np.ndarray
    points: np.ndarray
    weighted: np.ndarray
    gram: np.ndarray
    again: np.ndarray
    goal: np.ndarray
    excess: np.ndarray
    white: np.ndarray
    factors: np.ndarray
    norms: np.ndarray
    harmonics: np.ndarray
    powers: np.ndarray
    none: np.ndarray
    zeros: np.ndarray
    signs: np.ndarray


@njit(**ENTRY, allocates=False)
def padded(size):
    """The next multiple of a vector's length."""
    return (size + _PAD - 1) // _PAD * _PAD


@njit(**OPTIONS)
def _match_slice(arguments, item):
    """The nodes bounds[item] <= p < bounds[item + 1] of :func:`match_nodes`."""
    (rowptr, weight, centre, kappa), values, rule, results, bounds = arguments
    most = 1
    for p in range(bounds[item], bounds[item + 1]):
        most = max(most, rowptr[p + 1] - rowptr[p] + 1)
    num_m, columns = rule.sizes[-1], values[2].shape[1] * rule.frequency.size
    width, rows = padded(columns), padded(num_m)
    work = _workspace(padded(most), rows, width, rule)
    w = np.empty(most)
    for p in range(bounds[item], bounds[item + 1]):
        first, count = rowptr[p], rowptr[p + 1] - rowptr[p] + 1
        w[0] = centre[p]
        for k in range(1, count):
            w[k] = weight[first + k - 1]
        _at_slots(work, rule, values, w, first, count, width)
        degree, fraction, growth, found, sign = -1, 0.0, 1.0, work.plain, 1.0
        if num_m:
            volume = _moments(work, rule, kappa[p], width)
            solvable = _prepare(work, rule, count, width, rows)
            degree, fraction, growth = _choose(work, rule, w[:count].sum() / volume, solvable, count, width, rows)
            found, sign = work.table, -1.0
        _store(found, sign, results, p, first, count, columns, width)
        results[4][p], results[5][p], results[6][p] = degree, fraction, growth


_team = make_team(_match_slice)


@njit(**ENTRY)
def match_nodes(fork, threads, first, last, arguments):
    """Tables, degrees, fractions and amplifications of some slices of the nodes. Gives the number of slices that failed.

    Args:
        fork, threads, first, last: see :func:`gaugenet.ops.cpu.kernels.convolve`.
        arguments: tuple of
            graph: rowptr (N + 1,), weight (E,), centre (N,) weights of the centres, kappa (N,) scaled curvature;
            values at the neighbours and, last, at a centre: x (E + 1, d) in units of the radius, r (E + 1,), radial (E + 1, B),
            harmonics (E + 1, Y or more) in space, in the plane empty;
            rule, a :class:`Rule`;
            results, written: edge (E, J) and node (N, J) in float32, the same in float64 (one of the pairs is empty), degree,
            fraction and amplification (N,);
            bounds (S + 1,) of the slices.
    """
    return _team(fork, threads, first, last, arguments)


@njit(**OPTIONS)
def _workspace(most, rows, width, rule):
    return _Work(
        np.zeros((most + 1) * width)[: most * width],  # the last row may write over its end
        np.zeros(most * width),
        np.zeros(most * width),
        np.zeros(most * rows),
        np.zeros(most * rows),
        np.zeros(rows * 2 * rows),
        np.zeros(rows * rows),
        np.zeros(rows * width),
        np.zeros(rows * width),
        np.zeros(rows * width),
        np.zeros(rows * width),
        np.zeros((7, max(rule.frequency[-1] + 1, width, rows))),
        np.zeros(most * padded(rule.num_harmonics)),
        np.zeros(most * padded(rule.sizes.size)),
        np.zeros(most * width),
        np.zeros(max(width, rows)),
        np.array([1.0, -1.0]),
    )


@njit(**HOT)
def _at_slots(work, rule, values, w, first, count, width):
    """Plain table and polynomials at the slots of a node."""
    x, r, radial, harmonics = values
    num_y, num_m, num_p = rule.frequency.size, rule.sizes[-1], rule.sizes.size
    rows, stride = padded(num_m), padded(num_p)
    y, num_h = work.harmonics, padded(rule.num_harmonics)
    for k in range(count):
        power, e = 1.0, first + k - 1 if k else r.size - 1
        for i in range(num_p):
            work.powers[k * stride + i] = power
            power *= r[e]
        if harmonics.size:
            for i in range(harmonics.shape[1]):  # see geodesics/windows.py: copies of slices are slow to compile
                y[k * num_h + i] = harmonics[e, i]
        else:
            _circular(x[e, 0], x[e, 1], r[e], y[k * num_h : (k + 1) * num_h])
    if num_m:
        powers, points, weighted, harmonic = work.powers, work.points, work.weighted, rule.harmonic
        _product(powers, 0, 1, stride, rule.polynomial, 0, rows, num_p, work.zeros, 0, work.signs, 0, points, rows, count, rows)
        for k in range(count):
            for m in range(num_m):
                i = np.uintp(k * rows + m)
                points[i] *= y[np.uintp(k * num_h + harmonic[m])]
                weighted[i] = w[k] * points[i]
    for k in range(count):
        e = first + k - 1 if k else r.size - 1
        for i in range(k * num_h + num_y, (k + 1) * num_h):
            y[i] = 0
        for b in range(radial.shape[1]):
            u, to = w[k] * radial[e, b], k * width + b * num_y
            for i in range(0, num_y, _PAD):  # with zeros over the end, where the next values go
                _set_scaled(work.plain, to + i, y, k * num_h + i, k * num_h + i, u, 0.0)


@njit(**HOT)
def _circular(x, y, r, out):
    """As :func:`gaugenet.kernels.harmonics.circular_harmonics`, of a vector with its length."""
    if r < 1e-100:  # whose square may be lost
        scale = max(abs(x), abs(y))
        if scale > 0:
            x, y = x / scale, y / scale
        r = np.sqrt(x * x + y * y)
    scale = 1 / r if r > 0 else 0.0
    c, s = x * scale, y * scale
    out[0], cos, sin = 1.0, c, s
    for i in range(1, out.size - 1, 2):
        out[i], out[i + 1] = cos, sin
        cos, sin = cos * c - sin * s, cos * s + sin * c


@njit(**HOT)
def _moments(work, rule, kappa, width):
    """Exact moments of the kernels into ``work.goal``; gives the volume of the ball."""
    num_y, num_m, last = rule.frequency.size, rule.sizes[-1], 0
    while last < rule.reach.size and abs(kappa) > rule.reach[last]:
        last += 1
    num_b = rule.goal.shape[1] // num_m
    volume = rule.volume[last]
    value = work.excess  # free until the goal is there
    for i in range(num_m * num_b):
        value[i] = rule.goal[last, i]
    for t in range(last - 1, -1, -1):
        volume = volume * kappa + rule.volume[t]
        for i in range(num_m * num_b):
            value[i] = value[i] * kappa + rule.goal[t, i]
    for m in range(num_m):
        if rule.harmonic[m] < num_y:
            for b in range(num_b):
                work.goal[m * width + b * num_y + rule.harmonic[m]] = value[m * num_b + b]
    return volume


@njit(**HOT)
def _prepare(work, rule, count, width, rows):
    r"""White excess :math:`L^{-1} (P^T u - T)` and :math:`L^{-1}`, with :math:`P^T W P = L L^T`.

    Gives the largest degree whose moments are independent. The leading rows are those of every lower degree: one factor serves
    all.
    """
    num_m, zeros, signs, stride = rule.sizes[-1], work.zeros, work.signs, 2 * rows
    _product(work.weighted, 0, rows, 1, work.points, 0, rows, count, zeros, 0, signs, 0, work.gram, stride, num_m, rows)
    independent = _invert(work.gram, work.norms[_DIAGONAL], rule.limits[1], num_m, rows)
    solvable = _solvable(work, rule, independent, count, rows)
    size = rule.sizes[solvable] if solvable >= 0 else 0
    _product(work.points, 0, rows, 1, work.plain, 0, width, count, work.goal, width, signs, 1, work.excess, width, size, width)
    _product(work.gram, rows, 1, stride, work.excess, 0, width, size, zeros, 0, signs, 0, work.white, width, size, width)
    return solvable


@njit(**HOT)
def _invert(gram, diagonal, condition, size, rows):
    """Write the inverse of the Cholesky factor beside a matrix, by elimination.

    Stops where a pivot, which is no smaller than the least eigenvalue of the part so far, shows that part to be worse
    conditioned than ``condition``; gives the size of what is done. ``diagonal`` gets that of the matrix.
    """
    stride, largest = 2 * rows, 0.0
    for i in range(size):
        diagonal[i] = gram[i * stride + i]
        for j in range(i * stride + rows, (i + 1) * stride):
            gram[j] = 0
        gram[i * stride + rows + i] = 1
    done = 0
    while done < size:
        j = done
        pivot, largest = gram[j * stride + j], max(largest, diagonal[j])
        if not (pivot > 0 and pivot * condition >= largest * (1 - _MARGIN)):
            break
        for i in range(j + 1, size):
            factor = -gram[i * stride + j] / pivot
            for k in range(j // _PAD * _PAD, rows + j + 1, _PAD):
                _set_scaled(gram, i * stride + k, gram, i * stride + k, j * stride + k, 1.0, factor)
        done += 1
    for j in range(done):
        scale = 1 / np.sqrt(gram[j * stride + j])
        for k in range(j + 1):
            gram[j * stride + rows + k] *= scale
    return done


@njit(**HOT)
def _solvable(work, rule, independent, count, rows):
    """Largest degree whose moments are independent at the points: by bounds on the condition number, else by eigenvalues."""
    num_m, condition, stride = rule.sizes[-1], rule.limits[1], 2 * rows
    for degree in range(rule.sizes.size - 1, -1, -1):
        size = rule.sizes[degree]
        if size > independent:
            continue
        trace = inverse = 0.0  # no smaller than the largest eigenvalue, and than the inverse of the least
        for i in range(size):
            trace += work.norms[_DIAGONAL, i]
            for k in range(i + 1):
                inverse += work.gram[i * stride + rows + k] ** 2
        if trace * inverse * (1 + _MARGIN) <= condition:
            return degree
        _product(
            work.weighted, 0, rows, 1, work.points, 0, rows, count, work.zeros, 0, work.signs, 0, work.again, rows, num_m, rows
        )
        least, largest = extreme_eigenvalues(work.again, size, rows)
        if least > 0 and least * condition >= largest:
            return degree
    return -1


@njit(**HOT)
def _choose(work, rule, coverage, solvable, count, width, rows):
    """The table, negated, into ``work.table``; gives degree, fraction and amplification, see
    :func:`gaugenet.kernels.quadrature.coefficient_table`."""
    plain, table, norms = work.plain, work.table, work.norms
    num_f, coverage = rule.frequency[-1] + 1, min(coverage, 1.0)
    _inner(plain, plain, rule.frequency, count, width, norms, _BEFORE)
    least = 1e-20 * norms[_BEFORE, :num_f].sum()
    for f in range(num_f):
        norms[_BEFORE, f] += least  # a frequency that is zero to rounding stays so
        limit = (rule.limits[0] / coverage) ** 2 * norms[_BEFORE, f]
        norms[_LIMIT, f] = np.inf if np.isnan(limit) else limit
    chosen, fits = solvable, False
    while True:
        if chosen >= 0:
            _correct(work, 0, rule.sizes[chosen], plain, table, count, width, rows)
        else:
            for i in range(count * width):
                table[i] = -plain[i]
        _inner(table, table, rule.frequency, count, width, norms, _SQUARE)
        fits = True
        for f in range(num_f):
            fits = fits and norms[_SQUARE, f] <= norms[_LIMIT, f]
        if fits or chosen < 0:
            break
        chosen -= 1
    fraction = 0.0
    if chosen < solvable and fits:
        low = rule.sizes[chosen] if chosen >= 0 else 0
        _correct(work, low, rule.sizes[chosen + 1], work.none, work.step, count, width, rows)
        _inner(table, work.step, rule.frequency, count, width, norms, _MIXED)
        _inner(work.step, work.step, rule.frequency, count, width, norms, _STEP)
        fraction = _longest_step(norms, num_f)
        for i in range(count * width):
            table[i] += fraction * work.step[i]
        _inner(table, table, rule.frequency, count, width, norms, _SQUARE)
    if chosen < 0 and fraction == 0:
        return chosen, fraction, 1.0
    ratio = 0.0
    for f in range(num_f):
        ratio = max(ratio, norms[_SQUARE, f] / norms[_BEFORE, f])  # 0 / 0 counts as 0
    return chosen, fraction, coverage * np.sqrt(ratio)


@njit(**HOT)
def _correct(work, low, high, start, out, count, width, rows):
    """out = w P L^-T white - start, the sum being over the orthonormal polynomials low <= m < high."""
    gram, zeros, signs, stride, factors = work.gram, work.zeros, work.signs, 2 * rows, work.factors
    _product(
        gram,
        rows + low * stride,
        stride,
        1,
        work.white,
        low * width,
        width,
        high - low,
        zeros,
        0,
        signs,
        0,
        factors,
        width,
        high,
        width,
    )
    _product(work.weighted, 0, 1, rows, factors, 0, width, high, start, width, signs, 1, out, width, count, width)


@njit(**HOT)
def _inner(a, b, frequency, count, width, norms, row):
    """Inner products of two tables over the coefficients of each frequency into a row of ``norms``."""
    sums = norms[_SUMS]
    for j in range(width):
        sums[j] = 0
    for k in range(count):
        for j in range(width):
            i = np.uintp(k * width + j)  # of a signed index the sign is looked at, and nothing vectorised
            sums[j] += a[i] * b[i]
    norms[row, : frequency[-1] + 1] = 0
    j = 0
    while j + frequency.size <= width:
        for y in range(frequency.size):
            norms[row, frequency[y]] += sums[j + y]
        j += frequency.size


@njit(**HOT)
def _longest_step(norms, num_f):
    """Largest t in [0, 1] with |a + t b|^2 <= limit for all frequencies, where |a|^2 is below."""
    longest = 1.0
    for f in range(num_f):
        mixed, step = norms[_MIXED, f], norms[_STEP, f]
        room = max(norms[_LIMIT, f] - norms[_SQUARE, f], 0.0)
        under = mixed * mixed + step * room
        root = np.sqrt(under) if under > 0 else 0.0
        # two forms of the root of the quadratic, each without cancellation
        above, below = (root - mixed, step) if mixed < 0 else (room, root + mixed)
        if below > 0:
            longest = min(longest, above / below)
    return max(longest, 0.0)


@njit(**HOT)
def _store(table, sign, results, p, first, count, columns, width):
    """The rows of a node times a sign, in the precision that has an array."""
    edge, node, edge64, node64 = results[:4]
    if node.size:
        for j in range(columns):
            node[p, j] = sign * table[j]
        for k in range(1, count):
            for j in range(columns):
                edge[first + k - 1, j] = sign * table[k * width + j]
    else:
        for j in range(columns):
            node64[p, j] = sign * table[j]
        for k in range(1, count):
            for j in range(columns):
                edge64[first + k - 1, j] = sign * table[k * width + j]


@njit(**HOT)
def _product(table, t, t_i, t_r, values, v, v_i, count, start, s_r, factor, f, out, o_r, rows, columns):
    """out[r, k] = factor[f] start[r, k] + sum over i < count of table[i, r] values[i, k], for r < rows and k < columns.

    Rows and columns are made whole vectors; t, v and f are the offsets of the first elements, the others strides of the index
    they bear.
    """
    for k in range(0, columns - _PAD, 2 * _PAD):
        for r in range(0, rows, _PAD):
            a, b, s, o = t + r * t_r, v + k, r * s_r + k, r * o_r + k
            _tile_wide(values, b, v_i, table, a, t_i, t_r, count, start, s, s_r, factor, f, 0, out, o, o_r)
    if (columns - 1) // _PAD % 2 == 0:
        k = (columns - 1) // _PAD * _PAD
        for r in range(0, rows, _PAD):
            a, b, s, o = t + r * t_r, v + k, r * s_r + k, r * o_r + k
            _tile(values, b, v_i, table, a, t_i, t_r, count, start, s, s_r, factor, f, 0, out, o, o_r)
