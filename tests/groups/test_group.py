from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gaugenet import groups
from gaugenet.groups.group import closure
from tests.helpers.zoo import ALL, FINITE, INFINITE, seeded


@pytest.mark.parametrize("group", FINITE, ids=str)
def test_elements_are_a_group(group):
    elements = group.elements
    assert elements.shape == (group.order, group.dim, group.dim) and elements.dtype == torch.float64
    assert torch.equal(elements[0], torch.eye(group.dim, dtype=torch.float64))
    distance = torch.cdist(elements.flatten(1), elements.flatten(1)) + torch.eye(group.order)
    assert distance.min() > 0.1
    products = elements[:, None] @ elements
    assert group.contains(products, tol=1e-12).all()
    generated = closure(group.generators.numpy(), group.dim)
    assert len(generated) == group.order and group.contains(torch.from_numpy(generated), tol=1e-12).all()


@pytest.mark.parametrize("group", ALL, ids=str)
def test_samples_and_generators_lie_in_the_group(group):
    g = group.sample(20, seeded())
    assert g.shape == (20, group.dim, group.dim) and g.dtype == torch.float64
    assert group.contains(g, tol=1e-12).all() and group.contains(group.generators).all()
    assert group.contains(torch.linalg.matrix_exp(0.3 * group.lie_generators)).all()
    assert torch.equal(g, group.sample(20, seeded())) and group.sample(2, dtype=torch.float32).dtype == torch.float32
    assert group.sample(0).shape == (0, group.dim, group.dim)


@pytest.mark.parametrize("group", INFINITE, ids=str)
def test_samples_are_uniform(group):
    """Haar measure: the mean of every nontrivial irrep is zero."""
    g = group.sample(40_000, seeded())
    for rep in group.irreps(2):
        if rep != group.trivial:
            assert rep(g).mean(0).abs().max() < 0.03, rep
    nodes, weights = group.quadrature(4)
    assert weights.sum().item() == pytest.approx(1)
    for rep in group.irreps(4):
        if rep != group.trivial:
            assert torch.tensordot(weights, rep(nodes), 1).abs().max() < 1e-14, rep
    # and a degree too low is not exact: the argument matters
    nodes, weights = group.quadrature(3)
    assert max(torch.tensordot(weights, rep(nodes), 1).abs().max() for rep in group.irreps(4)[1:]) > 1e-2


@pytest.mark.parametrize(
    ("group", "outside"),
    [
        (groups.SO2(), torch.diag(torch.tensor([1.0, -1.0]))),
        (groups.SO2(dim=3), torch.diag(torch.tensor([1.0, -1.0, -1.0]))),
        (groups.O2(), torch.tensor([[1.0, 0.01], [0.0, 1.0]])),
        (groups.SO3(), -torch.eye(3)),
        (groups.O3(), 1.01 * torch.eye(3)),
        (groups.Cyclic(4), torch.tensor([[0.8, -0.6], [0.6, 0.8]])),
        (groups.Reflection(), -torch.eye(2)),
        (groups.Octahedral(), -torch.eye(3)),
        (groups.Tetrahedral(), torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])),
    ],
    ids=str,
)
def test_contains_refuses(group, outside):
    assert not group.contains(outside)
    assert group.contains(torch.stack([outside, torch.eye(group.dim)])).tolist() == [False, True]


def test_contains_tolerance():
    g = torch.eye(2, dtype=torch.float64) + 1e-4
    for group in (groups.O2(), groups.SO2(), groups.Cyclic(3)):
        assert not group.contains(g) and group.contains(g, tol=1e-3)


@pytest.mark.parametrize("group", ALL, ids=str)
def test_groups_are_values(group):
    for twin in (pickle.loads(pickle.dumps(group)), copy.deepcopy(group), eval(repr(group), vars(groups).copy())):
        assert twin == group and hash(twin) == hash(group)
    with pytest.raises(AttributeError):
        group.dim = 5
    if group.order:
        group.elements.zero_()  # a copy: the group itself cannot be spoiled
        assert group.elements.abs().sum() > 0


def test_groups_differ():
    assert len({*ALL}) == len(ALL)
    assert groups.Cyclic(4) != groups.Cyclic(4, dim=3) and groups.SO2() != groups.O2()
    assert str(groups.SO2()) == "SO2()" and repr(groups.Cyclic(8)) == "Cyclic(8)"
    assert str(groups.Cyclic(4, dim=3)) == "Cyclic(4, dim=3)"


