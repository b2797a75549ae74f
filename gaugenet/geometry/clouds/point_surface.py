r"""geometry.point_cloud: points sampled from a surface, with normals, as a LocalGeometry. No mesh is built.

Log maps and transport come from the Hermite data of an edge, two points and their two normals. With c = x_q - x_p,
m = n_q - n_p and :math:`\sin \alpha = c \cdot m / 2 |c|` (half the angle by which the normal turns along the way),

.. math:: r = |c| \, \alpha / \sin \alpha, \qquad
    \log_p(q) \parallel P_p c + \tfrac13 |c| \sin \alpha \, P_p m, \qquad g_{pq} = E_p^T R(n_q \to n_p) E_q,

P_p the projection to the tangent plane and R the smallest rotation that takes one normal to the other. This is the expansion of
a geodesic, :math:`P_p c = r T + \frac{r^3}{6} \kappa P_p n' + O(r^4)`, :math:`\kappa = - T \cdot n'`, with n' from the normals;
transport on a surface is transport of its Gauss image on the sphere, here along the great circle. On planes and spheres all is
exact; on a smooth surface the errors are :math:`O(r^3)`, relative to r and in radians, beside those of the normals.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sparse
from scipy.spatial import cKDTree

from ...errors import GeometryError
from ..local_geometry import LocalGeometry
from ..meshes.curvature import any_plane, smallest_rotation, symmetric_fit
from ..meshes.features import parse_feature_names
from ..triangles.angles import checked_frames
from .checks import checked_points, listed, reject_repeated
from .features import point_features
from .normals import estimate_normals

# Default radius in units of the edge of the equilateral triangulation with as much area per point, as for meshes.
_DEFAULT_RADIUS = 3.0
# Points closer than this (in units of the bounding box) are the same point.
_DUPLICATE = 1e-9
# Relative slack of the radius, so that points exactly on it do not come and go with rounding.
_INSIDE = 1e-9
# An edge steeper than this against a tangent plane (sine) lies on no smooth sheet; across 90 degrees of a sphere it is 0.71.
_STEEPEST = 0.9


def point_cloud(
    points: np.ndarray,
    normals: np.ndarray | None = None,
    radius: float | np.ndarray | None = None,
    *,
    k: int = 30,
    frames: np.ndarray | None = None,
    features: str | Iterable[str] = (),
) -> LocalGeometry:
    r"""The local geometry of points on a smooth surface in space, one node per point.

    Distances, directions and transport: see :mod:`gaugenet.geometry.clouds.point_surface`. Neighbours of p are the points
    within ``radius``, on its side of the surface (normals less than 90 degrees apart), that are connected with p among them
    through the local triangulations: for every point the Delaunay triangles of its k nearest neighbours in its log map (Sharp,
    Crane 2020, section 5.7). Areas are those of the Voronoi cells within these triangles, curvature is the determinant of the
    shape operator that best explains how the normals of the k neighbours differ.

    Args:
        points: (N, 3) (unit of length).
        normals: (N, 3), of any length and oriented consistently; by default estimated from the k nearest points, and
            oriented along a minimum spanning tree (:func:`gaugenet.geometry.clouds.normals.estimate_normals`), outward on
            closed surfaces. The more accurate the normals, the more accurate everything else.
        radius: of the neighbourhoods: a number, or one per point. By default 3 times the edge length of the equilateral
            triangulation that has the mean area per point (about 30 neighbours).
        k: number of nearest neighbours for the normals, the triangulations and the curvature.
        frames: (N, 3, 2) orthonormal frames, right-handed with the normals; without ``normals`` theirs are used. By default
            some frames in the tangent planes.
        features: names as for :func:`gaugenet.geometry.meshes.features.compute_features`, computed without a mesh
            (:func:`gaugenet.geometry.clouds.features.point_features`).

    Returns:
        LocalGeometry in float64, without faces.

    Raises:
        GeometryError: points that are not finite or repeated, normals of length zero, frames that do not fit (with the ids).
        ValueError: arguments of wrong shape or range.
    """
    parse_feature_names(features)
    points = checked_points(points, "points")
    count = len(points)
    if isinstance(k, bool) or int(k) != k or not 5 < k < count:
        raise ValueError(f"k must be an integer from 6 to the number of points - 1 = {count - 1}, got {k!r}")
    tree = cKDTree(points)
    reject_repeated(tree, _DUPLICATE * np.linalg.norm(np.ptp(points, axis=0)))
    neighbours = tree.query(points, k=k + 1)[1][:, 1:]
    given = normals is not None or frames is not None
    normals, frame = _normals_and_frames(points, normals, frames, neighbours)

    rows = np.repeat(np.arange(count), k)
    log, usable = hermite_logs(points, normals, frame, neighbours.ravel(), rows)
    log, usable = log.reshape(count, k, 2), usable.reshape(count, k)
    ring, area = _triangulate(log, usable)
    area = np.maximum(area, 0.0)
    shape = _shape_operator(normals, frame, neighbours, log, usable)
    reach = _reach(radius, area)

    source, target = _pairs(tree, reach)
    log, usable = hermite_logs(points, normals, frame, source, target)
    usable &= np.linalg.norm(log, axis=1) <= reach[target] * (1 + _INSIDE)
    source, target, log = source[usable], target[usable], log[usable]
    ends = np.repeat(np.arange(count), ring.sum(1)), neighbours[ring]
    kept = _connected(source, target, *ends, count)
    source, target, log = source[kept], target[kept], log[kept]
    rotation = smallest_rotation(normals[source], normals[target])[0]
    facts = {"manifold": "point_cloud", "k": int(k), "normals": "given" if given else "estimated"}
    return LocalGeometry(
        edge_index=np.stack([source, target]),
        log=log,
        transport=np.swapaxes(frame[target], 1, 2) @ rotation @ frame[source],
        weight=area[source] / (np.pi * reach[target] ** 2),
        radius=reach,
        positions=points,
        frame=frame,
        area=area,
        curvature=np.linalg.det(shape),
        features=point_features(points, normals, frame, area, shape, k, features),
        structure="SO2",
        metadata={**facts, "radius": float(reach[0]) if radius is None or not np.ndim(radius) else None},
    )


def hermite_logs(
    points: np.ndarray, normals: np.ndarray, frame: np.ndarray, source: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log_p(q) (E, 2) in the frame of p by the formula above, and where it makes sense (E,): p and q on one smooth sheet."""
    c, m = points[source] - points[target], normals[source] - normals[target]
    length = np.linalg.norm(c, axis=1)
    unit = c / length[:, None]
    sine = np.clip(0.5 * (unit * m).sum(1), -1.0, 1.0)
    # np.sinc(x) = sin(pi x) / (pi x)
    r = length / np.sinc(np.arcsin(sine) / np.pi)
    direction = np.einsum("eai,ea->ei", frame[target], unit + (sine / 3)[:, None] * m)
    norm = np.linalg.norm(direction, axis=1)
    steep = np.maximum(np.abs((unit * normals[target]).sum(1)), np.abs((unit * normals[source]).sum(1)))
    usable = ((normals[source] * normals[target]).sum(1) > 0) & (steep < _STEEPEST) & (norm > 0)
    return (r / np.where(norm > 0, norm, 1.0))[:, None] * direction, usable


