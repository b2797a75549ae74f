"""Records: a LocalGeometry with all its levels as one safetensors file, checked on the way in and out."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import GaugenetError, GeometryError, RecordError
from ..geometry.attributes import ATTRIBUTES, Attribute, attributes
from ..geometry.local_geometry import Feature, LocalGeometry, Pooling, parse_orders
from .durable import write_atomic
from .signatures import stranger

__all__ = [
    "SCHEMA",
    "load_record",
    "read_record_header",
    "record_name",
    "save_record",
]

SCHEMA = 4
# Those without the arrays of vertices and faces can still be read.
_READABLE = (3, SCHEMA)
# The header is JSON: names, shapes, parameters and facts, never the arrays.
_MAX_HEADER = 64 * 2**20
_MAX_LEVELS = 32
_KEY = "gaugenet"
# Our facts are JSON inside of JSON, their keys sorted: the checksum of the file comes first.
_CRC = re.compile(rb'"gaugenet":"\{\\"crc32\\": \\"([0-9a-f]{8})\\"')
_NO_CRC = "0" * 8
_STRUCTURE = re.compile(r"[A-Za-z0-9+-]{0,20}")
_DTYPES: dict[str, np.dtype] = {"F32": np.dtype("<f4"), "I32": np.dtype("<i4"), "I64": np.dtype("<i8")}
# The arrays of vertices and faces, which may hold anything: kinds of tensor names, and the fields.
_DATA = {"vertex": "vertex_data", "face": "face_data"}


def save_record(
    geometry: LocalGeometry,
    path: str | os.PathLike,
    *,
    parameters: Mapping[str, Any] | None = None,
    source_sha256: str | None = None,
) -> None:
    """Write a LocalGeometry and its coarser levels: int32 indices, float32 geometry, everything else in the header.

    The tensors are named ``"0.log"``, ``"1.edge_index"``, ``"0.feature.hks"``: level, then attribute. The file appears whole or
    not at all (a temporary name, fsync, rename), and the header has a CRC-32 of all of it, so that a flipped bit is found.

    Args:
        geometry: after rounding to float32 its conventions hold to about 1e-6.
        path: the file, usually ``*.safetensors``.
        parameters: how it was made; JSON-able. By default those of the record that the geometry was loaded from, if any.
        source_sha256: hash of the file it was made from; the default likewise.

    Raises:
        GeometryError: for arrays that do not fit each other, are not finite in float32, or metadata that is not JSON.
    """
    tensors, facts = {}, []
    for level, part in enumerate(geometry.levels()):
        arrays = {name: attribute.of(part) for name, attribute in ATTRIBUTES.items()}
        arrays |= {f"feature.{name}": feature.values for name, feature in part.features.items()}
        for name, array in arrays.items():
            if array is not None:
                tensors[f"{level}.{name}"] = _rounded(name, array)
        for kind, data in _DATA.items():
            for name, array in getattr(part, data).items():
                tensors[f"{level}.{kind}.{name}"] = _narrowed(f"{data} {name!r}", np.asarray(array))
        metadata = {k: v for k, v in part.metadata.items() if k != "record"}
        types = {k: str(f.type) for k, f in part.features.items()}
        facts.append({"metadata": metadata, "features": types, "structure": part.structure})
    from .. import __version__

    before = geometry.metadata.get("record", {})
    header = {
        "crc32": _NO_CRC,
        "schema": SCHEMA,
        "version": __version__,
        "sha256": before.get("sha256") if source_sha256 is None else source_sha256,
        "parameters": before.get("parameters") if parameters is None else dict(parameters),
        "levels": facts,
    }
    try:
        text = json.dumps(header, allow_nan=False, sort_keys=True, default=_plain)
        _assemble(tensors, json.loads(text))
    except (TypeError, ValueError) as error:
        raise GeometryError(f"this geometry cannot be stored: {error}") from None
    write_atomic(path, _sealed(_safetensors(tensors, text)))


def _safetensors(tensors: dict[str, np.ndarray], text: str) -> list[bytes | memoryview]:
    """The pieces of a safetensors file: its length-prefixed JSON header, then the bytes of every array, without a copy."""
    outer: dict[str, Any] = {"__metadata__": {_KEY: text}}
    at = 0
    for name, array in tensors.items():
        kind = next(k for k, dtype in _DTYPES.items() if dtype == array.dtype)
        outer[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    header = json.dumps(outer, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return [struct.pack("<Q", len(header)) + header, *(memoryview(a.data).cast("B") for a in tensors.values() if a.size)]


def load_record(path: str | os.PathLike, dtype: np.dtype | type = np.float32) -> LocalGeometry:
    """Read a record; nothing in the file is trusted.

    Args:
        path: the file.
        dtype: of the floating-point arrays, float32 (as stored) or float64.

    Returns:
        LocalGeometry with int64 indices; its metadata also has ``"record"``: schema, version, sha256 and parameters.

    Raises:
        RecordError: not a record, another schema, truncated, wrong shapes or dtypes, indices out of range, NaN, ...
        OSError: when the file cannot be opened.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {dtype}")
    try:
        header, shapes, start = _read_header(path)
        tensors = {}
        for name, (kind, shape, first, last) in shapes.items():
            count = (last - first) // _DTYPES[kind].itemsize
            tensors[name] = np.fromfile(path, _DTYPES[kind], count, offset=start + first)
            if tensors[name].size != count:
                raise RecordError("truncated")
            tensors[name] = tensors[name].reshape(shape)
        geometry = _assemble(tensors, header, dtype)
        _verify(path, start)
        return geometry
    except GaugenetError as error:
        raise RecordError(f"{os.fspath(path)}: {error}") from None


