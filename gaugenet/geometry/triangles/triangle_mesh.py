"""TriangleMesh: vertices, faces, and what was done to them on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_SHOWN = 8


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
    """

    vertices: np.ndarray
    faces: np.ndarray
    path: str | None = None
    warnings: list[MeshWarning] = field(default_factory=list)
    vertex_ids: np.ndarray | None = None
    face_ids: np.ndarray | None = None
    orientable: bool = True

    @property
    def num_vertices(self) -> int:
        return self.vertices.shape[0]

    @property
    def num_faces(self) -> int:
        return self.faces.shape[0]

    def __repr__(self) -> str:
        return f"TriangleMesh(vertices={self.num_vertices}, faces={self.num_faces}, warnings={len(self.warnings)})"
