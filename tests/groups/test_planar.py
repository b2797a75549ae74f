from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gaugenet import groups
from gaugenet.groups.planar import rotations
from tests.helpers.zoo import our_name


def test_irrep_names():
    assert groups.SO2().irrep_names(2) == ("0", "1", "2")
    assert groups.O2().irrep_names(2) == ("0", "0-", "1", "2")
    assert groups.Cyclic(4).irrep_names() == ("0", "1", "2") and groups.Cyclic(5).irrep_names() == ("0", "1", "2")
    assert groups.Cyclic(4).irrep_names(1) == ("0", "1") and groups.Cyclic(1).irrep_names(7) == ("0",)
    assert groups.Dihedral(4).irrep_names() == ("0", "0-", "1", "2", "2-")
    assert groups.Dihedral(3).irrep_names() == ("0", "0-", "1") and groups.Dihedral(2).irrep_names() == ("0", "0-", "1", "1-")
    assert groups.Reflection().irrep_names() == ("0", "0-") and groups.Trivial(3).irrep_names() == ("0",)


def test_conventions():
    """The contract: order l turns counter-clockwise by l a; O(2) and D_N reflect by diag(1, -1) on orders l >= 1."""
    angle = torch.tensor(0.7, dtype=torch.float64)
    turn, flip = rotations(angle), torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    for group in (groups.SO2(), groups.O2()):
        torch.testing.assert_close(group.irrep(3)(turn), rotations(3 * angle), rtol=0, atol=1e-15)
        assert torch.equal(group.irrep(1)(turn), turn)
    for group in (groups.O2(), groups.Dihedral(8)):
        for order in (1, 2, 3):
            torch.testing.assert_close(group.irrep(order)(flip), flip)
        assert group.irrep("0-")(flip).item() == -1 and group.irrep("0")(flip).item() == 1
    d8 = groups.Dihedral(8)
    assert d8.irrep("4")(flip).item() == 1 and d8.irrep("4-")(flip).item() == -1
    eighth = rotations(torch.tensor(math.pi / 4, dtype=torch.float64))
    assert d8.irrep("4")(eighth).item() == pytest.approx(-1) and d8.irrep("4-")(eighth).item() == pytest.approx(-1)
    assert groups.Reflection().irrep("0-")(flip).item() == -1


def test_element_order():
    steps = torch.arange(6) * (math.pi / 3)
    turns = rotations(steps.double())
    torch.testing.assert_close(groups.Cyclic(6).elements, turns, rtol=0, atol=1e-6)
    flip = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    torch.testing.assert_close(groups.Dihedral(6).elements, torch.cat([turns, turns @ flip]), rtol=0, atol=1e-6)
    assert set(groups.Cyclic(4).elements.flatten().tolist()) == {-1.0, 0.0, 1.0}  # exactly


def test_in_space_about_the_z_axis():
    for flat, tall in ((groups.Cyclic(6), groups.Cyclic(6, dim=3)), (groups.Dihedral(4), groups.Dihedral(4, dim=3))):
        block = tall.elements[:, :2, :2]
        assert torch.equal(block, flat.elements)
        assert torch.equal(tall.elements[:, 2, 2], torch.linalg.det(block).round())
        assert groups.SO3().contains(tall.elements).all()
        for name in flat.irrep_names():
            assert torch.equal(tall.irrep(name)(tall.elements), flat.irrep(name)(flat.elements))
        assert tall.standard.dim == 3
    assert groups.SO2(dim=3).lie_generators[0, :, 2].abs().sum() == 0


@pytest.mark.parametrize("key", ["C3", "C4", "C8", "D3", "D4", "D8", "SO2", "O2"])
def test_against_escnn(shared, key):
    """Irreps, element order and regular representations, matrix by matrix. Their reflection diag(-1, 1) is ours turned by
    pi/2."""
    oracle = np.load(shared / "oracles" / "escnn" / "irreps_cg.npz")
    n = int(key[1:]) if key[1:].isdigit() and "O" not in key else 0
    group = {"SO2": groups.SO2(), "O2": groups.O2()}.get(key) or {"C": groups.Cyclic, "D": groups.Dihedral}[key[0]](n)
    g = torch.from_numpy(oracle[f"{key}/basespace"].copy())
    if "D" in key or key == "O2":
        quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
        g = quarter.T @ g @ quarter
    for theirs in oracle[f"{key}/irrep_names"]:
        expected = torch.from_numpy(oracle[f"{key}/irrep/{theirs}"].astype(np.float64))
        torch.testing.assert_close(group.irrep(our_name(str(theirs), n))(g), expected, rtol=0, atol=1e-12)
    if group.order:
        torch.testing.assert_close(group.elements, g, rtol=0, atol=1e-12)
        torch.testing.assert_close(group.regular(g), torch.from_numpy(oracle[f"{key}/regular"].copy()), rtol=0, atol=1e-12)
