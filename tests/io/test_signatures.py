"""Files that are not what their names say are told by what they are; a byte-order mark is no matter."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from gaugenet.cli import main
from gaugenet.errors import MeshError, RecordError
from gaugenet.io.loading import EXTENSIONS, load_mesh
from gaugenet.io.records import load_record
from tests.helpers.corpus import cases
from tests.helpers.mutations import mutated, samples
from tests.helpers.pathological import obj

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"
KINDS = {
    "git lfs pull": LFS,
    "git annex get": b"/annex/objects/SHA256E-s123--abc.obj\n",
    "UTF-16": "v 0 0 0\n".encode("utf-16"),
    "gzip": gzip.compress(b"v 0 0 0\n"),
    "zip archive": b"PK\x03\x04" + bytes(50),
    "web page": b"<!DOCTYPE html><html>not found</html>",
}


@pytest.mark.parametrize("kind", ["obj", "off", "ply", "stl"])
def test_a_byte_order_mark_is_skipped(tmp_path, kind):
    plain = next(data for data in samples(kind) if data.isascii())
    (tmp_path / f"a.{kind}").write_bytes(plain)
    (tmp_path / f"b.{kind}").write_bytes(b"\xef\xbb\xbf" + plain)
    one, two = load_mesh(tmp_path / f"a.{kind}"), load_mesh(tmp_path / f"b.{kind}")
    assert np.array_equal(one.vertices, two.vertices) and np.array_equal(one.faces, two.faces)


@pytest.mark.parametrize("words", KINDS)
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_strangers_are_named(tmp_path, words, extension):
    path = tmp_path / f"a{extension}"
    path.write_bytes(KINDS[words])
    with pytest.raises(MeshError, match=words) as info:
        load_mesh(path)
    assert info.value.kind == "unreadable" and str(path) in str(info.value)


def test_a_pointer_to_a_record(tmp_path, capsys):
    path = tmp_path / "a.safetensors"
    path.write_bytes(LFS)
    with pytest.raises(RecordError, match="git lfs pull"):
        load_record(path)
    for command in ("inspect", "check"):
        assert main([command, str(path)]) == 1
        assert "git lfs pull" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["inspect", "check", "view", "preprocess"])
def test_commands_tell_of_pointers(tmp_path, capsys, command):
    path = tmp_path / "a.obj"
    path.write_bytes(LFS)
    more = {"view": ["-o", str(tmp_path / "a.png")], "preprocess": [str(tmp_path / "out"), "--rings", "1", "--quiet"]}
    assert main([command, str(path), *more.get(command, [])]) == 1
    told = capsys.readouterr()
    assert "git lfs pull" in told.err and "Traceback" not in told.err


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kind", ["obj", "off", "ply", "stl", "glb", "safetensors"])
def test_inspect_of_damaged_files_is_never_a_traceback(tmp_path, capsys, kind):
    path = tmp_path / f"a.{kind}"
    for k in range(60):
        path.write_bytes(mutated(samples(kind)[k % len(samples(kind))], np.random.default_rng([k, 15])))
        assert main(["inspect", str(path), "--json"]) in (0, 1)
        told = capsys.readouterr()
        assert "Traceback" not in told.err and "defect" not in told.err, told.err
        json.loads(told.out)


@pytest.mark.parametrize("name", list(cases()))
def test_inspect_of_every_pathology(tmp_path, capsys, name):
    case = cases()[name]
    if case.faces.shape[1] != 3 or not len(case.faces) or case.faces.min() < 0:
        pytest.skip("no triangles, or ids below zero, which an OBJ file counts from the end")
    assert main(["inspect", str(obj(tmp_path / "a.obj", case))]) in (0, 1)
    assert "defect" not in capsys.readouterr().err


def test_our_own_defects_are_one_line(tmp_path, capsys, monkeypatch):
    from gaugenet.cli import inspection

    def broken(path):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(inspection, "_mesh", broken)
    assert main(["inspect", "a.obj"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "ZeroDivisionError: by zero (test_signatures.py, line" in told and "defect" in told

    def greedy(path):
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(inspection, "_mesh", greedy)
    assert main(["inspect", "a.obj"]) == 1
    assert "not enough memory: Unable to allocate" in capsys.readouterr().err
