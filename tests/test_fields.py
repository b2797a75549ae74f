from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gaugenet import FieldType, groups
from tests.helpers.zoo import seeded

TYPES = (
    FieldType(groups.SO2(), "3x0 + 2x1 + 1x2"),
    FieldType(groups.O2(), "2x0- + 3x2 + 1x0"),
    FieldType(groups.Cyclic(4), "2xregular + 3x1 + 1x2"),
    FieldType(groups.Dihedral(4), [(2, groups.Dihedral(4).quotient(groups.Reflection())), (1, "2-"), (3, 1)]),
    FieldType(groups.Octahedral(), "2xT2 + 1xE + standard"),
    FieldType(groups.O3(), "2x0e + 3x1o + 1x2e"),
)


@pytest.mark.parametrize("ft", TYPES, ids=str)
def test_matrix_transform_and_layout_agree(ft):
    g = ft.group.sample(5, seeded())
    x = torch.randn(5, ft.dim, dtype=torch.float64, generator=seeded(1))
    matrix = ft(g)
    assert matrix.shape == (5, ft.dim, ft.dim) and ft.dim == sum(mul * rep.dim for mul, rep in ft.blocks)
    torch.testing.assert_close(ft.transform(g, x), torch.einsum("nij,nj->ni", matrix, x), rtol=0, atol=1e-13)
    # the contract: a block is rho(g) x 1_mul, in order
    parts = [torch.kron(rep(g[0]), torch.eye(mul, dtype=torch.float64)) for mul, rep in ft.blocks]
    torch.testing.assert_close(matrix[0], torch.block_diag(*parts), rtol=0, atol=1e-15)
    h = ft.group.sample(5, seeded(2))
    torch.testing.assert_close(ft.transform(g, ft.transform(h, x)), ft.transform(g @ h, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("ft", TYPES, ids=str)
def test_split_gives_views_and_join_undoes_it(ft):
    x = torch.randn(3, 4, ft.dim)
    parts = ft.split(x)
    assert [part.shape for part in parts] == [(3, 4, rep.dim, mul) for mul, rep in ft.blocks]
    assert all(part.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() for part in parts)
    assert torch.equal(ft.join(parts), x)
    assert [s.stop - s.start for s in ft.slices] == [mul * rep.dim for mul, rep in ft.blocks]
    assert all(torch.equal(x[..., s], part.flatten(-2)) for s, part in zip(ft.slices, parts))


def test_transform_broadcasts_and_keeps_dtype_and_gradient():
    ft = FieldType(groups.SO2(), "2x0 + 2x1")
    g = ft.group.sample(1, seeded(), dtype=torch.float32)[0].requires_grad_()
    x = torch.randn(7, ft.dim, requires_grad=True)
    y = ft.transform(g, x)
    assert y.shape == x.shape and y.dtype == torch.float32
    y[:, 2:].sum().backward()
    assert g.grad.abs().sum() > 0 and x.grad.abs().sum() > 0
    assert ft.transform(ft.group.sample(7, dtype=torch.float32)[:, None], torch.randn(7, 3, ft.dim)).shape == (7, 3, 6)


def test_reading_strings():
    so2 = groups.SO2()
    ft = FieldType(so2, " 16x0+ 2 x 1 +12 ")
    assert [(mul, rep.name) for mul, rep in ft.blocks] == [(16, "0"), (2, "1"), (1, "12")]
    assert str(ft) == "16x0 + 2x1 + 1x12" and FieldType(so2, str(ft)) == ft
    assert repr(ft) == 'FieldType(SO2(), "16x0 + 2x1 + 1x12")'
    assert FieldType(so2, so2.irrep(2)) == FieldType(so2, "1x2") == FieldType(so2, [(1, 2)])
    assert str(FieldType(groups.O2(), "4x0-+1x0")) == "4x0- + 1x0"
    assert FieldType(so2, []).dim == 0 and FieldType(so2, []).transform(torch.eye(2), torch.zeros(3, 0)).shape == (3, 0)


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        ("", ValueError, "cannot read"),
        ("16x0 +", ValueError, "cannot read ''"),
        ("16x0 ++ 1x1", ValueError, "cannot read"),
        ("16xfoo", ValueError, "has no irrep 'foo'"),
        ("16x0-", ValueError, "has no irrep '0-'"),
        ("regular", ValueError, "infinite-dimensional"),
        ("0x1", ValueError, "at least 1"),
        ("-2x1", ValueError, "has no irrep"),
        ([(2.0, "1")], TypeError, "multiplicity to be an integer"),
        ([(True, "1")], TypeError, "multiplicity to be an integer"),
        ([2], TypeError, "pair"),
        ([(1, groups.O2().irrep(1))], ValueError, "not a representation of SO2"),
        (16, TypeError, "pairs"),
    ],
)
def test_errors(blocks, error, message):
    with pytest.raises(error, match=message):
        FieldType(groups.SO2(), blocks)


