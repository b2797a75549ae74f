"""Meshes from files: nothing is lost, welded or repaired silently."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MeshError
from ..geometry.triangles.checks import check_arrays
from ..geometry.triangles.triangle_mesh import MeshWarning, TriangleMesh
from .glb_checks import check_glb
from .mesh_formats import Polygons, read_obj, read_off, read_stl, triangulate, unreadable
from .ply_format import read_ply

__all__ = ["EXTENSIONS", "load_mesh", "mesh_arrays", "parse_mesh", "read_bytes"]


def load_mesh(path: str | os.PathLike) -> TriangleMesh:
    """Read a mesh from an .obj, .off, .ply, .stl or .glb file.

    Polygons are cut into fans of triangles (face_ids says which triangle came from which polygon). OBJ texture and normal
    indices do not split vertices. STL has no indices, so that corners at exactly equal positions are one vertex (a warning
    says so). A GLB scene becomes one mesh, its nodes placed by their transforms. What the mesh is like is not judged here:
    that is check_mesh's work.

    Returns:
        TriangleMesh: vertices (V, 3) float64, faces (F, 3) int64.

    Raises:
        MeshError: naming the file, with ``kind`` unknown_format, unreadable, empty, not_finite or index_out_of_range.
        OSError: when the file cannot be opened.
    """
    path = os.fspath(path)
    extension = Path(path).suffix.lower()
    if extension not in EXTENSIONS:
        text = f"unknown mesh format {extension!r}: expected one of {', '.join(EXTENSIONS)}"
        raise MeshError(text, kind="unknown_format", path=path)
    return parse_mesh(read_bytes(path), extension, path)


def mesh_arrays(
    path_or_vertices: str | os.PathLike | np.ndarray, faces: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, str | None, list[MeshWarning]]:
    """Vertices, faces, path and warnings of a file, or of vertices with faces, which are returned as they are.

    Raises:
        TypeError: a file with faces, or vertices without. MeshError, OSError: as :func:`load_mesh`.
    """
    if isinstance(path_or_vertices, (str, os.PathLike)):
        if faces is not None:
            raise TypeError("faces come with an array of vertices, not with a file")
        loaded = load_mesh(path_or_vertices)
        return loaded.vertices, loaded.faces, loaded.path, loaded.warnings
    if faces is None:
        raise TypeError("expected a file, or vertices (V, 3) and faces (F, 3): faces are missing")
    return path_or_vertices, faces, None, []


def read_bytes(path: str | os.PathLike) -> bytes:
    """The bytes of a regular file; a pipe or a device, which may never end, is a MeshError."""
    # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise MeshError("not a regular file", kind="unreadable", path=os.fspath(path))
    with open(handle, "rb") as file:
        return file.read()


def parse_mesh(data: bytes, extension: str, path: str | None = None) -> TriangleMesh:
    """The mesh in the bytes of a file with this extension (".obj", ...); errors as for load_mesh."""
    if not data.strip():
        raise MeshError("the file is empty", kind="empty", path=path)
    try:
        polygons = _READERS[extension](data)
        faces, face_ids = triangulate(polygons)
    except MeshError as error:
        raise MeshError(error.message, kind=error.kind, ids=error.ids, path=path) from None
    vertices, faces, _ = check_arrays(polygons.vertices, faces, path)
    ids = np.arange(vertices.shape[0])
    return TriangleMesh(vertices, faces, path, polygons.warnings, ids, face_ids)


def _read_glb(data: bytes) -> Polygons:
    """Binary glTF through trimesh, with process=False; nodes that are not meshes are left out with a warning."""
    import io

    import trimesh

    length = check_glb(data)
    try:
        scene: Any = trimesh.load(io.BytesIO(data[:length]), file_type="glb", process=False, force="scene", skip_materials=True)
        names = sorted(scene.graph.nodes_geometry)
        placed = [(*scene.graph[name], name) for name in names]
    # Whatever trimesh raises on damaged bytes (struct.error, KeyError, JSONDecodeError, ...), the answer is the same.
    except Exception as error:
        raise unreadable(f"not a GLB file that trimesh can read: {type(error).__name__}: {error}") from None
    vertices, faces, left_out, total = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], [], 0
    for matrix, geometry, name in placed:
        part = scene.geometry[geometry]
        if not isinstance(part, trimesh.Trimesh):
            left_out.append(name)
            continue
        corners = np.asarray(part.faces, dtype=np.int64).reshape(-1, 3)
        points = np.asarray(part.vertices, dtype=np.float64).reshape(-1, 3)
        outside = np.flatnonzero(((corners < 0) | (corners >= len(points))).any(axis=1))
        if outside.size:
            raise MeshError(f"faces of node {name!r} that refer to missing vertices", kind="index_out_of_range", ids=outside)
        if np.linalg.det(matrix[:3, :3]) < 0.0:
            corners = corners[:, [0, 2, 1]]
        with np.errstate(over="ignore", invalid="ignore"):  # not finite: refused later
            vertices.append(points @ matrix[:3, :3].T + matrix[:3, 3])
        faces.append(corners + total)
        total += len(points)
    warnings = [MeshWarning.of("left_out", f"left out what is not a mesh: {', '.join(left_out)}")] if left_out else []
    if len(data) > length:
        warnings.append(MeshWarning.of("left_out", f"left out {len(data) - length} bytes after the end that the header gives"))
    joined = np.concatenate(faces)
    return Polygons(np.concatenate(vertices), joined.reshape(-1), np.full(len(joined), 3), warnings)


_READERS = {".obj": read_obj, ".off": read_off, ".ply": read_ply, ".stl": read_stl, ".glb": _read_glb}
EXTENSIONS = tuple(_READERS)
