"""Compilation by numba, with the machine code kept on disk where that is possible."""

from __future__ import annotations

import ctypes
import gc
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

# Versions of numba whose inner classes these are made for; with others every function is compiled as numba does it.
_KNOWN = ((0, 68),)
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


class _Silent:
    """numba's code generator, for functions whose own machine code is never made: nothing to write their environment into."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        pass


class _PartLibrary(JITCodeLibrary):
    """The code of a function that only compiled functions call: optimised and made machine code within theirs, not alone.

    numba does both for every function, and again for all that calls it, which takes most of the time of a first call.
    """

    @property
    def codegen(self) -> Any:
        return _Silent(self._codegen)

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return _REFUSAL


class _Part(Compiler):
    """numba's compiler of such a function."""

    def __init__(
        self, typingctx: Any, targetctx: Any, library: Any, args: Any, return_type: Any, flags: Any, locals: Any
    ) -> None:
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        library = _PartLibrary(targetctx.codegen(), "part")
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)


class _Entry(Compiler):
    """numba's compiler without Python's collector of cycles, which would look through all of torch again and again."""

    def compile_extra(self, function: Any) -> Any:
        collects = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(function)
        finally:
            if collects:
                gc.enable()


@ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
def _refuse(function: Any, args: Any, kwargs: Any) -> None:
    """What Python finds in the place of a part's own machine code: no result and no exception, which is a SystemError."""


_REFUSAL = ctypes.cast(_refuse, ctypes.c_void_p).value or 0


def njit(*, cache: bool = False, allocates: bool = True, **options: Any) -> Callable[[Callable], Any]:
    """``numba.njit`` of an entry (``cache=True``), which Python calls, or of a part, which only compiled functions call.

    Where no folder can be written to (a read-only installation without a home), entries are without a cache:
    numba refuses to *define* a cached function there ("no locator available"), so that the package could not be imported.

    Args:
        cache: an entry. allocates: whether arrays are made in it, or come from what it calls. In one that only reads and writes
            those of its caller numba need not count references to them. It does so with atomic additions at every call, which
            took 40 % of the sums of a node with six neighbours.

    Raises:
        ValueError: a function defined in another one that does not set its ``__qualname__``. Machine code is linked by this
            name and a number that depends on what a process has imported before: of two functions that one maker makes, code
            from the cache of one process would take the one for the other of the next.
    """

    def decorate(function: Callable) -> Any:
        if "<locals>" in function.__qualname__:
            raise ValueError(f"njit expected a function with a name of its own, got {function.__qualname__}: set __qualname__")
        if numba.version_info.short in _KNOWN:
            options["pipeline_class"] = _Entry if cache else _Part
            options["_nrt"] = allocates
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
