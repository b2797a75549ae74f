"""The icosahedron with flat faces: a hexagonal lattice with twelve cone points, structure group C_6."""

from __future__ import annotations

from math import gcd

import numpy as np
from scipy.spatial import cKDTree

from ...deprecation import formerly_positional
from ...errors import GeometryError
from ...hexagons import COSINES, HEIGHT, SINES
from ..local_geometry import LocalGeometry, Pooling
from ..meshes.curvature import smallest_rotation
from .icospheres import icosphere_mesh, quartered

_MAX_LEVEL = 9
# Positions that differ by less (in units of the circumradius) are the same.
_SAME = 1e-6
# Rotations by k 60 degrees.
_COS, _SIN = np.array(COSINES), np.array(SINES)
_TURNS = np.stack([np.stack([_COS, -_SIN], -1), np.stack([_SIN, _COS], -1)], -2)
_STEPS = _TURNS[:, :, 0]
# Number of each lattice direction, in the coordinates (a, b) of a e_0 + b e_1.
_DIRECTION = {(1, 0): 0, (0, 1): 1, (-1, 1): 2, (-1, 0): 3, (0, -1): 4, (1, -1): 5}


@formerly_positional("rings")
def icosahedron(level: int, *, rings: int = 1, levels: int = 0) -> LocalGeometry:
    r"""The regular icosahedron with flat faces, a hexagonal lattice of N = 10 4^level + 2 points on it, G = C_6.

    (Cohen, Weiler, Kicanaoglu, Welling 2019, arXiv 1902.04615, section 4.) The twelve corners lie on the unit sphere, and
    all lattice edges have the length :math:`s = 2^{-level} / \sin(2 \pi / 5)`. The points and faces are numbered as those of
    :func:`icosphere`: coarser lattices come first. The surface is flat but for the corners, cone points of angle 300
    degrees, so unfolding the faces gives exact geodesics: a log map is a vector of the lattice in the frame of its target,
    the first frame vector a lattice direction, and transport is a rotation by a multiple of 60 degrees. A turn round a
    corner is one by 60 degrees, so that no choice of frames removes the transporters.

    At a corner the log maps are those of a cut cone: its five neighbours lie at 0, 60, ..., 240 degrees, and there is none at
    300. What a layer gives there depends on the cut, unless it is projected on the C_6-invariant part: `nn.LatticeConv` does
    so itself, :class:`gaugenet.nn.ConePoints` for other layers. `cone_angle` differs from 2 pi at those points.

    Args:
        level: 0 (the twelve corners), 1, 2, ...
        rings: neighbours are the ends of all lattice vectors of up to so many steps. Geodesics do not pass corners: a vector
            through one has no end, and of several geodesics to a point the shortest counts (none, if two are).
        levels: number of coarser levels, each the even points of the level before. A cluster is a coarse point and three of
            the six points halfway to its neighbours, a choice that no rotation preserves; `nn.LatticePool`, which averages over
            all of them, is exact.

    Returns:
        LocalGeometry with `positions` on the flat faces; `frame` with the normal averaged over the faces at a point (on an
        edge the unfolded faces are turned into that plane, at a corner the first edge is projected); `area` of the hexagonal
        cells, :math:`\sqrt{3/4}\, s^2` and 5/6 of it at corners; radius[p] = (rings + 1/2) s; `faces` (20 4^level, 3),
        counter-clockwise from outside; `cone_angle`.

    Raises:
        ValueError: level, rings or levels out of range.
    """
    level, rings = _count("level", level, 0, _MAX_LEVEL), _count("rings", rings, 1, 2**_MAX_LEVEL)
    levels = _count("levels", levels, 0, level)
    meshes = _meshes(level)
    coarse = None
    for depth in range(level - levels, level + 1):
        positions, faces, base = meshes[depth]
        ring = _rings(positions, faces, base, meshes[0])
        geometry = _geometry(positions, faces, base, ring, meshes[0], rings, depth)
        coarse = geometry if coarse is None else geometry.replace(coarse=_pooling(ring, coarse))
    return coarse


