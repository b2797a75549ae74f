"""What every group and representation must do; tests/groups has the mathematics of each."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
import torch

from gaugenet import FieldType, groups
from tests.helpers.zoo import ALL, seeded

SCALES = groups.Scaling((1.0, 2.0, 4.0))
GROUPS = [*ALL, SCALES]
D4, SO2, C4 = groups.Dihedral(4), groups.SO2(), groups.Cyclic(4)
REPRESENTATIONS = {
    groups.Irrep: [SO2.irrep("3"), D4.irrep("0-"), groups.SO3().irrep("2"), groups.O3().irrep("1o")],
    groups.Permutation: [D4.regular, D4.quotient(groups.Reflection()), groups.Octahedral().regular],
    groups.DirectSum: [C4.regular + C4.irrep("1"), SO2.irrep("0") + SO2.irrep("2")],
    groups.TensorProduct: [SO2.irrep("1") * SO2.irrep("2"), groups.SO3().irrep("1") * groups.SO3().irrep("1")],
    groups.Induced: [groups.induced(SO2.irrep("1"), groups.O2()), groups.induced(C4.irrep("1"), D4)],
    groups.TruncatedRegular: [SCALES.regular],
    groups.BandLimited: [
        groups.SO3().quotient(groups.SO2(dim=3), 2), groups.O2().representation("regular(2)"),
        groups.O3().quotient(groups.Octahedral(), 4),
    ],
}  # fmt: skip
#: public names that are no group or representation to make: bases, and functions
OTHERS = {groups.Group, groups.FiniteGroup, groups.PointGroup, groups.Representation}
OTHERS |= {groups.induced, groups.group_of, groups.name_of, groups.point_group, groups.turned}
REPS = [rep for reps in REPRESENTATIONS.values() for rep in reps]
NAMES = [f"{rep.group}-{rep.name}" for rep in REPS]
on_groups = pytest.mark.parametrize("group", GROUPS, ids=str)
on_reps = pytest.mark.parametrize("rep", REPS, ids=NAMES)


def test_registry_is_complete():
    public = {getattr(groups, name) for name in groups.__all__}
    known = {type(group) for group in GROUPS} | set(REPRESENTATIONS) | OTHERS
    assert public == known, f"not tested: {public - known}; not public: {known - public}"
    for cls, reps in REPRESENTATIONS.items():
        assert all(type(rep) is cls for rep in reps)


@on_groups
def test_groups_are_values(group):
    for twin in (copy.deepcopy(group), pickle.loads(pickle.dumps(group))):
        assert twin == group and hash(twin) == hash(group) and repr(twin) == repr(group)
    assert repr(group).startswith(type(group).__name__)
    assert group != "nothing" and sum(group == other for other in GROUPS) == 1


@on_groups
def test_groups_keep_the_precision(group, dtype):
    g = group.sample(5, generator=seeded(), dtype=dtype)
    assert g.dtype == dtype and g.shape == (5, group.dim, group.dim)
    for rep in (group.trivial, group.standard):
        assert rep(g).dtype == dtype


@on_groups
def test_groups_refuse_what_they_do_not_have(group):
    with pytest.raises(ValueError, match="nonsense"):
        group.irrep("nonsense")
    with pytest.raises((TypeError, ValueError)):
        FieldType(group, 3)
    with pytest.raises((TypeError, ValueError)):
        FieldType(3, "1x0")


@on_reps
def test_representations_are_values(rep):
    for twin in (copy.deepcopy(rep), pickle.loads(pickle.dumps(rep))):
        assert twin == rep and hash(twin) == hash(rep) and twin.name == rep.name
    assert sum(rep == other for other in REPS) == 1
    assert rep.name in repr(rep) or type(rep).__name__ in repr(rep)


@on_reps
def test_representations_multiply(rep, dtype):
    if isinstance(rep, groups.TruncatedRegular):
        pytest.skip("scales beyond the truncation are lost, so that it is none: tests/groups/test_scaling.py")
    g, h = rep.group.sample(6, generator=seeded(1), dtype=dtype), rep.group.sample(6, generator=seeded(2), dtype=dtype)
    limit = 1e-10 if dtype == torch.float64 else 1e-4
    assert rep(g).shape == (6, rep.dim, rep.dim) and rep(g).dtype == dtype
    assert (rep(g @ h) - rep(g) @ rep(h)).abs().max() < limit
    assert (rep(g) @ rep(g).mT - torch.eye(rep.dim, dtype=dtype)).abs().max() < limit
    vectors = rep.invariant_vectors().to(dtype)
    if len(vectors):
        assert (vectors @ rep(g).mT - vectors).abs().max() < limit


def test_no_class_is_hidden():
    """What a module of the package defines as a public group is exported."""
    found = {c for c in vars(groups).values() if inspect.isclass(c) and issubclass(c, groups.Group)}
    assert all(c.__name__ in groups.__all__ for c in found)
