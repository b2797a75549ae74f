"""process_one and preprocess: parameters decide the record, and every one of them matters."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle

import numpy as np
import pytest

from gaugenet.errors import MeshError
from gaugenet.geometry import LocalGeometry, mesh
from gaugenet.geometry.geodesics.exact import local_geodesics
from gaugenet.geometry.meshes import surface
from gaugenet.io.records import record_name
from gaugenet.pipeline.batch import preprocess
from gaugenet.pipeline.process import Processed, ProcessParams, content_sha256, process_one
from gaugenet.pipeline.sources import find_meshes
from tests.helpers.corpus import cases, sphere

CASES = cases()
RINGS = ProcessParams(rings=2)


def write(path, vertices, faces):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in np.asarray(vertices, float).tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (np.asarray(faces) + 1).tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    return write(tmp_path_factory.mktemp("meshes") / "ball.obj", *sphere(2))


def same(a: LocalGeometry, b: LocalGeometry, rtol: float = 0.0) -> None:
    np.testing.assert_array_equal(a.edge_index, b.edge_index)
    for name in ("log", "transport", "weight", "radius", "area"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=rtol)


def test_it_is_geometry_mesh(ball):
    geometry = process_one(ball, RINGS)
    same(geometry, mesh(*sphere(2), rings=2))
    facts = geometry.metadata
    assert (facts["source"], facts["scale"], facts["warnings"]) == ("ball.obj", 1.0, [])
    assert facts["sha256"] == hashlib.sha256(ball.read_bytes()).hexdigest() == content_sha256(ball)
    assert "vertex_ids" not in facts


def test_parameters_matter(ball):
    geometry = process_one(ball, RINGS)
    assert process_one(ball, ProcessParams(rings=1)).num_edges < geometry.num_edges
    assert (process_one(ball, ProcessParams(radius=0.9)).radius == 0.9).all()
    assert np.abs(process_one(ball, ProcessParams(rings=2, smooth=False)).log - geometry.log).max() > 1e-6
    featured = process_one(ball, ProcessParams(rings=2, features=("hks:3",), levels=1))
    assert featured.features["hks"].values.shape == (66, 3) and len(featured.levels()) == 2
    with pytest.raises(ValueError, match="nonsense"):
        process_one(ball, ProcessParams(rings=2, method="nonsense"))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_normalize(tmp_path, scale):
    v, f = sphere(2)
    geometry = process_one(write(tmp_path / "a.obj", v * scale, f), ProcessParams(radius=0.25, normalize=True))
    assert geometry.area.sum() == pytest.approx(1.0, rel=1e-12)
    assert geometry.metadata["scale"] * scale == pytest.approx(1.0 / np.sqrt(12.0), rel=0.01)
    same(geometry, process_one(write(tmp_path / "b.obj", v, f), ProcessParams(radius=0.25, normalize=True)), 1e-9)


def test_repair_and_maps(tmp_path):
    path = write(tmp_path / "tie.obj", *CASES["bow_tie"][:2])
    with pytest.raises(MeshError, match=r"tie\.obj: non-manifold"):
        process_one(path, ProcessParams(rings=1))
    with pytest.warns(UserWarning, match="split vertices"):
        geometry = process_one(path, ProcessParams(rings=1, repair=True))
    assert geometry.num_nodes == 8 and sorted(geometry.metadata["vertex_ids"]) == [0, 0, 1, 2, 3, 4, 5, 6]
    assert geometry.metadata["warnings"][0]["kind"] == "split_vertices"
    path = write(tmp_path / "loose.obj", *CASES["unreferenced"][:2])
    with pytest.warns(UserWarning, match="no face uses"):
        geometry = process_one(path, RINGS)
    assert 10 not in geometry.metadata["vertex_ids"] and geometry.num_nodes == 66


def test_nothing_is_silent(tmp_path):
    path = write(tmp_path / "a.obj", *CASES["duplicate_faces"][:2])
    with pytest.warns(UserWarning, match=r"a\.obj: dropped repeated faces"):
        process_one(path, RINGS)


def test_threads_change_nothing(ball, monkeypatch):
    seen = []
    monkeypatch.setattr(surface, "local_geodesics", lambda *a, **k: seen.append(k["threads"]) or local_geodesics(*a, **k))
    same(process_one(ball, RINGS, threads=1), process_one(ball, RINGS, threads=3))
    assert seen == [1, 3]


def test_zero_area_faces_work(tmp_path):
    path = write(tmp_path / "a.obj", *CASES["zero_area"][:2])
    with pytest.warns(UserWarning, match="zero area") as told:
        geometry = process_one(path, ProcessParams(rings=1))
    assert len(told) == 1
    assert "zero_area" in {w["kind"] for w in geometry.metadata["warnings"]}
    assert np.isfinite(geometry.log).all() and np.isfinite(geometry.transport).all()


def test_record(ball, tmp_path):
    done = process_one(ball, RINGS, tmp_path / "deep" / "folder")
    assert isinstance(done, Processed) and (done.nodes, done.levels, done.warnings) == (66, 1, [])
    geometry = LocalGeometry.load(done.record)
    geometry.validate()
    same(geometry, process_one(ball, RINGS), 1e-6)
    assert done.edges == geometry.num_edges
    assert geometry.metadata["record"]["parameters"] == json.loads(json.dumps(RINGS.to_dict()))
    assert geometry.metadata["record"]["sha256"] == content_sha256(ball)
    assert done.record == str(tmp_path / "deep" / "folder" / record_name(content_sha256(ball), RINGS))


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_records_of_any_scale(tmp_path, scale):
    v, f = sphere(2)
    done = process_one(write(tmp_path / "a.obj", v * scale, f), RINGS, tmp_path)
    geometry, exact = LocalGeometry.load(done.record), mesh(v, f, rings=2)
    np.testing.assert_allclose(geometry.log / scale, exact.log, atol=1e-6)
    np.testing.assert_allclose(geometry.area / scale**2, exact.area, rtol=1e-6)
    np.testing.assert_allclose(geometry.curvature * scale**2, exact.curvature, rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"rings": None, "radius": 0.5},
        {"rings": 3},
        {"normalize": True},
        {"method": "other"},
        {"smooth": False},
        {"repair": True},
        {"min_component": 0.01},
        {"features": ("hks",)},
        {"levels": 1},
    ],
)
def test_every_parameter_is_in_the_name(change):
    other = dataclasses.replace(RINGS, **change)
    assert record_name("ab", other) != record_name("ab", RINGS)
    assert ProcessParams.from_dict(json.loads(json.dumps(other.to_dict()))) == other


def test_params_are_values():
    params = ProcessParams(radius=1, features=["hks"])
    assert params == ProcessParams(radius=1.0, features=("hks",)) and hash(params) == hash(
        ProcessParams(1.0, features=("hks",))
    )
    assert pickle.loads(pickle.dumps(params)) == params
    assert record_name("ab", ProcessParams(radius=np.float32(0.5), levels=np.int64(1))) == record_name(
        "ab", ProcessParams(radius=0.5, levels=1)
    )


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({}, ValueError, "one of radius and rings"),
        ({"radius": 1.0, "rings": 1}, ValueError, "one of radius and rings"),
        ({"radius": -1.0}, ValueError, "positive"),
        ({"radius": float("inf")}, ValueError, "finite"),
        ({"rings": 0}, ValueError, "at least 1"),
        ({"rings": 1.5}, TypeError, "rings must be an integer"),
        ({"rings": True}, TypeError, "rings must be an integer"),
        ({"rings": 1, "levels": -1}, ValueError, "levels"),
        ({"rings": 1, "features": "hks"}, TypeError, "sequence of names"),
        ({"rings": 1, "smooth": "no"}, TypeError, "True or False"),
    ],
)
def test_wrong_params(values, error, words):
    with pytest.raises(error, match=words):
        ProcessParams(**values)


def test_find_meshes(tmp_path):
    for name in ("b/x.OBJ", "a/y.ply", "z.stl", "a/.hidden.obj", ".git/w.obj", "a/readme.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "folder.obj").mkdir()
    assert list(find_meshes([tmp_path])) == ["a/y.ply", "b/x.OBJ", "z.stl"]
    assert list(find_meshes([tmp_path / "a", tmp_path / "b", tmp_path / "a" / "readme.txt"])) == [
        "a/y.ply",
        "b/x.OBJ",
        "readme.txt",
    ]
    with pytest.raises(ValueError, match="two files"):
        find_meshes([tmp_path / "a", tmp_path / "a"])
    with pytest.raises(FileNotFoundError):
        find_meshes([tmp_path / "none"])


def test_preprocess_keeps_what_an_earlier_run_made(tmp_path):
    first = write(tmp_path / "data" / "one" / "a.obj", *sphere(1))
    write(tmp_path / "data" / "b.obj", *sphere(2))
    seen = []
    out = tmp_path / "out"
    summary = preprocess([tmp_path / "data"], out, RINGS, jobs=1, progress=seen.append)
    assert (summary.done, summary.skipped, summary.failed, summary.interrupted) == (2, 0, 0, False)
    assert [e["source"] for e in seen] == ["b.obj", "one/a.obj"] and [e["label"] for e in seen] == [None, "one"]
    assert preprocess([first.parent], out, RINGS, jobs=1).skipped == 1
    sources = [m["source"] for m in json.loads((out / "index.json").read_text())["meshes"]]
    assert sources == ["a.obj", "b.obj", "one/a.obj"]
    # An index that is damaged is made anew, from the reports.
    (out / "index.json").write_text("{")
    assert preprocess([first.parent], out, RINGS, jobs=1).skipped == 1
    assert [m["source"] for m in json.loads((out / "index.json").read_text())["meshes"]] == sources
