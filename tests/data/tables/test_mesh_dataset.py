"""Tables of meshes: labels, numbers, and what is known of vertices and faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import geometry, groups
from gaugenet.cli import main
from gaugenet.data import MeshDataset, Task
from gaugenet.data.tables.reading import TableError, read_numbers, read_rows
from gaugenet.errors import GaugenetError
from gaugenet.geometry import ProcessParams, from_frames
from tests.helpers.corpus import sphere
from tests.helpers.tables import STRETCHES, ellipsoids, write_obj

PARAMS = ProcessParams(rings=1, features=("hks",))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return ellipsoids(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


def dataset(table, records, params=PARAMS, **options) -> MeshDataset:
    return MeshDataset.from_table(table, params, records=records, **options)


def test_classes_of_a_table(table, records):
    shapes = dataset(table, records)
    assert len(shapes) == 12 and shapes.classes == ["long", "short"] and shapes.num_classes == 2
    assert [int(graph.y) for graph in shapes] == [int(s <= 1.4) for s in STRETCHES]
    assert shapes[3].name == "meshes/e3.obj" and shapes.names[3] == "meshes/e3.obj"
    assert str(shapes.in_type) == str(geometry_feature(shapes)) and shapes.out_type is None
    assert shapes.sizes == [shapes[0].num_nodes] * 12 == [18] * 12
    assert repr(shapes) == "MeshDataset(12, task='classify', classes=2)"
    other = dataset(table, records, target="length")  # numbers as classes, in their order
    assert other.classes == [f"{s:.4f}" for s in STRETCHES]


def geometry_feature(shapes):
    from gaugenet.data import feature_type

    return feature_type(shapes[0], "hks")


def test_numbers_of_a_table(table, records):
    shapes = dataset(table, records, task="regress")
    assert shapes.task.names == ("length", "volume") and shapes.task.on == "graph"
    assert torch.allclose(shapes[2].y, torch.tensor([[STRETCHES[2], 4.19 * STRETCHES[2]]], dtype=torch.float32), atol=1e-4)
    assert dataset(table, records, task="regress", target="volume")[0].y.shape == (1, 1)


def test_labels_of_vertices(table, records):
    shapes = dataset(table, records, task="segment", target="height")
    assert shapes.task.on == "vertices" and shapes.classes == ["3", "7"]
    graph = shapes[5]
    assert torch.equal(graph.y, (graph.pos[:, 2] > 0).long())
    assert shapes.out_type.dim == 2 and shapes.out_type.group == groups.SO2()


def test_labels_of_faces(table, records):
    shapes = dataset(table, records, task="segment", target="side")
    assert shapes.task.on == "faces" and shapes.classes == ["0", "1"]
    graph = shapes[5]
    assert torch.equal(graph.y, (graph.pos[graph.face].mean(0)[:, 0] > 0).long())


def test_vectors_are_in_the_frames(table, records):
    shapes = dataset(table, records, task="vectors", target="wind")
    assert shapes.task.on == "vertices" and str(shapes.out_type) == "1x0 + 1x1"
    back = from_frames(shapes[7].y.double().numpy(), shapes.geometry(7), "1x0 + 1x1")
    np.testing.assert_allclose(back, np.load(table.parent / "wind7.npy"), atol=1e-6)


def test_numbers_of_vertices(table, records):
    shapes = dataset(table, records, task="regress", target="wind")
    assert shapes.task.names == ("wind_0", "wind_1", "wind_2") and shapes.task.on == "vertices"
    np.testing.assert_allclose(shapes[7].y.numpy(), np.load(table.parent / "wind7.npy"), atol=1e-6)
    assert str(shapes.out_type) == "3x0"


def test_targets_follow_repaired_and_renumbered_vertices(tmp_path):
    v, f = sphere(2)
    v, f = np.concatenate([[[9.0, 9.0, 9.0]], v]), f + 1  # a vertex that no face uses
    write_obj(tmp_path / "a.obj", v, np.concatenate([f[:1], f]))  # and a face twice
    np.save(tmp_path / "z.npy", np.column_stack([v[:, 2], v[:, 0], v[:, 1]]))
    np.save(tmp_path / "s.npy", np.arange(len(f) + 1))
    rows = [{"path": tmp_path / "a.obj", "z": tmp_path / "z.npy", "s": tmp_path / "s.npy"}]
    params = ProcessParams(rings=1, renumber=True, features=("hks",))
    with pytest.warns(UserWarning):
        shapes = dataset(rows, tmp_path / "r", params, task="regress", target="z")
    graph = shapes[0]
    torch.testing.assert_close(graph.y, graph.pos[:, [2, 0, 1]], rtol=1e-6, atol=1e-6)
    faces = dataset(rows, tmp_path / "r", params, task="segment", target="s")
    assert torch.equal(torch.tensor([int(c) for c in faces.classes])[faces[0].y], faces[0].face_ids)


def test_arrays_in_the_mesh_files(tmp_path):
    v, f = sphere(1)
    for k in range(2):
        points = v * (1 + k)
        lines = ["ply", "format ascii 1.0", f"element vertex {len(v)}"]
        lines += [f"property float {name}" for name in ("x", "y", "z", "u", "v", "w")] + ["property int part"]
        lines += [f"element face {len(f)}", "property list uchar int vertex_indices", "end_header"]
        lines += [" ".join(map(str, (*p, *(2 * p), int(p[0] > 0)))) for p in points] + [f"3 {a} {b} {c}" for a, b, c in f]
        (tmp_path / f"m{k}.ply").write_text("\n".join(lines) + "\n")
    files = [tmp_path / "m0.ply", tmp_path / "m1.ply"]
    parts = dataset(files, tmp_path / "r", task="segment", target="part")
    assert torch.equal(parts[1].y, (parts[1].pos[:, 0] > 1e-6).long()) and parts.classes == ["0", "1"]
    wind = dataset(files, tmp_path / "r", task="vectors", target=("u", "v", "w"))
    np.testing.assert_allclose(
        from_frames(wind[1].y.double().numpy(), wind.geometry(1), "1x0 + 1x1"), 2 * wind[1].pos, atol=1e-5
    )
    with pytest.raises(TableError, match="neither the table nor the mesh file has colour: there are part, u, v, w"):
        dataset(files, tmp_path / "r", task="segment", target="colour")


def test_unknown_targets(tmp_path):
    v, f = sphere(1)
    write_obj(tmp_path / "a.obj", v, f)
    labels, vectors = np.zeros(len(v), int), np.ones((len(v), 3))
    labels[3], vectors[4, 1] = -1, np.nan
    np.save(tmp_path / "l.npy", labels)
    np.save(tmp_path / "w.npy", vectors)
    (tmp_path / "t.csv").write_text("file,l,w,n,m\na.obj,l.npy,w.npy,,2\n")
    segment = dataset(tmp_path / "t.csv", tmp_path / "r", task="segment", target="l")
    assert int(segment[0].y[3]) == -1 and segment.classes == ["0"]
    wind = dataset(tmp_path / "t.csv", tmp_path / "r", task="vectors", target="w")
    assert wind[0].y[4].isnan().all() and wind[0].y.isnan().sum() == 3
    numbers = dataset(tmp_path / "t.csv", tmp_path / "r", task="regress")
    assert numbers.task.names == ("n", "m") and numbers[0].y[0, 0].isnan() and numbers[0].y[0, 1] == 2


def test_folders_and_lists(table, records, tmp_path):
    v, f = sphere(1)
    for kind, factor in (("round", 1.0), ("long", 2.0)):
        for k in range(2):
            write_obj(tmp_path / "all" / kind / f"{k}.obj", v * np.array([1, 1, factor]) * (1 + k), f)
    by_folder = dataset(tmp_path / "all", records)
    assert by_folder.classes == ["long", "round"] and by_folder.names[0] == "long/0.obj"
    several = dataset([tmp_path / "all" / "round", tmp_path / "all" / "long"], records)
    assert several.names[0] == "round/0.obj" and [int(g.y) for g in several] == [1, 1, 0, 0]
    pairs = dataset([(tmp_path / "all" / "round" / "0.obj", 10), (tmp_path / "all" / "long" / "0.obj", 9)], records)
    assert pairs.classes == ["9", "10"]
    rows = [{"where": str(tmp_path / "all/round/0.obj"), "kind": "a"}, {"where": str(tmp_path / "all/long/0.obj"), "kind": "b"}]
    assert dataset(rows, records, path="where").classes == ["a", "b"]
    (tmp_path / "t.tsv").write_text("mesh\tlabel\nall/round/0.obj\tx\nall/long/0.obj\ty\n")
    assert dataset(tmp_path / "t.tsv", records).classes == ["x", "y"]


def test_records_of_the_command_are_reused(table, tmp_path):
    out = tmp_path / "out"
    assert main(["preprocess", str(table.parent / "meshes"), str(out), "--rings", "1", "--features", "hks", "--quiet"]) == 0
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.safetensors")}
    shapes = dataset(table, out)
    assert len(before) == 12 and {p.name: p.stat().st_mtime_ns for p in out.glob("*.safetensors")} == before
    assert len(shapes) == 12
    dataset(table, out, ProcessParams(rings=2, features=("hks",)))
    assert len(list(out.glob("*.safetensors"))) == 24


def test_default_parameters(table, tmp_path):
    shapes = MeshDataset.from_table(table, records=tmp_path)
    assert shapes.params == ProcessParams(rings=2, normalize=True, features=("hks",)) and shapes[0].num_levels == 1
    assert MeshDataset.from_table(table, records=tmp_path, task="segment", target="side").params.levels == 1


def test_options(table, records):
    shapes = dataset(table, records, dtype=torch.float64, transform=lambda graph: graph.name)
    assert shapes[0] == "meshes/e0.obj" and shapes.get(0).log.dtype == torch.float64
    assert shapes.get(0).radius is shapes.get(0).radius
    fresh = dataset(table, records, in_memory=False)
    assert fresh.get(0).radius is not fresh.get(0).radius
    with pytest.raises(ValueError, match="a timeout needs worker processes"):
        dataset(table, records, timeout=1.0)
    with pytest.raises(ValueError, match="on_error to be one of"):
        dataset(table, records, on_error="ignore")
    with pytest.raises(TypeError, match="params to be ProcessParams"):
        dataset(table, records, {"rings": 1})


def test_worker_processes(table, tmp_path):
    shapes = dataset(table, tmp_path, jobs=1, timeout=300.0)
    assert len(shapes) == 12 and (tmp_path / "index.json").exists()


def test_bad_meshes(tmp_path):
    v, f = sphere(1)
    write_obj(tmp_path / "good.obj", v, f)
    (tmp_path / "bad.obj").write_text("v 0 0 nan\n")
    table = [(tmp_path / "good.obj", "a"), (tmp_path / "bad.obj", "b")]
    with pytest.raises(GaugenetError, match=r'1 meshes failed \(on_error="skip" leaves them out\): .*bad.obj'):
        dataset(table, tmp_path / "r")
    kept = dataset(table, tmp_path / "r", on_error="skip")
    assert len(kept) == 1 and list(kept.failed) == [str(tmp_path / "bad.obj")] and kept.classes == ["a"]
    with pytest.raises(GaugenetError, match="all meshes failed"):
        dataset(table[1:], tmp_path / "r", on_error="skip")


def test_splits(table, records):
    shapes = dataset(table, records)
    train, test = shapes.split(0.25)
    assert len(train) == 8 and len(test) == 4 and not set(train.names) & set(test.names)
    assert {int(g.y) for g in test} == {0, 1}  # of every class
    assert shapes.split(0.25)[1].names == test.names != shapes.split(0.25, seed=1)[1].names
    assert len(shapes.split(0.4)[1]) == 4 and len(shapes.split(0.5)[1]) == 6
    for part in (0.0, 1.0):
        with pytest.raises(ValueError, match="0 < test < 1"):
            shapes.split(part)
    with pytest.raises(ValueError, match="leave none to test on"):
        shapes[:1].split(0.5)
    with pytest.raises(ValueError, match="no rows with split 'val': there are none"):
        shapes.subset("val")


def test_splits_of_the_table(table, records):
    rows = [{"path": row.path, **{"label": row.values["label"]}, "split": word} for row, word in zip(read_rows(table), WORDS)]
    shapes = dataset(rows, records)
    train, test = shapes.split()
    assert len(train) == 8 and len(test) == 2 and len(shapes.subset("val")) == 2


WORDS = ["train"] * 8 + ["test"] * 2 + ["val"] * 2


@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        ("a,label\nx.obj,1\n", {}, "no column of mesh files: expected one of path, file.*among a, label"),
        ("path,label\nx.obj,1\ny.obj,2\n", {}, "2 of 2 mesh files are not there: x.obj, y.obj"),
        ("path,label\n", {}, "no meshes"),
        ("", {}, "no column of mesh files"),
        ("path,label\nm.obj\n", {}, "line 2: expected 2 cells"),
        ("path,label\nm.obj,\n", {}, "m.obj: no label in 'label'"),
        ("path,a,b\nm.obj,1,2\n", {}, 'task "classify" expected target=..., one of the columns a, b'),
        ("path\nm.obj\n", {}, "there are none"),
        ("path,a\nm.obj,1\n", {"target": "c"}, "no column 'c': the columns are path, a"),
        ("path,a\nm.obj,1\n", {"path": "file"}, "no column 'file': its columns are path, a"),
        ("path,a,b\nm.obj,1,2\n", {"target": ("a", "b")}, "expected one target"),
        ("path,a\nm.obj,1\nm.obj,x\n", {"task": "regress"}, "expected numbers in a, got"),
        ("path,a\nm.obj,none.npy\n", {"task": "segment"}, "none.npy: expected numbers, as .npy or text"),
        ("path,a\nm.obj,short.txt\n", {"task": "segment"}, "expected a row for each of 18 vertices or 32 or more faces, got 2"),
        ("path,a\nm.obj,short.txt\n", {"task": "vectors"}, "expected a row for each of 18 vertices, got 2"),
        ("path,a\nm.obj,long.txt\n", {"task": "vectors"}, "expected vectors of 3 components, got 1"),
        ("path,a\nm.obj,half.txt\n", {"task": "segment"}, "expected one integer label a row"),
        ("path,a\nm.obj,words.txt\n", {"task": "segment"}, "expected numbers"),
        ("path,a\nm.obj,pickle.npy\n", {"task": "segment"}, "expected numbers"),
    ],
)
def test_bad_tables(text, options, match, tmp_path):
    write_obj(tmp_path / "m.obj", *sphere(1)[:2])
    (tmp_path / "short.txt").write_text("1\n2\n")
    (tmp_path / "long.txt").write_text("1\n" * 18)
    (tmp_path / "half.txt").write_text("0.5\n" * 18)
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match=match):
        dataset(tmp_path / "t.csv", tmp_path / "r", **options)


def test_other_bad_arguments(tmp_path):
    with pytest.raises(TypeError, match="expected a table"):
        dataset(5, tmp_path)
    with pytest.raises(TypeError, match="a row of the list is"):
        dataset([(1, 2, 3)], tmp_path)
    with pytest.raises(ValueError, match="task to be one of 'classify'"):
        dataset(tmp_path, tmp_path, task="sort")
    with pytest.raises(FileNotFoundError):
        dataset(tmp_path / "none.csv", tmp_path)
    write_obj(tmp_path / "x" / "m.obj", *sphere(1)[:2])
    write_obj(tmp_path / "m.obj", *sphere(1)[:2])
    with pytest.raises(TableError, match="both in class folders and beside them"):
        dataset(tmp_path, tmp_path / "r")
    (tmp_path / "b.csv").write_bytes(b"path,label\n\xff\xfe,1\n")
    with pytest.raises(TableError, match="not a table of text"):
        dataset(tmp_path / "b.csv", tmp_path / "r")
    np.save(tmp_path / "scalar.npy", np.array(3.0))
    with pytest.raises(TableError, match="expected an array of numbers"):
        read_numbers(tmp_path / "scalar.npy")


def test_losses():
    task = Task("regress", ("a", "b"), mean=(1.0, 2.0), std=(2.0, 4.0))
    assert Task.from_dict(task.to_dict()) == task and task.num_outputs == 2
    values = torch.tensor([[3.0, 6.0]])
    assert torch.equal(task.scaled(values), torch.ones(1, 2)) and torch.equal(task.in_units(torch.ones(1, 2)), values)

    class graph:
        y = torch.tensor([[3.0, float("nan")]])
        face = torch.tensor([[0], [1], [2]])

    output = torch.tensor([[3.0, 5.0]], requires_grad=True)
    loss = task.loss(output, graph)
    loss.backward()
    assert loss.item() == 4.0 and output.grad.tolist() == [[4.0, 0.0]]
    faces = Task("segment", ("a",), ("0", "1"), "faces")
    logits = torch.tensor([[0.0, 3.0], [0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    graph.y = torch.tensor([1])
    assert faces.loss(logits, graph).item() == pytest.approx(np.log(1 + np.exp(-1.0)), rel=1e-6)
    graph.y = torch.tensor([-1])
    assert faces.loss(logits, graph).item() == 0
    with pytest.raises(ValueError, match="kind to be one of"):
        Task("sort")
    with pytest.raises(ValueError, match="on to be one of"):
        Task("segment", on="edges")


def test_geometry_counts_the_whole_set(table, records):
    shapes = dataset(table, records)
    assert shapes[3:].geometry(0).num_nodes == shapes.geometry(0).num_nodes
    assert isinstance(shapes.geometry(0), geometry.LocalGeometry)
