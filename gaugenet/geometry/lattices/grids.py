"""Pixels and voxels as a manifold: the plane, the cylinder, the torus, the Moebius strip and the Klein bottle, all flat.

Pixels are squares, or hexagons in axial coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...hexagons import AXES
from ..local_geometry import LocalGeometry, Pooling


def grid(
    shape: Sequence[int],
    kernel_size: int = 3,
    periodic: bool | Sequence[bool] = False,
    *,
    spacing: float = 1.0,
    levels: int = 0,
) -> LocalGeometry:
    """The pixels of an image (H, W), or the voxels of (Z, H, W), joined to those under a kernel of ``kernel_size`` a side.

    Nodes go row by row from the top as in ``image.reshape(-1)``: x to the right (last axis), y up (against the rows), z
    with its axis. Every frame is (x, y[, z]), so transport is the identity and log the offset in units of length. The radius
    of a neighbourhood is that of the ball about the kernel's square, sqrt(d) kernel_size / 2 spacings.

    Args:
        shape: (H, W) or (Z, H, W), pixels per axis.
        kernel_size: odd, pixels a side.
        periodic: whether an axis closes on itself: one answer for all, or one per axis in the order of the shape. An axis that
            does must have at least kernel_size pixels, otherwise a pixel would be the neighbour of another twice.
        spacing: distance of neighbouring pixels (unit of length).
        levels: coarser levels, each of half the pixels a side (blocks of 2 x 2 pool to one).

    Returns:
        LocalGeometry with `positions` (N, d), coordinates about the middle (those of the cut-open chart where an axis is
        periodic), and `frame` (N, d, d), the identity.

    Raises:
        ValueError: shapes and sizes that are no such grid.
    """
    shape, periodic = _check_shape(shape), _check_periodic(periodic, len(shape))
    manifold = {0: "grid", len(shape): "torus"}.get(sum(periodic), "cylinder")
    return _build(shape, kernel_size, periodic, False, spacing, levels, manifold)


def hexagonal(
    shape: Sequence[int], rings: int = 1, periodic: bool | Sequence[bool] = False, *, spacing: float = 1.0
) -> LocalGeometry:
    """Hexagonal pixels in an array (H, W) in axial coordinates, each joined to those within ``rings`` steps (6, 18, ...).

    A column is one step to the right, a row one step down and half a pixel right (60 degrees), the coordinates of
    ``nn.GridConv(..., lattice="hexagonal")`` (Hoogeboom et al. 2018, arXiv 1803.02108); its numbers are those of
    ``nn.LatticeConv`` on this graph. Nodes, frames and the other arguments as :func:`grid`; the radius of a neighbourhood is
    half a step beyond the outermost ring.
    """
    shape = _check_shape(shape)
    if len(shape) != 2:
        raise ValueError(f"hexagonal pixels lie in an array (H, W), got shape {shape}")
    if isinstance(rings, bool) or not isinstance(rings, (int, np.integer)) or rings < 1:
        raise ValueError(f"rings must be an integer of at least 1, got {rings!r}")
    return _build(shape, 2 * rings + 1, _check_periodic(periodic, 2), False, spacing, 0, "hexagonal")


def cylinder(width: int, length: int, kernel_size: int = 3, *, spacing: float = 1.0, levels: int = 0) -> LocalGeometry:
    """A strip of ``width`` rows whose ``length`` columns close to a ring; arguments as :func:`grid`."""
    return grid((width, length), kernel_size, (False, True), spacing=spacing, levels=levels)


def flat_torus(width: int, length: int, kernel_size: int = 3, *, spacing: float = 1.0, levels: int = 0) -> LocalGeometry:
    """A rectangle of ``width`` rows and ``length`` columns, opposite sides glued; arguments as :func:`grid`."""
    return grid((width, length), kernel_size, True, spacing=spacing, levels=levels)


def moebius(width: int, length: int, kernel_size: int = 3, *, spacing: float = 1.0, levels: int = 0) -> LocalGeometry:
    """The flat Moebius strip (Weiler et al. 2021, arXiv 2106.06020, section 5): ``width`` rows, ``length`` columns.

    x runs along the strip and y across it. Beyond the last column comes the first one again, turned over: row i meets row
    width - 1 - i, and a vector is carried across this seam by diag(1, -1), the element other than 1 of the structure group
    ``groups.Reflection()``. Everywhere else transport is the identity. Other arguments as :func:`grid`.
    """
    return _build(_check_shape((width, length)), kernel_size, (False, True), True, spacing, levels, "moebius")


def klein_bottle(width: int, length: int, kernel_size: int = 3, *, spacing: float = 1.0, levels: int = 0) -> LocalGeometry:
    """The flat Klein bottle: the Moebius strip with its top and bottom rows glued; arguments as :func:`moebius`."""
    return _build(_check_shape((width, length)), kernel_size, (True, True), True, spacing, levels, "klein_bottle")


def moebius_symmetries(width: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The shifts of the Moebius strip along itself by 0 .. 2 length - 1 pixels, for :func:`gaugenet.testing.symmetry_error`.

    Returns:
        permutation: (2 length, N) int64, the node that each node moves to.
        change: (2 length, N, 2, 2), diag(1, -1) for the nodes that have crossed the seam an odd number of times.
    """
    width, length = _check_shape((width, length))
    row, column = np.divmod(np.arange(width * length), length)
    turns, moved = np.divmod(column + np.arange(2 * length)[:, None], length)
    over = turns % 2 == 1
    permutation = np.where(over, width - 1 - row, row) * length + moved
    return permutation, np.where(over[..., None, None], np.diag([1.0, -1.0]), np.eye(2))


