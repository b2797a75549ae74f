"""Mesh files that announce what they do not hold: refused at once, whatever the header says."""

from __future__ import annotations

import json
import os
import struct
import threading
import tracemalloc

import pytest

from gaugenet.errors import MeshError
from gaugenet.geometry import ProcessParams, process_one
from gaugenet.io.loading import EXTENSIONS, load_mesh, parse_mesh
from tests.helpers.mutations import samples

TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
PLY_HEAD = b"ply\nformat %s 1.0\nelement vertex %d\nproperty float x\nproperty float y\nproperty float z\n"
PLY_FACES = b"element face %d\nproperty list %s int vertex_indices\nend_header\n"
POINTS = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
FACE = struct.pack("<B3i", 3, 0, 1, 2)
BINARY = b"binary_little_endian"


def ply(body: bytes = POINTS + FACE, vertices: int = 3, faces: int = 1, order: bytes = BINARY, length: bytes = b"uchar"):
    return PLY_HEAD % (order, vertices) + PLY_FACES % (faces, length) + body


def stl(count: int, triangles: int) -> bytes:
    return bytes(80) + struct.pack("<I", count) + struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0) * triangles


def glb(change=None, version: int = 2, length: int = 0, json_length: int = 0, binary_length: int = 0, more: int = 0) -> bytes:
    """A sound GLB with its header changed, the lengths of its chunks off by so much, or ``more`` bytes in its buffer."""
    data = samples("glb")[0]
    size = int.from_bytes(data[12:16], "little")
    header, binary = json.loads(data[20 : 20 + size]), data[28 + size :] + bytes(more)
    header = (change(header) or header) if change else header
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    head = b"glTF" + struct.pack("<II", version, 28 + len(text) + len(binary) + length)
    chunk = struct.pack("<I", len(binary) + binary_length) + b"BIN\0" + binary
    return head + struct.pack("<I", len(text) + json_length) + b"JSON" + text + chunk


def zeros(header) -> None:
    """An accessor without bytes: a billion zeros."""
    header["accessors"][1].pop("bufferView")
    header["accessors"][1]["count"] = 10**9


def overlapping(header) -> None:
    header["bufferViews"] = [{"buffer": 0, "byteLength": 2**20}] * 10**3


def strided(header) -> None:
    header["bufferViews"].append({"buffer": 0, "byteLength": 2**20, "byteStride": 1})
    rows = {"bufferView": 2, "componentType": 5126, "count": 10**6, "type": "MAT4"}
    header["accessors"] = [*header["accessors"], *[rows] * 10**3]


def placed(header) -> None:
    header["nodes"] = [{"mesh": 0}] * 10**4
    header["meshes"][0]["primitives"] *= 10**3
    header["scenes"][0]["nodes"] = list(range(10**4))


def ring(header) -> None:
    header["nodes"] = [{"children": [1]}, {"children": [0], "mesh": 0}]


def lattice(header) -> None:
    """Every node twice below the one before: 2^60 paths."""
    header["nodes"] = [{"children": [k + 1, k + 1]} for k in range(60)] + [{"mesh": 0}]


