"""Schoenflies symbols: the one list of the groups of space by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..group import Group
from ..planar import O2, SO2, Cyclic, Dihedral, Reflection
from .axial import AxialGroup, Axisymmetric
from .point_groups import (
    FullIcosahedral,
    FullOctahedral,
    FullTetrahedral,
    Icosahedral,
    Klein,
    Octahedral,
    Pyritohedral,
    Tetrahedral,
)
from .rotations import O3, SO3
from .turned import turned

#: symbols of single groups; the first symbol of a group is its name
_SINGLE: dict[str, Callable[[], Group]] = {
    "V": Klein, "T": Tetrahedral, "Td": FullTetrahedral, "Th": Pyritohedral, "O": Octahedral, "Oh": FullOctahedral,
    "I": Icosahedral, "Ih": FullIcosahedral, "Cs": lambda: Reflection(dim=3), "Ci": lambda: AxialGroup("Ci"),
    "Cinf": lambda: SO2(dim=3), "Dinf": lambda: O2(dim=3), "Cinfv": lambda: Axisymmetric("Cinfv"),
    "Cinfh": lambda: Axisymmetric("Cinfh"), "Dinfh": lambda: Axisymmetric("Dinfh"), "K": SO3, "Kh": O3,
}  # fmt: skip
#: other symbols of the same groups
_SAME = {"C1h": "Cs", "S1": "Cs", "S2": "Ci", "C1i": "Ci", "Vh": "D2h", "Vd": "D2d"}
KNOWN = "Cn, Cnv, Cnh, Sn, Dn, Dnh, Dnd (n = 1, 2, ... or inf), Cs, Ci, V, T, Td, Th, O, Oh, I, Ih, K, Kh"


def point_group(symbol: str, axis: str | Sequence[float] = "z") -> Group:
    """The group of space with a Schoenflies symbol: "C4", "C4v", "D4h", "S4", "Td", "Oh", "Ih", "Cinfv", ...

    Args:
        symbol: with n = 1, 2, ...: "Cn" (:class:`Cyclic`), "Dn" (:class:`Dihedral`; half turns about horizontal axes, the first
            is x), "Cnv", "Cnh", "Sn", "Dnh", "Dnd" (:class:`AxialGroup`), "Cs" (the mirror z to -z, :class:`Reflection`), "Ci";
            "V", "T", "Td", "Th", "O", "Oh", "I", "Ih"; all turns about the axis "Cinf" (:class:`SO2`), "Dinf" (:class:`O2`),
            "Cinfv", "Cinfh", "Dinfh" (:class:`Axisymmetric`); "K" and "Kh" are SO(3) and O(3).
        axis: which the group is about, see :func:`turned`.

    Raises:
        TypeError: a symbol that is no string. ValueError: an unknown symbol, with the known ones.
    """
    if not isinstance(symbol, str):
        raise TypeError(f'point_group expected a Schoenflies symbol, such as "D4h", got {symbol!r}')
    group = _by_symbol(_SAME.get(symbol, symbol))
    if group is None:
        raise ValueError(f"unknown Schoenflies symbol {symbol!r}: expected one of {KNOWN}")
    return turned(group, axis)


def _by_symbol(symbol: str) -> Group | None:
    if symbol in _SINGLE:
        return _SINGLE[symbol]()
    match = re.fullmatch(r"([CDS])([1-9]\d*)([vhdi]?)", symbol)
    if match is None:
        return None
    n, kind = int(match[2]), match[1] + match[3]
    if kind in ("C", "D"):
        return (Cyclic if kind == "C" else Dihedral)(n, dim=3)
    if kind == "Ci":  # C_n and the inversion: S_2n for odd n
        return AxialGroup(f"S{2 * n}" if n % 2 else f"C{n}h")
    if kind == "S":
        return AxialGroup(f"S{n}") if n % 2 == 0 else AxialGroup(f"C{n}h")
    return AxialGroup(symbol) if kind in ("Cv", "Ch", "Dh", "Dd") else None


def schoenflies(group: Group) -> str | None:
    """The symbol of a group of space about the z axis, the inverse of :func:`point_group`; None of others."""
    if isinstance(group, AxialGroup):
        return group.symbol
    if isinstance(group, Cyclic | Dihedral) and group.dim == 3:
        return f"{'C' if isinstance(group, Cyclic) else 'D'}{group.n}"
    return next((name for name, make in _SINGLE.items() if make() == group), None)
