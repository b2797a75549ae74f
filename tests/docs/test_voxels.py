"""docs/voxels.md runs, and the tests that it names exist; examples/adrenal.py turns, scores and runs from end to end."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import volumes
from gaugenet import FieldType, groups
from gaugenet.testing import transform_image

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "voxels.md").read_text(encoding="utf-8")
O = groups.Octahedral()


def test_the_layers_of_the_benchmark_have_as_many_channels():
    made, channels = volumes.steps(groups.Klein(), 2, 1, 4)
    assert list(made) == ["ours", "conv3d"] and channels == 8
    for step in made.values():
        step()


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("adrenal_example", ROOT / "examples" / "adrenal.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_runs():
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "voxels.md", "exec"), scope)
    assert scope["logits"].shape == (2, 10)


def test_the_tests_exist():
    for name in set(re.findall(r"`(?:tests/[\w/]*)?(test_\w+\.py)`", TEXT)):
        assert list((ROOT / "tests").rglob(name)), name


def test_volumes_turn_as_fields_do(example):
    x = torch.rand(1, 1, 6, 6, 6)
    for g in O.elements:
        expected = transform_image(x, FieldType(O, "1xA1"), g)
        torch.testing.assert_close(example.turned(x, g[None].float()), expected, rtol=0, atol=1e-5)
    vertical, any_axis = (example.random_rotations(50, about, 0) for about in ("vertical", "all"))
    assert torch.equal(vertical[:, 2], torch.tensor([0.0, 0, 1]).expand(50, -1)) and any_axis[:, 2, 2].min() < 0


def test_area_under_the_curve(example):
    score, label = np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1])
    assert example.area_under_curve(score, label) == pytest.approx(3.5 / 4)


def test_networks_have_about_as_many_parameters(example):
    for name in example.MODELS:
        assert 12_000 < sum(p.numel() for p in example.build(name, 15_000).parameters()) < 18_500, name


def write_modelnet(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test_even", 6)):
        bits = np.packbits(rng.random((count, 32**3)) < 0.05, axis=1)
        np.savez(folder / f"{part}.npz", bits=bits, y=(np.arange(count) % 3).astype(np.uint8))
    test = dict(np.load(folder / "test_even.npz"))
    test["bits"][0], test["bits"][1] = 0, np.load(folder / "train.npz")["bits"][3]  # two defects
    np.savez(folder / "test_even.npz", **test)


def test_runs_from_end_to_end(example, tmp_path, monkeypatch):
    write_modelnet(tmp_path)
    assert example.load(tmp_path)["fine"].tolist() == [2, 3, 4, 5]
    out = tmp_path / "results.json"
    arguments = ["--steps", "12", "--batch-size", "4", "--parameters", "1500", "--seeds", "1", "--turn", "vertical"]
    command = ["adrenal.py", "--data", str(tmp_path), *arguments, "--models", "CNN", "S4", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    example.main()
    runs = json.loads(out.read_text())["runs"]
    assert [r["model"] for r in runs] == ["CNN", "S4"] and runs[1]["change under the cube"] < 1e-2 < runs[0][
        "change under the cube"
    ]
    assert "accuracy without defects" in out.with_suffix(".md").read_text()
    example.main()  # nothing is repeated
    assert json.loads(out.read_text())["runs"] == runs


def test_glands_are_scored_by_their_order(example, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {f"{p}_images": (rng.random((8, 28, 28, 28)) < 0.1).astype(np.uint8) * 255 for p in ("train", "val")}
    np.savez(
        tmp_path / "adrenal28_train_val.npz",
        **arrays,
        **{f"{p}_labels": np.eye(2, dtype=np.uint8)[:1].repeat(4, 1).T for p in ("train", "val")},
    )
    arguments = ["--data", str(tmp_path), "--steps", "12", "--batch-size", "4", "--seeds", "1", "--parameters", "1500"]
    monkeypatch.setattr(sys, "argv", ["adrenal.py", *arguments, "--models", "order 0", "--out", str(tmp_path / "a.json")])
    example.main()
    (run,) = json.loads((tmp_path / "a.json").read_text())["runs"]
    assert 0 <= run["AUC"] <= 1 and run["change under the cube"] < 1e-2