def _normals_and_frames(points, normals, frames, neighbours) -> tuple[np.ndarray, np.ndarray]:
    if normals is not None:
        normals = checked_points(normals, "normals")
        if len(normals) != len(points):
            raise ValueError(f"normals must have shape {points.shape}, got {normals.shape}")
        length = np.linalg.norm(normals, axis=1)
        if not (length > 0).all():
            raise GeometryError(f"normals of length zero: {listed(np.flatnonzero(length == 0))}")
        normals = normals / length[:, None]
    if frames is not None:
        frame = checked_frames(frames, len(points))
        own = np.cross(frame[..., 0], frame[..., 1])
        if normals is not None:
            off = np.linalg.norm(own - normals, axis=1)
            if not (off < 1e-6).all():
                raise GeometryError(
                    f"frames must be tangent and right-handed with the normals: {listed(np.flatnonzero(off >= 1e-6))}"
                )
        return own / np.linalg.norm(own, axis=1, keepdims=True), frame
    if normals is None:
        normals = estimate_normals(points, neighbours)
    return normals, any_plane(normals)


def _triangulate(log: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every point the neighbours (N, k) bool it shares a Delaunay triangle with, and its area (N,).

    Circumradii go up to the distance of the farthest neighbour; larger triangles span a gap, or the boundary.
    """
    from .voronoi_cells import voronoi_cells  # brings numba

    return voronoi_cells(log, usable, np.where(usable, np.linalg.norm(log, axis=2), 0.0).max(1))


def _shape_operator(normals, frame, neighbours, log, usable) -> np.ndarray:
    """(N, 2, 2) the symmetric S that best solves S log_p(q) = E_p^T (n_q - n_p) over the neighbours; zero where none does."""
    x = np.where(usable[..., None], log, 0.0)
    change = np.einsum("nai,nka->nki", frame, normals[neighbours] - normals[:, None])
    y = np.where(usable[..., None], change, 0.0)
    # Too few or collinear neighbours determine nothing.
    gram = np.linalg.eigvalsh(np.swapaxes(x, 1, 2) @ x)
    fits = gram[:, 0] > 1e-9 * gram[:, 1]
    out = np.zeros((len(normals), 2, 2))
    out[fits] = symmetric_fit(x[fits], y[fits])
    return out


def _reach(radius, area: np.ndarray) -> np.ndarray:
    if radius is None:
        radius = _DEFAULT_RADIUS * np.sqrt(2.0 / np.sqrt(3.0) * area.mean())
    radius = np.asarray(radius, float)
    if radius.shape not in ((), area.shape):
        raise ValueError(f"radius must be a number or have shape {area.shape}, got {radius.shape}")
    if not (np.isfinite(radius) & (radius > 0)).all():
        raise ValueError(f"radius must be positive and finite, got {radius if not radius.ndim else radius.min()}")
    return np.broadcast_to(radius, area.shape).copy()


def _pairs(tree: cKDTree, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source and target of all pairs with a chord within the target's radius, sorted by target, then source."""
    lists = tree.query_ball_point(tree.data, reach * (1 + _INSIDE), return_sorted=True)
    sizes = np.fromiter(map(len, lists), np.int64, len(lists))
    source = np.concatenate([np.asarray(found, np.int64) for found in lists])
    target = np.repeat(np.arange(tree.n), sizes)
    other = source != target
    return source[other], target[other]


def _connected(source, target, a, b, count: int) -> np.ndarray:
    """(E,) bool: pairs q -> p that a path of edges a - b links, all of whose points are paired with p."""
    shape = (count, count)
    step = sparse.csr_matrix((np.ones(a.size, bool), (a, b)), shape=shape)
    step = step + step.T
    candidate = sparse.csr_matrix((np.ones(source.size, bool), (target, source)), shape=shape)
    reached = step.multiply(candidate).tocsr()
    while True:
        more = (reached + (reached @ step).multiply(candidate)).tocsr()
        if more.nnz == reached.nnz:
            break
        reached = more
    reached.sort_indices()
    key = np.repeat(np.arange(count), np.diff(reached.indptr)) * np.int64(count) + reached.indices
    return np.isin(target * np.int64(count) + source, key, assume_unique=True)
