"""The groups that the algebra's tests loop over."""

from __future__ import annotations

import torch

from gaugenet import groups

FINITE = (
    groups.Trivial(),
    groups.Trivial(3),
    groups.Reflection(),
    groups.Reflection(3),
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
    groups.FullTetrahedral(),
    groups.Pyritohedral(),
    groups.FullIcosahedral(),
    groups.AxialGroup("C3v"),
    groups.AxialGroup("S4"),
    groups.AxialGroup("D4h"),
)
INFINITE = (groups.SO2(), groups.SO2(dim=3), groups.O2(), groups.SO3(), groups.O3())
INFINITE += (groups.O2(dim=3), *(groups.Axisymmetric(symbol) for symbol in ("Cinfv", "Cinfh", "Dinfh")))
ALL = FINITE + INFINITE
#: planar groups of the escnn oracles
PLANAR_KEYS = ["C1", "C2", "C3", "C4", "C6", "C8", "C16", "Flip", "D2", "D3", "D4", "D6", "D8", "SO2", "O2"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def representations(group, max_order: int = 2):
    """Irreps up to an order, and for small finite groups the regular representation."""
    extra = (group.regular,) if group.order and group.order <= 24 else ()
    return (*group.irreps(max_order), *extra)


def our_name(theirs: str, n: int) -> str:
    """The name of an irrep of a planar group (n rotations), of escnn's."""
    numbers = [int(part) for part in theirs.removeprefix("irrep_").split(",")]
    if len(numbers) == 1:
        return str(numbers[0])
    sign, order = numbers
    doubled = order == 0 or 2 * order == n
    minus = sign == 1 if doubled else False
    return f"{order}-" if minus else str(order)


def planar_group(key: str):
    """The group of a key of the escnn oracles."""
    named = {"Flip": groups.Reflection(), "SO2": groups.SO2(), "O2": groups.O2()}
    return named.get(key) or {"C": groups.Cyclic, "D": groups.Dihedral}[key[0]](int(key[1:]))


def planar_rep(group, name: str):
    """A representation by its name in the escnn oracles."""
    if name == "regular":
        return group.regular
    if name.startswith("quotient"):
        return group.quotient({"quotient[C2]": groups.Cyclic(2), "quotient[flip]": groups.Reflection()}[name])
    if isinstance(group, groups.Reflection):
        return group.irrep({"irrep_0": "0", "irrep_1": "0-"}[name])
    return group.irrep(our_name(name, getattr(group, "n", 0)))
