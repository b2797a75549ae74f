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
    sources,
    width,
    columns,
    FIRST: tl.constexpr,
    REST: tl.constexpr,
    CHANNELS: tl.constexpr,
    REFLECTS: tl.constexpr,
    CENTRES: tl.constexpr,
    WORKING: tl.constexpr,
):
    """out[p - start, j, :] = sum over e -> p of table[e, j] (rho(g_e) x[q])[:], with CENTRES + node_table[p, j] x[p, :].

    A program makes two pieces of a row at once, the two components of what is rotated among them, so that a neighbour is read
    once. The columns of the table are taken in two parts, since lengths are powers of two: 9 as 8 + 1, and not as 16.

    Args:
        x: (B sources, width) features. rowptr, source, turn (E, 2), det, element, table (E, J), node_table (N, J): see
            EdgeList.
        pieces: (P, 12) see :func:`gaugenet.ops.cuda.driver.pieces`.
        inverses: for permutations: the column that each element moves to each row; for signs: those of the elements.
        out: (nodes of the launch, J + 1, width) with the centre x[p] as row J, without CENTRES (nodes of the launch, J, width).
        start: first node of the B N; nodes: N; columns: J; FIRST, REST: powers of two, J <= FIRST + REST and FIRST <= J, REST 0
            where FIRST is J; CHANNELS: one of at least the widest piece; REFLECTS: whether there are determinants; WORKING: the
            dtype of the sums.
    """
    p = start + tl.program_id(0).to(tl.int64)
    local = p % nodes  # in its field, whose features begin at `field`
    field = x + (p // nodes) * sources * width
    piece = pieces + tl.program_id(1) * 12
    kind, order = tl.load(piece), tl.load(piece + 1)
    a, b, to_a, to_b = tl.load(piece + 2), tl.load(piece + 3), tl.load(piece + 4), tl.load(piece + 5)
    count_a, count_b = tl.load(piece + 6), tl.load(piece + 7)
    place_a, place_b = tl.load(piece + 8), tl.load(piece + 9)
    stride, dim = tl.load(piece + 10), tl.load(piece + 11)
    k, j = tl.arange(0, CHANNELS), tl.arange(0, FIRST)
    row, on_a, on_b = j < columns, k < count_a, k < count_b
    total_a, total_b = tl.full([FIRST, CHANNELS], 0.0, WORKING), tl.full([FIRST, CHANNELS], 0.0, WORKING)
    if CENTRES:
        own_a = tl.load(x + p * width + to_a + k, on_a, other=0.0).to(WORKING)
        own_b = tl.load(x + p * width + to_b + k, on_b, other=0.0).to(WORKING)
        u = tl.load(node_table + local * columns + j, row, other=0.0).to(WORKING)
        total_a, total_b = u[:, None] * own_a[None, :], u[:, None] * own_b[None, :]
    if REST:
        i = FIRST + tl.arange(0, REST)
        more_a, more_b = tl.full([REST, CHANNELS], 0.0, WORKING), tl.full([REST, CHANNELS], 0.0, WORKING)
        if CENTRES:
            v = tl.load(node_table + local * columns + i, i < columns, other=0.0).to(WORKING)
            more_a, more_b = v[:, None] * own_a[None, :], v[:, None] * own_b[None, :]
    for e in range(tl.load(rowptr + local), tl.load(rowptr + local + 1)):
        q = field + tl.load(source + e).to(tl.int64) * width
        u = tl.load(table + e * columns + j, row, other=0.0).to(WORKING)
        if kind == PERMUTE:
            rows = inverses + tl.load(element + e) * dim
            y = tl.load(q + a + tl.load(rows + place_a) * stride + k, on_a, other=0.0).to(WORKING)
            z = tl.load(q + b + tl.load(rows + place_b) * stride + k, on_b, other=0.0).to(WORKING)
        else:
            y = tl.load(q + a + k, on_a, other=0.0).to(WORKING)
            z = tl.load(q + b + k, on_b, other=0.0).to(WORKING)
            if REFLECTS:
                flip = tl.load(det + e).to(WORKING)
                if kind == SIGN:
                    y, z = flip * y, flip * z
                if kind == ROTATE:
                    z = flip * z
            if kind == FLIP:
                sign = tl.load(inverses + place_a + tl.load(element + e)).to(WORKING)
                y, z = sign * y, sign * z
            if kind == ROTATE:
                cos, sin = tl.load(turn + 2 * e).to(WORKING), tl.load(turn + 2 * e + 1).to(WORKING)
                c, s = cos, sin
                for _ in range(order - 1):
                    c, s = c * cos - s * sin, c * sin + s * cos
                y, z = c * y - s * z, s * y + c * z
        total_a += u[:, None] * y[None, :]
        total_b += u[:, None] * z[None, :]
        if REST:
            v = tl.load(table + e * columns + i, i < columns, other=0.0).to(WORKING)
            more_a += v[:, None] * y[None, :]
            more_b += v[:, None] * z[None, :]
    base = out + tl.program_id(0).to(tl.int64) * (columns + CENTRES) * width
    to = base + j[:, None] * width + k[None, :]
    tl.store(to + to_a, total_a.to(out.dtype.element_ty), on_a[None, :] & row[:, None])
    tl.store(to + to_b, total_b.to(out.dtype.element_ty), on_b[None, :] & row[:, None])
    if REST:
        to = base + i[:, None] * width + k[None, :]
        tl.store(to + to_a, more_a.to(out.dtype.element_ty), on_a[None, :] & (i < columns)[:, None])
        tl.store(to + to_b, more_b.to(out.dtype.element_ty), on_b[None, :] & (i < columns)[:, None])
    if CENTRES:
        tl.store(base + columns * width + to_a + k, own_a.to(out.dtype.element_ty), on_a)
        tl.store(base + columns * width + to_b + k, own_b.to(out.dtype.element_ty), on_b)


# Times every number of warps at the first call of a kind, where GAUGENET_AUTOTUNE=1 asks for it (not under the interpreter).
tuned_aggregate = triton.autotune(
    [triton.Config({}, num_warps=warps) for warps in (1, 2, 4, 8)], key=["width", "columns", "FIRST", "CHANNELS", "CENTRES"]
)(aggregate)


@triton.jit
def combine(
    sums, places, factors, out, nodes, width, results, TERMS: tl.constexpr, NODES: tl.constexpr, RESULTS: tl.constexpr,
    WORKING: tl.constexpr,
):  # fmt: skip
    """out[n, z] = sum over t of factors[t, z] sums[n, places[t, z]].

    Args:
        sums: (nodes, width). places, factors: (TERMS, results). out: (nodes, results); a program makes NODES x RESULTS of it.
    """
    n = tl.program_id(0).to(tl.int64) * NODES + tl.arange(0, NODES)
    z = tl.program_id(1) * RESULTS + tl.arange(0, RESULTS)
    inside = (n < nodes)[:, None] & (z < results)[None, :]
    total = tl.full([NODES, RESULTS], 0.0, WORKING)
    for t in range(TERMS):
        place = tl.load(places + t * results + z, z < results, other=0)
        factor = tl.load(factors + t * results + z, z < results, other=0.0)
        total += factor[None, :] * tl.load(sums + n[:, None] * width + place[None, :], inside, other=0.0)
    tl.store(out + n[:, None] * results + z[None, :], total.to(out.dtype.element_ty), inside)


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
