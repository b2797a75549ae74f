"""Angles, normals, areas and frames of a triangle mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...errors import GeometryError
from .checks import mollify, zero_area_faces
from .topology import Topology, next_halfedge, previous_halfedge


class RingAngles(NamedTuple):
    """Intrinsic directions around every vertex, measured from the first halfedge of its fan, counter-clockwise.

    Attributes:
        corner: (3F,) angle of the face at the tail of each halfedge.
        cumulative: (3F,) sum of the corners before each halfedge around its tail.
        total: (N,) cone angle Theta.
        scale: (N,) 2 pi / Theta inside; 1 on the boundary, where angles stay as they are (pi / Theta would be off by up to
            1.57 rad on a flat plate).
        arrival: (3F,) scaled direction at the *head* of each halfedge back along it.
    """

    corner: np.ndarray
    cumulative: np.ndarray
    total: np.ndarray
    scale: np.ndarray
    arrival: np.ndarray

    def departure(self, tail: np.ndarray) -> np.ndarray:
        """(3F,) scaled direction of each halfedge at its tail."""
        return self.cumulative * self.scale[tail]


def edge_lengths(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) lengths of the halfedges."""
    points = vertices[faces]
    return np.linalg.norm(np.roll(points, -1, 1) - points, axis=2)


def corner_angles(lengths: np.ndarray) -> np.ndarray:
    """(F, 3) angles at the tails of the halfedges from the lengths alone (Kahan's formula, accurate for slivers)."""
    a, b, c = lengths, np.roll(lengths, -2, 1), np.roll(lengths, -1, 1)  # adjacent, adjacent, opposite
    big, small = np.maximum(a, b), np.minimum(a, b)
    mu = np.where(small >= c, c - (big - small), small - (big - c))
    top = ((big - small) + c) * np.maximum(mu, 0.0)
    bottom = (big + (small + c)) * ((big - c) + small)
    return 2.0 * np.arctan2(np.sqrt(top), np.sqrt(np.maximum(bottom, 0.0)))


