"""Maps of fields on the sphere: scalars as colour, tangent and spin fields as arrows, bars and stars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree

from ...errors import GeometryError
from ..colors import INK, PAPER, SURFACE, ColorScale, scale_of
from ..plots import colorbar, require_matplotlib
from .margins import draw_coastlines, draw_labels, draw_scale
from .projections import PROJECTIONS, Projection, view_rotation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Steps of the graticule in degrees.
_STEP = 30
# A pixel farther from the nearest point than this many times the usual spacing is left empty.
_GAP = 6.0
# A pixel's triangle is looked for around so many of the nearest points; without one it gets the value of the nearest.
_CORNERS = 8
_INTERPOLATIONS = ("linear", "nearest")


def plot_map(
    values: np.ndarray | None,
    sphere: Any,
    axes: Axes | None = None,
    *,
    vectors: np.ndarray | None = None,
    order: int = 1,
    frames: np.ndarray | None = None,
    projection: str = "mollweide",
    center: tuple[float, float] = (0.0, 0.0),
    roll: float = 0.0,
    east: str = "right",
    interpolation: str = "linear",
    colors: str | None = None,
    limits: tuple[float, float] | None = None,
    label: str = "",
    title: str = "",
    count: int = 250,
    graticule: bool = True,
    pixels: int = 900,
    arrow_label: str | None = "",
    labels: bool = False,
    coastlines: bool = False,
) -> Axes:
    r"""A map of a scalar field as colour, with a tangent or spin field over it as arrows.

    Args:
        values: (N,) scalars; NaN stays empty. None: only the vectors.
        sphere: the points (N, 3), of any norm, or a geometry or graph of a sphere.
        axes: of matplotlib; by default new ones.
        vectors: (N, 3) tangent vectors in space, or (N, 2) components (a, b) in the frames.
        order: SO(2) order m of (N, 2) components: 1 draws arrows, 2 bars without a head (polarisation: a = Q, b = U, with the
            sign convention of the frames), m > 2 stars of m arms, at the angles with exp(i m t) = (a + ib) / \|a + ib\|.
        frames: (N, 3, 2) for components. Default: those of the geometry, or (east, north) about the z axis.
        projection: "mollweide", "hammer", "lambert" (azimuthal) show the whole sphere with equal areas, "equirectangular" in
            degrees, "orthographic" one half as from far away.
        center: longitude and latitude of the middle, degrees. roll: turns the map counter-clockwise, degrees.
        east: "right" as on maps of the earth, "left" as on maps of the sky.
        interpolation: "linear" between the points' Delaunay triangles, or "nearest".
        colors: "viridis" or "diverging". Default: "diverging" for values of both signs, then symmetric about 0.
        limits: the values at the ends of the colours. Default: those of the values.
        label, title: of the colour bar and the axes.
        count: about how many arrows; the longest is as long as their spacing.
        graticule: lines every 30 degrees. pixels: width of the colours' raster.
        arrow_label: unit of the vectors, written with a length beside the scale arrow (or bar) below the map; None leaves
            it out.
        labels: latitudes and longitudes of the graticule.
        coastlines: of the earth (Natural Earth, 1:110 million), through cartopy, which fetches them once.

    Returns:
        the axes, in units of the sphere's radius (radians for "equirectangular").

    Raises:
        ValueError: unknown names, or arrays of wrong shape. GeometryError: points without a direction.
        MissingDependencyError: without matplotlib; coastlines without cartopy.
    """
    require_matplotlib()
    if projection not in PROJECTIONS:
        raise ValueError(f"unknown projection {projection!r}: expected one of {', '.join(PROJECTIONS)}")
    for name, value, known in (("east", east, ("right", "left")), ("interpolation", interpolation, _INTERPOLATIONS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    shape = PROJECTIONS[projection]
    unit = _points(sphere)
    if values is not None:
        values = _checked("values", values, (len(unit),))
        scale = scale_of(values, colors, limits, label)
    if vectors is not None:
        frames = getattr(sphere, "frame", None) if frames is None else frames
        arms = _arms(vectors, unit, frames, order)
    turn = view_rotation(*center, roll)
    mirror = -1.0 if east == "left" else 1.0
    if axes is None:
        import matplotlib.pyplot as plt

        width = 9 if shape.half[0] > shape.half[1] else 6
        axes = plt.subplots(figsize=(width, width * shape.half[1] / shape.half[0] + 1.3), layout="constrained")[1]
    if values is not None:
        _draw_values(axes, _raster(values, unit, shape, turn, mirror, interpolation, pixels), scale, shape)
    _draw_outline(axes, shape, turn, mirror, graticule, filled=values is None)
    if coastlines:
        draw_coastlines(axes, shape, turn, mirror)
    if labels:
        draw_labels(axes, shape, turn, mirror, _STEP)
    if vectors is not None:
        longest, reach = _draw_vectors(axes, unit, arms, order, shape, turn, mirror, count)
        if arrow_label is not None and longest > 0:
            draw_scale(axes, longest, reach, arrow_label, shape, order)
    axes.set_xlim(-1.02 * shape.half[0], 1.02 * shape.half[0])
    axes.set_ylim(-1.02 * shape.half[1], 1.02 * shape.half[1])
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_anchor("N")  # room for the colour bar
    axes.set_title(title, fontsize=10)
    if values is not None:
        colorbar(axes, scale)
    return axes


def interpolate(values: np.ndarray, unit: np.ndarray, places: np.ndarray, method: str = "linear") -> np.ndarray:
    """Values (N,) at unit vectors (N, 3) interpolated at others (P, 3), which may be NaN: (P,), NaN also far from all points.

    "linear": barycentric in the triangle of the points' convex hull that the pixel's ray goes through.
    """
    result = np.full(len(places), np.nan)
    known = np.flatnonzero(np.isfinite(places[:, 0]))
    tree = cKDTree(unit)
    distance, nearest = tree.query(places[known])
    if len(unit) > 1:
        spacing = np.median(tree.query(unit, 2)[0][:, 1])
        near = distance <= _GAP * max(spacing, np.sqrt(4 / len(unit)))
        known, nearest = known[near], nearest[near]
    result[known] = values[nearest]
    faces = _hull(unit) if method == "linear" and len(unit) >= 4 else None
    if faces is None:
        return result
    corners = np.concatenate([faces[:, k] for k in range(3)])
    order = np.argsort(corners, kind="stable")
    face_of = np.tile(np.arange(len(faces)), 3)[order]
    start = np.searchsorted(corners[order], np.arange(len(unit) + 1))
    # Rows of the inverse give barycentric coordinates (up to scale) of a ray through each face.
    inverse = np.linalg.inv(unit[faces].swapaxes(1, 2))
    # Around the nearest point first; the triangle may also be one around the next nearest.
    for k in range(min(_CORNERS, len(unit))):
        if k == 1:
            nearest = tree.query(places[known], np.arange(1, min(_CORNERS, len(unit)) + 1))[1]
        vertex = nearest if k == 0 else nearest[:, k]
        left = np.ones(len(known), bool)
        for j in range(int(np.diff(start).max())):
            has = np.flatnonzero(left & (start[vertex] + j < start[vertex + 1]))
            face = face_of[start[vertex[has]] + j]
            weight = np.einsum("pij,pj->pi", inverse[face], places[known[has]])
            inside = (weight >= -1e-9).all(1)
            weight = weight[inside] / weight[inside].sum(1, keepdims=True)
            result[known[has[inside]]] = (weight * values[faces[face[inside]]]).sum(1)
            left[has[inside]] = False
        known, nearest = known[left], nearest[left]
        if not known.size:
            break
    return result


def _hull(unit: np.ndarray) -> np.ndarray | None:
    """(F, 3) Delaunay triangles, without those that the origin lies in the plane of; None for points in one plane."""
    try:
        faces = ConvexHull(unit).simplices
    except QhullError:
        return None
    volume = np.linalg.det(unit[faces])
    return faces[np.abs(volume) > 1e-12]


def _points(sphere) -> np.ndarray:
    points = getattr(sphere, "positions", getattr(sphere, "pos", getattr(sphere, "points", sphere)))
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f"plot_map expected points of shape (N, 3), or a geometry of a sphere, got {points.shape}")
    norm = np.linalg.norm(points, axis=1)
    bad = np.flatnonzero(~(np.isfinite(norm) & (norm > 0)))
    if bad.size:
        raise GeometryError(f"points without a direction (zero, NaN or infinite): ids {bad[:8].tolist()}")
    return points / norm[:, None]


def _checked(name: str, array, *shapes: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(array.detach().cpu() if hasattr(array, "detach") else array, dtype=float)
    if array.shape not in shapes:
        raise ValueError(f"{name} expected shape {' or '.join(map(str, shapes))}, got {array.shape}")
    return array


def _raster(values, unit, shape: Projection, turn, mirror: float, method: str, width: int) -> np.ndarray:
    """(H, W) values, NaN outside of the map; the first row is the top."""
    height = round(width * shape.half[1] / shape.half[0])
    x = mirror * shape.half[0] * (2 * (np.arange(width) + 0.5) / width - 1)
    y = shape.half[1] * (1 - 2 * (np.arange(height) + 0.5) / height)
    place = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    return interpolate(values, unit, shape.inverse(place) @ turn, method).reshape(height, width)


def _draw_values(axes: Axes, raster: np.ndarray, scale: ColorScale, shape: Projection) -> None:
    known = np.isfinite(raster)
    image = np.concatenate([scale(np.where(known, raster, scale.low)), known[..., None]], -1)
    extent = (-shape.half[0], shape.half[0], -shape.half[1], shape.half[1])
    axes.imshow(image, extent=extent, interpolation="antialiased", zorder=0)


def _draw_outline(axes: Axes, shape: Projection, turn, mirror: float, graticule: bool, filled: bool) -> None:
    """The rim of the map, and meridians and parallels of the globe."""
    a, b = shape.half
    if shape.name == "equirectangular":
        rim = np.array([[-a, -b], [a, -b], [a, b], [-a, b]])
    else:
        t = np.linspace(0, 2 * np.pi, 400)
        rim = np.stack([a * np.cos(t), b * np.sin(t)], 1)
    axes.fill(*rim.T, facecolor=SURFACE if filled else "none", edgecolor=INK, linewidth=1.0, zorder=0.5)
    if not graticule:
        return
    angle = np.radians(np.linspace(-180, 180, 721))
    lines = []
    for latitude in np.radians(np.arange(-90 + _STEP, 90, _STEP)):
        circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle + np.tan(latitude)], 1) * np.cos(latitude)
        lines.append(circle)
    for longitude in np.radians(np.arange(0, 360, _STEP)):
        half = angle[np.abs(angle) <= np.radians(90 - _STEP / 3)]
        lines.append(np.stack([np.cos(half) * np.cos(longitude), np.cos(half) * np.sin(longitude), np.sin(half)], 1))
    for line in lines:
        place = shape.forward(line @ turn.T) * (mirror, 1)
        jump = np.linalg.norm(np.diff(place, axis=0), axis=1) > 0.3 * a  # over the rim of the map
        place[1:][jump] = np.nan
        axes.plot(*place.T, color=INK, alpha=0.25, linewidth=0.5, zorder=0.6)


def _arms(vectors, unit: np.ndarray, frames, order: int) -> np.ndarray:
    """(N, m, 3) tangent vectors in space: the m directions of an order-m field, with its length."""
    n = len(unit)
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or order < 1:
        raise ValueError(f"order must be a positive integer, got {order!r}")
    vectors = _checked("vectors", vectors, (n, 2), (n, 3))
    if vectors.shape[1] == 3:
        if order != 1:
            raise ValueError(f"vectors in space have order 1; give an order-{order} field by components (N, 2)")
        return (vectors - unit * (vectors * unit).sum(1, keepdims=True))[:, None]
    if frames is None:
        horizontal = np.hypot(unit[:, 0], unit[:, 1])
        pole = horizontal == 0
        safe = np.where(pole, 1, horizontal)
        first = np.stack([-unit[:, 1] / safe, np.where(pole, 1, unit[:, 0] / safe), 0 * safe], 1)
        frames = np.stack([first, np.cross(unit, first)], -1)
    frames = _checked("frames", frames, (n, 3, 2))
    angle = (np.arctan2(vectors[:, 1], vectors[:, 0])[:, None] + 2 * np.pi * np.arange(order)) / order
    size = np.linalg.norm(vectors, axis=1)[:, None]
    return np.einsum("nia,nma->nmi", frames, np.stack([size * np.cos(angle), size * np.sin(angle)], -1))


def _draw_vectors(
    axes: Axes, unit, arms, order: int, shape: Projection, turn, mirror: float, count: int
) -> tuple[float, float]:
    """Draws them; the length of the longest vector, and that of its arrow on the map."""
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import withStroke

    chosen, spacing = _spread_points(unit, count)
    size = np.linalg.norm(arms[chosen], axis=-1).max(initial=0.0)
    if not size > 0:
        return 0.0, 0.0
    base = unit[chosen] @ turn.T
    start = shape.forward(base)
    # The direction is that of the map's differential. The length is that of the vector, as the map stretches some places; only
    # the view from outside shortens what turns away.
    step = 1e-4
    moved = base[:, None] + step * (arms[chosen] @ turn.T) / size
    moved /= np.linalg.norm(moved, axis=-1, keepdims=True)
    slope = (shape.forward(moved.reshape(-1, 3)).reshape(*moved.shape[:2], 2) - start[:, None]) * (mirror, 1)
    length = np.linalg.norm(slope, axis=-1, keepdims=True)
    start = start * (mirror, 1)
    good = np.isfinite(length[..., 0]).all(1) & (length[..., 0] < 100 * step).all(1)
    relative = np.linalg.norm(arms[chosen], axis=-1, keepdims=True) / size
    unstretched = step * relative if shape.name == "orthographic" else np.where(length > 0, length, 1)
    reach = spacing * relative * slope / np.where(unstretched > 0, unstretched, 1)
    start, reach = start[good], reach[good]
    if order == 1:
        options: dict[str, Any] = {
            "angles": "xy",
            "scale_units": "xy",
            "scale": 1,
            "units": "inches",
            "width": 0.018,
            "pivot": "mid",
        }
        head: dict[str, Any] = {"headwidth": 4, "headlength": 4.5, "headaxislength": 4}
        rim = [withStroke(linewidth=1.2, foreground=PAPER)]
        axes.quiver(*start.T, *reach[:, 0].T, color=INK, path_effects=rim, zorder=2, **options, **head)
        return float(size), spacing
    ends = np.stack([np.broadcast_to(start[:, None], reach.shape), start[:, None] + 0.5 * reach], 2).reshape(-1, 2, 2)
    axes.add_collection(LineCollection(ends, colors=[PAPER], linewidths=2.6, zorder=2, capstyle="round"))
    axes.add_collection(LineCollection(ends, colors=[INK], linewidths=1.3, zorder=2.1, capstyle="round"))
    return float(size), spacing


def _spread_points(unit: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """About `count` points near those of a Fibonacci lattice, and the lattice's spacing in radians."""
    k = np.arange(count) + 0.5
    z, phi = 1 - 2 * k / count, np.pi * (1 + np.sqrt(5)) * k
    lattice = np.stack([np.sqrt(1 - z * z) * np.cos(phi), np.sqrt(1 - z * z) * np.sin(phi), z], 1)
    spacing = float(np.sqrt(4 * np.pi / count))
    distance, nearest = cKDTree(unit).query(lattice)
    return np.unique(nearest[distance < spacing]), spacing
