"""Meshes made at random: remeshings, slivers, high degrees, damage. Everything follows from a seed."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from gaugenet import geometry
from tests.helpers import corpus, meshes

Mesh = tuple[np.ndarray, np.ndarray]


def sound(faces: list[tuple[int, int, int]] | np.ndarray) -> bool:
    """Is every edge in one or two faces, every vertex's faces one fan, and no face there twice? By brute force."""
    around: dict[int, list[tuple[int, int]]] = defaultdict(list)
    used, known = defaultdict(int), set()
    for face in faces:
        a, b, c = (int(i) for i in face)
        if len({a, b, c}) < 3 or frozenset((a, b, c)) in known:
            return False
        known.add(frozenset((a, b, c)))
        for i, j, k in ((a, b, c), (b, c, a), (c, a, b)):
            used[min(i, j), max(i, j)] += 1
            around[i].append((j, k))
    if max(used.values()) > 2:
        return False
    for links in around.values():
        near = defaultdict(list)
        for j, k in links:
            near[j].append(k)
            near[k].append(j)
        seen, todo = set(), [links[0][0]]
        while todo:
            v = todo.pop()
            if v not in seen:
                seen.add(v)
                todo += near[v]
        if len(seen) < len(near):
            return False
    return True


def base(kind: str, size: int, rng: np.random.Generator, noise: float = 0.05) -> Mesh:
    """A small sound mesh with vertices moved a little, so that no two geodesics are equally short by symmetry."""
    if kind == "icosphere":
        ball = geometry.icosphere(1 + size % 2, rings=1)
        vertices, faces = ball.positions.copy(), ball.faces
    elif kind == "torus":
        vertices, faces = corpus.torus(4 + size % 5, 3 + size % 4)
    elif kind == "cylinder":
        vertices, faces = meshes.cylinder(3 + size % 6, 2 + size % 4)
    elif kind == "plate":
        vertices, faces = corpus.plate(3 + size % 3, 3 + size % 4)
    elif kind == "moebius":
        vertices, faces = corpus.moebius(5 + size % 6, 2 + size % 3)
    elif kind == "klein_bottle":
        vertices, faces = corpus.klein_bottle(7 + size % 4, 5 + size % 3)
    else:
        raise ValueError(kind)
    edge = np.linalg.norm(vertices[faces[:, 0]] - vertices[faces[:, 1]], axis=1).mean()
    return vertices + rng.uniform(-noise, noise, vertices.shape) * edge, np.array(faces)


def remeshed(mesh: Mesh, rng: np.random.Generator, steps: int) -> Mesh:
    """Edge flips, splits and collapses at random; a step that would break the manifold is left out."""
    vertices, faces = [tuple(v) for v in mesh[0]], [tuple(int(i) for i in f) for f in mesh[1]]
    for _ in range(steps):
        kind = rng.choice(["flip", "split", "face", "collapse"])
        at, turn = int(rng.integers(len(faces))), int(rng.integers(3))
        a, b, c = np.roll(faces[at], turn).tolist()
        others = [k for k, f in enumerate(faces) if k != at and a in f and b in f]
        new, point = None, None
        if kind == "face":
            point = rng.dirichlet(np.ones(3)) @ np.array([vertices[i] for i in (a, b, c)])
            n = len(vertices)
            new = [f for k, f in enumerate(faces) if k != at] + [(a, b, n), (b, c, n), (c, a, n)]
        elif kind == "split":
            t, n = rng.uniform(0.05, 0.95), len(vertices)
            point = t * np.array(vertices[a]) + (1 - t) * np.array(vertices[b])
            new = [g for f in faces for g in ([f] if not {a, b} <= set(f) else _halves(f, a, b, n))]
        elif kind == "flip" and len(others) == 1:
            (d,) = set(faces[others[0]]) - {a, b}
            # Whichever way the neighbour is wound, the two new faces are wound like the first.
            new = [f for k, f in enumerate(faces) if k not in (at, others[0])] + [(a, d, c), (d, b, c)]
            if any({c, d} <= set(f) for f in faces):
                new = None
        elif kind == "collapse" and len(faces) > 8:
            new = [tuple(a if i == b else i for i in f) for f in faces]
            new = [f for f in new if len(set(f)) == 3]
            # Sound alone would allow a boundary to be pinched shut: the number of boundary edges and chi must stay.
            if len(faces) - len(new) not in (1, 2) or _euler(new) != _euler(faces):
                new = None
        if new is not None and sound(new):
            faces = new
            if point is not None:
                vertices.append(tuple(point))
    return compact(np.array(vertices), np.array(faces))


