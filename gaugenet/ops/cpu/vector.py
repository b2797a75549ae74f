"""Vector instructions for the CPU loop: numba intrinsics that emit LLVM vector code of a fixed width.

LLVM's own vectoriser unrolls for long loops; blocks of 8 to 64 channels fall into its scalar remainder. These do not.
Pointers are rows of C-contiguous arrays plus an offset; nothing is checked.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Numbers that the loops take at a time: one AVX-512 register of float32; LLVM splits it where registers are narrower.
PANEL = 16
# Narrower steps for blocks that are no multiple of a panel.
NARROW = PANEL // 2


def _pointer(context, builder, signature, args, position):
    """Address of element args[position + 1] of the array args[position], by its data pointer alone."""
    array = context.make_array(signature.args[position])(context, builder, args[position])
    return builder.gep(array.data, [args[position + 1]])


def _load(builder, pointer, vector, element):
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = element
    return value


def _store(builder, value, pointer, element):
    instruction = builder.store(value, builder.bitcast(pointer, value.type.as_pointer()))
    instruction.align = element


def _splat(builder, scalar, vector):
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


def _fma(builder, a, b, c):
    kind = f"v{a.type.count}f{64 if a.type.element == ir.DoubleType() else 32}"
    signature = ir.FunctionType(a.type, [a.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fmuladd.{kind}")
    return builder.call(function, [a, b, c])


def _float(signature, position):
    return signature.args[position].dtype


def _vector(context, signature, position, width):
    scalar = context.get_value_type(_float(signature, position))
    return ir.VectorType(scalar, width), _float(signature, position).bitwidth // 8


@intrinsic
def prefetch(typing, array, i):
    """Ask for the cache line of element i, which may lie past the end."""
    signature = types.void(array, types.intp)

    def generate(context, builder, signature, args):
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        address = builder.bitcast(_pointer(context, builder, signature, args, 0), byte)
        builder.call(function, [address, *(ir.Constant(word, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return signature, generate


def make_combine(width: int, accumulate: bool):
    """dst[i : i + width] (+)= f * src[j : j + width] + g * src[k : k + width]."""

    @intrinsic
    def combine(typing, dst, i, src, j, k, f, g):
        signature = types.void(dst, types.intp, src, types.intp, types.intp, dst.dtype, dst.dtype)

        def generate(context, builder, signature, args):
            vector, align = _vector(context, signature, 0, width)
            to, base = _pointer(context, builder, signature, args, 0), _pointer(context, builder, signature, args, 2)
            first = _load(builder, base, vector, align)
            second = _load(builder, builder.gep(base, [builder.sub(args[4], args[3])]), vector, align)
            f, g = _splat(builder, args[5], vector), _splat(builder, args[6], vector)
            value = _fma(builder, f, first, builder.fmul(g, second))
            if accumulate:
                value = builder.fadd(value, _load(builder, to, vector, align))
            _store(builder, value, to, align)
            return context.get_dummy_value()

        return signature, generate

    return combine


def make_rotate(width: int, back: bool):
    """(dst[i:], dst[i + gap:]) = rotation by (cos, sin) of (src[j:], det * src[j + gap:]), width channels.

    With ``back`` the transposed map is added: (dst[i:], dst[i + gap:]) += (cos x + sin y, det (cos y - sin x)).
    """

    @intrinsic
    def rotate(typing, dst, i, src, j, gap, cos, sin, det):
        number = dst.dtype
        signature = types.void(dst, types.intp, src, types.intp, types.intp, number, number, number)

        def generate(context, builder, signature, args):
            vector, align = _vector(context, signature, 0, width)
            to, source = _pointer(context, builder, signature, args, 0), _pointer(context, builder, signature, args, 2)
            there = builder.gep(to, [args[4]])
            cos, sin, det = (_splat(builder, a, vector) for a in args[5:8])
            x = _load(builder, source, vector, align)
            y = _load(builder, builder.gep(source, [args[4]]), vector, align)
            if back:
                first = _fma(builder, sin, y, _fma(builder, cos, x, _load(builder, to, vector, align)))
                turned = builder.fsub(builder.fmul(cos, y), builder.fmul(sin, x))
                second = _fma(builder, det, turned, _load(builder, there, vector, align))
            else:
                y = builder.fmul(det, y)
                first = builder.fsub(builder.fmul(cos, x), builder.fmul(sin, y))
                second = _fma(builder, sin, x, builder.fmul(cos, y))
            _store(builder, first, to, align)
            _store(builder, second, there, align)
            return context.get_dummy_value()

        return signature, generate

    return rotate


def make_map(width: int, expression: Callable):
    """dst[i : i + width] = expression(builder, dst[i:], a[j:], b[k:], f), made of LLVM vectors and the scalar f."""

    @intrinsic
    def map(typing, dst, i, a, j, b, k, f):
        signature = types.void(dst, types.intp, a, types.intp, b, types.intp, dst.dtype)

        def generate(context, builder, signature, args):
            vector, align = _vector(context, signature, 0, width)
            to, *sources = (_pointer(context, builder, signature, args, place) for place in (0, 2, 4))
            values = (_load(builder, pointer, vector, align) for pointer in (to, *sources))
            _store(builder, expression(builder, *values, _splat(builder, args[6], vector)), to, align)
            return context.get_dummy_value()

        return signature, generate

    return map


def product(builder, dst, a, b, f):
    """f a b"""
    return builder.fmul(f, builder.fmul(a, b))


def add_product(builder, dst, a, b, f):
    """dst + f a b"""
    return _fma(builder, f, builder.fmul(a, b), dst)


def weighted_sum(builder, dst, a, b, f):
    """a + f b"""
    return _fma(builder, f, b, a)


def add_positive(builder, dst, a, b, f):
    """dst + f max(a, 0)"""
    return _fma(builder, f, _positive(builder, a, a), dst)


def where_positive(builder, dst, a, b, f):
    """f b where a > 0, else 0"""
    return builder.fmul(f, _positive(builder, a, b))


def logistic_slope(builder, dst, a, b, f):
    """f a b (1 - b)"""
    return builder.fmul(builder.fmul(f, a), builder.fsub(b, builder.fmul(b, b)))


def logistic(builder, dst, a, b, f):
    """1 / (1 + exp(-a))"""
    one = ir.Constant(a.type, [1.0] * a.type.count)
    return builder.fdiv(one, builder.fadd(one, _exp(builder, builder.fneg(a))))


def _positive(builder, a, b):
    zero = ir.Constant(a.type, [0.0] * a.type.count)
    return builder.select(builder.fcmp_unordered(">", a, zero), b, zero)  # NaN counts as positive: it must not vanish


def _exp(builder, x):
    """exp(x) by 2^k exp(r), |r| <= ln(2) / 2, and Taylor's polynomial of r; to about one unit in the last place.

    The largest finite number is where it would overflow, the smallest normal one where it would underflow; NaN stays NaN.
    """
    double = x.type.element == ir.DoubleType()
    bits, mantissa, terms = (64, 52, 13) if double else (32, 23, 7)
    low, high = (-708.0, 709.0) if double else (-87.0, 88.0)
    # ln(2) in two parts, the first with few digits, so that k times it is exact.
    coarse, fine = (0.693147180369123816490, 1.90821492927058770002e-10) if double else (0.693359375, -2.12194440e-4)
    shift = 1.5 * 2.0**mantissa  # added to a small number it leaves its nearest integer in the last bits

    def constant(value):
        return ir.Constant(x.type, [value] * x.type.count)

    y = builder.select(builder.fcmp_ordered("<", x, constant(low)), constant(low), x)
    y = builder.select(builder.fcmp_ordered(">", y, constant(high)), constant(high), y)
    shifted = _fma(builder, y, constant(1 / math.log(2)), constant(shift))
    k = builder.fsub(shifted, constant(shift))
    r = _fma(builder, k, constant(-fine), _fma(builder, k, constant(-coarse), y))
    total = constant(1 / math.factorial(terms))
    for n in reversed(range(terms)):
        total = _fma(builder, total, r, constant(1 / math.factorial(n)))
    whole = ir.VectorType(ir.IntType(bits), x.type.count)
    power = builder.shl(builder.bitcast(shifted, whole), ir.Constant(whole, [mantissa] * x.type.count))
    scaled = builder.bitcast(builder.add(builder.bitcast(total, whole), power), x.type)
    return builder.select(builder.fcmp_unordered("!=", x, x), x, scaled)


def make_tile(rows: tuple[int, ...], panels: bool = False):
    """out[r, :PANEL] = factor[r] start[r, :PANEL] + sum over i < count of table[i, r] values[i, :PANEL], the sums in registers.

    Arguments: the number of rows, one of ``rows`` (others do nothing); then the arrays, each with the offset of its first
    element: values, v, stride of i; table, t, strides of i and r; count; start, s, stride of r; factor, f, stride of r; out, o,
    stride of r. A stride of zero takes the same for all rows.

    Args:
        rows: the numbers of rows for which there is code.
        panels: the table lies in panels of PANEL values of i, count is a number of such panels, and after the stride of r comes
            the distance from the end of a panel to the next one.
    """

    @intrinsic
    def tile(typing, size, values, v, v_i, table, t, t_i, t_r, jump, count, start, s, s_r, factor, f, f_r, out, o, o_r):
        n = types.intp
        signature = types.void(n, values, n, n, table, n, n, n, n, n, start, n, n, factor, n, n, out, n, n)

        def generate(context, builder, signature, args):
            vector, align = _vector(context, signature, 1, PANEL)
            pointers = [_pointer(context, builder, signature, args, k) for k in (1, 4, 10, 13, 16)]
            strides = [args[k] for k in (3, 6, 7, 8, 9, 12, 15, 18)]
            _by_size(builder, args[0], rows, lambda r: _tile(builder, r, panels, vector, align, pointers, strides))
            return context.get_dummy_value()

        return signature, generate

    return tile


def make_wide_tile(rows: tuple[int, ...], wide: int, panels: bool = False):
    """:func:`make_tile` of several panels of values side by side, against the same table.

    A last argument is a tuple of the distances from one panel to the next in values, start and out.
    """

    @intrinsic
    def tile(typing, size, values, v, v_i, table, t, t_i, t_r, jump, count, start, s, s_r, factor, f, f_r, out, o, o_r, across):
        n = types.intp
        signature = types.void(n, values, n, n, table, n, n, n, n, n, start, n, n, factor, n, n, out, n, n, across)

        def generate(context, builder, signature, args):
            vector, align = _vector(context, signature, 1, PANEL)
            pointers = [_pointer(context, builder, signature, args, k) for k in (1, 4, 10, 13, 16)]
            strides = [args[k] for k in (3, 6, 7, 8, 9, 12, 15, 18)]
            across = cgutils.unpack_tuple(builder, args[19])
            code = functools.partial(_tile, builder, wide=wide, across=across)
            _by_size(builder, args[0], rows, lambda r: code(r, panels, vector, align, pointers, strides))
            return context.get_dummy_value()

        return signature, generate

    return tile


def make_block(rows: int, width: int):
    """:func:`make_tile` of one number of rows and any width; its arguments are those but for the size and the jump."""

    @intrinsic
    def block(typing, values, v, v_i, table, t, t_i, t_r, count, start, s, s_r, factor, f, f_r, out, o, o_r):
        n = types.intp
        signature = types.void(values, n, n, table, n, n, n, n, start, n, n, factor, n, n, out, n, n)

        def generate(context, builder, signature, args):
            vector, align = _vector(context, signature, 0, width)
            pointers = [_pointer(context, builder, signature, args, k) for k in (0, 3, 8, 11, 14)]
            strides = [args[k] for k in (2, 5, 6, 6, 7, 10, 13, 16)]
            _tile(builder, rows, False, vector, align, pointers, strides)
            return context.get_dummy_value()

        return signature, generate

    return block


def _by_size(builder, size, rows, code) -> None:
    """``code(number)`` for the number of ``rows`` that ``size`` is; nothing for others."""
    end = builder.append_basic_block("tile.end")
    switch = builder.switch(size, end)
    for number in rows:
        builder.position_at_end(builder.append_basic_block(f"tile.{number}"))
        switch.add_case(ir.Constant(size.type, number), builder.block)
        code(number)
        builder.branch(end)
    builder.position_at_end(end)


def _tile(builder, rows, panels, vector, align, pointers, strides, wide=1, across=()) -> None:
    """The code of one number of rows; ``across`` as the last argument of :func:`make_wide_tile`."""
    values, table, start, factor, out = pointers
    v_i, t_i, t_r, jump, count, s_r, f_r, o_r = strides
    places = [(r, w) for r in range(rows) for w in range(wide)]

    def moved(pointer, stride, times):
        return builder.gep(pointer, [builder.mul(stride, ir.Constant(stride.type, times))]) if times else pointer

    def at(pointer, stride, r, k, w):
        return moved(moved(pointer, stride, r), across[k] if w else None, w)

    def step(state):
        v_now, t_now, *sums = state
        value = [_load(builder, at(v_now, None, 0, 0, w), vector, align) for w in range(wide)]
        factors = [_splat(builder, builder.load(moved(t_now, t_r, r)), vector) for r in range(rows)]
        new = [_fma(builder, factors[r], value[w], total) for (r, w), total in zip(places, sums)]
        return [builder.gep(v_now, [v_i]), builder.gep(t_now, [t_i]), *new]

    def panel(state):
        v_now, t_now, *sums = _loop(builder, ir.Constant(count.type, PANEL), state, step)
        return [v_now, builder.gep(t_now, [jump]), *sums]

    first = []
    for r, w in places:
        scale = _splat(builder, builder.load(moved(factor, f_r, r)), vector)
        first.append(builder.fmul(scale, _load(builder, at(start, s_r, r, 1, w), vector, align)))
    _, _, *sums = _loop(builder, count, [values, table, *first], panel if panels else step)
    for (r, w), total in zip(places, sums):
        _store(builder, total, at(out, o_r, r, 2, w), align)


def _loop(builder, count, state, body) -> list:
    """``state = body(state)``, count times; gives the last state. Values of the state live in registers."""
    entry, loop, end = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("loop.end")
    zero, one = (ir.Constant(count.type, k) for k in (0, 1))
    builder.cbranch(builder.icmp_signed("<=", count, zero), end, loop)
    builder.position_at_end(loop)
    i, *now = (builder.phi(value.type) for value in (zero, *state))
    following = [builder.add(i, one), *body(now)]
    last = builder.block
    for phi, before, after in zip((i, *now), (zero, *state), following):
        phi.add_incoming(before, entry)
        phi.add_incoming(after, last)
    builder.cbranch(builder.icmp_signed(">=", following[0], count), end, loop)
    builder.position_at_end(end)
    result = []
    for before, after in zip(state, following[1:]):
        phi = builder.phi(before.type)
        phi.add_incoming(before, entry)
        phi.add_incoming(after, last)
        result.append(phi)
    return result
