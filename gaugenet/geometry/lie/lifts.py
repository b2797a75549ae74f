"""From points and pixels to elements of a Lie group that acts on them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...checks import check_choice, check_int, check_number
from .closed_forms import affine, exp_rotation, exp_turn
from .groups import LieGroup

#: the whole measure of the turns that keep the origin where it is, in the coordinates of the algebra
_TURNS = {"SE2": 2 * np.pi, "SO3": 2 * np.pi, "SE3": 8 * np.pi**2}
# Constants of the spiral of rotations: the positive roots of x^2 = 2 and x^4 = x + 4.
_PHI, _PSI = 2**0.5, 1.533751168755204288118041


class Lift(NamedTuple):
    """Elements u with u o = x of points x, o the origin of the group, in place of the points.

    Attributes:
        elements: (M, n, n), those of one point side by side. orbit: (M, Q), where there are several orbits, or None.
        point: (M,) int64, the point (of images: the pixel, row by row) that each came from: ``x[lift.point]`` lifts features.
        area: (M,) the Haar measure of the cell of each, or None where the points came without.
    """

    elements: np.ndarray
    orbit: np.ndarray | None
    point: np.ndarray
    area: np.ndarray | None


def lift_points(
    group: str | LieGroup,
    points: np.ndarray,
    samples: int = 1,
    *,
    area: np.ndarray | None = None,
    seed: int | None = None,
    stabiliser: np.ndarray | None = None,
) -> Lift:
    """The elements that take the origin to given points (Finzi et al. 2020, arXiv 2002.12880, section 4.1).

    The origin is 0, for groups that keep 0 where it is e_1. The elements that keep it are many for "SE2" (turns), "SE3"
    (rotations), "SO3" (turns about e_1) and "R2xR+" (scalings): ``samples`` of them are taken for every point. Of "SO2"
    and "SO3", which move points on circles and spheres, the radius is the orbit.

    Args:
        group: a :class:`LieGroup` or its name.
        points: (N, space).
        samples: S, elements a point.
        area: (N,) of the cell of each point, from which that of the elements follows.
        seed: draw them at random, anew for every point, turns of the plane evenly spaced. By default they are the same for
            every point: evenly spaced turns, a spiral of rotations (Alexa 2022, *Super-Fibonacci Spirals*), scalings by
            powers of sqrt(2) from 1.
        stabiliser: (S, n, n) instead of ``samples``: elements that keep the origin.

    Returns:
        :class:`Lift` of N S elements.

    Raises:
        ValueError: points of another shape or not finite; samples of a group that has none; a point that the group keeps
            where it is ("RxSO2").
    """
    group = LieGroup.of(group)
    x = np.asarray(points, np.float64)
    if x.ndim != 2 or x.shape[1] != group.space or not np.isfinite(x).all():
        raise ValueError(f"lift_points expected finite points (N, {group.space}) for {group}, got shape {x.shape}")
    check_int("lift_points", "samples", samples)
    base, orbit = _section(group, x)
    if stabiliser is not None:
        kept = group.check(stabiliser, "lift_points")
        moved = np.abs(group.act(kept, group.origin) - group.origin).max()
        if moved > 1e-6:
            raise ValueError(
                f"lift_points expected stabiliser to keep the origin {group.origin}, but it moves it by {moved:.2g}"
            )
    else:
        kept = _stabiliser(group, samples, seed, len(x))
    s = kept.shape[-3]
    elements = (base[:, None] @ kept).reshape(-1, group.size, group.size)
    lifted = None
    if area is not None:
        area = np.asarray(area, np.float64)
        if area.shape != (len(x),):
            raise ValueError(f"lift_points expected area ({len(x)},), got shape {area.shape}")
        lifted = np.repeat(area, s) * _TURNS.get(group.name, 1.0) / (s if group.name in _TURNS else 1)
        if group.name == "R2xR+":
            factor = np.sort(np.unique(kept[..., 0, 0]))
            lifted = lifted * (np.diff(np.log(factor)).mean() if len(factor) > 1 else 1.0) / elements[:, 0, 0] ** 2
        if group.name == "RxSO2":
            lifted = lifted / (x**2).sum(1)
    return Lift(elements, None if orbit is None else np.repeat(orbit, s, 0), np.repeat(np.arange(len(x)), s), lifted)


def lift_image(
    group: str | LieGroup,
    shape: tuple[int, int],
    samples: int = 1,
    *,
    region: str = "disc",
    spacing: float = 1.0,
    seed: int | None = None,
    stabiliser: np.ndarray | None = None,
) -> Lift:
    """The pixels of an image (H, W) as points about its middle, lifted; x to the right, y up.

    ``image.flatten(-2)[..., lift.point]`` are the features.

    Args:
        shape: (H, W).
        region: "disc", the pixels in the inscribed disc, or "square", all. A pixel in the middle is left out for "RxSO2", which
            keeps it where it is.
        spacing: of the pixels.
        group, samples, seed, stabiliser: see :func:`lift_points`.

    Raises:
        ValueError: as :func:`lift_points`.
    """
    group = LieGroup.of(group)
    check_choice("lift_image", "region", region, ("disc", "square"))
    check_number("lift_image", "spacing", spacing, positive=True)
    if len(shape) != 2:
        raise ValueError(f"lift_image expected the shape (H, W) of an image, got {shape!r}")
    if group.space != 2:
        raise ValueError(f"lift_image expected a group that acts on the plane, such as SE2, got {group}")
    h, w = (check_int("lift_image", "shape", n) for n in shape)
    row, column = np.divmod(np.arange(h * w), w)
    x = np.stack([column - (w - 1) / 2, (h - 1) / 2 - row], 1) * spacing
    far = np.linalg.norm(x, axis=1)
    used = far <= min(h, w) / 2 * spacing if region == "disc" else np.ones(h * w, bool)
    used &= (far > 0) | (group.name != "RxSO2")
    area = np.full(int(used.sum()), spacing**2)
    lift = lift_points(group, x[used], samples, area=area, seed=seed, stabiliser=stabiliser)
    return lift._replace(point=np.flatnonzero(used)[lift.point])


def _section(group: LieGroup, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """One element for every point, and its orbit."""
    if group.size > group.space:
        return affine(np.broadcast_to(np.eye(group.space), (len(x), group.space, group.space)), x), None
    radius = np.linalg.norm(x, axis=1, keepdims=True)
    if group.name == "SO3":
        return _rotation_to(x / np.where(radius > 0, radius, 1.0), radius[:, 0] > 0), radius
    turn = exp_turn(np.arctan2(x[:, 1:], x[:, :1]))
    if group.name == "SO2":
        return turn, radius
    if not (radius > 0).all():
        first = int(np.flatnonzero(radius[:, 0] == 0)[0])
        raise ValueError(f"{group} keeps 0 where it is and cannot lift it: leave out point {first}")
    return radius[..., None] * turn, None


def _rotation_to(direction: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes e_1 to unit vectors (N, 3); about e_3 to -e_1, none where there is no direction."""
    w = np.cross([1.0, 0.0, 0.0], direction)
    sin = np.linalg.norm(w, axis=1, keepdims=True)
    axis = np.where(sin > 0, w / np.where(sin > 0, sin, 1.0), [0.0, 0.0, 1.0])
    angle = np.where(there, np.arctan2(sin[:, 0], direction[:, 0]), 0.0)
    return exp_rotation(angle[:, None] * axis)


