"""Functions on homogeneous spaces: that a field is its coefficients, and moves as functions do."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups, kernels
from gaugenet.nn import GaugeLinear, GridConv, NormNonlinearity
from gaugenet.testing import grid_symmetry_error
from tests.helpers.networks import randomise
from tests.helpers.zoo import seeded

SO3, O3, AXIS = groups.SO3(), groups.O3(), groups.SO2(dim=3)
#: (function space, the degrees in it)
CASES = [
    (SO3.quotient(AXIS, 3), "0 1 2 3"),
    (SO3.representation("regular(2)"), "0 1 1 1 2 2 2 2 2"),
    (SO3.quotient(groups.O2(dim=3), 4), "0 2 4"),  # lines
    (SO3.quotient(groups.Octahedral(), 6), "0 4 6"),  # orientations of cubes
    (SO3.quotient(groups.point_group("Cinf", "x"), 2), "0 1 2"),
    (O3.quotient(groups.Axisymmetric("Cinfv"), 2), "0e 1o 2e"),  # the sphere
    (O3.quotient(AXIS, 1), "0e 0o 1o 1e"),  # two spheres
    (O3.representation("regular(1)"), "0e 0o 1o 1o 1o 1e 1e 1e"),
    (groups.SO2().representation("regular(3)"), "0 1 2 3"),
    (groups.SO2().quotient(groups.Cyclic(2), 4), "0 2 4"),
    (groups.O2().quotient(groups.Reflection(), 2), "0 1 2"),  # the circle
    (groups.O2().representation("regular(1)"), "0 0- 1 1"),
    (groups.Axisymmetric("Cinfh").quotient(groups.Reflection(3), 2), "0e 1o 2e"),
]


@pytest.mark.parametrize(("rep", "names"), CASES, ids=lambda value: str(value))
def test_functions_and_their_coefficients(rep, names):
    assert " ".join(part.name for part in rep.parts) == names and rep.dim == sum(part.dim for part in rep.parts)
    g, weights = rep.group.quadrature(2 * rep.degree)
    e = rep.evaluation(g)
    gram = torch.einsum("n,ni,nj->ij", weights, e, e)
    torch.testing.assert_close(gram, torch.eye(rep.dim).double(), rtol=0, atol=1e-11)  # coefficients keep the norm
    f = torch.randn(rep.dim, dtype=torch.float64, generator=seeded())
    h, k = rep.group.sample(5, seeded(1)), rep.group.sample(5, seeded(2))
    moved = torch.einsum("ni,nij,j->n", rep.evaluation(k), rep(h), f)
    torch.testing.assert_close(moved, rep.evaluation(h.mT @ k) @ f)  # (h F)(k) = F(h^-1 k)
    if rep.subgroup is not None:
        torch.testing.assert_close(rep.evaluation(k @ rep.subgroup.sample(5, seeded(3))), rep.evaluation(k))


def test_the_sphere_is_the_sphere():
    rep = SO3.quotient(AXIS, 3)
    g = SO3.sample(20, seeded())
    scale = torch.repeat_interleave(torch.tensor([1.0, 3, 5, 7]).double().sqrt(), torch.tensor([1, 3, 5, 7]))
    torch.testing.assert_close(rep.evaluation(g).abs(), (scale * kernels.harmonics(g[:, :, 2], 3)).abs())


def test_in_field_types():
    type = FieldType(SO3, "2xregular(1) + 3x1")
    assert type.blocks[0][1] == SO3.quotient(groups.Trivial(3), max_order=1) and FieldType(SO3, str(type)) == type
    assert str(type.irreducible()) == "2x0 + 2x1 + 2x1 + 2x1 + 3x1"
    g, x = SO3.sample(4, seeded()), torch.randn(4, type.dim, dtype=torch.float64, generator=seeded(1))
    assert torch.equal(type.transform(g, x), type.irreducible().transform(g, x))


@pytest.mark.parametrize("group", [SO3, O3, groups.Axisymmetric("Cinfv")], ids=str)
def test_layers(group):
    type = FieldType(group, [(2, group.representation("regular(1)")), (1, group.trivial)])
    act = randomise(NormNonlinearity(type))
    assert act.bias.numel() == 2 * (len(type.blocks[0][1].parts) - 1)  # a bias for every irrep that is no scalar
    conv = randomise(GridConv(type, type, 3, 1, basis="band_limited")).double()
    assert grid_symmetry_error(conv, (4, 4, 4), type, type) < 1e-12
    g, x = group.sample(6, seeded()), torch.randn(6, type.dim, dtype=torch.float64, generator=seeded(1))
    for layer in (act.double(), randomise(GaugeLinear(type, type)).double()):
        torch.testing.assert_close(layer(type.transform(g, x)), type.transform(g, layer(x)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("match", "call"), [
    ("give max_order", lambda: SO3.quotient(AXIS)), ("not a subgroup", lambda: SO3.quotient(O3, 2)),
    ("is finite: max_order", lambda: groups.Octahedral().quotient(groups.Klein(), 2)),
    ("at least 0", lambda: SO3.quotient(AXIS, -1)), ("no irrep", lambda: SO3.representation("regular(-1)")),
    ("no irrep", lambda: groups.Octahedral().representation("regular(2)")),
    ("not compact", lambda: groups.Scaling((1.0, 2.0)).representation("regular(2)")),
    (r"representation\(.regular\(2\)", lambda: SO3.regular),
])  # fmt: skip
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
