"""preprocess: limits and second attempts, the report, shards, the index of many runs, the dry run."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from gaugenet.cli import main
from gaugenet.io.records import record_name
from gaugenet.pipeline.batch import preprocess
from gaugenet.pipeline.planning import plan
from gaugenet.pipeline.process import ProcessParams
from gaugenet.pipeline.run_report import read_index, read_report, write_index
from gaugenet.pipeline.sources import find_meshes, take_shard
from tests.helpers.corpus import cases, sphere
from tests.helpers.pathological import environment, obj, tree

RINGS = ProcessParams(rings=1)


@pytest.fixture
def hooked(tmp_path, monkeypatch):
    for name, value in environment(tmp_path / "hook").items():
        monkeypatch.setenv(name, value)


def facts(entry: dict) -> dict:
    """An entry without what differs from run to run."""
    return {name: value for name, value in entry.items() if name not in ("seconds", "time", "attempts")}


def test_every_pathology_costs_its_own_mesh(tmp_path, hooked):
    data = tmp_path / "data"
    for name in ("segv", "hang", "swell", "reserve", "leap"):
        obj(data / f"{name}.obj", sphere(1), do=name)
    obj(data / "once.obj", sphere(1), do=f"segv_once {tmp_path / 'flag'}")
    obj(data / "tie.obj", cases()["bow_tie"])
    for k in range(4):
        obj(data / f"sound{k}.obj", sphere(1), scale=1.0 + k)
    out = tmp_path / "out"
    told = []
    options = {"jobs": 2, "timeout": 6.0, "memory": 0.9e9, "retries": 1, "progress": told.append}
    summary = preprocess([data], out, RINGS, **options)
    entries = {e["source"].removesuffix(".obj"): e for e in summary.meshes}
    status = {name: entry["status"] for name, entry in entries.items()}
    assert status == {
        **{f"sound{k}": "done" for k in range(4)},
        **{"once": "done", "tie": "failed", "segv": "crashed", "hang": "timeout"},
        **{"swell": "memory", "reserve": "memory", "leap": "memory"},
    }
    assert (summary.done, summary.skipped, summary.failed) == (5, 0, 6)
    attempts = {name: entry["attempts"] for name, entry in entries.items()}
    assert attempts == {name: 1 if name == "tie" or name.startswith("sound") else 2 for name in status}
    assert "SIGSEGV" in entries["segv"]["reason"] and "6 s" in entries["hang"]["reason"]
    assert "GB resident, the limit is 0.9 GB" in entries["swell"]["reason"]
    assert "out of memory" in entries["reserve"]["reason"]
    assert entries["tie"]["kind"] == "non_manifold_vertex" and entries["tie"]["ids"] == [0]
    # The report and the index say the same.
    assert list(read_report(out / "report.jsonl", RINGS)) == told == summary.meshes
    assert read_index(out)[1] == {e["source"]: e for e in summary.meshes}
    # Nothing was lost: once the causes are gone the next run makes the rest.
    for name in ("segv", "hang", "swell", "reserve", "leap"):
        obj(data / f"{name}.obj", sphere(1), scale=0.1)
    again = preprocess([data], out, RINGS, jobs=1)
    assert (again.done, again.skipped, again.failed) == (1, 9, 1)  # the five have become one content


def test_a_mesh_that_is_wrong_is_not_tried_again(tmp_path):
    obj(tmp_path / "a.obj", cases()["nan"])
    summary = preprocess([tmp_path / "a.obj"], tmp_path / "out", RINGS, retries=3)
    assert [(e["status"], e["attempts"]) for e in summary.meshes] == [("failed", 1)]


def test_memory_that_no_worker_can_have(tmp_path, capsys):
    path = obj(tmp_path / "a.obj", sphere(1))
    assert main(["preprocess", str(path), str(tmp_path / "out"), "--rings", "1", "--memory", "0.01", "--quiet"]) == 1
    assert "before any mesh" in capsys.readouterr().err


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Twelve meshes in three folders, and what an undisturbed run makes of them."""
    root = tmp_path_factory.mktemp("many")
    for k in range(12):
        obj(root / "data" / f"class{k % 3}" / f"{k:02d}.obj", sphere(1), scale=1.0 + k)
    preprocess([root / "data"], root / "out", RINGS, jobs=2)
    return root


