"""Public names and signatures change on purpose only."""

from __future__ import annotations

import difflib
import importlib

import pytest

from tests.fixtures.public_names import FOLDER, listing, signature_of

#: went on purpose, with the second loop of the lattices: parts of an operator that no user calls
GONE = {f"gaugenet.ops.{name}" for name in ("TapLayout", "TapPlan", "TapTable", "make_tap_plan", "tap_convolve")}
OLD = sorted({*(FOLDER / "public_names_0.1.0.txt").read_text(encoding="utf-8").split()} - GONE)


def test_names_and_signatures_are_the_committed_ones():
    committed = (FOLDER / "public_names.txt").read_text(encoding="utf-8")
    changes = [line for line in difflib.ndiff(committed.splitlines(), listing().splitlines()) if line[0] in "+-"]
    assert not changes, "\n".join(["if this is meant: python -m tests.fixtures.public_names", *changes])


@pytest.mark.parametrize("path", OLD)
def test_what_version_0_1_0_exported_is_there(path):
    package, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(package), name) is not None


def test_signatures_are_seen():
    def f(a, *rest, b: int = 3, **more): ...

    def g(a: str, *, b=len): ...

    assert signature_of(f) == "(a, *rest, b: int = 3, **more)"
    assert signature_of(g) == "(a: str, *, b = <built-in function len>)"
