"""Point sets on the round sphere: closed-form log maps and transporters, exact cell areas."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import ConvexHull, QhullError, SphericalVoronoi, cKDTree

from ..errors import GeometryError
from .local_geometry import LocalGeometry
from .point_checks import checked_points, listed, reject_repeated

# Norms may differ by this much (float32 coordinates); frames may be this far from orthonormal.
_TOLERANCE = 1e-6
# Points closer than this (in units of the sphere's radius) are the same point.
_DUPLICATE = 1e-9
# Distances that differ by less are a tie: all of them are in, or all out, whatever the rounding.
_TIE = 1e-9


def icosphere(
    level: int,
    radius: float | np.ndarray | None = None,
    rings: int | None = None,
    *,
    sphere_radius: float = 1.0,
    frames: np.ndarray | None = None,
) -> LocalGeometry:
    """The icosahedron, refined `level` times by edge midpoints pushed out to the sphere: N = 10 4^level + 2 points.

    The points of level l are the first 10 4^l + 2 of every finer level.

    Args:
        level: 0 (the icosahedron), 1, 2, ...
        radius: neighbours are all points within this geodesic distance (unit of length); a number or (N,).
        rings: or all points within this many edges; see :func:`sphere`. Default: as :func:`sphere`.
        sphere_radius: radius a of the sphere.
        frames: (N, 3, 2), see :func:`sphere`.

    Returns:
        LocalGeometry with `faces` (20 4^level, 3), counter-clockwise from outside.
    """
    if isinstance(level, bool) or not isinstance(level, (int, np.integer)) or not 0 <= level <= 9:
        raise ValueError(f"icosphere expected a level from 0 to 9, got {level!r}")
    vertices, faces = icosphere_mesh(int(level))
    geometry = sphere(vertices, radius, rings=rings, faces=faces, sphere_radius=sphere_radius, frames=frames)
    return geometry.replace(metadata={**geometry.metadata, "manifold": "icosphere", "level": int(level)})


def icosphere_mesh(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (10 4^level + 2, 3) on the unit sphere and faces (20 4^level, 3), counter-clockwise from outside."""
    golden = (1 + 5**0.5) / 2
    corners = np.array([(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)])
    vertices = np.concatenate([np.roll(corners, k, axis=1) for k in range(3)])
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    faces = _outward(vertices, ConvexHull(vertices).simplices)
    faces = faces[np.lexsort(faces.T[::-1])]  # an order that does not depend on the version of Qhull
    for _ in range(level):
        vertices, faces = _subdivide(vertices, faces)
    return vertices, faces


