"""Curvature of a triangle mesh: the second fundamental form at every vertex, as a tensor in space.

Everything here is a tensor in ambient coordinates and knows no frames; features.py expresses it in the frames.
Sign: curvature is positive where the surface bends away from the outward normal (a sphere of radius r: 1/r).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse

from ...errors import GeometryError

# A vertex with more walks of two edges than this is fitted to one ring: the second ring of a hub is the whole mesh.
_LARGEST_RING = 1000


def check_oriented(faces: np.ndarray, num_vertices: int, what: str = "curvature and position features") -> None:
    """Raise GeometryError when two faces run along an edge in the same direction: then "outward" means nothing."""
    tail = faces.ravel().astype(np.int64)
    head = np.roll(faces, -1, axis=1).ravel().astype(np.int64)
    key = np.sort(tail * num_vertices + head)
    twice = np.flatnonzero(key[1:] == key[:-1])
    if twice.size:
        a, b = divmod(int(key[twice[0]]), num_vertices)
        raise GeometryError(
            f"{what} need a consistently oriented surface: two faces run along edge ({a}, {b}) "
            "in the same direction (not orientable, or not manifold)"
        )


def max_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    r"""Unit normals at the vertices, exact for vertices on a sphere (Max 1999, "Weights for computing vertex normals").

    .. math:: n_i \propto \sum_{t = (i, j, k)} \frac{(x_j - x_i) \times (x_k - x_i)}{|x_j - x_i|^2 |x_k - x_i|^2}

    Returns:
        (N, 3); zero where every incident face is degenerate.
    """
    normals = np.zeros_like(vertices)
    for k in range(3):
        i = faces[:, k]
        a, b = vertices[faces[:, (k + 1) % 3]] - vertices[i], vertices[faces[:, (k + 2) % 3]] - vertices[i]
        size = (a**2).sum(-1) * (b**2).sum(-1)
        term = np.divide(np.cross(a, b), size[:, None], out=np.zeros_like(a), where=size[:, None] > 0)
        for axis in range(3):
            normals[:, axis] += np.bincount(i, term[:, axis], minlength=len(vertices))
    return _unit(normals)


def fitted_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    r"""Unit normals of second order: of a quadric fitted to two rings (osculating jets, Cazals, Pouget 2005).

    The height over the plane of :func:`max_normals` is fitted by least squares, weight :math:`e^{-|x|^2 / s^2}` with s the
    root mean square distance, by a full quadratic polynomial, whose gradient tilts the normal. Averaged face normals have an
    error of first order on irregular meshes, so that curvatures from them do not converge; from these they do.

    Where the fit is not determined, or tilts the normal by more than 45 degrees (a crease), the normal of
    :func:`max_normals` stays. A vertex whose second ring is huge (it touches a hub) is fitted to one ring.
    """
    count, normals = len(vertices), max_normals(vertices, faces)
    faces = faces[_has_area(vertices, faces)]
    tail, head = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    ones = np.ones(2 * len(tail))
    ring = sparse.csr_matrix((ones, (np.r_[tail, head], np.r_[head, tail])), shape=(count, count))
    ring.data[:] = 1
    small = (ring @ np.diff(ring.indptr) <= _LARGEST_RING).astype(float)
    near = (sparse.diags(small) @ ring @ ring + ring + sparse.identity(count)).tocsr()
    return quadric_normals(vertices, normals, near.indptr, near.indices)


def quadric_normals(points: np.ndarray, normals: np.ndarray, ptr: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The normals (N, 3) tilted to those of quadrics fitted as in :func:`fitted_normals`, which says where they stay.

    Args:
        ptr, index: CSR of the points that each quadric is fitted to; every point is one of its own.
    """
    start, rows = ptr[:-1], np.repeat(np.arange(len(points)), np.diff(ptr))
    plane = any_plane(normals)
    offset = points[index] - points[rows]
    x, z = np.einsum("eai,ea->ei", plane[rows], offset), (offset * normals[rows]).sum(-1)
    size = np.sqrt(np.add.reduceat((x**2).sum(-1), start) / np.diff(ptr))
    size = np.where(size > 0, size, 1.0)[rows]
    x, z = x / size[:, None], z / size
    weight = np.exp(-(x**2).sum(-1))
    monomials = np.stack([np.ones_like(z), x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], -1)
    weighted = weight[:, None] * monomials
    matrix = np.add.reduceat(weighted[:, :, None] * monomials[:, None, :], start)
    right = np.add.reduceat(weighted * z[:, None], start)
    spectrum = np.linalg.eigvalsh(matrix)
    determined = spectrum[:, 0] > 1e-6 * spectrum[:, -1]
    matrix[~determined] = np.eye(6)
    gradient = np.linalg.solve(matrix, right[..., None])[:, 1:3, 0]
    fitted = _unit(normals - np.einsum("nai,ni->na", plane, gradient))
    use = determined & ((gradient**2).sum(-1) < 1)
    return np.where(use[:, None], fitted, normals)


