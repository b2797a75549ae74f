"""The groups that the algebra's tests loop over."""

from __future__ import annotations

import torch

from gaugenet import groups

FINITE = (
    groups.Trivial(),
    groups.Trivial(3),
    groups.Reflection(),
    groups.Cyclic(1),
    groups.Cyclic(2),
    groups.Cyclic(3),
    groups.Cyclic(8),
    groups.Cyclic(4, dim=3),
    groups.Dihedral(1),
    groups.Dihedral(2),
    groups.Dihedral(3),
    groups.Dihedral(4),
    groups.Dihedral(4, dim=3),
    groups.Klein(),
    groups.Tetrahedral(),
    groups.Octahedral(),
    groups.FullOctahedral(),
    groups.Icosahedral(),
)
INFINITE = (groups.SO2(), groups.SO2(dim=3), groups.O2(), groups.SO3(), groups.O3())
ALL = FINITE + INFINITE


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def representations(group, max_order: int = 2):
    """Irreps up to an order, and for small finite groups the regular representation."""
    extra = (group.regular,) if group.order and group.order <= 24 else ()
    return (*group.irreps(max_order), *extra)
