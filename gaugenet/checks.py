"""Checks of arguments: who expected what, and what came. Free of torch, so that geometry has them too.

Every check takes the ``owner`` of the argument (a name, or the object whose constructor it is), its name and its value. A value
of another kind is a TypeError, one out of bounds a ValueError. Field types are checked by
:func:`gaugenet.fields.check_field_types`, tensors and graphs by :mod:`gaugenet.nn.tensor_checks`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import Any, NoReturn, TypeVar

import numpy as np

T = TypeVar("T")


def check_int(owner: object, name: str, value: object, least: int | None = 1, most: int | None = None) -> int:
    """An integer from ``least`` to ``most`` (None: no bound), as an int; True and False are none."""
    wanted = f"an integer{_bounds(least, most)}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        _refuse(TypeError, owner, name, wanted, value)
    number = int(value)
    if (least is not None and number < least) or (most is not None and number > most):
        _refuse(ValueError, owner, name, wanted, value)
    return number


def check_counts(owner: object, **values: object) -> None:
    """Positive integers, by their names: ``check_counts(self, num_classes=num_classes, in_channels=in_channels)``."""
    for name, value in values.items():
        check_int(owner, name, value)


def check_ints(
    owner: object, name: str, value: object, least: int | None = 1, most: int | None = None, length: int | None = None
) -> tuple[int, ...]:
    """A sequence of integers, ``length`` of them or at least one, as a tuple; each as in :func:`check_int`."""
    count = "one or more" if length is None else str(length)
    wanted = f"a sequence of {count} integers{_bounds(least, most)}"
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        _refuse(TypeError, owner, name, wanted, value)
    values = tuple(value)
    if any(isinstance(v, bool) or not isinstance(v, Integral) for v in values):
        _refuse(TypeError, owner, name, wanted, value)
    low, high = -math.inf if least is None else least, math.inf if most is None else most
    if (len(values) != length if length is not None else not values) or not all(low <= v <= high for v in values):
        _refuse(ValueError, owner, name, wanted, value)
    return tuple(int(v) for v in values)


def check_number(owner: object, name: str, value: object, least: float = 0.0, *, positive: bool = False) -> float:
    """A finite real number of at least ``least``, or above 0 with ``positive``, as a float."""
    wanted = "a positive number" if positive else f"a number of at least {least:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        _refuse(TypeError, owner, name, wanted, value)
    number = float(value)
    if not math.isfinite(number) or (number <= 0 if positive else number < least):
        _refuse(ValueError, owner, name, wanted, value)
    return number


def check_probability(owner: object, name: str, value: object) -> float:
    """A probability below 1, as of dropout."""
    wanted = "a probability, 0 <= p < 1"
    if isinstance(value, bool) or not isinstance(value, Real):
        _refuse(TypeError, owner, name, wanted, value)
    number = float(value)
    if not 0 <= number < 1:
        _refuse(ValueError, owner, name, wanted, value)
    return number


def check_choice(owner: object, name: str, value: T, known: Collection[object]) -> T:
    """One of several values; a ValueError otherwise, whatever its type."""
    if not isinstance(value, str | None) or value not in known:
        _refuse(ValueError, owner, name, f"one of {', '.join(map(repr, known))}", value)
    return value


def check_instance(owner: object, name: str, value: object, kind: type[T] | tuple[type[T], ...], wanted: str) -> T:
    """An object of a type, ``wanted`` in words (with an example)."""
    if not isinstance(value, kind):
        _refuse(TypeError, owner, name, wanted, value)
    return value


def owner_name(owner: object) -> str:
    """The name in messages: the owner itself, or that of its class."""
    return owner if isinstance(owner, str) else type(owner).__name__


def _bounds(least: int | None, most: int | None) -> str:
    if most is not None:
        return f" from {least} to {most}" if least is not None else f" of at most {most}"
    return "" if least is None else f" of at least {least}"


def _refuse(error: type[Exception], owner: object, name: str, wanted: str, value: object) -> NoReturn:
    raise error(f"{owner_name(owner)} expected {name} to be {wanted}, got {value!r}")


def as_array(values: Any) -> np.ndarray:
    """An array of anything: torch tensors come from their device and graph."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
