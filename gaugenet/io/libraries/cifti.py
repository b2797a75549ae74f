"""Values and parcels of CIFTI-2 files at the vertices of a surface, in and out, through nibabel."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import GeometryError, MeshError
from . import needed

#: A place of a structure: columns of the matrix, and their vertices.
Places = dict[str, tuple[np.ndarray, np.ndarray]]


def read_cifti(file: Path, count: int) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Values at the vertices of the surfaces that have ``count`` of them: name -> array, and name -> names of the labels.

    A file holds both hemispheres, often of equally many vertices: each has its own arrays, named by the structure
    ("cortex_left") and, of several maps, by the map; a series is one array (count, T). Vertices that the file leaves out are
    NaN, of labels 0. Files of parcels (``.pscalar.nii``, ``.plabel.nii``, ...) also give the number of the parcel,
    "cortex_left_parcel", from 1 on.

    Raises:
        MeshError: no CIFTI file of values on surfaces, or none with so many vertices. MissingDependencyError: no nibabel.
    """
    nibabel = needed("nibabel", "CIFTI files")
    image = nibabel.load(file)
    if not isinstance(image, nibabel.Cifti2Image) or image.ndim != 2:
        raise _refused(file, f"expected a CIFTI file of two axes, got {type(image).__name__}: volumes have no vertices")
    maps, columns = (image.header.get_axis(axis) for axis in range(2))
    kinds = [type(axis).__name__ for axis in (maps, columns)]
    if kinds[0] not in ("ScalarAxis", "LabelAxis", "SeriesAxis") or kinds[1] not in ("BrainModelAxis", "ParcelsAxis"):
        raise _refused(file, f"expected scalars, labels or a series of vertices or parcels, got {' by '.join(kinds)}")
    parcels = kinds[1] == "ParcelsAxis"
    places = _of_parcels(columns, count) if parcels else _of_vertices(columns, count)
    if not places:
        found = ", ".join(f"{_short(name)} {number}" for name, number in columns.nvertices.items()) or "none"
        raise _refused(file, f"expected a surface of {count} vertices, the file has {found}")
    matrix = np.asarray(image.dataobj)
    data: dict[str, np.ndarray] = {}
    names: dict[str, list[str]] = {}
    for structure, (column, vertex) in places.items():
        for name, rows in _maps(maps, structure):
            labels = kinds[0] == "LabelAxis"
            values = np.zeros((count, len(rows)), np.int64) if labels else np.full((count, len(rows)), np.nan)
            values[vertex] = matrix[np.ix_(np.array(rows), column)].T
            data[name] = values if kinds[0] == "SeriesAxis" else values[:, 0]
            if labels:
                names[name] = _table(maps.label[rows[0]])
        if parcels:
            number = np.zeros(count, np.int64)
            number[vertex] = column + 1
            data[f"{structure}_parcel"], names[f"{structure}_parcel"] = number, ["", *map(str, columns.name)]
    return data, names


def cifti_bytes(
    values: Mapping[str, np.ndarray], listed: np.ndarray, structure: str, names: Mapping[str, list[str]] | None = None
) -> bytes:
    """A CIFTI-2 file of maps on one surface: of scalars, or with ``names`` of labels.

    Args:
        values: name of the map -> numbers (V,) at all vertices of the surface; whole ones from 0 on, if they are labels.
        listed: (V,) which vertices the file lists.
        structure: "cortex_left", "cortex_right", ..., as :func:`read_cifti` names them.
        names: name of the map -> names of its labels, one per key from 0; keys that have none are named by their number.

    Raises:
        GeometryError: a structure that CIFTI does not know. MissingDependencyError: no nibabel.
    """
    nibabel = needed("nibabel", "CIFTI files")
    axes = nibabel.cifti2.cifti2_axes
    try:
        vertices = axes.BrainModelAxis.from_surface(np.flatnonzero(listed), len(listed), name=structure)
    except ValueError:
        raise GeometryError(
            f"a CIFTI file expected structure= one that it knows, such as 'cortex_left' or 'cortex_right', got {structure!r}"
        ) from None
    maps = list(values)
    matrix = np.stack([values[name][listed] for name in maps]).astype(np.float32)
    if names is None:
        kinds = axes.ScalarAxis(maps)
    else:
        tables = [_label_table(matrix[i], names.get(name, [])) for i, name in enumerate(maps)]
        kinds = axes.LabelAxis(maps, tables)
    image = nibabel.Cifti2Image(matrix, nibabel.cifti2.Cifti2Header.from_axes((kinds, vertices)))
    image.update_headers()  # the intent: scalars or labels
    return image.to_bytes()


def _label_table(keys: np.ndarray, names: list[str]) -> dict[int, tuple[str, tuple[float, ...]]]:
    """Names and colours of the keys that occur or have a name: hues that are far apart, key 0 transparent."""
    known = sorted({*map(int, np.unique(keys)), *range(len(names))})
    colours = [(*colorsys.hsv_to_rgb(0.618034 * key % 1, 0.6, 0.9), 0.0 if key == 0 else 1.0) for key in known]
    return {key: (names[key] if key < len(names) else str(key), colour) for key, colour in zip(known, colours)}


def _of_vertices(axis: Any, count: int) -> Places:
    found: Places = {}
    for name, part, own in axis.iter_structures():
        if axis.nvertices.get(name) == count:
            found[_short(name)] = np.arange(len(axis))[part], own.vertex
    return found


def _of_parcels(axis: Any, count: int) -> Places:
    found: Places = {}
    for name in (name for name, number in axis.nvertices.items() if number == count):
        members = [own.get(name, np.zeros(0, np.int64)) for own in axis.vertices]
        column = np.repeat(np.arange(len(members)), [len(own) for own in members])
        found[_short(name)] = column, np.concatenate([*members, np.zeros(0, np.int64)]).astype(np.int64)
    return found


def _maps(axis: Any, structure: str) -> list[tuple[str, list[int]]]:
    """(name, rows) of the arrays: one of a series, one of each map."""
    rows = range(len(axis))
    if not hasattr(axis, "name"):
        return [(structure, list(rows))]
    return [(structure if len(axis) == 1 else f"{structure}_{axis.name[row]}", [row]) for row in rows]


def _table(labels: dict[int, tuple[str, Any]]) -> list[str]:
    """Names of the labels, one per key from 0."""
    return [labels.get(key, ("",))[0] for key in range(max(labels, default=-1) + 1)]


def _short(name: str) -> str:
    return name.removeprefix("CIFTI_STRUCTURE_").lower()


def _refused(file: Path, text: str) -> MeshError:
    return MeshError(text, kind="unreadable", path=os.fspath(file))
