from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gaugenet import groups
from tests.helpers.zoo import ALL, FINITE, INFINITE, representations, seeded


@pytest.mark.parametrize("group", ALL, ids=str)
def test_homomorphism_and_orthogonality(group):
    g, h = group.sample(6, seeded(1)), group.sample(6, seeded(2))
    for rep in (*representations(group, 3), group.standard, group.trivial):
        a, b = rep(g), rep(h)
        assert a.shape == (6, rep.dim, rep.dim) and a.dtype == torch.float64
        torch.testing.assert_close(rep(g @ h), a @ b, rtol=0, atol=1e-12)
        torch.testing.assert_close(a @ a.mT, torch.eye(rep.dim, dtype=a.dtype).expand_as(a), rtol=0, atol=1e-12)


@pytest.mark.parametrize("group", FINITE, ids=str)
def test_schur_orthogonality(group):
    """Characters: <chi_a, chi_b> = 0 for different irreps; sum dim^2 / <chi, chi> = |G| (Serre 1977, sections 2.3 and 13.2)."""
    reps = group.irreps()
    characters = torch.stack([rep(group.elements).diagonal(dim1=-2, dim2=-1).sum(-1) for rep in reps])
    gram = characters @ characters.T / group.order
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()), rtol=0, atol=1e-12)
    assert set(gram.diagonal().round(decimals=9).tolist()) <= {1.0, 2.0, 4.0}
    assert sum(rep.dim**2 / norm for rep, norm in zip(reps, gram.diagonal().tolist())) == pytest.approx(group.order)
    assert reps[0] == group.trivial and torch.allclose(characters[0], torch.ones(group.order, dtype=torch.float64))


@pytest.mark.parametrize("group", INFINITE, ids=str)
def test_continuous_irreps_are_irreducible_and_distinct(group):
    reps = group.irreps(3)
    g, weights = group.quadrature(6)
    characters = torch.stack([rep(g).diagonal(dim1=-2, dim2=-1).sum(-1) for rep in reps])
    gram = (characters * weights) @ characters.T
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()), rtol=0, atol=1e-12)
    complex_type = isinstance(group, groups.SO2) or group == groups.Axisymmetric("Cinfh")
    assert gram.diagonal().round(decimals=9).tolist() == [1.0 + (complex_type and rep.dim == 2) for rep in reps]


@pytest.mark.parametrize("group", ALL, ids=str)
def test_dtype_batching_and_gradient(group):
    g = group.sample(6, seeded())
    for rep in representations(group):
        single = rep(g.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), rep(g), rtol=0, atol=1e-5)
        grid = rep(g.reshape(2, 3, *g.shape[1:]))
        torch.testing.assert_close(grid.flatten(0, 1), rep(g), rtol=0, atol=1e-15)
        assert rep(g[0]).shape == (rep.dim, rep.dim) and rep(g[:0]).shape == (0, rep.dim, rep.dim)
    torch.testing.assert_close(group.standard(g), g, rtol=0, atol=1e-15)


@pytest.mark.parametrize("group", INFINITE, ids=str)
def test_gradient_and_lie_algebra(group):
    lie = group.lie_generators
    x = torch.tensordot(torch.tensor([0.3, -0.7, 0.4], dtype=torch.float64)[: len(lie)], lie, 1)
    for rep in (*group.irreps(3), group.irrep(1) * group.irrep(2) + group.irrep(0)):
        expected = torch.linalg.matrix_exp(rep.lie(x))
        torch.testing.assert_close(rep(torch.linalg.matrix_exp(x)), expected, rtol=0, atol=1e-12)
        g = group.sample(2, seeded()).requires_grad_()
        assert torch.autograd.gradcheck(rep, (g,), check_undefined_grad=False)
    stretch = torch.eye(group.dim, dtype=torch.float64)
    with pytest.raises(ValueError, match="not in the Lie algebra"):
        group.irrep(1).lie(stretch)
    with pytest.raises(ValueError, match=r"Lie algebra of .* consists of"):
        group.irrep(1).lie(torch.zeros(4, 4))


def test_lie_algebra_of_a_finite_group_is_zero():
    group = groups.Cyclic(4)
    assert group.regular.lie(torch.zeros(2, 2)).equal(torch.zeros(4, 4))
    with pytest.raises(ValueError, match="not in the Lie algebra"):
        group.irrep(1).lie(groups.SO2().lie_generators[0])


def test_sum_and_product():
    group = groups.O2()
    a, b, c = group.irrep(1), group.irrep("0-"), group.irrep(3)
    g = group.sample(4, seeded())
    total = a + b + c
    assert total.dim == 5 and total == (a + b) + c == a + (b + c) and total != a + c + b
    torch.testing.assert_close(total(g), torch.stack([torch.block_diag(x, y, z) for x, y, z in zip(a(g), b(g), c(g))]))
    product = a * c
    torch.testing.assert_close(product(g), torch.stack([torch.kron(x, y) for x, y in zip(a(g), c(g))]))
    assert product.degree == 4 and total.degree == 3
    with pytest.raises(ValueError, match="different groups"):
        _ = a + groups.SO2().irrep(1)
    with pytest.raises(ValueError, match="different groups"):
        _ = a * groups.Cyclic(3).regular
    with pytest.raises(TypeError):
        _ = a + 1


