"""Compilation by numba, with the machine code kept on disk where that is possible."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

# Whose vector code compiled functions of every room take in.
_SHARED = Path(__file__).parent / "ops" / "cpu"


class _Cache(FunctionCache):
    """numba's cache of one function, whose key also has what else its code is made of.

    numba looks at the file of the function alone: it would run old code after a change in a file beside it, or under other
    register tiles (:mod:`gaugenet.ops.cpu.tiles`).
    """

    def _index_key(self, sig: Any, codegen: Any) -> tuple:
        folders = {Path(self._py_func.__code__.co_filename).parent, _SHARED}
        files = sorted(path for folder in folders for path in folder.glob("*.py"))
        stamp = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files)
        return (*super()._index_key(sig, codegen), stamp, os.environ.get("GAUGENET_TILES", ""))


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable], Any]:
    """``numba.njit``; where no folder can be written to (a read-only installation without a home), without a cache.

    numba refuses to *define* a cached function there ("no locator available"), so that the package could not be imported.

    Raises:
        ValueError: a function defined in another one that does not set its ``__qualname__``. Machine code is linked by this
            name and a number that depends on what a process has imported before: of two functions that one maker makes, code
            from the cache of one process would take the one for the other of the next.
    """

    def decorate(function: Callable) -> Any:
        if "<locals>" in function.__qualname__:
            raise ValueError(f"njit expected a function with a name of its own, got {function.__qualname__}: set __qualname__")
        compiled = numba.njit(**options)(function)
        if cache:
            try:
                compiled._cache = _Cache(function)
            except RuntimeError as error:
                if "no locator available" not in str(error):
                    raise
                _say_once()
        return compiled

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
