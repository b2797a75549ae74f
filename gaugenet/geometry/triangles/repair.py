"""Repair: weld, drop, split, orient; every step is reported."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np

from .checks import check_arrays, check_mesh, checked_diagonal, drop_faces
from .face_adjacency import components, corner_fans, edge_table
from .triangle_mesh import MeshWarning, TriangleMesh
from .welding import weld_near

__all__ = ["repair_mesh"]

# Warnings of check_mesh that describe the mesh and change nothing.
_NOTES = {"zero_area", "zero_length", "seam", "tiny_component", "cavity"}


def repair_mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    *,
    tolerance: float = 1e-7,
    path: str | os.PathLike | None = None,
    allow_nonorientable: bool = False,
    min_component: float = 0.0,
) -> tuple[TriangleMesh, list[MeshWarning]]:
    """A mesh that passes check_mesh, and what was done to get there.

    In this order: drop faces that name a vertex twice and repeated faces; weld boundary vertices that lie within the
    tolerance of each other and collapse edges shorter than it; cut the surface apart at edges with three faces or more and at
    vertices where several fans meet (Gueziec et al. 2001, "Cutting and stitching"); orient; drop unreferenced vertices.
    Faces of zero area with three distinct corners stay: dropping them would open cracks, and mollification copes with them.

    Args:
        vertices, faces: as for check_mesh.
        tolerance: distance, in units of the bounding box's diagonal, within which vertices are one.
        path: the file, for messages.
        allow_nonorientable: as for check_mesh; no repair makes a Moebius strip orientable.
        min_component: as for check_mesh: components of less than this part of the area are dropped.

    Returns:
        The mesh (its warnings are the actions and what check_mesh notes), and the list of actions. The ids of actions,
        vertex_ids and face_ids number the input; a vertex that was split occurs several times in vertex_ids.

    Raises:
        MeshError: for what cannot be repaired: empty, not_finite, index_out_of_range, zero_size, non_orientable.
        ValueError: for a tolerance outside 0 to 0.1.
    """
    if not 0.0 <= tolerance <= 0.1:
        raise ValueError(f"tolerance is relative to the bounding box, between 0 and 0.1, got {tolerance}")
    path = None if path is None else os.fspath(path)
    vertices, faces, face_ids = check_arrays(vertices, faces, path)
    actions: list[MeshWarning] = []
    faces, face_ids = drop_faces(faces, face_ids, actions, path)
    diagonal = checked_diagonal(vertices[faces.reshape(-1)], path)
    one = _same_place(vertices, faces, tolerance * diagonal)
    collapsed: list[MeshWarning] = []
    joined, row = drop_faces(one[faces], np.arange(faces.shape[0]), collapsed, path)
    actions += [MeshWarning.of(w.kind, w.message, face_ids[list(w.ids)]) for w in collapsed]
    face_ids = face_ids[row]
    vertices, faces, origin, nodes = _stitch(vertices, faces[row], joined, one, actions)
    options: dict[str, Any] = {"allow_nonorientable": allow_nonorientable, "min_component": min_component}
    mesh = check_mesh(vertices, faces, path=path, **options)
    later = [_renumbered(w, origin, face_ids) for w in mesh.warnings if w.kind != "unreferenced_vertex"]
    vertex_ids = origin[mesh.vertex_ids]
    welded = [i for action in actions if action.kind == "welded" for i in action.ids]
    gone = _numbers(origin.max() + 1, origin, without=np.append(vertex_ids, np.array(welded, dtype=np.int64)))
    if gone.size:
        later.append(MeshWarning.of("unreferenced_vertex", "dropped vertices that no face uses", gone))
    actions += [w for w in later if w.kind not in _NOTES]
    mesh = dataclasses.replace(
        mesh,
        warnings=actions + [w for w in later if w.kind in _NOTES],
        vertex_ids=vertex_ids,
        face_ids=face_ids[mesh.face_ids],
        vertex_nodes=np.where(nodes < 0, -1, mesh.vertex_nodes[nodes]),
    )
    return mesh, actions


def _numbers(count: int, ids: np.ndarray, without: np.ndarray | tuple = ()) -> np.ndarray:
    """The different numbers below ``count`` among the ids, in order (np.unique hashes, ten times slower on millions)."""
    found = np.zeros(count, dtype=bool)
    found[ids] = True
    found[np.asarray(without, dtype=np.int64)] = False
    return np.flatnonzero(found)


def _same_place(vertices: np.ndarray, faces: np.ndarray, distance: float) -> np.ndarray:
    """(V,) for each vertex the first of its group: boundary vertices, and the two ends of an edge, within the distance."""
    table = edge_table(faces)
    one = np.arange(vertices.shape[0])
    rim = _numbers(one.size, table.ends[table.valence == 1])
    if rim.size:
        first, group = weld_near(vertices[rim], distance)
        one[rim] = rim[first][group]
    short = np.linalg.norm(np.diff(vertices[table.ends], axis=1)[:, 0], axis=1) <= distance
    if short.any():
        a, b = table.ends[short].T
        part = components(one.size, np.concatenate([one, a]), np.concatenate([np.arange(one.size), b]))
        one = np.unique(part, return_index=True)[1][part]
    return one


def _stitch(
    vertices: np.ndarray, faces: np.ndarray, joined: np.ndarray, one: np.ndarray, actions: list[MeshWarning]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One vertex per fan of corners, the fans being those of the welded faces.

    Welded vertices whose faces share no manifold edge thus stay what they were: a second repair finds nothing to do.

    Args:
        faces: (F, 3) on the vertices of the input.
        joined: (F, 3) the same faces on the welded vertices.
        one: (V,) the welded vertex of each vertex.

    Returns:
        vertices (V', 3), faces (F, 3), origin (V',) the number of each vertex in the input, where unused vertices stay, and
        nodes (V,) the new number of each vertex of the input, -1 of those that no face uses.
    """
    count = vertices.shape[0]
    fans = corner_fans(joined, edge_table(joined))
    corner = faces.reshape(-1)
    owner = np.full(fans.max() + 1, count)
    np.minimum.at(owner, fans, corner)
    pairs = np.sort(corner * owner.size + fans)
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]
    split = np.flatnonzero(np.bincount(pairs // owner.size, minlength=count) > 1)
    lost = _numbers(count, corner, without=owner)
    if lost.size:
        actions.append(MeshWarning.of("welded", "welded vertices to others at the same place", lost))
    if split.size:
        table = edge_table(faces)
        bad = table.valence > 2
        if bad.any():
            text = f"cut {int(bad.sum())} non-manifold edges open, at vertices"
            actions.append(MeshWarning.of("split_edges", text, np.unique(table.ends[bad])))
        actions.append(MeshWarning.of("split_vertices", "split vertices where several sheets met", split))
    # The first fan of a vertex keeps its number, the others get new ones at the end.
    order = np.argsort(owner, kind="stable")
    extra = np.zeros(owner.size, dtype=bool)
    extra[order[1:]] = owner[order[1:]] == owner[order[:-1]]
    number = owner.copy()
    number[extra] = count + np.arange(extra.sum())
    origin = np.concatenate([np.arange(count), owner[extra]])
    return vertices[origin], number[fans].reshape(-1, 3), origin, _nodes(corner, number[fans], one)


def _nodes(corner: np.ndarray, number: np.ndarray, one: np.ndarray) -> np.ndarray:
    """(V,) the first new vertex at the corners of each vertex; where collapsed edges left it none, that of one at its place."""
    nodes = np.full(one.size, -1)
    nodes[corner[::-1]] = number[::-1]
    of_group = np.full(one.size, -1)
    used = np.flatnonzero(nodes >= 0)[::-1]
    of_group[one[used]] = nodes[used]
    return np.where(nodes < 0, of_group[one], nodes)


def _renumbered(warning: MeshWarning, origin: np.ndarray, face_ids: np.ndarray) -> MeshWarning:
    """A warning of check_mesh with its ids turned back into those of the input."""
    ids = np.asarray(warning.ids, dtype=np.int64)
    return MeshWarning.of(warning.kind, warning.message, np.unique(origin[ids] if warning.kind == "seam" else face_ids[ids]))
