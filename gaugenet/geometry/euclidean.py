"""Points of R^d: frames are the axes and transport is the identity; and the manifold that is one point."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ..checks import check_choice, check_int
from ..errors import GeometryError
from .clouds.pairs import pairs_within
from .local_geometry import LocalGeometry

# Distances that differ by less are a tie: all of them are in, or all out, whatever the rounding.
_TIE = 1e-10
_BALLS = {1: 2.0, 2: np.pi, 3: 4 / 3 * np.pi}
_WEIGHTS = ("mean", "sum")


def points(
    points: Any,
    radius: Any = None,
    neighbours: int | None = None,
    *,
    box: Any = None,
    weight: str = "mean",
    area: Any = None,
) -> LocalGeometry:
    """Points of R^d, d = 1, 2 or 3, joined to those within a radius, or to their nearest neighbours.

    Every frame is that of the axes, so transport is the identity and log_p(q) = q - p. Nothing depends on where the points
    lie, nor, up to the axes, on how they are turned: a layer over SO(3) or O(3) on it is equivariant under all motions.

    The weight of a neighbour is, by default, one over the number of points in the neighbourhood, its centre counted: the
    layer is then a mean, the Monte Carlo estimate of the integral over the ball, and does not change when the same shape is
    sampled more densely. Where the number of points itself matters (forces, masses, bonds), take sums.

    Args:
        points: (N, d) coordinates.
        radius: of the neighbourhoods, one number or one for every point (N,); with these a point may see another that does not
            see it.
        neighbours: instead of a radius, how many nearest neighbours each point has, with all that are as far as the last of
            them. The radius is half way to the next point.
        box: lengths of a periodic box, one number or one for every axis, None (or infinity) for an axis that is not periodic:
            log maps lead to the nearest image. Every radius must be less than half of each length, or a point would be a
            neighbour twice.
        weight: "mean", or "sum" for weights of 1.
        area: (N,) volumes of the cells of the points (areas for d = 2), where they are known: then a weight is the volume of
            the neighbour over that of the ball, as on meshes.

    Returns:
        LocalGeometry with ``positions`` and ``frame``; of structure "e", so that layers over any group of R^d fit.

    Warns:
        UserWarning: most points have no neighbour.

    Raises:
        ValueError: shapes and sizes that do not fit. GeometryError: NaN or infinity, with the first ids.
    """
    place = _checked_points(points)
    n, d = place.shape
    lengths = _checked_box(box, d)
    check_choice("points", "weight", weight, _WEIGHTS)
    if (radius is None) == (neighbours is None):
        raise ValueError("points expected radius or neighbours: points(x, radius=0.3) or points(x, neighbours=8)")
    tree = _tree(place, lengths)
    reach = _checked_radius(radius, n) if neighbours is None else _nearest(tree, check_int("points", "neighbours", neighbours))
    if lengths is not None:
        far = np.flatnonzero(2 * reach * (1 + _TIE) >= lengths.min())
        if far.size:
            raise ValueError(
                f"points expected every radius to be less than half of the periodic box {lengths.tolist()}, or neighbours "
                f"would be there twice, got {reach[far[0]]:g} at point {far[0]}: take a smaller radius, fewer neighbours, or "
                "a box of several periods, with the points repeated"
            )
    source, target = pairs_within(tree, tree.data, reach * (1 + _TIE))
    log = place[source] - place[target]
    if lengths is not None:
        log = _to_nearest_image(log, lengths)
    count = np.bincount(target, minlength=n)
    if 2 * (count == 0).sum() > n > 1:
        near = np.median(tree.query(tree.data, 2)[0][:, 1])
        warnings.warn(
            f"points: {(count == 0).sum()} of {n} points have no neighbour within radius={np.median(reach):g}; the nearest one "
            f"is {near:g} away, in the median: is the radius in the units of the points?",
            stacklevel=2,
        )
    weights = np.ones(len(source)) if weight == "sum" else 1.0 / (count + 1)[target]
    if area is not None:
        if weight != "mean":
            raise ValueError(f"points expected one kind of weights, got weight={weight!r} beside area")
        area = _checked_area(area, n)
        weights = area[source] / (_BALLS[d] * reach[target] ** d)
    metadata: dict[str, Any] = {"manifold": f"R^{d}", "weight": weight if area is None else "area"}
    if lengths is not None:
        metadata["box"] = [None if np.isinf(length) else float(length) for length in lengths]
    return LocalGeometry(
        edge_index=np.stack([source, target]),
        log=log,
        transport=np.broadcast_to(np.eye(d), (len(source), d, d)).copy(),
        weight=weights,
        radius=reach,
        positions=place,
        frame=np.broadcast_to(np.eye(d), (n, d, d)).copy(),
        area=area,
        metadata=metadata,
        structure="e",
    )


def point(count: int = 1, dim: int = 3) -> LocalGeometry:
    """The manifold that is one point: ``count`` nodes without edges, for nets of representations of a group.

    A field on it is a vector of the representation, and each node is an example of its own, as the rows of a batch are: an
    equivariant layer is a linear map that commutes with the group, or a product of vectors
    (:class:`gaugenet.models.ClebschGordanNet`). Frames are there to be turned.

    Args:
        count: N, the number of examples. dim: d, of the group's matrices, 1, 2 or 3.
    """
    check_int("point", "count", count)
    check_int("point", "dim", dim, 1, 3)
    return LocalGeometry(
        edge_index=np.zeros((2, 0), np.int64),
        log=np.zeros((0, dim)),
        transport=np.zeros((0, dim, dim)),
        weight=np.zeros(0),
        radius=np.ones(count),
        positions=np.zeros((count, dim)),
        frame=np.broadcast_to(np.eye(dim), (count, dim, dim)).copy(),
        metadata={"manifold": "point"},
        structure="e",
    )


def _tree(place: np.ndarray, lengths: np.ndarray | None) -> cKDTree:
    if lengths is None:
        return cKDTree(place)
    finite = np.where(np.isinf(lengths), 1.0, lengths)
    inside = np.where(np.isinf(lengths), place, np.mod(place, finite))
    inside = np.where(~np.isinf(lengths) & (inside >= finite), 0.0, inside)  # -1e-20 modulo 1 is 1
    return cKDTree(inside, boxsize=np.where(np.isinf(lengths), 0.0, lengths))


def _nearest(tree: cKDTree, count: int) -> np.ndarray:
    """(N,) radius half way between the count-th nearest neighbour, with all that tie with it, and the next point."""
    n = tree.n
    if count > n - 1:
        raise ValueError(f"neighbours={count} needs at least {count + 1} points, got {n}")
    asked = min(count + 8, n - 1)
    while True:
        distance = tree.query(tree.data, k=np.arange(2, asked + 2))[0]  # the first is the point itself, or one that lies on it
        last = distance[:, count - 1 : count]
        beyond = distance > last * (1 + _TIE)
        alone = ~beyond[:, -1]
        if asked == n - 1 or not alone.any():
            break
        asked = min(2 * asked, n - 1)
    following = np.take_along_axis(distance, beyond.argmax(1)[:, None], 1)
    # With no point beyond: as far again as points of even density would be.
    following = np.where(alone[:, None], last * (1 + 2 / count), following)[:, 0]
    reach = (last[:, 0] + following) / 2
    if not (reach > 0).all():
        node = int(np.flatnonzero(reach <= 0)[0])
        raise GeometryError(f"all neighbours of point {node} lie on it, which leaves no radius: take more of them, or a radius")
    return reach


def _to_nearest_image(log: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    periodic = ~np.isinf(lengths)
    out = log.copy()
    out[:, periodic] -= lengths[periodic] * np.round(log[:, periodic] / lengths[periodic])
    return out


def _checked_points(values: Any) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] not in _BALLS or len(values) == 0:
        raise ValueError(f"points expected shape (N, d) with N >= 1 and d = 1, 2 or 3, got {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if bad.size:
        raise GeometryError(f"points with NaN or infinity: ids {', '.join(map(str, bad[:8]))} ({bad.size} in all)")
    return np.ascontiguousarray(values)


def _checked_radius(radius: Any, n: int) -> np.ndarray:
    radius = np.asarray(radius, dtype=np.float64)
    if radius.shape not in ((), (n,)):
        raise ValueError(f"points expected radius to be a number or of shape {(n,)}, got shape {radius.shape}")
    if not (np.isfinite(radius) & (radius > 0)).all():
        raise ValueError(f"points expected radius to be positive and finite, got {radius.min():g}")
    return np.broadcast_to(radius, (n,)).copy()


def _checked_box(box: Any, d: int) -> np.ndarray | None:
    if box is None:
        return None
    sides = [box] * d if np.ndim(box) == 0 else list(box)
    lengths = np.array([np.inf if side is None else side for side in sides], dtype=np.float64)
    if lengths.shape != (d,) or not (lengths > 0).all():
        raise ValueError(f"points expected box to be a positive length, or one (or None) for each of {d} axes, got {box!r}")
    return None if np.isinf(lengths).all() else lengths


def _checked_area(area: Any, n: int) -> np.ndarray:
    area = np.asarray(area, dtype=np.float64)
    if area.shape != (n,) or not (np.isfinite(area) & (area > 0)).all():
        raise ValueError(f"points expected area to be positive numbers of shape {(n,)}, got {area!r}")
    return area.copy()
