"""docs/lie_groups.md: its examples run, its table is that of the groups, the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from gaugenet.geometry import LieGroup

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "lie_groups.md").read_text(encoding="utf-8")


def test_examples_run():
    scope: dict = {}
    torch.manual_seed(0)
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "lie_groups.md", "exec"), scope)
    logits, turned = scope["logits"], scope["turned"]
    assert logits.shape == (2, 10) and (logits - turned).abs().max() < 1e-4 * logits.abs().max()
    assert scope["out"].shape == (80, 4) and scope["planar"](torch.randn(1, 1, 9, 9)).shape == (1, 10)


def test_groups():
    rows = re.findall(r'^\| ((?:`"[^|]+)) \| ([^|]+) \|', TEXT, re.MULTILINE)
    assert len(rows) == 7
    for names, size in rows:
        for name in re.findall(r'`"(\w+\+?)"`', names):
            if name != "Td":
                group = LieGroup.of(name)
                assert size in ("(d + 1) x (d + 1)", f"{group.size} x {group.size}")


def test_named_tests_exist():
    for name in set(re.findall(r"`(tests/[\w/.]+)`", TEXT)):
        assert (ROOT / name).exists(), name