def test_element_orders():
    expected = {"Klein": 4, "Tetrahedral": 12, "Octahedral": 24, "FullOctahedral": 48, "Icosahedral": 60}
    for name, order in expected.items():
        assert getattr(groups, name)().order == order
    assert groups.Dihedral(6).order == 12 and groups.Trivial(3).order == 1 and groups.SO3().order is None


def test_wrong_arguments():
    with pytest.raises(ValueError, match="at least 1"):
        groups.Cyclic(0)
    with pytest.raises(TypeError, match="integer"):
        groups.Dihedral(4.0)
    with pytest.raises(ValueError, match="dim=4"):
        groups.SO2(dim=4)
    with pytest.raises(ValueError, match="infinite"):
        _ = groups.SO2().elements
    with pytest.raises(ValueError, match=r"infinite-dimensional.*Cyclic"):
        _ = groups.O2().regular
    with pytest.raises(ValueError, match="finite groups only"):
        groups.SO3().quotient(groups.Octahedral())
    with pytest.raises(ValueError, match="not a finite group"):
        closure(groups.SO2().sample(1, seeded()).numpy(), 2, limit=100)


@pytest.mark.parametrize(
    ("group", "subgroup", "cosets"),
    [
        (groups.Cyclic(8), groups.Cyclic(2), 4),
        (groups.Dihedral(6), groups.Reflection(), 6),
        (groups.Dihedral(6), groups.Cyclic(6), 2),
        (groups.Dihedral(6), groups.Dihedral(3), 2),
        (groups.Octahedral(), groups.Tetrahedral(), 2),
        (groups.Octahedral(), groups.Cyclic(4, dim=3), 6),
        (groups.Icosahedral(), groups.Tetrahedral(), 5),
        (groups.Octahedral(), groups.Octahedral(), 1),
    ],
    ids=str,
)
def test_quotient(group, subgroup, cosets):
    rep = group.quotient(subgroup)
    assert rep.dim == cosets and rep.is_permutation
    matrices = rep(group.elements)
    assert ((matrices == 0) | (matrices == 1)).all() and (matrices.sum(-1) == 1).all() and (matrices.sum(-2) == 1).all()
    # H is the stabiliser of the first coset, and G moves it everywhere
    fixes = matrices[:, 0, 0] == 1
    assert torch.equal(fixes, subgroup.contains(group.elements)) and (matrices[:, :, 0].sum(0) > 0).all()
    g, h = group.sample(9, seeded(1)), group.sample(9, seeded(2))
    assert torch.equal(rep(g @ h), rep(g) @ rep(h))
    assert rep.invariant_vectors().shape == (1, cosets)


def test_not_a_subgroup():
    for group, other in [
        (groups.Cyclic(8), groups.Cyclic(3)),
        (groups.Cyclic(4), groups.SO2()),
        (groups.Octahedral(), groups.Icosahedral()),
        (groups.Dihedral(4), groups.Dihedral(4, dim=3)),
    ]:
        with pytest.raises(ValueError, match="not a subgroup"):
            group.quotient(other)
    with pytest.raises(TypeError, match="expected a group"):
        groups.Cyclic(4).quotient(2)


def test_regular_is_indexed_by_elements():
    for group in (groups.Cyclic(6), groups.Dihedral(3), groups.Tetrahedral()):
        elements = group.elements
        moved = group.regular(elements)  # e_h to e_{gh}
        for i, g in enumerate(elements):
            for j, h in enumerate(elements):
                k = int(moved[i, :, j].argmax())
                assert torch.allclose(elements[k], g @ h)


def test_subgroup_regular_tolerates_rounding_and_names_strangers():
    group = groups.Cyclic(8)
    g = group.sample(5, seeded(), dtype=torch.float32)
    noisy = g + 1e-5
    assert torch.equal(group.regular(noisy), group.regular(g))
    stranger = groups.SO2().sample(1, seeded(3))
    with pytest.raises(ValueError, match=r"not an element of Cyclic\(8\)"):
        group.regular(torch.cat([group.sample(2), stranger]))
    with pytest.raises(ValueError, match="not an element"):
        group.regular(torch.full((2, 2), float("nan")))
