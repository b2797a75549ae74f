"""Curved tetrahedra (P2) of a vessel: a disc of triangles swept along the branches, prisms divided into tetrahedra.

Two halves of the disc are mirror images, so that three branches fit together in three half discs (as in hexahedral meshes of
bifurcations). Vertices are numbered at random, and every prism is divided by the numbers of its vertices: the tetrahedra of
neighbours agree, and the diagonals lean to either side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree
from skfem import MeshTet1, MeshTet2

from .shapes import Array, Branch, Vessel

Index = NDArray[np.int64]
_EDGES = np.array([(0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3)])


@dataclass(frozen=True)
class VesselMesh:
    """Tetrahedra of degree 2, the triangles of their boundary, by number of the facet, and the vessel itself."""

    vessel: Vessel
    volume: MeshTet2
    wall: Index
    inlet: Index
    outlets: tuple[Index, ...]


def disc(segments: int) -> tuple[Array, Index]:
    """Points (P, 2) on rings of the unit disc, closer at the wall, and triangles (T, 3); a mirror image of itself at v = 0."""
    if segments < 8 or segments % 4:
        raise ValueError(f"expected a multiple of 4, at least 8, as segments around the wall, got {segments}")
    layers = max(2, round(segments / 4.5))
    upper = [np.zeros((1, 2))]
    for k in range(layers):
        radius = 1 - (k / layers) ** 1.2
        half = max(2, round(segments * min(1, 1.25 * radius) / 2))
        angle = np.linspace(0, np.pi, half + 1)
        ring = radius * np.stack([np.cos(angle), np.sin(angle)], 1)
        ring[[0, -1], 1] = 0
        upper.append(ring)
    top = np.concatenate(upper)
    triangles = Delaunay(top).simplices
    a, b, c = (top[triangles[:, k]] for k in range(3))
    size = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    triangles = triangles[size > 1e-9]
    below = np.flatnonzero(top[:, 1] > 0)
    mirrored = np.arange(len(top))
    mirrored[below] = len(top) + np.arange(len(below))
    return np.concatenate([top, top[below] * [1, -1]]), np.concatenate([triangles, mirrored[triangles]])


def stations(branch: Branch, spacing: float) -> Array:
    """Places along a branch, ``spacing`` mean radii apart."""
    s = np.linspace(0, branch.length, 2000)
    density = 1 / (spacing * branch.radius(s))
    passed = np.concatenate([[0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(s))])
    return np.interp(np.linspace(0, passed[-1], max(2, round(passed[-1])) + 1), passed, s)


def vessel_mesh(vessel: Vessel, segments: int = 20, spacing: float = 0.4, seed: int = 0) -> VesselMesh:
    """The tetrahedra of a vessel.

    Args:
        segments: edges around the wall, a multiple of 4. spacing: of the sections, in radii.
        seed: of the numbers of the vertices.

    Raises:
        ValueError: a tetrahedron would be turned inside out (a vessel that bends or narrows too sharply).
    """
    flat, triangles = disc(segments)
    size, points, places, prisms, owner = len(flat), [], [], [], []
    for number, branch in enumerate(vessel.branches):
        s = stations(branch, spacing)
        offset = sum(len(p) for p in points)
        u, v = np.tile(flat, (len(s), 1)).T
        along = np.repeat(s, size)
        points.append(vessel.points(number, along, u, v))
        places.append(np.stack([along, u, v], 1))
        layer = offset + (np.arange(len(s) - 1) * size)[:, None, None]
        prisms.append(np.concatenate([triangles + layer, triangles + layer + size], 2).reshape(-1, 6))
        owner.append(np.full(len(prisms[-1]), number))
    where, place, prism = np.concatenate(points), np.concatenate(places), np.concatenate(prisms)

    # Vertices of the half discs are those of two branches, those of the line where they meet of three.
    twins = cKDTree(where).query_pairs(1e-9, output_type="ndarray")
    same = np.arange(len(where))
    for _ in range(3):
        np.minimum.at(same, twins.max(1), same[twins.min(1)])
    kept, same = np.unique(same, return_inverse=True)
    number = np.random.default_rng(seed).permutation(len(kept))[same]
    tets = _divide(prism, number)
    branch_of = np.repeat(np.concatenate(owner), 3)

    # Midpoints of edges on the curved vessel; between two vertices of the wall, on the wall.
    ends = tets[:, _EDGES]
    middle = place[ends].mean(2)
    radius = np.hypot(middle[..., 1], middle[..., 2])
    on_wall = (np.hypot(place[ends][..., 1], place[ends][..., 2]) > 1 - 1e-9).all(2)
    middle[..., 1:] /= np.where(on_wall, radius, 1)[..., None]
    curved = np.empty((*middle.shape[:2], 3))
    for i in range(len(vessel.branches)):
        own = branch_of == i
        curved[own] = vessel.points(i, *middle[own].reshape(-1, 3).T).reshape(-1, 6, 3)

    position = np.empty((len(kept), 3))
    position[number] = where
    straight = MeshTet1(np.ascontiguousarray(position.T), np.ascontiguousarray(number[tets].T))
    volume = MeshTet2.from_mesh(straight)
    pairs = np.sort(number[ends].reshape(-1, 2), 1)
    codes = straight.edges[0].astype(np.int64) * len(kept) + straight.edges[1]
    order = np.argsort(codes)
    edge = order[np.searchsorted(codes[order], pairs[:, 0] * len(kept) + pairs[:, 1])]
    nodes = volume.doflocs.copy()
    nodes[:, len(kept) + edge] = curved.reshape(-1, 3).T
    volume = MeshTet2(nodes, volume.t)
    # The sign of a tetrahedron that is not turned inside out is that in (u, v, s).
    corner = place[tets][..., [1, 2, 0]]
    sign = np.sign(np.linalg.det(corner[:, 1:] - corner[:, :1]))
    if (volume.mapping().detDF(_corners()) * sign[:, None]).min() <= 0:
        raise ValueError("vessel_mesh expected a vessel that bends and narrows slowly; a tetrahedron turned inside out")

    ends_of = np.full(len(kept), -1)
    offset = 0
    for i, branch in enumerate(vessel.branches):
        own = slice(offset, offset + len(places[i]))
        s = place[own, 0]
        ends_of[number[own][s >= branch.length * (1 - 1e-12)]] = i if vessel.forked else 1
        if not vessel.forked:
            ends_of[number[own][s == 0]] = 0
        offset += len(places[i])
    facets = straight.boundary_facets()
    of = straight.facets[:, facets]
    end = np.where((ends_of[of] == ends_of[of][0]).all(0), ends_of[of][0], -1)
    sides = tuple(facets[end == k] for k in range(end.max() + 1))
    return VesselMesh(vessel, volume, facets[end < 0], sides[0], sides[1:])


def _divide(prism: Index, number: Index) -> Index:
    """Three tetrahedra of every prism (a, b, c below a', b', c'), by the smallest numbers (Dompierre et al. 1999)."""
    own = number[prism]
    first = own.argmin(1)
    # The prism turned so that its smallest vertex comes first.
    turns = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3], [2, 0, 1, 5, 3, 4]])
    turns = np.concatenate([turns, np.array([[3, 5, 4, 0, 2, 1], [4, 3, 5, 1, 0, 2], [5, 4, 3, 2, 1, 0]])])
    rows = np.arange(len(prism))[:, None]
    p, n = prism[rows, turns[first]], own[rows, turns[first]]
    falling = np.minimum(n[:, 1], n[:, 5]) < np.minimum(n[:, 2], n[:, 4])
    one = p[:, [[0, 1, 2, 5], [0, 1, 5, 4], [0, 4, 5, 3]]]
    two = p[:, [[0, 1, 2, 4], [0, 4, 2, 5], [0, 4, 5, 3]]]
    return np.where(falling[:, None, None], one, two).reshape(-1, 4)


def _corners() -> Array:
    """The corners and the midpoints of edges of the reference tetrahedron, where a curved one folds first."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    return np.concatenate([corners, corners[_EDGES].mean(1)]).T