def subdivided(mesh: Mesh, rng: np.random.Generator, steps: int, least: float = 0.05) -> Mesh:
    """New vertices on the edges and faces, as near as ``least`` to the old ones: the same surface in other triangles."""
    vertices, faces = [tuple(v) for v in mesh[0]], [tuple(int(i) for i in f) for f in mesh[1]]
    for _ in range(steps):
        at, turn, n = int(rng.integers(len(faces))), int(rng.integers(3)), len(vertices)
        a, b, c = np.roll(faces[at], turn).tolist()
        small = least ** rng.uniform(0, 1) / 3
        if rng.integers(2):
            second = rng.uniform(0.2, 0.8) * (1 - small)
            vertices.append(tuple(np.array([small, second, 1 - small - second]) @ np.array([vertices[i] for i in (a, b, c)])))
            faces[at : at + 1] = [(a, b, n), (b, c, n), (c, a, n)]
        else:
            vertices.append(tuple(small * np.array(vertices[a]) + (1 - small) * np.array(vertices[b])))
            faces = [g for f in faces for g in ([f] if not {a, b} <= set(f) else _halves(f, a, b, n))]
    return np.array(vertices), np.array(faces)


def slivers(mesh: Mesh, rng: np.random.Generator, count: int, height: float) -> Mesh:
    """Faces split at points whose distance from an edge is ``height`` of its length: caps and needles."""
    vertices, faces = [np.array(v) for v in mesh[0]], [tuple(int(i) for i in f) for f in mesh[1]]
    for at in rng.choice(len(faces), min(count, len(faces)), replace=False):
        a, b, c = np.roll(faces[at], int(rng.integers(3))).tolist()
        pa, pb, pc = vertices[a], vertices[b], vertices[c]
        double_area = np.linalg.norm(np.cross(pb - pa, pc - pa))
        share = height * ((pb - pa) @ (pb - pa)) / double_area
        t = rng.choice([0.5, rng.uniform(0.1, 0.9), height])
        share = min(share, 0.5)
        vertices.append((1 - share) * ((1 - t) * pa + t * pb) + share * pc)
        n = len(vertices) - 1
        faces[at] = (a, b, n)
        faces += [(b, c, n), (c, a, n)]
    return np.array(vertices), np.array(faces)


def wheel(degree: int, rng: np.random.Generator, closed: bool, ruffle: float) -> Mesh:
    """A vertex of the given degree: a cone (ruffle 0) or a saddle, open or closed to a double cone."""
    angle = 2 * np.pi * (np.arange(degree) + rng.uniform(-0.3, 0.3, degree)) / degree
    rim = np.stack([np.cos(angle), np.sin(angle), ruffle * np.sin(3 * angle)], 1)
    vertices = np.concatenate([[[0.0, 0, 0.4]], rim, [[0.0, 0.0, -1.5]]])
    i, j = 1 + np.arange(degree), 1 + (np.arange(degree) + 1) % degree
    faces = np.stack([0 * i, i, j], 1)
    if closed:
        return vertices, np.concatenate([faces, np.stack([j, i, 0 * i + degree + 1], 1)])
    return vertices[:-1], faces


def flat_plate(rng: np.random.Generator, steps: int, least: float) -> Mesh:
    """A convex plate in the plane, cut into triangles at random, slivers down to ``least``: its geodesics are straight."""
    vertices, faces = meshes.plate(4, 0.2, int(rng.integers(2**31)))
    return subdivided((vertices, faces), rng, steps, least)


