"""Pictures of a geometry: PNG with matplotlib (the extra ``viz``), or an HTML page that turns and needs nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what __getattr__ gives
    from .html import save_html as save_html
    from .maps.sphere_maps import plot_map as plot_map
    from .placing import default_radius as default_radius
    from .placing import default_vertex as default_vertex
    from .plots import plot_cross_field as plot_cross_field
    from .plots import plot_curvature as plot_curvature
    from .plots import plot_field as plot_field
    from .plots import plot_frames as plot_frames
    from .plots import plot_labels as plot_labels
    from .plots import plot_levels as plot_levels
    from .plots import plot_log_map as plot_log_map
    from .plots import plot_overview as plot_overview
    from .plots import plot_transport as plot_transport
    from .scene import Camera as Camera
    from .selection import VIEWS as VIEWS
    from .selection import principal_directions as principal_directions
    from .selection import select_views as select_views

# Late, so that neither matplotlib nor numba is imported before something is drawn: name -> module.
_LATE = {
    "plot_frames": "plots",
    "plot_log_map": "plots",
    "plot_transport": "plots",
    "plot_curvature": "plots",
    "plot_levels": "plots",
    "plot_cross_field": "plots",
    "plot_field": "plots",
    "plot_labels": "plots",
    "plot_overview": "plots",
    "plot_map": "maps.sphere_maps",
    "save_html": "html",
    "select_views": "selection",
    "VIEWS": "selection",
    "principal_directions": "selection",
    "default_vertex": "placing",
    "default_radius": "placing",
    "Camera": "scene",
}

__all__ = [*_LATE]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module 'gaugenet.viz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
