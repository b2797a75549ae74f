"""Pictures of a geometry: PNG with matplotlib (the extra ``viz``), or an HTML page that turns and needs nothing."""

from __future__ import annotations

import importlib
from typing import Any

# Late, so that neither matplotlib nor numba is imported before something is drawn: name -> module.
_LATE = {
    "plot_frames": "plots",
    "plot_log_map": "plots",
    "plot_transport": "plots",
    "plot_curvature": "plots",
    "plot_levels": "plots",
    "plot_cross_field": "plots",
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
