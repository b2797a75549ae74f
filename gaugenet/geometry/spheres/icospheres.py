"""The icosahedron, refined by edge midpoints pushed out to the sphere, with its nested levels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import ConvexHull

from ...deprecation import formerly_positional
from ..local_geometry import LocalGeometry
from .cells import outward
from .checks import checked_int
from .neighbourhoods import coarser_radius
from .pooling import pool_to
from .spherical import sphere

# Decides which end owns the midpoint of an edge of the icosahedron itself: no axis of the icosahedron, so that no edge ties.
_AXIS = np.array([0.123, 0.456, 0.789])


@formerly_positional("radius", "rings")
def icosphere(
    level: int,
    *,
    radius: float | np.ndarray | None = None,
    rings: int | None = None,
    count: int | None = None,
    sphere_radius: float = 1.0,
    frames: np.ndarray | None = None,
    structure: str = "SO2",
    levels: int = 0,
) -> LocalGeometry:
    """The icosahedron, refined `level` times by edge midpoints pushed out to the sphere: N = 10 4^level + 2 points.

    The points of level l are the first 10 4^l + 2 of every finer level.

    Args:
        level: 0 (the icosahedron), 1, 2, ...
        radius: neighbours are all points within this geodesic distance (unit of length); a number or (N,).
        rings: or all points within this many edges; see :func:`sphere`. Default: as :func:`sphere`.
        count: or the nearest so many; see :func:`sphere`.
        sphere_radius: radius a of the sphere.
        frames: (N, 3, 2), see :func:`sphere`; the coarser levels have those of their points.
        structure: "SO2", "O2" or "e", see :func:`sphere`.
        levels: number of coarser levels, with the icospheres level - 1, level - 2, ... Their `radius` is that of the same
            points, doubled at every level (at most pi a / 2, unless the first is larger); `rings` and `count` stay. A point of
            the coarse level is its own; the midpoint of an edge is as near to one end as to the other and belongs to one of
            them, so that every cluster is centred on its coarse point and the 60 rotations of the icosahedron move clusters to
            clusters (but for those of the icosahedron itself, level 0; docs/spheres.md).

    Returns:
        LocalGeometry with `faces` (20 4^level, 3), counter-clockwise from outside.
    """
    level = checked_int("icosphere level", level, 0, 9)
    levels = checked_int("levels", levels, 0, level)
    steps = [_icosahedron()]
    for _ in range(level):
        steps.append(_refine(steps[-1]))
    geometry = None
    for depth in range(levels, -1, -1):  # coarsest first
        step = steps[level - depth]
        n = len(step.vertices)
        reach = coarser_radius(radius, depth, sphere_radius)
        reach = reach[:n] if np.ndim(reach) else reach
        options = {"rings": rings, "count": count, "sphere_radius": sphere_radius, "structure": structure}
        frame = None if frames is None else np.asarray(frames)[:n]
        finer = sphere(step.vertices, radius=reach, faces=step.faces, frames=frame, **options)
        finer = finer.replace(metadata={**finer.metadata, "manifold": "icosphere", "level": level - depth})
        geometry = finer if geometry is None else pool_to(finer, geometry, step.parent)
    return geometry


def icosphere_mesh(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (10 4^level + 2, 3) on the unit sphere and faces (20 4^level, 3), counter-clockwise from outside."""
    step = _icosahedron()
    for _ in range(level):
        step = _refine(step)
    return step.vertices, step.faces


def quartered(faces: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Four faces from every face of a mesh with n vertices, whose edges get midpoints numbered from n on.

    Returns:
        sides (3 F, 2), from corner to corner, those of the first corners of all faces first; edges (E, 2), their ends in order,
        edge e having the midpoint n + e; the edge of every side (3 F,); and the faces (4 F, 3): three corners, then the middle.
    """
    a, b, c = faces.T
    sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges, edge_of_side = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)
    ab, bc, ca = edge_of_side.reshape(3, -1) + n
    children = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return sides, edges, edge_of_side, np.concatenate([np.stack(corners, 1) for corners in children])


class _Refinement(NamedTuple):
    """An icosphere, and how it came from the one before. Every edge has a direction, and its midpoint belongs to its tail.

    Attributes:
        vertices: (N, 3). faces: (F, 3).
        forward: (F, 3), whether side k of a face, from corner k to corner k + 1, runs along the direction of its edge.
        border: (F, 3), whether the side lies on an edge of the icosahedron.
        upright: (F,), whether a face is oriented as the face of the icosahedron that it lies in; the others are turned by 60
            degrees.
        parent: (N,) point of the coarser icosphere that each point belongs to; None for the icosahedron.
    """

    vertices: np.ndarray
    faces: np.ndarray
    forward: np.ndarray
    border: np.ndarray
    upright: np.ndarray
    parent: np.ndarray | None


def _icosahedron() -> _Refinement:
    golden = (1 + 5**0.5) / 2
    corners = np.array([(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)])
    vertices = np.concatenate([np.roll(corners, k, axis=1) for k in range(3)])
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    faces = outward(vertices, ConvexHull(vertices).simplices)
    faces = faces[np.lexsort(faces.T[::-1])]  # an order that does not depend on the version of Qhull
    # Counter-clockwise about the axis: a plane through a corner and the axis parts its five edges into 2 and 3.
    tail, head = vertices[faces], vertices[np.roll(faces, -1, axis=1)]
    forward = np.cross(tail, head) @ _AXIS > 0
    return _Refinement(vertices, faces, forward, np.ones((len(faces), 3), bool), np.ones(len(faces), bool), None)


def _refine(step: _Refinement) -> _Refinement:
    """Four faces from every face.

    Inside of a face of the icosahedron edges run as its sides do, counter-clockwise: those that leave a point are 120 degrees
    apart, or on the border opposite. On an edge of the icosahedron both halves leave its midpoint. So every cluster is centred
    on its point, and the rule has the 60 rotations of the icosahedron (but for its own 30 midpoints).
    """
    vertices, faces, forward, border, upright, _ = step
    n = len(vertices)
    sides, edges, edge_of_side, children = quartered(faces, n)
    middle = vertices[edges].sum(1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    edge_ab, edge_bc, edge_ca = border.T
    to_ab, to_bc, to_ca = (forward & ~border).T  # the half towards a midpoint, and the half away from it
    from_ab, from_bc, from_ca = (forward | border).T
    no = np.zeros(len(faces), bool)
    directions = [(to_ab, upright, from_ca), (to_bc, upright, from_ab), (to_ca, upright, from_bc), (~upright,) * 3]
    borders = [(edge_ab, no, edge_ca), (edge_bc, no, edge_ab), (edge_ca, no, edge_bc), (no,) * 3]
    parent = np.arange(n + len(edges))
    parent[n + edge_of_side.ravel()] = np.where(forward.T.ravel(), sides[:, 0], sides[:, 1])
    return _Refinement(
        np.concatenate([vertices, middle]),
        children,
        *(np.concatenate([np.stack(part, 1) for part in parts]) for parts in (directions, borders)),
        np.concatenate([upright, upright, upright, ~upright]),
        parent,
    )
