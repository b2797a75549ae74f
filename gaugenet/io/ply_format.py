"""A strict reader of PLY, text and binary of both byte orders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import MeshError
from ..geometry.triangles.triangle_mesh import Arrays, MeshWarning
from .mesh_formats import Polygons, unreadable, whole

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class _Element:
    name: str
    count: int
    # name -> (type of the value, type of the list's length or None)
    properties: dict[str, tuple[str, str | None]] = field(default_factory=dict)


def read_ply(data: bytes) -> Polygons:
    """PLY: x, y, z of the element vertex, vertex_indices (or vertex_index, or the only list) of the element face.

    All other properties of the two are their data: nx, ny, nz as ``normal``, red, green, blue (and alpha) as ``color``, the
    others under their own names; lists only where all of them are equally long.
    """
    elements, order, body = _header(data)
    rows = _TextRows(body) if order == "" else _BinaryRows(body, order)
    columns: dict[str, dict] = {}
    for element in elements:
        columns[element.name] = rows.read(element)
    warnings = []
    if rows.left():
        warnings.append(MeshWarning.of("left_out", f"left out {rows.left()} {rows.unit} beyond the announced elements"))
    vertex = columns.get("vertex", {})
    if not {"x", "y", "z"} <= set(vertex):
        raise unreadable("PLY without an element vertex with x, y and z")
    vertices = np.stack([np.asarray(vertex[k], dtype=np.float64) for k in "xyz"], 1)
    others = sorted(set(columns) - {"vertex", "face"})
    if "tristrips" in others and "face" not in columns:
        raise unreadable("PLY with triangle strips is not supported")
    if others:
        warnings.append(MeshWarning.of("left_out", f"left out the PLY elements {', '.join(others)}"))
    lists = {k: v for k, v in columns.get("face", {}).items() if isinstance(v, tuple)}
    name = next((k for k in ("vertex_indices", "vertex_index") if k in lists), None)
    if name is None and len(lists) == 1:
        (name,) = lists
    if name is None:
        return Polygons(vertices, np.zeros(0, np.int64), np.zeros(0, np.int64), warnings)
    kinds = {element.name: {k: kind[0] for k, (kind, _) in element.properties.items()} for element in elements}
    vertex_data = _data(vertex, kinds["vertex"], {"x", "y", "z"}, warnings)
    face_data = _data(columns["face"], kinds["face"], {name}, warnings)
    flat, counts = lists[name]
    if not (np.abs(flat.astype(np.float64)) < 2.0**53).all() or (flat != np.floor(flat)).any():
        raise unreadable("PLY with a vertex index that is not a whole number")
    return Polygons(vertices, flat.astype(np.int64), counts, warnings, vertex_data, face_data)


_TOGETHER = {"normal": ("nx", "ny", "nz"), "color": ("red", "green", "blue", "alpha")}


def _data(columns: dict[str, Any], kinds: dict[str, str], without: set[str], warnings: list[MeshWarning]) -> Arrays:
    """The other properties of an element as arrays: (rows,), of several columns that belong together and of lists (rows, k).

    Those of an integer type ("i" or "u" in ``kinds``) become int64, the others float64.
    """

    def native(name: str, values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # a signalling NaN
            return whole(values) if kinds[name] in "iu" else values.astype(np.float64)

    data: Arrays = {}
    for name, values in columns.items():
        if name in without:
            continue
        if not isinstance(values, tuple):
            data[name] = native(name, values)
        elif (values[1] == values[1][0]).all():
            data[name] = native(name, values[0]).reshape(len(values[1]), -1)
        else:
            warnings.append(MeshWarning.of("left_out", f"left out the PLY lists {name}: not all of one length"))
    for name, parts in _TOGETHER.items():
        parts = tuple(p for p in parts if p in data)
        if len(parts) >= 3 and name not in data and all(data[p].ndim == 1 for p in parts):
            data[name] = np.stack([data.pop(p) for p in parts], 1)
    return data


def _header(data: bytes) -> tuple[list[_Element], str, bytes]:
    """The elements, the byte order ("" for text) and what follows the header."""
    end = data.find(b"end_header")
    if data[:3] != b"ply" or end < 0:
        raise unreadable("not a PLY file: no 'ply' ... 'end_header'")
    lines = data[:end].decode("latin-1").split("\n")
    after = data[end + len(b"end_header") :]
    body = after[2:] if after[:2] == b"\r\n" else after[1:]
    elements: list[_Element] = []
    order = None
    for line in lines[1:]:
        words = line.split()
        try:
            if not words or words[0] in ("comment", "obj_info"):
                continue
            if words[0] == "format":
                order = _FORMATS[words[1]]
            elif words[0] == "element":
                elements.append(_Element(words[1], int(words[2])))
                if elements[-1].count < 0 or elements[-1].name in {e.name for e in elements[:-1]}:
                    raise ValueError
            elif words[0] == "property":
                kind, name = words[-2:]
                length = None
                if words[1] == "list":
                    length = _TYPES[words[2]]
                    if length[0] == "f":
                        raise ValueError
                if name in elements[-1].properties or len(words) != (3 if length is None else 5):
                    raise ValueError
                elements[-1].properties[name] = (_TYPES[kind], length)
            else:
                raise ValueError
        except (KeyError, IndexError, ValueError):
            raise unreadable(f"PLY header line that is not understood: {line.strip()[:60]!r}") from None
    if order is None:
        raise unreadable("PLY header without a format line")
    return elements, order, body


class _Rows(ABC):
    """Reads elements one after the other; a list property becomes (flat values, lengths), another one an array."""

    unit = ""

    def read(self, element: _Element) -> dict:
        if element.count == 0 or not element.properties:
            return {}
        sizes = [0 if length is None else -1 for _, length in element.properties.values()]
        if -1 in sizes:
            # Nearly every file has lists of one length: try that of the first row on all rows, and check.
            sizes = self.first_sizes(element)
        columns = self.fixed(element, sizes)
        return columns if columns is not None else self.ragged(element)

    @abstractmethod
    def first_sizes(self, element: _Element) -> list[int]:
        """The lengths of the lists in the next row, 0 for numbers."""

    @abstractmethod
    def fixed(self, element: _Element, sizes: list[int]) -> dict | None:
        """All rows, if their lists have these lengths, else None."""

    @abstractmethod
    def ragged(self, element: _Element) -> dict:
        """All rows, whatever the lengths of their lists."""

    def truncated(self, element: _Element) -> MeshError:
        return unreadable(
            f"truncated: not all of the {element.count} announced rows of the PLY element {element.name} are there"
        )


class _TextRows(_Rows):
    unit = "numbers"

    def __init__(self, body: bytes):
        try:
            self.values = np.array(list(map(float, body.split())), dtype=np.float64)
        except ValueError as error:
            raise unreadable(f"PLY text that is not a number: {error}") from None
        self.at = 0

    def left(self) -> int:
        return self.values.size - self.at

    def length(self, at: int, element: _Element) -> int:
        if at >= self.values.size:
            raise self.truncated(element)
        value = self.values[at]
        if not (0 <= value < 2**31 and value == int(value)):
            raise unreadable(f"PLY list with a length of {value}")
        return int(value)

    def first_sizes(self, element: _Element) -> list[int]:
        at, sizes = self.at, []
        for _, length in element.properties.values():
            sizes.append(0 if length is None else self.length(at, element))
            at += 1 + sizes[-1]
        return sizes

    def fixed(self, element: _Element, sizes: list[int]) -> dict | None:
        width = len(sizes) + sum(sizes)
        lists = any(length for _, length in element.properties.values())
        if self.left() < element.count * width:
            if lists:
                return None
            raise self.truncated(element)
        block = self.values[self.at : self.at + element.count * width].reshape(element.count, width)
        columns: dict[str, Any] = {}
        at = 0
        for (name, (_, length)), size in zip(element.properties.items(), sizes):
            if length is None:
                columns[name] = block[:, at]
            elif (block[:, at] != size).any():
                return None
            else:
                columns[name] = (block[:, at + 1 : at + 1 + size].reshape(-1), np.full(element.count, size))
            at += 1 + size
        self.at += element.count * width
        return columns

    def ragged(self, element: _Element) -> dict:
        parts: dict[str, list] = {name: [] for name in element.properties}
        at = self.at
        for _ in range(element.count):
            for name, (_, length) in element.properties.items():
                size = 0 if length is None else self.length(at, element)
                first = at if length is None else at + 1
                at = at + 1 + size
                if at > self.values.size:
                    raise self.truncated(element)
                parts[name].append(self.values[first:at])
        self.at = at
        return _join(element, parts)


class _BinaryRows(_Rows):
    unit = "bytes"

    def __init__(self, body: bytes, order: str):
        self.body, self.order, self.at = body, order, 0

    def left(self) -> int:
        return len(self.body) - self.at

    def take(self, at: int, kind: str, count: int, element: _Element) -> tuple[np.ndarray, int]:
        dtype = np.dtype(self.order + kind)
        if count < 0 or at + count * dtype.itemsize > len(self.body):
            raise self.truncated(element)
        return np.frombuffer(self.body, dtype, count, at), at + count * dtype.itemsize

    def first_sizes(self, element: _Element) -> list[int]:
        at, sizes = self.at, []
        for kind, length in element.properties.values():
            size = 0
            if length is not None:
                found, at = self.take(at, length, 1, element)
                size = int(found[0])
            sizes.append(size)
            _, at = self.take(at, kind, 1 if length is None else size, element)
        return sizes

    def fixed(self, element: _Element, sizes: list[int]) -> dict | None:
        fields: list[tuple] = []
        for k, ((kind, length), size) in enumerate(zip(element.properties.values(), sizes)):
            if length is None:
                fields.append((f"v{k}", self.order + kind))
            else:
                fields += [(f"n{k}", self.order + length), (f"v{k}", self.order + kind, (size,))]
        dtype = np.dtype(fields)
        lists = any(length for _, length in element.properties.values())
        if self.left() < element.count * dtype.itemsize:
            if lists:
                return None
            raise self.truncated(element)
        block = np.frombuffer(self.body, dtype, element.count, self.at)
        columns: dict[str, Any] = {}
        for k, ((name, (_, length)), size) in enumerate(zip(element.properties.items(), sizes)):
            if length is None:
                columns[name] = block[f"v{k}"]
            elif (block[f"n{k}"] != size).any():
                return None
            else:
                columns[name] = (block[f"v{k}"].reshape(-1), np.full(element.count, size))
        self.at += element.count * dtype.itemsize
        return columns

    def ragged(self, element: _Element) -> dict:
        parts: dict[str, list] = {name: [] for name in element.properties}
        at = self.at
        for _ in range(element.count):
            for name, (kind, length) in element.properties.items():
                size = 1
                if length is not None:
                    found, at = self.take(at, length, 1, element)
                    size = int(found[0])
                values, at = self.take(at, kind, size, element)
                parts[name].append(values)
        self.at = at
        return _join(element, parts)


def _join(element: _Element, parts: dict[str, list]) -> dict:
    columns = {}
    for name, (_, length) in element.properties.items():
        flat = np.concatenate(parts[name])
        columns[name] = flat if length is None else (flat, np.array([part.size for part in parts[name]], dtype=np.int64))
    return columns
