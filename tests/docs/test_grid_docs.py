"""The examples of docs/grids.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from gaugenet.kernels import Rings


def test_examples_run(capsys):
    text = (Path(__file__).resolve().parents[2] / "docs" / "grids.md").read_text(encoding="utf-8")
    scope: dict = {}
    torch.manual_seed(0)
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "grids.md", "exec"), scope)
    assert float(capsys.readouterr().out) < 1e-12 and scope["error"] < 1e-12 and scope["exact"] < 1e-12
    assert torch.allclose(scope["program"].module()(scope["image"]), scope["net"].eval()(scope["image"]), atol=1e-5)
    for size, radii, cutoffs in re.findall(r"^\| (\d) \| ([\d., ]+) \| ([\d, ]+) \|$", text, re.MULTILINE):
        rings = Rings.of(int(size))
        assert rings.radii == tuple(map(float, radii.split(","))) and rings.max_frequency == tuple(map(int, cutoffs.split(",")))
