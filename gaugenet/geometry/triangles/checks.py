"""Validation: every pathology is an error that names the elements, or is put right with a warning. Nothing is silent."""

from __future__ import annotations

import os

import numpy as np

from ...errors import MeshError
from .face_adjacency import EdgeTable, corner_fans, edge_table, face_components, orientation
from .nesting import containers
from .triangle_mesh import MeshWarning, TriangleMesh
from .welding import weld_exact

__all__ = ["MeshWarning", "TriangleMesh", "check_arrays", "check_mesh", "mollify", "zero_area_faces"]

# Vertices closer than this, in units of the bounding box's diagonal, are taken to coincide (a seam or a soup).
SAME_PLACE = 1e-9
# A face whose height is below this fraction of its longest edge has no area to speak of.
FLAT = 1e-12
# A component of less than this part of the area is told of.
TINY = 1e-3
# Sizes whose areas, squared and times FLAT squared, are still normal numbers.
SMALLEST, LARGEST = 1e-60, 1e60


def check_mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    *,
    path: str | os.PathLike | None = None,
    allow_nonorientable: bool = False,
    min_component: float = 0.0,
) -> TriangleMesh:
    """A mesh that the geometry can work on, or an error that says what is wrong and where.

    Faces that name a vertex twice, repeated faces and unreferenced vertices are dropped; faces wound against their
    neighbours are flipped, and closed components so that they enclose a positive volume (normals outward), but for those of
    negative volume inside of an odd number of others, which are walls of cavities; faces of no area are kept. Each of these
    is a MeshWarning on the result, and vertex_ids / face_ids map back to the input.

    Args:
        vertices: (V, 3), any real dtype, order and scale.
        faces: (F, 3) or (F, 4) integers; quads are cut along their first diagonal.
        path: the file, for messages.
        allow_nonorientable: let a Moebius strip and its like pass (for O(2) structures), oriented but for a seam.
        min_component: drop connected components (across edges) of less than this part of the area, never the largest; in
            [0, 1). By default they stay, with a warning where they have less than a thousandth.

    Returns:
        A TriangleMesh of fresh arrays: vertices (V', 3) float64, faces (F', 3) int64.

    Raises:
        TypeError: arrays of a wrong dtype.
        ValueError: min_component out of range.
        MeshError: with ``kind`` one of shape, empty, not_finite, index_out_of_range, zero_size, triangle_soup,
            non_manifold_edge, non_manifold_vertex, non_orientable, and the offending ids as numbered in the input.
    """
    if not 0.0 <= min_component < 1.0:
        raise ValueError(f"min_component is a part of the area, from 0 to less than 1, got {min_component}")
    path = None if path is None else os.fspath(path)
    vertices, faces, face_ids = check_arrays(vertices, faces, path)
    warnings: list[MeshWarning] = []
    faces, face_ids = drop_faces(faces, face_ids, warnings, path)
    table = edge_table(faces)
    _refuse_soup(vertices, faces, table, warnings, path)
    _refuse_nonmanifold(faces, table, path)
    part = face_components(faces, table)
    faces, orientable = orient(vertices, faces, face_ids, table, part, warnings, path, allow_nonorientable)
    faces, face_ids = _tiny_components(vertices, faces, face_ids, part, min_component, warnings)
    flat = zero_area_faces(vertices, faces)
    short = flat[zero_length_faces(vertices, faces[flat])]
    if short.size:
        text = "edges of zero length (repair=True or --repair collapses them), at faces"
        warnings.append(MeshWarning.of("zero_length", text, face_ids[short]))
    if flat.size:
        text = "faces of zero area: their edge lengths need mollification"
        warnings.append(MeshWarning.of("zero_area", text, face_ids[flat]))
    count = len(vertices)
    vertices, faces, vertex_ids = drop_unreferenced(vertices, faces, warnings)
    nodes = np.full(count, -1)
    nodes[vertex_ids] = np.arange(len(vertex_ids))
    return TriangleMesh(vertices, faces, path, warnings, vertex_ids, face_ids, orientable, vertex_nodes=nodes)