FILES = {
    "obj with a billion announced": (
        ".obj",
        b"# 1000000000 vertices\n" + TRIANGLE + b"f 1 2 1000000000\n",
        "vertex 999999999 of 3",
    ),
    "obj with a far negative index": (".obj", TRIANGLE + b"f -1 -2 -1000000000\n", "before the first"),
    "obj with a number of 5,000 digits": (".obj", TRIANGLE + b"f 1 2 " + b"3" * 5000 + b"\n", "line 4"),
    "obj with a vertex out of float": (".obj", b"v 1e999 0 0\n" + TRIANGLE + b"f 1 2 3\n", "NaN or infinite"),
    "obj of numbers that cannot be squared": (".obj", b"v 1e200 0 0\n" + TRIANGLE + b"f 1 2 3\n", None),
    "off with a billion announced": (".off", b"OFF\n1000000000 1000000000 0\n0 0 0\n", "1000000000 vertices"),
    "off with negative counts": (".off", b"OFF\n-3 -1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "truncated"),
    "off with negative faces": (".off", b"OFF\n3 -1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "truncated"),
    "off with a negative corner count": (".off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n-3 0 1 2\n", "-3 corners"),
    "off with a billion corners": (".off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n1000000000 0 1 2\n", "corners announced"),
    "ply with 2^31 vertices": (".ply", ply(vertices=2**31), "truncated"),
    "ply with 2^63 faces": (".ply", ply(faces=2**63), "truncated"),
    "ply text with 2^31 vertices": (".ply", ply(b"0 0 0 1 0 0", vertices=2**31, order=b"ascii"), "truncated"),
    "ply with a list of 2^32 - 1": (".ply", ply(POINTS + b"\xff" * 16, length=b"uint"), "truncated"),
    "ply with a list of -1": (".ply", ply(POINTS + b"\xff" * 16, length=b"int"), "truncated"),
    "ply text with a list of 2^31": (
        ".ply",
        ply(b"0 0 0 1 0 0 0 1 0 2147483648 0 1 2", order=b"ascii"),
        "length of 2147483648",
    ),
    "ply with a list of floats long": (".ply", ply(length=b"float"), "header line"),
    "ply with a negative count": (".ply", ply(vertices=-1), "header line"),
    "ply with an element of nothing": (".ply", b"ply\nformat ascii 1.0\nelement x 999999999999\nend_header\n", "x, y and z"),
    "stl with 2^32 - 1 triangles": (".stl", stl(2**32 - 1, 2), "truncated binary STL"),
    "stl with a triangle too few": (".stl", stl(3, 2), "truncated binary STL"),
    "glb of version 1": (".glb", glb(version=1), "version 1"),
    "glb longer than the file": (".glb", glb(length=4), "truncated GLB"),
    "glb of negative length": (".glb", glb(length=-(2**9)), "truncated GLB|chunk"),
    "glb with a long header": (".glb", glb(json_length=10**6), "chunk of"),
    "glb with a short header": (".glb", glb(json_length=-4), "GLB"),
    "glb with a long binary chunk": (".glb", glb(binary_length=4), "chunk of"),
    "glb with nested brackets": (".glb", glb(lambda h: b"[" * 10**5), "not JSON"),
    "glb of a list": (".glb", glb(lambda h: [1]), "no object"),
    "glb with a billion zeros": (".glb", glb(zeros), "accessors would take"),
    "glb with overlapping views": (".glb", glb(overlapping, more=2**20), "views would take"),
    "glb with overlapping rows": (".glb", glb(strided, more=2**20), "accessors would take"),
    "glb with a mesh placed many times": (".glb", glb(placed), "placed meshes would take"),
    "glb with a ring of nodes": (".glb", glb(ring), "below itself"),
    "glb with two parents": (".glb", glb(lattice), "two parents"),
    "glb with an accessor out of range": (".glb", glb(lambda h: h["accessors"][0].update(bufferView=7)), "IndexError"),
    "glb with a negative count": (".glb", glb(lambda h: h["accessors"][0].update(count=-1)), "count is -1"),
    "glb with a file as buffer": (".glb", glb(lambda h: h["buffers"][0].update(uri="../../etc/passwd")), "GLB"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_announcements(name):
    extension, data, words = FILES[name]
    tracemalloc.start()
    try:
        if words is None:
            parse_mesh(data, extension, "a")
            return
        with pytest.raises(MeshError, match=words) as info:
            parse_mesh(data, extension, "a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert info.value.path == "a" and "\n" not in str(info.value) and len(str(info.value)) < 400
    assert peak < 16 * 2**20 + 40 * len(data)


def test_the_sound_files_that_these_are_made_of():
    for extension, data in ((".ply", ply()), (".stl", stl(2, 2)), (".glb", glb()), (".glb", glb() + b"more")):
        assert parse_mesh(data, extension).num_faces > 0
    assert [w.kind for w in parse_mesh(glb() + b"more", ".glb").warnings] == ["left_out"]


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a named pipe and reads /dev/zero, which this system does not have")
def test_pipes_and_devices(tmp_path, extension):
    """A pipe that nobody writes to and a device without end: refused, also through a link, before a byte is read."""
    pipe, device, loop = (tmp_path / f"{name}{extension}" for name in ("pipe", "device", "loop"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    loop.symlink_to(loop)
    outcomes = []

    def attempt():
        for call in (load_mesh, lambda path: process_one(path, ProcessParams(rings=1))):
            for path in (pipe, device, tmp_path / f"loop{extension}"):
                try:
                    outcomes.append(call(path))
                except (MeshError, OSError) as error:
                    outcomes.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive() and len(outcomes) == 6
    assert all("not a regular file" in text for text in outcomes[0:2] + outcomes[3:5])
