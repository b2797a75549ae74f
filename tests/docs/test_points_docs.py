"""docs/points.md and the examples of points: the code runs, and what it says of rotations holds."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def example(name: str):
    spec = importlib.util.spec_from_file_location(f"{name}_example", ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_code_of_the_page():
    torch.manual_seed(0)
    text = (ROOT / "docs" / "points.md").read_text(encoding="utf-8")
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)
    assert names["out"].shape == (40, 3) and names["logits"].shape == (2, 10)


def test_tetris_is_learnt_in_one_orientation():
    tetris = example("tetris")
    assert tetris.main() == {"SO(3), orders 0 to 1": 1.0, "SO(3), order 0": 0.875, "O(3), orders 0 to 1": 0.875}


def test_mechanics_turns_with_the_points(monkeypatch):
    points = example("points")
    monkeypatch.setattr(points, "STEPS", 60)
    monkeypatch.setattr(points, "CLOUDS", 30)
    found = points.main()
    for task in points.TASKS:
        steerable, plain = (found[name]["turned"][task] for name in ("steerable", "plain"))
        assert steerable < 0.8 * plain
        assert steerable < 2 * found["steerable"]["flat"][task]  # in planes it has not seen
    assert torch.get_num_threads() == 1


def test_the_targets_are_newtons():
    """Two masses: the force along the line between them, the centre half way, inertia of a dumb-bell about one end."""
    points = example("points")
    y = points.mechanics(np.array([[0.0, 0, 0], [2.0, 0, 0]]), np.array([0.5, 0.5]))
    assert y[0, :3] == pytest.approx([0.5 * 2 / (4 + points.SOFT**2) ** 1.5, 0, 0])
    assert y[0, 3:6] == pytest.approx([1.0, 0, 0])
    assert y[0, 6:].reshape(3, 3) == pytest.approx(np.diag([0.0, 2.0, 2.0]))
