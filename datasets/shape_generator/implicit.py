"""Implicit surfaces of smoothly joined primitives, and marching tetrahedra, which always give a closed manifold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np


@dataclass(frozen=True)
class RoundCone:
    """All points within r(t) of the segment a + t (b - a), the radius going linearly from radius_a to radius_b."""

    a: np.ndarray
    b: np.ndarray
    radius_a: float
    radius_b: float

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low = np.minimum(self.a - self.radius_a, self.b - self.radius_b)
        high = np.maximum(self.a + self.radius_a, self.b + self.radius_b)
        return low, high

    def distance(self, x: np.ndarray) -> np.ndarray:
        axis = self.b - self.a
        t = np.clip((x - self.a) @ axis / max(axis @ axis, 1e-12), 0, 1)
        return np.linalg.norm(x - self.a - t[..., None] * axis, axis=-1) - self.radius_a - t * (self.radius_b - self.radius_a)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with semi-axes `axes` along the columns of `frame` (distance to first order)."""

    center: np.ndarray
    axes: np.ndarray
    frame: np.ndarray

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        half = np.sqrt(((self.frame * self.axes) ** 2).sum(1))
        return self.center - half, self.center + half

    def distance(self, x: np.ndarray) -> np.ndarray:
        local = (x - self.center) @ self.frame
        k0 = np.linalg.norm(local / self.axes, axis=-1)
        k1 = np.linalg.norm(local / self.axes**2, axis=-1)
        return np.where(k1 > 1e-9, k0 * (k0 - 1) / np.maximum(k1, 1e-9), -self.axes.min())


@dataclass(frozen=True)
class RevolvedShell:
    """A wall of the given half thickness around a polyline of (rho, z) points turned about the z axis."""

    profile: np.ndarray
    thickness: float

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        reach = self.profile[:, 0].max() + self.thickness
        low = np.array([-reach, -reach, self.profile[:, 1].min() - self.thickness])
        return low, np.array([reach, reach, self.profile[:, 1].max() + self.thickness])

    def distance(self, x: np.ndarray) -> np.ndarray:
        point = np.stack([np.hypot(x[..., 0], x[..., 1]), x[..., 2]], -1)
        best = np.full(point.shape[:-1], np.inf)
        for a, b in zip(self.profile[:-1], self.profile[1:]):
            t = np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            best = np.minimum(best, np.linalg.norm(point - a - t[..., None] * (b - a), axis=-1))
        return best - self.thickness


def polygonise(parts: list, blend: float, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """The surface sum_i exp(-d_i(x) / blend) = 1, the smooth union of the parts, as triangles (V, 3), (F, 3).

    Args:
        parts: primitives with bounds() and distance(x).
        blend: width of the smooth joints.
        spacing: grid step.
    """
    margin = 7 * blend  # exp(-7) is below a thousandth: what a part adds beyond is dropped
    low = np.min([p.bounds()[0] for p in parts], axis=0) - margin - 2 * spacing
    high = np.max([p.bounds()[1] for p in parts], axis=0) + margin + 2 * spacing
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    total = np.zeros(shape)
    for part in parts:
        a, b = part.bounds()
        start = np.floor((a - margin - low) / spacing).astype(int)
        stop = np.ceil((b + margin - low) / spacing).astype(int) + 1
        axes = [low[i] + spacing * np.arange(start[i], stop[i]) for i in range(3)]
        x = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        box = tuple(slice(start[i], stop[i]) for i in range(3))
        total[box] += np.exp(np.clip(-part.distance(x) / blend, -50, 50))
    field = -blend * np.log(total + 1e-12)
    vertices, faces = marching_tetrahedra(field)
    return low + spacing * vertices, faces


def marching_tetrahedra(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The zero level of a field on a grid, six Kuhn tetrahedra to a cube; the normal points to positive values."""
    field = np.where(np.abs(field) < 1e-9, 1e-9, field)
    corner = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)])
    inside = field < 0
    count = sum(inside[tuple(slice(c, c + n - 1) for c, n in zip(k, field.shape))].astype(int) for k in corner)
    cubes = np.argwhere((count > 0) & (count < 8))
    strides = np.array([field.shape[1] * field.shape[2], field.shape[2], 1])
    values = field.ravel()
    triangles = []
    for path in permutations(np.eye(3, dtype=int)):
        tetra = np.cumsum([np.zeros(3, int), *path], axis=0)
        node = (cubes[:, None] + tetra) @ strides
        case = (values[node] < 0) @ np.array([1, 2, 4, 8])
        sign = np.linalg.det(tetra[1:] - tetra[0])
        for code in range(1, 15):
            chosen = node[case == code]
            for triangle in _triangles_of_case(code):
                ordered = triangle if sign > 0 else triangle[::-1]
                triangles.append(np.stack([np.sort(chosen[:, edge], axis=1) for edge in ordered], 1))
    edges = np.concatenate(triangles).reshape(-1, 2)
    unique, faces = np.unique(edges, axis=0, return_inverse=True)
    a, b = values[unique[:, 0]], values[unique[:, 1]]
    t = np.clip(a / (a - b), 0.1, 0.9)[:, None]  # away from the grid points: no needles
    start, stop = (np.stack(np.unravel_index(unique[:, i], field.shape), 1) for i in (0, 1))
    return start + t * (stop - start), faces.reshape(-1, 3)


def _triangles_of_case(code: int) -> list[list[list[int]]]:
    """Triangles (three tetrahedron edges each) for inside corners `code`, outward in a positive tetrahedron."""
    rest = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    inner = [i for i in range(4) if code >> i & 1]
    outer = [i for i in range(4) if not code >> i & 1]
    if len(inner) == 2:
        (i, j), (k, l) = inner, outer
        quad = [[i, k], [i, l], [j, l], [j, k]]
        out = [quad[:3], [quad[0], quad[2], quad[3]]]
    else:
        apex, others = (inner[0], outer) if len(inner) == 1 else (outer[0], inner)
        out = [[[apex, k] for k in others]]
    outward = rest[outer].mean(0) - rest[inner].mean(0)
    oriented = []
    for triangle in out:
        p = [rest[edge].mean(0) for edge in triangle]
        flip = np.cross(p[1] - p[0], p[2] - p[0]) @ outward < 0
        oriented.append(triangle[::-1] if flip else triangle)
    return oriented
