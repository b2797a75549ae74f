"""Point sets on the round sphere: closed-form log maps and transporters, exact cell areas."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.spatial import cKDTree

from ...deprecation import formerly_positional
from ...errors import GeometryError
from ..clouds.checks import listed, reject_repeated
from ..local_geometry import LocalGeometry
from .cells import delaunay, voronoi_areas
from .checks import TOLERANCE, checked_areas, checked_frames, checked_indices, checked_int, checked_structure, points_on_sphere
from .great_circle import DUPLICATE, east_north, great_circle, handedness
from .neighbourhoods import TIE, count_angle, face_pairs, in_pieces, radius_angle, within_angle, within_steps
from .pooling import pool_to


@formerly_positional("radius", "count")
def sphere(
    points: np.ndarray,
    *,
    radius: float | np.ndarray | None = None,
    rings: int | None = None,
    count: int | None = None,
    faces: np.ndarray | None = None,
    adjacency: np.ndarray | None = None,
    area: np.ndarray | None = None,
    sphere_radius: float | None = None,
    frames: np.ndarray | None = None,
    structure: str = "SO2",
    coarse: LocalGeometry | None = None,
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
        rings: all points within that many edges of `faces`, or steps along `adjacency`;
            radius[p] = (rings + 1/2) / rings max |log|.
        Default: radius = 3 s (at most pi a / 2), s the edge length of the hexagonal lattice with cells of the mean area:
            about 33 neighbours.

    Args:
        points: (N, 3). All norms must agree to 1e-6 relative; they are made equal. N >= 4 unless `area` is given.
        faces: (F, 3) triangles, for `rings` and for viewing. Default: the spherical Delaunay triangulation
            (none when `area` is given and `rings` is not).
        adjacency: (L, 2) pairs of points that are one step apart, for `rings` instead of the edges of the faces.
        area: (N,) positive cell areas (unit of length squared), for points that cover a part of the sphere or a lat-lon grid
            with its own weights.
        sphere_radius: radius a; the points are scaled to it. Default: their mean norm, taken as 1 within 1e-6.
        frames: (N, 3, 2) orthonormal tangent frames, right-handed with the outward normal (of any hand with "O2" and "e").
            Default: (east, north), with the z axis as the axis of the globe; at the poles the limit along the meridian
            through +x.
        structure: structure group of the layers to come: "SO2"; "O2", with the same transport, for ``groups.O2()``; or "e"
            for ``groups.Trivial()``, where transport copies coordinates from frame to frame (docs/spheres.md).
        coarse: a geometry of fewer points on the same sphere, the next level for pooling; every point belongs to its nearest
            coarse point (the one of the smallest number among equals).

    Raises:
        GeometryError: points that are not on one sphere, repeated points, bad frames or areas (with the ids), a coarse level
            that does not fit.
        ValueError, TypeError: arguments of wrong shape, range or combination.
    """
    if (radius is not None) + (count is not None) + (rings is not None) > 1:
        raise TypeError("give at most one of radius, count and rings")
    if adjacency is not None and rings is None:
        raise TypeError("adjacency is for rings: give both")
    if coarse is not None and not isinstance(coarse, LocalGeometry):
        raise TypeError(f"coarse expected a LocalGeometry, sphere(fewer_points) for example, got {type(coarse).__name__}")
    structure = checked_structure(structure)
    unit, a = points_on_sphere(points, sphere_radius)
    n = len(unit)
    tree = cKDTree(unit)
    reject_repeated(tree, DUPLICATE)
    frame = east_north(unit) if frames is None else checked_frames(frames, unit, structure)
    if area is None:
        area, hull_faces = voronoi_areas(unit)
        area = area * a**2
    else:
        area, hull_faces = checked_areas(area, n), None
    if faces is not None:
        faces = checked_indices("faces", faces, 3, n)
    elif hull_faces is None and rings is not None and adjacency is None:
        faces = delaunay(unit)
    else:
        faces = hull_faces

    metadata = {"manifold": "sphere", "sphere_radius": a}
    if rings is not None:
        metadata["rings"] = rings = checked_int("rings", rings)
        pairs = face_pairs(faces) if adjacency is None else checked_indices("adjacency", adjacency, 2, n)
        reach = None
        pieces = in_pieces(*within_steps(pairs, n, rings))
    else:
        if count is not None:
            metadata["count"] = count = checked_int("count", count)
            reach = count_angle(tree, count)
        else:
            reach = radius_angle(radius, a, area)
            if np.all(reach == reach[0]):
                metadata["radius"] = float(a * reach[0])
        pieces = within_angle(tree, reach)
    source, target, log, transport = _geodesics(unit, frame, pieces, reach)
    if rings is not None:
        reach = _ring_reach(np.linalg.norm(log, axis=1), target, n, rings)
    if structure == "e":
        transport = np.tile(np.eye(2), (len(source), 1, 1))
    reach = a * reach
    geometry = LocalGeometry(
        edge_index=np.stack([source, target]),
        log=log if a == 1.0 else a * log,
        transport=transport,
        weight=area[source] / (np.pi * reach[target] ** 2),
        radius=reach,
        positions=a * unit,
        frame=frame,
        area=area,
        curvature=np.full(n, 1 / a**2),
        faces=faces,
        metadata=metadata,
        structure=structure,
    )
    return geometry if coarse is None else pool_to(geometry, coarse)


def _geodesics(unit: np.ndarray, frame: np.ndarray, pieces: Iterable, reach: np.ndarray | None) -> list[np.ndarray]:
    """Source, target, log and transport of pairs that come in pieces, of those within the reach of the target."""
    hand = handedness(unit, frame)
    found: list[list[np.ndarray]] = [[], [], [], []]
    for source, target in pieces:
        log, transport = great_circle(unit, frame, source, target, hand)
        arrays = [source, target, log, transport]
        if reach is not None:
            inside = np.linalg.norm(log, axis=1) <= reach[target] * (1 + TIE)
            arrays = arrays if inside.all() else [array[inside] for array in arrays]
        for parts, array in zip(found, arrays):
            parts.append(array)
    # One after the other, so that the pieces of one are gone when the next is joined.
    return [_joined(parts) for parts in found]


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    out = np.concatenate(parts)
    parts.clear()
    return out


def _ring_reach(distance: np.ndarray, target: np.ndarray, n: int, rings: int) -> np.ndarray:
    """(N,) half a ring beyond the farthest neighbour."""
    if distance.size and not distance.max() <= np.pi - TOLERANCE:  # NaN at the antipode itself
        raise GeometryError(f"rings={rings} reaches antipodal points, where the log map has no value")
    reach = np.zeros(n)
    np.maximum.at(reach, target, distance)
    alone = np.flatnonzero(reach == 0)
    if alone.size:
        raise GeometryError(f"points without a face have no rings: {listed(alone)}")
    return reach * (rings + 0.5) / rings
