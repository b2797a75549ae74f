"""Checks of the conventions of a LocalGeometry."""

from __future__ import annotations

import numpy as np

from ..errors import GeometryError
from .attributes import Attribute, attributes
from .local_geometry import LocalGeometry, Pooling, parse_orders


def validate_geometry(geometry: LocalGeometry, tolerance: float | None = None) -> None:
    """Check shapes, dtypes, order, ranges, finiteness and the conventions, on every level.

    Args:
        geometry: of any manifold and dimension d, with or without positions and frames.
        tolerance: relative, by default 1e-9 in float64 and 1e-4 in float32.

    Raises:
        GeometryError: naming the array, what was expected, and the first offending index.
    """
    for level, g in enumerate(geometry.levels()):
        where = f"level {level}: " if geometry.coarse is not None else ""
        _validate_level(g, _tolerance(g, tolerance), where)
        if g.coarse is not None:
            _validate_pooling(g, g.coarse, _tolerance(g, tolerance), where)


def _tolerance(g: LocalGeometry, tolerance: float | None) -> float:
    if tolerance is not None:
        return tolerance
    return 1e-9 if g.log.dtype == np.float64 else 1e-4


def _validate_level(g: LocalGeometry, tolerance: float, where: str) -> None:
    n = g.radius.shape[0]
    sizes = {"N": n, "E": g.edge_index.shape[-1], "d": g.log.shape[-1]}
    for a in attributes(lambda a: a.holder == "geometry"):
        _validate_attribute(a, a.of(g), sizes, {"nodes": n}, tolerance, where)
    source, target = g.edge_index
    _all(source != target, f"{where}edges must not be self-loops", source)
    key = target * n + source
    _all(np.diff(key) > 0, f"{where}edges must be sorted by target, then source, without repeats", key)
    with np.errstate(over="ignore"):  # longer than any radius, and refused as such
        r = np.linalg.norm(g.log, axis=1)
    _all(r <= g.radius[target] * (1 + tolerance), f"{where}log must not be longer than the radius of its target", r)
    _validate_reverse(g, key, r, tolerance, where)
    faces = 0 if g.faces is None else len(g.faces)
    for kind, data, rows in (("vertex_data", g.vertex_data, n), ("face_data", g.face_data, faces)):
        for name, values in data.items():
            fits = 1 <= values.ndim <= 3 and len(values) == rows
            _expect(fits, f"{where}{kind} {name!r} must have {rows} rows and at most 3 axes, got shape {values.shape}")
    for name, feature in g.features.items():
        width = sum(mul * (1 if order == 0 else 2) for mul, order in parse_orders(feature.type))
        _expect(
            feature.values.shape == (n, width), f"{where}feature {name!r} must be ({n}, {width}), got {feature.values.shape}"
        )
        _all(np.isfinite(feature.values), f"{where}feature {name!r} must be finite", feature.values)


def _validate_attribute(
    a: Attribute, array: np.ndarray | None, sizes: dict[str, int], count: dict[str, int], tolerance: float, where: str
) -> None:
    """Check an array against the registry; ``count``: of what its indices number."""
    name = where + a.name
    if array is None:
        _expect(not a.required, f"{name} is missing")
        return
    _expect(a.fits(array.shape, sizes), f"{name} must have shape {a.expected(sizes)}, got {array.shape}")
    if a.indexes:
        last, first = count[a.indexes] - 1, -1 if a.partial else 0
        _expect(array.dtype == np.int64, f"{name} must be int64, got {array.dtype}")
        _all((array >= first) & (array <= last), f"{name} must lie in {first}..{last}", array)
    else:
        _all(np.isfinite(array), f"{name} must be finite", array)
    if a.least == "positive":
        _all(array > 0, f"{name} must be positive", array)
    elif a.least == "zero":
        _all(array >= 0, f"{name} must not be negative", array)
    if a.orthogonal:
        gram = np.swapaxes(array, -1, -2) @ array
        error = np.abs(gram - np.eye(array.shape[-1])).max(axis=(1, 2), initial=0.0)
        _all(error <= max(tolerance, 1e-12), f"{name} must be orthogonal", error)


def _validate_reverse(g: LocalGeometry, key: np.ndarray, r: np.ndarray, tolerance: float, where: str) -> None:
    """Where the reverse edge exists, lengths agree and transporters are inverse."""
    if key.size == 0:
        return
    n = g.radius.shape[0]
    source, target = g.edge_index
    reverse = source * n + target
    place = np.minimum(np.searchsorted(key, reverse), key.size - 1)
    here = key[place] == reverse
    back = place[here]
    _all(np.abs(r[here] - r[back]) <= tolerance * g.radius[target[here]], f"{where}log lengths must be symmetric", r[here])
    product = g.transport[here] @ g.transport[back]
    error = np.abs(product - np.eye(g.log.shape[1])).max(axis=(1, 2), initial=0.0)
    _all(error <= max(tolerance, 1e-12), f"{where}transport of reverse edges must be inverse", error)


def _validate_pooling(g: LocalGeometry, pooling: Pooling, tolerance: float, where: str) -> None:
    few, cluster = pooling.geometry.num_nodes, pooling.cluster
    for a in attributes(lambda a: a.holder == "pooling"):
        _validate_attribute(a, a.of(g), {"N": g.num_nodes, "d": g.dim}, {"coarse": few}, tolerance, where)
    _all(np.bincount(cluster, minlength=few) > 0, f"{where}every coarse node needs a member", cluster)


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise GeometryError(message)


def _all(condition: np.ndarray, message: str, values: np.ndarray) -> None:
    """Raise with the first index where a condition fails."""
    if not condition.all():
        index = np.unravel_index(int(np.argmin(condition)), condition.shape)
        shown = values[index] if values.shape == condition.shape else values[index[0]]
        raise GeometryError(f"{message}: at index {tuple(int(i) for i in index)} it is {shown}")
