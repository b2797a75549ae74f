"""Names by which machine code is linked: different functions must not share one."""

from __future__ import annotations

import importlib
from collections import defaultdict

import pytest
from numba.core.dispatcher import Dispatcher

from gaugenet.compiled import njit

MODULES = ("aggregate", "kernels", "products", "table_gradient", "graph_columns")


def test_functions_have_names_of_their_own():
    """Code that one process kept is linked by name and number, and numbers depend on what was imported before.

    With one name for the functions that set rows and that add to them, a kept gradient to the table set where it should add.
    """
    found = defaultdict(set)
    for name in MODULES:
        for value in vars(importlib.import_module(f"gaugenet.ops.cpu.{name}")).values():
            if isinstance(value, Dispatcher):
                found[value.py_func.__module__, value.py_func.__qualname__].add(id(value))
    assert found and all(len(functions) == 1 for functions in found.values()), found


def test_a_maker_has_to_name_what_it_makes():
    def made(x):
        return x

    with pytest.raises(ValueError, match="name of its own"):
        njit()(made)
