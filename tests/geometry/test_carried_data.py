"""What a file or the caller says of vertices and faces arrives at the nodes, through everything, and goes back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from gaugenet import GaugeGraph, geometry
from gaugenet.data import MeshToGauge, ShapeDataset
from gaugenet.errors import GeometryError, RecordError
from gaugenet.geometry import LocalGeometry, ProcessParams, process_one, repair_mesh
from gaugenet.geometry.triangles.triangle_mesh import TriangleMesh
from gaugenet.io.loading import parse_mesh
from gaugenet.io.records import load_record, save_record
from tests.helpers.corpus import bow_tie, joined, moebius, soup, sphere, torus

BALL = sphere(2)


def labelled(vertices: np.ndarray) -> np.ndarray:
    """(V, 2) integers that tell every place from the others."""
    return np.rint(vertices[:, :2] * 1000).astype(np.int64)


def with_defects() -> tuple[np.ndarray, np.ndarray]:
    """A soup of a ball, a bow tie, an edge of no length to collapse, and vertices that no face uses."""
    v, f = joined(soup(BALL), (bow_tie()[0] + 5.0, bow_tie()[1]), (torus()[0] + 20.0, torus()[1]))
    v, f = np.insert(v, 7, 99.0, axis=0), f + (f >= 7)
    v = np.concatenate([v, [[50.0, 50, 50]]])
    first = f[-1].copy()
    f[-1, 2] = len(v)  # a copy of its vertex, at the same place, joined by a face of no length
    return np.concatenate([v, v[first[2:]]]), np.concatenate([f, [[first[2], len(v), first[0]]]])


@pytest.mark.parametrize("renumber", [False, True])
def test_through_repair_records_and_back(tmp_path, renumber):
    v, f = with_defects()
    label, of_faces = labelled(v), np.arange(len(f)) + 7
    data = {"vertex_data": {"label": label, "height": v[:, 2]}, "face_data": {"part": of_faces}}
    options = {"repair": True, "renumber": renumber, "rings": 1, "levels": 2}
    with pytest.warns(UserWarning, match="welded"):
        geom = geometry.mesh(v, f, **options, **data)
    assert geom.num_nodes < len(v) and len(geom.vertex_nodes) == len(v)
    for level in geom.levels():
        assert np.array_equal(level.vertex_data["label"], labelled(level.positions))
        assert np.allclose(level.positions, v[level.vertex_data["ids"]])
    kept = v[f[geom.face_data["part"] - 7]]
    assert np.allclose(np.sort(geom.positions[geom.faces], axis=1), np.sort(kept, axis=1))
    back = geom.on_input_vertices(geom.vertex_data["label"])
    used = np.isin(np.arange(len(v)), f)
    assert np.array_equal(back[used], label[used])  # welded, split and collapsed ones too
    assert (back[~used] == -1).all() and (~used).sum() == 2
    assert np.isnan(geom.on_input_vertices(geom.positions)[~used]).all()
    assert (geom.on_input_vertices(geom.positions, fill=0.0)[~used] == 0).all()
    geom.validate()
    geom.save(tmp_path / "a.safetensors")
    loaded = LocalGeometry.load(tmp_path / "a.safetensors")
    assert np.array_equal(loaded.vertex_nodes, geom.vertex_nodes)
    for one, two in zip(geom.levels(), loaded.levels()):
        assert np.array_equal(one.vertex_data["label"], two.vertex_data["label"])
        assert two.vertex_data["label"].dtype == np.int64 and two.vertex_data["height"].dtype == np.float32
    assert np.array_equal(loaded.face_data["part"], geom.face_data["part"])
    graph = loaded.to_graph()
    assert torch.equal(graph.on_input_vertices(graph.vertex_label)[used], torch.tensor(label[used]))
    with pytest.raises(GeometryError, match="rows"):
        geom.replace(vertex_data={"label": label}).validate()
    with pytest.raises(GeometryError, match="a row for each"):
        geom.on_input_vertices(label)
    with pytest.raises(ValueError, match="a row for each"):
        graph.on_input_vertices(torch.zeros(len(v)))


def test_through_the_double_cover():
    v, f = moebius(20, 4)
    geom = geometry.mesh(v, f, rings=1, levels=1, structure="O2", vertex_data={"label": labelled(v)})
    for level in geom.levels():
        assert np.array_equal(level.vertex_data["label"], labelled(level.positions))
    assert np.array_equal(geom.on_input_vertices(geom.positions), v)


def test_a_repaired_mesh_keeps_the_numbers_of_its_input():
    v, f = np.insert(BALL[0], 10, 9.0, axis=0), BALL[1] + (BALL[1] >= 10)
    fixed, _ = repair_mesh(v, f)
    geom = geometry.mesh(fixed, rings=1)
    assert np.array_equal(v[geom.vertex_data["ids"]], geom.positions) and len(geom.vertex_nodes) == len(v)
    radius = np.linspace(0.3, 0.5, fixed.num_vertices)  # by the vertices of what was given
    assert np.array_equal(geometry.mesh(fixed, radius=radius).radius, radius)


def test_batches_go_back_one_by_one():
    meshes = [(np.insert(v, k, 9.0, axis=0), f + (f >= k)) for k, (v, f) in enumerate((BALL, torus(), sphere(1)), 3)]
    graphs = [MeshToGauge(rings=1)(Data(pos=torch.tensor(v), face=torch.tensor(f.T))) for v, f in meshes]
    batch = Batch.from_data_list(graphs)
    back = batch.on_input_vertices(batch.pos)
    expected = torch.cat([torch.tensor(v) for v, _ in meshes])
    used = torch.cat([torch.tensor(np.isin(np.arange(len(v)), f)) for v, f in meshes])
    assert torch.equal(back[used], expected[used]) and back[~used].isnan().all() and (~used).sum() == 3
    assert torch.equal(batch.vertex_ids, torch.cat([g.vertex_ids for g in graphs]))


def test_transform_takes_labels_along():
    v, f = np.insert(BALL[0], 10, 9.0, axis=0), np.concatenate([[[1, 1, 2]], BALL[1] + (BALL[1] >= 10)])
    data = Data(pos=torch.tensor(v), face=torch.tensor(f.T), y=torch.arange(len(v)), part=torch.arange(len(f)), name="ball")
    data.label = torch.tensor([3])
    graph = MeshToGauge(rings=1)(data)
    assert len(graph.y) == graph.num_nodes == len(v) - 1
    assert torch.equal(torch.tensor(v)[graph.y], graph.pos)
    assert torch.equal(graph.part, torch.arange(1, len(f))) and graph.label.tolist() == [3] and graph.name == "ball"


def test_names_that_torch_geometric_would_shift():
    v, f = BALL
    named = {"vertex_data": {"batch_index": np.zeros(len(v), int)}, "face_data": {"index": np.zeros(len(f), int)}}
    graph = geometry.mesh(v, f, rings=1, **named).to_graph()
    batch = Batch.from_data_list([graph, graph])
    assert not batch.vertex_batch_index.any() and not batch.face_index.any() and batch.face_index.shape == (2 * len(f),)
    assert isinstance(batch, GaugeGraph)


def ply(order: str) -> bytes:
    """Four vertices with a colour, a normal and a label; a quad and a triangle with a part and a list of their own."""
    head = f"ply\nformat {order} 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    head += "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty float nx\nproperty float ny\n"
    head += "property float nz\nproperty int label\nproperty double quality\nelement face 2\n"
    head += "property list uchar int vertex_indices\nproperty short part\nproperty list uchar float uv\nend_header\n"
    rows = [(x, y, 0, 10 * k, 20, 30, 0, 0, 1, k - 2, 0.5 * k) for k, (x, y) in enumerate([(0, 0), (1, 0), (1, 1), (0, 1)])]
    faces = [((0, 1, 2, 3), -5, (0.25, 0.5)), ((0, 2, 3), 300, (1.0, 2.0))]
    if order == "ascii":
        body = "".join(" ".join(map(str, row)) + "\n" for row in rows)
        body += "".join(f"{len(a)} {' '.join(map(str, a))} {p} 2 {u[0]} {u[1]}\n" for a, p, u in faces)
        return (head + body).encode()
    mark = "<" if "little" in order else ">"
    kind = np.dtype([("x", mark + "f4", 3), ("c", "u1", 3), ("n", mark + "f4", 3), ("l", mark + "i4"), ("q", mark + "f8")])
    body = np.array([(r[:3], r[3:6], r[6:9], r[9], r[10]) for r in rows], kind).tobytes()
    for a, p, u in faces:
        body += bytes([len(a)]) + np.array(a, mark + "i4").tobytes() + np.array(p, mark + "i2").tobytes()
        body += b"\x02" + np.array(u, mark + "f4").tobytes()
    return head.encode() + body


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_has_colours_and_labels(order):
    mesh = parse_mesh(ply(order), ".ply")
    assert set(mesh.vertex_data) == {"color", "normal", "label", "quality"} and not mesh.warnings
    assert mesh.vertex_data["color"].tolist() == [[10 * k, 20, 30] for k in range(4)]
    assert mesh.vertex_data["normal"].tolist() == [[0, 0, 1]] * 4
    assert mesh.vertex_data["label"].tolist() == [-2, -1, 0, 1] and mesh.vertex_data["label"].dtype == np.int64
    assert mesh.vertex_data["quality"].tolist() == [0, 0.5, 1, 1.5]
    assert mesh.face_data["part"].tolist() == [-5, -5, 300]  # the quad is two triangles
    assert mesh.face_data["uv"].tolist() == [[0.25, 0.5], [0.25, 0.5], [1, 2]]


def test_ply_lists_of_many_lengths_are_left_out_with_a_word():
    text = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    text += "property list uchar int bones\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n"
    mesh = parse_mesh((text + "0 0 0 1 5\n1 0 0 2 5 6\n0 1 0 0\n3 0 1 2\n").encode(), ".ply")
    assert not mesh.vertex_data and "bones" in str(mesh.warnings[0])


def test_obj_has_colours_and_groups():
    text = b"v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nv 0 1 0 .5 .5 .5\n"
    text += b"f 1 2 3\ng left arm\ng right arm\nusemtl skin\nf 1 3 4\ng left arm\nf 4 3 2 1\n"
    mesh = parse_mesh(text, ".obj")
    assert mesh.vertex_data["color"].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5]]
    assert mesh.names == {"group": ["", "left arm", "right arm"], "material": ["", "skin"]}
    assert mesh.face_data["group"].tolist() == [0, 2, 1, 1] and mesh.face_data["material"].tolist() == [0, 1, 1, 1]


def test_obj_weights_and_corners():
    mesh = parse_mesh(b"v 0 0 0 1\nv 1 0 0 1\nv 0 1 0 1\nvt 0 0\nf 1/1 2/1 3/1\n", ".obj")
    assert not mesh.vertex_data and [str(w) for w in mesh.warnings] == ["left out the texture coordinates of corners"]


def test_off_has_colours_and_normals():
    text = b"CNOFF\n3 1 0\n0 0 0 0 0 1 255 0 0 255\n1 0 0 0 0 1 0 255 0 255\n0 1 0 0 0 1 0 0 255 255\n3 0 1 2 9 8 7\n"
    mesh = parse_mesh(text, ".off")
    assert mesh.vertex_data["normal"].tolist() == [[0, 0, 1]] * 3
    assert mesh.vertex_data["color"][:, :3].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert mesh.face_data["color"].tolist() == [[9, 8, 7]] and not mesh.warnings


def test_stl_attributes_and_glb_colours():
    import trimesh

    v, f = BALL
    data = bytearray(trimesh.Trimesh(v, f, process=False).export(file_type="stl"))
    assert not parse_mesh(bytes(data), ".stl").face_data
    data[84 + 48] = 7
    assert parse_mesh(bytes(data), ".stl").face_data["attribute"][:2].tolist() == [7, 0]
    colour = np.random.default_rng(0).integers(0, 255, (len(v), 4), dtype=np.uint8)
    ball = trimesh.Trimesh(v, f, vertex_colors=colour, process=False)
    mesh = parse_mesh(ball.export(file_type="glb"), ".glb")
    assert np.array_equal(mesh.vertex_data["color"], colour)
    scene = trimesh.Scene([ball, trimesh.Trimesh(v + 3.0, f, process=False)])
    mesh = parse_mesh(scene.export(file_type="glb"), ".glb")
    assert not mesh.vertex_data and "color" in str(mesh.warnings[0])


def test_process_one_and_data_sets(tmp_path, monkeypatch):
    def write(name: str, mesh, more: str = "") -> None:
        v, f = mesh
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"v {x} {y} {z} {x} {y} {z}" for x, y, z in v.tolist()] + [more]
        path.write_text("\n".join(lines + [f"f {a} {b} {c}" for a, b, c in (f + 1).tolist()]) + "\n")

    write("a/ball.obj", BALL)
    write("b/ring.obj", torus(), "g part")
    params = ProcessParams(rings=1, normalize=True, renumber=True)
    geom = process_one(tmp_path / "in" / "b" / "ring.obj", params)
    assert geom.metadata["names"] == {"group": ["part"]} and not geom.face_data["group"].any()
    assert np.allclose(geom.vertex_data["color"] * geom.metadata["scale"], geom.positions)
    assert np.array_equal(geom.vertex_data["ids"], geom.metadata["vertex_ids"])
    with pytest.warns(UserWarning, match="not all meshes have them alike: face_group"):
        dataset = ShapeDataset(tmp_path / "in", params, records=tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="face_group"):  # from folders that are named from here, too
        assert len(ShapeDataset("in", params, records="relative")) == 2
    batch = Batch.from_data_list([dataset[0], dataset[1]])
    assert "face_group" not in dataset[1] and torch.equal(batch.on_input_vertices(batch.vertex_ids)[:66], torch.arange(66))
    assert batch.vertex_color.shape == (batch.num_nodes, 3)


def test_any_number_can_be_stored(tmp_path):
    v, f = sphere(0)
    values = {
        "big": np.array([2**40, -(2**40), 0, 1, 2, 3]),
        "holes": np.array([np.nan, 1, 2, 3, 4, np.inf]),
        "mask": v[:, 0] > 0,
    }
    geom = geometry.mesh(v, f, rings=1, vertex_data=values)
    geom.save(tmp_path / "a.safetensors")
    loaded = load_record(tmp_path / "a.safetensors", np.float64)
    assert np.array_equal(loaded.vertex_data["big"], values["big"])
    assert np.array_equal(loaded.vertex_data["holes"], values["holes"], equal_nan=True)
    assert np.array_equal(loaded.vertex_data["mask"], values["mask"])
    with pytest.raises(GeometryError, match="below 2\\*\\*63"):
        save_record(geom.replace(vertex_data={"a": np.full(6, 2**63, np.uint64)}), tmp_path / "b.safetensors")
    with pytest.raises((GeometryError, RecordError), match="vertex_data 'a' has 3 rows, expected 6"):
        save_record(geom.replace(vertex_data={"a": np.zeros(3)}), tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ({"vertex_data": {"a": np.zeros(3)}}, ValueError, r"vertex_data\['a'\] expected 66 rows"),
        ({"face_data": {"a": np.zeros(3)}}, ValueError, r"face_data\['a'\] expected 128 rows"),
        ({"vertex_data": {"a": np.array(["x"] * 66)}}, TypeError, "must be numbers"),
        ({"vertex_data": {"a": np.zeros((66, 1, 1, 1))}}, ValueError, "at most 3 axes"),
        ({"vertex_data": {"ids": np.zeros(66)}}, ValueError, "another name"),
    ],
)
def test_wrong_arguments(data, error, words):
    with pytest.raises(error, match=words):
        geometry.mesh(*BALL, rings=1, **data)


def test_records_of_an_older_version_say_so():
    geom = geometry.mesh(TriangleMesh(*BALL), rings=1).replace(vertex_nodes=None, metadata={"vertex_ids": [1]})
    with pytest.raises(GeometryError, match="preprocess again"):
        geom.on_input_vertices(geom.positions)