def test_restriction():
    big, small = groups.SO3(), groups.Octahedral()
    rep = big.irrep(2).restrict(small)
    g = small.sample(5, seeded())
    assert rep.group == small and rep.dim == 5
    torch.testing.assert_close(rep(g), big.irrep(2)(g))
    assert big.irrep(2).restrict(big) == big.irrep(2)
    assert len(big.irrep(4).restrict(small).invariant_vectors()) == 1  # the cubic harmonic
    assert len(big.irrep(3).restrict(groups.SO2(dim=3)).invariant_vectors()) == 1
    with pytest.raises(ValueError, match="not a subgroup"):
        groups.Cyclic(8).regular.restrict(groups.SO2())
    assert groups.Dihedral(4).regular.restrict(groups.Cyclic(4)).is_permutation


def test_permutations_are_recognised():
    c4, so2 = groups.Cyclic(4), groups.SO2()
    assert c4.regular.is_permutation and so2.trivial.is_permutation and (c4.regular + c4.trivial).is_permutation
    assert (c4.regular * c4.quotient(groups.Cyclic(2))).is_permutation
    for rep in (
        c4.irrep(1),
        c4.irrep(2),
        so2.irrep(1),
        c4.regular + c4.irrep(2),
        groups.O2().irrep("0-"),
        groups.SO3().irrep(1),
    ):
        assert not rep.is_permutation
    # a sign is trivial where there is nothing to flip; rotations of the octahedron permute no axes without signs
    assert groups.O2().irrep("0-").restrict(groups.Cyclic(5)).is_permutation
    assert not groups.Octahedral().irrep(1).is_permutation


@pytest.mark.parametrize("group", ALL, ids=str)
def test_invariant_vectors(group):
    generator = seeded(4)
    g = group.sample(5, generator)
    reps = representations(group)
    for rep in (*reps, reps[-1] * reps[-1] if reps[-1].dim < 9 else reps[0]):
        vectors = rep.invariant_vectors()
        torch.testing.assert_close(vectors @ vectors.T, torch.eye(len(vectors), dtype=torch.float64), rtol=0, atol=1e-12)
        moved = torch.einsum("nij,kj->nki", rep(g), vectors)
        torch.testing.assert_close(moved, vectors.expand(5, *vectors.shape), rtol=0, atol=1e-12)

    assert all(len(rep.invariant_vectors()) == (rep == group.trivial) for rep in group.irreps(2))
    square = group.irreps(1)[-1] * group.irreps(1)[-1]
    assert len(square.invariant_vectors()) >= 1


@pytest.mark.parametrize("group", ALL, ids=str)
def test_representations_are_values(group):
    reps = [*representations(group), group.standard, group.trivial * group.standard, group.trivial + group.standard]
    for rep in reps:
        for twin in (pickle.loads(pickle.dumps(rep)), copy.deepcopy(rep)):
            assert twin == rep and hash(twin) == hash(rep)
        with pytest.raises(AttributeError):
            rep.name = "other"
        assert str(group) in repr(rep) and str(rep) == rep.name


def test_wrong_elements():
    rep = groups.SO2().irrep(1)
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 2, 2\), got \(3, 3\)"):
        rep(torch.eye(3))
    with pytest.raises(TypeError, match="floating"):
        rep(torch.eye(2, dtype=torch.int64))
    with pytest.raises(TypeError, match="floating"):
        rep([[1.0, 0.0], [0.0, 1.0]])


def test_names_and_errors():
    with pytest.raises(ValueError, match=r"SO2\(\) has no irrep '0-'; it has '0', '1', '2', '3', \.\.\."):
        groups.SO2().irrep("0-")
    with pytest.raises(ValueError, match=r"'0', '1', '2', '3', '4'$"):
        groups.Cyclic(8).irrep("5")
    for name in ("-1", "", "1.5", "x", "1--", -1):
        with pytest.raises(ValueError, match="has no irrep"):
            groups.O2().irrep(name)
    for name in (True, 1.0, None):
        with pytest.raises(TypeError, match="named by"):
            groups.O2().irrep(name)
    for group in INFINITE:
        with pytest.raises(ValueError, match="max_order"):
            group.irreps()
    group = groups.Dihedral(4)
    assert group.representation("regular") == group.regular and group.representation(" 1 ") == group.irrep(1)
    assert group.representation("trivial") == group.irrep("0") and group.representation("standard") == group.irrep(1)


