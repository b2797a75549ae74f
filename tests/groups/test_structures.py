from __future__ import annotations

import pytest

from gaugenet import groups
from tests.helpers.zoo import ALL


@pytest.mark.parametrize("group", ALL, ids=str)
def test_every_group_is_found_by_its_name(group):
    assert groups.group_of(groups.name_of(group), group.dim) == group


def test_names():
    names = {"e": groups.Trivial(), "Z2": groups.Reflection(), "C4": groups.Cyclic(4), "D3": groups.Dihedral(3)}
    names |= {"SO2": groups.SO2(), "O2": groups.O2()}
    assert {name: groups.group_of(name) for name in names} == names
    assert groups.group_of("SO2", dim=3) == groups.SO2(dim=3) and groups.group_of("Oh", 3) == groups.FullOctahedral()
    assert groups.group_of("e", dim=4) == groups.Trivial(4)


@pytest.mark.parametrize("name", ["SO3", "C0", "C", "C-4", "so2", "", "Trivial"])
def test_unknown_names_are_told_the_known_ones(name):
    with pytest.raises(ValueError, match=r"dimension 2: expected one of e, C1, C2, \.\.\., D1, D2, \.\.\., Z2, SO2, O2"):
        groups.group_of(name)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"dimension 4: expected one of e$"):
        groups.group_of("SO2", dim=4)
    with pytest.raises(TypeError, match="name of a group"):
        groups.group_of(groups.SO2())
    with pytest.raises(TypeError, match="expected a group"):
        groups.name_of("SO2")
    with pytest.raises(ValueError, match="no short name"):
        groups.name_of(groups.Scaling((1.0, 2.0)))
