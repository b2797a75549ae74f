r"""Homogeneous spaces G/H: correlation on them is the layer with structure group H.

A frame at a point p of G/H is an element of G over p, so the frame bundle is G itself and a choice of frames a section. The
correlation of f with a kernel psi (Kondor & Trivedi 2018, arXiv 1802.03690; Chakraborty et al. 2018)

.. math:: (\psi \star f)(g) = \int_{G/H} \psi(g^{-1} x)\, f(x)\, dx

is a function on G: at each frame one number, which is a regular field of H. Written with the log map at p it is
:class:`gaugenet.nn.GaugeConv` from a scalar field to a (band-limited) regular one: the lifting layer. The spaces:

- R^2 = SE(2)/SO(2) and R^3: :func:`gaugenet.geometry.points`;
- S^2 = SO(3)/SO(2): :func:`gaugenet.geometry.sphere`, :func:`~gaugenet.geometry.icosphere`, ...;
- H^2 = SO(2,1)/SO(2): :func:`hyperbolic_plane`, here;
- S^1 = SO(2)/{e}, and every group G/{e}: :func:`gaugenet.geometry.lie_group`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ..checks import check_int
from ..errors import GeometryError
from .clouds.checks import listed, reject_repeated
from .clouds.pairs import pairs_within
from .local_geometry import LocalGeometry

# Distances that differ by less are a tie: all of them are in, or all out, whatever the rounding.
_TIE = 1e-9
# Points nearer than this are the same point.
_DUPLICATE = 1e-12
# Default radius in units of the spacing of the hexagonal lattice with cells of the mean area: about 33 neighbours.
_SPACINGS = 3.0
_GOLDEN_ANGLE = np.pi * (3 - 5**0.5)


def hyperbolic_points(count: int, extent: float) -> np.ndarray:
    r"""Points of the Poincare disc with cells of equal area, on a spiral about its middle: (count, 2).

    The area within the distance r is :math:`2 \pi (\cosh r - 1)`; the k-th point has k + 1/2 cells within its own.

    Args:
        extent: hyperbolic distance to the border of what the points cover.

    Raises:
        ValueError: no points, or an extent that is not positive and finite, or beyond 30, where float64 has no more room.
    """
    count = check_int("hyperbolic_points", "count", count)
    if not 0 < float(extent) <= 30:
        raise ValueError(f"hyperbolic_points expected an extent between 0 and 30, got {extent!r}")
    share = (np.arange(count) + 0.5) / count
    # cosh r - 1 = 2 sinh(r/2)^2
    half = np.arcsinh(np.sqrt(share) * np.sinh(extent / 2))
    angle = _GOLDEN_ANGLE * np.arange(count)
    return np.tanh(half)[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def hyperbolic_plane(points: Any, radius: Any = None, *, area: Any = None) -> LocalGeometry:
    r"""Points of the hyperbolic plane of curvature -1, with log maps and parallel transport in closed form.

    With p and q as complex numbers of the Poincare disc and frames along its axes, the motion that takes p to 0 and does not
    turn its frame is :math:`m_p(q) = (q - p) / (1 - \bar p q)`, so that :math:`\log_p q` has the direction of m_p(q) and the
    length :math:`2\,\mathrm{artanh} |m_p(q)|` (Anderson, Hyperbolic Geometry, 2005, chapter 4); the carried vector keeps its
    angle with the geodesic. A motion of the plane turns the frames, and changes nothing else.

    Args:
        points: (N, 2), in the open unit disc.
        radius: hyperbolic radius of the neighbourhoods, a number or (N,). Default: three times the spacing of the hexagonal
            lattice with cells of the mean area, about 33 neighbours.
        area: (N,) areas of the cells of the points. Default: equal ones that add up to the area of the disc about the origin
            whose border is half a cell beyond the farthest point, as :func:`hyperbolic_points` has them.

    Returns:
        LocalGeometry of structure "SO2", with ``positions`` those of the disc; there is no frame in a flat space around it.

    Raises:
        GeometryError: NaN, points on the border of the disc or beyond, repeated points (with the ids).
        ValueError: arguments of wrong shape or range.
    """
    z = _checked(points)
    n = len(z)
    tree = cKDTree(z)
    reject_repeated(tree, _DUPLICATE)
    norm = np.linalg.norm(z, axis=1)
    if area is None:
        # sinh(r/2)^2 = |z|^2 / (1 - |z|^2) of the farthest point is that of n - 1/2 cells
        half = (norm.max() ** 2 / (1 - norm.max() ** 2)) * (n / (n - 0.5))
        area = np.full(n, 4 * np.pi * half / n) if n > 1 else np.ones(1)
    else:
        area = np.asarray(area, dtype=np.float64)
        if area.shape != (n,) or not (np.isfinite(area) & (area > 0)).all():
            raise ValueError(f"hyperbolic_plane expected area to be positive numbers of shape {(n,)}, got {area!r}")
    reach = _reach(radius, area)
    source, target = _within(tree, z, reach)
    log, transport, distance = _geodesics(z, source, target)
    inside = distance <= reach[target] * (1 + _TIE)
    source, target, log, transport = source[inside], target[inside], log[inside], transport[inside]
    metadata: dict[str, Any] = {"manifold": "hyperbolic plane"}
    if np.all(reach == reach[0]):
        metadata["radius"] = float(reach[0])
    return LocalGeometry(
        edge_index=np.stack([source, target]),
        log=log,
        transport=transport,
        weight=area[source] / (np.pi * reach[target] ** 2),
        radius=reach,
        positions=z,
        area=area.copy(),
        curvature=np.full(n, -1.0),
        metadata=metadata,
        structure="SO2",
    )


def _checked(points: Any) -> np.ndarray:
    z = np.array(points, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] != 2 or len(z) == 0:
        raise ValueError(f"hyperbolic_plane expected points of the Poincare disc, (N, 2) with N >= 1, got shape {z.shape}")
    bad = np.flatnonzero(~(np.linalg.norm(z, axis=1) < 1))
    if bad.size:
        raise GeometryError(f"points that are not within the unit disc: {listed(bad.tolist())}")
    return z


def _reach(radius: Any, area: np.ndarray) -> np.ndarray:
    if radius is None:
        return np.full(len(area), _SPACINGS * np.sqrt(2 / np.sqrt(3) * area.mean()))
    reach = np.asarray(radius, dtype=np.float64)
    if reach.shape not in ((), area.shape) or not (np.isfinite(reach) & (reach > 0)).all():
        raise ValueError(f"radius expected positive numbers, one or {area.shape}, got {radius!r}")
    return np.broadcast_to(reach, area.shape).copy()


def _within(tree: cKDTree, z: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source and target of all pairs within a little more than the radius: hyperbolic discs are discs about other middles."""
    t = np.tanh(reach * (1 + 1e-6) / 2)
    square = (z**2).sum(1)
    middle = z * ((1 - t**2) / (1 - t**2 * square))[:, None]
    return pairs_within(tree, middle, t * (1 - square) / (1 - t**2 * square) * (1 + 1e-9))


def _geodesics(z: np.ndarray, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log maps (E, 2), transporters (E, 2, 2) and distances (E,)."""
    at_p, at_q = _moved_to(z[target], z[source]), _moved_to(z[source], z[target])
    distance = 2 * np.arctanh(np.linalg.norm(at_p, axis=1))
    at_p /= np.linalg.norm(at_p, axis=1, keepdims=True)
    at_q /= -np.linalg.norm(at_q, axis=1, keepdims=True)  # away from p
    # The direction goes to the direction, and its left to its left.
    left_p, left_q = (np.stack([-v[:, 1], v[:, 0]], -1) for v in (at_p, at_q))
    transport = at_p[:, :, None] * at_q[:, None, :] + left_p[:, :, None] * left_q[:, None, :]
    return distance[:, None] * at_p, transport, distance


def _moved_to(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(q - p) / (1 - conj(p) q), where the motion that takes p to 0 and does not turn the frame there takes q."""
    p, q = p[:, 0] + 1j * p[:, 1], q[:, 0] + 1j * q[:, 1]
    moved = (q - p) / (1 - p.conj() * q)
    return np.stack([moved.real, moved.imag], -1)