def test_default_device_does_not_matter():
    with torch.device("meta"):
        for group in (groups.Cyclic(3), groups.O2(), groups.O3(), groups.Tetrahedral()):
            rep = group.standard * group.standard
            assert rep.invariant_vectors().device.type == "cpu" and group.sample(2, seeded()).device.type == "cpu"


@pytest.mark.parametrize("group", ALL, ids=str)
def test_device_is_preserved(group):
    """On the meta device, which every machine has: a constant left on the CPU would raise."""
    g = group.sample(3, seeded()).to("meta")
    for rep in representations(group):
        assert rep(g).device.type == "meta" and rep(g).shape == (3, rep.dim, rep.dim)


def test_half_precision():
    group = groups.Cyclic(8)
    g = group.sample(6, seeded(), dtype=torch.bfloat16)
    assert g.dtype == group.irrep(2)(g).dtype == torch.bfloat16
    assert torch.equal(group.regular(g).double(), group.regular(group.sample(6, seeded())))


def test_under_compile():
    """Whole, without graph breaks, for every kind of representation; the constants they need are not traced."""
    d3, so3, cube = groups.Dihedral(3), groups.SO3(), groups.FullOctahedral()
    reps = (
        d3.regular,
        d3.irrep(1) + d3.quotient(groups.Reflection()),
        so3.irrep(2),
        cube.irrep("Eg"),
        cube.irrep("1e"),
        cube.regular,
    )
    elements = [rep.group.sample(5, seeded()) for rep in reps]

    def evaluate(elements):
        return [rep(g) for rep, g in zip(reps, elements)]

    for compiled, eager in zip(torch.compile(evaluate, backend="eager", fullgraph=True)(elements), evaluate(elements)):
        torch.testing.assert_close(compiled, eager)


@pytest.mark.parametrize("group", ALL, ids=str)
def test_kinds_are_read_off_the_matrices(group):
    """Whatever a representation is called: scalars, signs, rotations and permutations by their matrices on random elements."""
    reps = [*representations(group, 3), group.standard, group.trivial, group.irreps(2)[-1] + group.trivial]
    reps += [rep * group.trivial for rep in reps if rep.dim < 9]
    g = torch.cat([group.sample(20, seeded(5)), group.generators])
    det = torch.linalg.det(g)[:, None, None]
    for rep in reps:
        matrix = rep(g)
        scalar = rep.dim == 1 and bool((matrix - 1).abs().max() < 1e-9)
        assert rep.is_trivial == scalar
        assert rep.is_sign == (rep.dim == 1 and not scalar and bool((matrix - det).abs().max() < 1e-9))
        order = rep.rotation_order
        turned = [l for l in range(1, rep.degree + 1) if rep.dim == group.dim == 2 and _turns(matrix, g, l)]
        assert order == (turned[0] if turned else None)


def _turns(matrix, g, order) -> bool:
    det = torch.linalg.det(g)
    angle = order * torch.atan2(g[:, 1, 0], g[:, 0, 0])
    columns = [torch.stack([angle.cos(), angle.sin()], -1), torch.stack([-angle.sin(), angle.cos()], -1) * det[:, None]]
    return bool((matrix - torch.stack(columns, -1)).abs().max() < 1e-9)


def test_kinds_of_known_representations():
    so2, o2, c4, d6 = groups.SO2(), groups.O2(), groups.Cyclic(4), groups.Dihedral(6)
    assert [rep.rotation_order for rep in (so2.irrep(3), o2.irrep(2), so2.standard, c4.irrep(1), c4.irrep(2))] == [
        3,
        2,
        1,
        1,
        None,
    ]
    assert [rep.is_sign for rep in (o2.irrep("0-"), d6.irrep("0-"), d6.irrep("3-"), so2.trivial)] == [True, True, False, False]
    assert groups.O3().irrep("0o").is_sign and groups.Octahedral().irrep(1).rotation_order is None
    assert so2.irrep(3).restrict(c4).rotation_order == 3 and (c4.irrep(1) + c4.irrep(1)).rotation_order is None
    assert c4.quotient(c4).is_trivial and not c4.regular.is_trivial


@pytest.mark.parametrize("group", FINITE, ids=str)
def test_permutation_table(group):
    for rep in [*representations(group), group.trivial + group.trivial]:
        if not rep.is_permutation:
            with pytest.raises(ValueError, match="is_permutation"):
                rep.permutation_table()
            continue
        table = rep.permutation_table()
        wanted = torch.nn.functional.one_hot(table, rep.dim).mT.to(torch.float64)
        assert table.dtype == torch.int64 and table.shape == (group.order, rep.dim)
        torch.testing.assert_close(rep(group.elements), wanted, rtol=0, atol=0)


def test_kinds_inside_compiled_code():
    turned, sign, ones = groups.O2().irrep(2), groups.O2().irrep("0-"), groups.O2().trivial

    def kinds(x):
        return x * (turned.rotation_order + 10 * sign.is_sign + 100 * ones.is_trivial)

    assert torch.compile(kinds, fullgraph=True, backend="eager")(torch.ones(())) == 112
