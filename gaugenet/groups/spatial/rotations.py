"""SO(3) and O(3)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import torch

from ..group import Group
from ..harmonic_action import space_determinant, spherical_action
from ..planar import is_orthogonal, rotations
from ..representation import Representation


def lie_so3() -> torch.Tensor:
    """Generators of the rotations about x, y, z, (3, 3, 3)."""
    generators = torch.zeros(3, 3, 3, dtype=torch.float64, device="cpu")
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        generators[axis, i, j], generators[axis, j, i] = -1.0, 1.0
    return generators


def rotation_quadrature(degree: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations Rz(a) Ry(b) Rz(c) and weights that integrate every D_l with l <= degree exactly: equal steps in a and c, Gauss-
    Legendre in cos b."""
    nodes, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    turns = torch.eye(3, dtype=torch.float64, device="cpu").repeat(degree + 1, 1, 1)
    turns[:, :2, :2] = rotations(torch.arange(degree + 1, dtype=torch.float64, device="cpu") * (2 * math.pi / (degree + 1)))
    tilts = torch.eye(3, dtype=torch.float64, device="cpu").repeat(len(nodes), 1, 1)
    cos = torch.from_numpy(nodes)
    sin = (1 - cos * cos).sqrt()
    tilts[:, 0, 0], tilts[:, 0, 2], tilts[:, 2, 0], tilts[:, 2, 2] = cos, sin, -sin, cos
    g = torch.einsum("aij,bjk,ckl->abcil", turns, tilts, turns).reshape(-1, 3, 3)
    share = torch.from_numpy(weights / 2)[None, :, None].expand(degree + 1, -1, degree + 1) / (degree + 1) ** 2
    return g, share.reshape(-1)


def sample_rotations(n: int, generator: torch.Generator | None) -> torch.Tensor:
    """Uniform rotations from uniform unit quaternions."""
    quaternion = torch.randn(n, 4, generator=generator, dtype=torch.float64, device="cpu")
    w, x, y, z = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@dataclass(frozen=True, repr=False)
class SO3(Group):
    """All rotations of space. Irreps "0", "1", "2", ... of dimension 2l+1, real; "1" is the vector (x, y, z) itself.

    ``D_l`` acts on the harmonics of `kernels.harmonics`, component by component as in e3nn. Names with e3nn's parity ("1o") are
    understood too; for rotations the parity has no meaning.
    """

    dim = 3

    @property
    def lie_generators(self) -> torch.Tensor:
        return lie_so3()

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return sample_rotations(n, generator).to(dtype)

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        return is_orthogonal(g, tol) & (space_determinant(g) > 0)

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        return rotation_quadrature(degree)

    def irrep_names(self, max_order: int | None = None) -> tuple[str, ...]:
        return tuple(str(l) for l in range(self._top(max_order) + 1))

    def canonical_name(self, name: str | int) -> str | None:
        match = re.fullmatch(r"(\d+)[eo]?", str(name))
        return str(int(match[1])) if match else None

    def irrep_degree(self, name: str) -> int:
        return int(name)

    def irrep_dim(self, name: str) -> int:
        return 2 * self.irrep_degree(name) + 1

    def irrep_matrix(self, name: str, g: torch.Tensor) -> torch.Tensor:
        return spherical_action(int(name), g)

    @property
    def standard(self) -> Representation:
        return self.irrep(1)


@dataclass(frozen=True, repr=False)
class O3(Group):
    """All rotations and reflections of space. Irreps "0e", "0o", "1o", "1e", ...: degree and parity under the inversion.

    "1o" is the vector (x, y, z), "0o" the determinant. A degree without parity has that of the harmonics, (-1)^l: 1 means "1o".
    """

    dim = 3

    @property
    def generators(self) -> torch.Tensor:
        return -torch.eye(3, dtype=torch.float64, device="cpu")[None]

    @property
    def lie_generators(self) -> torch.Tensor:
        return lie_so3()

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        sign = torch.randint(2, (n, 1, 1), generator=generator, device="cpu") * 2 - 1
        return (sample_rotations(n, generator) * sign).to(dtype)

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        return is_orthogonal(g, tol)

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        g, weights = rotation_quadrature(degree)
        return torch.cat([g, -g]), torch.cat([weights, weights]) / 2

    def irrep_names(self, max_order: int | None = None) -> tuple[str, ...]:
        degrees = range(self._top(max_order) + 1)
        return tuple(f"{l}{parity}" for l in degrees for parity in ("eo" if l % 2 == 0 else "oe"))

    def canonical_name(self, name: str | int) -> str | None:
        match = re.fullmatch(r"(\d+)([eo]?)", str(name))
        return f"{int(match[1])}{match[2] or 'eo'[int(match[1]) % 2]}" if match else None

    def irrep_degree(self, name: str) -> int:
        return int(name[:-1])

    def irrep_dim(self, name: str) -> int:
        return 2 * self.irrep_degree(name) + 1

    def irrep_matrix(self, name: str, g: torch.Tensor) -> torch.Tensor:
        degree = self.irrep_degree(name)
        matrix = spherical_action(degree, g)  # of parity (-1)^degree by itself
        return matrix if name[-1] == "eo"[degree % 2] else matrix * space_determinant(g)[..., None, None]

    @property
    def standard(self) -> Representation:
        return self.irrep(1)