def test_shards_make_one_whole(many, tmp_path):
    meshes = find_meshes([many / "data"])
    parts = [take_shard(meshes, (i, 3)) for i in range(3)]
    assert sorted(name for part in parts for name in part) == sorted(meshes) and min(map(len, parts)) > 0
    for i in (2, 0):
        preprocess([many / "data"], tmp_path, RINGS, jobs=1, shard=(i, 3))
    assert read_index(tmp_path)[1].keys() == parts[0].keys() | parts[2].keys()
    preprocess([many / "data"], tmp_path, RINGS, jobs=1, shard=(1, 3))
    whole, alone = tree(tmp_path), tree(many / "out")
    records = [name for name in alone if name.endswith(".safetensors")]
    assert len(records) == 12 and all(whole[name] == alone[name] for name in records)
    found, expected = read_index(tmp_path)[1], read_index(many / "out")[1]
    assert {n: facts(e) for n, e in found.items()} == {n: facts(e) for n, e in expected.items()}
    assert sorted(p.name for p in tmp_path.glob("*.jsonl")) == [f"report-{i}-of-3.jsonl" for i in range(3)]
    # A shard does not depend on what else there is.
    some = dict(list(meshes.items())[::2])
    assert take_shard(some, (1, 3)).keys() == parts[1].keys() & some.keys()


def test_a_shard_without_meshes_is_done(many, tmp_path, capsys):
    meshes = find_meshes([many / "data"])
    empty = next(i for i in range(1000) if not take_shard(meshes, (i, 1000)))
    arguments = ["preprocess", str(many / "data"), str(tmp_path / "out"), "--rings", "1", "--quiet"]
    assert main([*arguments, "--shard", f"{empty}/1000"]) == 0
    assert capsys.readouterr().out.startswith("0 done, 0 skipped, 0 failed")
    for wrong in ("3/3", "1", "0/0", "-1/2", "a/b"):
        assert main([*arguments, f"--shard={wrong}"]) == 2
        assert "shard" in capsys.readouterr().err


