"""Nonlinearities by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ...fields import FieldType
from .function_spaces import serves_functions
from .nonlinearities import GatedNonlinearity, NormNonlinearity
from .regular import PolynomialNonlinearity, RegularNonlinearity
from .tensor_product import TensorNonlinearity

NONLINEARITIES = ("auto", "polynomial", "regular", "gated", "norm", "tensor")


def make_nonlinearity(
    type: FieldType, kind: str | Callable[[FieldType], nn.Module], activation: str | Callable[[Tensor], Tensor] = "relu"
) -> nn.Module:
    """A nonlinearity with the given output type: one of NONLINEARITIES by name, or what a function makes.

    "auto" is "polynomial" for functions on the circle, and "gated" for types with other fields, which it does not serve: the
    sign representation "0-", and groups of space.

    ``functools.partial(RegularNonlinearity, samples=16)`` is such a function.
    """
    if callable(kind):
        return kind(type)
    if kind == "auto":
        kind = "polynomial" if serves_functions(type) else "gated"
    if kind == "polynomial":
        return PolynomialNonlinearity(type, activation)
    if kind == "regular":
        return RegularNonlinearity(type, activation)
    if kind == "gated":
        return GatedNonlinearity(type, activation)
    if kind == "norm":
        return NormNonlinearity(type, activation)
    if kind == "tensor":
        return TensorNonlinearity(type)
    raise ValueError(f"unknown nonlinearity {kind!r}: expected one of {', '.join(NONLINEARITIES)}")
