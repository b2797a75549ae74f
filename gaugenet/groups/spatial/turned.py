"""Groups of space about another axis than z."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch

from ..group import FiniteGroup, Group

_NAMED = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True, repr=False)
class _Turned(Group):
    """R G R^-1, with R the rotation that takes z to an axis; g acts as R^-1 g R does in G. Made by :func:`turned`."""

    group: Group
    axis: tuple[float, float, float]

    dim = 3

    @property
    def _rotation(self) -> torch.Tensor:
        return rotation_to(self.axis)

    def _there(self, g: torch.Tensor) -> torch.Tensor:
        r = self._rotation.to(g)
        return r @ g @ r.mT

    def _back(self, g: torch.Tensor) -> torch.Tensor:
        r = self._rotation.to(g)
        return r.mT @ g @ r

    @property
    def generators(self) -> torch.Tensor:
        return self._there(self.group.generators)

    @property
    def lie_generators(self) -> torch.Tensor:
        return self._there(self.group.lie_generators)

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return self._there(self.group.sample(n, generator)).to(dtype)

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        return self.group.contains(self._back(g), tol)

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        g, weights = self.group.quadrature(degree)
        return self._there(g), weights

    def irrep_names(self, max_order: int | None = None) -> tuple[str, ...]:
        return self.group.irrep_names(max_order)

    def canonical_name(self, name: str | int) -> str | None:
        return self.group.canonical_name(name)

    def irrep_dim(self, name: str) -> int:
        return self.group.irrep_dim(name)

    def irrep_degree(self, name: str) -> int:
        return self.group.irrep_degree(name)

    def irrep_matrix(self, name: str, g: torch.Tensor) -> torch.Tensor:
        return self.group.irrep_matrix(name, self._back(g))

    def __repr__(self) -> str:
        axis = _shown(self.axis)
        return f"turned({self.group}, {axis!r})" if axis in _NAMED else f"turned({self.group}, ({axis}))"

    __str__ = __repr__


@dataclass(frozen=True, repr=False)
class _TurnedFinite(_Turned, FiniteGroup):
    """The same of a finite group, its elements in the same order."""

    def _make_elements(self) -> np.ndarray:
        return self._there(self.group.elements).numpy()

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return FiniteGroup.sample(self, n, generator, dtype)

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        return FiniteGroup.contains(self, g, tol)

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        return FiniteGroup.quadrature(self, degree)


def turned(group: Group, axis: str | Sequence[float]) -> Group:
    r"""A group of space about another axis: :math:`R G R^{-1}` with a rotation R that takes the z axis to it.

    R is a cyclic permutation of the coordinates for "x" and "y", else the turn about the vector perpendicular to both. Irreps
    have the names and the order of elements that they have about z; the vector is ``standard``.

    Args:
        group: of space, such as ``groups.Cyclic(4, dim=3)``.
        axis: "x", "y", "z", or a vector of any length.

    Returns:
        The group itself where R does not change its elements (any axis of SO3).

    Raises:
        TypeError: no group. ValueError: a group of the plane; an axis that is no direction.
    """
    if not isinstance(group, Group):
        raise TypeError(f"turned expected a group of space, such as groups.Cyclic(4, dim=3), got {group!r}")
    if group.dim != 3:
        raise ValueError(f"turned expected a group of space, such as groups.Cyclic(4, dim=3), got {group}")
    direction = _direction(axis)
    if isinstance(group, _Turned):
        raise ValueError(f"turned expected a group about z, got {group}: turn {group.group}")
    r = rotation_to(direction)
    curves = torch.linalg.matrix_exp(0.7 * group.lie_generators)
    moved = r @ torch.cat([group.generators, curves]) @ r.T
    if bool(group.contains(moved).all()) and (group.order is None or direction == _NAMED["z"]):
        return group
    return (_TurnedFinite if isinstance(group, FiniteGroup) else _Turned)(group, direction)


def rotation_to(axis: Sequence[float]) -> torch.Tensor:
    """The rotation (3, 3) of :func:`turned`, float64."""
    x, y, z = axis
    named = {_NAMED["x"]: ((0, 0, 1), (1, 0, 0), (0, 1, 0)), _NAMED["y"]: ((0, 1, 0), (0, 0, 1), (1, 0, 0))}
    if (x, y, z) in named:
        return torch.tensor(named[x, y, z], dtype=torch.float64, device="cpu")
    if z < -1 + 1e-12:  # half a turn about x
        return torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64, device="cpu"))
    c = 1 / (1 + z)
    rows = [[1 - c * x * x, -c * x * y, x], [-c * x * y, 1 - c * y * y, y], [-x, -y, z]]
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


def _direction(axis: str | Sequence[float]) -> tuple[float, float, float]:
    if isinstance(axis, str):
        if axis not in _NAMED:
            raise ValueError(f'an axis is "x", "y", "z" or a vector of three numbers, got {axis!r}')
        return _NAMED[axis]
    values = (
        [float(v) for v in axis] if isinstance(axis, Sequence | np.ndarray) and all(isinstance(v, Real) for v in axis) else []
    )
    length = math.hypot(*values)
    if len(values) != 3 or not 0 < length < math.inf:
        raise ValueError(f'an axis is "x", "y", "z" or a vector of three numbers, got {axis!r}')
    # A vector of length one is left as it is, so that the name of a group gives its axis back.
    x, y, z = (v / length + 0.0 if abs(length - 1) > 1e-15 else v + 0.0 for v in values)
    return x, y, z


def _shown(axis: tuple[float, float, float]) -> str:
    """x, y, or the numbers."""
    return next((name for name, vector in _NAMED.items() if vector == axis), ", ".join(map(repr, axis)))


def axis_of(group: Group) -> tuple[Group, str] | None:
    """The group about z and the axis, in words or numbers, of a turned one; None of others."""
    return (group.group, _shown(group.axis)) if isinstance(group, _Turned) else None
