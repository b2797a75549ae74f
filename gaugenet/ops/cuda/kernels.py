"""The aggregation on the GPU, in Triton: one program for a node and a piece of its channels."""

from __future__ import annotations

import triton
import triton.language as tl

from ..mixing import FLIP as _FLIP
from ..mixing import PERMUTE as _PERMUTE
from ..mixing import ROTATE as _ROTATE
from ..mixing import SIGN as _SIGN

FLIP, PERMUTE, ROTATE, SIGN = (tl.constexpr(kind) for kind in (_FLIP, _PERMUTE, _ROTATE, _SIGN))


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
            in ``inverses``, dim; see :func:`gaugenet.ops.cuda.driver.pieces`.
        inverses: for permutations: the column that each element moves to each row; for signs: those of the elements.
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
            if kind == FLIP:
                y = y * tl.load(inverses + place + tl.load(element + e)).to(out.dtype.element_ty)
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


# Functions of our own: those of tl (max, sum, zeros) are compiled ones where Triton was imported before its interpreter was on.
@triton.jit
def _larger(a, b):
    return tl.maximum(a, b)


@triton.jit
def _plus(a, b):
    return a + b


@triton.jit
def _coefficients(table, row, j, factor, columns, on):
    """factor[f] table[row, j[f]], (nodes, combinations); 0 where not ``on`` and beyond the last column."""
    inside = on[:, None] & (j < columns)[None, :]
    u = tl.load(table + row[:, None] * columns + j[None, :], inside, other=0.0).to(tl.float32)
    return factor[None, :] * u