def corner_angles_between(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) angles at the tails of the halfedges from the positions.

    Lengths do not determine how flat a cap is: at a height of h times its base the rounding of its lengths turns its corners by
    eps / h, as much as the corners themselves at h = 1e-8. Positions do, as long as the differences between them are exact.
    """
    angle = np.empty(faces.shape)
    for k in range(3):
        at = vertices[faces[:, k]]
        u, v = vertices[faces[:, k - 2]] - at, vertices[faces[:, k - 1]] - at
        # Lengths about 1, so that squares neither vanish nor overflow.
        size = np.maximum(np.abs(u).max(1), np.abs(v).max(1))[:, None]
        size = np.maximum(size, np.finfo(float).tiny)
        u, v = u / size, v / size
        angle[:, k] = np.arctan2(np.linalg.norm(np.cross(u, v), axis=1), np.einsum("fi,fi->f", u, v))
    return angle


def face_areas(lengths: np.ndarray) -> np.ndarray:
    """(F,) areas from the lengths (Kahan's form of Heron's formula)."""
    c, b, a = np.sort(lengths, axis=1).T
    return 0.25 * np.sqrt(np.maximum((a + (b + c)) * (c - (a - b)) * (c + (a - b)) * (a + (b - c)), 0.0))


def vertex_areas(topology: Topology, lengths: np.ndarray) -> np.ndarray:
    """(N,) a third of the areas of the incident faces."""
    return np.bincount(topology.tail, np.repeat(face_areas(lengths) / 3.0, 3), minlength=topology.num_vertices)


def ring_angles(topology: Topology, lengths: np.ndarray, corner: np.ndarray | None = None) -> RingAngles:
    """The scaled angles of DESIGN section 7 (Knoeppel et al. 2013, section 3): theta = (2 pi / Theta) x cumulative angle.

    Args:
        lengths: (F, 3), for the corners; corner: (F, 3) better known corners, see corner_angles_between.
    """
    corner = (corner_angles(lengths) if corner is None else corner).reshape(-1)
    ring, ptr = topology.ring_halfedge, topology.ring_ptr
    degree = np.diff(ptr)
    used = degree > 0
    around = corner[ring]
    running = np.concatenate([[0.0], np.cumsum(around)])
    cumulative = np.empty_like(corner)
    # Sums start anew at every vertex: differences of one long running sum would lose digits on large meshes.
    cumulative[ring] = _restarted_sums(around, ptr, degree) if ring.size else running[:0]
    total = np.zeros(topology.num_vertices)
    last = ring[ptr[1:][used] - 1]
    total[used] = cumulative[last] + corner[last]
    scale = np.ones(topology.num_vertices)
    inside = used & ~topology.is_boundary
    scale[inside] = 2.0 * np.pi / total[inside]
    # Back along h from its head: the twin's direction, or at the boundary the end of the fan.
    after = next_halfedge(np.arange(corner.size))
    back = np.where(topology.twin >= 0, cumulative[topology.twin], cumulative[after] + corner[after])
    return RingAngles(corner, cumulative, total, scale, back * scale[topology.head])


def lengths_and_angles(vertices: np.ndarray, topology: Topology) -> tuple[np.ndarray, RingAngles]:
    """Lengths (F, 3) and scaled angles of a mesh in space: the angles from the positions; both from mollified lengths where
    a face has zero area.
    """
    lengths = edge_lengths(vertices, topology.faces)
    if zero_area_faces(vertices, topology.faces).size:
        lengths = mollify(lengths)
        return lengths, ring_angles(topology, lengths)
    return lengths, ring_angles(topology, lengths, corner_angles_between(vertices, topology.faces))


def _restarted_sums(values: np.ndarray, ptr: np.ndarray, degree: np.ndarray) -> np.ndarray:
    """Sum of the values before each entry within its segment."""
    out = np.zeros_like(values)
    active = np.flatnonzero(degree > 1)
    step = 1
    while active.size:
        at = ptr[active] + step
        out[at] = out[at - 1] + values[at - 1]
        step += 1
        active = active[degree[active] > step]
    return out


def vertex_normals(vertices: np.ndarray, topology: Topology, corner: np.ndarray) -> np.ndarray:
    """(N, 3) unit normals, face normals weighted by the angle of the corner (Thuermer & Wuethrich 1998)."""
    points = vertices[topology.faces]
    normal = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), np.finfo(float).tiny)
    weighted = np.repeat(normal, 3, 0) * corner[:, None]
    out = np.stack([np.bincount(topology.tail, weighted[:, k], minlength=len(vertices)) for k in range(3)], 1)
    length = np.linalg.norm(out, axis=1)
    # Where the faces cancel out (a fold of zero thickness), any face's normal serves; lone vertices get the z axis.
    degenerate = length < 1e-9
    if degenerate.any():
        out[degenerate] = [0.0, 0.0, 1.0]
        first = topology.ring_halfedge[np.minimum(topology.ring_ptr[:-1], topology.ring_halfedge.size - 1)]
        use = degenerate & (np.diff(topology.ring_ptr) > 0)
        out[use] = normal[first[use] // 3]
        length = np.linalg.norm(out, axis=1)
        out[length < 1e-9] = [0.0, 0.0, 1.0]
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def ambient_frames(
    vertices: np.ndarray, topology: Topology, angles: RingAngles, frames: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Frames in space and the directions of their first vectors in the ring.

    The intrinsic angle :math:`\phi_j` of every edge and its projection :math:`u_j` on the tangent plane (as a complex number
    in the frame) differ by a rotation that varies a little from edge to edge; the offset :math:`\alpha` is the mean,
    :math:`\arg \sum_j \hat u_j e^{-i \phi_j}`, in which all edges count alike, so that no labelling is preferred.

    Args:
        vertices: (N, 3).
        frames: (N, 3, 2) orthonormal frames to use; by default the normal weighted by angles, and the first vector along
            the intrinsic direction of the first halfedge.

    Returns:
        frame (N, 3, 2), and offset (N,): direction in the frame = direction in the ring + offset.

    Raises:
        GeometryError: when frames are not orthonormal (N, 3, 2), or not right-handed.
    """
    if frames is None:
        normal = vertex_normals(vertices, topology, angles.corner)
        x = _any_tangent(normal)
        basis = np.stack([x, np.cross(normal, x)], -1)
    else:
        basis = checked_frames(frames, len(vertices))
        left = left_handed(basis, vertices, topology, angles)
        if left.any():
            text = 'must be right-handed with the normal that the faces give (mixed hands need structure="O2")'
            raise GeometryError(f"frames {text}: at vertex {int(left.argmax())} they are not")
    mean = _alignment(basis, vertices, topology, angles)
    offset = np.where(np.abs(mean) > 0, np.angle(mean), 0.0)
    if frames is not None:
        return basis, offset
    # Turn the arbitrary basis so that the first halfedge of the fan lies along the first vector.
    return basis @ rotations(offset), np.zeros(len(vertices))


