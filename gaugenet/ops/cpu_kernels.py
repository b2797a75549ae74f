"""The fused loop on the CPU, in numba: rotate the neighbours of a node, then sum them against the table."""

from __future__ import annotations

import numpy as np
from numba import njit

# What a block of a field type does under a transporter with (cos, sin, det).
COPY, SIGN, ROTATE = 0, 1, 2


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
def aggregate(values, centre, rowptr, source, turn, table, node_table, blocks, start, stop, out):
    """out[p - start, j, :] = sum over e -> p of table[e, j] rho(turn[e]) values[source[e], :] + node_table[p, j] centre[p, :].

    Args:
        values: (M, D) features; centre: (N, D) features of the centres.
        rowptr, source: CSR of the edges by target.
        turn: (E, 3) cos, sin and determinant of the transporters.
        table: (E, J), node_table: (N, J).
        blocks: (K, 4) int64: kind, order, mul and first column of every block.
        start, stop: range of targets.
        out: (stop - start, J, D).
    """
    width, columns = values.shape[1], table.shape[1]
    most = 0
    for p in range(start, stop):
        most = max(most, rowptr[p + 1] - rowptr[p])
    carried = np.empty((most, width), values.dtype)
    for p in range(start, stop):
        row = out[p - start]
        for j in range(columns):
            factor = node_table[p, j]
            for k in range(width):
                row[j, k] = factor * centre[p, k]
        first, count = rowptr[p], rowptr[p + 1] - rowptr[p]
        for i in range(count):
            _carry(values[source[first + i]], turn[first + i], blocks, carried[i])
        i = 0
        # Four neighbours at a time: a load and a store of the sum for four multiply-adds.
        while i + 4 <= count:
            e = first + i
            v0, v1, v2, v3 = carried[i], carried[i + 1], carried[i + 2], carried[i + 3]
            for j in range(columns):
                t0, t1, t2, t3 = table[e, j], table[e + 1, j], table[e + 2, j], table[e + 3, j]
                target = row[j]
                for k in range(width):
                    target[k] += t0 * v0[k] + t1 * v1[k] + t2 * v2[k] + t3 * v3[k]
            i += 4
        while i < count:
            e = first + i
            v0 = carried[i]
            for j in range(columns):
                t0 = table[e, j]
                target = row[j]
                for k in range(width):
                    target[k] += t0 * v0[k]
            i += 1


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"}, error_model="numpy", inline="always")
def _carry(value, turn, blocks, out):
    """rho(turn) value, block by block."""
    cos, sin, det = turn[0], turn[1], turn[2]
    for b in range(blocks.shape[0]):
        kind, order, mul, first = blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3]
        if kind == COPY:
            for k in range(first, first + mul):
                out[k] = value[k]
        elif kind == SIGN:
            for k in range(first, first + mul):
                out[k] = det * value[k]
        else:
            c, s = cos, sin
            for _ in range(order - 1):
                c, s = c * cos - s * sin, c * sin + s * cos
            for k in range(first, first + mul):
                x, y = value[k], det * value[k + mul]
                out[k] = c * x - s * y
                out[k + mul] = s * x + c * y
