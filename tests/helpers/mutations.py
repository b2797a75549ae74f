"""Whole files of every type, and ways to spoil them."""

from __future__ import annotations

import functools
import json
import re
import struct
import tempfile
from pathlib import Path

import numpy as np

from tests.helpers.corpus import plate, sphere

HOSTILE_NUMBERS = (
    b"-1", b"0", b"1e9", b"2147483647", b"2147483648", b"4294967295", b"-2147483649", b"999999999999", b"18446744073709551616",
    b"1e308", b"-1e-308", b"nan", b"-inf", b"1" * 400, b"0x10", b"1_0",
)  # fmt: skip


@functools.cache
def samples(kind: str) -> tuple[bytes, ...]:
    """Sound files of the type: obj, off, ply, stl, glb or safetensors."""
    import trimesh

    if kind == "safetensors":
        from gaugenet import geometry

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.safetensors"
            geometry.mesh(*sphere(1), rings=1, levels=1, features="hks:3").save(path)
            return (path.read_bytes(),)
    parts = [trimesh.Trimesh(*mesh, process=False) for mesh in (sphere(1), plate())]
    if kind == "glb":
        return (parts[0].export(file_type="glb"), trimesh.Scene(parts).export(file_type="glb"))
    texts = [part.export(file_type=kind) for part in parts]
    if kind == "ply":
        texts += [part.export(file_type="ply", encoding="ascii") for part in parts]
    if kind == "stl":
        texts += [part.export(file_type="stl_ascii") for part in parts]
    return tuple(text.encode() if isinstance(text, str) else text for text in texts)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The file changed in one, two or four places."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng) or data[:1]
    return data


def _place(data: bytes, rng: np.random.Generator) -> int:
    """Somewhere, half of the time in the first 200 bytes, where headers are."""
    return int(rng.integers(min(len(data), 200) if rng.integers(2) else len(data)))


def flip_bit(data, rng):
    out = bytearray(data)
    out[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(out)


def overwrite(data, rng):
    at, size = _place(data, rng), int(rng.integers(1, 9))
    return data[:at] + rng.choice([b"\xff", b"\x00", b"\x7f", b"\x80"]).ljust(1, b"\0") * size + data[at + size :]


def truncate(data, rng):
    return data[: _place(data, rng)]


def insert(data, rng):
    at = _place(data, rng)
    return data[:at] + rng.bytes(int(rng.integers(1, 40))) + data[at:]


def double(data, rng):
    a, b = sorted((_place(data, rng), _place(data, rng)))
    return data[:b] + data[a:b] * int(rng.choice([1, 2, 8])) + data[b:]


def delete(data, rng):
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 60)) :]


def replace_number(data, rng):
    """One of the numbers written in digits by a hostile one, half of the time one of the first, where counts are."""
    found = list(re.finditer(rb"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?", data[:20000]))
    if not found:
        return data
    place = found[int(rng.integers(min(len(found), 12) if rng.integers(2) else len(found)))]
    return data[: place.start()] + HOSTILE_NUMBERS[int(rng.integers(len(HOSTILE_NUMBERS)))] + data[place.end() :]


def replace_word(data, rng):
    """Four or eight bytes by a hostile little- or big-endian integer: counts and lengths of binary headers."""
    number = int(rng.choice([0, 1, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1]))
    word = struct.pack(rng.choice(["<I", ">I", "<Q"]), number)
    at = _place(data, rng)
    return data[:at] + word + data[at + len(word) :]


def replace_value(data, rng):
    """In a JSON header (GLB, safetensors) one value by another kind of value; lengths are put right again."""
    start, length = (20, data[12:16]) if data[:4] == b"glTF" else (8, data[:8])
    size = int.from_bytes(length, "little")
    try:
        tree = json.loads(data[start : start + size])
    except (ValueError, RecursionError, MemoryError):
        return data
    places: list[tuple] = []
    todo = [tree]
    while todo:
        node = todo.pop()
        for key in range(len(node)) if isinstance(node, list) else list(node):
            places.append((node, key))
            if isinstance(node[key], (list, dict)):
                todo.append(node[key])
    if not places:
        return data
    node, key = places[int(rng.integers(len(places)))]
    values = [-1, 0, 1, 3, 2**31, 2**40, 10**9, 1e300, None, "x", [], {}, [0] * 1000, {"a": [[]]}, True]
    if rng.integers(4):
        node[key] = values[int(rng.integers(len(values)))]
    else:
        del node[key]
    text = json.dumps(tree).encode()
    if data[:4] != b"glTF":
        return struct.pack("<Q", len(text)) + text + data[start + size :]
    text += b" " * (-len(text) % 4)
    rest = data[start + size :]
    return b"glTF" + struct.pack("<II", 2, 20 + len(text) + len(rest)) + struct.pack("<I", len(text)) + b"JSON" + text + rest


MUTATIONS = (flip_bit, overwrite, truncate, insert, double, delete, replace_number, replace_number, replace_word, replace_value)
