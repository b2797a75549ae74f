"""A generated corpus of meshes, sound and pathological: every row of the table of what must fail loudly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """vertices, faces, and what check_mesh is to say: an error of this kind, or warnings of these kinds."""

    vertices: np.ndarray
    faces: np.ndarray
    error: str | None = None
    warnings: frozenset[str] = frozenset()
    repaired: bool = True


def tetrahedron() -> tuple[np.ndarray, np.ndarray]:
    vertices = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return vertices, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


def octahedron() -> tuple[np.ndarray, np.ndarray]:
    vertices = np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    around = [(0, 1), (1, 2), (2, 3), (3, 0)]
    return vertices, np.array([[a, b, 4] for a, b in around] + [[b, a, 5] for a, b in around])


def sphere(level: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """An octahedron subdivided ``level`` times on the unit sphere."""
    vertices, faces = octahedron()
    for _ in range(level):
        edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        edges, middle = np.unique(edges, axis=0, return_inverse=True)
        ab, bc, ca = len(vertices) + middle.reshape(-1, 3).T
        vertices = np.concatenate([vertices, vertices[edges].mean(axis=1)])
        vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
        a, b, c = faces.T
        faces = np.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], 1).reshape(-1, 3)
    return vertices, faces


def plate(rows: int = 5, columns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A bent plate with a boundary."""
    y, x = np.meshgrid(np.arange(rows, dtype=float), np.arange(columns, dtype=float), indexing="ij")
    vertices = np.stack([x, y, 0.1 * np.sin(x + 0.7 * y)], -1).reshape(-1, 3)
    i = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    return vertices, np.concatenate([np.stack([i, i + 1, i + columns + 1], 1), np.stack([i, i + columns + 1, i + columns], 1)])


def torus(n: int = 12, m: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Genus 1, normals outward."""
    u, v = np.meshgrid(2 * np.pi * np.arange(n) / n, 2 * np.pi * np.arange(m) / m, indexing="ij")
    ring = 1.0 + 0.4 * np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), 0.4 * np.sin(v)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")

    def at(a, b):
        return (a % n * m + b % m).reshape(-1)

    a, b, c, d = at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def moebius(n: int = 12, across: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A Moebius strip of n quads around and ``across`` - 1 across."""
    u, w = np.meshgrid(2 * np.pi * np.arange(n) / n, np.linspace(-0.3, 0.3, across), indexing="ij")
    ring = 1 + w * np.cos(u / 2)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), w * np.sin(u / 2)], -1).reshape(-1, 3)
    faces = []
    for i in range(n):
        for k in range(across - 1):
            a, b = i * across + k, i * across + k + 1
            if i + 1 < n:
                c, d = (i + 1) * across + k, (i + 1) * across + k + 1
            else:
                c, d = across - 1 - k, across - 2 - k
            faces += [[a, c, d], [a, d, b]]
    return vertices, np.array(faces)