def test_report_elsewhere(many, tmp_path, capsys):
    report = tmp_path / "lines" / "r.jsonl"
    arguments = ["preprocess", str(many / "data" / "class1"), str(tmp_path / "out"), "--rings", "1", "--report", str(report)]
    assert main([*arguments, "--quiet"]) == 1  # no such folder
    assert capsys.readouterr().err.count("\n") == 1
    report.parent.mkdir()
    assert main([*arguments, "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(report)
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert lines[0]["parameters"] == RINGS.to_dict() and lines[0]["shard"] is None
    assert {line["run"] for line in lines} == {lines[0]["run"]}
    assert sorted(line["source"] for line in lines[1:]) == ["01.obj", "04.obj", "07.obj", "10.obj"]
    assert [(line["nodes"], line["attempts"]) for line in lines[1:]] == [(18, 1)] * 4
    assert not list((tmp_path / "out").glob("*.jsonl"))
    # The next run appends; a line that another writer left torn spoils nothing but itself.
    with open(report, "a") as file:
        file.write('{"run": "x", "source"')
    assert main([*arguments, "--quiet"]) == 0
    assert [e["attempts"] for e in read_report(report)] == [1] * 4 + [0] * 4


def test_the_report_does_not_grow_by_doing_nothing(many, tmp_path):
    preprocess([many / "data"], tmp_path, RINGS, jobs=1)
    lines = (tmp_path / "report.jsonl").read_bytes()
    assert lines.count(b"\n") == 13
    assert preprocess([many / "data"], tmp_path, RINGS, jobs=1).skipped == 12
    assert (tmp_path / "report.jsonl").read_bytes() == lines
    # Done, and yet news for these parameters' index.
    (tmp_path / "index.json").unlink()
    (tmp_path / "report.jsonl").unlink()
    preprocess([many / "data"], tmp_path, RINGS, jobs=1)
    assert len(list(read_report(tmp_path / "report.jsonl"))) == 12


def test_what_killed_runs_left_is_in_the_index(many, tmp_path):
    """A run that dies before its index is made has told of its meshes in the report."""
    preprocess([many / "data"], tmp_path, RINGS, jobs=1, shard=(0, 2))
    expected = read_index(tmp_path)[1]
    (tmp_path / "index.json").unlink()
    preprocess([many / "data" / "class0" / "00.obj"], tmp_path, RINGS, jobs=1)
    assert expected.items() <= read_index(tmp_path)[1].items()


def test_a_lost_record_does_not_hide_a_failure(many, tmp_path):
    preprocess([many / "data" / "class0" / "00.obj"], tmp_path, RINGS, jobs=1)
    done = read_index(tmp_path)[1]["00.obj"]
    (tmp_path / done["record"]).unlink()
    failed = {**done, "status": "crashed", "record": None, "time": done["time"] + 10}
    write_index(tmp_path, RINGS, {"00.obj": failed})
    assert read_index(tmp_path)[1] == {"00.obj": failed}


def test_a_failure_does_not_hide_a_record(many, tmp_path):
    preprocess([many / "data" / "class0" / "00.obj"], tmp_path, RINGS, jobs=1)
    done = read_index(tmp_path)[1]["00.obj"]
    lost = {**done, "status": "crashed", "record": None, "time": done["time"] + 10}
    changed = {**lost, "source": "00.obj", "sha256": "another"}
    for entry, status in ((lost, "done"), (changed, "crashed")):
        lines = [{"run": "x", "parameters": RINGS.to_dict()}, {"run": "x", **entry}]
        (tmp_path / "report-other.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        preprocess({}, tmp_path, RINGS)
        assert read_index(tmp_path)[1]["00.obj"]["status"] == status


def test_dry_run_writes_nothing(many, tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    for k in range(4):
        obj(data / f"{k}.obj", sphere(1), scale=1.0 + k)
    (data / "dangling.obj").symlink_to("nowhere")
    arguments = ["preprocess", str(data), str(out), "--rings", "1", "--dry-run", "--json"]

    def states(*options):
        before = tree(tmp_path)
        assert main([*arguments, *options]) == 1  # there is a bad one
        assert tree(tmp_path) == before
        return {m["source"]: m["state"] for m in json.loads(capsys.readouterr().out)["meshes"]}

    new = {**{f"{k}.obj": "new" for k in range(4)}, "dangling.obj": "bad"}
    assert states() == new and not out.exists()
    preprocess(
        {name: source for name, source in find_meshes([data]).items() if name in ("0.obj", "1.obj", "2.obj")}, out, RINGS
    )
    obj(data / "1.obj", sphere(1), scale=0.5)
    index = read_index(out)[1]
    victim = out / index["2.obj"]["record"]
    victim.write_bytes(victim.read_bytes()[:-1])
    assert states() == {**new, "0.obj": "skipped", "1.obj": "stale", "2.obj": "stale"}
    # Other parameters: what is in the index is stale, all of it.
    assert states("--normalize") == {**new, **{f"{k}.obj": "stale" for k in range(3)}}
    assert main(["preprocess", str(data / "0.obj"), str(out), "--rings", "1", "--dry-run"]) == 0
    assert capsys.readouterr().out == "skipped: 0.obj\n0 new, 1 skipped, 0 stale, 0 bad; nothing was written\n"
    # And it told the truth.
    summary = preprocess([data], out, RINGS, jobs=1)
    assert (summary.done, summary.skipped, summary.failed) == (3, 1, 1)


def other(field: dataclasses.Field, value):
    """Another sound value of a field, found by its type; no list of the fields, so that a new one cannot be forgotten."""
    if field.name == "structure":
        return {"SO2": "O2", "O2": "SO2"}[value]
    if isinstance(value, bool):
        return not value
    if field.name == "min_component":  # a part of the area
        return value + 0.5
    if isinstance(value, (int, float)):
        return value + 1
    return {str: "other", tuple: ("hks",), type(None): 1}[type(value)]


@pytest.mark.parametrize("field", dataclasses.fields(ProcessParams), ids=lambda f: f.name)
def test_no_parameter_reuses_a_record(field, many):
    base = ProcessParams(radius=0.5) if field.name == "radius" else RINGS
    changed = dataclasses.replace(base, **{field.name: other(field, getattr(base, field.name))})
    assert changed != base and changed.to_dict() != base.to_dict()
    assert ProcessParams.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed
    assert record_name("ab", changed) != record_name("ab", base)
    meshes = find_meshes([many / "data"])
    assert {item.state for item in plan(meshes, many / "out", RINGS)} == {"done"}
    if base == RINGS:
        assert {item.state for item in plan(meshes, many / "out", changed)} == {"stale"}


def test_records_do_not_depend_on_how_they_are_made(many, tmp_path):
    """Another order, other neighbours, another number of workers: the same bytes."""
    meshes = find_meshes([many / "data"])
    preprocess(dict(reversed(meshes.items())), tmp_path, RINGS, jobs=1)
    whole, alone = tree(tmp_path), tree(many / "out")
    assert all(whole[name] == alone[name] for name in alone if name.endswith(".safetensors"))
    assert np.all([entry["status"] == "done" for entry in read_index(tmp_path)[1].values()])


def test_the_part_of_a_mesh_that_is_done_is_told(tmp_path):
    obj(tmp_path / "meshes" / "ball.obj", sphere(4))
    heard = []
    preprocess([tmp_path / "meshes"], tmp_path / "out", ProcessParams(rings=2), on_part=lambda *told: heard.append(told))
    assert heard and {name for name, _ in heard} == {"ball.obj"} and all(0.0 < part <= 1.0 for _, part in heard)
