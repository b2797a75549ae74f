"""Finite groups of space: their irreps from the spherical harmonics, and the symmetries of the regular polyhedra."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch

from ..constants import constant_tensor
from ..group import FiniteGroup
from ..harmonic_action import space_determinant, spherical_action
from ..representation import Irrep, Representation
from .restricted_irreps import RestrictedIrrep, restricted_irreps
from .rotations import lie_so3


class PointGroup(FiniteGroup):
    """A finite group of 3 x 3 orthogonal matrices. A subclass gives its generators; elements and irreps are computed.

    Irreps have Mulliken's letters (A, E, T, G, H for dimension 1 to 5), numbered in the order in which they appear in the
    spherical harmonics, with g or u when the inversion belongs to the group. A degree l ("1", "2", also "1o") names the irrep
    of the harmonics of that degree where these are irreducible: "1" is the vector (x, y, z).
    """

    dim = 3

    def irrep_names(self, max_order: int | None = None) -> tuple[str, ...]:
        return tuple(irrep.name for irrep in restricted_irreps(self) if max_order is None or irrep.degree <= max_order)

    def canonical_name(self, name: str | int) -> str | None:
        if name in self.irrep_names():
            return name
        match = re.fullmatch(r"(\d+)([eo]?)", str(name))
        if match is None:
            return None
        degree = int(match[1])
        improper = bool((space_determinant(self.elements) < 0).any())
        twisted = improper and match[2] not in ("", "eo"[degree % 2])
        for irrep in restricted_irreps(self):
            if (irrep.degree, irrep.twisted, len(irrep.basis)) == (degree, twisted, 2 * degree + 1):
                return irrep.name
        return None

    def irrep_degree(self, name: str) -> int:
        return _find(self, name).degree

    def irrep_dim(self, name: str) -> int:
        return len(_find(self, name).basis)

    def irrep_matrix(self, name: str, g: torch.Tensor) -> torch.Tensor:
        degree, twisted = _where(self, name)
        matrix = spherical_action(degree, g)
        basis = _basis(self, name)
        if len(basis) < matrix.shape[-1]:
            basis = basis.to(g)
            matrix = torch.einsum("im,...mn,jn->...ij", basis, matrix, basis)
        return matrix * space_determinant(g)[..., None, None] if twisted else matrix

    @property
    def standard(self) -> Representation:
        name = self.canonical_name(1)
        return Irrep(self, name) if name else super().standard


def _find(group: PointGroup, name: str) -> RestrictedIrrep:
    return next(irrep for irrep in restricted_irreps(group) if irrep.name == name)


@torch.compiler.assume_constant_result  # torch.compile must not trace how the irreps were found
def _where(group: PointGroup, name: str) -> tuple[int, bool]:
    irrep = _find(group, name)
    return irrep.degree, irrep.twisted


@torch.compiler.assume_constant_result
def _basis(group: PointGroup, name: str) -> torch.Tensor:
    return constant_tensor(_find(group, name).basis)


def _matrices(*matrices: tuple) -> torch.Tensor:
    return torch.tensor(matrices, dtype=torch.float64, device="cpu")


_TURN_Z = ((0, -1, 0), (1, 0, 0), (0, 0, 1))  # by pi / 2
_HALF_TURN_X = ((1, 0, 0), (0, -1, 0), (0, 0, -1))
_HALF_TURN_Z = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
_CYCLE = ((0, 0, 1), (1, 0, 0), (0, 1, 0))  # x to y to z to x: by 2 pi / 3 about (1, 1, 1)
_INVERSION = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
_SWAP = ((0, 1, 0), (1, 0, 0), (0, 0, 1))  # x and y


@dataclass(frozen=True, repr=False)
class Klein(PointGroup):
    """V, the half turns about x, y and z: 4 elements."""

    @property
    def generators(self) -> torch.Tensor:
        return _matrices(_HALF_TURN_X, _HALF_TURN_Z)


@dataclass(frozen=True, repr=False)
class Tetrahedral(PointGroup):
    """T, the 12 rotations of a tetrahedron with vertices (1, 1, 1), (1, -1, -1), ..."""

    @property
    def generators(self) -> torch.Tensor:
        return _matrices(_HALF_TURN_Z, _CYCLE)


@dataclass(frozen=True, repr=False)
class Octahedral(PointGroup):
    """O, the 24 rotations of the cube; irreps A1, T1 (the vector), E, T2, A2."""

    @property
    def generators(self) -> torch.Tensor:
        return _matrices(_TURN_Z, _CYCLE)


@dataclass(frozen=True, repr=False)
class FullOctahedral(PointGroup):
    """O_h, the 48 symmetries of the cube; irreps A1g, A1u (the determinant), T1u (the vector), T1g, ..."""

    @property
    def generators(self) -> torch.Tensor:
        return _matrices(_TURN_Z, _CYCLE, _INVERSION)


@dataclass(frozen=True, repr=False)
class Icosahedral(PointGroup):
    """I, the 60 rotations of the icosahedron with vertices (0, 1, golden ratio), ...; irreps A, T1 (the vector), H, T2, G."""

    @property
    def generators(self) -> torch.Tensor:
        # By 2 pi / 5 about the vertex (0, 1, golden): R = cos + (1 - cos) u u^T + sin [u]_x.
        golden = (1 + math.sqrt(5)) / 2
        u = torch.tensor([0.0, 1.0, golden], dtype=torch.float64, device="cpu") / math.sqrt(1 + golden**2)
        cos, sin = (golden - 1) / 2, math.sqrt(1 - (golden - 1) ** 2 / 4)
        cross = torch.einsum("a,aij->ij", u, lie_so3())
        turn = cos * torch.eye(3, dtype=torch.float64, device="cpu") + (1 - cos) * torch.outer(u, u) + sin * cross
        return torch.cat([turn[None], _matrices(_CYCLE)])


@dataclass(frozen=True, repr=False)
class FullTetrahedral(PointGroup):
    """T_d, the 24 symmetries of the tetrahedron with vertices (1, 1, 1), (1, -1, -1), ...; irreps A1, T1 (the vector), ..."""

    @property
    def generators(self) -> torch.Tensor:
        return _matrices(_HALF_TURN_Z, _CYCLE, _SWAP)


@dataclass(frozen=True, repr=False)
class Pyritohedral(PointGroup):
    """T_h, the 24 symmetries of a volleyball: the rotations of the tetrahedron, and the inversion."""

    @property
    def generators(self) -> torch.Tensor:
        return _matrices(_HALF_TURN_Z, _CYCLE, _INVERSION)


@dataclass(frozen=True, repr=False)
class FullIcosahedral(PointGroup):
    """I_h, the 120 symmetries of the icosahedron of :class:`Icosahedral`; irreps Ag, Au (the determinant), T1u (the vector),
    ..."""

    @property
    def generators(self) -> torch.Tensor:
        return torch.cat([Icosahedral().generators, _matrices(_INVERSION)])
