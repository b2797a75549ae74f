"""Compilation by numba, with the machine code kept on disk where that is possible."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable], Any]:
    """``numba.njit``; where no folder can be written to (a read-only installation without a home), without a cache.

    numba refuses to *define* a cached function there ("no locator available"), so that the package could not be imported.
    """

    def decorate(function: Callable) -> Any:
        try:
            return numba.njit(**options)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
        _say_once()
        return numba.njit(**{**options, "cache": False})(function)

    return decorate


_said: list[bool] = []


def _say_once() -> None:
    if not _said:
        _said.append(True)
        warnings.warn(
            "numba can keep compiled code neither beside gaugenet nor in the user's cache folder, so every process compiles "
            "anew, for about a minute: set NUMBA_CACHE_DIR to a folder that can be written",
            RuntimeWarning,
            stacklevel=3,
        )
