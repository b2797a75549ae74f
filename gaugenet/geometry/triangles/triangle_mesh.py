"""TriangleMesh: vertices, faces, and what was done to them on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_SHOWN = 8
# name -> array
Arrays = dict[str, np.ndarray]
# Names that the graph of a mesh has itself: vertex_ids, face_ids, vertex_nodes.
RESERVED = ("ids", "nodes")


@dataclass(frozen=True)
class MeshWarning:
    """Something about a mesh that was put right or tolerated, never silently.

    Attributes:
        kind: one word for machines, for example ``"duplicate_face"``.
        message: one line for people.
        ids: the elements concerned, numbered as in the input.
    """

    kind: str
    message: str
    ids: tuple[int, ...] = ()

    @staticmethod
    def of(kind: str, message: str, ids: Sequence[int] | np.ndarray = ()) -> MeshWarning:
        return MeshWarning(kind, message, tuple(np.asarray(ids, dtype=np.int64).ravel().tolist()))

    def __str__(self) -> str:
        if not self.ids:
            return self.message
        shown = ", ".join(str(i) for i in self.ids[:_SHOWN])
        return f"{self.message} (ids {shown}{', ...' if len(self.ids) > _SHOWN else ''}; {len(self.ids)} in all)"

    def to_dict(self) -> dict:
        """JSON-able: kind, message, count and the first ids."""
        return {"kind": self.kind, "message": self.message, "count": len(self.ids), "ids": list(self.ids[:_SHOWN])}


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """A triangle mesh of V vertices and F faces.

    Attributes:
        vertices: (V, 3) float64 (unit of length).
        faces: (F, 3) int64, counter-clockwise seen from outside.
        path: the file it came from, or None.
        warnings: what was dropped, flipped or tolerated.
        vertex_ids: (V,) int64, the number of each vertex in the input (the index map of what was dropped or split).
        face_ids: (F,) int64, the number in the input of the face (or polygon) that each triangle came from.
        orientable: False only for a surface such as the Moebius strip.
        vertex_data, face_data: name -> array with a row for every vertex, every face: colours, labels, whatever the file has.
        vertex_nodes: (V0,) int64, of each of the V0 vertices of the input its vertex here: itself, the one that it was welded
            to, one of the copies it was split into, or -1 when no face uses it.
        names: of the integers in an array of this name, such as the groups of an OBJ file.
    """

    vertices: np.ndarray
    faces: np.ndarray
    path: str | None = None
    warnings: list[MeshWarning] = field(default_factory=list)
    vertex_ids: np.ndarray | None = None
    face_ids: np.ndarray | None = None
    orientable: bool = True
    vertex_data: Arrays = field(default_factory=dict)
    face_data: Arrays = field(default_factory=dict)
    vertex_nodes: np.ndarray | None = None
    names: dict[str, list[str]] = field(default_factory=dict)

    @property
    def num_vertices(self) -> int:
        return self.vertices.shape[0]

    @property
    def num_faces(self) -> int:
        return self.faces.shape[0]

    def made_from(self, source: TriangleMesh) -> TriangleMesh:
        """This mesh, made from the vertices and faces of ``source``, with the arrays of the source and numbers of its input."""
        vertices = slice(None) if self.vertex_ids is None else self.vertex_ids
        faces = slice(None) if self.face_ids is None else self.face_ids
        vertex_ids = self.vertex_ids if source.vertex_ids is None else source.vertex_ids[vertices]
        face_ids = self.face_ids if source.face_ids is None else source.face_ids[faces]
        return dataclasses.replace(
            self,
            vertex_ids=vertex_ids,
            face_ids=face_ids,
            vertex_data={name: values[vertices] for name, values in source.vertex_data.items()},
            face_data={name: values[faces] for name, values in source.face_data.items()},
            vertex_nodes=_chained(source.vertex_nodes, self.vertex_nodes),
            names=source.names,
        )

    def __repr__(self) -> str:
        return f"TriangleMesh(vertices={self.num_vertices}, faces={self.num_faces}, warnings={len(self.warnings)})"


def _chained(first: np.ndarray | None, then: np.ndarray | None) -> np.ndarray | None:
    """The map ``then`` after the map ``first``; -1 stays, None is the identity."""
    if first is None or then is None:
        return then if first is None else first
    return np.where(first < 0, -1, then[first])


def mirror(mesh: TriangleMesh, axis: int = 0) -> TriangleMesh:
    """The mirror image: one coordinate changes its sign, and every face is wound the other way round.

    Normals outside stay outside, cavities stay cavities and the side of open surfaces stays; left and right are exchanged. The
    geometry of the image is the mirrored geometry exactly: with the frames (M e1, -M e2), M the reflection, its log maps are
    (x, -y) and its transporters are inverted.

    Args:
        mesh: such as :func:`gaugenet.geometry.load_mesh` or ``TriangleMesh(vertices, faces)`` gives.
        axis: 0, 1 or 2.
    """
    if axis not in (0, 1, 2):
        raise ValueError(f"axis must be 0, 1 or 2, got {axis!r}")
    sign = np.where(np.arange(3) == axis, -1.0, 1.0)
    return dataclasses.replace(mesh, vertices=np.asarray(mesh.vertices) * sign, faces=np.asarray(mesh.faces)[:, ::-1])
