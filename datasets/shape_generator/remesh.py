"""Random coarse remeshing, so that connectivity tells nothing of class or pose, and the checks of the result."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def remesh(vertices, faces, num_vertices: int, genus: int, rng) -> tuple[np.ndarray, np.ndarray] | None:
    """About `num_vertices` vertices in random order, or None when the result is not a closed manifold of that genus.

    Quadric decimation of a noisy copy of the dense mesh, then tangential relaxation with edge flips.
    """
    import fast_simplification

    smooth = laplacian_smooth(vertices, faces, 3)
    noise = 0.15 * np.linalg.norm(vertices[faces[:, 0]] - vertices[faces[:, 1]], axis=1).mean()
    noisy = smooth + noise * rng.normal(size=smooth.shape)
    target = 2 * num_vertices - 4 + 4 * genus
    points, triangles, aggression = noisy.astype(np.float32), faces.astype(np.int32), float(rng.uniform(4, 8))
    for _ in range(3):  # one call may stop early
        if len(triangles) > 1.03 * target:
            points, triangles = fast_simplification.simplify(points, triangles, target_count=target, agg=aggression)
    points, triangles = points.astype(float), triangles.astype(np.int64)
    if len(triangles) > 1.03 * target:
        return None
    if not is_closed_manifold(triangles, len(points)) or genus_of(triangles, len(points)) != genus:
        return None
    for _ in range(4):
        triangles = flip_edges(points, triangles)
        points = relax(points, triangles, 0.4)
    triangles = flip_edges(points, triangles)
    if not is_closed_manifold(triangles, len(points)) or worst_angle(points, triangles) < np.radians(4):
        return None
    order = rng.permutation(len(points))
    inverse = np.argsort(order)
    triangles = inverse[triangles]
    triangles = np.stack([np.roll(t, -int(np.argmin(t))) for t in triangles])
    return points[order], triangles[np.lexsort(triangles.T[::-1])]


def neighbour_mean(x: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Mean of x over the one-ring of every vertex."""
    i, j = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
    matrix = coo_matrix((np.ones(len(i)), (i, j)), shape=(len(x), len(x))).tocsr()
    return (matrix @ x) / np.asarray(matrix.sum(1))


def laplacian_smooth(vertices: np.ndarray, faces: np.ndarray, steps: int) -> np.ndarray:
    """Taubin's smoothing (0.5, -0.53), which does not shrink."""
    for _ in range(steps):
        for factor in (0.5, -0.53):
            vertices = vertices + factor * (neighbour_mean(vertices, faces) - vertices)
    return vertices


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    p = vertices[faces]
    normal = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    out = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(out, faces[:, k], normal)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-30)


def relax(vertices: np.ndarray, faces: np.ndarray, step: float) -> np.ndarray:
    """Move every vertex towards the mean of its ring, within its tangent plane."""
    move = neighbour_mean(vertices, faces) - vertices
    normal = vertex_normals(vertices, faces)
    return vertices + step * (move - (move * normal).sum(1, keepdims=True) * normal)


def flip_edges(vertices: np.ndarray, faces: np.ndarray, max_bend: float = 0.6) -> np.ndarray:
    """Flip nearly flat edges whose opposite angles sum to more than pi (towards Delaunay), never doubling an edge."""
    faces = faces.copy()
    for _ in range(10):
        halfedge = {(int(f[k]), int(f[(k + 1) % 3])): (t, k) for t, f in enumerate(faces) for k in range(3)}
        touched, flipped = set(), 0
        for (i, j), (t, k) in list(halfedge.items()):
            if i > j or (j, i) not in halfedge:
                continue
            s, m = halfedge[j, i]
            if t in touched or s in touched:
                continue
            a, b = int(faces[t][(k + 2) % 3]), int(faces[s][(m + 2) % 3])
            if (a, b) in halfedge or (b, a) in halfedge or a == b:
                continue
            pi, pj, pa, pb = vertices[[i, j, a, b]]
            old = np.cross(pj - pi, pa - pi), np.cross(pi - pj, pb - pj)
            new = np.cross(pb - pa, pj - pa), np.cross(pa - pb, pi - pb)
            if _angle(pi - pa, pj - pa) + _angle(pi - pb, pj - pb) <= np.pi + 1e-6 or _angle(*old) > max_bend:
                continue
            if min(n @ o for n in new for o in old) <= 0 or _angle(*new) > max_bend:
                continue
            faces[t], faces[s] = (a, b, j), (b, a, i)
            halfedge[a, b], halfedge[b, a] = (t, 0), (s, 0)
            touched |= {t, s}
            flipped += 1
        if not flipped:
            break
    return faces


def _angle(u: np.ndarray, v: np.ndarray) -> float:
    return float(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v))


def worst_angle(vertices: np.ndarray, faces: np.ndarray) -> float:
    """The smallest corner angle of the mesh (rad)."""
    p = vertices[faces]
    u, v = np.roll(p, -1, 1) - p, np.roll(p, 1, 1) - p
    return float(np.arctan2(np.linalg.norm(np.cross(u, v), axis=-1), (u * v).sum(-1)).min())


def genus_of(faces: np.ndarray, num_vertices: int) -> int:
    """Genus of a connected closed surface from V - F / 2 = 2 - 2 genus."""
    return (2 - num_vertices + len(faces) // 2) // 2


def is_closed_manifold(faces: np.ndarray, num_vertices: int) -> bool:
    """One component, every directed edge once and its reverse once, one fan of faces round every vertex."""
    halfedges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    code = halfedges[:, 0] * num_vertices + halfedges[:, 1]
    reverse = halfedges[:, 1] * num_vertices + halfedges[:, 0]
    if len(np.unique(code)) != len(code) or not np.array_equal(np.sort(code), np.sort(reverse)):
        return False
    if (halfedges[:, 0] == halfedges[:, 1]).any() or len(np.unique(faces)) != num_vertices:
        return False
    # Corners (f, k) that share a vertex and an edge lie in one fan: as many fans as vertices.
    corner = np.arange(faces.size).reshape(-1, 3)
    start = np.concatenate([corner[:, 0], corner[:, 1], corner[:, 2]])
    stop = np.concatenate([corner[:, 1], corner[:, 2], corner[:, 0]])
    twin = np.searchsorted(np.sort(code), reverse)
    mate = np.argsort(code)[twin]
    links = coo_matrix((np.ones(faces.size), (start, stop[mate])), shape=(faces.size, faces.size))
    one_piece = connected_components(
        coo_matrix((np.ones(len(code)), halfedges.T), shape=(num_vertices, num_vertices)), directed=False
    )[0]
    return connected_components(links, directed=False)[0] == num_vertices and one_piece == 1
