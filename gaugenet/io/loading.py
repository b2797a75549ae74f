"""Meshes from files: nothing is lost, welded or repaired silently."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MeshError
from ..geometry.triangles.checks import check_arrays
from ..geometry.triangles.triangle_mesh import RESERVED, Arrays, MeshWarning, TriangleMesh
from .glb_checks import check_glb
from .libraries.brain import read_freesurfer, read_gifti, read_vertex_values
from .libraries.files import read_gmsh, read_vtk
from .libraries.objects import OBJECTS, polygons_of
from .mesh_formats import Polygons, read_obj, read_off, read_stl, triangulate, unreadable
from .ply_format import read_ply
from .signatures import stranger, without_mark

__all__ = ["EXTENSIONS", "load_mesh", "mesh_format", "parse_mesh", "read_bytes", "source_mesh"]


def load_mesh(path: str | os.PathLike) -> TriangleMesh:
    """Read a mesh from an .obj, .off, .ply, .stl or .glb file, and through libraries that are extras of gaugenet: .vtk, .vtp,
    .vtu (pyvista), .msh (meshio), .gii and FreeSurfer's lh.white, rh.pial, ... (nibabel).

    Polygons are cut into fans of triangles (face_ids says which triangle came from which polygon). Colours, labels, groups and
    all other numbers of vertices and faces are in vertex_data and face_data; what belongs to corners (OBJ texture and normal
    indices) is left out with a warning and does not split vertices. STL has no indices, so that corners at exactly equal
    positions are one vertex (a warning says so). A GLB scene becomes one mesh, its nodes placed by their transforms. What the
    mesh is like is not judged here: that is check_mesh's work.

    Returns:
        TriangleMesh: vertices (V, 3) float64, faces (F, 3) int64.

    Raises:
        MeshError: naming the file, with ``kind`` unknown_format, unreadable, empty, not_finite or index_out_of_range.
        MissingDependencyError: the library that reads such files is not installed.
        OSError: when the file cannot be opened.
    """
    path = os.fspath(path)
    extension = mesh_format(path)
    if extension is None:
        known = f"{', '.join(EXTENSIONS)}, or a FreeSurfer surface such as lh.white"
        text = f"unknown mesh format {Path(path).suffix.lower()!r}: expected one of {known}"
        raise MeshError(text, kind="unknown_format", path=path)
    return parse_mesh(read_bytes(path), extension, path)


def mesh_format(path: str | os.PathLike) -> str | None:
    """How a file is read, by its name: one of EXTENSIONS, FREESURFER for lh.white and the like, or None."""
    name = Path(path).name
    extension = Path(name).suffix.lower()
    if extension in EXTENSIONS:
        return extension
    return FREESURFER if _FREESURFER_NAME.fullmatch(name) else None


def source_mesh(
    source: Any,
    faces: np.ndarray | None,
    vertex_data: Mapping[str, Any] | None = None,
    face_data: Mapping[str, Any] | None = None,
) -> TriangleMesh:
    """The unchecked mesh of a file, of a TriangleMesh or the mesh of another library, or of vertices with faces (or the pair
    of both), which are taken as they are.

    Args:
        vertex_data, face_data: more arrays, by name, with a row for every vertex, every face (or polygon of the file). One of
            vertices may be the path of a file (:func:`gaugenet.io.libraries.brain.read_vertex_values`).

    Raises:
        TypeError: a file with faces, or vertices without; arrays that are not numbers. ValueError: of another length.
        MeshError, OSError: as :func:`load_mesh`.
    """
    if isinstance(source, tuple) and len(source) == 2 and faces is None:
        source, faces = source
    polygons_there = polygons_of(source)
    if isinstance(source, (str, os.PathLike, TriangleMesh)) or polygons_there is not None:
        if faces is not None:
            raise TypeError("faces come with an array of vertices, not with a file or a TriangleMesh")
        if polygons_there is not None:
            mesh = _triangles(polygons_there, None)
        else:
            mesh = source if isinstance(source, TriangleMesh) else load_mesh(source)
    elif faces is None:
        got = type(source).__name__
        text = f"expected a file, a TriangleMesh, {OBJECTS}, or vertices (V, 3) and faces (F, 3)"
        raise TypeError(f"{text}: faces are missing, got {got}")
    else:
        mesh = TriangleMesh(np.asarray(source), np.asarray(faces))
    if not vertex_data and not face_data:
        return mesh
    polygons = None if mesh.face_ids is None else mesh.face_ids
    vertex_data, names = _read_values(vertex_data or {}, len(mesh.vertices))
    vertices = {k: _rows(f"vertex_data[{k!r}]", v, len(mesh.vertices)) for k, v in vertex_data.items()}
    of_faces = {k: _rows(f"face_data[{k!r}]", v, len(mesh.faces), polygons) for k, v in (face_data or {}).items()}
    vertices, of_faces, names = mesh.vertex_data | vertices, mesh.face_data | of_faces, mesh.names | names
    return dataclasses.replace(mesh, vertex_data=vertices, face_data=of_faces, names=names)


def _read_values(given: Mapping[str, Any], count: int) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The arrays of vertices with files read: one array of a file has the name given, of several theirs after it."""
    data: dict[str, Any] = {}
    names: dict[str, list[str]] = {}
    for key, values in given.items():
        if not isinstance(values, (str, os.PathLike)):
            data[key] = values
            continue
        found, labels = read_vertex_values(values, count)
        if not found:
            raise MeshError("no values of vertices in it", kind="empty", path=os.fspath(values))
        for own, array in found.items():
            name = key if len(found) == 1 else f"{key}_{own}"
            data[name] = array
            if own in labels:
                names[name] = labels[own]
    return data, names


