"""Groups of the plane: {e}, reflections, C_N, D_N, SO(2), O(2). Irreps: order l turns by l a, reflections act by diag(1,
-1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch

from ..checks import check_int
from .group import FiniteGroup, Group
from .harmonic_action import angular_power, block_determinant, circular_action
from .representation import Irrep, Representation


def rotations(angles: torch.Tensor) -> torch.Tensor:
    """Counter-clockwise rotation matrices (..., 2, 2) of angles (...) in radians."""
    cos, sin = torch.cos(angles), torch.sin(angles)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def _turns(n: int) -> torch.Tensor:
    """The n rotations of C_n, (n, 2, 2), with exact zeros and ones where they belong."""
    matrices = rotations(torch.arange(n, dtype=torch.float64, device="cpu") * (2 * torch.pi / n))
    exact = (matrices * 2).round() / 2  # -1, -1/2, 0, 1/2, 1: all rational values of cos and sin at rational angles
    return torch.where((matrices - exact).abs() < 1e-14, exact, matrices)


def _embed(block: torch.Tensor, dim: int) -> torch.Tensor:
    """Planar orthogonal matrices as they are, or as rotations of space that keep the z axis (a planar reflection turns it
    over)."""
    if dim == 2:
        return block
    matrix = torch.zeros(*block.shape[:-2], 3, 3, dtype=block.dtype, device=block.device)
    matrix[..., :2, :2] = block
    matrix[..., 2, 2] = block_determinant(block).round()
    return matrix


_FLIP = ((1.0, 0.0), (0.0, -1.0))


class _Planar(Group):
    """Irreps of the subgroups of O(2): "l" of order l, and "l-", "l" times the determinant, where that is another irrep."""

    reflects = False  # whether reflections belong to the group

    def _doubled(self, order: int) -> bool:
        """Whether order l splits into one-dimensional irreps (order 0, and N/2 for even N)."""
        return order == 0

    def _max_order(self) -> int | None:
        return None

    def irrep_names(self, max_order: int | None = None) -> tuple[str, ...]:
        top = self._top(max_order, self._max_order())
        names = []
        for order in range(top + 1):
            names.append(str(order))
            if self.reflects and self._doubled(order):
                names.append(f"{order}-")
        return tuple(names)

    def canonical_name(self, name: str | int) -> str | None:
        match = re.fullmatch(r"(\d+)(-?)", str(name))
        if match is None:
            return None
        order, sign = int(match[1]), match[2]
        top = self._max_order()
        if (top is not None and order > top) or (sign and not (self.reflects and self._doubled(order))):
            return None
        return f"{order}{sign}"

    def irrep_degree(self, name: str) -> int:
        return int(name.rstrip("-"))

    def irrep_dim(self, name: str) -> int:
        return 1 if self._doubled(self.irrep_degree(name)) else 2

    def irrep_matrix(self, name: str, g: torch.Tensor) -> torch.Tensor:
        order = self.irrep_degree(name)
        if not self._doubled(order):
            return circular_action(order, g, self.reflects)
        cos, _ = angular_power(g, order)
        return (cos * block_determinant(g) if name.endswith("-") else cos)[..., None, None]

    @property
    def standard(self) -> Representation:
        one = self.canonical_name(1)
        return Irrep(self, one) if one and self.dim == 2 and self.irrep_dim(one) == 2 else super().standard


def _check_dim(group: Group) -> None:
    if check_int(type(group).__name__, "dim", group.dim) not in (2, 3):
        name = type(group).__name__
        raise ValueError(f"{name} acts on the plane (dim=2) or on space about the z axis (dim=3), got dim={group.dim}")


@dataclass(frozen=True, repr=False)
class Trivial(_Planar, FiniteGroup):
    """{e} in dimension d: an unoriented copy between frames, no symmetry asked for. One irrep, "0"."""

    dim: int = 2

    def __post_init__(self) -> None:
        check_int("Trivial", "dim", self.dim)

    def _max_order(self) -> int:
        return 0

    def _make_elements(self) -> np.ndarray:
        return np.eye(self.dim)[None]


@dataclass(frozen=True, repr=False)
class Reflection(_Planar, FiniteGroup):
    """{1, s}: the reflection s = diag(1, -1) of the plane in the first frame vector. Irreps "0" and the sign "0-".

    Args:
        dim: 2, or 3 for the reflection diag(1, 1, -1) of space, z to -z.
    """

    dim: int = 2

    reflects = True

    def __post_init__(self) -> None:
        _check_dim(self)

    def _max_order(self) -> int:
        return 0

    @property
    def generators(self) -> torch.Tensor:
        flip = torch.eye(self.dim, dtype=torch.float64, device="cpu")
        flip[-1, -1] = -1.0
        return flip[None]

    def irrep_matrix(self, name: str, g: torch.Tensor) -> torch.Tensor:
        if self.dim == 3 and name == "0-":
            return g[..., 2:, 2:]
        return super().irrep_matrix(name, g)


@dataclass(frozen=True, repr=False)
class _OfPolygon(_Planar, FiniteGroup):
    """Groups of rotations by 2 pi / n: what C_n and D_n share, the orders of their irreps."""

    n: int
    dim: int = 2

    def __post_init__(self) -> None:
        check_int(type(self).__name__, "n", self.n)
        _check_dim(self)

    def _max_order(self) -> int:
        return self.n // 2

    def _doubled(self, order: int) -> bool:
        return order == 0 or 2 * order == self.n


@dataclass(frozen=True, repr=False)
class Cyclic(_OfPolygon):
    """C_n, the rotations by multiples of 2 pi / n, in this order. Irreps "0" .. "n//2"; that of order n/2 is one-dimensional.

    Args:
        n: the number of rotations.
        dim: 2, or 3 for rotations of space about the z axis.
    """

    @property
    def generators(self) -> torch.Tensor:
        return _embed(_turns(self.n)[1:2], self.dim)

    def _make_elements(self) -> np.ndarray:
        return _embed(_turns(self.n), self.dim).numpy()


@dataclass(frozen=True, repr=False)
class Dihedral(_OfPolygon):
    """D_n: the rotations of C_n, then each of them after the reflection diag(1, -1); 2n elements in this order.

    Irreps "0", "0-", "1", ..., and for even n the two one-dimensional "n/2" (+1 on diag(1, -1)) and "n/2-" (-1 there),
    written as numbers ("4", "4-" for D_8).

    Args:
        n: the number of rotations.
        dim: 2, or 3 for the rotations of space that turn about z and by pi about horizontal axes (the first is x).
    """

    reflects = True

    @property
    def generators(self) -> torch.Tensor:
        return _embed(torch.cat([_turns(self.n)[1:2], torch.tensor([_FLIP], dtype=torch.float64, device="cpu")]), self.dim)

    def _make_elements(self) -> np.ndarray:
        turns = _turns(self.n)
        return _embed(torch.cat([turns, turns @ torch.tensor(_FLIP, dtype=torch.float64, device="cpu")]), self.dim).numpy()


@dataclass(frozen=True, repr=False)
class SO2(_Planar):
    """All rotations of the plane. Irreps "0", "1", "2", ...: order l turns by [[cos l a, -sin l a], [sin l a, cos l a]].

    Args:
        dim: 2, or 3 for rotations of space about the z axis.
    """

    dim: int = 2

    def __post_init__(self) -> None:
        _check_dim(self)

    @property
    def lie_generators(self) -> torch.Tensor:
        turn = torch.zeros(1, self.dim, self.dim, dtype=torch.float64, device="cpu")
        turn[0, 0, 1], turn[0, 1, 0] = -1.0, 1.0
        return turn

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        angles = torch.rand(n, generator=generator, dtype=torch.float64, device="cpu") * (2 * torch.pi)
        return _embed(rotations(angles), self.dim).to(dtype)

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        inside = is_orthogonal(g, tol) & (block_determinant(g) > 0)
        return inside & ((g[..., 2, 2] - 1).abs() <= tol) if self.dim == 3 else inside

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        return Cyclic(degree + 1, dim=self.dim).quadrature(degree)


@dataclass(frozen=True, repr=False)
class O2(_Planar):
    """All rotations and reflections of the plane. Irreps "0", the determinant "0-", and "1", "2", ... with diag(1, -1) as
    itself.

    Args:
        dim: 2, or 3 for the rotations of space that keep the z axis, or turn it over: by any angle about z, and by pi about
            horizontal axes (D_inf; with mirrors that contain the axis: ``Axisymmetric("Cinfv")``).
    """

    dim: int = 2

    reflects = True

    def __post_init__(self) -> None:
        _check_dim(self)

    @property
    def generators(self) -> torch.Tensor:
        return _embed(torch.tensor([_FLIP], dtype=torch.float64, device="cpu"), self.dim)

    @property
    def lie_generators(self) -> torch.Tensor:
        return SO2(self.dim).lie_generators

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        angles = torch.rand(n, generator=generator, dtype=torch.float64, device="cpu") * (2 * torch.pi)
        sign = torch.randint(2, (n,), generator=generator, device="cpu") * 2.0 - 1.0
        block = rotations(angles) * torch.stack([torch.ones_like(sign), sign], -1)[:, None, :]
        return _embed(block, self.dim).to(dtype)

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        inside = is_orthogonal(g, tol)
        if self.dim == 2:
            return inside
        height = g[..., 2, 2]
        return inside & ((height.abs() - 1).abs() <= tol) & (height * block_determinant(g) > 0)

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        return Dihedral(degree + 1, dim=self.dim).quadrature(degree)


def is_orthogonal(g: torch.Tensor, tol: float) -> torch.Tensor:
    """Whether g^T g = 1 up to `tol`, for g (..., d, d): bool (...)."""
    gram = g.transpose(-1, -2) @ g
    return (gram - torch.eye(g.shape[-1], dtype=g.dtype, device=g.device)).abs().amax((-2, -1)) <= tol
