"""Representations that those of the rotations induce on groups with reflections."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.groups import induced
from gaugenet.kernels import SteerableBasis
from gaugenet.nn import NormNonlinearity

CASES = [
    induced(groups.SO2().irrep(0), groups.O2()),
    induced(groups.SO2().irrep(2), groups.O2()),
    induced(groups.Cyclic(4).irrep(1), groups.Dihedral(4)),
    induced(groups.Cyclic(3).regular, groups.Dihedral(3)),
]


@pytest.mark.parametrize("rep", CASES, ids=repr)
def test_is_a_representation(rep):
    a, b = rep.group.sample(20, torch.Generator().manual_seed(0)), rep.group.sample(20, torch.Generator().manual_seed(1))
    assert torch.allclose(rep(a) @ rep(b), rep(a @ b), atol=1e-12)
    assert torch.allclose(rep(a) @ rep(a).mT, torch.eye(rep.dim, dtype=a.dtype), atol=1e-12)
    assert rep.dim == 2 * rep.rep.dim and rep.cosets == 2
    assert pickle.loads(pickle.dumps(rep)) == rep == copy.deepcopy(rep) and hash(rep) == hash(copy.copy(rep))
    # Induced and then restricted to the rotations: psi and its mirror image.
    turn = torch.linalg.matrix_exp(2 * torch.pi / getattr(rep.group, "n", 7) * torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double())
    assert torch.allclose(rep(turn)[: rep.rep.dim, : rep.rep.dim], rep.rep(turn))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_characters_are_those_of_two_irreps(order):
    """As representations of O(2) two copies of the irrep; "0" + "0-" from scalars."""
    g = groups.O2().sample(50, torch.Generator().manual_seed(0))
    trace = CASES[0](g).diagonal(dim1=-2, dim2=-1).sum(-1)
    assert torch.allclose(trace, (groups.O2().irrep("0")(g) + groups.O2().irrep("0-")(g))[:, 0, 0])
    rep = induced(groups.SO2().irrep(order), groups.O2())
    twice = 2 * groups.O2().irrep(order)(g).diagonal(dim1=-2, dim2=-1).sum(-1)
    assert torch.allclose(rep(g).diagonal(dim1=-2, dim2=-1).sum(-1), twice, atol=1e-12)
    scalar = groups.O2().trivial
    assert len(SteerableBasis(scalar, rep, 4)) == 2 * len(SteerableBasis(scalar, groups.O2().irrep(order), 4))


def test_invariants_and_derivative():
    assert CASES[0].invariant_vectors().shape == (1, 2) and CASES[0].is_permutation
    assert CASES[1].invariant_vectors().shape == (0, 4) and not CASES[1].is_permutation
    x = groups.O2().lie_generators[0]
    step = (CASES[1](torch.linalg.matrix_exp(1e-6 * x)) - CASES[1](torch.linalg.matrix_exp(-1e-6 * x))) / 2e-6
    assert torch.allclose(CASES[1].lie(x), step, atol=1e-8)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_norm_of_every_part(smooth, dtype):
    """Commutes with the group, and is another map than the norm of both parts."""
    group = groups.O2()
    type = FieldType(group, [(3, CASES[1]), (2, group.irrep("1"))])
    act = NormNonlinearity(type, "relu", smooth=smooth).to(dtype)
    with torch.no_grad():
        act.bias.copy_(torch.linspace(-1, 0.5, 5))
    x = torch.randn(20, type.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    g = group.sample(20, torch.Generator().manual_seed(1)).to(dtype)
    assert torch.allclose(act(type.transform(g, x)), type.transform(g, act(x)), atol=1e-10 if dtype == torch.float64 else 1e-4)
    one = torch.zeros(1, type.dim, dtype=dtype)
    one[0, 2] = 0.5  # copy 2 of the first component: b = -0.25
    half = act(one)
    one[0, 8] = 30.0  # the same copy in the other part does not open this one
    assert torch.allclose(act(one)[0, 2], half[0, 2]) and half[0, 2] > 0.2


def test_refuses():
    for rep, group in (
        (groups.SO2().irrep(1), groups.Dihedral(4)),
        (groups.Cyclic(3).irrep(1), groups.Dihedral(4)),
        (groups.O2().irrep(1), groups.O2()),
    ):
        with pytest.raises(ValueError, match="induced"):
            induced(rep, group)
