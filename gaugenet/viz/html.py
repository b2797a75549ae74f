"""A page that shows the views and turns them: one file with its data and a small WebGL program, and no other needs."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry.local_geometry import LocalGeometry
from ..io.durable import write_atomic
from .colors import table
from .fields import field_view
from .scene import GRAZING, LIGHT, Camera, Layer, View
from .selection import select_views

_TEMPLATE = Path(__file__).with_name("viewer.html")


def save_html(
    geometry: LocalGeometry,
    file: str | os.PathLike,
    show: Sequence[str] | None = None,
    *,
    title: str = "gaugenet",
    vertex: int | None = None,
    radius: float | None = None,
    path: Sequence[int] | None = None,
    field: np.ndarray | None = None,
    n: int = 4,
    camera: Camera | None = None,
    fields: Mapping[str, Any] | None = None,
) -> None:
    """Write an HTML page with a button for every view: drag to turn, wheel to zoom, shift and drag to move.

    Positions are stored in float32, normals and colours in 8 bits; what views share is stored once.

    Args:
        file: where. title: of the page. show and the others: as for :func:`gaugenet.viz.select_views`.
        fields: name -> field of order 0, 1 or 2, as for :func:`gaugenet.viz.plot_field`: a view each, after the others. With
            ``show=()`` there are no others.

    Raises:
        ValueError: as of select_views. OSError: a file that cannot be written.
    """
    views = [replace(field_view(geometry, one, label=name, camera=camera), title=name) for name, one in (fields or {}).items()]
    if not views or show is None or len(show):
        views = select_views(geometry, show, vertex=vertex, radius=radius, path=path, field=field, n=n, camera=camera) + views
    text = page(views, title)
    write_atomic(Path(file), text.encode())


def page(views: Sequence[View], title: str) -> str:
    """The HTML text."""
    store = _Store()
    data = {
        "grazing": GRAZING,
        "light": LIGHT.tolist(),
        "views": [_view(view, store) for view in views],
        "arrays": store.arrays,
    }
    # A "</script>" in a name must not end the script.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    template = _TEMPLATE.read_text(encoding="utf-8")
    return template.replace("__TITLE__", html.escape(title), 1).replace("__DATA__", text, 1)


class _Store:
    """Arrays as base64, equal ones once."""

    def __init__(self):
        self.arrays: list[dict] = []
        self._known: dict[tuple[str, bytes], int] = {}

    def add(self, values: np.ndarray, kind: str) -> int:
        data = np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<")).tobytes()
        if (kind, data) not in self._known:
            self._known[kind, data] = len(self.arrays)
            self.arrays.append({"type": kind, "data": base64.b64encode(data).decode()})
        return self._known[kind, data]


def _view(view: View, store: _Store) -> dict:
    camera, scale = view.camera, view.scale
    return {
        "title": view.title,
        "rotation": camera.rotation.tolist(),
        "center": camera.center.tolist(),
        "extent": camera.extent,
        "scale": scale and {"label": scale.label, "low": scale.low, "high": scale.high, "colors": table(scale.name).tolist()},
        "layers": [_layer(layer, store) for layer in view.layers],
    }


def _layer(layer: Layer, store: _Store) -> dict:
    used, triangles = np.unique(layer.triangles, return_inverse=True)
    every = len(used) == 0 or len(used) > 0.7 * len(layer.positions)
    keep = slice(None) if every else used
    index = layer.triangles if every else triangles.reshape(-1, 3)
    return {
        "positions": store.add(layer.positions[keep], "float32"),
        "normals": store.add(np.rint(127.0 * layer.normals[keep]), "int8"),
        "colors": store.add(np.rint(255.0 * layer.colors[keep]), "uint8"),
        "triangles": store.add(index, "uint32"),
        "lit": layer.lit,
        "wire": layer.wire,
        "bias": layer.bias,
        "cells": layer.cells,
        "two_sided": layer.two_sided,
    }
