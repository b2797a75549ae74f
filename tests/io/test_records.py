"""Records: there and back, and nothing in a file is trusted."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from gaugenet.errors import GeometryError, RecordError
from gaugenet.geometry import Feature, LocalGeometry, Pooling
from gaugenet.io import records as module
from gaugenet.io.durable import write_atomic
from gaugenet.io.records import load_record, read_record_header, record_name, save_record


def level(nodes: int, seed: int) -> LocalGeometry:
    """A ring of nodes with random frames' numbers; only the shapes and the order of edges matter here."""
    rng = np.random.default_rng(seed)
    i = np.arange(nodes)
    edges = np.concatenate([np.stack([(i + 1) % nodes, i]), np.stack([(i - 1) % nodes, i])], 1)
    edges = edges[:, np.lexsort((edges[0], edges[1]))]
    angle = rng.uniform(0, 2 * np.pi, edges.shape[1])
    turn = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], -2)
    return LocalGeometry(
        edge_index=edges,
        log=rng.standard_normal((edges.shape[1], 2)),
        transport=turn,
        weight=rng.random(edges.shape[1]),
        radius=1.0 + rng.random(nodes),
        positions=rng.standard_normal((nodes, 3)),
        frame=np.linalg.qr(rng.standard_normal((nodes, 3, 2)))[0],
        area=rng.random(nodes),
        curvature=rng.standard_normal(nodes),
        faces=np.stack([i, (i + 1) % nodes, (i + 2) % nodes], 1),
        features={"hks": Feature(rng.random((nodes, 3)), "3x0"), "shape": Feature(rng.random((nodes, 3)), "1x0 + 1x2")},
        metadata={"level": seed, "map": [1, 2], "ratio": np.float64(0.5), "size": (np.int64(3), 4), "ids": np.arange(3)},
    )


