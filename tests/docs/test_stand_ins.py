"""The examples run for everyone: without data of their own they make small ones, say so, and keep their results apart."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.extras import library

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    """Runs an example in an empty folder; what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        importlib.import_module(f"examples.{name}").main()
        return capsys.readouterr().out

    return run


def test_spherical_digits(call):
    pytest.importorskip("sklearn", reason="scikit-learn comes with the extra: pip install 'gaugenet[dev]'")
    told = call("spherical_digits", "--models", "nearest spectrum", "--train", "R")
    assert told.startswith("no --data: scikit-learn's digits") and "1297 training and 500 test images" in told
    (run,) = json.loads(Path("runs/spherical_digits_sklearn/results.json").read_text())["runs"]
    assert run["accuracy_R"] > 30  # ten classes


def test_wind(call):
    """The winds are in balance: known from the geopotential, and not to be guessed."""
    pytest.importorskip("xarray", reason="xarray comes with the extra: pip install 'gaugenet[weather]'")
    models = "tangent vector", "no wind"
    told = call("wind", "--models", *models, "--splits", "level=500", "--level", "3", "--steps", "20", "--shifts", "2")
    assert told.startswith("no --data: random winds")
    learnt, nothing = json.loads(Path("runs/wind_made/results.json").read_text())["runs"]
    assert learnt["rmse"] < 0.8 * nothing["rmse"]


def test_bodies(call):
    from examples import adrenal, stand_ins

    call("adrenal", "--models", "pointwise", "--steps", "2", "--seeds", "1", "--limit", "20", "--out", "a.json")
    assert json.loads(Path("a.json").read_text())["data"] == "bodies of balls"
    images, labels = adrenal.load_adrenal(stand_ins.FOLDER)["train"]
    assert images.shape == (300, 28, 28, 28) and 100 < labels.sum() < 200 and images.any((1, 2, 3)).all()


@pytest.mark.parametrize("name", ["rna", "parts", "correspondence"])
def test_bodies_with_arms(call, name, monkeypatch, tmp_path):
    """Labels, parts and correspondence on bodies whose arms differ in their side alone."""
    for needed in ("fast_simplification", "gpytoolbox", "potpourri3d"):
        library(needed)
    monkeypatch.setenv("GAUGENET_CACHE", str(tmp_path / "cache"))
    small = "--seeds", "1", "--epochs", "1", "--limit", "2", "--levels", "1", "--jobs", "0", "--channels", "4"
    told = call(name, "--models", "pointwise", *small)
    assert told.startswith("no --data: ")
    run = json.loads(Path(f"runs/{name}.json").read_text())["runs"][-1]
    assert run["model"] == "pointwise"


def test_arms_are_right_and_left():
    from examples import stand_ins

    vertices, faces, labels = stand_ins.body(5)
    head, belly, right, left = (vertices[labels == k].mean(0) for k in range(1, 5))
    assert np.linalg.det(np.stack([right - left, belly, head])) > 0
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    assert (a * np.cross(b, c)).sum() > 0  # outside out


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.py")), ids=lambda file: file.stem)
def test_nothing_is_looked_for_beside_the_checkout(file):
    text = file.read_text(encoding="utf-8")
    assert "shared" not in text.replace("shared by", "").replace("are shared", ""), "data that only we have"