def klein_bottle(n: int = 12, m: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A torus grid glued with a flip: closed, not orientable. The positions are those of an immersion."""
    u, v = np.meshgrid(2 * np.pi * np.arange(n) / n, 2 * np.pi * np.arange(m) / m, indexing="ij")
    ring = 2 + np.cos(u / 2) * np.sin(v) - np.sin(u / 2) * np.sin(2 * v)
    height = np.sin(u / 2) * np.sin(v) + np.cos(u / 2) * np.sin(2 * v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), height], -1).reshape(-1, 3)

    def at(a, b):
        return a * m + b % m if a < n else -b % m

    faces = []
    for i in range(n):
        for j in range(m):
            a, b, c, d = at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)
            faces += [[a, b, c], [a, c, d]]
    return vertices, np.array(faces)


def fan_on_edge(count: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` triangles that share the edge 0-1."""
    angle = 2 * np.pi * np.arange(count) / count
    rim = np.stack([np.cos(angle), np.sin(angle), np.full(count, 0.5)], 1)
    vertices = np.concatenate([[[0.0, 0, 0], [0, 0, 1]], rim])
    return vertices, np.array([[0, 1, 2 + k] for k in range(count)])


def joined(*meshes: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Several meshes as one, with nothing shared."""
    start = np.cumsum([0] + [len(v) for v, _ in meshes])
    return np.concatenate([v for v, _ in meshes]), np.concatenate([f + s for (_, f), s in zip(meshes, start)])


def bow_tie() -> tuple[np.ndarray, np.ndarray]:
    """Two closed tetrahedra that share vertex 0."""
    v, f = tetrahedron()
    other = 2 * v[0] - v
    return np.concatenate([v, other[1:]]), np.concatenate([f, np.where(f == 0, 0, f + 3)[:, [0, 2, 1]]])


def soup(mesh: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Every triangle with three vertices of its own."""
    v, f = mesh
    return v[f].reshape(-1, 3), np.arange(f.size).reshape(-1, 3)


def slit_sphere() -> tuple[np.ndarray, np.ndarray]:
    """A sphere whose equator is cut in the indices but not in space: a seam."""
    v, f = sphere(2)
    upper = v[f].mean(axis=1)[:, 2] > 0
    return joined((v, f[upper]), (v, f[~upper]))


def with_t_vertex() -> tuple[np.ndarray, np.ndarray]:
    """A plate with one face of no area: a middle vertex on a straight edge, closed by a sliver."""
    v = np.array([[0.0, 0, 0], [2, 0, 0], [1, 0, 0], [1, 1, 0], [1, -1, 0]])
    return v, np.array([[0, 2, 3], [2, 1, 3], [0, 1, 2], [1, 0, 4]])


def cases() -> dict[str, Case]:
    """Every case by name."""
    ok = frozenset()
    v, f = sphere(2)
    flipped = f.copy()
    flipped[::3] = flipped[::3, ::-1]
    two = joined((v, f), (v * 0.5 + 5.0, f), plate())
    out: dict[str, Case] = {
        "tetrahedron": Case(*tetrahedron()),
        "octahedron": Case(*octahedron()),
        "sphere": Case(v, f),
        "torus": Case(*torus()),
        "plate": Case(*plate()),
        "single_triangle": Case(np.eye(3), np.array([[0, 1, 2]])),
        "components": Case(*two),
        "quads": Case(
            np.array([[x, y, z] for x in (0.0, 1) for y in (0.0, 1) for z in (0.0, 1)]),
            np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]),
        ),
        "tiny": Case(v * 1e-12, f),
        "huge": Case(v * 1e12, f),
        "far_away": Case(v + 1e6, f),
        "float32": Case(v.astype(np.float32), f.astype(np.int32)),
        "fortran": Case(np.asfortranarray(v), np.asfortranarray(f)),
        "no_faces": Case(v, np.zeros((0, 3), np.int64), "empty", repaired=False),
        "no_vertices": Case(np.zeros((0, 3)), f, "empty", repaired=False),
        "nan": Case(np.where(np.arange(len(v))[:, None] == 5, np.nan, v), f, "not_finite", repaired=False),
        "inf": Case(np.where(np.arange(len(v))[:, None] == 7, np.inf, v), f, "not_finite", repaired=False),
        "index_too_large": Case(v, np.where(f == 9, len(v), f), "index_out_of_range", repaired=False),
        "index_negative": Case(v, np.where(f == 9, -1, f), "index_out_of_range", repaired=False),
        "one_point": Case(np.ones((3, 3)), np.array([[0, 1, 2]]), "zero_size", repaired=False),
        "three_on_an_edge": Case(*fan_on_edge(3), "non_manifold_edge"),
        "four_on_an_edge": Case(*fan_on_edge(4), "non_manifold_edge"),
        "fin_on_sphere": Case(np.vstack([v, [[3.0, 3, 3]]]), np.vstack([f, [[f[0, 0], f[0, 1], len(v)]]]), "non_manifold_edge"),
        "bow_tie": Case(*bow_tie(), "non_manifold_vertex"),
        "two_triangles_at_a_vertex": Case(
            np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 1]]),
            np.array([[0, 1, 2], [0, 3, 4]]),
            "non_manifold_vertex",
        ),
        "duplicate_faces": Case(v, np.concatenate([f, f[3:5], f[7:8, [1, 2, 0]]]), warnings=frozenset({"duplicate_face"})),
        "duplicate_reversed": Case(v, np.concatenate([f, f[3:5, ::-1]]), warnings=frozenset({"duplicate_face"})),
        "repeated_index": Case(v, np.concatenate([[[4, 4, 1]], f, [[2, 3, 2]]]), warnings=frozenset({"repeated_index"})),
        "unreferenced": Case(np.insert(v, 10, 9.0, axis=0), f + (f >= 10), warnings=frozenset({"unreferenced_vertex"})),
        "zero_area": Case(*with_t_vertex(), warnings=frozenset({"zero_area"})),
        "soup": Case(*soup((v, f)), "triangle_soup"),
        "soup_of_two": Case(*soup(plate(2, 2)), "triangle_soup"),
        "seam": Case(*slit_sphere(), warnings=frozenset({"seam", "unreferenced_vertex"})),
        "inconsistent": Case(v, flipped, warnings=frozenset({"flipped"})),
        "inside_out": Case(v, f[:, ::-1], warnings=frozenset({"inside_out"})),
        "moebius": Case(*moebius(), "non_orientable", repaired=False),
        "klein_bottle": Case(*klein_bottle(), "non_orientable", repaired=False),
    }
    assert all(case.warnings == ok or case.error is None for case in out.values())
    return out