def sphere(
    points: np.ndarray,
    radius: float | np.ndarray | None = None,
    count: int | None = None,
    *,
    rings: int | None = None,
    faces: np.ndarray | None = None,
    area: np.ndarray | None = None,
    sphere_radius: float | None = None,
    frames: np.ndarray | None = None,
) -> LocalGeometry:
    r"""Any points on a sphere about the origin, with great-circle log maps and parallel transport in closed form.

    For p, q on the unit sphere, :math:`|\log_p q| = a\,\mathrm{atan2}(|p \times q|, p \cdot q)`, its direction is that of
    :math:`E_p^T q`, and the carried vector keeps its angle with the great circle: :math:`g_{pq}` turns the direction
    :math:`-E_q^T p` into :math:`E_p^T q`. Differences are formed first, so that both are accurate to rounding at the smallest
    distances and next to the antipode. Gaussian curvature is 1/a^2; areas are those of the spherical Voronoi cells, which
    add up to 4 pi a^2.

    Neighbourhoods, at most one of:
        radius: all points within this geodesic distance R < pi a; radius[p] = R (a number or (N,)).
        count: the `count` nearest points and those as near as the last of them; radius[p] is halfway to the next one.
        rings: all points within that many edges of `faces`; radius[p] = (rings + 1/2) / rings max |log|.
        Default: radius = 3 s (at most pi a / 2), s the edge length of the hexagonal lattice with cells of the mean area:
            about 33 neighbours.

    Args:
        points: (N, 3). All norms must agree to 1e-6 relative; they are made equal. N >= 4 unless `area` is given.
        faces: (F, 3) triangles, for `rings` and for viewing. Default: the spherical Delaunay triangulation
            (none when `area` is given and `rings` is not).
        area: (N,) positive cell areas (unit of length squared), for points that cover a part of the sphere or a lat-lon grid
            with its own weights.
        sphere_radius: radius a; the points are scaled to it. Default: their mean norm, taken as 1 within 1e-6.
        frames: (N, 3, 2) orthonormal tangent frames, right-handed with the outward normal. Default: (east, north), with
            the z axis as the axis of the globe; at the poles the limit along the meridian through +x.

    Raises:
        GeometryError: points that are not on one sphere, repeated points, bad frames or areas (with the ids).
        ValueError, TypeError: arguments of wrong shape, range or combination.
    """
    if (radius is not None) + (count is not None) + (rings is not None) > 1:
        raise TypeError("give at most one of radius, count and rings")
    unit, a = _checked_points(points, sphere_radius)
    n = len(unit)
    tree = cKDTree(unit)
    reject_repeated(tree, _DUPLICATE)
    frame = _default_frames(unit) if frames is None else _checked_frames(frames, unit)
    if area is None:
        area, hull_faces = _voronoi_areas(unit)
        area = area * a**2
    else:
        area, hull_faces = _checked_areas(area, n), None
    if faces is not None:
        faces = _checked_faces(faces, n)
    elif hull_faces is None and rings is not None:
        faces = _delaunay(unit)
    else:
        faces = hull_faces

    if rings is not None:
        source, target = _within_rings(faces, n, _positive_int("rings", rings))
    else:
        reach = _count_angle(tree, _positive_int("count", count)) if count is not None else _radius_angle(radius, a, area)
        source, target = _within_angle(tree, reach)
    log, transport = great_circle(unit, frame, source, target)
    distance = np.linalg.norm(log, axis=1)
    if rings is not None:
        if distance.size and not distance.max() <= np.pi - _TOLERANCE:  # NaN at the antipode itself
            raise GeometryError(f"rings={rings} reaches antipodal points, where the log map has no value")
        reach = np.zeros(n)
        np.maximum.at(reach, target, distance)
        reach *= (rings + 0.5) / rings
        alone = np.flatnonzero(reach == 0)
        if alone.size:
            raise GeometryError(f"points without a face have no rings: {listed(alone)}")
    else:
        inside = distance <= reach[target] * (1 + _TIE)
        source, target, log, transport = source[inside], target[inside], log[inside], transport[inside]
    reach = a * reach
    metadata = {"manifold": "sphere", "sphere_radius": a}
    if rings is not None:
        metadata["rings"] = int(rings)
    elif count is not None:
        metadata["count"] = int(count)
    elif np.all(reach == reach[0]):
        metadata["radius"] = float(reach[0])
    return LocalGeometry(
        edge_index=np.stack([source, target]),
        log=a * log,
        transport=transport,
        weight=area[source] / (np.pi * reach[target] ** 2),
        radius=reach,
        positions=a * unit,
        frame=frame,
        area=area,
        curvature=np.full(n, 1 / a**2),
        faces=faces,
        metadata=metadata,
    )