def icosahedron_symmetries(geometry: LocalGeometry) -> tuple[np.ndarray, np.ndarray]:
    r"""The 60 rotations of an :func:`icosahedron` as maps of its points and frames.

    Rotation s moves point n to point permutation[s, n] and its frame by :math:`R_s E_n = E_{s(n)}\, g_{s,n}`, so a field f
    becomes :math:`(s f)(s(n)) = \rho(g_{s,n}) f(n)` (:func:`gaugenet.testing.symmetry_error`). At a corner, where frames that
    differ by the holonomy are equally good, g is one of them.

    Args:
        geometry: of :func:`icosahedron`, any level of it, in any frames that C_6 allows.

    Returns:
        permutation (60, N) int64, the identity first, and g (60, N, 2, 2).

    Raises:
        GeometryError: a geometry of another manifold.
    """
    if geometry.metadata.get("manifold") != "icosahedron" or geometry.positions is None:
        raise GeometryError("icosahedron_symmetries needs the geometry of geometry.icosahedron")
    tree = cKDTree(geometry.positions)
    permutations = []
    for rotation in _rotations():
        away, place = tree.query(geometry.positions @ rotation.T)
        if away.max() > _SAME * max(1.0, np.abs(geometry.positions).max()):
            raise GeometryError(f"the icosahedron's rotations do not map its point {int(away.argmax())} to a point")
        permutations.append(place.astype(np.int64))
    permutation = np.stack(permutations)
    # One neighbour of each point determines how the frame turns: log_s(p) s(q) = g log_p q.
    source, target = geometry.edge_index
    first = np.searchsorted(target, np.arange(geometry.num_nodes))
    key = target * geometry.num_nodes + source
    place = np.searchsorted(key, permutation[:, target[first]] * geometry.num_nodes + permutation[:, source[first]])
    before, after = geometry.log[first], geometry.log[place]
    dot = (after * before).sum(-1)
    cross = after[..., 1] * before[..., 0] - after[..., 0] * before[..., 1]
    turn = np.rint(np.arctan2(cross, dot) / (np.pi / 3)).astype(np.int64) % 6
    return permutation, _TURNS[turn].astype(geometry.log.dtype)


def _rotations() -> np.ndarray:
    """(60, 3, 3), the identity first: they take an edge (and a corner of it) to each of the 60."""
    vertices, faces = icosphere_mesh(0)
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    basis = np.stack([vertices[pairs[:, 0]], vertices[pairs[:, 1]], np.cross(vertices[pairs[:, 0]], vertices[pairs[:, 1]])], -1)
    return basis @ np.linalg.inv(basis[0])


