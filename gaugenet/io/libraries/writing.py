"""Fields on a geometry for other programs: pyvista and polyscope, and VTK, PLY, GLB, GIFTI and CIFTI files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...checks import as_array
from ...errors import GeometryError
from ...geometry.ambient import from_frames
from ...geometry.local_geometry import Feature, LocalGeometry, parse_orders
from ..durable import write_atomic
from ..ply_writing import ply_bytes
from . import needed
from .cifti import cifti_bytes

WRITTEN = (".vtp", ".vtu", ".vtk", ".ply", ".glb", ".gii", ".dscalar.nii", ".dlabel.nii")


def save_fields(
    path: str | os.PathLike,
    geom: LocalGeometry,
    fields: Mapping[str, Any] | None = None,
    *,
    structure: str | None = None,
) -> None:
    """Write a surface with its labels and fields for another program; the extension says how.

    - ``.vtp``, ``.vtu``, ``.vtk`` (ParaView; pyvista): all arrays as they are, of vertices and faces.
    - ``.ply``: a property for each component (``wss_0``, ``wss_1``, ...), 32 bits wide.
    - ``.glb`` (Blender; trimesh): attributes of the vertices in float32, a tensor as its three columns.
    - ``.gii`` (nibabel): the surface, and numbers per vertex in float32 or int32; ``.func.gii`` and ``.shape.gii`` are the
      numbers of the fields alone, at the vertices that came (NaN where no face uses one).
    - ``.dscalar.nii``, ``.dlabel.nii`` (nibabel, CIFTI-2): the numbers of the fields alone in float32, or whole ones as labels
      with the names of ``geom.metadata["names"]``, at the vertices that came and that faces use.

    Args:
        path: where to.
        geom: a geometry with positions (N, 3) and faces; its ``vertex_data`` and ``face_data`` are written, too, but for "ids".
        fields: of :meth:`gaugenet.geometry.LocalGeometry.to_pyvista`.
        structure: of CIFTI, which part of the brain the surface is: "cortex_left", "cortex_right", ....

    Raises:
        GeometryError: another extension, no faces, fields or a structure that do not fit.
        MissingDependencyError: a library is not installed.
    """
    name = Path(path).name.lower()
    kind = next((end for end in WRITTEN if name.endswith(end)), None)
    if kind is None:
        raise GeometryError(f"save_fields expected a name that ends in {', '.join(WRITTEN)}, got {os.fspath(path)!r}")
    if geom.faces is None:
        raise GeometryError("save_fields expected a geometry with faces, such as that of a mesh")
    if structure is not None and not kind.endswith(".nii"):
        raise GeometryError(f"save_fields: structure= is for CIFTI files, got {os.fspath(path)!r}")
    if kind == ".gii":
        _save_gifti(Path(path), geom, fields)
    elif kind.endswith(".nii"):
        write_atomic(path, _cifti(geom, fields, structure, labels=kind == ".dlabel.nii"))
    elif kind == ".ply":
        columns, of_faces = _columns(_point_data(geom, fields)), _columns(_without_ids(geom.face_data))
        write_atomic(path, ply_bytes(_positions(geom), geom.faces, columns, of_faces))
    elif kind == ".glb":
        import trimesh

        data = _point_data(geom, fields)
        split = {f"{k}_{c}": v[..., c] for k, v in data.items() if v.ndim == 3 for c in range(v.shape[2])}
        attributes: dict[str, Any] = {k: v.astype(np.float32) for k, v in {**data, **split}.items() if v.ndim < 3}
        mesh = trimesh.Trimesh(_positions(geom), geom.faces, process=False, vertex_attributes=attributes)
        exported: Any = mesh.export(file_type="glb")
        write_atomic(path, exported)
    else:
        mesh = to_pyvista(geom, fields)
        (mesh.cast_to_unstructured_grid() if kind == ".vtu" else mesh).save(os.fspath(path))


def to_pyvista(geom: LocalGeometry, fields: Mapping[str, Any] | None = None) -> Any:
    """The pyvista.PolyData of a geometry; see :meth:`gaugenet.geometry.LocalGeometry.to_pyvista`."""
    pyvista = needed("pyvista", "objects of pyvista")
    points = _positions(geom)
    mesh = pyvista.PolyData(points) if geom.faces is None else pyvista.PolyData.from_regular_faces(points, geom.faces)
    for name, values in _point_data(geom, fields).items():
        mesh.point_data[name] = values.reshape(len(values), -1) if values.ndim > 1 else values
    for name, values in _without_ids(geom.face_data).items() if geom.faces is not None else ():
        mesh.cell_data[name] = values.reshape(len(values), -1) if values.ndim > 1 else values
    return mesh


def to_polyscope(geom: LocalGeometry, name: str, fields: Mapping[str, Any] | None = None) -> Any:
    """Register a geometry in polyscope; see :meth:`gaugenet.geometry.LocalGeometry.to_polyscope`."""
    polyscope = needed("polyscope", "views of polyscope")
    if geom.faces is None:
        raise GeometryError("to_polyscope expected a geometry with faces, such as that of a mesh")
    if not polyscope.is_initialized():
        polyscope.init()
    surface = polyscope.register_surface_mesh(name, _positions(geom), geom.faces)
    for key, values in _point_data(geom, fields).items():
        numbers = values.astype(np.float64)
        if numbers.shape[1:] == (3,):
            surface.add_vector_quantity(key, numbers)
        elif numbers.shape[1:] == (3, 3):
            surface.add_scalar_quantity(key, np.linalg.norm(numbers, axis=(1, 2)))
            size, axes = np.linalg.eigh(numbers)
            largest = np.abs(size).argmax(1)[:, None]
            principal = np.take_along_axis(axes, largest[:, None], 2)[..., 0] * np.take_along_axis(size, largest, 1)
            surface.add_vector_quantity(f"{key}, principal", principal)
        else:
            for column, own in _columns({key: numbers}).items():
                surface.add_scalar_quantity(column, own)
    for column, own in _columns(_without_ids(geom.face_data)).items():
        surface.add_scalar_quantity(column, own.astype(np.float64), defined_on="faces")
    return surface


def ambient_values(geom: LocalGeometry, fields: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    """name -> (N,), (N, C), vectors (N, 3) or tensors (N, 3, 3) of fields in the frames or plain arrays."""
    data: dict[str, np.ndarray] = {}
    for name, given in (fields or {}).items():
        values, kind = given if isinstance(given, (Feature, tuple)) else (given, None)
        array = as_array(values)
        if not 1 <= array.ndim <= 3 or len(array) != geom.num_nodes:
            raise GeometryError(f"field {name!r} expected a row for each of {geom.num_nodes} nodes, got shape {array.shape}")
        blocks = [] if kind is None else parse_orders(str(kind))
        if all(order == 0 for _, order in blocks):
            data[name] = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        elif len(blocks) == 1 and blocks[0][0] > 1:
            # Component-major: channels are last.
            channels = np.moveaxis(array.reshape(len(array), 2, blocks[0][0]), 2, 0)
            for c, channel in enumerate(channels):
                data[f"{name}_{c}"] = from_frames(channel, geom, f"1x{blocks[0][1]}")
        else:
            data[name] = from_frames(array, geom, str(kind))
    return data


def _positions(geom: LocalGeometry) -> np.ndarray:
    if geom.positions is None or geom.positions.shape[1] != 3:
        raise GeometryError("expected a geometry with positions in space, (N, 3)")
    return geom.positions


def _without_ids(data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in data.items() if name != "ids"}


def _point_data(geom: LocalGeometry, fields: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    return _without_ids(geom.vertex_data) | ambient_values(geom, fields)


def _columns(data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An array of one axis for each component."""
    out: dict[str, np.ndarray] = {}
    for name, values in data.items():
        if values.ndim == 1:
            out[name] = values
        else:
            out |= {f"{name}_{c}": column for c, column in enumerate(values.reshape(len(values), -1).T)}
    return out


