"""Old forms of calls, which still work for one release and say what to write instead."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def formerly_positional(*names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorator: what has become keyword-only may still be given by position, with a DeprecationWarning.

    Args:
        names: the arguments that could follow the positional ones of the new signature, in their old order.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        parameters = inspect.signature(function).parameters.values()
        positional = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)

        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            late = args[positional:]
            if not late or len(late) > len(names):
                return function(*args, **kwargs)
            named = dict(zip(names, late))
            twice = sorted(named.keys() & kwargs.keys())
            if twice:
                raise TypeError(f"{function.__name__}() got {', '.join(twice)} by position and by name")
            written = ", ".join(f"{name}={value!r:.40}" for name, value in named.items())
            warnings.warn(
                f"{function.__name__}(): write {written}; by position this works until the next release",
                DeprecationWarning,
                stacklevel=2,
            )
            return function(*args[:positional], **named, **kwargs)  # type: ignore[arg-type]

        return call

    return decorate
