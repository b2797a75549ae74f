"""Fields of orders 0, 1 and 2 on a surface: colours, arrows, and crosses of principal directions; and classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..checks import as_array
from ..errors import GeometryError
from ..geometry.local_geometry import LocalGeometry
from ..io.libraries.writing import ambient_values
from .colors import BLUE, INK, RED, SURFACE, label_colors, scale_of
from .glyphs import arrows, crosses
from .placing import evenly_spaced
from .scene import Camera, Layer, View, surface_layer, surface_of, tangent_frame
from .views import on_sheet

# In units of half the picture's width.
_WIDTH, _BIAS = 0.008, 0.02
_ORDERS = {1: "Scalar field", 2: "Vector field", 3: "Tensor field"}


def field_view(geometry: LocalGeometry, field: Any, *, label: str = "", count: int = 300, camera: Camera | None = None) -> View:
    """A field: its size as colour, vectors as arrows, tensors as crosses of their principal directions.

    Arrows and arms are as long as the vectors and eigenvalues, relative to the largest; arms of positive eigenvalues are
    red, of negative ones blue. Of ambient vectors and tensors the tangential part is drawn, and the size of all of it.

    Args:
        geometry: with frames, for vectors and tensors.
        field: (N,) scalars, (N, 3) vectors or (N, 3, 3) symmetric tensors of space, NaN where unknown; or a pair
            (values, type) of one field in the frames, such as a Feature: ``(values, "1x1")``, ``(values, "1x2")``.
        label: of the colours, such as "stress (Pa)".
        count: about how many glyphs.
        camera: by default :meth:`Camera.of`.

    Raises:
        ValueError: another shape, more than one field. GeometryError: another number of rows.
    """
    found = list(ambient_values(geometry, {"field": field}).values())
    shapes = [values.shape[1:] for values in found]
    if shapes not in ([()], [(3,)], [(3, 3)]):
        text = "(N,), (N, 3), (N, 3, 3) or (values, type) of one field of order 0, 1 or 2"
        raise ValueError(f"field expected {text}, got {[(len(found[0]), *shape) for shape in shapes]}")
    values = np.asarray(found[0], float)
    camera = Camera.of(geometry) if camera is None else camera
    size = values if values.ndim == 1 else np.linalg.norm(values.reshape(len(values), -1), axis=1)
    scale, known = scale_of(size, label=label), np.isfinite(size)
    colors = np.where(known[:, None], scale(np.nan_to_num(size)), SURFACE)
    layers = [surface_layer(geometry, colors, wire=0.0)]
    if values.ndim > 1:
        at, spacing = evenly_spaced(geometry, count)
        layers += _glyphs(geometry, values, at[known[at]], spacing, camera)
    return View(_ORDERS[values.ndim], on_sheet(geometry, layers), camera, scale)


def labels_view(geometry: LocalGeometry, labels: Any, *, title: str = "Labels", camera: Camera | None = None) -> View:
    """A colour for each class, of the vertices or of the faces.

    Args:
        geometry: with faces.
        labels: (N,) or (F,) whole numbers; negative ones are unknown, and grey. As many faces as vertices: of the vertices.
        title: of the panel. camera: by default :meth:`Camera.of`.

    Raises:
        GeometryError: another number of labels. ValueError: no whole numbers.
    """
    numbers = as_array(labels)
    if numbers.dtype.kind not in "iub" or numbers.ndim != 1:
        raise ValueError(f"labels expected whole numbers of one axis, got {numbers.dtype} of shape {numbers.shape}")
    positions, faces = surface_of(geometry)
    if len(numbers) not in (len(positions), len(faces)):
        raise GeometryError(
            f"labels expected one for each of {len(positions)} vertices or {len(faces)} faces, got {len(numbers)}"
        )
    camera = Camera.of(geometry) if camera is None else camera
    colors = label_colors(numbers.astype(np.int64))
    layer = surface_layer(geometry, colors if len(numbers) == len(positions) else SURFACE, wire=0.0)
    if len(numbers) != len(positions):
        # Every face has corners of its own, in its colour.
        corners = faces.reshape(-1)
        layer = replace(
            layer,
            positions=layer.positions[corners],
            normals=layer.normals[corners],
            colors=np.repeat(colors, 3, axis=0),
            triangles=np.arange(len(corners)).reshape(-1, 3),
        )
    return View(title, on_sheet(geometry, [layer]), camera)


def _glyphs(geometry: LocalGeometry, values: np.ndarray, at: np.ndarray, spacing: float, camera: Camera) -> list[Layer]:
    positions, _ = surface_of(geometry)
    frame, normal = (part[at] for part in tangent_frame(geometry))
    width, bias = min(_WIDTH * camera.extent, 0.1 * spacing), _BIAS * camera.extent
    if values.ndim == 2:
        tangent = values[at] - normal * (values[at] * normal).sum(1, keepdims=True)
        length = np.linalg.norm(tangent, axis=1)
        most = length.max(initial=0.0)
        keep = length > 0.02 * most
        vectors = 0.9 * spacing * tangent[keep] / (most or 1.0)
        return arrows(positions[at][keep], vectors, normal[keep], INK, width, bias) if keep.any() else []
    inside = np.einsum("kia,kij,kjb->kab", frame, values[at], frame)
    eigenvalues, axes = np.linalg.eigh(0.5 * (inside + inside.swapaxes(1, 2)))
    arms = np.einsum("kia,kan->kni", frame, axes)  # a unit vector for each eigenvalue
    most, layers = np.abs(eigenvalues).max(initial=0.0), []
    for number in range(2):
        for sign, color in ((1, RED), (-1, BLUE)):
            share = sign * eigenvalues[:, number] / (most or 1.0)
            keep = share > 0.02
            if keep.any():
                arm = 0.45 * spacing * share[keep, None] * arms[keep, number]
                both = np.stack([arm, -arm], 1)
                layers.append(crosses(positions[at][keep], both, normal[keep], color, width, bias))
    return layers