def several(parts: list[Mesh]) -> Mesh:
    """Components side by side."""
    return corpus.joined(*(((v + np.array([7.0 * k, 0, 0])), f) for k, (v, f) in enumerate(parts)))


def moved(mesh: Mesh, rng: np.random.Generator, scale: float, offset: float) -> Mesh:
    """Turned, scaled, and shifted by ``offset`` times the scale."""
    turn = meshes.random_rotation(int(rng.integers(2**31)))
    return (mesh[0] @ turn.T + offset * rng.uniform(-1, 1, 3)) * scale, mesh[1]


DAMAGES = ("duplicate", "reversed", "repeated_index", "unreferenced", "fin", "pinch", "flip", "point", "nan", "range", "line")


def damaged(mesh: Mesh, kind: str, rng: np.random.Generator) -> Mesh:
    """A mesh with one thing wrong in a random place."""
    vertices, faces = mesh[0].copy(), mesh[1].copy()
    n, at = len(vertices), int(rng.integers(len(faces)))
    a, b, _ = faces[at]
    up = rng.uniform(-1, 1, 3) * np.ptp(vertices, axis=0).max()
    if kind == "duplicate":
        faces = np.concatenate([faces, faces[at : at + 1, [1, 2, 0]]])
    elif kind == "reversed":
        faces = np.concatenate([faces[at : at + 1, ::-1], faces])
    elif kind == "repeated_index":
        faces = np.insert(faces, at, [a, b, a], axis=0)
    elif kind == "unreferenced":
        where = int(rng.integers(n + 1))
        vertices, faces = np.insert(vertices, where, vertices.mean(axis=0), axis=0), faces + (faces >= where)
    elif kind == "fin":
        vertices, faces = np.vstack([vertices, vertices[a] + up]), np.vstack([faces, [[a, b, n]]])
    elif kind == "pinch":
        vertices = np.vstack([vertices, vertices[a] + up, vertices[a] - 2.0 * up[::-1]])
        faces = np.vstack([faces, [[a, n, n + 1]]])
    elif kind == "flip":
        some = rng.random(len(faces)) < 0.3
        faces[some] = faces[some][:, ::-1]
    elif kind == "point":  # two vertices of a face at one place
        vertices[a] = vertices[b]
    elif kind == "line":  # the middle of an edge as third corner: a face without area
        vertices = np.vstack([vertices, (vertices[a] + vertices[b]) / 2])
        edge = [k for k, f in enumerate(faces) if a in f and b in f]
        rest = [f for k, f in enumerate(faces.tolist()) if k not in edge]
        halves = [g for k in edge[:1] for g in _halves(tuple(faces[k].tolist()), int(a), int(b), n)]
        faces = np.array(rest + halves + faces[edge[1:]].tolist() + [[int(b), int(a), n]])
    elif kind == "nan":
        vertices[a, int(rng.integers(3))] = rng.choice([np.nan, np.inf, -np.inf])
    elif kind == "range":
        faces[at, int(rng.integers(3))] = rng.choice([-1, n, 2**31, -(2**40)])
    return vertices, faces


def compact(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    """Without the vertices that no face uses."""
    used, inverse = np.unique(faces, return_inverse=True)
    return vertices[used], inverse.reshape(-1, 3)


def _halves(face: tuple[int, int, int], a: int, b: int, middle: int) -> list[tuple[int, int, int]]:
    """A face cut at the middle of its edge a b."""
    return [tuple(middle if i == b else i for i in face), tuple(middle if i == a else i for i in face)]


def _euler(faces: list) -> tuple[int, int]:
    """Euler characteristic, and the number of components of the boundary's vertices (0 or more)."""
    edges = defaultdict(int)
    for f in faces:
        for i, j in ((f[0], f[1]), (f[1], f[2]), (f[2], f[0])):
            edges[min(i, j), max(i, j)] += 1
    rim = {i for e, n in edges.items() if n == 1 for i in e}
    return len({i for f in faces for i in f}) - len(edges) + len(faces), bool(rim)