def _save_gifti(path: Path, geom: LocalGeometry, fields: Mapping[str, Any] | None) -> None:
    gifti = needed("nibabel", ".gii files").gifti
    image = gifti.GiftiImage()
    alone = path.name.endswith((".func.gii", ".shape.gii"))
    values = _columns(ambient_values(geom, fields) if alone else _point_data(geom, fields))
    if alone:
        values = {name: geom.on_input_vertices(v) for name, v in values.items()}
    else:
        _add_array(gifti, image, _positions(geom), "NIFTI_INTENT_POINTSET", "")
        _add_array(gifti, image, geom.faces, "NIFTI_INTENT_TRIANGLE", "")
    for name, column in values.items():
        _add_array(gifti, image, column, "NIFTI_INTENT_SHAPE", name)
    write_atomic(path, image.to_bytes())


def _cifti(geom: LocalGeometry, fields: Mapping[str, Any] | None, structure: str | None, labels: bool) -> bytes:
    if structure is None:
        raise GeometryError("a CIFTI file expected structure='cortex_left', 'cortex_right', ...: which surface this is")
    columns = _columns(ambient_values(geom, fields))
    if not columns:
        raise GeometryError("a CIFTI file expected fields: it holds numbers and no surface")
    for name, values in columns.items():
        if labels and (values.dtype.kind not in "iub" or values.min() < 0):
            raise GeometryError(f"labels expected whole numbers from 0 on, field {name!r} has {values.dtype}, {values.min()}")
    listed = geom.on_input_vertices(np.ones(geom.num_nodes)) == 1
    there = {name: geom.on_input_vertices(values.astype(np.float64)) for name, values in columns.items()}
    return cifti_bytes(there, listed, structure, geom.metadata.get("names", {}) if labels else None)


def _add_array(gifti: Any, image: Any, values: Any, intent: str, name: str) -> None:
    real = values.dtype.kind == "f"
    numbers = values.astype(np.float32 if real else np.int32)
    meta = gifti.GiftiMetaData({"Name": name} if name else {})
    kind = "NIFTI_TYPE_FLOAT32" if real else "NIFTI_TYPE_INT32"
    image.add_gifti_data_array(gifti.GiftiDataArray(numbers, intent=intent, datatype=kind, meta=meta))
