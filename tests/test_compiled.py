"""Compiled code: entries that Python calls, and parts that are made machine code within these alone."""

from __future__ import annotations

import ast
import gc
import inspect
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

from gaugenet.compiled import njit
from gaugenet.geometry.geodesics import heap, local, windows
from gaugenet.kernels.quadrature import eigenvalues, nodes
from gaugenet.ops.cpu import aggregate, attention, messages, table_gradient


@njit(nogil=True)
def part(x, pair):
    if x.size > 5:
        raise ValueError("too many")
    return x[0] + pair[1].sum()


@njit(cache=True, nogil=True)
def entry(x, pair):
    return 2 * part(x, pair)


entry._cache = NullCache()  # from a cache it would come without the code of the part, which is looked at


def plus_one(x):
    return x + 1


def test_only_entries_become_machine_code():
    """A part is optimised within its entries and has no code of its own, of which a first call would pay for every one."""
    x = np.arange(3.0)
    assert entry(x, (1, x)) == 6.0
    for function, alone in ((part, False), (entry, True)):
        (found,) = function.overloads.values()
        engine = found.library._codegen._engine
        assert engine.is_symbol_defined(found.fndesc.llvm_cpython_wrapper_name) == alone


def test_errors_of_a_part_arrive():
    x = np.arange(9.0)
    try:
        entry(x, (1, x))
    except ValueError as error:
        assert str(error) == "too many"
    else:
        raise AssertionError("no error")


def test_compiling_leaves_the_collector_as_it_was():
    before = gc.isenabled()
    try:
        for state in (True, False):
            (gc.enable if state else gc.disable)()
            seen: list[bool] = []
            njit(cache=True)(plus_one)(np.float32(1.0))
            seen.append(gc.isenabled())
            assert seen == [state]
    finally:
        (gc.enable if before else gc.disable)()


def test_a_part_is_refused_by_python():
    """With an error instead of a jump to nowhere."""
    code = "from gaugenet.compiled import njit; f = njit(nogil=True)(lambda x: x + 1); f(1)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert run.returncode == 1 and "SystemError" in run.stderr


#: modules with parts that say that they make no arrays
UNCOUNTED = (aggregate, attention, messages, table_gradient, nodes, eigenvalues, windows, heap, local)

#: what gives numbers, or another view of an array
NUMBERS = ["atan2", "ceil", "cos", "exp", "finfo", "floor", "hypot", "isnan", "reshape", "sin", "sqrt", "sum", "type", "uintp"]


def uncounted(module) -> dict:
    found = {name: value for name, value in vars(module).items() if isinstance(value, Dispatcher)}
    return {name: value for name, value in found.items() if value.py_func.__module__ == module.__name__ and not counts(value)}


def counts(function: Dispatcher) -> bool:
    return function.targetoptions.get("_nrt", True)


@pytest.mark.parametrize("module", UNCOUNTED, ids=lambda module: module.__name__.rpartition(".")[2])
def test_parts_without_counted_references_make_no_arrays(module):
    """An array made there, or that a part which makes some gives back, would never be freed."""
    functions = uncounted(module)
    assert functions
    for name, function in functions.items():
        source = textwrap.dedent(inspect.getsource(function.py_func))
        for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute):
                scalar = {
                    "atan2",
                    "ceil",
                    "cos",
                    "exp",
                    "finfo",
                    "floor",
                    "hypot",
                    "isnan",
                    "sin",
                    "sqrt",
                    "sum",
                    "type",
                    "uintp",
                }
                assert call.func.attr in scalar | {"reshape"}, f"{name}: {ast.unparse(call)}"
            elif isinstance(called := vars(module).get(call.func.id), Dispatcher):
                assert not counts(called), f"{name} calls {call.func.id}, which may make arrays"


def test_uncounted_parts_take_and_change_arrays_of_their_caller():
    x, y = np.arange(6.0), np.zeros(6)
    before = sys.getrefcount(x), sys.getrefcount(y)
    assert around(x, (y, 2)) == 15.0
    assert np.array_equal(y, 2 * x)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before


@njit(nogil=True, allocates=False)
def scaled(x, pair):
    out, factor = pair
    for i in range(x.size):
        out[i] = factor * x[i]
    return x[1:].sum()


@njit(cache=True, nogil=True)
def around(x, pair):
    return scaled(x, pair)
