"""What a mesh is like, sound or not, and what repair would do."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field

import numpy as np

from ...errors import MeshError
from ...io.loading import source_mesh
from .checks import LARGEST, SMALLEST, check_arrays, check_mesh, drop_faces, zero_area_faces, zero_length_faces
from .face_adjacency import EdgeTable, components, corner_fans, edge_table, face_components, orientation
from .repair import repair_mesh
from .triangle_mesh import MeshWarning, TriangleMesh

__all__ = ["MeshReport", "inspect_mesh"]


# Radians for every edge: a residual beyond it is no rounding.
_ANGLES = 1e-6
_UNSOUND = ("zero_length", "gauss_bonnet")


@dataclass(frozen=True)
class MeshReport:
    """Facts about a mesh; vertices that no face uses and faces that check_mesh drops do not count, except where said.

    Attributes:
        path: the file, or None.
        ok: check_mesh accepts it, no edge has zero length, and the angles add up (Gauss-Bonnet).
        error: what is wrong otherwise, with ``kind``, ``message``, ``count`` and the first ``ids``.
        warnings: what loading and check_mesh would warn of, as dicts of the same keys.
        repair: what repair_mesh would do, as such dicts; None when it cannot repair the mesh.
        vertices, faces: as in the input.
        edges, components: of what is left; components hang together across edges.
        manifold, closed, orientable, consistently_wound: of what is left.
        boundary_loops: number, or None when not manifold.
        euler: V - E + F.
        genus: sum over the components when manifold, closed and orientable, else None.
        gauss_bonnet_residual: |sum of angle defects - 2 pi euler| (radians), which is rounding on a sound mesh; None when
            not manifold.
        non_manifold_edges, non_manifold_vertices, zero_area_faces, zero_length_faces (with such an edge): numbers.
        edge_length: min, mean, median, max (unit of length).
        area: (unit of length squared), None when too large for a number.
        volume: enclosed, signed as the faces are wound, when closed and consistently wound (and not too large), else None.
        bounding_box: [[x, y, z], [x, y, z]].
    """

    path: str | None
    ok: bool
    error: dict | None
    warnings: list[dict]
    repair: list[dict] | None
    vertices: int
    faces: int
    edges: int
    components: int
    manifold: bool
    closed: bool
    orientable: bool
    consistently_wound: bool
    boundary_loops: int | None
    euler: int
    genus: int | None
    gauss_bonnet_residual: float | None
    non_manifold_edges: int
    non_manifold_vertices: int
    zero_area_faces: int
    zero_length_faces: int
    edge_length: dict[str, float] = field(default_factory=dict)
    area: float | None = 0.0
    volume: float | None = None
    bounding_box: list[list[float]] = field(default_factory=list)

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)

    def __str__(self) -> str:
        verdict = "ok"
        if self.error is not None:
            # What check_mesh accepts can be worked on, if not well.
            verdict = f"{'not sound' if self.error['kind'] in _UNSOUND else 'not usable'}: {_told(self.error)}"
        lines = [f"{self.path or 'mesh'}: {verdict}"]
        for name, value in self.to_dict().items():
            if name in ("path", "ok", "error", "warnings", "repair") or value is None:
                continue
            lines.append(f"  {name.replace('_', ' ')}: {_plain(value)}")
        lines += [f"  warning: {_told(w)}" for w in self.warnings]
        if self.repair is None:
            lines.append("  repair: cannot repair this")
        else:
            lines += [f"  repair: {_told(a)}" for a in self.repair]
        return "\n".join(lines)


def inspect_mesh(
    path_or_vertices: str | os.PathLike | np.ndarray | TriangleMesh, faces: np.ndarray | None = None
) -> MeshReport:
    """A MeshReport of a file, or of vertices (V, 3) and faces (F, 3); also of a mesh that check_mesh refuses.

    Raises:
        MeshError: when there is nothing to report on: unreadable, empty, not finite, indices out of range.
        TypeError: for a wrong combination of arguments.
    """
    source = source_mesh(path_or_vertices, faces)
    path, notes = source.path, source.warnings
    vertices, faces, _ = check_arrays(source.vertices, source.faces, path)
    error, warnings, repair = _verdicts(vertices, faces, path)
    kept, _ = drop_faces(faces, np.arange(len(faces)), [], path)
    table = edge_table(kept)
    # Squares of very large or small coordinates are no numbers: in units of a diagonal about 1 then.
    largest = float(np.abs(vertices).max())
    unit = 1.0 if SMALLEST <= largest <= LARGEST or not largest else largest
    facts = {**_topology(kept, table, vertices / unit), **_measures(vertices / unit, kept, table, unit)}
    error = error or _unsound(facts)
    return MeshReport(
        path=path,
        ok=error is None,
        error=error,
        warnings=[w.to_dict() for w in notes + warnings],
        repair=repair,
        vertices=vertices.shape[0],
        faces=faces.shape[0],
        **facts,
    )


def _unsound(facts: dict) -> dict | None:
    """What is wrong with a mesh that check_mesh accepts, or None."""
    residual, short = facts["gauss_bonnet_residual"], facts["zero_length_faces"]
    if not short and not (residual or 0.0) > _ANGLES * max(1, facts["edges"]):
        return None
    text = f"the angles do not add up (Gauss-Bonnet residual {residual:.3g})" if not short else ""
    if short:
        text = f"{short} faces have edges of zero length and so no angles; repair=True (--repair) collapses these edges"
    return {"kind": _UNSOUND[0 if short else 1], "message": text, "count": 0, "ids": []}


def _verdicts(vertices: np.ndarray, faces: np.ndarray, path: str | None) -> tuple[dict | None, list[MeshWarning], list | None]:
    """check_mesh's error and warnings, and repair_mesh's actions."""
    error, warnings, repair = None, [], None
    try:
        warnings = check_mesh(vertices, faces, path=path).warnings
    except MeshError as problem:
        error = {"kind": problem.kind, "message": problem.message, "count": len(problem.ids), "ids": problem.ids[:8]}
    try:
        repair = [action.to_dict() for action in repair_mesh(vertices, faces, path=path)[1]]
    except MeshError:
        repair = None
    return error, warnings, repair


def _topology(faces: np.ndarray, table: EdgeTable, vertices: np.ndarray) -> dict:
    corner = faces.reshape(-1)
    fans = corner_fans(faces, table)
    owner = np.zeros(fans.max() + 1, dtype=np.int64)
    owner[fans] = corner
    bad_vertices = int((np.bincount(owner) > 1).sum())
    bad_edges = int((table.valence > 2).sum())
    part = face_components(faces, table)
    number = int(part.max()) + 1
    h, g = table.pairs()
    rim = table.boundary()
    conflict = orientation(faces, table, part)[1]
    manifold = bad_edges == 0 and bad_vertices == 0
    closed = bool((table.valence >= 2).all())
    used = int((np.bincount(corner) > 0).sum())
    euler = used - table.ends.shape[0] + faces.shape[0]
    facts = {
        "edges": table.ends.shape[0],
        "components": number,
        "manifold": manifold,
        "closed": closed,
        "orientable": conflict.size == 0,
        "consistently_wound": not (corner[h] == corner[g]).any(),
        "boundary_loops": None,
        "euler": euler,
        "genus": None,
        "gauss_bonnet_residual": None,
        "non_manifold_edges": bad_edges,
        "non_manifold_vertices": bad_vertices,
    }
    if manifold:
        facts["boundary_loops"] = _boundary_loops(faces, rim)
        facts["gauss_bonnet_residual"] = _gauss_bonnet_residual(vertices, faces, rim, euler)
        if closed and conflict.size == 0:
            facts["genus"] = (2 * number - euler) // 2
    return facts


def _boundary_loops(faces: np.ndarray, rim: np.ndarray) -> int:
    """Loops of a manifold boundary: components of the graph of its edges."""
    if rim.size == 0:
        return 0
    tail, head = faces.reshape(-1)[rim], np.roll(faces, -1, axis=1).reshape(-1)[rim]
    names, ends = np.unique(np.concatenate([tail, head]), return_inverse=True)
    a, b = ends.reshape(2, -1)
    return int(components(names.size, a, b).max()) + 1


def _gauss_bonnet_residual(vertices: np.ndarray, faces: np.ndarray, rim: np.ndarray, euler: int) -> float:
    """|sum over interior vertices (2 pi - Theta) + sum over boundary vertices (pi - Theta) - 2 pi euler|."""
    corners = vertices[faces]
    total = 0.0
    for k in range(3):
        u, w = corners[:, (k + 1) % 3] - corners[:, k], corners[:, (k + 2) % 3] - corners[:, k]
        total += float(np.arctan2(np.linalg.norm(np.cross(u, w), axis=1), np.einsum("fi,fi->f", u, w)).sum())
    used = int((np.bincount(faces.reshape(-1)) > 0).sum())
    on_rim = np.zeros(vertices.shape[0], dtype=bool)
    on_rim[faces.reshape(-1)[rim]] = True
    on_rim[np.roll(faces, -1, axis=1).reshape(-1)[rim]] = True
    return float(abs(2 * np.pi * used - np.pi * on_rim.sum() - total - 2 * np.pi * euler))


def _measures(vertices: np.ndarray, faces: np.ndarray, table: EdgeTable, unit: float) -> dict:
    """Sizes of a mesh given in a unit."""
    length = np.linalg.norm(np.diff(vertices[table.ends], axis=1)[:, 0], axis=1)
    points = vertices[faces]
    # Relative to the middle, so that a mesh far from the origin does not lose its volume to rounding.
    corners = points - points.mean(axis=(0, 1))
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    h, g = table.pairs()
    corner = faces.reshape(-1)
    balanced = bool((table.valence == 2).all()) and not (corner[h] == corner[g]).any()
    volume = float(np.einsum("fi,fi->", corners[:, 0], normal)) / 6.0
    stats = {"min": length.min(), "mean": length.mean(), "median": np.median(length), "max": length.max()}
    return {
        "zero_area_faces": int(zero_area_faces(vertices, faces).size),
        "zero_length_faces": int(zero_length_faces(vertices, faces).size),
        "edge_length": {name: float(value) * unit for name, value in stats.items()},
        "area": _finite(float(np.linalg.norm(normal, axis=1).sum()) / 2.0 * unit * unit),
        "volume": _finite(volume * unit * unit * unit) if balanced else None,
        "bounding_box": [(points.min(axis=(0, 1)) * unit).tolist(), (points.max(axis=(0, 1)) * unit).tolist()],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _told(fact: dict) -> str:
    """Message and first ids of an error, warning or action."""
    if not fact["ids"]:
        return fact["message"]
    more = ", ..." if fact["count"] > len(fact["ids"]) else ""
    return f"{fact['message']} (ids {', '.join(map(str, fact['ids']))}{more}; {fact['count']} in all)"


def _plain(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return " to ".join("(" + ", ".join(f"{x:.6g}" for x in row) + ")" for row in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