def _meshes(level: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For every level: positions (N, 3), faces (F, 3), and the face of the icosahedron that each lies in (F,)."""
    positions, faces = icosphere_mesh(0)
    base = np.arange(len(faces))
    meshes = [(positions, faces, base)]
    for _ in range(level):
        # The numbering of icosphere_mesh, without pushing the midpoints out.
        _, edges, _, faces = quartered(faces, len(positions))
        positions = np.concatenate([positions, positions[edges].mean(1)])
        base = np.tile(base, 4)
        meshes.append((positions, faces, base))
    return meshes


def _rings(positions: np.ndarray, faces: np.ndarray, base: np.ndarray, icosahedron_mesh) -> np.ndarray:
    """(N, 6) the neighbours of every point, counter-clockwise from the one along its frame; -1 after the fifth of a corner.

    The frame points along the first side of the lowest face that holds the point, so it is constant on large patches.
    """
    n = len(positions)
    following = _Following(faces, n)
    ring = np.empty((n, 6), np.int64)
    ring[:, 0] = following.first
    for k in range(1, 6):
        ring[:, k] = following(np.arange(n), ring[:, k - 1])
    corners, axis, _ = icosahedron_mesh
    side = corners[axis[:, 1]] - corners[axis[:, 0]]
    along = np.einsum("nki,ni->nk", positions[ring] - positions[:, None], side[_owner(faces, base, n)])
    along = (along / np.abs(along).max(1, keepdims=True)).round(9)
    start = np.where(along.max(1) >= 1, along.argmax(1), along.argmin(1) + 3)
    start[:12] = along[:12].argmax(1)  # a corner has no direction opposite to another
    count = np.where(np.arange(n) < 12, 5, 6)[:, None]
    ring = np.take_along_axis(ring, (start[:, None] + np.arange(6)) % count, 1)
    ring[:12, 5] = -1
    return ring


class _Following:
    """The neighbour of p after q, counter-clockwise, from a table of the corners of all faces."""

    def __init__(self, faces: np.ndarray, n: int) -> None:
        p, q, r = (np.concatenate([faces[:, (k + j) % 3] for k in range(3)]) for j in range(3))
        order = np.argsort(p * n + q)
        self.n, self.key, self.value = n, (p * n + q)[order], r[order]
        self.first = q[order][np.searchsorted(self.key // n, np.arange(n))]

    def __call__(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return self.value[np.searchsorted(self.key, p * self.n + q)]


def _owner(faces: np.ndarray, base: np.ndarray, n: int) -> np.ndarray:
    """(N,) the lowest face of the icosahedron that holds each point."""
    owner = np.full(n, 20)
    np.minimum.at(owner, faces.ravel(), np.repeat(base, 3))
    return owner


def _geometry(positions, faces, base, ring, icosahedron_mesh, rings: int, level: int) -> LocalGeometry:
    n = len(positions)
    spacing = float(np.linalg.norm(positions[ring[0, 0]] - positions[0]))
    source, target, vector, turn = _unfold(ring, faces, rings)
    corner = np.arange(n) < 12
    area = np.where(corner, 5 / 6, 1) * HEIGHT * spacing**2
    radius = np.full(n, (rings + 0.5) * spacing)
    return LocalGeometry(
        edge_index=np.stack([source, target]),
        log=spacing * vector,
        transport=_TURNS[turn],
        weight=area[source] / (np.pi * radius[target] ** 2),
        radius=radius,
        positions=positions,
        frame=_frames(positions, faces, base, ring, icosahedron_mesh),
        area=area,
        faces=faces,
        cone_angle=np.where(corner, 5 * np.pi / 3, 2 * np.pi),
        metadata={"manifold": "icosahedron", "level": level, "rings": rings},
        structure="C6",
    )


def _unfold(ring: np.ndarray, faces: np.ndarray, rings: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source, target (E,), log in units of the spacing (E, 2) and transport in units of 60 degrees (E,), sorted.

    In the six sectors of a point all straight lines to the vector (a, b) cross the same sequence of triangles of the lattice,
    so the lines from all points are unfolded together.
    """
    n = len(ring)
    following = _Following(faces, n)
    found = []
    for k in range(6):
        for a in range(1, rings + 1):
            for b in range(rings + 1 - a):
                p = np.flatnonzero(ring[:, k] >= 0)
                q, turn = p, np.zeros(len(p), np.int64)
                for step in range(gcd(a, b)):  # the line meets a point of the lattice after each
                    if step:
                        smooth = q >= 12
                        p, q, turn = p[smooth], q[smooth], turn[smooth]
                    q, more = _cross(ring, following, q, (k - turn) % 6, a // gcd(a, b), b // gcd(a, b))
                    turn = (turn + more) % 6
                length = np.full(len(p), a * a + a * b + b * b)
                vector = np.broadcast_to(a * _STEPS[k] + b * _STEPS[(k + 1) % 6], (len(p), 2))
                found.append((q, p, length, vector, turn))
    source, target, length, vector, turn = (np.concatenate(part) for part in zip(*found))
    order = np.lexsort((length, source, target))
    source, target, length, vector, turn = (part[order] for part in (source, target, length, vector, turn))
    same = (np.diff(source) == 0) & (np.diff(target) == 0)  # as the one before
    tie = same & (np.diff(length) == 0)
    later = np.append(False, same)
    keep = ~later & ~(np.append(tie, False)) & (source != target)
    return source[keep], target[keep], vector[keep], turn[keep]


def _cross(ring, following, p: np.ndarray, k: np.ndarray, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the lines from p to a e_k + b e_(k+1) (coprime a >= 1, b >= 0), and how their frames are turned."""
    count = np.where(ring[p, 5] < 0, 5, 6)
    right = ring[p, k]
    if b == 0:
        return right, (k + 3 - _place(ring, right, p)) % 6
    left = ring[p, (k + 1) % count]
    at_right, at_left, behind = np.array([1, 0]), np.array([0, 1]), np.array([0, 0])
    while True:  # through the edge from right to left, to the third corner of the next triangle
        q, at = following(left, right), at_right + at_left - behind
        if (at == (a, b)).all():
            return q, (k + _DIRECTION[tuple((at_left - at).tolist())] - _place(ring, q, left)) % 6
        if a * at[1] - b * at[0] > 0:
            left, at_left, behind = q, at, at_left
        else:
            right, at_right, behind = q, at, at_right


def _place(ring: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The number of the neighbour q in the ring of p."""
    return (ring[p] == q[:, None]).argmax(1)


def _frames(positions, faces, base, ring, icosahedron_mesh) -> np.ndarray:
    """(N, 3, 2) frames in the plane of the average normal."""
    corners, sides, _ = icosahedron_mesh
    n = len(positions)
    normals = np.cross(corners[sides[:, 1]] - corners[sides[:, 0]], corners[sides[:, 2]] - corners[sides[:, 0]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normal = np.zeros((n, 3))
    np.add.at(normal, faces.ravel(), normals[np.repeat(base, 3)])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    owner = _owner(faces, base, n)
    first = corners[sides[owner, 1]] - corners[sides[owner, 0]]
    first[:12] = positions[ring[:12, 0]] - positions[:12]
    turn, _ = smallest_rotation(normals[owner[12:]], normal[12:])
    first[12:] = (turn @ first[12:, :, None])[..., 0]
    first -= normal * np.einsum("ni,ni->n", normal, first)[:, None]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(normal, first)], -1)


def _pooling(ring: np.ndarray, coarse: LocalGeometry) -> Pooling:
    """Every coarse point with the points for which it lies in the directions 0, 1, 2 (a corner may get another number)."""
    n, few = len(ring), coarse.num_nodes
    cluster = np.arange(n)
    turn = np.zeros(n, np.int64)
    halfway = np.arange(few, n)
    k = (ring[halfway, :3] < few).argmax(1)
    cluster[halfway] = ring[halfway, k]
    # Frames of a point agree on all levels. From the frame of the point to that of its coarse neighbour:
    turn[halfway] = (_place(ring, cluster[halfway], halfway) + 3 - k) % 6
    return Pooling(cluster, _TURNS[turn], coarse)


def _count(name: str, value, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        raise ValueError(f"icosahedron expected {name} to be an integer from {least} to {most}, got {value!r}")
    return int(value)
