"""The polynomial nonlinearity of degree 2 and its derivative: one pass over the features, in registers.

Nodes are C functions with n Fourier coefficients, (n, C) numbers; their samples T (S, n) are orthogonal, T^T T = S.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...compiled import njit
from .team import make_team
from .tiles import ENTRY, OPTIONS
from .vector import NARROW, _fma, _load, _loop, _pointer, _splat, _store, _vector


class _Rows:
    """LLVM code on ``width`` functions: coefficient i lies ``gap`` numbers behind coefficient i - 1."""

    def __init__(self, context, builder, signature, args, width) -> None:
        self.builder, self.gap = builder, args[6]
        self.parts, self.count = args[11], args[12]
        self.vector, self.align = _vector(context, signature, 0, width)
        self.samples, self.unit = (_pointer(context, builder, signature, args, k) for k in (7, 9))
        self.constant, self.linear, self.scale, self.tiny = (_splat(builder, a, self.vector) for a in args[13:])

    def zero(self):
        return ir.Constant(self.vector, [0.0] * self.vector.count)

    def sqrt(self, value):
        kind = f"v{self.vector.count}f{64 if self.vector.element == ir.DoubleType() else 32}"
        signature = ir.FunctionType(self.vector, [self.vector])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.sqrt.{kind}"), [value])

    def sums(self, number, rows, starts):
        """start + sum over i of number[i] row[i], of every row and its start; a number None stands for the row itself."""
        builder, one = self.builder, ir.Constant(self.gap.type, 1)

        def step(state):
            at, *state = state
            places, totals = state[: len(rows)], state[len(rows) :]
            values = [_load(builder, place, self.vector, self.align) for place in places]
            factor = None if number is None else _splat(builder, builder.load(at), self.vector)
            new = [_fma(builder, v if factor is None else factor, v, total) for v, total in zip(values, totals)]
            return [builder.gep(at, [one]), *(builder.gep(place, [self.gap]) for place in places), *new]

        first = self.samples if number is None else number
        return _loop(builder, self.parts, [first, *rows, *starts], step)[1 + len(rows) :]

    def each(self, number, rows, out, make):
        """out[i] = make(number[i], value of every row [i])."""
        builder, one = self.builder, ir.Constant(self.gap.type, 1)

        def step(state):
            at, to, *places = state
            values = [_load(builder, place, self.vector, self.align) for place in places]
            _store(builder, make(_splat(builder, builder.load(at), self.vector), *values), to, self.align)
            return [builder.gep(at, [one]), *(builder.gep(place, [self.gap]) for place in (to, *places))]

        _loop(builder, self.parts, [number, out, *rows], step)

    def add(self, row, value, out):
        """out[i] += T[s, i] value, with the row of the samples s."""
        self.each(row, [out], out, lambda t, total: _fma(self.builder, t, value, total))

    def over_samples(self, state, body):
        """state = body(row of the samples, state) for every sample."""

        def step(now):
            return [self.builder.gep(now[0], [self.parts]), *body(now[0], now[1:])]

        return _loop(self.builder, self.count, [self.samples, *state], step)[1:]


def _signature(x, grad, out, samples, unit):
    n = types.intp
    return types.void(x, n, grad, n, out, n, n, samples, n, unit, n, n, n, *[x.dtype] * 4)


def _make_square(width: int):
    """out = b f + a / (S |f|) T^T (T f)^2 + c |f| e.

    Arguments: the arrays of f, of the gradient to the output (not read) and of out, flat, each with the place of the first
    coefficient; the number of functions C; T and e, flat, likewise; n; S; c, b, a / S and what is added to |f|^2.
    """

    @intrinsic
    def square(typing, x, at, grad, by, out, to, gap, samples, t, unit, e, parts, count, constant, linear, scale, tiny):
        def generate(context, builder, signature, args):
            rows = _Rows(context, builder, signature, args, width)
            f, o = (_pointer(context, builder, signature, args, k) for k in (0, 4))
            norm = rows.sqrt(rows.sums(None, [f], [rows.tiny])[0])
            factor, fixed = builder.fdiv(rows.scale, norm), builder.fmul(rows.constant, norm)
            rows.each(rows.unit, [f], o, lambda e, v: _fma(builder, e, fixed, builder.fmul(rows.linear, v)))

            def sample(row, state):
                (value,) = rows.sums(row, [f], [rows.zero()])
                rows.add(row, builder.fmul(builder.fmul(value, value), factor), o)
                return []

            rows.over_samples([], sample)
            return context.get_dummy_value()

        return _signature(x, grad, out, samples, unit), generate

    return square


def _make_backward(width: int):
    """The gradient to f; arguments as of :func:`_make_square`."""

    @intrinsic
    def backward(typing, x, at, grad, by, out, to, gap, samples, t, unit, e, parts, count, constant, linear, scale, tiny):
        def generate(context, builder, signature, args):
            rows = _Rows(context, builder, signature, args, width)
            f, h, o = (_pointer(context, builder, signature, args, k) for k in (0, 2, 4))
            one = ir.Constant(rows.vector, [1.0] * width)
            inverse = builder.fdiv(one, rows.sqrt(rows.sums(None, [f], [rows.tiny])[0]))
            scale = builder.fmul(rows.scale, inverse)
            twice = builder.fadd(scale, scale)
            rows.each(rows.unit, [h], o, lambda e, v: builder.fmul(rows.linear, v))

            def sample(row, state):
                value, along = rows.sums(row, [f, h], [rows.zero(), rows.zero()])
                product = builder.fmul(value, along)
                rows.add(row, builder.fmul(twice, product), o)
                return [_fma(builder, value, product, state[0])]

            (cubes,) = rows.over_samples([rows.zero()], sample)
            fixed = builder.fmul(rows.constant, rows.sums(rows.unit, [h], [rows.zero()])[0])
            bent = builder.fmul(builder.fmul(scale, inverse), cubes)
            radial = builder.fmul(builder.fsub(fixed, bent), inverse)
            rows.each(rows.unit, [f, o], o, lambda e, v, total: _fma(builder, radial, v, total))
            return context.get_dummy_value()

        return _signature(x, grad, out, samples, unit), generate

    return backward


def _make_slice(name, wide, one):
    """A function of a slice of nodes, from those of some functions and of one, compiled under a name."""

    def nodes(arguments, item):
        x, grad, samples, unit, polynomial, out, parts, channels, bounds = arguments
        size, count = parts * channels, samples.size // parts
        for p in range(bounds[item], bounds[item + 1]):
            k, end = p * size, p * size + channels
            while k + NARROW <= end:
                wide(x, k, grad, k, out, k, channels, samples, 0, unit, 0, parts, count, *polynomial)
                k += NARROW
            while k < end:
                one(x, k, grad, k, out, k, channels, samples, 0, unit, 0, parts, count, *polynomial)
                k += 1

    nodes.__qualname__ = name
    return njit(**OPTIONS)(nodes)


_square_slice = _make_slice("square_slice", _make_square(NARROW), _make_square(1))
_backward_slice = _make_slice("square_backward_slice", _make_backward(NARROW), _make_backward(1))
_square_team, _backward_team = make_team(_square_slice), make_team(_backward_slice)


@njit(**ENTRY)
def square(fork, threads, first, last, arguments):
    """out = b x + a / (S |x|) T^T (T x)^2 + c |x| e of every node and channel.

    ``arguments`` are, flat: x (N, n, C), the gradient to the output (not read), T (S, n), e (n,); then the numbers c, b, a / S
    and what is added to |x|^2; out (N, n, C), written; n; C; bounds of the slices.
    """
    return _square_team(fork, threads, first, last, arguments)


@njit(**ENTRY)
def square_backward(fork, threads, first, last, arguments):
    """The gradient to x; ``arguments`` as of :func:`square`."""
    return _backward_team(fork, threads, first, last, arguments)