def test_more_errors():
    ft = FieldType(groups.SO2(), "2x0 + 1x1")
    with pytest.raises(TypeError, match="takes a group first"):
        FieldType("2x0", groups.SO2())
    with pytest.raises(ValueError, match=r"last dimension 4, got shape \(3, 5\)"):
        ft.split(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="end in"):
        ft.join([torch.zeros(3, 1, 2), torch.zeros(3, 1, 2)])
    with pytest.raises(ValueError, match="different groups"):
        _ = ft + FieldType(groups.O2(), "1x0")
    with pytest.raises(TypeError):
        _ = ft + "1x0"
    for name in ("dim", "group", "new"):
        with pytest.raises(AttributeError, match="cannot assign"):
            setattr(ft, name, 3)
    with pytest.raises(AttributeError, match="cannot delete"):
        del ft.blocks


def test_value_semantics():
    for ft in TYPES:
        for twin in (pickle.loads(pickle.dumps(ft)), copy.deepcopy(ft), FieldType(ft.group, ft.blocks)):
            assert twin == ft and hash(twin) == hash(ft) and twin.slices == ft.slices
    assert len(set(TYPES)) == len(TYPES) and TYPES[0] != "3x0 + 2x1 + 1x2"
    assert FieldType(groups.SO2(), "1x0 + 1x1") != FieldType(groups.SO2(), "1x1 + 1x0")


def test_sum_and_restriction():
    so2 = groups.SO2()
    assert FieldType(so2, "2x0") + FieldType(so2, "1x1 + 1x0") == FieldType(so2, "2x0 + 1x1 + 1x0")
    ft = FieldType(groups.O2(), "2x0- + 1x3").restrict(groups.Cyclic(4))
    g = groups.Cyclic(4).sample(3, seeded())
    assert ft.group == groups.Cyclic(4)
    torch.testing.assert_close(ft(g), FieldType(groups.O2(), "2x0- + 1x3")(g))


def test_is_a_collection_of_blocks():
    ft = FieldType(groups.O2(), "2x0 + 3x1 + 1x0-")
    assert [(mul, rep.name) for mul, rep in ft] == [(2, "0"), (3, "1"), (1, "0-")] and len(ft) == 3
    assert FieldType(ft.group, ft) == ft and bool(FieldType(ft.group, []))  # a type without blocks is a type
    assert not hasattr(ft, "__dict__")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_random_features(dtype):
    ft = FieldType(groups.SO2(), "2x0 + 3x1")
    x = ft.randn(4, 5, generator=seeded(3), dtype=dtype, device="cpu")
    assert x.shape == (4, 5, ft.dim) and x.dtype == dtype
    assert torch.equal(x, ft.randn(4, 5, generator=seeded(3), dtype=dtype)) and ft.randn().shape == (ft.dim,)
    assert not torch.equal(x, ft.randn(4, 5, generator=seeded(4), dtype=dtype))
    assert ft.randn(2).dtype == torch.get_default_dtype() and ft.randn(2, device="meta").is_meta


@pytest.mark.parametrize("group", [groups.SO2(), groups.Cyclic(4)], ids=str)
def test_simplify(group):
    """The same fields in fewer blocks: the features are permuted, and transform alike."""
    ft = FieldType(group, "2x1 + 1x0 + 3x1 + 2x0")
    simple = ft.simplify()
    assert simple == FieldType(group, "5x1 + 3x0") == simple.simplify() and simple.dim == ft.dim
    index, x, g = ft.permutation(simple), ft.randn(7, dtype=torch.float64), group.sample(7, seeded())
    assert index.sort().values.tolist() == list(range(ft.dim))
    assert torch.equal(simple.transform(g, x[:, index]), ft.transform(g, x)[:, index])
    back = simple.permutation(ft)
    assert torch.equal(x[:, index][:, back], x)
    empty = FieldType(group, [])
    assert empty.simplify() == empty and len(empty.permutation(empty)) == 0


def test_merging_neighbours_changes_the_layout_unless_they_are_scalars():
    so2 = groups.SO2()
    scalars, vectors = FieldType(so2, "2x0 + 3x0"), FieldType(so2, "2x1 + 3x1")
    assert scalars.permutation(scalars.simplify()).tolist() == [0, 1, 2, 3, 4]
    assert vectors.permutation(vectors.simplify()).tolist() == [0, 1, 4, 5, 6, 2, 3, 7, 8, 9]


def test_permutation_to_other_orders():
    so2 = groups.SO2()
    a, b = FieldType(so2, "2x1 + 1x0 + 1x1"), FieldType(so2, "1x1 + 1x0 + 2x1")
    x, g = a.randn(3, dtype=torch.float64), so2.sample(3, seeded())
    assert torch.equal(b.transform(g, x[:, a.permutation(b)]), a.transform(g, x)[:, a.permutation(b)])
    for other in (FieldType(so2, "2x1 + 1x0"), FieldType(groups.O2(), "2x1 + 1x0 + 1x1"), "3x1 + 1x0"):
        with pytest.raises(ValueError, match="fields of 2x1"):
            a.permutation(other)
