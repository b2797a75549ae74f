"""load_mesh: each format there and back, and every damage named."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import trimesh

from gaugenet.errors import MeshError
from gaugenet.geometry.triangles.checks import check_mesh
from gaugenet.io.loading import load_mesh, parse_mesh
from tests.helpers.corpus import joined, plate, soup, sphere, torus

SPHERE = sphere(2)


def export(mesh, path, **options):
    v, f = mesh
    data = trimesh.Trimesh(v, f, process=False).export(file_type=path.suffix[1:], **options)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("extension", ["obj", "off", "ply", "glb", "OBJ"])
@pytest.mark.parametrize("mesh", [SPHERE, plate(), joined(torus(), plate())], ids=["sphere", "plate", "two"])
def test_roundtrip_keeps_every_index(tmp_path, extension, mesh):
    v, f = mesh
    path = export(mesh, tmp_path / "m.obj").rename(tmp_path / "m.OBJ") if extension == "OBJ" else tmp_path / f"m.{extension}"
    if extension != "OBJ":
        export(mesh, path)
    loaded = load_mesh(path)
    np.testing.assert_array_equal(loaded.faces, f)
    np.testing.assert_allclose(loaded.vertices, v, atol=2e-7)
    assert loaded.vertices.dtype == np.float64 and loaded.faces.dtype == np.int64
    assert loaded.path == str(path) and not loaded.warnings


@pytest.mark.parametrize("encoding", ["binary", "ascii"])
def test_ply_encodings(tmp_path, encoding):
    loaded = load_mesh(export(SPHERE, tmp_path / "m.ply", encoding=encoding))
    np.testing.assert_array_equal(loaded.faces, SPHERE[1])


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
def test_stl_is_welded_and_says_so(tmp_path, kind):
    v, f = SPHERE
    path = tmp_path / "m.stl"
    data = trimesh.Trimesh(v, f, process=False).export(file_type=kind)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    loaded = load_mesh(path)
    assert loaded.num_vertices == len(v) and [w.kind for w in loaded.warnings] == ["stl_weld"]
    assert f"{3 * len(f)} corners at {len(v)}" in str(loaded.warnings[0])
    np.testing.assert_allclose(loaded.vertices[loaded.faces], v[f], atol=1e-7)
    assert not check_mesh(loaded.vertices, loaded.faces).warnings


@pytest.mark.parametrize("extension", ["obj", "off", "ply", "glb"])
def test_soup_and_unreferenced_vertices_survive(tmp_path, extension):
    v, f = soup(SPHERE)
    loaded = load_mesh(export((v, f), tmp_path / f"soup.{extension}"))
    assert loaded.num_vertices == len(v) and loaded.num_faces == len(f)
    v, f = np.vstack([SPHERE[0], [[5.0, 5, 5]]]), SPHERE[1]
    assert load_mesh(export((v, f), tmp_path / f"loose.{extension}")).num_vertices == len(v)


def test_tiny_meshes_are_not_welded():
    v, f = SPHERE
    text = "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in (v * 1e-12).tolist())
    text += "".join(f"f {a} {b} {c}\n" for a, b, c in (f + 1).tolist())
    np.testing.assert_array_equal(parse_mesh(text.encode(), ".obj").vertices, v * 1e-12)


def test_obj_dialect():
    text = b"""# made by hand
mtllib a.mtl
o thing
v 0 0 0 0.5 0.5 0.5
v 1 0 0\r
v 1 1 0
v 0 1 0
vt 0 0
vn 0 0 1
usemtl red
s off
f 1/1/1 2/1/1 3/1/1 4//1 # a quad
v 0 0 1
f -1 -5 \\
  -4