@triton.jit
def mix_on_chip(
    x,
    rowptr,
    source,
    turn,
    det,
    table,
    node_table,
    runs,
    parts,
    terms,
    factors,
    weight,
    bias,
    out,
    total,
    nodes,
    width,
    columns,
    out_width,
    num_runs,
    NODES: tl.constexpr,
    CHANNELS: tl.constexpr,
    COMBINATIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PARTS: tl.constexpr,
    REFLECTS: tl.constexpr,
    PRODUCT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The whole convolution of irreps of planar groups for NODES nodes and PARTS parts of the result.

    The transporter acts on the coefficients of a combination instead of the features, so that of an edge all channels are
    read once and summed into the combinations that the kernels use, which then meet the matrix without leaving the chip:

        z[f, c] = sum over e of (w_0[e, f] x[q, a + c] + w_1[e, f] x[q, b + c]),
        (w_0, w_1) = (v_0, v_1) rho(g_e),  v_d[e, f] = factors[f, d] table[e, terms[f, d]]

    Args:
        x, rowptr, source, turn, det, table, node_table: as of :func:`aggregate`.
        runs: (S, 6) kind, order, first column of the components a and b, channels, whether neighbours take part.
        parts: (P, 5) first column in its matrix, columns, columns of the matrix, offset of the matrix, first column in out.
        terms, factors: (S, P, COMBINATIONS, 3) columns of the table for the components a and b and row of the matrix (-1: no
            such combination); (S, P, COMBINATIONS, 2).
        weight: the matrices in one vector, bias (out_width,), out (total, out_width).
        total: B N nodes, nodes: N of a field, width of x, columns of the table, num_runs: S.
        PRODUCT: what the factors of the product are rounded to; PRECISION: of the product, as of tl.dot. The second axis of
            the grid counts parts, PARTS at a time.
    """
    p = tl.program_id(0).to(tl.int64) * NODES + tl.arange(0, NODES)
    live = p < total
    local = p % nodes
    field = p - local
    first = tl.load(rowptr + local, live, other=0)
    degree = tl.load(rowptr + local + 1, live, other=0) - first
    most = tl.reduce(degree, 0, _larger)
    begin = tl.program_id(1) * PARTS
    every = tl.num_programs(1) * PARTS
    column, f, k = tl.arange(0, COLUMNS), tl.arange(0, COMBINATIONS), tl.arange(0, CHANNELS)

    result = ()
    for r in tl.static_range(PARTS):
        part = parts + (begin + r) * 5
        shown = column < tl.load(part + 1)
        constant = tl.load(bias + tl.load(part + 4) + column, shown, other=0.0).to(tl.float32)
        result = result + (tl.full([NODES, COLUMNS], 0.0, tl.float32) + constant[None, :],)

    for s in range(num_runs):
        run = runs + s * 6
        kind, order, count = tl.load(run), tl.load(run + 1), tl.load(run + 4)
        a, b = tl.load(run + 2), tl.load(run + 3)
        both = kind == ROTATE
        channel, second = k < count, k < tl.where(both, count, 0)
        rows = x + p[:, None] * width + k[None, :]
        ya = tl.load(rows + a, live[:, None] & channel[None, :], other=0.0).to(tl.float32)
        yb = tl.load(rows + b, live[:, None] & second[None, :], other=0.0).to(tl.float32)
        j0, j1, f0, f1, z = (), (), (), (), ()
        for r in tl.static_range(PARTS):
            place = (s * every + begin + r) * COMBINATIONS + f
            j0, j1 = j0 + (tl.load(terms + 3 * place),), j1 + (tl.load(terms + 3 * place + 1),)
            f0, f1 = f0 + (tl.load(factors + 2 * place),), f1 + (tl.load(factors + 2 * place + 1),)
            w0 = _coefficients(node_table, local, j0[r], f0[r], columns, live) + tl.where(j0[r] == columns, f0[r], 0.0)[None, :]
            w1 = _coefficients(node_table, local, j1[r], f1[r], columns, live) + tl.where(j1[r] == columns, f1[r], 0.0)[None, :]
            z = z + (w0[:, :, None] * ya[:, None, :] + w1[:, :, None] * yb[:, None, :],)

        for e in range(most * tl.load(run + 5)):
            on = e < degree
            edge = first + e
            q = field + tl.load(source + edge, on, other=0).to(tl.int64)
            rows = x + q[:, None] * width + k[None, :]
            ya = tl.load(rows + a, on[:, None] & channel[None, :], other=0.0).to(tl.float32)
            yb = tl.load(rows + b, on[:, None] & second[None, :], other=0.0).to(tl.float32)
            c, sine = tl.full([NODES], 1.0, tl.float32), tl.full([NODES], 0.0, tl.float32)
            if both:
                cos = tl.load(turn + 2 * edge, on, other=0.0).to(tl.float32)
                sin = tl.load(turn + 2 * edge + 1, on, other=0.0).to(tl.float32)
                c, sine = cos, sin
                for _ in range(order - 1):
                    c, sine = c * cos - sine * sin, c * sin + sine * cos
            if REFLECTS:
                flip = tl.load(det + edge, on, other=0.0).to(tl.float32)
                ya *= tl.where(kind == SIGN, flip, 1.0)[:, None]
                yb *= flip[:, None]
            more = ()
            for r in tl.static_range(PARTS):
                v0 = _coefficients(table, edge, j0[r], f0[r], columns, on)
                v1 = _coefficients(table, edge, j1[r], f1[r], columns, on)
                w0, w1 = v0 * c[:, None] + v1 * sine[:, None], v1 * c[:, None] - v0 * sine[:, None]
                more = more + (z[r] + w0[:, :, None] * ya[:, None, :] + w1[:, :, None] * yb[:, None, :],)
            z = more

        mixed = ()
        for r in tl.static_range(PARTS):
            part = parts + (begin + r) * 5
            stride, shown = tl.load(part + 2), column < tl.load(part + 1)
            matrix = weight + tl.load(part + 3) + tl.load(part)
            total_r = result[r]
            for h in range(COMBINATIONS):  # one at a time, or the matrix would fill the registers
                row = tl.load(terms + 3 * ((s * every + begin + r) * COMBINATIONS + h) + 2)
                if row >= 0:
                    one = tl.reduce(tl.where((f == h)[None, :, None], z[r], 0.0), 1, _plus).to(PRODUCT)
                    entries = matrix + (row + k[:, None]) * stride + column[None, :]
                    w = tl.load(entries, channel[:, None] & shown[None, :], other=0.0).to(PRODUCT)
                    total_r = tl.dot(one, w, total_r, input_precision=PRECISION)
            mixed = mixed + (total_r,)
        result = mixed

    for r in tl.static_range(PARTS):
        part = parts + (begin + r) * 5
        shown = live[:, None] & (column < tl.load(part + 1))[None, :]
        to = out + p[:, None] * out_width + tl.load(part + 4) + column[None, :]
        tl.store(to, result[r].to(out.dtype.element_ty), shown)
