"""The views of a geometry: what each panel shows, without saying how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from ..errors import GeometryError
from ..geometry.local_geometry import LocalGeometry
from .colors import BLUE, INK, ORANGE, PAPER, RED, SURFACE, ColorScale, adjacent_colors
from .glyphs import arrows, crosses, dots, ribbons
from .neighbourhood import LogPatch, Neighbourhood, carried_along, edge_path, neighbourhood
from .placing import circle_radii, default_vertex, evenly_spaced, spread, total_area
from .scene import Camera, Layer, View, is_closed, surface_layer, surface_of, tangent_frame

# In units of half the picture's width.
_LINE, _BIAS = 0.008, 0.02
_RAYS = 12
# Dots smaller than this many line widths would be but noise.
_SMALLEST = 1.0


def frames_view(geometry: LocalGeometry, *, count: int = 100, camera: Camera | None = None) -> View:
    """Frames at about ``count`` evenly spaced vertices: first vectors red, second blue."""
    camera = Camera.of(geometry) if camera is None else camera
    frame, normal = tangent_frame(geometry)
    positions, _ = surface_of(geometry)
    at, spacing = evenly_spaced(geometry, count)
    layers = [surface_layer(geometry, SURFACE)]
    for axis, color in ((1, BLUE), (0, RED)):
        layers += _arrows(camera, positions[at], 0.55 * spacing * frame[at, :, axis], normal[at], color)
    return _view("Frames (first red, second blue)", geometry, layers, camera)


def log_map_view(
    geometry: LocalGeometry, vertex: int | None = None, *, radius: float | None = None, camera: Camera | None = None
) -> View:
    """Geodesic circles and rays around a vertex; colour is the geodesic distance.

    The lines are those of the log map in the geometry, linear on every face. The thick ray is the direction of the first frame
    vector; rays are 30 degrees apart.
    """
    whole = Camera.of(geometry) if camera is None else camera
    positions, faces = surface_of(geometry)
    _, normal = tangent_frame(geometry)
    around, near = _close_up(geometry, vertex, radius, whole)
    vertex, patch = around.vertex, LogPatch(geometry, around, normal)

    scale = ColorScale("geodesic distance", "viridis", 0.0, float(np.nanmax(patch.distance)))
    base = surface_layer(geometry, SURFACE)
    tinted = _part(surface_layer(geometry, scale(np.nan_to_num(patch.distance))), faces[patch.faces])
    layers = [_part(base, faces[~patch.faces]), tinted]
    # Short of the ragged rim, where a circle would be a few specks.
    edge = float(np.median(patch.edge_lengths)) if patch.faces.any() else 0.0
    reach, step = circle_radii(max(scale.high - edge, 0.5 * scale.high))
    angle = np.linspace(0.0, 2 * np.pi, 361)
    circles = [r * np.stack([np.cos(angle), np.sin(angle)], -1) for r in reach]
    along = np.linspace(0.0, 1.0, 200)[:, None] * max(scale.high, around.radius)
    rays = [along * [np.cos(a), np.sin(a)] for a in 2 * np.pi * np.arange(_RAYS) / _RAYS]
    for lines, width in ((circles, 1.2), (rays[1:], 0.8), (rays[:1], 2.2)):
        pieces = [patch.carry(line) for line in lines]
        layers += _ribbons(near, pieces, PAPER, width)
    layers += _dot(near, positions, normal, [vertex], RED)
    return _view(f"Log map at vertex {vertex}, circles every {step:g}", geometry, layers, near, scale)


def transport_view(
    geometry: LocalGeometry,
    vertex: int | None = None,
    *,
    radius: float | None = None,
    path: Sequence[int] | None = None,
    count: int = 70,
    camera: Camera | None = None,
) -> View:
    """The first frame vector of a vertex (red) carried along geodesics to its neighbourhood, or along a path (blue).

    Args:
        path: vertices to pass, joined by shortest paths along edges; where it returns to its first one, the last vector is
            orange, and its angle with the red one is the holonomy.
    """
    whole = Camera.of(geometry) if camera is None else camera
    positions, _ = surface_of(geometry)
    frame, normal = tangent_frame(geometry)
    color, lines = BLUE, []
    if path is not None:
        nodes = edge_path(geometry, list(path))
        near = whole.towards(positions[nodes], normal[nodes].mean(axis=0))
        size = 0.16 * near.extent
        shown = _stops(positions[nodes], 0.6 * size)
        vertex, at = nodes[0], np.array(nodes)[shown]
        carried = np.stack([carried_along(geometry, nodes, x) for x in np.eye(2)], -1)  # as columns
        title = f"Transport along a path of {len(nodes) - 1} edges"
        if nodes[-1] == vertex:
            color = np.where(np.arange(len(at))[:, None] == len(at) - 1, ORANGE, BLUE)
            turn = np.degrees(np.arctan2(carried[-1, 1, 0], carried[-1, 0, 0]))
            title = "Transport around a loop: " + (f"turned by {turn:.0f}°" if np.linalg.det(carried[-1]) > 0 else "mirrored")
        carried = carried[shown, :, 0]
        lines = _ribbons(near, [([positions[nodes]], [normal[nodes]])], INK, 1.2)
    else:
        around, near = _close_up(geometry, vertex, radius, whole)
        pick, spacing = spread(around, count)
        vertex, at, carried, size = around.vertex, around.nodes[pick], around.transport[pick, :, 0], 0.7 * spacing
        title = f"Transport from vertex {vertex}"
    layers = [surface_layer(geometry, SURFACE), *lines]
    layers += _arrows(near, positions[at], size * np.einsum("kij,kj->ki", frame[at], carried), normal[at], color)
    layers += _dot(near, positions, normal, [vertex], RED)
    start = 1.25 * size * frame[[vertex], :, 0]
    layers += _arrows(near, positions[[vertex]], start, normal[[vertex]], RED, 1.6)
    return _view(title, geometry, layers, near)


def _close_up(geometry: LocalGeometry, vertex: int | None, radius: float | None, whole: Camera) -> tuple[Neighbourhood, Camera]:
    """The neighbourhood of a vertex, by default of one that ``whole`` sees in front, and a camera that it fills."""
    around = neighbourhood(geometry, default_vertex(geometry, whole) if vertex is None else vertex, radius)
    seen = np.append(around.nodes, around.vertex)
    return around, whole.towards(surface_of(geometry)[0][seen], tangent_frame(geometry)[1][around.vertex])


def _stops(places: np.ndarray, distance: float) -> np.ndarray:
    """Indices along a path (K, 3) about a distance apart, with the last and without the first."""
    travelled = np.append(0.0, np.linalg.norm(np.diff(places, axis=0), axis=1).cumsum())
    stops = np.flatnonzero(np.diff(np.floor(travelled / distance)) > 0) + 1
    return np.append(stops[travelled[stops] < travelled[-1] - 0.5 * distance], len(places) - 1)


def curvature_view(geometry: LocalGeometry, *, limit: float | None = None, camera: Camera | None = None) -> View:
    """Gaussian curvature as colour, blue negative and red positive.

    Args:
        limit: curvature at the ends of the colours, by default one of which 90 % of the vertices stay below 70 %.
    """
    if geometry.curvature is None:
        raise GeometryError("this geometry has no curvature")
    values = np.asarray(geometry.curvature, float)
    if limit is None:
        size = np.abs(values)
        # Where more than 90 % is flat, its rounding is not to be shown as curvature.
        sphere = 4 * np.pi / total_area(geometry)
        limit = max(float(np.quantile(size, 0.9)) / 0.7, 1e-3 * sphere)
    scale = ColorScale("Gaussian curvature (1 / length²)", "diverging", -limit, limit)
    camera = Camera.of(geometry) if camera is None else camera
    return _view("Gaussian curvature", geometry, [surface_layer(geometry, scale(values), wire=0.0)], camera, scale)


def levels_view(geometry: LocalGeometry, level: int = 1, *, camera: Camera | None = None) -> View:
    """The nodes of a coarser level as dots, and as coloured regions the vertices that pool to each.

    Raises:
        ValueError: for a level that the geometry does not have.
    """
    levels = geometry.levels()
    if not 1 <= level < len(levels):
        raise ValueError(f"level must lie between 1 and {len(levels) - 1}, the coarser levels there are, got {level}")
    camera = Camera.of(geometry) if camera is None else camera
    positions, faces = surface_of(geometry)
    _, normal = tangent_frame(geometry)
    cluster = np.arange(geometry.num_nodes)
    for part in levels[:level]:
        cluster = part.coarse.cluster[cluster]
    coarse = np.asarray(levels[level].positions, float)
    nearest = cKDTree(positions).query(coarse)[1]  # coarse nodes are vertices
    size = min(2.0, 0.16 * np.sqrt(total_area(geometry) / len(coarse)) / (_LINE * camera.extent))
    layers = [surface_layer(geometry, adjacent_colors(cluster, faces), wire=0.0, cells=True)]
    if size > _SMALLEST:
        layers += _dot(camera, positions, normal, nearest, INK, size)
    return _view(f"Level {level}: {len(coarse)} of {geometry.num_nodes} nodes", geometry, layers, camera)


def cross_field_view(
    geometry: LocalGeometry, field: np.ndarray, n: int = 4, *, count: int = 900, camera: Camera | None = None
) -> View:
    r"""An N-RoSy field: n directions :math:`2 \pi / n` apart at evenly spaced vertices (n = 4: a cross field).

    Args:
        field: (N,) real, the angle of one representative in the frame of every vertex (radians); (N,) complex or (N, 2), the
            representation vector :math:`e^{i n \theta}` (any length); or (N, 3), one representative in space.
        n: the symmetry.
        count: about how many vertices show it.
    """
    angle = representative_angle(geometry, field, n)
    camera = Camera.of(geometry) if camera is None else camera
    positions, _ = surface_of(geometry)
    frame, normal = tangent_frame(geometry)
    at, spacing = evenly_spaced(geometry, count)
    at = at[np.isfinite(angle[at])]
    turns = angle[at, None] + 2 * np.pi * np.arange(n) / n
    arms = np.einsum("kij,knj->kni", frame[at], np.stack([np.cos(turns), np.sin(turns)], -1))
    if n == 1:
        glyphs = _arrows(camera, positions[at], 0.7 * spacing * arms[:, 0], normal[at], BLUE)
    else:
        width = min(0.6 * _LINE * camera.extent, 0.12 * spacing)
        glyphs = [crosses(positions[at], 0.42 * spacing * arms, normal[at], BLUE, width, _BIAS * camera.extent)]
    names = {1: "Vector field", 2: "Line field (2-RoSy)", 4: "Cross field (4-RoSy)"}
    return _view(names.get(n, f"{n}-RoSy field"), geometry, [surface_layer(geometry, SURFACE, wire=0.0), *glyphs], camera)


def representative_angle(geometry: LocalGeometry, field: np.ndarray, n: int) -> np.ndarray:
    """(N,) angle of one representative from any of the forms of cross_field_view; NaN where a representation vector is zero.

    Raises:
        ValueError: for a symmetry below 1 or another shape.
    """
    field, count = np.asarray(field), geometry.num_nodes
    if n < 1:
        raise ValueError(f"n, the symmetry of the field, must be at least 1, got {n}")
    if field.shape == (count, 3):
        frame, _ = tangent_frame(geometry)
        x, y = np.einsum("nij,ni->jn", frame, field)
        return np.where(np.hypot(x, y) > 0, np.arctan2(y, x), np.nan)
    if field.shape == (count,) and not np.iscomplexobj(field):
        return field.astype(float)
    if field.shape == (count, 2) and not np.iscomplexobj(field):
        field = field[:, 0] + 1j * field[:, 1]
    if field.shape != (count,):
        raise ValueError(f"a field must have shape ({count},), ({count}, 2) or ({count}, 3), got {field.shape}")
    return np.where(np.abs(field) > 0, np.angle(field) / n, np.nan)


def _view(
    title: str, geometry: LocalGeometry, layers: Sequence[Layer], camera: Camera, scale: ColorScale | None = None
) -> View:
    return View(title, on_sheet(geometry, layers), camera, scale)


def on_sheet(geometry: LocalGeometry, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers; a sheet and what lies on it are seen from both sides, of a body only the outside."""
    closed = is_closed(surface_of(geometry)[1])
    return tuple(layers) if closed else tuple(replace(layer, two_sided=True) for layer in layers)


def _part(layer: Layer, triangles: np.ndarray) -> Layer:
    return replace(layer, triangles=triangles)


def _arrows(camera: Camera, base, vector, normal, color, thick: float = 1.0) -> list[Layer]:
    length = float(np.linalg.norm(vector, axis=1).max(initial=0.0))
    width = min(1.3 * _LINE * thick * camera.extent, 0.16 * length)
    return arrows(base, vector, normal, color, width, _BIAS * camera.extent)


def _ribbons(camera: Camera, pieces, color, thick: float) -> list[Layer]:
    lines = [line for piece in pieces for line in piece[0]]
    normals = [normal for piece in pieces for normal in piece[1]]
    layer = ribbons(lines, normals, color, thick * _LINE * camera.extent, 0.5 * _BIAS * camera.extent)
    return [] if layer is None else [layer]


def _dot(camera: Camera, positions, normal, nodes, color, size: float = 2.2) -> list[Layer]:
    return dots(positions[nodes], normal[nodes], color, size * _LINE * camera.extent, 0.9 * _BIAS * camera.extent)
