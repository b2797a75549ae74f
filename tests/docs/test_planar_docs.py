"""docs/planar.md: its example runs, its configurations make networks, the tests that it names exist."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import torch

from gaugenet import groups
from gaugenet.models import PlanarCNN, ScaleConv

ROOT = Path(__file__).resolve().parents[2]
SCOPE = {"ScaleConv": ScaleConv, "groups": groups, "partial": partial}
TEXT = (ROOT / "docs" / "planar.md").read_text(encoding="utf-8")


def test_example_runs():
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "planar.md", "exec"), scope)
    assert scope["logits"].shape == (2, 10)


def test_configurations():
    """Every network of the table, with the options that it leaves open."""
    found = re.findall(r"`(PlanarCNN\(.*?\))`", TEXT.replace("ScaleConv, ...", "ScaleConv, kernel_size=5, effective_size=2"))
    assert len(found) >= 6
    for expression in found:
        net = eval(expression, {"PlanarCNN": partial(PlanarCNN, widths=(1, 1)), **SCOPE})
        assert net(torch.randn(1, 1, 13, 13)).shape == (1, 10)


def test_named_tests_exist():
    rooms = [ROOT, *(ROOT / "tests" / room for room in ("models/planar", "nn/grid", "docs"))]
    for name in set(re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)`", TEXT)):
        assert any((room / name).is_file() for room in rooms), name