def _stabiliser(group: LieGroup, samples: int, seed: int | None, count: int) -> np.ndarray:
    """Elements that keep the origin: (S, n, n), or random ones (count, S, n, n)."""
    n = group.size
    if group.name not in (*_TURNS, "R2xR+"):
        if samples != 1:
            raise ValueError(f"{group} has one element for every point: samples must be 1, got {samples}")
        return np.eye(n)[None]
    if group.name == "R2xR+":
        if seed is not None:
            raise ValueError("the scalings are no compact group, of which none can be drawn at random: give stabiliser")
        return affine(2.0 ** (np.arange(samples) / 2)[:, None, None] * np.eye(2), np.zeros((samples, 2)))
    generator = None if seed is None else np.random.default_rng(seed)
    if group.name == "SE3":
        q = _spiral(samples) if generator is None else generator.normal(size=(count, samples, 4))
        return affine(_quaternions(q / np.linalg.norm(q, axis=-1, keepdims=True)), np.zeros((*q.shape[:-1], 3)))
    angle = 2 * np.pi * np.arange(samples)[:, None] / samples
    angle = angle if generator is None else angle + generator.uniform(0, 2 * np.pi, (count, 1, 1))
    if group.name == "SO3":
        return exp_rotation(angle * np.array([1.0, 0.0, 0.0]))
    return affine(exp_turn(angle), np.zeros((*angle.shape[:-1], 2)))


def _spiral(count: int) -> np.ndarray:
    """Unit quaternions (count, 4), spread evenly."""
    s = np.arange(count) + 0.5
    r, t = np.sqrt(s / count), np.sqrt(1 - s / count)
    a, b = 2 * np.pi * s / _PHI, 2 * np.pi * s / _PSI
    return np.stack([r * np.sin(a), r * np.cos(a), t * np.sin(b), t * np.cos(b)], -1)


def _quaternions(q: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) of unit quaternions (..., 4), the real part first."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)
