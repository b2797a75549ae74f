"""Compiled code: entries that Python calls, and parts that are made machine code within these alone."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np

from gaugenet.compiled import njit


@njit(nogil=True)
def part(x, pair):
    if x.size > 5:
        raise ValueError("too many")
    return x[0] + pair[1].sum()


@njit(cache=True, nogil=True)
def entry(x, pair):
    return 2 * part(x, pair)


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
