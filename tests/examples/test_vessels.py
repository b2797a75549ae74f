"""examples/vessels.py on tubes with made-up stress, from end to end."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from examples import vessel_nets, vessels
from tests.helpers.meshes import cylinder


def write(folder, splits) -> None:
    folder.mkdir()
    facts = []
    for number, split in enumerate(splits):
        points, faces = cylinder(around=12, along=12)
        vertices = points * [1.0 + 0.1 * number, 1.0, 4.0]
        # Along the tube, and round it: a part that no gradient of a scalar has.
        along, around = np.array([0.0, 0, 1]), np.cross([0.0, 0, 1], points * [1, 1, 0])
        name = f"vessel_{number:04d}.npz"
        np.savez(
            folder / name,
            vertices=vertices.astype(np.float32),
            faces=faces.astype(np.int32),
            distance=vertices[:, 2].astype(np.float32),
            wss=(3 * (along + 0.3 * around)).astype(np.float32),
            reynolds=np.float64(100.0),
            poiseuille_wss=np.float64(3.0),
        )
        facts.append({"file": name, "split": split})
    (folder / "manifest.json").write_text(json.dumps({"vessels": facts}))


@pytest.fixture
def run(tmp_path, monkeypatch):
    write(tmp_path / "data", ["train", "train", "validation", "test"])
    out = tmp_path / "vessels.json"
    small = ["--seeds", "1", "--epochs", "2", "--levels", "1", "--channels", "4", "--radius", "0.9"]
    kept = ["--out", str(out), "--records", str(tmp_path / "records"), "--save", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["vessels.py", "--data", str(tmp_path / "data"), *small, *kept])
    vessels.main()
    return tmp_path, {r["model"]: r for r in json.loads(out.read_text())["runs"]}


def test_runs_from_end_to_end(run):
    folder, runs = run
    assert set(runs) == {vessels.POISEUILLE, *vessels.MODELS}
    text = (folder / "vessels.md").read_text()
    assert all(f"| {name} |" in text for name in runs)
    # Along the tube is right but for the part round it.
    assert runs[vessels.POISEUILLE]["test"][0] == pytest.approx(100 * 0.3 / np.sqrt(1.09), abs=4)
    assert runs[vessels.POISEUILLE]["test, angle"][0] == pytest.approx(np.degrees(np.arctan(0.3)), abs=2)
    for name in ("gauge, O(2)", "gauge, SO(2)", "gradient", "point cloud"):  # what the turned vessel does not change
        assert runs[name]["test, turned"] == pytest.approx(runs[name]["test"], rel=2e-3), name
    assert runs["EdgeCNN"]["test, turned"] != pytest.approx(runs["EdgeCNN"]["test"], rel=2e-3)  # and what it does
    assert vessel_nets.RATES.keys() < vessels.MODELS.keys()
    sizes = {name: r["parameters"] for name, r in runs.items() if name in vessels.MODELS}
    assert all(abs(size - sizes["gauge, SO(2)"]) < 0.25 * sizes["gauge, SO(2)"] for size in sizes.values()), sizes


def test_weights_give_the_row_again(run, monkeypatch, capsys):
    folder, runs = run
    more = ["--weights", str(folder / "vessels-O(2)-0.safetensors"), "--picture", str(folder / "vessel.png")]
    monkeypatch.setattr(sys, "argv", [*sys.argv, *more])
    capsys.readouterr()
    vessels.main()
    assert vessels.told("", runs["gauge, O(2)"]).strip() in capsys.readouterr().out
    assert (folder / "vessel.png").stat().st_size > 20_000
