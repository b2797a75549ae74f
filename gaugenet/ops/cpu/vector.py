"""Vector instructions for the CPU loop: numba intrinsics that emit LLVM vector code of a fixed width.

LLVM's own vectoriser unrolls for long loops; blocks of 8 to 64 channels fall into its scalar remainder. These do not.
Pointers are rows of C-contiguous arrays plus an offset; nothing is checked.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Floats per step of the wide loops: one AVX-512 register of float32; LLVM splits it where registers are narrower.
WIDTH = 16


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


def make_rotate(width: int):
    """(dst[i:], dst[i + gap:]) = rotation by (cos, sin) of (src[j:], det * src[j + gap:]), width channels."""

    @intrinsic
    def rotate(typing, dst, i, src, j, gap, cos, sin, det):
        number = dst.dtype
        signature = types.void(dst, types.intp, src, types.intp, types.intp, number, number, number)

        def generate(context, builder, signature, args):
            vector, align = _vector(context, signature, 0, width)
            to, source = _pointer(context, builder, signature, args, 0), _pointer(context, builder, signature, args, 2)
            cos, sin, det = (_splat(builder, a, vector) for a in args[5:8])
            x = _load(builder, source, vector, align)
            y = builder.fmul(det, _load(builder, builder.gep(source, [args[4]]), vector, align))
            first = builder.fsub(builder.fmul(cos, x), builder.fmul(sin, y))
            second = _fma(builder, sin, x, builder.fmul(cos, y))
            _store(builder, first, to, align)
            _store(builder, second, builder.gep(to, [args[4]]), align)
            return context.get_dummy_value()

        return signature, generate

    return rotate


def make_tile(rows: int, width: int):
    """out[r, k : k + width] = start[r] + sum over i < count of table[i, r] values[i, k:], with the sums in registers.

    Arguments, arrays with the offset of their first element: values, v, stride of i; table, t, strides of i and r; count;
    start, s, stride of r; factor, f, stride of r; out, o, stride of r. start[r] is factor[r] times the width elements from s on
    (a stride of zero: the same for all rows).
    """

    @intrinsic
    def tile(typing, values, v, v_i, table, t, t_i, t_r, count, start, s, s_r, factor, f, f_r, out, o, o_r):
        n = types.intp
        signature = types.void(values, n, n, table, n, n, n, n, start, n, n, factor, n, n, out, n, n)

        def generate(context, builder, signature, args):
            vector, align = _vector(context, signature, 0, width)
            values, table, start, factor, out = (_pointer(context, builder, signature, args, k) for k in (0, 3, 8, 11, 14))
            v_i, t_i, t_r, count, s_r, f_r, o_r = (args[k] for k in (2, 5, 6, 7, 10, 13, 16))
            index = count.type

            def row(pointer, stride, r):
                return builder.gep(pointer, [builder.mul(stride, ir.Constant(index, r))])

            first = []
            for r in range(rows):
                scale = _splat(builder, builder.load(row(factor, f_r, r)), vector)
                first.append(builder.fmul(scale, _load(builder, row(start, s_r, r), vector, align)))
            entry = builder.block
            loop, end = builder.append_basic_block("tile.loop"), builder.append_basic_block("tile.end")
            builder.cbranch(builder.icmp_signed("<=", count, ir.Constant(index, 0)), end, loop)
            builder.position_at_end(loop)
            i, v_now, t_now = builder.phi(index), builder.phi(values.type), builder.phi(table.type)
            sums = [builder.phi(vector) for _ in range(rows)]
            value = _load(builder, v_now, vector, align)
            new = [
                _fma(builder, _splat(builder, builder.load(row(t_now, t_r, r)), vector), value, total)
                for r, total in enumerate(sums)
            ]
            i_next = builder.add(i, ir.Constant(index, 1))
            steps = [
                (i, ir.Constant(index, 0), i_next),
                (v_now, values, builder.gep(v_now, [v_i])),
                (t_now, table, builder.gep(t_now, [t_i])),
                *zip(sums, first, new),
            ]
            builder.cbranch(builder.icmp_signed(">=", i_next, count), end, loop)
            for phi, before, following in steps:
                phi.add_incoming(before, entry)
                phi.add_incoming(following, loop)
            builder.position_at_end(end)
            for r in range(rows):
                total = builder.phi(vector)
                total.add_incoming(first[r], entry)
                total.add_incoming(new[r], loop)
                first[r] = total
            for r in range(rows):
                _store(builder, first[r], row(out, o_r, r), align)
            return context.get_dummy_value()

        return signature, generate

    return tile
