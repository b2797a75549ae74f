"""Lattices of pixels: what a step through the array is in the plane or in space, and which symmetries it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from numbers import Integral

import numpy as np
import torch

from .. import hexagons
from ..checks import check_int
from ..groups import FiniteGroup, Group

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Lattice:
    r"""Pixels p of an array at the positions :math:`x = \sum_a p_a\, s_a`, one vector s_a for every array axis.

    A group element g that keeps the lattice acts on indices by an integer matrix M with :math:`g\, s_a = \sum_b M_{ba} s_b`,
    and M keeps the metric :math:`G_{ab} = \langle s_a, s_b \rangle` (Hoogeboom et al. 2018, arXiv 1803.02108: hexagons in
    axial coordinates). All that layers know of a lattice is here; none has code for hexagons.

    Args:
        steps: (d, d), the rows s_a. Ours are "square" (rows down, columns right) and "hexagonal" (columns right, rows down
            and half a pixel right), see :meth:`of`.

    Raises:
        ValueError: vectors that are not d independent ones of the plane or of space.
    """

    steps: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        try:
            matrix = np.array(self.steps, dtype=np.float64)
        except (TypeError, ValueError):
            matrix = np.zeros(0)
        if matrix.shape not in ((2, 2), (3, 3)) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < _TOLERANCE:
            raise ValueError(f"a lattice has one independent vector for each of 2 or 3 array axes, got {self.steps!r}")
        object.__setattr__(self, "steps", tuple(tuple(float(v) for v in row) for row in matrix))

    @classmethod
    def of(cls, lattice: str | Lattice | np.ndarray, dim: int = 2) -> Lattice:
        """A lattice by name ("square", "hexagonal"), by its steps, or itself. ValueError unless it has ``dim`` axes."""
        if isinstance(lattice, str):
            known = {("square", 2): _SQUARE, ("square", 3): _CUBIC, ("hexagonal", 2): _HEXAGONAL}
            if (lattice, dim) not in known:
                raise ValueError(f'unknown lattice {lattice!r} in dimension {dim}: expected "square", "hexagonal" or its steps')
            return cls(known[lattice, dim])
        if not isinstance(lattice, Lattice):
            lattice = cls(lattice.tolist() if isinstance(lattice, np.ndarray) else lattice)
        if lattice.dim != dim:
            raise ValueError(f"the lattice has {lattice.dim} axes, expected {dim}")
        return lattice

    @classmethod
    def box(cls, spacing: Sequence[float]) -> Lattice:
        """Pixels that are boxes, with their spacing along every array axis: (z, y, x) of volumes, (y, x) of images.

        Raises:
            ValueError: spacings that are not 2 or 3 positive numbers.
        """
        values = np.array(spacing, dtype=np.float64) if isinstance(spacing, Sequence | np.ndarray) else np.zeros(0)
        if values.shape not in ((2,), (3,)) or not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"spacing is a positive number for every axis, (z, y, x) or (y, x), got {spacing!r}")
        unit = np.array(_SQUARE if len(values) == 2 else _CUBIC)
        return cls((values[:, None] * unit + 0.0).tolist())

    @property
    def dim(self) -> int:
        return len(self.steps)

    def check_kept(self, group: Group, layer: str) -> None:
        """Raise ValueError where a finite group has symmetries of a square lattice that this one does not have."""
        square = Lattice.of("square", self.dim)
        if isinstance(group, FiniteGroup) and len(self.symmetries(group)[0]) < len(square.symmetries(group)[0]):
            spacing = tuple(float(s) for s in np.linalg.norm(self.steps, axis=1))
            raise ValueError(
                f"{layer}: {group} turns axes into each other whose spacing {spacing} differs: take a group that keeps them, "
                'such as groups.point_group("D4h") for another spacing along z, or SO(3) and O(3), whose kernels are sampled'
            )

    @property
    def is_square(self) -> bool:
        return self.steps in (_SQUARE, _CUBIC)

    @property
    def is_box(self) -> bool:
        """Whether its pixels are boxes along the axes: a square lattice, or one with another spacing on every axis."""
        steps, unit = np.array(self.steps), np.array(_SQUARE if self.dim == 2 else _CUBIC)
        return bool(np.array_equal(steps, np.linalg.norm(steps, axis=1)[:, None] * unit))

    @property
    def metric(self) -> np.ndarray:
        """G (d, d)."""
        return np.array(self.steps) @ np.array(self.steps).T

    @property
    def heights(self) -> np.ndarray:
        """Distance of neighbouring lines (planes) of pixels with one index a, for every axis: (d,)."""
        return 1 / np.linalg.norm(np.linalg.inv(np.array(self.steps)), axis=0)

    def positions(self, indices: np.ndarray) -> np.ndarray:
        """x of indices (..., d), halves included: (..., d)."""
        return np.asarray(indices, dtype=np.float64) @ np.array(self.steps)

    def matrix(self, g: np.ndarray) -> np.ndarray:
        """M of matrices g (..., d, d), not rounded."""
        steps = np.array(self.steps).T
        return np.linalg.inv(steps) @ g @ steps

    def symmetries(self, group: Group) -> tuple[np.ndarray, np.ndarray]:
        """The elements of a group that keep the lattice: g (S, d, d) and their integer matrices M (S, d, d)."""
        if group.dim != self.dim:
            raise ValueError(f"{group} acts in dimension {group.dim}, the lattice has {self.dim} axes")
        if isinstance(group, FiniteGroup):
            g = group.elements.numpy()
        else:
            steps = np.array(self.steps).T
            g = steps @ _point_group(self) @ np.linalg.inv(steps)
            g = g[group.contains(torch.from_numpy(g)).numpy()]
        m = self.matrix(g)
        kept = np.abs(m - m.round()).max((1, 2)) < _TOLERANCE
        return g[kept], m[kept].round().astype(np.int64)

    def moved_axes(self, group: Group) -> tuple[bool, ...]:
        """Whether a group changes the index along each array axis."""
        return tuple(bool(m) for m in np.atleast_1d(self._motions(group).any((0, 2))))

    def mixes_axes(self, group: Group) -> bool:
        """Whether a group turns array axes into others."""
        return bool(self._motions(group)[:, ~np.eye(self.dim, dtype=bool)].any())

    def _motions(self, group: Group) -> np.ndarray:
        """Which entries of M differ from 1, for the generators of a group: bool (k, d, d)."""
        curves = self.matrix(group.lie_generators.numpy())
        single = self.matrix(group.generators.numpy()) - np.eye(self.dim)
        return np.abs(np.concatenate([curves, single])) > _TOLERANCE

    def inside(self, size: int | tuple[int, ...]) -> np.ndarray:
        """Which pixels of an array have their images under all symmetries of the lattice about its middle in it: bool (size).

        All of a square; the hexagon in the rhombus of a hexagonal array.
        """
        shape = (size,) * self.dim if isinstance(size, Integral) else tuple(size)  # type: ignore[arg-type]
        middle = (np.array(shape) - 1) / 2
        here = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1) - middle
        there = np.einsum("sij,...j->s...i", _point_group(self), here) + middle
        near = np.abs(there - there.round()) < _TOLERANCE
        return (near & (there > -0.5) & (there < np.array(shape) - 0.5)).all((0, -1))

    def taps(self, size: int, whole: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The taps of a kernel of ``size`` pixels a side about its middle.

        Args:
            whole: all of the array, as on a torus of that size, instead of those that the symmetries keep in it.

        Returns:
            place (T,): where they lie in the weight of conv2d with its spatial axes flattened. taps (T, d): positions.

        Raises:
            ValueError: sizes below 1; when the lattice has symmetries that leave no pixel in such an array.
        """
        size = check_int(self, "size", size)
        inside = np.ones((size,) * self.dim, bool) if whole else self.inside(size)
        if not inside.any():
            raise ValueError(f"the symmetries of the lattice keep no tap of a kernel of size {size}: take an odd size")
        indices = np.argwhere(inside) - (size - 1) / 2
        return np.flatnonzero(inside), self.positions(indices) + 0.0


@lru_cache(maxsize=32)
def _point_group(lattice: Lattice) -> np.ndarray:
    """All integer matrices (P, d, d) that keep the metric, of entries -1, 0, 1 (enough for reduced steps)."""
    metric, d = lattice.metric, lattice.dim
    columns = np.array(list(product((-1, 0, 1), repeat=d)))
    length = np.einsum("ni,ij,nj->n", columns, metric, columns)
    # A column of M is an image of a step: of its length, at its angle to the others.
    images = [columns[np.abs(length - metric[a, a]) < _TOLERANCE] for a in range(d)]
    found = [
        np.stack(m, 1)
        for m in product(*images)
        if np.abs(np.stack(m, 1).T @ metric @ np.stack(m, 1) - metric).max() < _TOLERANCE
    ]
    group = np.stack(found)
    group.setflags(write=False)
    return group


_SQUARE = ((0.0, -1.0), (1.0, 0.0))
_CUBIC = ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
_HEXAGONAL = hexagons.AXES
