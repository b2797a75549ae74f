"""Functions on homogeneous spaces of infinite groups, up to an order: their regular and quotient representations, cut off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from .constants import constant_tensor
from .group import Group
from .invariants import invariant_basis
from .representation import Representation, block_diagonal


@dataclass(frozen=True, repr=False)
class BandLimited(Representation):
    r"""The functions F on G/H with frequencies up to L, moved by :math:`(\rho(g) F)(x) = F(g^{-1} x)`: regular when H = {e}.

    By the theorem of Peter and Weyl they are sums of irreps, each as often as it has vectors v that H keeps (over its
    endomorphisms):

    .. math:: F(g H) = \sum_{\psi, k} \sqrt{d_\psi}\, \langle \psi(g)\, v_{\psi k}, f_{\psi k} \rangle, \qquad
              \int |F|^2 = |f|^2

    SO(3)/SO(2) are the functions on the sphere, with every degree l <= L once; the regular representation of SO(3) has each
    2l + 1 times. A field of this type is its coefficients f, irrep by irrep; :class:`gaugenet.nn.RegularNonlinearity` acts on
    the values. Made by ``group.quotient(subgroup, max_order)`` and ``group.representation("regular(2)")``.

    Args:
        group: G, infinite.
        subgroup: H, closed; None for {e}.
        max_order: L.

    Attributes:
        parts: the irreps, in order, one for every part of the field.
    """

    group: Group
    subgroup: Group | None
    max_order: int

    @property
    def name(self) -> str:
        return f"regular({self.max_order})" if self.subgroup is None else f"quotient({self.subgroup}, {self.max_order})"

    @property
    def parts(self) -> tuple[Representation, ...]:
        return tuple(irrep for irrep, _ in _parts(self))

    @property
    def dim(self) -> int:
        return sum(irrep.dim for irrep in self.parts)

    @property
    def degree(self) -> int:
        return max((irrep.degree for irrep in self.parts), default=0)

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        made = {irrep: irrep(g) for irrep in self.parts}
        return block_diagonal([made[irrep] for irrep in self.parts])

    def evaluation(self, g: torch.Tensor) -> torch.Tensor:
        """e (..., dim) with F(g H) = e . f, for g (..., d, d)."""
        fixed = _fixed(self).to(g)
        parts = [
            irrep.dim**0.5 * irrep(g) @ vector for irrep, vector in zip(self.parts, fixed.split([p.dim for p in self.parts]))
        ]
        return torch.cat(parts, -1)


@torch.compiler.assume_constant_result
def _fixed(rep: BandLimited) -> torch.Tensor:
    return constant_tensor(np.concatenate([vector for _, vector in _parts(rep)]))


@lru_cache(maxsize=256)
def _parts(rep: BandLimited) -> tuple[tuple[Representation, np.ndarray], ...]:
    """(irrep, unit vector that H keeps) for every part."""
    found = []
    for irrep in rep.group.irreps(rep.max_order):
        found += [(irrep, vector) for vector in kept_vectors(irrep, rep.subgroup)]
    return tuple(found)


def kept_vectors(irrep: Representation, subgroup: Group | None) -> list[np.ndarray]:
    """Unit vectors (d,) of an irrep that a subgroup (None: {e}) keeps, one for every copy of the irrep among the functions."""
    kept = np.eye(irrep.dim) if subgroup is None else irrep.restrict(subgroup).invariant_vectors().numpy()
    return _independent(irrep, kept)


def _independent(irrep: Representation, vectors: np.ndarray) -> list[np.ndarray]:
    """Of vectors (m, d) those that no endomorphism of the irrep makes of the others, orthogonal to what it makes of them."""
    g, weights = irrep.group.quadrature(2 * irrep.degree)
    matrices = irrep(g).numpy()
    endomorphisms = invariant_basis([matrices, matrices], weights.numpy())
    taken, chosen = np.zeros((0, irrep.dim)), []
    for vector in vectors:
        left = vector - taken.T @ (taken @ vector)
        if np.linalg.norm(left) > 1e-6:
            left = left / np.linalg.norm(left)
            chosen.append(left)
            _, sizes, rows = np.linalg.svd(np.concatenate([taken, endomorphisms @ left]), full_matrices=False)
            taken = rows[sizes > 1e-6]
    return chosen
