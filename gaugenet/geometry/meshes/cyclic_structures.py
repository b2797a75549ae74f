r"""C_N-structures of a mesh from N-direction fields: frames along the field, transport by multiples of 2 pi / N.

Away from its singularities an N-direction field is a reduction of the structure group: with frames along the field the
Levi-Civita transport is a multiple of 2 pi / N plus the angle by which the field turns against it, and following the field
instead drops that angle. The result is a flat connection with values in C_N: PFCNN (Yang et al. 2020), TextureNet (Huang et al.
2019). Around a singularity of index :math:`\pm 1/N` the dropped angle, in units of the half step pi / N, stays below 1 along a
geodesic that passes on either side, and reaches 1 on the singularity. So where the mesh resolves the field, rounding *is*
following it (the matching or period jump along the geodesic), and ambiguous only where the geodesic runs into a singularity.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ...errors import GeometryError
from ..geodesics.assembly import symmetric_transport
from ..local_geometry import LocalGeometry
from ..triangles.angles import rotations
from .direction_fields import DirectionField

ON_SINGULAR = ("error", "SO2", "nearest")
# A geodesic along an edge or through a corner of a face does not cross the face.
_SHRINK = 1e-6


def cyclic_structure(
    geometry: LocalGeometry, field: DirectionField, *, on_singular: str = "error", bound: float = 0.5
) -> LocalGeometry:
    r"""The geometry in the frames of an N-direction field, with transporters rounded to multiples of 2 pi / N.

    With :math:`\tau_{pq}` the angle of the Levi-Civita transporter in the frames of the field,

    .. math:: g_{pq} = R(2 \pi k / N), \quad k = \mathrm{round}(N \tau_{pq} / 2 \pi), \quad
        \epsilon_{pq} = |N \tau_{pq} / \pi - 2 k| \in [0, 1].

    An edge is *ambiguous* when its geodesic crosses a singular face and :math:`\epsilon > ` ``bound``: the field has no value
    in the face, and rounding would have to guess the side on which the geodesic passes. The crossing is tested in the log map
    at p, so a face counts where all its corners are neighbours of p. Where the field has singularities, edges of coarser
    levels, whose geodesics are long and do not see the faces, are ambiguous when :math:`\epsilon > ` ``bound``, and so are the
    transporters to the coarser nodes.

    A closed surface that is no torus has singularities, and so nearly always ambiguous edges; with ``rings=1`` hardly ever,
    where most geodesics are mesh edges and cross no face.

    Args:
        geometry: of the mesh that the field is on, with SO(2) transporters; it may have levels. Its frames may differ from the
            field's by rotations.
        field: of :func:`gaugenet.geometry.smooth_field`.
        on_singular: with ambiguous edges, "error" raises; "SO2" gives up the reduction and returns the frames of the field with
            the Levi-Civita transporters of the input on all edges; "nearest" takes the nearest multiple on them too.
        bound: of epsilon, in 0..1.

    Returns:
        LocalGeometry with the ``structure`` "C4" (for N = 4), for layers with ``groups.Cyclic(4)``, or "SO2"; and
        ``metadata["ambiguous_edges"]``, their number over all levels.

    Raises:
        GeometryError: ambiguous edges, with the vertices of the singular faces; a field of another mesh.
        ValueError: unknown on_singular, or bound out of range.
    """
    if on_singular not in ON_SINGULAR:
        raise ValueError(f"on_singular must be one of {', '.join(ON_SINGULAR)}, got {on_singular!r}")
    if not 0 <= bound <= 1:
        raise ValueError(f"bound must lie in 0..1, got {bound!r}")
    angle = _field_angle(geometry, field)
    framed = _in_frames(geometry, angle)
    rounded, number = _rounded(framed, field.n, bound, geometry.faces[field.singular_faces])
    facts = {**geometry.metadata, "ambiguous_edges": number}
    if number and on_singular == "error":
        corners = np.unique(geometry.faces[field.singular_faces])
        shown = ", ".join(map(str, corners[:8])) + (", ..." if corners.size > 8 else "")
        raise GeometryError(
            f"no C{field.n} transport on {number} edges, which run into singularities of the field (vertices {shown}; "
            f'{corners.size} in all): on_singular="nearest" rounds them all the same, on_singular="SO2" keeps SO(2)'
        )
    if number and on_singular == "SO2":
        return _with_structure(framed, "SO2").replace(metadata=facts)
    return _with_structure(rounded, f"C{field.n}").replace(metadata=facts)


def _with_structure(geometry: LocalGeometry, structure: str) -> LocalGeometry:
    """The geometry, all its levels under another structure group."""
    coarse = geometry.coarse
    if coarse is not None:
        coarse = dataclasses.replace(coarse, geometry=_with_structure(coarse.geometry, structure))
    return geometry.replace(structure=structure, coarse=coarse)


def _field_angle(geometry: LocalGeometry, field: DirectionField) -> np.ndarray:
    """(N,) angle of the field in the frames of the geometry."""
    if geometry.faces is None or geometry.frame is None:
        raise GeometryError("a cyclic structure needs the geometry of a mesh, with frames and faces")
    if len(field.angle) != geometry.num_nodes or (
        len(field.singular_faces) and field.singular_faces[-1] >= len(geometry.faces)
    ):
        text = f"a field on {len(field.angle)} vertices does not belong to this geometry of {geometry.num_nodes} nodes"
        raise GeometryError(text)
    if not (np.linalg.det(geometry.transport) > 0).all():
        raise GeometryError("a cyclic structure needs transporters in SO(2), these have reflections")
    change = np.swapaxes(geometry.frame, 1, 2) @ field.frame
    error = np.abs(np.linalg.det(change) - 1)
    if not (error < 1e-5).all():  # frames from a record are in float32
        raise GeometryError(f"the field's frames have other tangent planes than the geometry's at vertex {int(error.argmax())}")
    return field.angle + _angle(change)


def _in_frames(geometry: LocalGeometry, angle: np.ndarray) -> LocalGeometry:
    """The geometry with its frames turned by an angle (N,), on every level by that of the vertex."""
    out = geometry.gauge_transform(rotations(angle))
    pooling = out.coarse
    if pooling is None:
        return out
    # Coarse nodes are vertices of the level before: transport to the member at the same position is the change of frames.
    few = pooling.geometry
    away = np.linalg.norm(geometry.positions - few.positions[pooling.cluster], axis=1)
    order = np.lexsort((away, pooling.cluster))
    node = order[np.searchsorted(pooling.cluster[order], np.arange(few.num_nodes))]
    change = pooling.transport[node]  # from the new frame of the vertex to the frame of the coarse node
    turn = _angle(change)
    carried = np.swapaxes(rotations(turn), 1, 2)[pooling.cluster] @ pooling.transport
    return out.replace(coarse=dataclasses.replace(pooling, transport=carried, geometry=_in_frames(few, turn)))


def _rounded(g: LocalGeometry, n: int, bound: float, singular: np.ndarray, fine: bool = True) -> tuple[LocalGeometry, int]:
    """Transporters in C_n on all levels, and the number of ambiguous ones; singular: (S, 3) faces, of the finest level."""
    source, target = g.edge_index
    turn = symmetric_transport(target, source, _angle(g.transport), g.num_nodes)
    transport, residue = _round_turns(turn, n)
    ambiguous = residue > bound
    if not len(singular):
        ambiguous[:] = False
    elif fine:
        ambiguous &= crosses_faces(g, singular)
    number, pooling = int(ambiguous.sum()), g.coarse
    if pooling is not None:
        down, residue = _round_turns(_angle(pooling.transport), n)
        few, below = _rounded(pooling.geometry, n, bound, singular, fine=False)
        number += below + int((residue > bound).sum() if len(singular) else 0)
        pooling = dataclasses.replace(pooling, transport=down.astype(g.transport.dtype), geometry=few)
    return g.replace(transport=transport.astype(g.transport.dtype), coarse=pooling), number


def _angle(rotation: np.ndarray) -> np.ndarray:
    return np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])


def _round_turns(turn: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations by the nearest multiples of 2 pi / n, and the distances to them in units of pi / n."""
    steps = turn * n / (2 * np.pi)
    nearest = np.rint(steps)  # ties to even: the same for an edge and its reverse
    return rotations(2 * np.pi / n * nearest), 2 * np.abs(steps - nearest)