def _rows(name: str, values: Any, count: int, polygons: np.ndarray | None = None) -> np.ndarray:
    """An array of numbers with ``count`` rows, those of polygons repeated for each of their triangles."""
    array = np.asarray(values)
    if name.endswith(tuple(f"[{own!r}]" for own in RESERVED)):
        raise ValueError(f"{name}: graphs have an array of their own with this name, give it another name")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numbers, got dtype {array.dtype}")
    if array.ndim and polygons is not None and len(array) != count and len(array) == polygons.max(initial=-1) + 1:
        return array[polygons]
    if not 1 <= array.ndim <= 3 or len(array) != count:
        raise ValueError(f"{name} expected {count} rows and at most 3 axes, got shape {array.shape}")
    return array


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
    """The mesh in the bytes of a file of this format, as mesh_format tells it (".obj", ...); errors as for load_mesh."""
    if not data.strip():
        raise MeshError("the file is empty", kind="empty", path=path)
    if (told := stranger(data)) is not None:
        raise MeshError(told, kind="unreadable", path=path)
    data = without_mark(data)
    try:
        polygons = _READERS[extension](data)
    except MeshError as error:
        raise MeshError(error.message, kind=error.kind, ids=error.ids, path=path) from None
    return _triangles(polygons, path)


def _triangles(polygons: Polygons, path: str | None) -> TriangleMesh:
    """The mesh of polygons, cut into triangles."""
    try:
        faces, face_ids = triangulate(polygons)
    except MeshError as error:
        raise MeshError(error.message, kind=error.kind, ids=error.ids, path=path) from None
    vertices, faces, _ = check_arrays(polygons.vertices, faces, path)
    ids = np.arange(vertices.shape[0])
    return TriangleMesh(
        vertices,
        faces,
        path,
        polygons.warnings,
        ids,
        face_ids,
        vertex_data={_free(name): values for name, values in polygons.vertex_data.items()},
        face_data={_free(name): values[face_ids] for name, values in polygons.face_data.items()},
        vertex_nodes=ids,
        names=polygons.names,
    )


def _free(name: str) -> str:
    """The name of an array of a file, another one where graphs have an array of this name of their own."""
    return f"{name}_" if name in RESERVED else name


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
    parts: list[Arrays] = []
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
        parts.append(_glb_data(part, len(points)))
    warnings = [MeshWarning.of("left_out", f"left out what is not a mesh: {', '.join(left_out)}")] if left_out else []
    if len(data) > length:
        warnings.append(MeshWarning.of("left_out", f"left out {len(data) - length} bytes after the end that the header gives"))
    joined = np.concatenate(faces)
    common = set.intersection(*map(set, parts)) if parts else set()
    common = {name for name in common if len({part[name].shape[1:] for part in parts}) == 1}
    partial = sorted(set().union(*parts) - common)
    if partial:
        warnings.append(MeshWarning.of("left_out", f"left out what not all nodes have alike: {', '.join(partial)}"))
    vertex_data = {name: np.concatenate([part[name] for part in parts]) for name in sorted(common)}
    return Polygons(np.concatenate(vertices), joined.reshape(-1), np.full(len(joined), 3), warnings, vertex_data)


def _glb_data(part: Any, count: int) -> Arrays:
    """Colours and custom attributes of the vertices of a trimesh."""
    data = {name.strip("_").lower(): np.asarray(values) for name, values in part.vertex_attributes.items()}
    if part.visual.kind == "vertex":
        data["color"] = np.asarray(part.visual.vertex_colors).astype(np.int64)
    return {k: v for k, v in data.items() if v.dtype.kind in "biuf" and 1 <= v.ndim <= 3 and len(v) == count}


# Names of the surfaces of FreeSurfer, which have no extension of their own; their format has this name here.
FREESURFER = "freesurfer"
_FREESURFER_NAME = re.compile(r"[lr]h\.(white|pial|inflated|smoothwm|orig|sphere|midthickness|graymid)(\.reg|\.preaparc|\.T1)?")
_READERS: dict[str, Callable[[bytes], Polygons]] = {
    ".obj": read_obj,
    ".off": read_off,
    ".ply": read_ply,
    ".stl": read_stl,
    ".glb": _read_glb,
    **{extension: functools.partial(read_vtk, extension=extension) for extension in (".vtk", ".vtp", ".vtu")},
    ".msh": read_gmsh,
    ".gii": read_gifti,
    FREESURFER: read_freesurfer,
}
EXTENSIONS = tuple(name for name in _READERS if name != FREESURFER)
