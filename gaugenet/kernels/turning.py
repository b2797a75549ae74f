"""Circular harmonics turned by matrices, compiled: the columns of reversed edges."""

from __future__ import annotations

from ..compiled import njit
from ..ops.cpu.tiles import ENTRY


@njit(**ENTRY)
def turn_circular(g, table, out, num_radial, max_frequency):
    """out[e, b] = D(g[e]) table[e, b], with D of :func:`gaugenet.groups.harmonic_action.circular_action`.

    Args:
        g: (E, 2, 2). table: (E, B (2 F + 1)). out: written. num_radial, max_frequency: B and F.
    """
    size = 2 * max_frequency + 1
    for e in range(table.shape[0]):
        c, s, det = g[e, 0, 0], g[e, 1, 0], g[e, 0, 0] * g[e, 1, 1] - g[e, 0, 1] * g[e, 1, 0]
        for b in range(num_radial):
            out[e, b * size] = table[e, b * size]
        cos, sin = c, s
        for i in range(1, size, 2):
            for b in range(num_radial):
                x, y = table[e, b * size + i], det * table[e, b * size + i + 1]
                out[e, b * size + i] = cos * x - sin * y
                out[e, b * size + i + 1] = sin * x + cos * y
            cos, sin = cos * c - sin * s, cos * s + sin * c
