"""Hostile records: a RecordError, soon and in little memory. Damaged ones: tests/io/test_records.py."""

from __future__ import annotations

import json
import os
import re
import struct
import threading
import tracemalloc
import zlib

import numpy as np
import pytest
from safetensors.numpy import load, save

from gaugenet.errors import RecordError
from gaugenet.io.durable import write_atomic
from gaugenet.io.records import SCHEMA, load_record, read_record_header, save_record
from tests.helpers.mutations import samples

RECORD = samples("safetensors")[0]
SIZE = int.from_bytes(RECORD[:8], "little")
HEADER, BODY = json.loads(RECORD[8 : 8 + SIZE]), RECORD[8 + SIZE :]


def with_header(header, body: bytes = BODY, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return sealed(struct.pack("<Q", len(text) if length is None else length) + text + body)


def sealed(data: bytes) -> bytes:
    """With the checksum put right, as whoever means harm would."""
    place = re.search(rb'\\"crc32\\": \\"([0-9a-f]{8})', data)
    if place is None:
        return data
    head, tail = data[: place.start(1)], data[place.end(1) :]
    return head + b"%08x" % zlib.crc32(head + b"0" * 8 + tail) + tail


def entry(name: str, **values) -> bytes:
    return with_header({**HEADER, name: {**HEADER[name], **values}})


def facts(change) -> bytes:
    values = json.loads(HEADER["__metadata__"]["gaugenet"])
    change(values)
    return with_header({**HEADER, "__metadata__": {"gaugenet": json.dumps(values)}})


def tensors(**changes) -> bytes:
    """The record with other tensors; a name a_b_... stands for "a.b..."."""
    arrays = load(RECORD)
    for name, value in changes.items():
        key = name[1] + "." + name[3:]
        arrays[key] = value(arrays[key].copy()) if callable(value) else value
    return sealed(save(arrays, HEADER["__metadata__"]))


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


def swapped(edges):
    edges[:, [0, 1]] = edges[:, [1, 0]]
    return edges


def doubled(edges):
    edges[:, 1] = edges[:, 0]
    return edges


FILES = {
    "nothing but a length": (struct.pack("<Q", 2**63), "no safetensors header"),
    "header of 2^40 bytes": (with_header(HEADER, length=2**40), "no safetensors header"),
    "header that ends in the tensors": (with_header(HEADER, length=SIZE + 16), "header does not say so"),
    "deep json": (with_header(b'{"a":' * 10**5), "header does not say so"),
    "deep json in the facts": (with_header({"__metadata__": {"gaugenet": "[" * 10**5}}), "header does not say so"),
    "ten thousand digits": (with_header(b'{"a": ' + b"9" * 10**4 + b"}"), "header does not say so"),
    "a hundred thousand tensors": (with_header(HEADER | {str(k): 1 for k in range(10**5)}), "without dtype, shape and offsets"),
    "schema of the future": (facts(lambda f: f.update(schema=SCHEMA + 1)), "preprocess again"),
    "schema a list": (facts(lambda f: f.update(schema=[[]] * 10**5)), "preprocess again"),
    "schema true": (facts(lambda f: f.update(schema=None)), "preprocess again"),
    "negative offsets": (entry("0.log", data_offsets=[-8, 0]), "with the shape"),
    "reversed offsets": (entry("0.log", data_offsets=HEADER["0.log"]["data_offsets"][::-1]), "bytes for the shape"),
    "overlapping tensors": (entry("0.log", data_offsets=HEADER["0.transport"]["data_offsets"]), "bytes for the shape"),
    "a name twice": (with_header(HEADER).replace(b"1.weight", b"0.weight"), "overlap others"),
    "shape that overflows": (entry("0.log", shape=[2**32, 2**32, 2**32]), "bytes for the shape"),
    "shape of floats": (entry("0.log", shape=[1e3, 2]), "with the shape"),
    "many dimensions": (entry("0.log", shape=[1] * 1000), "with the shape"),
    "float16": (entry("0.log", dtype="F16"), "type F16"),
    "bool": (tensors(L0_weight=np.ones(3, bool)), "type BOOL"),
    "float64": (tensors(L0_log=lambda a: a.astype(np.float64)), "type F64"),
    "wrong shape": (tensors(L0_transport=lambda a: a.reshape(-1, 4)), "transport has shape"),
    "three dimensions of log": (tensors(L0_log=lambda a: np.c_[a, a[:, :1]]), "log|transport|frame"),
    "NaN": (tensors(L0_transport=put((0, 0, 0), np.nan)), "transport has NaN"),
    "infinity": (tensors(L1_positions=put((0, 0), -np.inf)), "positions has NaN or infinite"),
    "index out of range": (tensors(L0_edge_index=put((0, 0), 2**31 - 1)), "edge_index has an index outside"),
    "negative index": (tensors(L0_faces=put((0, 0), -1)), "faces has an index outside"),
    "cluster out of range": (tensors(L0_cluster=put(0, 1000)), "cluster has an index outside"),
    "unsorted edges": (tensors(L0_edge_index=swapped), "not sorted"),
    "an edge twice": (tensors(L0_edge_index=doubled), "without repeats"),
    "transport that scales": (tensors(L0_transport=lambda a: a * 1.01), "transport is not orthogonal, first at 0"),
    "transport of zeros": (tensors(L0_transport=put(3, 0.0)), "transport is not orthogonal, first at 3"),
    "transport too large to square": (tensors(L0_transport=put(3, 3e38)), "transport is not orthogonal, first at 3"),
    "cluster transport that shears": (tensors(L0_cluster_transport=put((0, 0, 1), 5.0)), "cluster_transport is not orth"),
    "frame that is none": (tensors(L1_frame=put(1, 1.0)), "frame is not orthogonal, first at 1"),
    "negative weight": (tensors(L0_weight=put(0, -1.0)), "weight has negative"),
    "negative area": (tensors(L0_area=put(0, -1.0)), "area has negative"),
    "radius zero": (tensors(L0_radius=put(0, 0.0)), "radius that is not positive"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FILES))
def test_hostile(tmp_path, name):
    data, words = FILES[name]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match=words) as info:
            load_record(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(info.value) and "\n" not in str(info.value) and len(str(info.value)) < 500
    assert peak < 2**20 + 40 * len(data)


def test_the_sound_record_that_these_are_made_of(tmp_path):
    for data in (RECORD, with_header(HEADER), tensors(), facts(lambda f: None)):
        (tmp_path / "a").write_bytes(data)
        load_record(tmp_path / "a").validate()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a named pipe and reads /dev/zero, which this system does not have")
def test_pipes_devices_and_links(tmp_path):
    """Refused without waiting and without reading on for ever; a link to a record is as good as the record."""
    (tmp_path / "record").write_bytes(RECORD)
    (tmp_path / "link").symlink_to(tmp_path / "record")
    load_record(tmp_path / "link").validate()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    outcomes = {}

    def attempt():
        for name in ("pipe", "device", "folder", "loop", "gone"):
            for call in (load_record, read_record_header):
                try:
                    call(tmp_path / name)
                except (RecordError, OSError) as error:
                    outcomes[name, call.__name__] = error

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive() and len(outcomes) == 10
    assert all(isinstance(error, RecordError) for (name, _), error in outcomes.items() if name in ("pipe", "device"))


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="makes symbolic links, which this system does not have")
def test_writing_follows_no_link(tmp_path):
    """Neither a link at the record's name nor one at the temporary name leads to another file."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path = tmp_path / "a.safetensors"
    path.symlink_to(victim)
    temporary = tmp_path / f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp"
    temporary.symlink_to(victim)
    write_atomic(path, b"record")
    assert victim.read_bytes() == b"precious" and path.read_bytes() == b"record" and not path.is_symlink()
    (tmp_path / "b").write_bytes(RECORD)
    path.unlink()
    path.symlink_to(victim)
    save_record(load_record(tmp_path / "b"), path)
    load_record(path).validate()
    assert victim.read_bytes() == b"precious"
