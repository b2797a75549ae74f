"""Lie groups as manifolds: left-invariant frames, in which nothing turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...checks import check_int, check_number
from ..local_geometry import LocalGeometry, Pooling
from .groups import LieGroup
from .lifts import Lift
from .neighbours import Sample, farthest_points, nearest, within

#: neighbours where neither their number nor a radius is given
DEFAULT_NEIGHBOURS = 32


def lie_group(
    group: str | LieGroup,
    elements: np.ndarray | Lift,
    radius: float | Sequence[float] | None = None,
    neighbours: int | None = None,
    *,
    orbit: np.ndarray | None = None,
    area: np.ndarray | None = None,
    alpha: float | None = None,
    levels: int = 0,
    ratio: float = 0.25,
) -> LocalGeometry:
    r"""Elements of a Lie group with their left-invariant frames: G = {e}, and group convolutions are those of any manifold.

    .. math:: \log_p(q) = \log(u_p^{-1} u_q), \qquad g_{pq} = 1

    A left translation of all elements changes neither, so that every layer on it is equivariant (Bekkers 2020, arXiv
    1909.12057; Finzi et al. 2020, arXiv 2002.12880). Layers take field types over ``groups.Trivial(d)``, d the dimension of the
    group. Half a turn has two logarithms: one of them is taken, always the same, and ``metadata["edges_on_cut"]`` is the number
    of such edges.

    Args:
        group: "T2", "T3" (any "Td"), "SO2", "RxSO2", "SE2", "SO3", "SE3", "R2xR+", see :class:`LieGroup`.
        elements: (N, n, n) matrices, or a :class:`Lift`, which brings orbit and area.
        radius: of the neighbourhoods, in the :meth:`LieGroup.distance` of ``alpha``: one, which grows from level to level as
            the spacing does, by ratio^(-1/d), or one for each level. Kernels see log / radius; with alpha they see it divided
            by the largest norm of a log in reach.
        neighbours: number of the nearest; all that tie with the last are in. With a radius those within it. 32 where neither is
            given. Without a radius each neighbourhood has the radius of its longest log.
        orbit: (N, Q) what tells orbits apart, seen by ``kernels.MLP(orbit=Q)``.
        area: (N,) Haar measure of the cell of each element. With a radius, sums over neighbourhoods are integrals by it,
            divided by their volume; without, they are weighted means over the neighbours and the centre. By default plain
            means.
        alpha: None for the norm of the log, or the weight of turns in the distance of Finzi et al. (there 0.2).
        levels: coarser levels, each of ``ratio`` times as many elements, the farthest from each other.

    Returns:
        LocalGeometry with ``positions`` (N, space), where the elements take the origin of the group (on "SO2" and "SO3" times
        the orbit), and ``orbit``.

    Raises:
        TypeError, ValueError: arguments of another kind, elements that are not of the group.
    """
    name = "lie_group"
    group = LieGroup.of(group)
    if isinstance(elements, Lift):
        orbit, area = elements.orbit if orbit is None else orbit, elements.area if area is None else area
        elements = elements.elements
    u = group.check(elements, name)
    orbit, area = _column(name, "orbit", orbit, len(u), 2), _column(name, "area", area, len(u), 1)
    if area is not None and (area < 0).any():
        raise ValueError(f"{name} expected area to be at least 0, got {area.min():g} at {int(area.argmin())}")
    check_int(name, "levels", levels, 0)
    if not 0 < check_number(name, "ratio", ratio, positive=True) < 1:
        raise ValueError(f"{name} expected ratio to be a number between 0 and 1, got {ratio!r}")
    if alpha is not None and not 0 < check_number(name, "alpha", alpha, positive=True) < 1:
        raise ValueError(f"{name} expected alpha to be a number between 0 and 1, or None, got {alpha!r}")
    if neighbours is not None:
        check_int(name, "neighbours", neighbours)
    radii = _radii(radius, levels, ratio ** (-1 / group.dim))
    if radius is None and neighbours is None:
        neighbours = DEFAULT_NEIGHBOURS
    return _level(Sample(group, u, orbit, alpha), area, radii, neighbours, ratio)


def _level(
    sample: Sample, area: np.ndarray | None, radii: list[float | None], count: int | None, ratio: float
) -> LocalGeometry:
    group, n, d = sample.group, len(sample.elements), sample.group.dim
    reach = radii[0]
    if count is not None:
        source, target, log, _ = nearest(sample, count, np.inf if reach is None else reach)
    else:
        source, target, log, _ = within(sample, np.full(n, reach))
    if reach is None:
        radius = np.zeros(n)
        np.maximum.at(radius, target, np.linalg.norm(log, axis=1))
        radius[radius == 0] = 1.0
    else:
        radius = np.full(n, reach * group.reach(sample.alpha))
    if reach is None or area is None:
        cell = np.ones(n) if area is None else area
        whole = cell + np.bincount(target, cell[source], n)
        weight = cell[source] / whole[target]
    else:
        weight = area[source] / group.volume(reach, sample.alpha)
    return LocalGeometry(
        edge_index=np.stack([source, target]),
        log=log,
        transport=np.broadcast_to(np.eye(d), (len(source), d, d)).copy(),
        weight=weight,
        radius=radius,
        positions=_positions(sample),
        area=area,
        orbit=sample.orbit,
        coarse=_coarser(sample, area, radii[1:], count, ratio) if len(radii) > 1 else None,
        metadata={
            "manifold": "lie_group",
            "group": group.name,
            "alpha": sample.alpha,
            "edges_on_cut": int(group.on_cut(log).sum()),
        },
        structure="e",
    )


def _coarser(sample: Sample, area: np.ndarray | None, radii: list[float | None], count: int | None, ratio: float) -> Pooling:
    n, d = len(sample.elements), sample.group.dim
    few = max(1, round(ratio * n))
    chosen, cluster = farthest_points(sample, few)
    whole = None if area is None else np.bincount(cluster, area, few)
    return Pooling(
        cluster=cluster,
        transport=np.broadcast_to(np.eye(d), (n, d, d)).copy(),
        geometry=_level(sample.of(chosen), whole, radii, count, ratio),
    )


def _positions(sample: Sample) -> np.ndarray:
    group = sample.group
    positions = group.act(sample.elements, group.origin)
    return positions if sample.orbit is None or group.orbits != 1 else sample.orbit[:, :1] * positions


def _radii(radius: float | Sequence[float] | None, levels: int, growth: float) -> list[float | None]:
    """One for every level."""
    if radius is None:
        return [None] * (levels + 1)
    if isinstance(radius, (Sequence, np.ndarray)) and not isinstance(radius, str):
        if len(radius) != levels + 1:
            raise ValueError(f"lie_group expected a radius, or one for each of {levels + 1} levels, got {radius!r}")
        return [check_number("lie_group", "radius", r, positive=True) for r in radius]
    first = check_number("lie_group", "radius", radius, positive=True)
    return [first * growth**k for k in range(levels + 1)]


def _column(owner: str, name: str, value: np.ndarray | None, n: int, axes: int) -> np.ndarray | None:
    if value is None:
        return None
    array = np.asarray(value, np.float64)
    if array.ndim != axes or len(array) != n or not np.isfinite(array).all():
        wanted = f"({n}, Q)" if axes == 2 else f"({n},)"
        raise ValueError(f"{owner} expected {name} to be finite numbers of shape {wanted}, got shape {array.shape}")
    return array
