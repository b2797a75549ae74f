from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import groups
from gaugenet.kernels import harmonics
from tests.helpers.zoo import seeded


def test_names():
    assert groups.SO3().irrep_names(2) == ("0", "1", "2")
    assert groups.SO3().irrep("1o") == groups.SO3().irrep(1) == groups.SO3().irrep("1e")
    o3 = groups.O3()
    assert o3.irrep_names(2) == ("0e", "0o", "1o", "1e", "2e", "2o")
    assert o3.irrep(1) == o3.irrep("1o") and o3.irrep(2) == o3.irrep("2e") and o3.irrep("3") == o3.irrep("3o")
    with pytest.raises(ValueError, match="'0e', '0o', '1o'"):
        o3.irrep("1x")


def test_order_one_is_the_vector():
    for group in (
        groups.SO3(),
        groups.O3(),
        groups.Tetrahedral(),
        groups.Octahedral(),
        groups.FullOctahedral(),
        groups.Icosahedral(),
    ):
        g = group.sample(5, seeded())
        assert torch.equal(group.irrep(1)(g), g) and group.standard == group.irrep(1)


def test_parity():
    inversion = -torch.eye(3, dtype=torch.float64)
    o3 = groups.O3()
    for rep in o3.irreps(3):
        sign = 1 if rep.name.endswith("e") else -1
        torch.testing.assert_close(rep(inversion), sign * torch.eye(rep.dim, dtype=torch.float64))
    g = o3.sample(4, seeded())
    torch.testing.assert_close(o3.irrep("0o")(g)[:, 0, 0], torch.linalg.det(g))
    torch.testing.assert_close(o3.irrep("1e")(g), g * torch.linalg.det(g)[:, None, None])


@pytest.mark.parametrize("degree", range(9))
def test_wigner_matrices_turn_the_harmonics(degree):
    group = groups.O3()
    g = group.sample(6, seeded())
    x = torch.randn(11, 3, dtype=torch.float64, generator=seeded(1))
    part = slice(degree**2, (degree + 1) ** 2)
    turned = harmonics(torch.einsum("nij,xj->nxi", g, x), degree)[..., part]
    expected = torch.einsum("nij,xj->nxi", group.irrep(degree)(g), harmonics(x, degree)[..., part])
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", range(7))
def test_against_e3nn(shared, degree):
    oracle = np.load(shared / "oracles" / "escnn" / "e3nn_so3.npz")
    rotations = torch.from_numpy(oracle["R"].copy())
    expected = torch.from_numpy(oracle[f"D{degree}"].copy())
    torch.testing.assert_close(groups.SO3().irrep(degree)(rotations), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", range(5))
def test_equivalent_to_escnn(shared, degree):
    """Another order of components: the same characters, and their own change of basis takes one to the other."""
    matrices = np.load(shared / "oracles" / "escnn" / "irreps_cg.npz")
    change = torch.from_numpy(np.load(shared / "oracles" / "escnn" / "e3nn_so3.npz")[f"escnn_to_e3nn_Q{degree}"].copy())
    ours = groups.SO3().irrep(degree)(torch.from_numpy(matrices["SO3/R"].copy()))
    theirs = torch.from_numpy(matrices[f"SO3/D{degree}"].copy())
    torch.testing.assert_close(ours, change @ theirs @ change.T, rtol=0, atol=1e-11)


def test_octahedral_against_escnn(shared):
    oracle = np.load(shared / "oracles" / "escnn" / "irreps_cg.npz")
    group = groups.Octahedral()
    g = torch.from_numpy(oracle["Octa/R"].copy())
    assert group.contains(g).all()
    ours = {rep.name: rep(g).diagonal(dim1=-2, dim2=-1).sum(-1) for rep in group.irreps()}
    for theirs, name in {"0": "A1", "1": "T1", "-1": "T2", "2": "E", "3": "A2"}.items():
        character = torch.from_numpy(np.trace(oracle[f"Octa/irrep/irrep_{theirs}"], axis1=1, axis2=2))
        torch.testing.assert_close(ours[name], character, rtol=0, atol=1e-12)


def test_point_group_irreps():
    def table(group):
        return {rep.name: rep.dim for rep in group.irreps()}

    assert table(groups.Octahedral()) == {"A1": 1, "T1": 3, "E": 2, "T2": 3, "A2": 1}
    assert table(groups.Tetrahedral()) == {"A": 1, "T": 3, "E": 2}
    assert table(groups.Icosahedral()) == {"A": 1, "T1": 3, "H": 5, "T2": 3, "G": 4}
    assert table(groups.Klein()) == {"A1": 1, "A2": 1, "A3": 1, "A4": 1}
    full = table(groups.FullOctahedral())
    assert full == {name + parity: dim for name, dim in table(groups.Octahedral()).items() for parity in "gu"}
    group = groups.FullOctahedral()
    assert group.irrep("1o").name == "T1u" and group.irrep("1e").name == "T1g" and group.irrep(0).name == "A1g"
    assert group.irrep("0o").name == "A1u" and group.irreps(0) == (group.irrep("A1g"), group.irrep("A1u"))
    assert groups.Octahedral().irrep_names(2) == ("A1", "T1", "E", "T2") and groups.Icosahedral().irrep(2).name == "H"
    with pytest.raises(ValueError, match="'A1', 'T1', 'E', 'T2', 'A2'"):
        groups.Octahedral().irrep(2)  # reducible: E + T2
