"""Groups of space that keep an axis, the z axis, up to its direction: finite ones with mirrors, and the limits of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch

from ..group import Group
from ..harmonic_action import angular_power, block_determinant, circular_action
from ..planar import Cyclic, is_orthogonal, rotations
from .point_groups import PointGroup

#: y to -y, a plane with the axis; z to -z; half a turn about x; all
_VERTICAL, _HORIZONTAL, _HALF_TURN = ((1.0, -1.0, 1.0), (1.0, 1.0, -1.0), (1.0, -1.0, -1.0))
_INVERSION = (-1.0, -1.0, -1.0)


@dataclass(frozen=True, repr=False)
class AxialGroup(PointGroup):
    r"""A finite group with mirrors about the z axis, by its Schoenflies symbol.

    ============= =====================================================================  ========
    symbol        elements                                                               order
    ============= =====================================================================  ========
    "Cnv"         the turns by 2 pi / n, mirrors with the axis (the first: y to -y)       2 n
    "Cnh", n > 1  the turns, and each of them with the mirror z to -z                     2 n
    "Sn", n > 2   the powers of the turn by 2 pi / n with the mirror z to -z, n even      n
    "Dnh"         C_n, half turns about horizontal axes (the first: x), z to -z           4 n
    "Dnd"         D_n and the rotary reflections of S_2n: mirrors between the half turns  4 n
    "Ci"          1 and -1                                                                2
    ============= =====================================================================  ========

    Irreps as of every :class:`PointGroup`. The groups of rotations are :class:`Cyclic` and :class:`Dihedral` with ``dim=3``;
    :func:`point_group` finds every group by its symbol.

    Args:
        symbol: such as "C4v" or "D4h".

    Raises:
        ValueError: another symbol.
    """

    symbol: str

    def __post_init__(self) -> None:
        if _read(self.symbol) is None:
            raise ValueError(
                f'AxialGroup expected a symbol "Cnv", "Cnh", "Sn" (n even, from 4), "Dnh", "Dnd" or "Ci", such as "D4h", got '
                f"{self.symbol!r}: groups.point_group knows all of them"
            )

    @property
    def n(self) -> int:
        """How many rotations about the axis there are."""
        return _parts(self)[0]

    @property
    def generators(self) -> torch.Tensor:
        n, cosets = _parts(self)
        return torch.cat([_turn(n)[1:2], cosets[1:]])

    def _make_elements(self) -> np.ndarray:
        n, cosets = _parts(self)
        return (_turn(n) @ cosets[:, None]).flatten(0, 1).numpy()


def _read(symbol: object) -> tuple[str, int] | None:
    """(family, n) of a symbol: ("Dh", 4) of "D4h"."""
    if symbol == "Ci":
        return "Ci", 1
    match = re.fullmatch(r"(C|D|S)([1-9]\d*)([vhd]?)", symbol) if isinstance(symbol, str) else None
    if match is None:
        return None
    family, n = match[1] + match[3], int(match[2])
    known = family in ("Cv", "Dh", "Dd") or (family == "Ch" and n > 1) or (family == "S" and n % 2 == 0 and n >= 4)
    return (family, n) if known else None


def _parts(group: AxialGroup) -> tuple[int, torch.Tensor]:
    """Number of rotations about the axis, and what they are multiplied with: (cosets, 3, 3), the identity first."""
    family, n = _read(group.symbol)  # type: ignore[misc]  # checked in the constructor
    if family == "S":
        n //= 2
    rotary = torch.diag_embed(_diagonal(_HORIZONTAL)) @ _turn(2 * n)[1:2]  # by pi / n
    mirrors = {
        "Ci": (_INVERSION,), "Cv": (_VERTICAL,), "Ch": (_HORIZONTAL,), "Dh": (_HALF_TURN, _HORIZONTAL, _VERTICAL),
        "Dd": (_HALF_TURN,), "S": (),
    }[family]  # fmt: skip
    cosets = torch.diag_embed(_diagonal((1.0, 1.0, 1.0), *mirrors))
    if family in ("Dd", "S"):
        cosets = torch.cat([cosets, rotary @ cosets])
    return n, cosets


def _turn(n: int) -> torch.Tensor:
    return Cyclic(n, dim=3).elements


def _diagonal(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


@dataclass(frozen=True, repr=False)
class Axisymmetric(Group):
    r"""All turns about the z axis, with mirrors: "Cinfv" (a cone), "Cinfh" (a turning cylinder), "Dinfh" (a cylinder).

    Without mirrors they are :class:`SO2` (C_inf) and :class:`O2` (D_inf) with ``dim=3``. An element is diag(h, s), with h in
    O(2) and s = 1 or -1. Irreps are those of h, "0", "0-" (the determinant of h, where there are vertical mirrors), "1", "2",
    ...; where there is the inversion ("Cinfh", "Dinfh") also each times s, told apart by their parity, as those of O(3): "0e",
    "0o" (the z axis), "1o" (the horizontal vector), "1e", .... An order without parity has that of its harmonics, (-1)^l.

    Args:
        symbol: "Cinfv", "Cinfh" or "Dinfh".
    """

    symbol: str

    dim = 3

    def __post_init__(self) -> None:
        if self.symbol not in ("Cinfv", "Cinfh", "Dinfh"):
            raise ValueError(f'Axisymmetric expected "Cinfv", "Cinfh" or "Dinfh", got {self.symbol!r}')

    @property
    def _vertical(self) -> bool:
        return self.symbol != "Cinfh"

    @property
    def _horizontal(self) -> bool:
        return self.symbol != "Cinfv"

    @property
    def generators(self) -> torch.Tensor:
        mirrors = [_VERTICAL] * self._vertical + [_HORIZONTAL] * self._horizontal
        return torch.diag_embed(_diagonal(*mirrors))

    @property
    def lie_generators(self) -> torch.Tensor:
        turn = torch.zeros(1, 3, 3, dtype=torch.float64, device="cpu")
        turn[0, 0, 1], turn[0, 1, 0] = -1.0, 1.0
        return turn

    def _mirrors(self) -> torch.Tensor:
        """What the turns are multiplied with, (2, 3, 3) or (4, 3, 3)."""
        found = torch.eye(3, dtype=torch.float64, device="cpu")[None]
        for mirror in self.generators:
            found = torch.cat([found, found @ mirror])
        return found

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        angles = torch.rand(n, generator=generator, dtype=torch.float64, device="cpu") * (2 * torch.pi)
        mirrors = self._mirrors()
        which = torch.randint(len(mirrors), (n,), generator=generator, device="cpu")
        g = torch.eye(3, dtype=torch.float64, device="cpu").repeat(n, 1, 1)
        g[:, :2, :2] = rotations(angles)
        return (g @ mirrors[which]).to(dtype)

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        height = g[..., 2, 2]
        inside = is_orthogonal(g, tol) & ((height.abs() - 1).abs() <= tol)
        inside = inside if self._horizontal else inside & (height > 0)
        return inside if self._vertical else inside & (block_determinant(g) > 0)

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        g = (_turn(degree + 1)[:, None] @ self._mirrors()).flatten(0, 1)
        return g, torch.full((len(g),), 1 / len(g), dtype=torch.float64, device="cpu")

    def irrep_names(self, max_order: int | None = None) -> tuple[str, ...]:
        names = []
        for order in range(self._top(max_order) + 1):
            parities = ("eo" if order % 2 == 0 else "oe") if self._horizontal else ("",)
            names += [f"{order}{parity}" for parity in parities]
            if order == 0 and self._vertical:
                names += [f"0-{parity}" for parity in parities]
        return tuple(names)

    def canonical_name(self, name: str | int) -> str | None:
        match = re.fullmatch(r"(\d+)(-?)([eo]?)", str(name))
        if match is None or (match[2] and not (self._vertical and int(match[1]) == 0)):
            return None
        if not self._horizontal:
            return None if match[3] else f"{int(match[1])}{match[2]}"
        return f"{int(match[1])}{match[2]}{match[3] or 'eo'[int(match[1]) % 2]}"

    def irrep_degree(self, name: str) -> int:
        return int(name.rstrip("eo").rstrip("-"))

    def irrep_dim(self, name: str) -> int:
        return 2 if self.irrep_degree(name) else 1

    def irrep_matrix(self, name: str, g: torch.Tensor) -> torch.Tensor:
        order = self.irrep_degree(name)
        if order:
            matrix = circular_action(order, g, self._vertical)
        else:
            matrix = angular_power(g, 0)[0][..., None, None]
            matrix = matrix * block_determinant(g)[..., None, None] if "-" in name else matrix
        twisted = self._horizontal and name[-1] != "eo"[order % 2]
        return matrix * g[..., 2, 2, None, None] if twisted else matrix
