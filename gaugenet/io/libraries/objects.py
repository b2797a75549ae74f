"""Meshes that other libraries hold in memory: their vertices, polygons and arrays, nothing welded, cut or reordered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...checks import as_array
from ...errors import MeshError
from ...geometry.triangles.triangle_mesh import Arrays, MeshWarning
from ..mesh_formats import Polygons
from . import needed

OBJECTS = "a mesh of trimesh, meshio, pyvista, nibabel (GIFTI) or open3d, a Data(pos, face) of PyG"


def polygons_of(source: Any) -> Polygons | None:
    """What a mesh object of another library holds, or None of anything else. The library is told by the module of the class.

    Raises:
        MeshError: volumes, curved cells and strips of triangles, which are no surface of polygons.
    """
    if isinstance(source, np.ndarray):  # trimesh's own arrays (mesh.vertices * 2) are arrays, not meshes
        return None
    for kind in type(source).__mro__:
        reader = _READERS.get(kind.__module__.partition(".")[0])
        if reader is not None:
            return reader(source)
    return None


def arrays(found: Iterable[tuple[str, Any]], count: int, warnings: list[MeshWarning], of: str = "vertex") -> Arrays:
    """The arrays of numbers with ``count`` rows; of the others a warning."""
    data: Arrays = {}
    left_out = []
    for name, values in found:
        array = as_array(values)
        if array.dtype.kind in "biuf" and 1 <= array.ndim <= 3 and len(array) == count:
            data[str(name)] = array
        elif array.size:
            left_out.append(str(name))
    if left_out:
        text = f"left out {', '.join(left_out)}: not numbers with a row for every {of}"
        warnings.append(MeshWarning.of("left_out", text))
    return data


def of_triangles(
    vertices: Any,
    faces: Any,
    vertex_data: Iterable[tuple[str, Any]] = (),
    face_data: Iterable[tuple[str, Any]] = (),
    names: dict[str, list[str]] | None = None,
) -> Polygons:
    """Vertices and faces of one number of corners, with their arrays."""
    warnings: list[MeshWarning] = []
    vertices, faces = np.asarray(as_array(vertices), np.float64), np.asarray(as_array(faces))
    if faces.ndim != 2 or faces.dtype.kind not in "iu":
        text = f"faces expected whole numbers, a row for each face, got {faces.dtype} of shape {faces.shape}"
        raise MeshError(text, kind="unreadable")
    of_vertices = arrays(vertex_data, len(vertices), warnings)
    of_faces = arrays(face_data, len(faces), warnings, "face")
    flat = faces.astype(np.int64).reshape(-1)
    return Polygons(vertices, flat, np.full(len(faces), faces.shape[1]), warnings, of_vertices, of_faces, names or {})


def _trimesh(source: Any) -> Polygons:
    if not hasattr(source, "faces"):
        text = f"expected a trimesh.Trimesh, got {type(source).__name__}: of a scene take scene.to_mesh()"
        raise MeshError(text, kind="unreadable")
    vertex_data, face_data = dict(source.vertex_attributes), dict(source.face_attributes)
    if source.visual.kind == "vertex":
        vertex_data["color"] = np.asarray(source.visual.vertex_colors).astype(np.int64)
    elif source.visual.kind == "face":
        face_data["color"] = np.asarray(source.visual.face_colors).astype(np.int64)
    return of_triangles(source.vertices, source.faces, vertex_data.items(), face_data.items())


def _open3d(source: Any) -> Polygons:
    source = source.to_legacy() if hasattr(source, "to_legacy") else source
    found = [("color", source.vertex_colors), ("normal", source.vertex_normals)]
    return of_triangles(source.vertices, source.triangles, [(k, v) for k, v in found if len(v)])


def _torch_geometric(source: Any) -> Polygons:
    found = source.to_dict()
    pos, face = found.get("pos"), found.get("face")
    if pos is None or face is None:
        raise MeshError("expected a PyG Data with pos (V, 3) and face (3, F)", kind="unreadable")
    faces = as_array(face).T
    others = [(k, as_array(v)) for k, v in found.items() if k not in _OF_GRAPHS and hasattr(v, "shape")]
    of_vertices = [(k, v) for k, v in others if v.shape[:1] == (len(pos),)]
    of_faces = [(k, v) for k, v in others if v.shape[:1] == (len(faces),) and k not in dict(of_vertices)]
    return of_triangles(pos, faces, of_vertices, of_faces)


# Of a PyG Data, what are no values of vertices or faces.
_OF_GRAPHS = ("pos", "face", "edge_index", "edge_attr", "edge_weight", "batch", "ptr")

# Cells of VTK by number, of meshio by name: what is drawn beside a surface and left out, and what is the surface.
_VTK_BESIDE, _VTK_POLYGONS = {0, 1, 2, 3, 4}, {5, 7, 8, 9}
_MESHIO_BESIDE, _MESHIO_POLYGONS = re.compile(r"vertex|line\d*"), re.compile(r"triangle|quad|polygon\d*")
_PIXEL = 8


def _not_a_surface(kinds: Iterable[Any], hint: str) -> MeshError:
    text = (
        f"expected a surface of triangles or polygons, it has cells of the kinds {', '.join(sorted(map(str, kinds)))}: {hint}"
    )
    return MeshError(text, kind="unreadable")


def _meshio(source: Any) -> Polygons:
    warnings: list[MeshWarning] = []
    chosen = [i for i, block in enumerate(source.cells) if _MESHIO_POLYGONS.fullmatch(block.type)]
    strange = {b.type for b in source.cells if not (_MESHIO_POLYGONS.fullmatch(b.type) or _MESHIO_BESIDE.fullmatch(b.type))}
    if strange:
        raise _not_a_surface(strange, "extract the surface, with straight edges")
    if len(chosen) < len(source.cells):
        warnings.append(MeshWarning.of("left_out", "left out points and lines"))
    rows = [np.asarray(row, np.int64) for i in chosen for row in source.cells[i].data]
    counts = np.array([len(row) for row in rows], np.int64)
    vertices = np.asarray(source.points, np.float64)
    vertex_data = arrays(source.point_data.items(), len(vertices), warnings)
    cells = ((name, _stacked([values[i] for i in chosen])) for name, values in source.cell_data.items())
    face_data = arrays(cells, len(rows), warnings, "face")
    flat = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return Polygons(vertices, flat, counts, warnings, vertex_data, face_data)


def _stacked(parts: list[Any]) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts]) if parts else np.zeros(0)


def _pyvista(source: Any) -> Polygons:
    """PolyData, or an unstructured grid of polygons."""
    pyvista = needed("pyvista", "objects of VTK")
    source = pyvista.wrap(source)
    if not isinstance(source, (pyvista.PolyData, pyvista.UnstructuredGrid)):
        text = f"expected a pyvista.PolyData, got {type(source).__name__}: take its extract_surface()"
        raise MeshError(text, kind="unreadable")
    grid = source.cast_to_unstructured_grid() if isinstance(source, pyvista.PolyData) else source
    types = np.asarray(grid.celltypes)
    strange = set(types.tolist()) - _VTK_BESIDE - _VTK_POLYGONS
    if strange:
        kinds = [pyvista.CellType(kind).name for kind in strange]
        raise _not_a_surface(kinds, "take its extract_surface(), and of strips triangulate()")
    warnings: list[MeshWarning] = []
    chosen = np.isin(types, list(_VTK_POLYGONS))
    if not chosen.all():
        warnings.append(MeshWarning.of("left_out", "left out points and lines"))
    offset, flat = np.asarray(_offsets(grid), np.int64), np.asarray(grid.cell_connectivity, np.int64).copy()
    counts = np.diff(offset)
    for start in offset[:-1][types == _PIXEL]:  # corners of a pixel go row by row
        flat[[start + 2, start + 3]] = flat[[start + 3, start + 2]]
    flat = flat[np.repeat(chosen, counts)]
    vertices = np.asarray(grid.points, np.float64)
    vertex_data = arrays(grid.point_data.items(), len(vertices), warnings)
    face_data = arrays(grid.cell_data.items(), len(types), warnings, "face")
    return Polygons(vertices, flat, counts[chosen], warnings, vertex_data, {k: v[chosen] for k, v in face_data.items()})


def _offsets(grid: Any) -> Any:
    """Where the corners of the cells begin; by its new name where pyvista has one."""
    return grid.cell_offsets if hasattr(type(grid), "cell_offsets") else grid.offset


def _nibabel(source: Any) -> Polygons:
    from .brain import polygons_of_gifti

    return polygons_of_gifti(source)


_READERS: dict[str, Callable[[Any], Polygons]] = {
    "trimesh": _trimesh,
    "meshio": _meshio,
    "pyvista": _pyvista,
    "vtkmodules": _pyvista,
    "nibabel": _nibabel,
    "torch_geometric": _torch_geometric,
    "open3d": _open3d,
}