def check_arrays(vertices, faces, path: str | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shapes, dtypes, finiteness and index range; returns copies (V, 3) float64, (F, 3) int64 and (F,) face ids."""
    vertices, faces = np.asarray(vertices), np.asarray(faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise MeshError(f"vertices must have shape (V, 3), got {vertices.shape}", kind="shape", path=path)
    if vertices.dtype.kind not in "fiu":
        raise TypeError(f"vertices must be real numbers, got dtype {vertices.dtype}")
    if vertices.shape[0] == 0:
        raise MeshError("the mesh has no vertices", kind="empty", path=path)
    if faces.size == 0:
        raise MeshError("the mesh has no faces", kind="empty", path=path)
    if faces.ndim != 2 or faces.shape[1] not in (3, 4):
        raise MeshError(f"faces must have shape (F, 3), or (F, 4) for quads, got {faces.shape}", kind="shape", path=path)
    if faces.dtype.kind not in "iu":
        raise TypeError(f"faces must be integers, got dtype {faces.dtype}")
    vertices = np.array(vertices, dtype=np.float64, order="C")
    bad = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if bad.size:
        raise MeshError("vertices with NaN or infinite coordinates", kind="not_finite", ids=bad, path=path)
    wrong = (faces < 0) | (faces >= vertices.shape[0])
    bad = np.flatnonzero(wrong.any(axis=1))
    if bad.size:
        text = (
            f"faces that refer to vertex {faces[wrong][0]} of {vertices.shape[0]}: indices must be 0 to {vertices.shape[0] - 1}"
        )
        raise MeshError(text, kind="index_out_of_range", ids=bad, path=path)
    ids = np.arange(faces.shape[0])
    if faces.shape[1] == 4:
        faces, ids = np.stack([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]], 1).reshape(-1, 3), np.repeat(ids, 2)
    return vertices, np.array(faces, dtype=np.int64, order="C"), ids


def drop_faces(
    faces: np.ndarray, face_ids: np.ndarray, warnings: list[MeshWarning], path: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Without the faces that name a vertex twice and the repeated ones (of each set of equal faces the first stays)."""
    a, b, c = faces.T
    repeated = (a == b) | (b == c) | (c == a)
    if repeated.any():
        warnings.append(MeshWarning.of("repeated_index", "dropped faces that name a vertex twice", face_ids[repeated]))
        faces, face_ids = faces[~repeated], face_ids[~repeated]
    again = _repeated_rows(np.sort(faces, axis=1))
    if again.any():
        warnings.append(MeshWarning.of("duplicate_face", "dropped repeated faces", face_ids[again]))
        faces, face_ids = faces[~again], face_ids[~again]
    if faces.shape[0] == 0:
        text = "the mesh has no faces left without those that name a vertex twice"
        raise MeshError(text, kind="empty", ids=warnings[-1].ids, path=path)
    return faces, face_ids


def _repeated_rows(rows: np.ndarray) -> np.ndarray:
    """(F,) bool, True for every row that came before; rows are (F, 3) sorted non-negative integers."""
    order = (
        np.lexsort(rows.T[::-1])
        if rows.max(initial=0) >= 2**21
        else np.argsort((rows[:, 0] << 42) | (rows[:, 1] << 21) | rows[:, 2], kind="stable")
    )
    again = np.zeros(rows.shape[0], dtype=bool)
    ordered = rows[order]
    again[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return again


def drop_unreferenced(
    vertices: np.ndarray, faces: np.ndarray, warnings: list[MeshWarning]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and vertex_ids without the vertices that no face uses."""
    used = np.zeros(vertices.shape[0], dtype=bool)
    used[faces] = True
    if not used.all():
        warnings.append(MeshWarning.of("unreferenced_vertex", "dropped vertices that no face uses", np.flatnonzero(~used)))
        faces = (np.cumsum(used) - 1)[faces]
    return vertices[used], faces, np.flatnonzero(used)


def bounding_diagonal(vertices: np.ndarray) -> float:
    """Length of the diagonal of the bounding box."""
    with np.errstate(over="ignore"):
        extent = vertices.max(axis=0) - vertices.min(axis=0)
        largest = float(extent.max())
        # Squares of very small extents vanish.
        return largest * float(np.linalg.norm(extent / largest)) if 0.0 < largest < np.inf else largest


def checked_diagonal(vertices: np.ndarray, path: str | None) -> float:
    """The diagonal of the bounding box, or the error of a mesh of no size, or of one that floating point cannot square."""
    diagonal = bounding_diagonal(vertices)
    if diagonal == 0.0:
        raise MeshError(f"the bounding box has a diagonal of {diagonal}", kind="zero_size", path=path)
    if not SMALLEST <= diagonal <= LARGEST:
        text = (
            f"the bounding box has a diagonal of {diagonal:.3g}: take a unit of length in which it is {SMALLEST} to {LARGEST}"
        )
        raise MeshError(text, kind="zero_size", path=path)
    return diagonal


def _refuse_soup(
    vertices: np.ndarray, faces: np.ndarray, table: EdgeTable, warnings: list[MeshWarning], path: str | None
) -> None:
    """Faces that meet in space and not in their indices: an error when it is most of them, a warning at a few seams."""
    diagonal = checked_diagonal(vertices[faces.reshape(-1)], path)
    open_edges = table.boundary()
    if open_edges.size == 0:
        return
    ends = np.stack([faces.reshape(-1)[open_edges], np.roll(faces, -1, axis=1).reshape(-1)[open_edges]], 1)
    rim, local = np.unique(ends, return_inverse=True)
    place = weld_exact(np.rint((vertices[rim] - vertices.min(axis=0)) / (SAME_PLACE * diagonal)))[1]
    ends = np.sort(place[local.reshape(ends.shape)], axis=1)
    _, inverse, count = np.unique(ends[:, 0] * rim.size + ends[:, 1], return_inverse=True, return_counts=True)
    # Pairs only: where three sheets were cut apart at one edge (as repair does), the parts are meant to stay apart.
    meeting = (count[inverse.reshape(-1)] == 2) & (ends[:, 0] != ends[:, 1])
    if not meeting.any():
        return
    largest = np.bincount(face_components(faces, table)).max()
    if largest <= 2 or 2 * meeting.sum() >= faces.size:
        text = (
            f"triangle soup: {int(meeting.sum())} edges meet in space but share no vertices; weld with repair=True (--repair)"
        )
        raise MeshError(text, kind="triangle_soup", ids=np.unique(open_edges[meeting] // 3), path=path)
    text = (
        "seams: boundary edges that lie on another one but share no vertices (repair=True or --repair welds them), at vertices"
    )
    warnings.append(MeshWarning.of("seam", text, np.unique(rim[local.reshape(-1, 2)[meeting]])))


def _refuse_nonmanifold(faces: np.ndarray, table: EdgeTable, path: str | None) -> None:
    """Errors for edges with three faces or more and for vertices where several fans meet."""
    bad = np.flatnonzero(table.valence > 2)
    if bad.size:
        shown = ", ".join(f"{a}-{b}" for a, b in table.ends[bad[:8]])
        text = f"{bad.size} non-manifold edges, with more than two faces: {shown}; repair=True (--repair) splits them; vertices"
        raise MeshError(text, kind="non_manifold_edge", ids=np.unique(table.ends[bad]), path=path)
    fans = corner_fans(faces, table)
    owner = np.zeros(fans.max() + 1, dtype=np.int64)
    owner[fans] = faces.reshape(-1)
    bad = np.flatnonzero(np.bincount(owner) > 1)
    if bad.size:
        text = "non-manifold vertices, where several sheets meet; repair=True (--repair) splits them"
        raise MeshError(text, kind="non_manifold_vertex", ids=bad, path=path)


def orient(
    vertices: np.ndarray,
    faces: np.ndarray,
    face_ids: np.ndarray,
    table: EdgeTable,
    part: np.ndarray,
    warnings: list[MeshWarning],
    path: str | None,
    allow_nonorientable: bool,
) -> tuple[np.ndarray, bool]:
    """Faces wound alike in each component (F,), outward where it is closed; and whether all of it is orientable."""
    flip, conflict = orientation(faces, table, part)
    if conflict.size and not allow_nonorientable:
        text = 'the surface is not orientable (as a Moebius strip): it needs structure="O2" (--structure O2); at faces'
        raise MeshError(text, kind="non_orientable", ids=np.unique(face_ids[conflict // 3]), path=path)
    if flip.any():
        warnings.append(MeshWarning.of("flipped", "flipped faces wound against their neighbours", face_ids[flip]))
        faces = np.where(flip[:, None], faces[:, [0, 2, 1]], faces)
    closed = np.ones(part.max() + 1, dtype=bool)
    closed[part[table.boundary() // 3]] = False
    closed[part[conflict // 3]] = False
    volume = np.where(closed, _signed_volumes(vertices, faces, part), 0.0)
    turned, cavity = _by_nesting(vertices, faces, part, closed, volume)
    if turned.any():
        text = "turned closed components inside out, so that normals point outward; faces"
        warnings.append(MeshWarning.of("inside_out", text, face_ids[turned[part]]))
        faces = np.where(turned[part][:, None], faces[:, [0, 2, 1]], faces)
    if cavity.any():
        text = (
            f"{int(cavity.sum())} closed components inside of others are walls of cavities: their normals point into the cavity"
        )
        warnings.append(MeshWarning.of("cavity", f"{text}; faces", face_ids[cavity[part]]))
    return faces, conflict.size == 0


def _tiny_components(
    vertices: np.ndarray,
    faces: np.ndarray,
    face_ids: np.ndarray,
    part: np.ndarray,
    least: float,
    warnings: list[MeshWarning],
) -> tuple[np.ndarray, np.ndarray]:
    """Faces and face_ids without the components of less than a part of the area; a warning of them, or of those that stay."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.bincount(part, np.linalg.norm(np.cross(b - a, c - a), axis=1))
    small = area < (least or TINY) * area.sum()
    small[np.argmax(area)] = False
    if not small.any():
        return faces, face_ids
    gone = small[part]
    size = f"{int(small.sum())} of {len(area)} connected components, each of less than {least or TINY:g}"
    if least > 0.0:
        warnings.append(MeshWarning.of("dropped_component", f"dropped {size} of the area; faces", face_ids[gone]))
        return faces[~gone], face_ids[~gone]
    text = f"{size} of the area (min_component or --min-component drops them); faces"
    warnings.append(MeshWarning.of("tiny_component", text, face_ids[gone]))
    return faces, face_ids


def _by_nesting(
    vertices: np.ndarray, faces: np.ndarray, part: np.ndarray, closed: np.ndarray, volume: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which components (P,) are to be turned, and which are then walls of cavities.

    One of negative volume inside of an odd number of others bounds a cavity and stays; elsewhere it is turned, and with it
    those next inside that are wound the other way, since the whole of them was inside out.
    """
    turned, cavity = np.zeros(len(closed), bool), np.zeros(len(closed), bool)
    if not (volume < 0.0).any():
        return turned, cavity
    around = containers(vertices, faces, part, closed, np.flatnonzero(volume != 0.0))
    odd = {c for c, outer in around.items() if len(outer) % 2}
    for c in around:
        turned[c] = volume[c] < 0.0 and c not in odd
    for c in odd:
        parent = min(around[c], key=lambda k: abs(volume[k]))
        turned[c] = volume[c] > 0.0 and turned[parent]
        cavity[c] = volume[c] < 0.0 or turned[c]
    return turned, cavity


def _signed_volumes(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Volume enclosed by each closed component, positive when its normals point outward; rounding noise counts as zero."""
    corners = vertices[faces]
    size = np.bincount(part)
    centre = np.stack([np.bincount(part, weights=x) for x in corners.mean(axis=1).T], 1) / size[:, None]
    corners -= centre[part][:, None]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volume = np.bincount(part, weights=np.einsum("fi,fi->f", corners[:, 0], normal)) / 6.0
    area = np.bincount(part, weights=np.linalg.norm(normal, axis=1)) / 2.0
    return np.where(np.abs(volume) > 1e-12 * area**1.5, volume, 0.0)


def zero_length_faces(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Ids of the faces with an edge between two corners at one place, to the rounding of the coordinates."""
    corners = vertices[faces]
    rounding = 4.0 * np.finfo(np.float64).eps * np.abs(vertices).max()
    return np.flatnonzero((np.abs(corners - np.roll(corners, -1, axis=1)).max(axis=2) <= rounding).any(axis=1))


def zero_area_faces(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Ids of the faces whose height is at most 1e-12 of their longest edge, or below the rounding of the coordinates."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    longest = np.sqrt(np.max([((q - p) ** 2).sum(axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0))
    double_area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    rounding = 4.0 * np.finfo(np.float64).eps * np.abs(vertices).max()
    return np.flatnonzero(double_area <= np.maximum(FLAT * longest, rounding) * longest)


def mollify(lengths: np.ndarray, relative: float = 1e-5) -> np.ndarray:
    r"""Edge lengths with every triangle inequality held by a margin (intrinsic mollification).

    Sharp & Crane 2020, "A Laplacian for Nonmanifold Triangle Meshes", section 4.5: adds to every length the smallest

    .. math:: \epsilon = \max_{ijk} \max(0, \delta + l_{jk} - l_{ij} - l_{ki}), \qquad \delta = \text{relative} \cdot \bar l.

    Args:
        lengths: (F, 3) edge lengths per face (unit of length); an edge shared by two faces has the same length in both.
        relative: the margin in units of the mean length.

    Returns:
        (F, 3) float64; equal to the input when every margin is there already.

    Raises:
        ValueError: for a wrong shape, or negative or non-finite lengths.
    """
    lengths = np.asarray(lengths, dtype=np.float64)
    if lengths.ndim != 2 or lengths.shape[1] != 3:
        raise ValueError(f"lengths must have shape (F, 3), got {lengths.shape}")
    if not (np.isfinite(lengths) & (lengths >= 0.0)).all():
        raise ValueError("lengths must be finite and not negative")
    shortfall = 2.0 * lengths.max(axis=1, initial=0.0) - lengths.sum(axis=1)
    epsilon = max(0.0, float(shortfall.max(initial=-np.inf)) + relative * float(lengths.mean())) if lengths.size else 0.0
    return lengths + epsilon