def read_record_header(path: str | os.PathLike, *, verify: bool = False) -> dict[str, Any]:
    """The facts of a record without its arrays.

    Args:
        path: the file.
        verify: read all of it and compare its checksum; otherwise only that the tensors fit into the file is checked.

    Returns:
        dict with schema, version, sha256, parameters, levels (a list of {"metadata", "features", "structure"}) and
        tensors: name -> {"dtype", "shape"}.

    Raises:
        RecordError, OSError: as load_record.
    """
    try:
        header, shapes, start = _read_header(path)
        if verify:
            _verify(path, start)
    except GaugenetError as error:
        raise RecordError(f"{os.fspath(path)}: {error}") from None
    return {**header, "tensors": {name: {"dtype": kind, "shape": list(shape)} for name, (kind, shape, *_) in shapes.items()}}


def record_name(content_sha256: str, params: Mapping[str, Any] | Any) -> str:
    """File name of a record: SHA-256 of schema, content hash and parameters, so that other parameters never reuse old data.

    Args:
        content_sha256: hex digest of the input file.
        params: a ProcessParams or a JSON-able mapping; the order of keys does not matter.
    """
    values = params if isinstance(params, Mapping) else params.to_dict()
    text = json.dumps([SCHEMA, content_sha256, dict(values)], sort_keys=True, allow_nan=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:40] + ".safetensors"


