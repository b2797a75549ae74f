"""Functions on a circle, given by Fourier coefficients, through a polynomial of degree 2 of their values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..backend import transformed
from ..cpu import driver as cpu

# Keeps the square root of a power differentiable at zero; it is invariant, so that the layer stays exact.
TINY = 1e-12


def squared_functions(x: Tensor, samples: Tensor, polynomial: Tensor, unit: Tensor) -> Tensor:
    r"""The polynomial p(t) = c + b t + a t^2 of functions f of norm one, with orthogonal samples T (S, n), T^T T = S.

    .. math:: y = b f + \frac{a}{S |f|} T^T (T f)^2 + c |f| e

    Args:
        x: (N, n, C) coefficients. samples: T. polynomial: (c, b, a). unit: e (n, 1), what a constant function becomes.

    Returns:
        (N, n, C).
    """
    if transformed():
        return nodes_of(_square(rows_of(x), samples, polynomial, unit), x)
    return _Square.apply(x, samples, polynomial, unit)


def rows_of(x: Tensor) -> Tensor:
    """(N, n, C) -> (n, N C)."""
    return x.transpose(0, 1).reshape(x.shape[1], -1)


def nodes_of(rows: Tensor, x: Tensor) -> Tensor:
    """The way back, (n, N C) -> (N, n, C), with the shape of x."""
    return rows.view(x.shape[1], x.shape[0], x.shape[2]).transpose(0, 1)


class _Square(torch.autograd.Function):
    """:func:`squared_functions`, and its derivative in closed form."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, samples: Tensor, polynomial: Tensor, unit: Tensor) -> Tensor:
        ctx.save_for_backward(x, samples, polynomial, unit)
        if _is_fast(x):
            return cpu.square(x, None, samples, polynomial, unit, TINY)
        return nodes_of(_square(rows_of(x), samples, polynomial, unit), x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, samples, polynomial, unit = ctx.saved_tensors
        nothing = (None,) * 3
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph=True
            with torch.enable_grad():
                y = nodes_of(_square(rows_of(x), samples, polynomial, unit), x)
                return torch.autograd.grad(y, x, grad, create_graph=True)[0], *nothing
        if _is_fast(x):
            return cpu.square(x, grad, samples, polynomial, unit, TINY), *nothing
        constant, linear, square = polynomial
        square = square / samples.shape[0]
        f, h = rows_of(x), rows_of(grad)
        inverse = (f.square().sum(0) + TINY).rsqrt()
        values = samples @ f
        product = values * (samples @ h)
        radial = constant * (unit * h).sum(0) - square * (values * product).sum(0) * inverse.square()
        total = linear * h + ((2 * square * samples.t()) @ product + f * radial) * inverse
        return nodes_of(total, x), *nothing


def _is_fast(x: Tensor) -> bool:
    """Where the compiled loop serves; the compiler fuses what is written plainly."""
    return cpu.supported(x) and not torch.compiler.is_compiling()


def _square(f: Tensor, samples: Tensor, polynomial: Tensor, unit: Tensor) -> Tensor:
    constant, linear, square = polynomial
    norm = (f.square().sum(0) + TINY).sqrt()
    out = torch.addcmul(linear * f, (square / samples.shape[0] * samples.t()) @ (samples @ f).square(), 1.0 / norm)
    return out + (constant * norm) * unit
