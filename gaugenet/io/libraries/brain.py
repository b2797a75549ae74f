"""Surfaces of brain imaging through nibabel: GIFTI and FreeSurfer, with values and labels of their vertices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MeshError
from ..mesh_formats import Polygons, unreadable
from . import needed
from .cifti import read_cifti
from .objects import of_triangles

_POINTS, _TRIANGLES, _LABEL = "NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE", "NIFTI_INTENT_LABEL"
_MOST_LABELS = 100_000


def read_gifti(data: bytes) -> Polygons:
    """A GIFTI surface, and the values and labels of its vertices in the same file."""
    return polygons_of_gifti(_image(data))


def polygons_of_gifti(image: Any) -> Polygons:
    """The surface of a GIFTI image: its one array of points and its one of triangles; other arrays are data.

    Arrays are named by their metadata's "Name", else by their intent (``"shape"``, ``"label"``, ...). Points are those of the
    file; the transforms that it may name are not applied.
    """
    if not hasattr(image, "darrays"):
        text = f"expected a GIFTI image, got {type(image).__name__}: of volumes and CIFTI the surface is another file"
        raise MeshError(text, kind="unreadable")
    points = [a for a in image.darrays if _intent(a) == _POINTS]
    triangles = [a for a in image.darrays if _intent(a) == _TRIANGLES]
    if len(points) != 1 or len(triangles) != 1:
        text = f"expected a surface, one array of points and one of triangles, got {len(points)} and {len(triangles)}"
        raise MeshError(f"{text}: values without their surface go into vertex_data", kind="unreadable")
    if points[0].data is None or triangles[0].data is None:
        raise unreadable("a GIFTI array without numbers")
    faces = np.asarray(triangles[0].data)
    found = _values(image)
    of_vertices = [(k, v) for k, v in found.items() if len(v) != len(faces)]
    of_faces = [(k, v) for k, v in found.items() if len(v) == len(faces)]
    return of_triangles(points[0].data, faces, of_vertices, of_faces, _label_names(image))


def read_freesurfer(data: bytes) -> Polygons:
    """A FreeSurfer surface of triangles (lh.white, ...). Coordinates are those of the file (tkregister, mm)."""
    from .files import in_file

    freesurfer = needed("nibabel", "FreeSurfer surfaces").freesurfer
    if data[:3] != b"\xff\xff\xfe":
        raise unreadable("not a FreeSurfer surface of triangles: it does not begin with the bytes ff ff fe")
    try:
        with in_file(data) as path:
            vertices, faces = freesurfer.read_geometry(path)
    # Whatever nibabel raises on damaged bytes, the answer is the same.
    except Exception as error:
        raise unreadable(f"not a FreeSurfer surface that nibabel can read: {type(error).__name__}") from None
    return of_triangles(vertices, faces)


def read_vertex_values(path: str | os.PathLike, count: int) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Values of vertices from a file beside a surface: name -> array, and name -> names of the labels in it.

    Args:
        path: GIFTI (``.func.gii``, ``.shape.gii``, ``.label.gii``: every array), FreeSurfer ``.annot``, ``.label`` (1 at the
            vertices that it lists) or curvature files (``lh.curv``, ``lh.sulc``, ``lh.thickness``, ``lh.area``), CIFTI
            (``.dlabel.nii``, ``.pscalar.nii``, ...: :func:`gaugenet.io.libraries.cifti.read_cifti`), or ``.npy``.
        count: number of vertices, for ``.label`` and CIFTI.

    Raises:
        MeshError: naming the file. MissingDependencyError: nibabel is not installed.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    kind = file.suffix.lower()
    try:
        if kind == ".npy":
            return {file.stem: _native(np.load(file, allow_pickle=False))}, {}
        freesurfer = needed("nibabel", "values of vertices").freesurfer
        if kind == ".gii":
            image = _image(file.read_bytes())
            return _values(image), _label_names(image)
        if kind == ".nii":
            return read_cifti(file, count)
        if kind == ".annot":
            labels, _, names = freesurfer.read_annot(file)
            return {"annot": _native(labels)}, {"annot": [name.decode("utf-8", "replace") for name in names]}
        if kind == ".label":
            marked = np.zeros(count, np.int64)
            marked[freesurfer.read_label(file)] = 1
            return {"label": marked}, {}
        with open(file, "rb") as opened:
            if opened.read(3) != b"\xff\xff\xff":
                raise unreadable("not a FreeSurfer curvature file: it does not begin with the bytes ff ff ff")
        return {kind[1:] or file.name: freesurfer.read_morph_data(file).astype(np.float64)}, {}
    except MeshError as error:
        raise MeshError(error.message, kind=error.kind, path=os.fspath(file)) from None
    except ImportError:
        raise
    except Exception as error:
        text = f"values of vertices that nibabel cannot read: {type(error).__name__}: {' '.join(str(error).split())}"
        raise MeshError(text, kind="unreadable", path=os.fspath(file)) from None


def _image(data: bytes) -> Any:
    nibabel = needed("nibabel", ".gii files")
    try:
        image = nibabel.GiftiImage.from_bytes(data)
        if image is None:
            raise ValueError("no GIFTI in it")
    # expat's errors, base64's, zlib's, ...: the answer is the same.
    except Exception as error:
        text = f"not a GIFTI file that nibabel can read: {type(error).__name__}: {' '.join(str(error).split())}"
        raise unreadable(text) from None
    return image


def _intent(array: Any) -> str:
    from nibabel.nifti1 import intent_codes

    return str(intent_codes.niistring[array.intent])


def _values(image: Any) -> dict[str, np.ndarray]:
    """name -> values of the arrays that are no surface."""
    return {name: np.asarray(array.data) for name, array in _named(image).items()}


def _named(image: Any) -> dict[str, Any]:
    """name -> the arrays that are no surface, by their metadata or else their intent."""
    found: dict[str, Any] = {}
    for array in image.darrays:
        intent = _intent(array)
        if intent not in (_POINTS, _TRIANGLES) and array.data is not None:
            name = dict(array.meta).get("Name") or intent.removeprefix("NIFTI_INTENT_").lower()
            found[name if name not in found else f"{name}_{len(found)}"] = array
    return found


def _label_names(image: Any) -> dict[str, list[str]]:
    """name -> names of the labels, one per key from 0; of keys that the table lacks, ""."""
    table = image.labeltable.get_labels_as_dict() if image.labeltable is not None else {}
    table = {int(k): v for k, v in table.items() if 0 <= int(k) < _MOST_LABELS}
    names = [table.get(k, "") for k in range(max(table, default=-1) + 1)]
    return {name: names for name, array in _named(image).items() if names and _intent(array) == _LABEL}


def _native(values: np.ndarray) -> np.ndarray:
    """In the byte order of this machine, as torch wants them: FreeSurfer's files have the other one."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)
