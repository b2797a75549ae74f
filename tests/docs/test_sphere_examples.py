"""The examples on the sphere run from end to end, on generated data."""

from __future__ import annotations

import json
import sys
from importlib import import_module

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from examples import wind
from gaugenet import geometry
from tests.helpers.extras import library
from tests.helpers.samplings import solid_rotation, write_wind


@pytest.fixture
def call(monkeypatch, tmp_path):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, "--data", str(tmp_path), "--out", str(tmp_path / name), *arguments])
        import_module(f"examples.{name}").main()
        return json.loads((tmp_path / name / "results.json").read_text())["runs"]

    return run


def test_spherical_digits(call, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, n in {"mnist_train10k.npz": 40, "mnist_t10k_even.npz": 20}.items():
        labels = np.arange(n) % 2
        images = np.where(labels[:, None, None] == 1, rng.integers(0, 255, (n, 28, 28)), 10)
        np.savez(tmp_path / name, x=images.astype(np.uint8), y=labels)
    arguments = (
        "--models",
        "spherical",
        "icosahedral",
        "nearest spectrum",
        "--train",
        "NR",
        "--epochs",
        "1",
        "--batch-size",
        "10",
    )
    runs = call("spherical_digits", *arguments)
    assert [r["model"] for r in runs] == ["spherical", "icosahedral", "nearest spectrum"]
    assert runs[2]["accuracy_NR"] == runs[2]["accuracy_R"] == 100  # noise and none have other spectra, however turned
    assert call("spherical_digits", *arguments) == runs  # not repeated
    assert len(call("spherical_digits", *arguments, "--validation", "10")) == 6
    fresh = call("spherical_digits", *arguments, "--deform", "0.1")[6:]
    assert fresh[0]["losses"] != runs[0]["losses"]  # other images
    assert fresh[2]["accuracy_NR"] == 100  # which the data set keeps as they were
    assert "| nearest spectrum | 0 | 100.00 | 100.00 |" in capsys.readouterr().out


def test_wind(call, tmp_path, capsys):
    write_wind(tmp_path / "eraint_uvz.nc", solid_rotation, lambda x, n: 1e3 * (n + 1) * x @ [1.0, 2.0, 2.0])
    models = "tangent vector", "two potentials", "tangent vector, O(2)", "mean of the training fields", "no wind"
    runs = call("wind", "--models", *models, "--splits", "month=1", "--steps", "2", "--level", "3", "--shifts", "2")
    vector, potentials, mirrored, mean, nothing = runs
    # Fields 0 to 2 are held out: their speeds are those of 10, 20 and 30 times one rotation.
    assert np.isclose(nothing["rmse"], np.sqrt(0.94 * 2 / 3 * (100 + 400 + 900) / 3), rtol=0.01)
    assert np.isclose(nothing["rmse"], nothing["rmse_turned"], rtol=0.01)
    assert mean["rmse"] < mean["rmse_turned"]
    # Turned inputs give turned answers, whatever was learnt; the mean of the training fields does not turn.
    # What is left is the sampling, 642 points; products of fields ("O(2)") need more of them than the others.
    assert max(vector["equivariance_error"], potentials["equivariance_error"]) < 0.1
    assert mirrored["equivariance_error"] < 0.3 < mean["equivariance_error"]
    assert "| tangent vector |" in capsys.readouterr().out


def test_wind_on_a_grid(call, tmp_path):
    library("torch_harmonics")
    write_wind(tmp_path / "eraint_uvz.nc", solid_rotation, lambda x, n: 1e3 * (n + 1) * x @ [1.0, 2.0, 2.0])
    few = "--splits", "month=1", "--steps", "2", "--level", "3", "--shifts", "2"
    (onto_grid,) = call("wind", "--models", "SFNO", *few)
    assert onto_grid["rmse"] > 0 and abs(onto_grid["parameters"] - 27_000) < 3000


def test_moved_fields():
    """Ambient components of a rotation are linear in space, so quadratic least squares misses them by the curvature alone."""
    points = geometry.icosphere(4).positions
    places = points @ Rotation.random(random_state=0).as_matrix()
    values = np.cross([0.3, -0.2, 0.8], points)[None]
    assert np.abs(wind.moved(values, points, places) - np.cross([0.3, -0.2, 0.8], places)).max() < 1e-3