def _build(shape, kernel_size, periodic, twisted, spacing, levels, manifold) -> LocalGeometry:
    """``twisted``: crossing the seam of the last axis turns the axis before it over."""
    _check_kernel(kernel_size, shape, periodic)
    if not (np.isscalar(spacing) and np.isfinite(spacing) and spacing > 0):
        raise ValueError(f"spacing must be a positive number, got {spacing!r}")
    if isinstance(levels, bool) or not isinstance(levels, (int, np.integer)) or levels < 0:
        raise ValueError(f"levels must be an integer of at least 0, got {levels!r}")
    d, count = len(shape), int(np.prod(shape))
    reach = kernel_size // 2
    hexagons = manifold == "hexagonal"
    # Steps through the array, and (x, y[, z]) of a step along each axis: the rows of an image go down, y goes up.
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * d, indexing="ij"), -1).reshape(-1, d)
    steps = steps[steps.any(1)]
    axes = np.eye(d)[::-1] * np.array([1, -1, 1][:d])
    if hexagons:
        steps, axes = steps[abs(steps.sum(1)) <= reach], np.array(AXES)
    here = np.stack(np.unravel_index(np.arange(count), shape), -1)
    place = here[:, None] + steps  # (N, offsets, d)
    turns = np.floor_divide(place, shape)
    inside = np.all((turns == 0) | periodic, axis=-1)
    place = place - turns * shape
    crosses = twisted & (turns[..., -1] % 2 == 1)
    place[..., -2] = np.where(crosses, shape[-2] - 1 - place[..., -2], place[..., -2])
    node, step = np.nonzero(inside)
    source = np.ravel_multi_index(tuple(np.moveaxis(place[inside], -1, 0)), shape)
    crosses = crosses[inside]
    order = np.lexsort([source, node])
    transport = np.broadcast_to(np.eye(d), (len(order), d, d)).copy()
    transport[crosses[order], 1, 1] = -1.0
    radius = np.full(count, (1.0 if hexagons else d**0.5) * kernel_size / 2 * spacing)
    middle = (np.array(shape) - 1) / 2
    cell = float(abs(np.linalg.det(axes)) * spacing**d)
    ball = {2: np.pi, 3: 4 / 3 * np.pi}[d] * radius**d
    return LocalGeometry(
        edge_index=np.stack([source, node])[:, order].astype(np.int64),
        log=(steps[step[order]] @ axes * spacing).astype(np.float64),
        transport=transport,
        weight=(cell / ball)[node[order]],
        radius=radius,
        positions=(here - middle) @ axes * spacing,
        frame=np.broadcast_to(np.eye(d), (count, d, d)).copy(),
        area=np.full(count, cell),
        curvature=np.zeros(count),
        coarse=_halved(shape, here, kernel_size, periodic, twisted, spacing, levels, manifold) if levels else None,
        metadata={"manifold": manifold, "shape": list(shape), "kernel_size": int(kernel_size), "spacing": float(spacing)},
        structure="Z2" if twisted else "e",
    )


def _halved(shape, here, kernel_size, periodic, twisted, spacing, levels, manifold) -> Pooling:
    if any(n % 2 for n in shape):
        raise ValueError(f"a coarser level halves every axis: it needs even numbers of pixels, got {shape}")
    few = tuple(n // 2 for n in shape)
    return Pooling(
        cluster=np.ravel_multi_index(tuple((here // 2).T), few).astype(np.int64),
        transport=np.broadcast_to(np.eye(len(shape)), (len(here), len(shape), len(shape))).copy(),
        geometry=_build(few, kernel_size, periodic, twisted, 2 * spacing, levels - 1, manifold),
    )


def _check_shape(shape) -> tuple[int, ...]:
    try:
        shape = tuple(shape)
    except TypeError:
        shape = ()
    if len(shape) not in (2, 3) or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 for n in shape):
        raise ValueError(f"a grid has a shape (H, W) or (Z, H, W) of positive integers, got {shape!r}")
    return tuple(int(n) for n in shape)


def _check_periodic(periodic, d: int) -> tuple[bool, ...]:
    answers = (periodic,) * d if isinstance(periodic, (bool, np.bool_)) else tuple(periodic)
    if len(answers) != d or not all(isinstance(p, (bool, np.bool_)) for p in answers):
        raise ValueError(f"periodic is True, False or one of them per axis ({d}), got {periodic!r}")
    return tuple(bool(p) for p in answers)


def _check_kernel(kernel_size, shape, periodic) -> None:
    if (
        isinstance(kernel_size, bool)
        or not isinstance(kernel_size, (int, np.integer))
        or kernel_size < 1
        or kernel_size % 2 == 0
    ):
        raise ValueError(
            "kernel_size must be an odd positive integer (an even kernel has its middle between the pixels), "
            f"got {kernel_size!r}"
        )
    for axis, (n, closes) in enumerate(zip(shape, periodic)):
        if closes and n < kernel_size:
            raise ValueError(
                f"axis {axis} closes on itself after {n} pixels, fewer than kernel_size={kernel_size}: "
                "a pixel would be a neighbour of another one twice"
            )
