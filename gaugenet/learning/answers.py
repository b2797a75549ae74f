"""Answers about a mesh, in the user's classes, units and vertices, and files of them."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import torch
from torch import Tensor

from ..errors import GaugenetError
from ..geometry import LocalGeometry, save_fields
from ..geometry.ambient import from_frames
from ..io.durable import write_atomic
from ..io.ply_writing import ply_bytes

if TYPE_CHECKING:
    from ..data import Task

#: Endings of the files of answers at vertices and faces.
FILES = (".ply", ".vtp", ".vtu", ".vtk", ".glb", ".gii", ".csv", ".npy")
_PREDICTION = "prediction"


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network says of one mesh.

    Attributes:
        name: the mesh file. kind: of the :class:`gaugenet.data.Task`.
        label: the class, of "classify". probabilities: class -> probability.
        numbers: name -> number, of "regress" for the whole mesh.
        values: at the vertices that came (V, ...), of "segment" on faces at the faces: the integer labels (-1 where a vertex
            or a face was dropped), the numbers (n columns) or the vectors (3 columns, NaN where dropped).
        geometry: of the mesh as it was seen. at_nodes: the values there.
    """

    name: str
    kind: str
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    values: np.ndarray | None = None
    geometry: LocalGeometry | None = field(default=None, repr=False)
    at_nodes: np.ndarray | None = field(default=None, repr=False)
    on: str = "graph"

    def row(self) -> dict[str, Any]:
        """The answer about the whole mesh as cells of a table; of values at vertices, how many there are."""
        if self.kind == "classify":
            return {"path": self.name, "label": self.label, **{f"p_{k}": round(p, 6) for k, p in self.probabilities.items()}}
        if self.numbers:
            return {"path": self.name, **self.numbers}
        return {"path": self.name, self.on: 0 if self.values is None else len(self.values)}

    def save(self, path: str | os.PathLike) -> None:
        """Values at vertices or faces as a file; vectors are in the coordinates of the mesh.

        Args:
            path: ``.csv``, a row for each, and ``.npy``; ``.ply``, the mesh with a property for each component; or another file
                of :func:`gaugenet.geometry.save_fields` (``.vtp``, ``.vtu``, ``.vtk``, ``.glb``, ``.gii``): the mesh with the
                arrays that came with it and the array "prediction".

        Raises:
            GaugenetError: an answer about the whole mesh; another ending. MissingDependencyError: a library is not there.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.values is None or self.at_nodes is None or self.geometry is None:
            raise GaugenetError(f"{path}: this answer is about the whole mesh, there is nothing at its vertices")
        kind = path.suffix.lower()
        names = _columns(self.kind, self.at_nodes)
        if kind == ".npy":
            buffer = io.BytesIO()
            np.save(buffer, self.values)
            write_atomic(path, buffer.getvalue())
        elif kind == ".csv":
            rows = self.values.reshape(len(self.values), -1)
            lines = [",".join(names), *(",".join(f"{x:.9g}" for x in row) for row in rows.tolist())]
            write_atomic(path, ("\n".join(lines) + "\n").encode())
        elif kind in FILES:
            self._save_mesh(path, names)
        else:
            raise GaugenetError(f"{path}: expected a name that ends in {', '.join(FILES)}")

    def _save_mesh(self, path: Path, names: list[str]) -> None:
        """The mesh in the size that it came, with the values."""
        geometry, values = self.geometry, self.at_nodes
        assert geometry is not None and values is not None
        if geometry.positions is None or geometry.faces is None:
            raise GaugenetError(f"{path}: a {path.suffix} file needs a mesh with triangles")
        points, on_faces = geometry.positions / geometry.metadata.get("scale", 1.0), self.on == "faces"
        if path.suffix.lower() == ".ply":
            columns = dict(zip(names, values.reshape(len(values), -1).T))
            write_atomic(path, ply_bytes(points, geometry.faces, {} if on_faces else columns, columns if on_faces else {}))
            return
        if on_faces and path.suffix.lower() in (".glb", ".gii"):
            raise GaugenetError(f"{path}: such files have no values of faces: take .ply or .vtp")
        of_faces = geometry.face_data | ({_PREDICTION: values} if on_faces else {})
        drawn = dataclasses.replace(geometry, positions=points, face_data=of_faces)
        save_fields(path, drawn, {} if on_faces else {_PREDICTION: values})


def answer(output: Tensor, graph: Any, geometry: LocalGeometry, task: Task, name: str = "") -> Answer:
    """The answer of a network's output on one graph."""
    if task.on == "graph":
        if task.kind == "classify":
            p = torch.softmax(output.double(), -1)[0].tolist()
            return Answer(name, task.kind, task.classes[int(np.argmax(p))], dict(zip(task.classes, p)), geometry=geometry)
        numbers = dict(zip(task.names, task.in_units(output.double())[0].tolist()))
        return Answer(name, task.kind, numbers=numbers, geometry=geometry)
    output = task.at_places(output, graph).double()
    if task.kind == "segment":
        found = np.array([int(c) for c in task.classes])[output.argmax(-1).cpu().numpy()]
    else:
        found = task.in_units(output).cpu().numpy()
        if task.kind == "vectors":
            found = from_frames(found, geometry, "1x0 + 1x1")
    values = _on_input_faces(found, geometry) if task.on == "faces" else geometry.on_input_vertices(found)
    return Answer(name, task.kind, values=values, geometry=geometry, at_nodes=found, on=task.on)


def write_table(path: str | os.PathLike | TextIO, answers: Sequence[Answer]) -> None:
    """A .csv file, or text to a stream, with a row for every mesh."""
    rows = [a.row() for a in answers]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if isinstance(path, str | os.PathLike):
        write_atomic(path, text.getvalue().encode())
    else:
        path.write(text.getvalue())


def _on_input_faces(values: np.ndarray, geometry: LocalGeometry) -> np.ndarray:
    """Of the triangles that are left at the faces of the file; -1 for those that were dropped."""
    ids = geometry.face_data.get("ids")
    if ids is None:
        return values
    out = np.full(int(ids.max(initial=-1)) + 1, -1, values.dtype)
    out[ids] = values
    return out


def _columns(kind: str, values: np.ndarray) -> list[str]:
    if kind == "segment":
        return ["label"]
    if kind == "vectors":
        return ["vx", "vy", "vz"]
    count = 1 if values.ndim == 1 else values.shape[1]
    return ["value"] if count == 1 else [f"value_{k}" for k in range(count)]