def second_fundamental_form(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray | None = None) -> np.ndarray:
    r"""The second fundamental form at the vertices (Rusinkiewicz 2004, "Estimating curvatures and their derivatives").

    The normals n are :func:`fitted_normals`. In each face the symmetric tensor S is the least-squares solution of
    :math:`S e = \Delta n` over its three edges e, with the differences of the normals at its corners projected into the
    face; it is carried to each of its vertices by the smallest rotation that brings the face normal to the vertex normal, and
    averaged there with the areas of the faces as weights. Converges on irregular meshes too (tests: a jittered torus), with
    second order on regular ones.

    Args:
        vertices: (N, 3). faces: (F, 3) int, consistently oriented.
        normals: (N, 3) unit normals of the tangent planes to express S in, for example those of given frames; by default
            the fitted ones, which are always the ones that are differentiated.

    Returns:
        (N, 3, 3) symmetric tensors with the normal in their kernel; trace = 2 H (sum of the principal curvatures),
        unit 1 / length. Zero where every incident face is degenerate.
    """
    smooth = fitted_normals(vertices, faces)
    faces = faces[_has_area(vertices, faces)]
    normals = smooth if normals is None else normals
    corners = vertices[faces]
    edges = np.roll(corners, -1, axis=1) - corners
    changes = np.roll(smooth[faces], -1, axis=1) - smooth[faces]
    double = np.cross(edges[:, 0], edges[:, 1])
    area = 0.5 * np.linalg.norm(double, axis=1)

    face_normal = _unit(double)
    u = _unit(edges[:, 0])
    plane = np.stack([u, np.cross(face_normal, u)], axis=-1)  # (F, 3, 2)
    x, y = edges @ plane, changes @ plane
    tensor = plane @ symmetric_fit(x, y) @ np.swapaxes(plane, 1, 2)

    total = np.zeros((len(vertices), 3, 3))
    weight = np.zeros(len(vertices))
    for k in range(3):
        i = faces[:, k]
        rotation, usable = smallest_rotation(face_normal, normals[i])
        w = np.where(usable, area, 0.0)
        carried = w[:, None, None] * (rotation @ tensor @ np.swapaxes(rotation, 1, 2))
        weight += np.bincount(i, w, minlength=len(vertices))
        for r in range(3):
            for c in range(3):
                total[:, r, c] += np.bincount(i, carried[:, r, c], minlength=len(vertices))
    return np.divide(total, weight[:, None, None], out=np.zeros_like(total), where=weight[:, None, None] > 0)


def _has_area(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) faces that are not degenerate: at least 1e-10 high in units of their longest edge."""
    edges = vertices[np.roll(faces, -1, axis=1)] - vertices[faces]
    return np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) > 1e-10 * (edges**2).sum(-1).max(axis=1)


def symmetric_fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The symmetric S (F, 2, 2) that minimises sum_k |S x_k - y_k|^2; x, y (F, 3, 2).

    Normal equations S C + C S = Q with C = sum x x^T, Q = sum y x^T + x y^T; for 2 x 2 matrices their solution is
    (det(C) Q + adj(C) Q adj(C)) / (2 tr(C) det(C)).
    """
    c = np.swapaxes(x, 1, 2) @ x
    q = np.swapaxes(y, 1, 2) @ x
    q = q + np.swapaxes(q, 1, 2)
    trace = c[:, 0, 0] + c[:, 1, 1]
    det = c[:, 0, 0] * c[:, 1, 1] - c[:, 0, 1] ** 2
    adjugate = trace[:, None, None] * np.eye(2) - c
    return (det[:, None, None] * q + adjugate @ q @ adjugate) / (2 * trace * det)[:, None, None]


def smallest_rotation(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (F, 3, 3) with R a = b about the axis a x b, and where there is one (not for opposite or zero vectors)."""
    cos = (a * b).sum(-1)
    usable = (cos > -0.999) & ((b**2).sum(-1) > 0.5)
    axis = np.cross(a, b)
    skew = np.zeros((len(a), 3, 3))
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    skew -= np.swapaxes(skew, 1, 2)
    return np.eye(3) + skew + skew @ skew / np.where(usable, 1 + cos, 1.0)[:, None, None], usable


def any_plane(normals: np.ndarray) -> np.ndarray:
    """(N, 3, 2) some orthonormal basis of the plane orthogonal to each unit normal."""
    axis = np.zeros_like(normals)
    np.put_along_axis(axis, np.abs(normals).argmin(axis=1)[:, None], 1.0, axis=1)
    u = _unit(np.cross(normals, axis))
    return np.stack([u, np.cross(normals, u)], axis=-1)


def _unit(x: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
