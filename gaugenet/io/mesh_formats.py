"""Strict readers of OBJ, OFF and STL: bytes -> vertices, polygons and what else is said of them.

trimesh skips what it cannot parse, splits vertices at texture seams and reads a truncated text file as a smaller mesh; here
every number in the file arrives or an error says which line it is in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from ..errors import MeshError
from ..geometry.triangles.triangle_mesh import Arrays, MeshWarning
from ..geometry.triangles.welding import weld_exact


@dataclass(frozen=True, eq=False)
class Polygons:
    """Vertices (V, 3) and polygons: polygon k has the next counts[k] entries of flat; and what else the file says of them.

    vertex_data, face_data: name -> array with a row for every vertex, every polygon; names: of the integers in such an array.
    """

    vertices: np.ndarray
    flat: np.ndarray
    counts: np.ndarray
    warnings: list[MeshWarning]
    vertex_data: Arrays = field(default_factory=dict)
    face_data: Arrays = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)


def unreadable(text: str) -> MeshError:
    """The error of a file that is not what its name says."""
    return MeshError(text, kind="unreadable")


def triangulate(polygons: Polygons) -> tuple[np.ndarray, np.ndarray]:
    """(F, 3) triangles as fans around the first corner, and (F,) the polygon of each."""
    counts = polygons.counts
    bad = np.flatnonzero(counts < 3)
    if bad.size:
        raise MeshError("faces with fewer than three corners", kind="unreadable", ids=bad)
    owner = np.repeat(np.arange(counts.size), counts - 2)
    first = (np.cumsum(counts) - counts)[owner]
    step = np.arange(owner.size) - (np.cumsum(counts - 2) - (counts - 2))[owner]
    flat = polygons.flat
    return np.stack([flat[first], flat[first + step + 1], flat[first + step + 2]], 1).reshape(-1, 3), owner


_OBJ_ELEMENTS = {b"l", b"p", b"curv", b"curv2", b"surf"}
# Statements that name the faces after them, and the array that has the number of the name.
_OBJ_GROUPS = {b"g": "group", b"o": "object", b"usemtl": "material"}
_OBJ_CORNERS = {b"vt": "texture coordinates", b"vn": "normals"}


def read_obj(data: bytes) -> Polygons:
    """Wavefront OBJ: v (with colours) and f (with negative indices, polygons); g, o and usemtl become arrays of the faces,
    "group", "object" and "material"; texture coordinates and normals, which corners have, and l, p and curves are left out.
    """
    coordinates: list[bytes] = []
    more: list[list[bytes]] = []
    groups: dict[str, list[tuple[int, str]]] = {}
    of_corners: set[bytes] = set()
    corners: list[int] = []
    counts: list[int] = []
    left_out: list[int] = []
    number = 0
    try:
        for number, line in enumerate(data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines(), 1):
            parts = line.partition(b"#")[0].split()
            if not parts:
                continue
            keyword = parts[0]
            if keyword == b"v":
                if len(parts) < 4:
                    raise ValueError("a vertex with fewer than three numbers")
                coordinates += parts[1:4]
                if len(parts) > 4:
                    more.append(parts[4:])
            elif keyword == b"f":
                if len(parts) < 4:
                    raise ValueError("a face with fewer than three corners")
                if b"/" in line:
                    row = [int(token.partition(b"/")[0]) for token in parts[1:]]
                else:
                    row = [int(token) for token in parts[1:]]
                if min(row) <= 0:
                    if 0 in row:
                        raise ValueError("OBJ counts vertices from 1, got 0")
                    row = [i if i > 0 else len(coordinates) // 3 + i + 1 for i in row]
                    if min(row) <= 0:
                        raise ValueError("a negative index reaches before the first vertex")
                corners += row
                counts.append(len(row))
            elif keyword in _OBJ_CORNERS:
                of_corners.add(keyword)
            elif keyword in _OBJ_GROUPS:
                name = b" ".join(parts[1:]).decode("utf-8", "replace")
                groups.setdefault(_OBJ_GROUPS[keyword], []).append((len(counts), name))
            elif keyword in _OBJ_ELEMENTS:
                left_out.append(number)
            elif not keyword.replace(b"_", b"").isalnum():
                raise ValueError("not an OBJ statement")
    except ValueError as error:
        raise unreadable(f"line {number}: {error}") from None
    try:
        vertices = np.array(list(map(float, coordinates)), dtype=np.float64).reshape(-1, 3)
        flat = np.array(corners, dtype=np.int64) - 1
    except (ValueError, OverflowError) as error:
        raise unreadable(f"a vertex that is not three numbers or a face that is not vertex numbers: {error}") from None
    warnings = []
    if left_out:
        warnings.append(MeshWarning.of("left_out", "left out points, lines and curves, at lines", left_out))
    if of_corners:
        text = " and ".join(_OBJ_CORNERS[keyword] for keyword in sorted(of_corners, reverse=True))
        warnings.append(MeshWarning.of("left_out", f"left out the {text} of corners"))
    vertex_data = _colours(more, len(vertices), warnings)
    face_data, names = {}, {}
    for kind, statements in groups.items():
        face_data[kind], names[kind] = _named(statements, len(counts))
    return Polygons(vertices, flat, np.array(counts, dtype=np.int64), warnings, vertex_data, face_data, names)


def _colours(more: list[list[bytes]], count: int, warnings: list[MeshWarning]) -> Arrays:
    """``color`` (V, 3) of what follows the coordinates of the vertices; a single number there is their weight in a curve."""
    sizes = {len(row) for row in more} - {1}
    if sizes == {3} and len(more) == count:
        return _numbers("color", more, warnings)
    if sizes:
        warnings.append(MeshWarning.of("left_out", "left out the numbers after x y z: not three (a colour) at every vertex"))
    return {}


def _numbers(name: str, rows: list[list[bytes]], warnings: list[MeshWarning]) -> Arrays:
    """{name: (rows, columns)} of tokens, whole numbers as integers; nothing but a warning where they are no numbers."""
    try:
        values = np.array([list(map(float, row)) for row in rows], dtype=np.float64)
    except (ValueError, OverflowError):
        warnings.append(MeshWarning.of("left_out", f"left out what is no {name}: not as many numbers in every line"))
        return {}
    return {name: whole(values) if not any(b"." in token or b"e" in token.lower() for token in rows[0]) else values}


def whole(values: np.ndarray) -> np.ndarray:
    """Numbers as int64 where all of them are whole and fit, else as float64."""
    values = np.asarray(values)
    if values.dtype.kind not in "iu":
        with np.errstate(invalid="ignore"):
            fits = bool((np.abs(values) < 2.0**53).all()) and bool((values == np.floor(values)).all())
    else:
        fits = not values.size or values.dtype.kind == "i" or int(values.max()) < 2**63
    return values.astype(np.int64 if fits else np.float64)


def _named(statements: list[tuple[int, str]], count: int) -> tuple[np.ndarray, list[str]]:
    """(F,) the number of the name that stands before each face, and the names; faces before the first have the name ""."""
    start, found = zip(*([(0, "")] if statements[0][0] else []), *statements)
    names = list(dict.fromkeys(found))
    of_start = np.array([names.index(name) for name in found])
    # Of several statements at one place the last holds.
    return of_start[np.searchsorted(start, np.arange(count), side="right") - 1], names


def read_off(data: bytes) -> Polygons:
    """OFF in text, with or without colours, normals and texture coordinates (COFF, NOFF, STOFF), counts glued to OFF or not."""
    lines = [raw.partition(b"#")[0].split() for raw in data.splitlines()]
    numbers = [number for number, line in enumerate(lines, 1) if line]
    lines = [line for line in lines if line]
    head = re.fullmatch(rb"(?:ST)?C?(N?)OFF(\d*)", lines[0][0]) if lines else None
    if head is None:
        raise unreadable("an OFF file starts with OFF (or COFF, NOFF, STOFF)")
    if b"BINARY" in lines[0]:
        raise unreadable("binary OFF is not supported")
    lines[0] = ([head[2]] if head[2] else []) + lines[0][1:]
    if not lines[0]:
        del lines[0], numbers[0]
    try:
        num_vertices, num_faces = int(lines[0][0]), int(lines[0][1])
    except (IndexError, ValueError):
        raise unreadable("OFF without the numbers of vertices and faces") from None
    if num_vertices < 0 or num_faces < 0 or len(lines) - 1 < num_vertices + num_faces:
        raise unreadable(f"truncated: {num_vertices} vertices and {num_faces} faces announced, {len(lines) - 1} lines there")
    k = 0
    try:
        tokens: list[bytes] = []
        more: list[list[bytes]] = []
        for k in range(1, 1 + num_vertices):
            if len(lines[k]) < 3:
                raise ValueError("a vertex with fewer than three numbers")
            tokens += lines[k][:3]
            if len(lines[k]) > 3:
                more.append(lines[k][3:])
        vertices = np.array(list(map(float, tokens)), dtype=np.float64).reshape(-1, 3)
        corners: list[int] = []
        counts: list[int] = []
        colours: list[list[bytes]] = []
        for k in range(1 + num_vertices, 1 + num_vertices + num_faces):
            line = lines[k]
            size = int(line[0])
            row = line[1 : 1 + size]
            if size < 0 or len(row) != size:
                raise ValueError(f"{size} corners announced, {len(row)} there")
            corners += map(int, row)
            counts.append(size)
            if len(line) > 1 + size:
                colours.append(line[1 + size :])
        flat = np.array(corners, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise unreadable(f"line {numbers[k]}: {error}") from None
    warnings = []
    if len(lines) - 1 > num_vertices + num_faces:
        beyond = len(lines) - 1 - num_vertices - num_faces
        warnings.append(MeshWarning.of("left_out", f"left out {beyond} lines beyond the announced vertices and faces"))
    vertex_data = _off_columns(more, num_vertices, bool(head[1]), warnings) if more else {}
    face_data: Arrays = {}
    if len(colours) == num_faces and len({len(row) for row in colours}) == 1:
        face_data = _numbers("color", colours, warnings)
    elif colours:
        warnings.append(MeshWarning.of("left_out", "left out the colours of faces: not as many numbers at every face"))
    return Polygons(vertices, flat, np.array(counts, dtype=np.int64), warnings, vertex_data, face_data)


def _off_columns(more: list[list[bytes]], count: int, normals: bool, warnings: list[MeshWarning]) -> Arrays:
    """What follows x y z: ``normal`` (V, 3), if the header announces it, ``color`` (V, 3 or 4), ``texture`` (V, 2)."""
    size = len(more[0])
    if len(more) != count or {len(row) for row in more} != {size}:
        warnings.append(MeshWarning.of("left_out", "left out the numbers after x y z: not as many at every vertex"))
        return {}
    data: Arrays = {}
    at = 0
    for name, width in (("normal", 3 if normals and size >= 3 else 0), ("color", 0), ("texture", 0)):
        if name == "color":
            width = next((n for n in (4, 3) if size - at in (n, n + 2)), 0)
        elif name == "texture":
            width = size - at
        if width:
            data |= _numbers(name, [row[at : at + width] for row in more], warnings)
        at += width
    return data


_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_NUMBER = rb"[ \t]+(\S+)"


def read_stl(data: bytes) -> Polygons:
    """STL, binary or text. It has no indices: corners at exactly equal positions become one vertex, and a warning says so."""
    count = int.from_bytes(data[80:84], "little") if len(data) >= 84 else -1
    warnings = []
    face_data: Arrays = {}
    if len(data) == 84 + 50 * count or data.lstrip()[:5].lower() != b"solid":
        if count < 0 or len(data) < 84 + 50 * count:
            raise unreadable(f"truncated binary STL: {max(count, 0)} triangles announced, {len(data)} bytes there")
        if len(data) > 84 + 50 * count:
            warnings.append(MeshWarning.of("left_out", f"left out {len(data) - 84 - 50 * count} bytes after the last triangle"))
        with np.errstate(invalid="ignore"):  # a signalling NaN; it is refused below
            triangles = np.frombuffer(data, _STL_TRIANGLE, count, offset=84)
            corners = triangles["corners"].reshape(-1, 3).astype(np.float64)
        if triangles["attribute"].any():
            face_data["attribute"] = triangles["attribute"].astype(np.int64)  # many programs put a colour there
    else:
        found = re.findall(rb"^[ \t]*vertex" + _NUMBER * 3 + rb"[ \t]*\r?$", data, re.MULTILINE | re.IGNORECASE)
        words = {w: len(re.findall(rb"^[ \t]*" + w + rb"\b", data, re.MULTILINE | re.IGNORECASE)) for w in _STL_WORDS}
        if words[b"vertex"] != len(found):
            raise unreadable("an STL vertex that is not three numbers")
        if not 3 * words[b"facet"] == 3 * words[b"endfacet"] == len(found) or words[b"endsolid"] == 0:
            raise unreadable(f"truncated text STL: {words[b'facet']} facets with {len(found)} vertices")
        try:
            corners = np.array([float(x) for row in found for x in row], dtype=np.float64).reshape(-1, 3)
        except ValueError as error:
            raise unreadable(f"an STL vertex that is not three numbers: {error}") from None
    if not np.isfinite(corners).all():
        bad = np.flatnonzero(~np.isfinite(corners).all(axis=1)) // 3
        raise MeshError("triangles with NaN or infinite coordinates", kind="not_finite", ids=np.unique(bad))
    first, group = weld_exact(corners)
    if corners.size:
        text = f"STL has no indices: {len(corners)} corners at {first.size} exactly equal positions became as many vertices"
        warnings.append(MeshWarning.of("stl_weld", text))
    return Polygons(corners[first], group, np.full(len(corners) // 3, 3), warnings, face_data=face_data)


_STL_WORDS = (b"facet", b"endfacet", b"vertex", b"endsolid")
