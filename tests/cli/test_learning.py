"""gaugenet train, predict, evaluate: from a table to answers, in processes of their own and in this one."""

from __future__ import annotations

import csv
import json
import subprocess
import zipfile

import numpy as np
import pytest

import gaugenet
from gaugenet.cli import main
from gaugenet.geometry import load_mesh
from tests.cli.files import MODULE
from tests.helpers.tables import ellipsoids

SMALL = ["--rings", "1", "--channels", "4", "--epochs", "3", "--rate", "0.01", "--quiet"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return ellipsoids(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return str(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def model(table, records, tmp_path_factory):
    """A classifier."""
    path = tmp_path_factory.mktemp("models") / "shapes.safetensors"
    options = ["--target", "label", "--features", "hks,curvature", "--records", records]
    assert main(["train", str(table), "-o", str(path), *SMALL, *options, "--epochs", "25"]) == 0
    return path


@pytest.fixture(scope="module")
def vectors(table, records, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "wind"
    assert (
        main(["train", str(table), "--task", "vectors", "--target", "wind", "-o", str(path), *SMALL, "--records", records]) == 0
    )
    return path


def test_in_processes_of_their_own(table, model, records, tmp_path):
    """Three commands: what one writes the next one reads."""
    mesh = str(table.parent / "meshes" / "e11.obj")
    out = str(tmp_path / "answers.csv")
    run = subprocess.run([*MODULE, "predict", str(model), mesh, "-o", out], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    with open(out) as file:
        (row,) = csv.DictReader(file)
    assert row["path"] == mesh and row["label"] == gaugenet.load(model).predict(mesh).label
    assert float(row["p_long"]) + float(row["p_short"]) == pytest.approx(1, abs=1e-5)


def test_evaluate(table, model, records, capsys):
    assert main(["evaluate", str(model), str(table), "--records", records]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("12 meshes, loss") and "confusion" in printed
    assert main(["evaluate", str(model), str(table), "--records", records, "--json", "--nodes", "50"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["scores"]["accuracy"] > 0.8 and facts["count"] == 12 and np.sum(facts["confusion"]) == 12
    assert main(["evaluate", str(model), str(table), "--records", records, "--split", "val"]) == 2
    assert "no rows with split 'val'" in capsys.readouterr().err
    assert main(["evaluate", str(model), str(table), "--records", records, "--target", "length"]) == 2
    assert "not learnt" in capsys.readouterr().err


def test_train_in_json_and_resumed(table, records, tmp_path, capsys, monkeypatch):
    out = tmp_path / "model"
    command = ["train", str(table), "-o", str(out), *SMALL, "--target", "label", "--records", records, "--json"]
    assert main(command) == 0
    plain = json.loads(capsys.readouterr().out)
    assert [h["epoch"] for h in plain["history"]] == [1, 2, 3] and plain["train"] == 8 and plain["test"]["count"] == 4
    assert not list(tmp_path.glob("*.checkpoint")) and gaugenet.load(out).preparation.params.features == ("hks",)

    from gaugenet.learning import loop

    keep = loop._keep

    def stop(path, model, optimizer, history):
        keep(path, model, optimizer, history)
        if len(history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_keep", stop)
    other = [*command[:3], str(tmp_path / "other"), *command[4:]]
    assert main(other) == 130
    assert "--resume goes on from" in capsys.readouterr().err and not (tmp_path / "other").exists()
    monkeypatch.setattr(loop, "_keep", keep)
    assert main([*other, "--resume"]) == 0
    resumed = json.loads(capsys.readouterr().out)
    assert [h["loss"] for h in resumed["history"]] == [h["loss"] for h in plain["history"]]


def test_options_of_train(table, records, tmp_path, capsys):
    more = ["--no-normalize", "--levels", "1", "--seed", "3", "--test", "0.5", "--structure", "O2", "--jobs", "1"]
    out = tmp_path / "m.safetensors"
    assert (
        main(["train", str(table), "--task", "regress", "-o", str(out), *SMALL, *more, "--records", str(tmp_path / "r")]) == 0
    )
    printed = capsys.readouterr()
    assert "trained on 6 meshes" in printed.out and "volume: r2" in printed.out and printed.err == ""
    net = gaugenet.load(out)
    params = net.preparation.params
    assert (params.normalize, params.levels, params.structure, params.rings) == (False, 1, "O2", 1)
    assert len(net.stages) == 2 and net.options.channels == 4
    assert list(net.predict(table.parent / "meshes" / "e0.obj").numbers) == ["length", "volume"]


def test_values_at_vertices(table, vectors, tmp_path, capsys):
    meshes = [str(table.parent / "meshes" / f"e{k}.obj") for k in range(2)]
    assert main(["predict", str(vectors), *meshes, "-o", str(tmp_path / "out")]) == 0
    assert "2 answers" in capsys.readouterr().out
    names = sorted(p.name for p in (tmp_path / "out").rglob("*.ply"))
    assert names == ["e0.ply", "e1.ply"]
    back = load_mesh(next((tmp_path / "out").rglob("e0.ply")))
    np.testing.assert_allclose(back.vertices, load_mesh(meshes[0]).vertices, atol=1e-9)
    assert {"vx", "vy", "vz"} <= back.vertex_data.keys()
    assert main(["predict", str(vectors), meshes[0], "-o", str(tmp_path / "one.npy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"][0]["vertices"] == 18
    assert np.load(tmp_path / "one.npy").shape == (18, 3)
    assert main(["predict", str(vectors), meshes[0], "-o", str(tmp_path / "f"), "--format", "csv"]) == 0
    assert len(list((tmp_path / "f").rglob("*.csv"))) == 1
    assert main(["predict", str(vectors), meshes[0], "-o", str(tmp_path / "f"), "--format", "glb"]) == 0
    assert load_mesh(next((tmp_path / "f").rglob("*.glb"))).vertex_data["prediction"].shape == (18, 3)
    capsys.readouterr()
    for output, text in ((None, "need -o"), ("a.txt", "expected a folder, or a name"), ("a.ply", "one file for 2 meshes")):
        given = meshes if output == "a.ply" else meshes[:1]
        assert main(["predict", str(vectors), *given, *([] if output is None else ["-o", output])]) == 2
        assert text in capsys.readouterr().err


def test_bad_meshes_and_archives(table, model, tmp_path, capsys):
    (tmp_path / "m").mkdir()
    good = (table.parent / "meshes" / "e3.obj").read_text()
    (tmp_path / "m" / "good.obj").write_text(good)
    (tmp_path / "m" / "bad.obj").write_text("v 0 0 nan\nf 1 1 1\n")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("inside.obj", good)
    assert main(["predict", str(model), str(tmp_path / "m"), str(tmp_path / "z.zip")]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 3 and lines[0] == "path,label,p_long,p_short" and "inside.obj" in lines[2]
    assert lines[1].split(",")[1:] == lines[2].split(",")[1:]
    assert printed.err.startswith(f"gaugenet: error: {tmp_path / 'm' / 'bad.obj'}: ") and "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["train", "none.csv", "-o", "m"], 2, "none.csv"),
        (["train", "{table}", "-o", "m", "--target", "colour"], 2, "no column 'colour'"),
        (["train", "{table}", "-o", "m"], 2, "no column"),
        (["train", "{table}", "-o", "m", "--target", "label", "--test", "2"], 2, "--test is a part of the meshes"),
        (["train", "{table}", "-o", "m", "--target", "label", "--features", ","], 2, "needs at least one"),
        (["train", "{table}", "-o", "m", "--target", "label", "--features", "smell"], 2, "smell"),
        (["train", "{table}", "-o", "{table}", "--target", "label"], 2, "expected a folder"),
        (["train", "{table}"], 2, "required"),
        (["predict", "none.safetensors", "a.obj"], 1, "none.safetensors"),
        (["predict", "{table}", "a.obj"], 1, "not a saved network"),
        (["predict", "{model}", "none.obj"], 2, "no such file"),
        (["predict", "{model}", "{mesh}", "-o", "a.ply"], 2, "expected a name that ends in .csv"),
        (["evaluate", "{model}", "none.csv"], 2, "none.csv"),
    ],
)
def test_mistakes_are_one_line(arguments, status, text, table, model, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"table": table, "model": model, "mesh": table.parent / "meshes" / "e0.obj"}
    if arguments[1:] == ["{table}", "-o", "m"]:
        (tmp_path / "t.csv").write_text("a,b\n1,2\n")
        places["table"] = tmp_path / "t.csv"
    assert main([part.format(**places) for part in arguments]) == status
    printed = capsys.readouterr()
    assert text in printed.err and "Traceback" not in printed.err and "defect" not in printed.err and printed.out == ""


def test_a_network_without_preparation(tmp_path, capsys):
    from gaugenet import FieldType, groups, models

    models.MeshClassifier(FieldType(groups.SO2(), "1x0"), 2, channels=2).save(tmp_path / "m")
    for command in (["predict", str(tmp_path / "m"), "a.obj"], ["evaluate", str(tmp_path / "m"), "t.csv"]):
        assert main(command) == 2
        assert "has no preparation" in capsys.readouterr().err