def crosses_faces(geometry: LocalGeometry, faces: np.ndarray) -> np.ndarray:
    """(E,) bool: edges whose geodesic crosses the inside of one of some faces (S, 3), in the log map of the target."""
    source, target = geometry.edge_index
    count = geometry.num_nodes
    start = np.searchsorted(target, np.arange(count + 1))
    by_source = np.argsort(source, kind="stable")
    source_start = np.searchsorted(source[by_source], np.arange(count + 1))
    crossed = np.zeros(source.size, bool)
    for face in faces:
        logs: dict[int, dict[int, np.ndarray]] = {}
        for k, corner in enumerate(face):
            edges = by_source[source_start[corner] : source_start[corner + 1]]
            for p, log in zip([corner, *target[edges]], [np.zeros(2), *geometry.log[edges]]):
                logs.setdefault(int(p), {})[k] = log
        for p, at in logs.items():
            if len(at) == 3:
                edges = slice(start[p], start[p + 1])
                crossed[edges] |= _segments_cross(geometry.log[edges], np.stack([at[k] for k in range(3)]))
    return crossed


def _segments_cross(ends: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """(M,) bool: segments from 0 to ends (M, 2) that meet the inside of a triangle (3, 2)."""
    triangle = triangle + _SHRINK * (triangle.mean(0) - triangle)
    side = np.roll(triangle, -1, 0) - triangle
    inward = np.stack([-side[:, 1], side[:, 0]], 1)
    inward *= np.sign(side[0, 0] * side[1, 1] - side[0, 1] * side[1, 0])
    # Inside of side k where t (end . inward_k) >= corner_k . inward_k, 0 <= t <= 1.
    slope, level = ends @ inward.T, (triangle * inward).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = level / slope
    low = np.where(slope > 0, t, 0.0).max(1).clip(min=0.0)
    high = np.where(slope < 0, t, 1.0).min(1).clip(max=1.0)
    return (low <= high) & ((slope != 0) | (level <= 0)).all(1)
