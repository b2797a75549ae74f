"""Does a LocalGeometry keep the conventions?"""

from __future__ import annotations

import numpy as np

from ..errors import GeometryError
from .local_geometry import LocalGeometry, parse_orders


def validate_geometry(geometry: LocalGeometry, tolerance: float | None = None) -> None:
    """Check shapes, dtypes, order, ranges, finiteness and the conventions, on every level.

    Args:
        geometry: of any manifold; d = 2 or 3, with or without positions and frames.
        tolerance: relative, by default 1e-9 in float64 and 1e-4 in float32.

    Raises:
        GeometryError: naming the array, what was expected, and the first offending index.
    """
    for level, g in enumerate(geometry.levels()):
        where = f"level {level}: " if geometry.coarse is not None else ""
        _validate_level(g, _tolerance(g, tolerance), where)
        if g.coarse is not None:
            _validate_pooling(g, _tolerance(g, tolerance), where)


def _tolerance(g: LocalGeometry, tolerance: float | None) -> float:
    if tolerance is not None:
        return tolerance
    return 1e-9 if g.log.dtype == np.float64 else 1e-4


def _validate_level(g: LocalGeometry, tolerance: float, where: str) -> None:
    n, e, d = g.radius.shape[0], g.edge_index.shape[-1], g.log.shape[-1]
    shapes = {
        "edge_index": (2, e),
        "log": (e, d),
        "transport": (e, d, d),
        "weight": (e,),
        "radius": (n,),
        "area": (n,),
        "curvature": (n,),
        "cone_angle": (n,),
    }
    for name, shape in shapes.items():
        array = getattr(g, name)
        if array is None and name in ("area", "curvature", "cone_angle"):
            continue
        _expect(array.shape == shape, f"{where}{name} must have shape {shape}, got {array.shape}")
        if name != "edge_index":
            _all(np.isfinite(array), f"{where}{name} must be finite", array)
    _expect(g.edge_index.dtype == np.int64, f"{where}edge_index must be int64, got {g.edge_index.dtype}")
    source, target = g.edge_index
    _all((g.edge_index >= 0) & (g.edge_index < n), f"{where}edge_index must lie in 0..{n - 1}", g.edge_index)
    _all(source != target, f"{where}edges must not be self-loops", source)
    key = target * n + source
    _all(np.diff(key) > 0, f"{where}edges must be sorted by target, then source, without repeats", key)
    _all(g.radius > 0, f"{where}radius must be positive", g.radius)
    _all(g.weight >= 0, f"{where}weight must not be negative", g.weight)
    if g.area is not None:
        _all(g.area >= 0, f"{where}area must not be negative", g.area)
    with np.errstate(over="ignore"):  # longer than any radius, and refused as such
        r = np.linalg.norm(g.log, axis=1)
    _all(r <= g.radius[target] * (1 + tolerance), f"{where}log must not be longer than the radius of its target", r)
    _orthogonal(g.transport, tolerance, f"{where}transport")
    _validate_reverse(g, key, r, tolerance, where)
    if g.frame is not None:
        _expect(g.frame.ndim == 3 and g.frame.shape[0] == n and g.frame.shape[2] == d, f"{where}frame must be ({n}, D, {d})")
        _orthogonal(g.frame, tolerance, f"{where}frame")
    if g.positions is not None:
        _expect(g.positions.shape[0] == n, f"{where}positions must have {n} rows, got {g.positions.shape[0]}")
        _all(np.isfinite(g.positions), f"{where}positions must be finite", g.positions)
    if g.faces is not None:
        _all((g.faces >= 0) & (g.faces < n), f"{where}faces must lie in 0..{n - 1}", g.faces)
    for name, feature in g.features.items():
        width = sum(mul * (1 if order == 0 else 2) for mul, order in parse_orders(feature.type))
        _expect(
            feature.values.shape == (n, width), f"{where}feature {name!r} must be ({n}, {width}), got {feature.values.shape}"
        )
        _all(np.isfinite(feature.values), f"{where}feature {name!r} must be finite", feature.values)


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


def _validate_pooling(g: LocalGeometry, tolerance: float, where: str) -> None:
    pooling, n, d = g.coarse, g.radius.shape[0], g.log.shape[1]
    few = pooling.geometry.num_nodes
    _expect(pooling.cluster.shape == (n,), f"{where}cluster must have shape ({n},), got {pooling.cluster.shape}")
    _all((pooling.cluster >= 0) & (pooling.cluster < few), f"{where}cluster must lie in 0..{few - 1}", pooling.cluster)
    _all(np.bincount(pooling.cluster, minlength=few) > 0, f"{where}every coarse node needs a member", pooling.cluster)
    _expect(pooling.transport.shape == (n, d, d), f"{where}cluster transport must have shape {(n, d, d)}")
    _orthogonal(pooling.transport, tolerance, f"{where}cluster transport")


def _orthogonal(matrices: np.ndarray, tolerance: float, name: str) -> None:
    gram = np.swapaxes(matrices, -1, -2) @ matrices
    error = np.abs(gram - np.eye(matrices.shape[-1])).max(axis=(1, 2), initial=0.0)
    _all(error <= max(tolerance, 1e-12), f"{name} must be orthogonal", error)


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise GeometryError(message)


def _all(condition: np.ndarray, message: str, values: np.ndarray) -> None:
    """Raise with the first index where a condition fails."""
    if not condition.all():
        index = np.unravel_index(int(np.argmin(condition)), condition.shape)
        shown = values[index] if values.shape == condition.shape else values[index[0]]
        raise GeometryError(f"{message}: at index {tuple(int(i) for i in index)} it is {shown}")