l 1 2
"""
    mesh = parse_mesh(text, ".obj", "a.obj")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [4, 0, 1]]
    assert mesh.face_ids.tolist() == [0, 0, 1]
    assert mesh.num_vertices == 5
    told = [str(w) for w in mesh.warnings]
    assert [w.kind for w in mesh.warnings] == ["left_out"] * 3
    assert "lines" in told[0] and "texture coordinates and normals of corners" in told[1] and "colour" in told[2]
    assert mesh.names == {"object": ["thing"], "material": ["red"]} and mesh.face_data["material"].tolist() == [0, 0, 0]


def test_obj_texture_seams_do_not_split_vertices():
    text = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nvt 0 0\nvt 1 1\nf 1/1 2/1 3/1\nf 2/2 4/2 3/2\n"
    assert parse_mesh(text, ".obj").num_vertices == 4


@pytest.mark.parametrize("head", ["OFF\n5 2 0", "OFF 5 2 0", "OFF5 2 0", "COFF\n5 2", "# hello\nOFF # yes\n\n5 2 0"])
def test_off_dialect(head):
    text = head + "\n0 0 0 255 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1\n\n4 0 1 2 3 0.1 0.2 0.3\n3 4 0 1\n"
    mesh = parse_mesh(text.encode(), ".off")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [4, 0, 1]]
    assert mesh.vertices[4].tolist() == [0, 0, 1] and len(mesh.warnings) == 2
    assert "after x y z" in str(mesh.warnings[0]) and "colours of faces" in str(mesh.warnings[1])


def ply(body: bytes, order="binary_little_endian", vertices=4, faces=2, extra="", listed="list uchar int vertex_indices"):
    head = f"ply\nformat {order} 1.0\ncomment hi\nelement vertex {vertices}\n"
    head += "property float x\nproperty float y\nproperty float z\n"
    return (head + f"element face {faces}\nproperty {listed}\n{extra}end_header\n").encode() + body


CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype="<f4")


@pytest.mark.parametrize(("order", "mark"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_ply_mixed_polygons(order, mark):
    body = CORNERS.astype(mark + "f4").tobytes()
    body += struct.pack(mark + "B4iB", 4, 0, 1, 2, 3, 9) + struct.pack(mark + "B3iB", 3, 0, 2, 3, 9)
    mesh = parse_mesh(ply(body, order, extra="property uchar flag\n"), ".ply")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 2, 3]] and mesh.face_ids.tolist() == [0, 0, 1]


def test_ply_text_mixed_polygons_and_other_elements():
    body = b"0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n3 0 2 3\n7 8\n"
    mesh = parse_mesh(ply(body, "ascii", extra="element edge 1\nproperty int a\nproperty int b\n"), ".ply")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 2, 3]]
    assert "edge" in str(mesh.warnings[0])


def test_ply_index_types():
    body = CORNERS.tobytes() + struct.pack("<I3H", 3, 0, 1, 2) + struct.pack("<I3H", 3, 0, 2, 3)
    assert parse_mesh(ply(body, listed="list uint ushort vertex_index"), ".ply").faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert parse_mesh(ply(body, listed="list uint ushort corners"), ".ply").faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_bytes_beyond_the_end_are_mentioned():
    body = CORNERS.tobytes() + struct.pack("<B3iB3i", 3, 0, 1, 2, 3, 0, 2, 3)
    assert not parse_mesh(ply(body), ".ply").warnings
    assert "3 bytes" in str(parse_mesh(ply(body + b"abc"), ".ply").warnings[0])
    text = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n9 9 9\n"
    assert "1 lines" in str(parse_mesh(text, ".off").warnings[0])
    stl = trimesh.Trimesh(*SPHERE, process=False).export(file_type="stl")
    assert "4 bytes" in str(parse_mesh(stl + b"tail", ".stl").warnings[0])


def test_glb_scene_is_placed_and_joined(tmp_path):
    v, f = SPHERE
    scene = trimesh.Scene()
    part = trimesh.Trimesh(v, f, process=False)
    move, mirror = np.eye(4), np.diag([-1.0, 1, 1, 1])
    move[:3, 3] = 5.0, 0, 0
    scene.add_geometry(part, node_name="a", transform=move)
    scene.add_geometry(part, node_name="b", transform=mirror)
    (tmp_path / "s.glb").write_bytes(scene.export(file_type="glb"))
    mesh = load_mesh(tmp_path / "s.glb")
    assert (mesh.num_vertices, mesh.num_faces) == (2 * len(v), 2 * len(f))
    assert sorted({round(x) for x in mesh.vertices[:, 0].tolist()}) == [-1, 0, 1, 4, 5, 6]
    # A mirrored node still has its normals outward.
    assert not check_mesh(mesh.vertices, mesh.faces).warnings


def test_glb_points_are_mentioned(tmp_path):
    scene = trimesh.Scene([trimesh.Trimesh(*SPHERE, process=False)])
    scene.add_geometry(trimesh.PointCloud(np.eye(3)), node_name="dots")
    (tmp_path / "s.glb").write_bytes(scene.export(file_type="glb"))
    mesh = load_mesh(tmp_path / "s.glb")
    assert mesh.num_faces == len(SPHERE[1])
    assert "dots" in str(mesh.warnings[0])


def patched_glb() -> bytes:
    """A GLB whose index buffer refers to a vertex that is not there."""
    data = bytearray(trimesh.Trimesh(*SPHERE, process=False).export(file_type="glb"))
    at = bytes(data).find(SPHERE[1].astype("<u4").tobytes())
    assert at > 0
    data[at : at + 4] = struct.pack("<I", 1000)
    return bytes(data)


STL = trimesh.Trimesh(*SPHERE, process=False).export(file_type="stl")
STL_TEXT = trimesh.Trimesh(*SPHERE, process=False).export(file_type="stl_ascii").encode()
GLB = trimesh.Trimesh(*SPHERE, process=False).export(file_type="glb")
OBJ3 = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
TWO = struct.pack("<B3iB3i", 3, 0, 1, 2, 3, 0, 2, 3)


@pytest.mark.parametrize(
    ("extension", "data", "kind", "words"),
    [
        *[(e, b"", "empty", "empty") for e in (".obj", ".off", ".ply", ".stl", ".glb")],
        (".obj", b" \n\n", "empty", "empty"),
        *[(e, bytes(range(256)) * 3, "unreadable", ":") for e in (".obj", ".off", ".ply", ".stl", ".glb")],
        (".obj", OBJ3, "empty", "no faces"),
        (".obj", b"f 1 2 3\n", "empty", "no vertices"),
        (".obj", OBJ3 + b"f 1 2 4\n", "index_out_of_range", "vertex 3 of 3"),
        (".obj", OBJ3 + b"f 0 1 2\n", "unreadable", "line 4: OBJ counts vertices from 1"),
        (".obj", OBJ3 + b"f -4 1 2\n", "unreadable", "line 4: a negative index"),
        (".obj", OBJ3 + b"f 1 2\n", "unreadable", "fewer than three"),
        (".obj", OBJ3 + b"f\n", "unreadable", "line 4"),
        (".obj", OBJ3 + b"f 1 2 x\n", "unreadable", "line 4"),
        (".obj", b"v 0 0\n" + OBJ3 + b"f 1 2 3\n", "unreadable", "line 1"),
        (".obj", b"v 0 0 zero\n" + OBJ3 + b"f 1 2 3\n", "unreadable", "not three numbers"),
        (".obj", b"v nan 0 0\n" + OBJ3 + b"f 1 2 3\n", "not_finite", "NaN"),
        (".obj", OBJ3 + b"f 1 2 99999999999999999999\n", "unreadable", "not vertex numbers"),
        (".off", b"OFF\n", "unreadable", "numbers of vertices"),
        (".off", b"OFF\nfive 2 0\n", "unreadable", "numbers of vertices"),
        (".off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n", "unreadable", "truncated"),
        (".off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1\n", "unreadable", "3 corners announced, 2 there"),
        (".off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n", "index_out_of_range", "vertex 3 of 3"),
        (".off", b"OFF\n3 1 0\n0 0 0\n1 0\n0 1 0\n3 0 1 2\n", "unreadable", "line 4"),
        (".off", b"OFF\n-3 1 0\n3 0 1 2\n", "unreadable", "truncated"),
        (".off", b"OFF BINARY\n3 1 0\n", "unreadable", "binary OFF"),
        (".ply", ply(CORNERS.tobytes() + TWO[:-1]), "unreadable", "truncated.*face"),
        (".ply", ply(CORNERS.tobytes()[:-3]), "unreadable", "truncated.*vertex"),
        (".ply", ply(CORNERS.tobytes(), vertices=10**12), "unreadable", "truncated"),
        (".ply", ply(CORNERS.tobytes() + TWO, faces=10**12), "unreadable", "truncated"),
        (
            ".ply",
            ply(CORNERS.tobytes() + struct.pack("<B3iB3i", 3, 0, 1, 2, 3, 0, 2, 4)),
            "index_out_of_range",
            "4 of 4",
        ),
        (".ply", ply(b"0 0 0 1 0 0 1 1 0 0 1 0 3 0 1 2 3 0 2 3.5", "ascii"), "unreadable", "whole number"),
        (".ply", ply(b"0 0 0 1 0 0 1 1 0 0 1 0 3 0 1 2 3 0 2", "ascii"), "unreadable", "truncated"),
        (".ply", ply(b"0 0 0 1 0 0 1 1 0 0 1 0 3 0 1 2 3 0 2 x", "ascii"), "unreadable", "not a number"),
        (".ply", ply(b"0 0 0 1 0 0 1 1 0 0 1 0 -1 0 1 2", "ascii"), "unreadable", "length of -1"),
        (".ply", ply(CORNERS.tobytes(), "ebcdic"), "unreadable", "header line"),
        (".ply", ply(CORNERS.tobytes(), extra="property quaternion q\n"), "unreadable", "quaternion"),
        (".ply", ply(CORNERS.tobytes(), faces=0), "empty", "no faces"),
        (".ply", b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\n", "unreadable", "end_header"),
        (".ply", b"ply\nelement vertex 0\nend_header\n", "unreadable", "format"),
        (".stl", STL[:-1], "unreadable", "truncated binary STL"),
        (".stl", STL[:40], "unreadable", "truncated"),
        (".stl", STL[:80] + bytes(4), "empty", "no"),
        (".stl", STL_TEXT[: len(STL_TEXT) // 2], "unreadable", "STL"),
        (".stl", STL_TEXT.replace(b"endsolid", b""), "unreadable", "truncated text"),
        (".stl", STL[:96] + struct.pack("<f", float("nan")) + STL[100:], "not_finite", "ids 0;"),
        (".glb", GLB[:-20], "unreadable", "GLB"),
        (".glb", GLB[:30], "unreadable", "GLB"),
        (".glb", patched_glb(), "index_out_of_range", "missing vertices"),
    ],
)
def test_damage(tmp_path, extension, data, kind, words):
    path = tmp_path / f"bad{extension}"
    path.write_bytes(data)
    with pytest.raises(MeshError, match=words) as info:
        load_mesh(path)
    assert info.value.kind == kind
    assert str(info.value).startswith(str(path)) and "\n" not in str(info.value)


def test_unknown_extension_and_missing_file(tmp_path):
    with pytest.raises(MeshError, match=r"unknown mesh format '\.xyz'.*\.obj") as info:
        load_mesh(tmp_path / "a.xyz")
    assert info.value.kind == "unknown_format"
    with pytest.raises(FileNotFoundError):
        load_mesh(tmp_path / "none.obj")


PLY = trimesh.Trimesh(*sphere(1), process=False).export(file_type="ply")
PLY_TEXT = trimesh.Trimesh(*sphere(1), process=False).export(file_type="ply", encoding="ascii")
OFF = trimesh.Trimesh(*sphere(1), process=False).export(file_type="off").encode()
OBJ = trimesh.Trimesh(*sphere(1), process=False).export(file_type="obj").encode()
GLB1 = trimesh.Trimesh(*sphere(1), process=False).export(file_type="glb")
SAMPLES = {".obj": [OBJ], ".off": [OFF], ".ply": [PLY, PLY_TEXT], ".stl": [STL, STL_TEXT], ".glb": [GLB1]}


@pytest.mark.parametrize("extension", list(SAMPLES))
def test_any_damage_is_a_mesh_error_or_a_mesh(extension):
    """Truncations, flipped bits, deleted and doubled stretches: never another exception, never an index out of range."""
    rng = np.random.default_rng(0)
    refused = 0
    for data in SAMPLES[extension]:
        for k in range(150):
            a, b = np.sort(rng.integers(0, len(data), 2))
            b = min(b, a + 40)
            broken = bytearray(data)
            if k % 4 == 0:
                broken = broken[:a]
            elif k % 4 == 1:
                broken[a] ^= 1 << int(rng.integers(8))
            elif k % 4 == 2:
                del broken[a:b]
            else:
                broken[a:a] = broken[a:b]
            try:
                mesh = parse_mesh(bytes(broken), extension, "a")
            except MeshError as error:
                assert error.path == "a"
                refused += 1
            else:
                assert np.isfinite(mesh.vertices).all()
                assert mesh.faces.min() >= 0 and mesh.faces.max() < mesh.num_vertices
    assert refused > 40