def great_circle(unit: np.ndarray, frame: np.ndarray, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log maps (E, 2) and transporters (E, 2, 2) on the unit sphere along the shorter great-circle arcs.

    Args:
        unit: (N, 3) unit vectors. frame: (N, 3, 2) right-handed tangent frames. source, target: (E,) ids of q and p.
            Antipodal and equal pairs have no direction; their results are NaN.
    """
    q, p = unit[source], unit[target]
    cosine = np.einsum("ei,ei->e", p, q)
    # q - p, or q + p on the far side, is nearly free of rounding; adding a multiple of p or q changes no tangential part.
    sign = np.where(cosine >= 0, 1.0, -1.0)[:, None]
    short = q - sign * p
    at_p = np.einsum("eid,ei->ed", frame[target], short)
    at_q = np.einsum("eid,ei->ed", frame[source], sign * short)
    with np.errstate(invalid="ignore"):
        at_p /= np.linalg.norm(at_p, axis=1, keepdims=True)
        at_q /= np.linalg.norm(at_q, axis=1, keepdims=True)
    angle = np.arctan2(np.linalg.norm(np.cross(p, short), axis=1), cosine)
    cos = at_p[:, 0] * at_q[:, 0] + at_p[:, 1] * at_q[:, 1]
    sin = at_p[:, 1] * at_q[:, 0] - at_p[:, 0] * at_q[:, 1]
    return angle[:, None] * at_p, np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def _checked_points(points, sphere_radius) -> tuple[np.ndarray, float]:
    points = checked_points(points, "points")
    norm = np.linalg.norm(points, axis=1)
    mean = float(norm.mean())
    bad = np.flatnonzero(~(np.abs(norm - mean) <= _TOLERANCE * mean) | (norm == 0))
    if bad.size:
        raise GeometryError(
            f"points must lie on one sphere about the origin, their mean norm is {mean:.9g}, not that of {listed(bad)}"
        )
    unit = points / norm[:, None]
    if sphere_radius is None:
        return unit, 1.0 if abs(mean - 1) <= _TOLERANCE else mean
    if not (np.isscalar(sphere_radius) and np.isfinite(sphere_radius) and sphere_radius > 0):
        raise ValueError(f"sphere_radius must be a positive number, got {sphere_radius!r}")
    return unit, float(sphere_radius)


def _default_frames(unit: np.ndarray) -> np.ndarray:
    """(N, 3, 2): east and north."""
    x, y = unit[:, 0], unit[:, 1]
    horizontal = np.hypot(x, y)
    pole = horizontal == 0
    horizontal = np.where(pole, 1, horizontal)
    east = np.stack([-y / horizontal, np.where(pole, 1, x / horizontal), np.zeros_like(x)], -1)
    return np.stack([east, np.cross(unit, east)], -1)


def _checked_frames(frames, unit: np.ndarray) -> np.ndarray:
    frames = np.asarray(frames, dtype=np.float64)
    if frames.shape != (len(unit), 3, 2):
        raise ValueError(f"frames expected shape {(len(unit), 3, 2)}, got {frames.shape}")
    full = np.concatenate([frames, unit[:, :, None]], -1)
    error = np.abs(np.swapaxes(full, 1, 2) @ full - np.eye(3)).max((1, 2))
    bad = np.flatnonzero(~(error <= _TOLERANCE) | ~(np.linalg.det(full) > 0))
    if bad.size:
        raise GeometryError(f"frames must be orthonormal, tangent and right-handed with the outward normal: {listed(bad)}")
    first = frames[:, :, 0] - unit * np.einsum("ni,ni->n", unit, frames[:, :, 0])[:, None]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(unit, first)], -1)


def _checked_areas(area, n: int) -> np.ndarray:
    area = np.asarray(area, dtype=np.float64)
    if area.shape != (n,):
        raise ValueError(f"area expected shape {(n,)}, got {area.shape}")
    bad = np.flatnonzero(~(np.isfinite(area) & (area > 0)))
    if bad.size:
        raise GeometryError(f"areas must be positive and finite: {listed(bad)}")
    return area


def _checked_faces(faces, n: int) -> np.ndarray:
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise ValueError(f"faces expected integers of shape (F, 3), got {faces.dtype} {faces.shape}")
    bad = np.flatnonzero((faces < 0).any(1) | (faces >= n).any(1))
    if bad.size:
        raise GeometryError(f"faces with an index outside 0..{n - 1}: {listed(bad)}")
    return faces.astype(np.int64)


def _voronoi_areas(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell areas (N,) on the unit sphere and the dual Delaunay triangles (F, 3)."""
    try:
        cells = SphericalVoronoi(unit, threshold=_DUPLICATE / 10)
        area = cells.calculate_areas()
    except (ValueError, QhullError, IndexError) as error:
        raise GeometryError(f"no Voronoi cells for these {len(unit)} points ({error}); give their areas by area=") from error
    total = area.sum() / (4 * np.pi)
    if not abs(total - 1) < 1e-6 or not (area > 0).all():
        raise GeometryError(
            f"the Voronoi cells cover {total:.9g} of the sphere instead of all of it; give their areas by area="
        )
    return area, _outward(unit, cells._simplices)


def _delaunay(unit: np.ndarray) -> np.ndarray:
    try:
        return _outward(unit, ConvexHull(unit).simplices)
    except (ValueError, QhullError) as error:
        raise GeometryError(f"no triangulation of these {len(unit)} points; give faces=") from error


def _outward(unit: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces of the convex hull, turned counter-clockwise as seen from outside."""
    corner = unit[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    inward = np.einsum("fi,fi->f", normal, corner[:, 0] - unit.mean(0)) < 0
    faces = faces.astype(np.int64)
    faces[inward] = faces[inward][:, ::-1]
    return faces


def _subdivide(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c = faces.T
    sides = np.sort(np.concatenate([np.stack(s, 1) for s in ((a, b), (b, c), (c, a))]), axis=1)
    edges, edge_of_side = np.unique(sides, axis=0, return_inverse=True)
    middle = vertices[edges].sum(1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    ab, bc, ca = edge_of_side.reshape(3, -1) + len(vertices)
    children = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return np.concatenate([vertices, middle]), np.concatenate([np.stack(child, 1) for child in children])


def _radius_angle(radius, a: float, area: np.ndarray) -> np.ndarray:
    """(N,) radius of the neighbourhoods in radians."""
    n = len(area)
    if radius is None:
        spacing = np.sqrt(2 / np.sqrt(3) * area.mean()) / a
        return np.full(n, min(3 * spacing, np.pi / 2))
    radius = np.asarray(radius, dtype=np.float64)
    if radius.shape not in ((), (n,)):
        raise ValueError(f"radius expected a number or shape {(n,)}, got shape {radius.shape}")
    reach = np.broadcast_to(radius / a, (n,)).copy()
    if not ((reach > 0) & (reach < np.pi - _TOLERANCE)).all():
        raise ValueError(f"radius must lie between 0 and pi x {a:g}, the distance of antipodes, got {radius}")
    return reach


def _count_angle(tree: cKDTree, count: int) -> np.ndarray:
    """(N,) angle halfway between the count-th nearest neighbour (and all that tie with it) and the next one."""
    n = tree.n
    if count > n - 2:
        raise ValueError(f"count={count} needs at least {count + 2} points, got {n}")
    asked = min(count + 8, n - 1)
    while True:
        chord, _ = tree.query(tree.data, k=asked + 1)
        angle = 2 * np.arcsin(np.minimum(chord[:, 1:] / 2, 1))
        last = angle[:, count - 1 : count]
        beyond = angle > last * (1 + _TIE)
        if beyond[:, -1].all():
            break
        if asked == n - 1:
            raise ValueError(f"count={count}: some points have no neighbour farther than the {count}-th; take a smaller count")
        asked = min(2 * asked, n - 1)
    following = np.take_along_axis(angle, beyond.argmax(1)[:, None], 1)
    return ((last + following) / 2)[:, 0]


def _within_angle(tree: cKDTree, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source and target of all pairs within a little more than the angle, sorted by target, then source."""
    chord = 2 * np.sin(np.minimum(reach * (1 + 1e-6), np.pi) / 2)
    lists = tree.query_ball_point(tree.data, chord, return_sorted=True)
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    source = np.concatenate([np.asarray(found, dtype=np.int64) for found in lists])
    target = np.repeat(np.arange(tree.n), lengths)
    other = source != target
    return source[other], target[other]


def _within_rings(faces: np.ndarray, n: int, rings: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and target of all pairs within that many edges, sorted by target, then source."""
    i = np.concatenate([faces[:, k] for k in (0, 1, 2)])
    j = np.concatenate([faces[:, k] for k in (1, 2, 0)])
    step = sparse.csr_array((np.ones(2 * len(i), bool), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))
    step = (step + sparse.eye_array(n, dtype=bool, format="csr")).tocsr()
    reached = step
    for _ in range(rings - 1):
        reached = reached @ step
    reached.sort_indices()
    target = np.repeat(np.arange(n), np.diff(reached.indptr))
    source = reached.indices.astype(np.int64)
    other = source != target
    return source[other], target[other]


def _positive_int(name: str, value) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)