@pytest.fixture(scope="module")
def geometry() -> LocalGeometry:
    fine, middle, last = level(12, 0), level(6, 1), level(4, 2)
    middle = middle.replace(coarse=Pooling(np.arange(6) % 4, middle.transport[:6], last))
    return fine.replace(coarse=Pooling(np.arange(12) // 2, fine.transport[:12], middle))


def same(a: LocalGeometry, b: LocalGeometry, dtype) -> None:
    for name in ("edge_index", "log", "transport", "weight", "radius", "positions", "frame", "area", "curvature", "faces"):
        x, y = getattr(a, name), getattr(b, name)
        if x is None:
            assert y is None
        else:
            assert y.dtype == (np.int64 if x.dtype.kind == "i" else dtype), name
            np.testing.assert_array_equal(x.astype(np.float32), y.astype(np.float32), err_msg=name)
    assert list(a.features) == sorted(a.features) and a.features.keys() == b.features.keys()
    for name in a.features:
        assert a.features[name].type == b.features[name].type
        np.testing.assert_array_equal(a.features[name].values.astype(np.float32), b.features[name].values)
    if a.coarse is None:
        assert b.coarse is None
    else:
        np.testing.assert_array_equal(a.coarse.cluster, b.coarse.cluster)
        assert b.coarse.cluster.dtype == np.int64 and b.coarse.transport.dtype == dtype
        np.testing.assert_array_equal(a.coarse.transport.astype(np.float32), b.coarse.transport)
        same(a.coarse.geometry, b.coarse.geometry, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_roundtrip(tmp_path, geometry, dtype):
    path = tmp_path / "a.safetensors"
    save_record(geometry, path, parameters={"radius": 0.5}, source_sha256="ab")
    loaded = load_record(path, dtype)
    same(geometry, loaded, dtype)
    facts = dict(loaded.metadata)
    record = facts.pop("record")
    assert facts == {"level": 0, "map": [1, 2], "ratio": 0.5, "size": [3, 4], "ids": [0, 1, 2]}
    assert (record["sha256"], record["parameters"], record["schema"]) == ("ab", {"radius": 0.5}, module.SCHEMA)
    assert [g.metadata["level"] for g in loaded.levels()] == [0, 1, 2]
    # What is loaded can be written to, and what is saved again says where it came from.
    loaded.log[0] = 0.0
    save_record(loaded, path)
    assert load_record(path).metadata["record"] == record


def test_methods_of_local_geometry(tmp_path, geometry):
    geometry.save(tmp_path / "a.safetensors")
    same(geometry, LocalGeometry.load(tmp_path / "a.safetensors"), np.float32)


def test_bare_geometry(tmp_path, geometry):
    bare = LocalGeometry(geometry.edge_index, geometry.log, geometry.transport, geometry.weight, geometry.radius)
    save_record(bare, tmp_path / "a.safetensors")
    same(bare, load_record(tmp_path / "a.safetensors"), np.float32)


def test_it_is_a_safetensors_file(tmp_path, geometry):
    save_record(geometry, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    assert tensors["0.edge_index"].dtype == np.int32 and tensors["1.log"].dtype == np.float32
    assert tensors["0.feature.hks"].shape == (12, 3) and tensors["1.cluster"].shape == (6,)


def test_header_alone(tmp_path, geometry):
    path = tmp_path / "a.safetensors"
    save_record(geometry, path, parameters={"rings": 2})
    header = read_record_header(path)
    assert header["parameters"] == {"rings": 2} and len(header["levels"]) == 3
    assert header["tensors"]["0.log"] == {"dtype": "F32", "shape": [24, 2]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"log": np.full((24, 2), np.nan)}, "log has NaN"),
        ({"weight": np.full(24, 1e300)}, "weight has NaN or infinite"),
        ({"weight": np.ones(23)}, r"weight has shape \(23,\), expected \(E=24\)"),
        ({"weight": np.ones(24, int)}, "weight must be floating point"),
        ({"edge_index": np.zeros((2, 24))}, "edge_index must be integers"),
        ({"edge_index": np.full((2, 24), 2**33)}, "below 2"),
        ({"faces": np.full((3, 3), 12)}, "faces has an index outside 0 to 11"),
        ({"metadata": {"x": object()}}, "object is not JSON"),
        ({"metadata": {"x": float("nan")}}, "not JSON compliant"),
        ({"features": {"hks": Feature(np.ones((12, 2)), "3x0")}}, r"feature.hks has shape \(12, 2\)"),
        ({"positions": np.ones(12)}, "positions has shape"),
    ],
)
def test_what_cannot_be_stored(tmp_path, geometry, change, words):
    with pytest.raises(GeometryError, match=words):
        save_record(geometry.replace(**change), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_dtype_is_checked(tmp_path, geometry):
    save_record(geometry, tmp_path / "a.safetensors")
    with pytest.raises(TypeError, match="float32 or float64"):
        load_record(tmp_path / "a.safetensors", np.float16)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, geometry) -> bytes:
    path = tmp_path_factory.mktemp("stored") / "a.safetensors"
    save_record(geometry, path)
    return path.read_bytes()


def split(data: bytes) -> tuple[dict, bytes]:
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def together(header, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def facts_changed(stored: bytes, change) -> bytes:
    header, body = split(stored)
    facts = json.loads(header["__metadata__"]["gaugenet"])
    facts = change(facts) or facts
    header["__metadata__"]["gaugenet"] = json.dumps(facts)
    return together(header, body)


def entry_changed(stored: bytes, name: str, **values) -> bytes:
    header, body = split(stored)
    header[name].update(values)
    return together(header, body)


HOSTILE = {
    "empty": lambda s: b"",
    "seven bytes": lambda s: s[:7],
    "header longer than the file": lambda s: struct.pack("<Q", 2**62) + s[8:],
    "header length zero": lambda s: struct.pack("<Q", 0) + s[8:],
    "half": lambda s: s[: len(s) // 2],
    "last byte missing": lambda s: s[:-1],
    "a byte too many": lambda s: s + b"x",
    "text": lambda s: b"v 0 0 0\n" * 100,
    "not json": lambda s: together(b"{" * 100, split(s)[1]),
    "nested json": lambda s: together(b"[" * 200000, b""),
    "json list": lambda s: together([1, 2], b""),
    "not utf-8": lambda s: together(b'{"\xff": 1}', b""),
    "foreign safetensors": lambda s: save({"a": np.zeros(3, np.float32)}),
    "metadata of another kind": lambda s: together({"__metadata__": [1]}, b""),
    "facts not json": lambda s: together({"__metadata__": {"gaugenet": "{"}}, b""),
    "facts a list": lambda s: facts_changed(s, lambda f: [f]),
    "another schema": lambda s: facts_changed(s, lambda f: f.update(schema=99)),
    "no levels": lambda s: facts_changed(s, lambda f: f.update(levels=[])),
    "levels a number": lambda s: facts_changed(s, lambda f: f.update(levels=3)),
    "a level too many": lambda s: facts_changed(s, lambda f: f["levels"].append(f["levels"][0])),
    "a tensor with an endless name": lambda s: together({"x" * 10**6: 1, **split(s)[0]}, split(s)[1]),
    "a level too few": lambda s: facts_changed(s, lambda f: f["levels"].pop()),
    "a million levels": lambda s: facts_changed(s, lambda f: f.update(levels=[{}] * 10**6)),
    "level without features": lambda s: facts_changed(s, lambda f: f["levels"][0].pop("features")),
    "feature without tensor": lambda s: facts_changed(s, lambda f: f["levels"][0]["features"].update(x="1x0")),
    "feature without type": lambda s: facts_changed(s, lambda f: f["levels"][0]["features"].pop("hks")),
    "feature type a number": lambda s: facts_changed(s, lambda f: f["levels"][0]["features"].update(hks=3)),
    "feature type of another width": lambda s: facts_changed(s, lambda f: f["levels"][0]["features"].update(hks="3x1")),
    "wrong dtype": lambda s: entry_changed(s, "0.log", dtype="I32"),
    "unknown dtype": lambda s: entry_changed(s, "0.log", dtype="F8"),
    "dtype a list": lambda s: entry_changed(s, "0.log", dtype=["F32"]),
    "negative shape": lambda s: entry_changed(s, "0.log", shape=[-24, -2]),
    "enormous shape": lambda s: entry_changed(s, "0.log", shape=[2**60, 2]),
    "swapped shape": lambda s: entry_changed(s, "0.log", shape=[2, 24]),
    "boolean shape": lambda s: entry_changed(s, "0.log", shape=[True, 48]),
    "flat shape": lambda s: entry_changed(s, "0.log", shape=[48]),
    "shape a string": lambda s: entry_changed(s, "0.log", shape="24,2"),
    "overlapping offsets": lambda s: entry_changed(s, "0.log", data_offsets=[0, 192]),
    "offsets beyond the end": lambda s: entry_changed(s, "0.log", data_offsets=[10**9, 10**9 + 192]),
    "offsets of one number": lambda s: entry_changed(s, "0.log", data_offsets=[0]),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_files(tmp_path, stored, name):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(HOSTILE[name](stored))
    with pytest.raises(RecordError, match=r"bad\.safetensors: ") as info:
        load_record(path)
    assert "\n" not in str(info.value) and len(str(info.value)) < 500


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("0.log", np.full((24, 2), np.nan, np.float32), "0: log has NaN"),
        ("1.area", np.full(6, np.inf, np.float32), "1: area has NaN"),
        ("0.edge_index", np.full((2, 24), 12, np.int32), "outside 0 to 11"),
        ("0.edge_index", np.full((2, 24), -1, np.int32), "outside 0 to 11"),
        ("0.edge_index", np.zeros((2, 24), np.int32), "to itself"),
        ("0.edge_index", np.tile(np.array([[0, 1], [1, 0]], np.int32), 12), "not sorted"),
        ("0.cluster", np.full(12, 6, np.int32), "cluster has an index outside 0 to 5"),
        ("0.faces", np.full((12, 3), 12, np.int32), "faces has an index"),
        ("0.radius", np.zeros(12, np.float32), "radius that is not positive"),
        ("0.radius", np.ones(13, np.float32), "12"),
        ("0.frame", np.zeros((12, 3, 3), np.float32), "frame has shape"),
        ("0.transport", np.zeros((24, 4), np.float32), "transport has shape"),
        ("0.weight", None, "no tensor 'weight'"),
        ("0.cluster", None, "no tensor 'cluster'"),
        ("0.extra", np.zeros(3, np.float32), "unexpected tensor 'extra'"),
        ("7.log", np.zeros(3, np.float32), "unexpected tensor '7.log'"),
        ("2.cluster", np.zeros(4, np.int32), "unexpected tensor 'cluster'"),
        ("log", np.zeros(3, np.float32), "unexpected tensor 'log'"),
        ("0.weight", np.ones(24, np.float64), "type F64"),
    ],
)
def test_hostile_values(tmp_path, stored, name, value, words):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(stored)
    tensors = {**load_file(path), name: value}
    path.write_bytes(save({k: v for k, v in tensors.items() if v is not None}, split(stored)[0]["__metadata__"]))
    with pytest.raises(RecordError, match=words):
        load_record(path)


def test_every_truncation_and_every_flipped_bit(tmp_path, stored):
    path = tmp_path / "bad.safetensors"
    length = 8 + struct.unpack("<Q", stored[:8])[0]
    rng = np.random.default_rng(0)
    for at in rng.choice(len(stored), 200, replace=False):
        path.write_bytes(stored[:at])
        with pytest.raises(RecordError):
            load_record(path)
    for at in [*rng.choice(length, 300, replace=False), *rng.choice(len(stored), 300, replace=False)]:
        broken = bytearray(stored)
        broken[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        for read in (load_record, lambda p: read_record_header(p, verify=True)):
            with pytest.raises(RecordError):
                read(path)


def test_a_flipped_value_that_looks_sound(tmp_path, stored):
    """The last bit of a weight: only the checksum can tell."""
    path = tmp_path / "bad.safetensors"
    broken = bytearray(stored)
    broken[-4] ^= 1
    path.write_bytes(broken)
    read_record_header(path)
    for read in (load_record, lambda p: read_record_header(p, verify=True)):
        with pytest.raises(RecordError, match=r"bad\.safetensors: damaged"):
            read(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_record(tmp_path / "none.safetensors")


def test_names_depend_on_everything(monkeypatch):
    name = record_name("ab", {"radius": 0.5, "rings": None})
    assert name == record_name("ab", {"rings": None, "radius": 0.5}) and name.endswith(".safetensors")
    others = {record_name("ac", {"radius": 0.5, "rings": None}), record_name("ab", {"radius": 0.6, "rings": None})}
    monkeypatch.setattr(module, "SCHEMA", 99)
    others.add(record_name("ab", {"radius": 0.5, "rings": None}))
    assert len(others) == 3 and name not in others


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_atomic(path, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a"]


SCHEMA_3 = Path(__file__).parent.parent / "fixtures" / "records_schema_3"


@pytest.mark.parametrize(
    ("name", "structures"),
    [
        ("moebius_mesh", ["O2", "O2"]),  # stood in the metadata of level 0
        ("icosphere_e", ["e", "e"]),
        ("icosahedron", ["C6", "C6"]),
        ("moebius_strip", ["O2"]),  # stood nowhere: seen by the reflections
    ],
)
def test_records_of_version_0_1_0_load(name, structures, tmp_path):
    loaded = load_record(SCHEMA_3 / f"{name}.safetensors", np.float64)
    loaded.validate(1e-4)
    assert loaded.metadata["record"]["version"] == "0.1.0" and loaded.metadata["record"]["schema"] == 3
    assert [g.structure for g in loaded.levels()] == structures
    assert all("structure" not in g.metadata for g in loaded.levels())
    loaded.save(tmp_path / "again.safetensors")
    again = load_record(tmp_path / "again.safetensors", np.float64)
    same(loaded, again, np.float64)
    assert [g.structure for g in again.levels()] == structures


@pytest.mark.parametrize("structure", ["SO2", "O2", "C12", "Z2", "e", "D4"])
def test_the_structure_group_is_stored_for_every_level(geometry, structure, tmp_path):
    geometry.replace(structure=structure).save(tmp_path / "a.safetensors")
    loaded = load_record(tmp_path / "a.safetensors")
    assert [g.structure for g in loaded.levels()] == [structure, *(g.structure for g in geometry.levels()[1:])]


@pytest.mark.parametrize("structure", ["os.system", "x" * 30, 3, ["SO2"]])
def test_a_structure_that_is_no_name_is_refused(geometry, structure, tmp_path):
    with pytest.raises(GeometryError, match="no name of a group"):
        geometry.replace(structure=structure).save(tmp_path / "a.safetensors")
