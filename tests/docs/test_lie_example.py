"""examples/rotated_mnist_lie.py: equal parameters, quarter turns, a run of two steps from end to end."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("rotated_mnist_lie_example", ROOT / "examples" / "rotated_mnist_lie.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_networks_have_about_as_many_parameters(example):
    for name in example.MODELS:
        count = sum(p.numel() for p in example.rotated_digits.build(name, 30_000).parameters())
        assert 25_000 < count < 35_000, name


def test_networks(example):
    """What their kernels see, and on how many elements."""
    images = torch.rand(2, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    seen = {"LieConv, trivial": (2 + 4, 80), "LieConv, T(2)": (2, 80), "LieConv, SE(2)": (3, 4 * 80)}
    for name, (inputs, elements) in seen.items():
        net = example.rotated_digits.build(name, 5_000).eval()
        assert net(images).shape == (2, 10)
        point, graph = net.lifted(10, images.device)
        assert len(point) == graph.num_nodes == elements and graph.num_levels == 3
        assert net.net.stages[0][0].conv.radial.layers[0].in_features == inputs
    splines = example.rotated_digits.build("B-spline SE(2), localised", 5_000).double().eval()
    out = [splines(x.double()) for x in (images, torch.rot90(images, 1, (2, 3)))]
    assert (out[0] - out[1]).abs().max() < 1e-10


def test_from_end_to_end(example, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits of the example are those of scikit-learn: pip install 'gaugenet[dev]'")
    out = tmp_path / "results.json"
    arguments = ["--models", "LieConv, SE(2)", "B-spline SE(2)", "--sizes", "10", "--seeds", "1", "--steps", "2"]
    monkeypatch.setattr(
        sys, "argv", ["x", *arguments, "--batch-size", "2", "--test", "4", "--parameters", "2000", "--out", str(out)]
    )
    example.rotated_digits.main(list(example.MODELS), example.__doc__)
    runs = json.loads(out.read_text())["runs"]
    assert [r["model"] for r in runs] == ["LieConv, SE(2)", "B-spline SE(2)"]
    assert out.with_suffix(".md").read_text().count("| LieConv, SE(2) |") == 1
    assert set(example.MODELS) < set(example.rotated_digits.MODELS)
