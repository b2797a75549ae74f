"""Where things are drawn: the vertices that show something, and how many."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..geometry.local_geometry import LocalGeometry
from ..geometry.meshes.features import area_centroid
from .neighbourhood import Neighbourhood, check_vertex
from .scene import Camera, surface_of, tangent_frame


def default_vertex(geometry: LocalGeometry, camera: Camera) -> int:
    """A vertex near the middle of the body that faces the viewer."""
    positions, faces = surface_of(geometry)
    _, normal = tangent_frame(geometry)
    places = camera.project(positions - area_centroid(positions, faces) + camera.center)
    away = np.maximum(0.0, 0.5 - normal @ camera.rotation[2])
    return int(np.argmin((places**2).sum(-1) - 0.3 * places[:, 2] + 4.0 * away))


def default_radius(geometry: LocalGeometry, vertex: int, share: float = 0.12) -> float:
    """The radius of the flat disc that has this fraction of the surface's area; at least the vertex' longest edge."""
    check_vertex(geometry, vertex)
    positions, faces = surface_of(geometry)
    ring = faces[(faces == vertex).any(axis=1)]
    longest = np.linalg.norm(positions[ring] - positions[vertex], axis=2).max(initial=0.0)
    return float(max(np.sqrt(share * total_area(geometry) / np.pi), 1.001 * longest))


def evenly_spaced(geometry: LocalGeometry, count: int) -> tuple[np.ndarray, float]:
    """About ``count`` vertices no closer in space than the spacing that is returned with them (greedy, in vertex order)."""
    positions, _ = surface_of(geometry)
    # Discs of this diameter, placed at random while there is room, cover 0.55 of the plane (random sequential adsorption).
    spacing = float(np.sqrt(0.7 * total_area(geometry) / count))
    tree, free, chosen = cKDTree(positions), np.ones(len(positions), bool), []
    for v in range(len(positions)):
        if free[v]:
            chosen.append(v)
            free[tree.query_ball_point(positions[v], spacing)] = False
    return np.array(chosen), spacing


def spread(around: Neighbourhood, count: int) -> tuple[np.ndarray, float]:
    """Neighbours that are not too close to each other in the log map, by index, and their spacing."""
    reach = np.linalg.norm(around.log, axis=1)
    spacing = 1.3 * float(reach.max()) * np.sqrt(np.pi / count)
    # A sparse neighbourhood (one or two rings) is shown whole: its arrows are as long as its edges.
    spacing = max(spacing, float(np.median(cKDTree(around.log).query(around.log, 2)[0][:, 1])) if len(reach) > 1 else 0.0)
    spacing = min(spacing, 0.5 * float(reach.max()))
    places, chosen = np.zeros((1, 2)), []
    for k in np.argsort(reach, kind="stable"):
        if np.linalg.norm(places - around.log[k], axis=1).min() >= 0.8 * spacing:
            places = np.vstack([places, around.log[k]])
            chosen.append(k)
    return np.array(chosen, int), spacing


def circle_radii(reach: float) -> tuple[np.ndarray, float]:
    """Radii of four to ten circles, multiples of a round number, and that number."""
    rough = reach / 5.0
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * max(k for k in (1.0, 2.0, 5.0) if k * power <= rough)
    return step * np.arange(1, int(reach / step) + 1), step


def total_area(geometry: LocalGeometry) -> float:
    """Of the faces."""
    positions, faces = surface_of(geometry)
    a, b, c = positions[faces].swapaxes(0, 1)
    return 0.5 * float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
