"""Groups of space by their symbols, about any axis."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.groups.group import closure
from gaugenet.nn import GridConv
from gaugenet.testing import grid_symmetry_error
from tests.helpers.zoo import seeded

#: symbol -> order, and traces of all elements: the multiset is that of the group of crystallographers' tables
ORDERS = {
    "C1": 1, "C4": 4, "C3v": 6, "C1v": 2, "C4v": 8, "C2h": 4, "C3h": 6, "S4": 4, "S6": 6, "S8": 8, "D3": 6, "D2h": 8,
    "D3h": 12, "D4h": 16, "D2d": 8, "D3d": 12, "Cs": 2, "Ci": 2, "V": 4, "T": 12, "Td": 24, "Th": 24, "O": 24, "Oh": 48,
    "I": 60, "Ih": 120,
}  # fmt: skip
INVERSION = ("Ci", "C2h", "S6", "D2h", "D4h", "D3d", "Th", "Oh", "Ih")
MIRRORS = {"C3v": 3, "C4v": 4, "C2h": 1, "C3h": 1, "S4": 0, "S6": 0, "D2h": 3, "D3h": 4, "D4h": 5, "D2d": 2, "D3d": 3, "Cs": 1}
MIRRORS |= {"Ci": 0, "Td": 6, "Th": 3, "Oh": 9, "Ih": 15, "O": 0, "D3": 0}


@pytest.mark.parametrize("symbol", ORDERS)
def test_point_groups(symbol):
    group = groups.point_group(symbol)
    g = group.elements
    assert group.order == ORDERS[symbol] == len(torch.unique(g.round(decimals=9), dim=0))
    assert torch.equal(g[0], torch.eye(3).double()) and (torch.linalg.det(g).abs() - 1).abs().max() < 1e-12
    product = torch.from_numpy(closure(group.generators.numpy(), 3))
    assert len(product) == group.order and group.contains(product).all() and group.contains(g @ g[:, None]).all()
    assert bool(group.contains(-g[0])) == (symbol in INVERSION)
    if symbol in MIRRORS:  # det -1 and square 1, other than the inversion
        mirrors = ((g @ g - g[0]).abs().amax((1, 2)) < 1e-9) & ((g.diagonal(dim1=1, dim2=2).sum(1) - 1).abs() < 1e-9)
        assert int((mirrors & (torch.linalg.det(g) < 0)).sum()) == MIRRORS[symbol]
    assert groups.group_of(groups.name_of(group), 3) == group


@pytest.mark.parametrize("symbol", ["Cinf", "Cinfv", "Cinfh", "Dinf", "Dinfh", "K", "Kh"])
def test_limits(symbol):
    group = groups.point_group(symbol)
    assert group.order is None and groups.group_of(groups.name_of(group), 3) == group
    for small in ("C5", *[f"{s[0]}5{s[4:]}" for s in (symbol,) if s[1:4] == "inf"]):
        group.check_subgroup(groups.point_group(small))
    mirrors = [torch.diag(torch.tensor(m).double()) for m in ([1.0, 1, -1], [1.0, -1, 1], [1.0, -1, -1])]
    expected = {"Cinf": "000", "Cinfv": "010", "Cinfh": "100", "Dinf": "001", "Dinfh": "111", "K": "001", "Kh": "111"}[symbol]
    assert "".join(str(int(group.contains(m))) for m in mirrors) == expected
    inside, other = group.sample(50, seeded()), groups.O3().sample(50, seeded())
    assert group.contains(inside).all() and (symbol[0] == "K" or not group.contains(other).any())
    assert (inside[:, 2, 2] > 0).any() and ((inside[:, 2, 2] < 0).any() == (symbol not in ("Cinf", "Cinfv")))


def test_irreps_about_the_axis():
    """The vector is a horizontal one and one along the axis."""
    for symbol, names in {
        "Cinf": ("1", "0"), "Cinfv": ("1", "0"), "Dinf": ("1", "0-"), "Cinfh": ("1", "0o"), "Dinfh": ("1", "0o"),
    }.items():  # fmt: skip
        group = groups.point_group(symbol)
        g = group.sample(9, seeded())
        horizontal, axis = (group.irrep(name) for name in names)
        torch.testing.assert_close(horizontal(g), g[:, :2, :2])
        torch.testing.assert_close(axis(g), g[:, 2:, 2:])
    dinfh = groups.Axisymmetric("Dinfh")
    assert dinfh.irrep_names(1) == ("0e", "0o", "0-e", "0-o", "1o", "1e") and dinfh.irrep("2") == dinfh.irrep("2e")
    assert dinfh.irrep("0-o").is_sign and dinfh.irrep("0-o")(-torch.eye(3))[0, 0] == -1
    assert groups.Axisymmetric("Cinfv").irrep_names(1) == ("0", "0-", "1")
    assert groups.Axisymmetric("Cinfh").irrep_names(1) == ("0e", "0o", "1o", "1e")
    assert groups.Reflection(3).irrep("0-")(torch.diag(torch.tensor([1.0, 1, -1]))) == -1


def test_same_groups_under_other_symbols():
    for a, b in [("S1", "Cs"), ("C1h", "Cs"), ("S2", "Ci"), ("S3", "C3h"), ("C3i", "S6"), ("Vh", "D2h"), ("Vd", "D2d")]:
        assert groups.point_group(a) == groups.point_group(b)
    assert groups.AxialGroup("S6").n == 3 and groups.AxialGroup("D4h").n == 4
    assert groups.point_group("C4") == groups.Cyclic(4, dim=3) and groups.point_group("D3") == groups.Dihedral(3, dim=3)
    assert groups.point_group("Ih") == groups.FullIcosahedral() and groups.point_group("Cs") == groups.Reflection(3)


@pytest.mark.parametrize("axis", ["x", "y", (1.0, 1.0, 1.0), (0.0, 3.0, 4.0), (0, 0, -2)], ids=str)
@pytest.mark.parametrize("symbol", ["C4", "D3", "C3v", "S4", "O", "Cinf", "Dinf", "Dinfh", "Cs"])
def test_about_any_axis(symbol, axis):
    group, about_z = groups.point_group(symbol, axis), groups.point_group(symbol)
    direction = {"x": (1.0, 0, 0), "y": (0, 1.0, 0)}.get(axis, axis)
    direction = torch.tensor(direction).double() / torch.tensor(direction).double().norm()
    g, h = group.sample(6, seeded(1)), group.sample(6, seeded(2))
    assert group.contains(g).all() and group.contains(g @ h).all() and group.order == about_z.order
    if symbol != "O":  # the axis is kept, up to its direction
        torch.testing.assert_close((g @ direction) @ direction, about_z.sample(6, seeded(1))[:, 2, 2])
    for rep in (*group.irreps(2), group.standard):
        torch.testing.assert_close(rep(g) @ rep(h), rep(g @ h))
        assert all(len(v) == 1 for v in [rep.invariant_vectors()] if rep.is_trivial)
    assert groups.group_of(groups.name_of(group), 3) == group
    for twin in (copy.deepcopy(group), pickle.loads(pickle.dumps(group))):
        assert twin == group and hash(twin) == hash(group) and str(twin) == str(group)


def test_turned_groups_are_exact_on_grids():
    group = groups.point_group("C4v", "x")
    lift, hidden = FieldType(group, "1xA1"), FieldType(group, "1xregular + 1xE")
    conv = GridConv(lift, hidden, 3, 1).double()
    assert grid_symmetry_error(conv, (5, 4, 4), lift, hidden) < 1e-12
    assert groups.turned(groups.SO3(), "x") == groups.SO3() and groups.turned(groups.Klein(), "z") == groups.Klein()


@pytest.mark.parametrize(("error", "match", "call"), [
    (ValueError, "unknown Schoenflies", lambda: groups.point_group("D4x")),
    (ValueError, "unknown Schoenflies", lambda: groups.point_group("C0v")),
    (TypeError, "Schoenflies", lambda: groups.point_group(4)),
    (ValueError, "AxialGroup", lambda: groups.AxialGroup("D4")),
    (ValueError, "AxialGroup", lambda: groups.AxialGroup("S5")),
    (ValueError, "Cinfv", lambda: groups.Axisymmetric("Cinf")),
    (ValueError, "axis", lambda: groups.point_group("C4", "w")),
    (ValueError, "axis", lambda: groups.point_group("C4", (0, 0, 0))),
    (ValueError, "axis", lambda: groups.point_group("C4", (1, 0))),
    (ValueError, "of space", lambda: groups.turned(groups.Cyclic(4), "x")),
    (TypeError, "of space", lambda: groups.turned("C4", "x")),
    (ValueError, "about z", lambda: groups.turned(groups.point_group("C4", "x"), "y")),
    (ValueError, "expected one of e, SO2, O2, SO3, O3, Cn", lambda: groups.group_of("so3", 3)),
    (ValueError, "dim=4", lambda: groups.Reflection(4)), (ValueError, "dim=4", lambda: groups.O2(4)),
])  # fmt: skip
def test_refused(error, match, call):
    with pytest.raises(error, match=match):
        call()
