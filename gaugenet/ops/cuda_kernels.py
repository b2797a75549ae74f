"""The aggregation on the GPU, in Triton: one program for a node and a piece of its channels."""

from __future__ import annotations

import triton
import triton.language as tl

from .mixing import PERMUTE as _PERMUTE
from .mixing import ROTATE as _ROTATE
from .mixing import SIGN as _SIGN

PERMUTE, ROTATE, SIGN = tl.constexpr(_PERMUTE), tl.constexpr(_ROTATE), tl.constexpr(_SIGN)


@triton.jit
def aggregate(
    x,
    rowptr,
    source,
    turn,
    det,
    element,
    table,
    node_table,
    pieces,
    inverses,
    out,
    start,
    nodes,
    width,
    columns,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    REFLECTS: tl.constexpr,
):
    """out[p - start, j, :] = sum over e -> p of table[e, j] (rho(g_e) x[q])[:] + node_table[p, j] x[p, :], and x[p] as row J.

    Args:
        x: (B N, width) features. rowptr, source, turn (E, 2), det, element, table (E, J), node_table (N, J): see EdgeList.
        pieces: (P, 8) kind, order, first column of the components a and b, number of channels, column of the result, place
            in ``inverses``, dim; see :func:`gaugenet.ops.cuda.pieces`.
        inverses: for permutations: the column that each element moves to each row.
        out: (nodes of the launch, J + 1, width).
        start: first node of the B N; nodes: N; columns: J; ROWS: a power of two of at least J; CHANNELS: one of at least the
            widest piece; REFLECTS: whether there are determinants.
    """
    p = start + tl.program_id(0).to(tl.int64)
    local = p % nodes  # in its field, whose features begin at `field`
    field = x + (p - local) * width
    piece = pieces + tl.program_id(1) * 8
    kind, order = tl.load(piece), tl.load(piece + 1)
    a, b, count, to = tl.load(piece + 2), tl.load(piece + 3), tl.load(piece + 4), tl.load(piece + 5)
    place, dim = tl.load(piece + 6), tl.load(piece + 7)
    j, k = tl.arange(0, ROWS), tl.arange(0, CHANNELS)
    row, channel = j < columns, k < count
    centre = tl.load(x + p * width + to + k, channel, other=0.0).to(out.dtype.element_ty)
    weight = tl.load(node_table + local * columns + j, row, other=0.0).to(out.dtype.element_ty)
    total = weight[:, None] * centre[None, :]
    for e in range(tl.load(rowptr + local), tl.load(rowptr + local + 1)):
        q = field + tl.load(source + e).to(tl.int64) * width
        u = tl.load(table + e * columns + j, row, other=0.0).to(out.dtype.element_ty)
        if kind == PERMUTE:
            moved = tl.load(inverses + place + tl.load(element + e) * dim)
            y = tl.load(q + a + moved * b + k, channel, other=0.0).to(out.dtype.element_ty)
        else:
            y = tl.load(q + a + k, channel, other=0.0).to(out.dtype.element_ty)
            if REFLECTS and kind == SIGN:
                y = y * tl.load(det + e).to(out.dtype.element_ty)
            if kind == ROTATE:
                cos = tl.load(turn + 2 * e).to(out.dtype.element_ty)
                sin = tl.load(turn + 2 * e + 1).to(out.dtype.element_ty)
                c, s = cos, sin
                for _ in range(order - 1):
                    c, s = c * cos - s * sin, c * sin + s * cos
                z = tl.load(q + b + k, channel, other=0.0).to(out.dtype.element_ty)
                if REFLECTS:
                    z = z * tl.load(det + e).to(out.dtype.element_ty)
                if place == 0:
                    y = c * y - s * z
                else:
                    y = s * y + c * z
        total += u[:, None] * y[None, :]
    base = out + tl.program_id(0).to(tl.int64) * (columns + 1) * width + to
    tl.store(base + j[:, None] * width + k[None, :], total, row[:, None] & channel[None, :])
    tl.store(base + columns * width + k, centre, channel)