def rotations(angle: np.ndarray) -> np.ndarray:
    """(..., 2, 2) counter-clockwise rotations by angles in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def left_handed(basis: np.ndarray, vertices: np.ndarray, topology: Topology, angles: RingAngles) -> np.ndarray:
    """(N,) bool: frames against the orientation of the faces, by the order of the edges and by the normal."""
    mirrored = basis * [1.0, -1.0]
    better = np.abs(_alignment(mirrored, vertices, topology, angles)) > np.abs(_alignment(basis, vertices, topology, angles))
    normal = vertex_normals(vertices, topology, angles.corner)
    return better & (np.einsum("ni,ni->n", np.cross(basis[..., 0], basis[..., 1]), normal) < 0)


def _alignment(basis: np.ndarray, vertices: np.ndarray, topology: Topology, angles: RingAngles) -> np.ndarray:
    """(N,) complex: sum over the edges of their direction in the basis, turned back by that in the ring."""
    tail, head = topology.tail, topology.head
    phase = np.exp(-1j * angles.departure(tail))
    mean = _projected_sum(vertices, basis, tail, head, phase)
    # The last edge of a boundary fan is no outgoing halfedge; it counts like the others.
    rim = previous_halfedge(topology.ring_halfedge[topology.ring_ptr[1:][topology.is_boundary] - 1])
    return mean + _projected_sum(vertices, basis, head[rim], tail[rim], np.exp(-1j * angles.arrival[rim]))


def _projected_sum(vertices, basis, at, to, phase) -> np.ndarray:
    """(N,) complex sum over edges at -> to of their unit projections times a phase."""
    edge = np.einsum("ei,eij->ej", vertices[to] - vertices[at], basis[at])
    length = np.hypot(edge[:, 0], edge[:, 1])
    unit = (edge[:, 0] + 1j * edge[:, 1]) / np.where(length > 0, length, 1.0) * phase
    n = len(vertices)
    return np.bincount(at, unit.real, minlength=n) + 1j * np.bincount(at, unit.imag, minlength=n)


def _any_tangent(normal: np.ndarray) -> np.ndarray:
    """A unit vector orthogonal to each normal."""
    axis = np.zeros_like(normal)
    axis[np.arange(len(normal)), np.argmin(np.abs(normal), axis=1)] = 1.0
    x = axis - normal * np.einsum("ni,ni->n", axis, normal)[:, None]
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def checked_frames(frames: np.ndarray, count: int) -> np.ndarray:
    """(N, 3, 2) float frames; GeometryError unless they have that shape and are orthonormal."""
    frames = np.asarray(frames, float)
    if frames.shape != (count, 3, 2):
        raise GeometryError(f"frames must have shape ({count}, 3, 2), got {frames.shape}")
    gram = np.swapaxes(frames, 1, 2) @ frames
    error = np.abs(gram - np.eye(2)).max(axis=(1, 2), initial=0.0)
    if not (error <= 1e-6).all():
        worst = int(np.argmax(np.where(np.isfinite(error), error, np.inf)))
        raise GeometryError(
            f"frames must be orthonormal: at vertex {worst} the products of the vectors are {gram[worst].tolist()}"
        )
    return frames
