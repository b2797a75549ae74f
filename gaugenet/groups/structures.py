"""Names of structure groups, as geometries and command lines give them, and the groups themselves: the one parser."""

from __future__ import annotations

import re
from collections.abc import Callable

from .group import Group
from .planar import O2, SO2, Cyclic, Dihedral, Reflection, Trivial
from .spatial import O3, SO3, point_group
from .spatial.schoenflies import KNOWN, schoenflies
from .spatial.turned import axis_of, turned

# What acts on the plane, and what acts on space beside the Schoenflies symbols; the number of rotations follows "C" and "D".
_GROUPS: dict[int, dict[str, Callable[[], Group]]] = {
    2: {"Z2": Reflection, "SO2": SO2, "O2": O2},
    3: {"SO2": lambda: SO2(dim=3), "O2": lambda: O2(dim=3), "SO3": SO3, "O3": O3},
}
_FAMILIES: dict[str, type[Cyclic] | type[Dihedral]] = {"C": Cyclic, "D": Dihedral}


def group_of(name: str, dim: int = 2) -> Group:
    """The structure group of a name: the inverse of :func:`name_of`.

    Args:
        name: "e" (no symmetry), "C4" (rotations by multiples of 2 pi / 4), "D4" (with reflections; in space, turns about
            horizontal axes), and in the plane "Z2" (the reflection diag(1, -1)), "SO2", "O2"; in space "SO2" and "O2" (about
            the z axis), "SO3", "O3", and all Schoenflies symbols, see :func:`point_group`: "V", "T", "Oh", "D4h", "Cs", ...
            A group about another axis has it behind: "C4(x)", "D4h(0.6, 0.0, 0.8)".
        dim: d, the dimension of the space that it acts on.

    Raises:
        TypeError: a name that is no string.
        ValueError: an unknown name, with those that are known.
    """
    if not isinstance(name, str):
        raise TypeError(f'group_of expected the name of a group, such as "SO2", got {name!r}')
    if name == "e":
        return Trivial(dim)
    groups = _GROUPS.get(dim, {})
    if name in groups:
        return groups[name]()
    if dim == 3:
        about = re.fullmatch(r"(\w+)\((.+)\)", name)
        if about is not None:
            return turned(group_of(about[1], 3), _axis(about[2]))
        try:
            return point_group(name)
        except ValueError as error:
            raise ValueError(
                f"unknown group {name!r} in dimension 3: expected one of e, {', '.join(groups)}, {KNOWN}"
            ) from error
    match = re.fullmatch(r"([CD])([1-9]\d*)", name) if groups else None
    if match is None:
        known = ", ".join(["e", *(f"{family}1, {family}2, ..." for family in _FAMILIES if groups), *groups])
        raise ValueError(f"unknown group {name!r} in dimension {dim}: expected one of {known}")
    return _FAMILIES[match[1]](int(match[2]), dim)


def _axis(text: str) -> str | list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text  # "x", "y", "z"


def name_of(group: Group) -> str:
    """The name by which :func:`group_of` finds a group: "SO2", "e", "C4", ...

    Raises:
        TypeError: something that is no group.
        ValueError: a group without such a name, as :class:`gaugenet.groups.Scaling`.
    """
    if not isinstance(group, Group):
        raise TypeError(f"name_of expected a group, such as groups.SO2(), got {group!r}")
    if isinstance(group, Trivial):
        return "e"
    if isinstance(group, Cyclic | Dihedral):
        return f"{'C' if isinstance(group, Cyclic) else 'D'}{group.n}"
    for name, make in _GROUPS.get(group.dim, {}).items():
        if make() == group:
            return name
    about = axis_of(group)
    if about is not None:
        return f"{name_of(about[0])}({about[1]})"
    symbol = schoenflies(group)
    if symbol is None:
        raise ValueError(f"{group} has no short name")
    return symbol
