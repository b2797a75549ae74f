"""docs/history.md: the lines that build each system run, and the checks that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
PRELUDE, *SYSTEMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
NAMES = re.findall(r"^\*\*(\d+)\. (.*)\*\*$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("name", "lines"), zip(NAMES, SYSTEMS), ids=[number for number, _ in NAMES])
def test_lines_run(name, lines):
    torch.manual_seed(0)
    assert len(lines.splitlines()) <= 3
    names: dict = {}
    exec(compile(PRELUDE + lines, f"history.md, {name}", "exec"), names)
    for key in ("logits", "out"):
        if key in names:
            assert names[key].isfinite().all()


def test_all_systems_are_there():
    assert (
        [int(number) for number, _ in NAMES] == list(range(1, 28)) == [int(n) for n in re.findall(r"^\| (\d+) \|", TEXT, re.M)]
    )
    assert len(SYSTEMS) == len(NAMES)


def test_checks_exist():
    for path in re.findall(r"`(tests/[^`]+)`", TEXT):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([\w./]+)\)", TEXT):
        assert (ROOT / "docs" / path).exists(), path
