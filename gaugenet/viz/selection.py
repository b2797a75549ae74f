"""Which views make a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import GeometryError
from ..geometry.local_geometry import LocalGeometry
from .placing import default_vertex
from .scene import Camera, View, surface_of, tangent_frame
from .views import cross_field_view, curvature_view, frames_view, levels_view, log_map_view, transport_view

VIEWS = ("frames", "log", "transport", "curvature", "levels", "field")


def select_views(
    geometry: LocalGeometry,
    show: Sequence[str] | None = None,
    *,
    vertex: int | None = None,
    radius: float | None = None,
    path: Sequence[int] | None = None,
    field: np.ndarray | None = None,
    n: int = 4,
    camera: Camera | None = None,
) -> list[View]:
    """The views of a geometry by name, in the order given.

    Args:
        show: names out of ``VIEWS``: "levels" is one view for each coarser level; "field" shows ``field``, or without one the
            directions of principal curvature. By default the first four, the levels that there are and the field that is given.
        vertex, radius: of "log" and "transport", see :func:`gaugenet.viz.plot_log_map`. path: of "transport".
        field, n: see :func:`gaugenet.viz.plot_cross_field`.
        camera: by default :meth:`Camera.of`.

    Raises:
        ValueError: unknown names, or what the views refuse.
        GeometryError: a geometry that lacks what is to be shown.
    """
    if show is None:
        show = [*VIEWS[:4], *(["levels"] if geometry.coarse is not None else []), *(["field"] if field is not None else [])]
    for name in show:
        if name not in VIEWS:
            raise ValueError(f"unknown view {name!r}: expected some of {', '.join(VIEWS)}")
    if not show:
        raise ValueError(f"nothing to show: expected some of {', '.join(VIEWS)}")
    camera = Camera.of(geometry) if camera is None else camera
    vertex = default_vertex(geometry, camera) if vertex is None else vertex
    views: list[View] = []
    for name in show:
        if name == "frames":
            views.append(frames_view(geometry, camera=camera))
        elif name == "log":
            views.append(log_map_view(geometry, vertex, radius=radius, camera=camera))
        elif name == "transport":
            views.append(transport_view(geometry, vertex, radius=radius, path=path, camera=camera))
        elif name == "curvature":
            views.append(curvature_view(geometry, camera=camera))
        elif name == "levels":
            if geometry.coarse is None:
                raise GeometryError("this geometry has no coarser levels to show")
            views += [levels_view(geometry, level, camera=camera) for level in range(1, len(geometry.levels()))]
        else:
            values, symmetry = (principal_directions(geometry), 4) if field is None else (field, n)
            views.append(cross_field_view(geometry, values, symmetry, camera=camera))
    return views


def principal_directions(geometry: LocalGeometry) -> np.ndarray:
    """(N,) angle of the direction of largest curvature in the frame of every vertex, NaN at umbilics (Rusinkiewicz 2004)."""
    from ..geometry.meshes.features import second_fundamental_form_feature

    frame, _ = tangent_frame(geometry)
    traceless = second_fundamental_form_feature(*surface_of(geometry), frame).values[:, 1:]
    size = np.linalg.norm(traceless, axis=1)
    return np.where(size > 1e-9 * size.max(initial=1e-300), 0.5 * np.arctan2(traceless[:, 1], traceless[:, 0]), np.nan)
