"""Induced representations: what they are for known cases, and fields of their type on images."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.nn import GridConv, NormNonlinearity, OnGrid
from gaugenet.testing import grid_symmetry_error

C2, C4, C8, D4 = groups.Cyclic(2), groups.Cyclic(4), groups.Cyclic(8), groups.Dihedral(4)
CASES = [(D4, C4.irrep(1)), (D4, groups.Reflection().irrep("0-")), (C8, C2.irrep(1)), (D4, C4.regular), (C4, C4.irrep(1))]
CASES += [(groups.Octahedral(), groups.Cyclic(4, dim=3).irrep(1))]


@pytest.mark.parametrize(("group", "rep"), CASES, ids=str)
def test_is_the_induced_representation(group, rep):
    induced = group.induced(rep)
    g, h = group.sample(8), group.sample(8)
    assert induced.dim == rep.dim * group.order // rep.group.order
    assert torch.allclose(induced(g) @ induced(h), induced(g @ h), rtol=1e-12, atol=1e-12)
    eye = torch.eye(induced.dim, dtype=torch.float64)
    assert torch.allclose(induced(g).mT @ induced(g), eye.expand(8, -1, -1), rtol=1e-12, atol=1e-12)
    # Frobenius: the first coset carries rep itself, and the character is the mean of that of rep over conjugates.
    inside = rep.group.elements
    assert torch.allclose(induced(inside)[:, : rep.dim, : rep.dim], rep(inside), rtol=1e-12, atol=1e-12)
    members, trace = rep.group.contains, lambda m: m.diagonal(dim1=-2, dim2=-1).sum(-1)
    for g in group.elements:
        conjugates = group.elements.mT @ g @ group.elements
        conjugates = conjugates[members(conjugates)]
        expected = trace(rep(conjugates)).sum() / rep.group.order if len(conjugates) else torch.tensor(0.0).double()
        assert torch.allclose(trace(induced(g)), expected, rtol=1e-12, atol=1e-12)
    assert pickle.loads(pickle.dumps(induced)) == copy.copy(induced) == induced and str(rep.group) in induced.name


def test_trivial_ones_induce_quotients():
    for subgroup in (C4, C2, groups.Reflection(), groups.Trivial()):
        induced, g = D4.induced(subgroup.trivial), D4.elements
        assert torch.equal(induced(g), D4.quotient(subgroup)(g))


def test_fields_on_images():
    hidden = FieldType(D4, [(2, D4.induced(C4.irrep(1))), (1, D4.induced(groups.Reflection().irrep("0-")))])
    for basis in ("complete", "band_limited"):
        net = torch.nn.Sequential(
            GridConv(FieldType(D4, "1x0"), hidden, 3, 1, basis=basis),
            OnGrid(NormNonlinearity(hidden)),
            GridConv(hidden, hidden, 3, 1, basis=basis),
        ).double()
        assert grid_symmetry_error(net, (6, 6), FieldType(D4, "1x0"), hidden) < 1e-10


@pytest.mark.parametrize(("error", "call"), [
    (ValueError, lambda: C4.induced(C8.irrep(1))), (ValueError, lambda: D4.induced(groups.SO2().irrep(1))),
    (TypeError, lambda: D4.induced("1")),
])  # fmt: skip
def test_refused(error, call):
    with pytest.raises(error):
        call()
