"""Small meshes that many tests share."""

from __future__ import annotations

import numpy as np

from gaugenet import geometry


def plate(size: int = 9, jitter: float = 0.25, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A flat square with a boundary, vertices moved about inside the plane."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], 1).astype(float)
    inner = ((points > 0) & (points < size - 1)).all(1)
    points[inner] += rng.uniform(-jitter, jitter, (inner.sum(), 2))
    a = np.arange(size * size).reshape(size, size)
    p, q, r, s = (v.ravel() for v in (a[:-1, :-1], a[1:, :-1], a[1:, 1:], a[:-1, 1:]))
    faces = np.concatenate([np.stack([p, q, r], 1), np.stack([p, r, s], 1)])
    return np.concatenate([points, np.zeros((len(points), 1))], 1), faces


def cylinder(around: int = 24, along: int = 9, height: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """The prism inscribed in a unit cylinder: developable, with two boundaries."""
    t, z = np.meshgrid(np.arange(around), np.linspace(0, height, along), indexing="ij")
    angle = 2 * np.pi * t / around
    vertices = np.stack([np.cos(angle), np.sin(angle), z], -1).reshape(-1, 3)
    a = np.arange(around * along).reshape(around, along)
    b = np.roll(a, -1, 0)
    p, q, r, s = (v.ravel() for v in (a[:, :-1], b[:, :-1], b[:, 1:], a[:, 1:]))
    return vertices, np.concatenate([np.stack([p, q, r], 1), np.stack([p, r, s], 1)])


def torus(n: int = 48, m: int = 24, big: float = 1.0, small: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """A torus of revolution: saddle vertices inside."""
    u, v = np.meshgrid(2 * np.pi * np.arange(n) / n, 2 * np.pi * np.arange(m) / m, indexing="ij")
    ring = big + small * np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), small * np.sin(v)], -1).reshape(-1, 3)
    a = np.arange(n * m).reshape(n, m)
    b, c = np.roll(a, -1, 0), np.roll(a, -1, 1)
    d = np.roll(b, -1, 1)
    return vertices, np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, d), (a, d, c))])


def bumpy(level: int = 3, seed: int = 0, height: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """An icosphere with random bumps: no symmetry, convex and saddle vertices."""
    rng = np.random.default_rng(seed)
    ball = geometry.icosphere(level, rings=1)
    waves = rng.normal(size=(5, 3)) * 2.5
    radius = 1 + height * np.sin(ball.positions @ waves.T + rng.uniform(0, 6, 5)).sum(1) / 2
    return ball.positions * radius[:, None], ball.faces


def cube(n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The surface of a cube, n squares a side: flat edges, eight cone points, ties everywhere."""
    index: dict[tuple[int, int, int], int] = {}
    vertices, faces = [], []

    def vertex(p):
        if p not in index:
            index[p] = len(vertices)
            vertices.append(p)
        return index[p]

    for axis in range(3):
        for side in (0, n):
            for i in range(n):
                for j in range(n):
                    corners = []
                    for di, dj in ((0, 0), (1, 0), (1, 1), (0, 1)):
                        p = [0, 0, 0]
                        p[axis], p[(axis + 1) % 3], p[(axis + 2) % 3] = side, i + di, j + dj
                        corners.append(vertex(tuple(p)))
                    a, b, c, d = corners if side else corners[::-1]
                    faces += [(a, b, c), (a, c, d)]
    return np.array(vertices, float) / n, np.array(faces)


def random_rotation(seed: int = 0) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def planar_rotations(angle: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def open_cylinder(n: int, m: int, radius: float):
    """An open cylinder of height 2 along z, normals outward."""
    i, j = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")
    angle = 2 * np.pi * i.ravel() / n
    vertices = np.stack([radius * np.cos(angle), radius * np.sin(angle), 2 * j.ravel() / (m - 1)], -1)
    i, j = i[:, :-1].ravel(), j[:, :-1].ravel()
    a, b, c, d = i * m + j, (i + 1) % n * m + j, (i + 1) % n * m + j + 1, i * m + j + 1
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
