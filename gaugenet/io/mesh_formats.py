"""Strict readers of OBJ, OFF and STL: bytes -> vertices and polygons.

trimesh skips what it cannot parse, splits vertices at texture seams and reads a truncated text file as a smaller mesh; here
every number in the file arrives or an error says which line it is in.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from ..errors import MeshError
from ..geometry.triangles.triangle_mesh import MeshWarning
from ..geometry.triangles.welding import weld_exact


class Polygons(NamedTuple):
    """Vertices (V, 3) and polygons: polygon k has the next counts[k] entries of flat."""

    vertices: np.ndarray
    flat: np.ndarray
    counts: np.ndarray
    warnings: list[MeshWarning]


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


def read_obj(data: bytes) -> Polygons:
    """Wavefront OBJ: v and f (with texture and normal indices, negative indices, polygons); l, p and curves are left out."""
    coordinates: list[bytes] = []
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
    return Polygons(vertices, flat, np.array(counts, dtype=np.int64), warnings)


def read_off(data: bytes) -> Polygons:
    """OFF in text, with or without colours, normals and texture coordinates (COFF, NOFF, STOFF), counts glued to OFF or not."""
    lines = [raw.partition(b"#")[0].split() for raw in data.splitlines()]
    numbers = [number for number, line in enumerate(lines, 1) if line]
    lines = [line for line in lines if line]
    head = re.fullmatch(rb"(?:ST)?C?N?OFF(\d*)", lines[0][0]) if lines else None
    if head is None:
        raise unreadable("an OFF file starts with OFF (or COFF, NOFF, STOFF)")
    if b"BINARY" in lines[0]:
        raise unreadable("binary OFF is not supported")
    lines[0] = ([head[1]] if head[1] else []) + lines[0][1:]
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
        for k in range(1, 1 + num_vertices):
            if len(lines[k]) < 3:
                raise ValueError("a vertex with fewer than three numbers")
            tokens += lines[k][:3]
        vertices = np.array(list(map(float, tokens)), dtype=np.float64).reshape(-1, 3)
        corners: list[int] = []
        counts: list[int] = []
        for k in range(1 + num_vertices, 1 + num_vertices + num_faces):
            line = lines[k]
            size = int(line[0])
            row = line[1 : 1 + size]
            if size < 0 or len(row) != size:
                raise ValueError(f"{size} corners announced, {len(row)} there")
            corners += map(int, row)
            counts.append(size)
        flat = np.array(corners, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise unreadable(f"line {numbers[k]}: {error}") from None
    warnings = []
    if len(lines) - 1 > num_vertices + num_faces:
        more = len(lines) - 1 - num_vertices - num_faces
        warnings.append(MeshWarning.of("left_out", f"left out {more} lines beyond the announced vertices and faces"))
    return Polygons(vertices, flat, np.array(counts, dtype=np.int64), warnings)


_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_NUMBER = rb"[ \t]+(\S+)"


def read_stl(data: bytes) -> Polygons:
    """STL, binary or text. It has no indices: corners at exactly equal positions become one vertex, and a warning says so."""
    count = int.from_bytes(data[80:84], "little") if len(data) >= 84 else -1
    warnings = []
    if len(data) == 84 + 50 * count or data.lstrip()[:5].lower() != b"solid":
        if count < 0 or len(data) < 84 + 50 * count:
            raise unreadable(f"truncated binary STL: {max(count, 0)} triangles announced, {len(data)} bytes there")
        if len(data) > 84 + 50 * count:
            warnings.append(MeshWarning.of("left_out", f"left out {len(data) - 84 - 50 * count} bytes after the last triangle"))
        with np.errstate(invalid="ignore"):  # a signalling NaN; it is refused below
            corners = np.frombuffer(data, _STL_TRIANGLE, count, offset=84)["corners"].reshape(-1, 3).astype(np.float64)
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
    return Polygons(corners[first], group, np.full(len(corners) // 3, 3), warnings)


_STL_WORDS = (b"facet", b"endfacet", b"vertex", b"endsolid")
