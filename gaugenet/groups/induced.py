"""Induced representations: from the rotations of a planar group to the whole group with its reflections."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .group import Group
from .harmonic_action import block_determinant
from .planar import O2, SO2, Cyclic, Dihedral
from .representation import Representation, block_diagonal

_FLIP = ((1.0, 0.0), (0.0, -1.0))


@dataclass(frozen=True, repr=False)
class Induced(Representation):
    r"""The representation that psi of the rotations induces on a group with reflections; s = diag(1, -1), d = dim psi.

    .. math:: \rho(h) = \psi(h) \oplus \psi(s h s), \qquad
              \rho(h s) = \begin{pmatrix} 0 & \psi(h) \\ \psi(s h s) & 0 \end{pmatrix}

    for rotations h (Weiler & Cesa 2019, arXiv 1911.08251, appendix C: induced SO(2)-fields). It permutes two halves of d
    components, so that nonlinearities may act on the norm of each (``cosets``), where the irreps that it consists of have one
    norm for both. Made by :func:`induced`.
    """

    rep: Representation
    group: Group

    cosets = 2

    @property
    def name(self) -> str:
        return f"induced({self.rep.name})"

    @property
    def dim(self) -> int:
        return 2 * self.rep.dim

    @property
    def degree(self) -> int:
        return self.rep.degree

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        s = torch.tensor(_FLIP, dtype=g.dtype, device=g.device)
        turns = (block_determinant(g.detach()) > 0)[..., None, None]
        h = torch.where(turns, g, g @ s)
        here, there = self.rep(h), self.rep(s @ h @ s)
        whole = block_diagonal([here, there])
        crossed = torch.roll(whole, self.rep.dim, -1)
        return torch.where(turns, whole, crossed)


def induced(rep: Representation, group: Group) -> Representation:
    """The representation of a planar group that ``rep`` of its rotations induces: :class:`Induced`.

    Args:
        rep: of SO2() or Cyclic(n).
        group: O2() or Dihedral(n).

    Raises:
        ValueError: other groups.
    """
    smaller = rep.group
    whole = O2() if smaller == SO2() else Dihedral(smaller.n) if isinstance(smaller, Cyclic) and smaller.dim == 2 else None
    if whole is None or group != whole:
        raise ValueError(
            f"induced expected a representation of SO2() or Cyclic(n), and O2() or Dihedral(n), got {rep!r}, {group}"
        )
    return Induced(rep, group)
