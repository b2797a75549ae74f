"""Vectors and symmetric tensors of the ambient space as fields in the frames of a surface, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import as_array
from ..errors import GeometryError
from .local_geometry import Feature, LocalGeometry, parse_orders

_VECTORS, _TENSORS = "1x0 + 1x1", "2x0 + 1x1 + 1x2"


def to_frames(vectors: Any, geom: LocalGeometry) -> Feature:
    r"""Vectors or symmetric tensors at the nodes, as fields of orders 0, 1 and 2 in the frames: targets and inputs of layers.

    With n the outward normal and E_p the frame, a vector v becomes

    .. math:: (n \cdot v, \; E_p^T v) \quad \text{of type 1x0 + 1x1}

    and a symmetric tensor T, with :math:`S = E_p^T T E_p` its part in the tangent plane,

    .. math:: \big(n^T T n, \tfrac12 (S_{11} + S_{22}), \; E_p^T T n, \; \tfrac12 (S_{11} - S_{22}), S_{12}\big)
              \quad \text{of type 2x0 + 1x1 + 1x2.}

    Nothing is lost: :func:`from_frames` gives them back. A network from these fields to these fields commutes with rotations
    of the shape and what is on it. Components to use alone are those of the blocks in order: ``values[:, 1:]`` of a
    vector field is its tangential part, ``"1x1"``.

    Args:
        vectors: (N, 3) or (N, 3, 3), at the nodes (rows of the vertices of a mesh that was repaired go with
            ``geom.vertex_data["ids"]``).
        geom: a surface in space, with frames.

    Raises:
        GeometryError: a geometry without frames in space; other shapes; NaN or infinity; tensors that are not symmetric.
    """
    frame, normal = _frames(geom, "to_frames")
    values = as_array(vectors).astype(np.float64)
    if values.shape not in ((geom.num_nodes, 3), (geom.num_nodes, 3, 3)):
        raise GeometryError(
            f"to_frames expected vectors ({geom.num_nodes}, 3) or symmetric tensors ({geom.num_nodes}, 3, 3), a row for each "
            f"node, got {values.shape}"
        )
    if not np.isfinite(values).all():
        raise GeometryError(f"to_frames got NaN or infinity at node {int(np.argwhere(~np.isfinite(values))[0, 0])}")
    if values.ndim == 2:
        return Feature(np.column_stack([(normal * values).sum(1), np.einsum("nai,na->ni", frame, values)]), _VECTORS)
    size = np.abs(values).max((1, 2), initial=0.0)
    skew = np.abs(values - np.swapaxes(values, 1, 2)).max((1, 2), initial=0.0) > 1e-6 * size
    if skew.any():
        raise GeometryError(f"to_frames expected symmetric tensors, that of node {int(np.flatnonzero(skew)[0])} is not")
    s = np.swapaxes(frame, 1, 2) @ values @ frame
    along = np.einsum("na,nab,nb->n", normal, values, normal)
    mixed = np.einsum("nai,nab,nb->ni", frame, values, normal)
    half, difference = (s[:, 0, 0] + s[:, 1, 1]) / 2, (s[:, 0, 0] - s[:, 1, 1]) / 2
    return Feature(np.column_stack([along, half, mixed, difference, (s[:, 0, 1] + s[:, 1, 0]) / 2]), _TENSORS)


def from_frames(field: Feature | np.ndarray, geom: LocalGeometry, type: str | None = None) -> np.ndarray:
    """Vectors (N, 3) or symmetric tensors (N, 3, 3) of fields in the frames: the inverse of :func:`to_frames`.

    Args:
        field: a Feature, or values (N, dim) with their type, such as the prediction of a network. Parts that are not there
            are zero: ``"1x1"`` is a tangential vector field, ``"1x2"`` a traceless tensor in the tangent plane, ``"1x0 + 1x2"``
            one with half its trace (the second fundamental form).
        geom: as in :func:`to_frames`.
        type: "1x1", "1x0 + 1x1" (vectors); "1x2", "1x0 + 1x2", "2x0 + 1x1 + 1x2" (tensors). Of a Feature, its own.

    Raises:
        GeometryError: another type; values of another shape; a geometry without frames in space.
    """
    frame, normal = _frames(geom, "from_frames")
    values, name = (field.values, field.type) if isinstance(field, Feature) else (as_array(field), type)
    blocks = tuple(parse_orders(name)) if name is not None else ()
    dims = {((1, 1),): 2, ((1, 0), (1, 1)): 3, ((1, 2),): 2, ((1, 0), (1, 2)): 3, ((2, 0), (1, 1), (1, 2)): 6}
    if blocks not in dims:
        raise GeometryError(
            f'from_frames expected a type of "1x1", "1x0 + 1x1", "1x2", "1x0 + 1x2" and "2x0 + 1x1 + 1x2", got {name!r}'
        )
    if values.shape != (geom.num_nodes, dims[blocks]):
        raise GeometryError(
            f"from_frames expected {name} at {geom.num_nodes} nodes, {dims[blocks]} numbers, got {values.shape}"
        )
    zero = np.zeros(geom.num_nodes, values.dtype)
    if blocks[-1] == (1, 1):
        along = values[:, 0] if len(blocks) == 2 else zero
        return np.einsum("nai,ni->na", frame, values[:, -2:]) + along[:, None] * normal
    along, half, mixed = zero, zero, np.zeros((geom.num_nodes, 2), values.dtype)
    if len(blocks) == 2:
        half = values[:, 0]
    elif len(blocks) == 3:
        along, half, mixed = values[:, 0], values[:, 1], values[:, 2:4]
    difference, shear = values[:, -2], values[:, -1]
    s = np.stack([np.stack([half + difference, shear], -1), np.stack([shear, half - difference], -1)], -2)
    cross = np.einsum("nai,ni,nb->nab", frame, mixed, normal)
    inside = frame @ s @ np.swapaxes(frame, 1, 2)
    return inside + cross + np.swapaxes(cross, 1, 2) + np.einsum("n,na,nb->nab", along, normal, normal)


def _frames(geom: LocalGeometry, caller: str) -> tuple[np.ndarray, np.ndarray]:
    """Frames (N, 3, 2) and outward normals (N, 3)."""
    frame = geom.frame
    if frame is None or frame.shape[1:] != (3, 2):
        got = "none" if frame is None else f"shape {frame.shape}"
        raise GeometryError(f"{caller} expected the geometry of a surface in space, with frames (N, 3, 2), got {got}")
    if geom.faces is None or geom.positions is None:
        return frame, np.cross(frame[..., 0], frame[..., 1])
    # Late: meshes build on this room's geometry.
    from .meshes.features import outward_normals

    return frame, outward_normals(geom.positions, geom.faces, frame)
