"""Answers about meshes, however they are given, in the user's vertices and units."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from gaugenet import FieldType, data, groups, learning, models
from gaugenet.errors import GaugenetError
from gaugenet.geometry import ProcessParams, load_mesh
from gaugenet.learning.answers import write_table
from tests.helpers.corpus import sphere
from tests.helpers.extras import library
from tests.helpers.tables import ellipsoids, write_obj

PARAMS = ProcessParams(rings=1, normalize=True, features=("hks",), levels=1)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return ellipsoids(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def nets(table, tmp_path_factory):
    """A network for every task."""
    records = tmp_path_factory.mktemp("records")
    tasks = {"classify": None, "regress": None, "height": "segment", "side": "segment", "wind": "vectors"}
    out = {}
    for name, task in tasks.items():
        target = name if task else None
        shapes = data.MeshDataset.from_table(table, PARAMS, task=task or name, target=target, records=records)
        torch.manual_seed(0)
        out[name] = learning.network(shapes, channels=2)
    return out


def test_meshes_of_all_kinds(nets, table):
    net, path = nets["classify"].train(), table.parent / "meshes" / "e3.obj"
    first = net.predict(path)
    assert net.training and first.label in ("long", "short") and first.name == str(path)
    assert sum(first.probabilities.values()) == pytest.approx(1) and first.probabilities[first.label] >= 0.5
    mesh = load_mesh(path)
    others = [mesh, (mesh.vertices, mesh.faces), trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), first.geometry]
    for other in others:
        assert net.predict(other).probabilities == pytest.approx(first.probabilities, rel=1e-5)
    with pytest.raises(TypeError, match="expected a mesh: a file, a trimesh"):
        net.predict(5)
    with pytest.raises(FileNotFoundError):
        net.predict("none.obj")
    with pytest.raises(ValueError, match="set preparation, for example to"):
        models.MeshClassifier(FieldType(groups.SO2(), "1x0"), 2, channels=2).predict(path)


def test_records_are_meshes_too(nets, table, tmp_path):
    from gaugenet.geometry import process_one

    path = table.parent / "meshes" / "e3.obj"
    record = process_one(path, PARAMS, tmp_path).record
    of_record, of_file = (nets["classify"].predict(source).probabilities for source in (record, path))
    assert of_record == pytest.approx(of_file, rel=1e-4)


def test_numbers_in_their_units(nets, table):
    net = nets["regress"]
    answer = net.predict(table.parent / "meshes" / "e3.obj")
    graph = net.preparation.graph(answer.geometry)
    with torch.no_grad():
        output = net(graph.x, graph)[0].double()
    mean, std = (torch.tensor(part, dtype=torch.float64) for part in (net.preparation.task.mean, net.preparation.task.std))
    assert list(answer.numbers) == ["length", "volume"]
    assert list(answer.numbers.values()) == pytest.approx((output * std + mean).tolist())
    assert mean[0].item() == pytest.approx(1.4, rel=1e-3)


@pytest.mark.parametrize("name", ["height", "side", "wind"])
def test_values_at_the_vertices_that_came(name, nets, tmp_path):
    """A vertex that no face uses and a face twice: every answer is in the rows of the file."""
    v, f = sphere(1)
    v, f = np.concatenate([[[9.0, 9.0, 9.0]], v * [1.0, 1.0, 1.5]]), f + 1
    path = write_obj(tmp_path / "a.obj", v, np.concatenate([f[:1], f]))
    with pytest.warns(UserWarning):
        answer = nets[name].predict(path)
    if name == "side":
        assert len(answer.values) == len(f) + 1 and set(answer.values.tolist()) <= {-1, 0, 1}
        assert (answer.values == -1).sum() == 1
        return
    assert len(answer.values) == len(v)
    dropped = answer.values[0]
    assert np.isnan(dropped).all() if name == "wind" else dropped == -1
    assert set(answer.values[1:].tolist()) <= {3, 7} if name == "height" else answer.values.shape == (19, 3)


def test_vectors_turn_with_the_mesh(nets):
    """The answer about a turned mesh is the turned answer: no frame is in it."""
    net = copy.deepcopy(nets["wind"]).double()
    v, f = sphere(2)
    v = v * (1 + 0.2 * np.random.default_rng(1).random((len(v), 1)))  # nothing is alike, so that no choice is left to rounding
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    plain, turned = net.predict((v, f)), net.predict((v @ turn.T, f))
    assert np.abs(plain.values).max() > 1e-3
    np.testing.assert_allclose(turned.values, plain.values @ turn.T, atol=1e-6 * np.abs(plain.values).max())


def test_files_of_answers(nets, table, tmp_path):
    path = table.parent / "meshes" / "e3.obj"
    mesh = load_mesh(path)
    for name, columns in (("height", ["label"]), ("wind", ["vx", "vy", "vz"])):
        answer = nets[name].predict(path)
        answer.save(tmp_path / "a.ply")
        back = load_mesh(tmp_path / "a.ply")
        np.testing.assert_allclose(back.vertices, mesh.vertices, atol=1e-12)
        np.testing.assert_array_equal(back.faces, answer.geometry.faces)
        found = np.stack([back.vertex_data[c] for c in columns], -1)
        np.testing.assert_allclose(found.reshape(answer.at_nodes.shape), answer.at_nodes, rtol=1e-6)
        answer.save(tmp_path / "a.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), answer.values)
        answer.save(tmp_path / "a.csv")
        rows = np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1).reshape(answer.values.shape)
        np.testing.assert_allclose(rows, answer.values, rtol=1e-7)
        assert (tmp_path / "a.csv").read_text().splitlines()[0] == ",".join(columns)
    side = nets["side"].predict(path)
    side.save(tmp_path / "s.ply")
    np.testing.assert_array_equal(load_mesh(tmp_path / "s.ply").face_data["label"], side.values)
    with pytest.raises(GaugenetError, match="expected a name that ends in"):
        side.save(tmp_path / "s.txt")
    with pytest.raises(GaugenetError, match="about the whole mesh"):
        nets["classify"].predict(path).save(tmp_path / "c.ply")


def test_a_table_of_answers(nets, table, tmp_path):
    paths = [table.parent / "meshes" / f"e{k}.obj" for k in range(2)]
    write_table(tmp_path / "c.csv", [nets["classify"].predict(p) for p in paths])
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert lines[0] == "path,label,p_long,p_short" and lines[1].startswith(str(paths[0])) and len(lines) == 3
    write_table(tmp_path / "r.csv", [nets["regress"].predict(p) for p in paths])
    assert (tmp_path / "r.csv").read_text().splitlines()[0] == "path,length,volume"
    write_table(tmp_path / "s.csv", [nets["height"].predict(paths[0])])
    assert (tmp_path / "s.csv").read_text().splitlines()[1].endswith(",18")


@pytest.mark.parametrize("kind", [".vtp", ".vtu", ".vtk", ".glb"])
def test_answers_for_other_programs(kind, nets, table, tmp_path):
    """The mesh in its own size with the arrays that came and the prediction, vectors in its coordinates."""
    if kind != ".glb":
        library("pyvista")
    mesh = load_mesh(table.parent / "meshes" / "e3.obj")
    given = dataclasses.replace(mesh, vertex_data={"age": np.arange(len(mesh.vertices)) * 1.0})
    answer = nets["wind"].predict(given)
    answer.save(tmp_path / f"a{kind}")
    back = load_mesh(tmp_path / f"a{kind}")
    np.testing.assert_allclose(back.vertices, mesh.vertices, atol=1e-6 if kind == ".glb" else 1e-12)
    np.testing.assert_allclose(back.vertex_data["prediction"], answer.values, rtol=1e-6)
    np.testing.assert_array_equal(back.vertex_data["age"].ravel(), given.vertex_data["age"])
    side = nets["side"].predict(given)
    if kind == ".glb":
        with pytest.raises(GaugenetError, match="no values of faces: take"):
            side.save(tmp_path / "s.glb")
        return
    side.save(tmp_path / f"s{kind}")
    np.testing.assert_array_equal(load_mesh(tmp_path / f"s{kind}").face_data["prediction"], side.values)


def test_meshes_of_other_libraries(nets, table):
    pyvista = library("pyvista")
    mesh = load_mesh(table.parent / "meshes" / "e3.obj")
    other = pyvista.PolyData.from_regular_faces(mesh.vertices, mesh.faces)
    assert nets["classify"].predict(other).probabilities == nets["classify"].predict(mesh).probabilities