def _sealed(pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """The pieces of a file, the checksum of all of it filled into the first."""
    head, crc = pieces[0], 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    place = _CRC.search(head)
    assert place is not None  # save_record has written it
    return [head[: place.start(1)], f"{crc:08x}".encode(), head[place.end(1) :], *pieces[1:]]


def _verify(path: str | os.PathLike, start: int) -> None:
    """Compare the checksum of a file whose header ends at ``start``."""
    with open(path, "rb") as file:
        _check_crc(file.read(start), iter(lambda: file.read(2**20), b""))


def _check_crc(head: bytes, rest: Iterable[bytes]) -> None:
    """Compare the checksum in the header with that of the file, in which it counts as zeros."""
    place = _CRC.search(head)
    if place is None:
        raise RecordError("a header without checksum")
    crc = zlib.crc32(head[: place.start(1)] + _NO_CRC.encode() + head[place.end(1) :])
    for piece in rest:
        crc = zlib.crc32(piece, crc)
    if f"{crc:08x}".encode() != place[1]:
        raise RecordError("damaged: the bytes do not match the checksum")


def _rounded(name: str, array: np.ndarray) -> np.ndarray:
    """Little-endian int32 or float32, refusing what does not fit."""
    kind = "I32" if name in ATTRIBUTES and ATTRIBUTES[name].indexes else "F32"
    array = np.asarray(array)
    if kind == "I32" and (array.dtype.kind not in "iu" or (array.size and not -1 < array.max() < 2**31)):
        raise GeometryError(f"{name} must be integers below 2**31, got {array.dtype}")
    if kind == "F32" and array.dtype.kind != "f":
        raise GeometryError(f"{name} must be floating point, got {array.dtype}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=_DTYPES[kind])


def _narrowed(name: str, array: np.ndarray) -> np.ndarray:
    """Little-endian float32, int32 or, where they are larger, int64."""
    if array.dtype.kind not in "biuf":
        raise GeometryError(f"{name} must be numbers, got {array.dtype}")
    kind = "F32"
    if array.dtype.kind != "f":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if high >= 2**63:
            raise GeometryError(f"{name} must be integers below 2**63, got {high}")
        kind = "I32" if low >= -(2**31) and high < 2**31 else "I64"
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, dtype=_DTYPES[kind])


def _read_header(path: str | os.PathLike) -> tuple[dict, dict[str, tuple], int]:
    """Our facts, name -> (type, shape, first, last byte) and where the bytes start; all of it checked against the file size."""
    # A pipe would make open wait for ever.
    if Path(path).exists() and not Path(path).is_file():
        raise RecordError("not a regular file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if (told := stranger(file.read(64))) is not None:
            raise RecordError(told)
        file.seek(0)
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(size - 8, _MAX_HEADER):
            raise RecordError("not a record: no safetensors header, or truncated")
        text = file.read(length)
    try:
        outer = json.loads(text)
        facts = outer.pop("__metadata__")[_KEY]
        header = json.loads(facts)
    # RecursionError: a hostile file of nested brackets.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RecordError("not a gaugenet record: the header does not say so") from None
    schema = header.get("schema") if isinstance(header, dict) else None
    if schema not in _READABLE:
        told = " and ".join(map(str, _READABLE))
        raise RecordError(f"record of schema {str(schema)[:20]!r}, this version reads {told}: preprocess again")
    shapes = {name: _entry(name, entry) for name, entry in outer.items()}
    at = 0
    for name, (_, _, first, last) in sorted(shapes.items(), key=lambda item: item[1][2:]):
        if first != at or last > size - 8 - length:
            raise RecordError(f"truncated, or the bytes of {name!r} overlap others")
        at = last
    if at != size - 8 - length:
        raise RecordError("bytes that belong to no tensor")
    return header, shapes, 8 + length


def _entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape and bytes of a tensor, as the header has them."""
    name = name[:60]
    try:
        kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise RecordError(f"tensor {name!r} without dtype, shape and offsets") from None
    numbers = [first, last, *shape] if isinstance(shape, list) else [None]
    if not all(type(n) is int and 0 <= n < 2**48 for n in numbers) or len(shape) > 3:
        raise RecordError(f"tensor {name!r} with the shape {str(shape)[:60]}")
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise RecordError(f"tensor {name!r} of type {str(kind)[:20]}: expected F32, I32 or I64")
    count = _DTYPES[kind].itemsize
    for n in shape:
        count *= n
    if count != last - first:
        raise RecordError(f"tensor {name!r}: {last - first} bytes for the shape {shape}")
    return kind, tuple(shape), first, last


def _assemble(tensors: dict[str, np.ndarray], header: dict, dtype: np.dtype | type = np.float32) -> LocalGeometry:
    """The LocalGeometry of checked tensors; raises RecordError."""
    levels = header.get("levels")
    if not isinstance(levels, list) or not 1 <= len(levels) <= _MAX_LEVELS:
        raise RecordError("a header without its list of levels")
    names = {str(level): level for level in range(len(levels))}
    parts: list[dict[str, np.ndarray]] = [{} for _ in levels]
    for key, array in tensors.items():
        level, _, name = key.partition(".")
        if level not in names:
            raise RecordError(f"unexpected tensor {key[:60]!r}")
        parts[names[level]][name] = array
    facts = _facts(levels)
    *finer, last = range(len(levels))
    geometry = _level(last, parts[last], facts[last], None, dtype)
    for number in reversed(finer):
        geometry = _level(number, parts[number], facts[number], geometry, dtype)
    provenance = {name: header.get(name) for name in ("schema", "version", "sha256", "parameters")}
    return geometry.replace(metadata={**geometry.metadata, "record": provenance})


def _level(level: int, part: dict, facts: dict, coarse: LocalGeometry | None, dtype: np.dtype | type) -> LocalGeometry:
    """One level, every array checked: presence, dtype, shape, finiteness, range."""
    types = facts["features"]
    holders = ("geometry",) if coarse is None else ("geometry", "pooling")
    known = {a.name: a for a in attributes(lambda a: a.holder in holders)}
    missing = [a.name for a in known.values() if a.required and a.name not in part]
    missing += [f for f in types if f"feature.{f}" not in part]
    if missing:
        raise RecordError(f"level {level}: no tensor {missing[0][:60]!r}")
    # radius and log fix the letters N, E and d that the others must agree with.
    sizes: dict[str, int] = {}
    data: dict[str, dict[str, np.ndarray]] = {field: {} for field in _DATA.values()}
    for name in sorted(part, key=lambda n: n not in ("radius", "log")):
        array = part[name]
        kind, _, own = name.partition(".")
        if kind in _DATA:
            data[_DATA[kind]][own] = _data(level, name, array, dtype)
            continue
        if name.startswith("feature."):
            attribute = Attribute(name, ("N", _feature_dim(level, name, types.get(name[8:])) or name))
        elif name in known:
            attribute = known[name]
        else:
            raise RecordError(f"level {level}: unexpected tensor {name[:60]!r}")
        kind = "I32" if attribute.indexes else "F32"
        if array.dtype != _DTYPES[kind]:
            raise RecordError(f"level {level}: {name} has dtype {array.dtype}, expected {_DTYPES[kind]}")
        if not attribute.fits(array.shape, sizes):
            raise RecordError(f"level {level}: {name} has shape {array.shape}, expected {attribute.expected(sizes)}")
        if kind == "F32" and not np.isfinite(array).all():
            raise RecordError(f"level {level}: {name} has NaN or infinite values")
        if attribute.orthogonal:
            _check_orthogonal(level, name, array)
        elif attribute.least == "zero" and array.size and array.min() < 0.0:
            raise RecordError(f"level {level}: {name} has negative values")
        elif attribute.least == "positive" and not (array > 0.0).all():
            raise RecordError(f"level {level}: a {name} that is not positive")
    if sizes["N"] == 0 or sizes["d"] == 0:
        raise RecordError(f"level {level}: no nodes or no dimension")
    rows = {"vertex_data": sizes["N"], "face_data": sizes.get("F", 0)}
    for field, arrays in data.items():
        for own, array in arrays.items():
            if len(array) != rows[field]:
                raise RecordError(f"level {level}: {field} {own[:60]!r} has {len(array)} rows, expected {rows[field]}")
    _check_indices(level, part, sizes["N"], coarse)
    fields: dict[str, dict[str, np.ndarray]] = {"geometry": {}, "pooling": {}}
    for a in known.values():
        if a.name in part:
            fields[a.holder][a.field] = part[a.name].astype(np.int64 if a.indexes else dtype, copy=False)
    pooling = None if coarse is None else Pooling(**fields["pooling"], geometry=coarse)
    features = {name: Feature(part[f"feature.{name}"].astype(dtype, copy=False), kind) for name, kind in types.items()}
    structure = facts["structure"]
    if not structure and (np.linalg.det(part["transport"]) < 0).any():
        structure = f"O{sizes['d']}"  # version 0.1.0 gave no structure to strips
    metadata = facts["metadata"]
    more: dict[str, Any] = {"features": features, "coarse": pooling, "metadata": metadata, "structure": structure}
    return LocalGeometry(**{**fields["geometry"], **data, **more})


def _data(level: int, name: str, array: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """An array of vertices or faces in the types of memory; its numbers may be anything, NaN too."""
    if array.ndim == 0:
        raise RecordError(f"level {level}: {name[:60]} has no rows")
    return array.astype(np.int64 if array.dtype.kind == "i" else dtype, copy=False)


def _facts(levels: list) -> list[dict[str, Any]]:
    """What the header says of every level; version 0.1.0 had the structure in the metadata, of meshes at level 0 only."""
    checked: list[dict[str, Any]] = []
    for level, facts in enumerate(levels):
        if not isinstance(facts, dict) or not all(isinstance(facts.get(k), dict) for k in ("metadata", "features")):
            raise RecordError(f"level {level}: no metadata and features in the header")
        metadata = dict(facts["metadata"])
        old = metadata.pop("structure", checked[0]["structure"] if checked else "")
        structure = facts.get("structure", old)
        if not isinstance(structure, str) or not _STRUCTURE.fullmatch(structure):
            raise RecordError(f"level {level}: the structure {str(structure)[:20]!r} is no name of a group")
        checked.append({"metadata": metadata, "features": facts["features"], "structure": structure})
    return checked


def _feature_dim(level: int, name: str, kind: Any) -> int:
    """Width of a feature from its type; 0 (any) for types that are not written in SO(2) orders."""
    if not isinstance(kind, str):
        raise RecordError(f"level {level}: {name} without a type in the header")
    try:
        return sum(mul * (1 if order == 0 else 2) for mul, order in parse_orders(kind))
    except ValueError:
        return 0


def _check_orthogonal(level: int, name: str, array: np.ndarray) -> None:
    """Columns orthonormal, to the tolerance of LocalGeometry.validate in float32; in pieces, to keep memory small."""
    piece = 2**18
    for start in range(0, len(array), piece):
        part = array[start : start + piece]
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.abs(np.einsum("eki,ekj->eij", part, part) - np.eye(array.shape[2], dtype=part.dtype)).max(axis=(1, 2))
        if not (error <= 1e-4).all():
            raise RecordError(f"level {level}: {name} is not orthogonal, first at {start + int(np.argmin(error <= 1e-4))}")


def _check_indices(level: int, part: dict, nodes: int, coarse: LocalGeometry | None) -> None:
    """Ranges, and the order of edges that the CSR form takes for granted."""
    limits = {"nodes": nodes, "coarse": 0 if coarse is None else coarse.num_nodes}
    for a in attributes(lambda a: a.indexes is not None):
        array, limit = part.get(a.name), limits[a.indexes or "nodes"]
        least = -1 if a.partial else 0
        if array is not None and array.size and not (array.min() >= least and array.max() < limit):
            raise RecordError(f"level {level}: {a.name} has an index outside {least} to {limit - 1}")
    source, target = part["edge_index"]
    if (source == target).any():
        raise RecordError(f"level {level}: an edge from a node to itself")
    same = target[1:] == target[:-1]
    if ((target[1:] < target[:-1]) | (same & (source[1:] <= source[:-1]))).any():
        raise RecordError(f"level {level}: edges are not sorted by target, then source, without repeats")


def _plain(value: Any) -> Any:
    """numpy values and tuples in metadata as plain JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
