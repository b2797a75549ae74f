"""The regular nonlinearity over groups of space: pointwise, on the sphere, on the group, on circles about an axis."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups, nn
from gaugenet.kernels import harmonics
from tests.helpers.zoo import seeded

SO3, O3, AXIS = groups.SO3(), groups.O3(), groups.SO2(dim=3)
CUBE, FULL = groups.Octahedral().elements, groups.FullOctahedral().elements


def error(layer, elements, scale_of_all=True) -> float:
    """Relative error under elements, root mean square."""
    type = layer.in_type
    x = torch.randn(100, type.dim, dtype=torch.float64, generator=seeded(5))
    out = layer(x)
    worst = [(layer(type.transform(g, x)) - type.transform(g, out)).square().mean() for g in elements]
    return float((torch.stack(worst).mean() / out.square().mean()).sqrt())


SPACES = [
    FieldType(SO3, "2x0 + 2x1 + 2x2"),
    FieldType(SO3, "3x0 + 2x1 + 1x0 + 1x1"),  # functions of fewer orders
    FieldType(O3, "2x0e + 2x1o + 1x2e"),
    FieldType(SO3, "2xregular(1) + 1x0"),
    FieldType(O3, "1xregular(1)"),
    FieldType(SO3, [(2, SO3.quotient(AXIS, 2)), (1, "1")]),
    FieldType(SO3, [(1, SO3.quotient(groups.O2(dim=3), 2))]),
    FieldType(O3, [(1, O3.quotient(groups.Axisymmetric("Cinfh"), 2)), (2, "0e")]),
]


@pytest.mark.parametrize("type", SPACES, ids=str)
def test_exact_under_the_cube_and_nearly_under_all(type):
    layer = nn.RegularNonlinearity(type).double()
    inside = FULL if type.group == O3 else CUBE
    assert error(layer, inside) < 1e-13
    assert 1e-5 < error(layer, type.group.sample(20, seeded(1))) < 2e-2  # aliasing


@pytest.mark.parametrize(("order", "samples", "more"), [(1, 50, 86), (2, 110, 194), (3, 194, 350), (4, 302, 590)])
def test_stated_number_of_samples(order, samples, more):
    type = FieldType(SO3, " + ".join(f"1x{l}" for l in range(order + 1)))
    layer, finer = nn.RegularNonlinearity(type).double(), nn.RegularNonlinearity(type, samples=more).double()
    elements = SO3.sample(20, seeded(2))
    assert layer.samples == samples and error(layer, elements) < 1e-2
    assert error(finer, elements) < 0.65 * error(layer, elements)
    assert error(nn.RegularNonlinearity(type, "silu").double(), elements) < error(layer, elements)


def test_acts_on_the_values():
    """Of degree 0 and 1 a function with a positive sum stays what it is; the values are those at the directions."""
    type = FieldType(SO3, "1x0 + 1x1")
    layer = nn.RegularNonlinearity(type).double()
    x = torch.tensor([[2.0, 0.3, -0.4, 0.5], [-2.0, 0.3, -0.4, 0.5]]).double()
    torch.testing.assert_close(layer(x), torch.stack([x[0], 0 * x[1]]), rtol=0, atol=1e-13)
    square = nn.RegularNonlinearity(FieldType(SO3, "1x0 + 1x1 + 1x2"), torch.square).double()
    f = torch.randn(3, 9, dtype=torch.float64, generator=seeded())
    f[:, 4:] = 0
    point = torch.nn.functional.normalize(torch.randn(7, 3, dtype=torch.float64, generator=seeded(1)), dim=1)
    scale = torch.repeat_interleave(torch.tensor([1.0, 3, 5]).double().sqrt(), torch.tensor([1, 3, 5]))
    values = harmonics(point, 2) * scale
    torch.testing.assert_close(square(f) @ values.T, (f @ values.T) ** 2, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("group", [groups.Octahedral(), groups.FullIcosahedral(), groups.point_group("D4h", "x")], ids=str)
def test_finite_groups_are_pointwise(group):
    type = FieldType(group, [(2, group.regular), (1, group.quotient(groups.Trivial(3)))])
    layer = nn.RegularNonlinearity(type, "elu").double()
    x = torch.randn(5, type.dim, dtype=torch.float64, generator=seeded())
    # not equal to the last bit: torch takes another exponential at the end of a row, and which end depends on the processor
    torch.testing.assert_close(layer(x), torch.nn.functional.elu(x), rtol=0, atol=1e-14)
    assert error(layer, group.elements[:9]) < 1e-14


@pytest.mark.parametrize("symbol", ["Cinf", "Dinf", "Cinfv", "Cinfh", "Dinfh"])
@pytest.mark.parametrize("axis", ["z", "x"])
def test_circles_about_an_axis(symbol, axis):
    group = groups.point_group(symbol, axis)
    parity = symbol.endswith("h")
    type = FieldType(group, "2x0e + 2x1o + 1x2e" if parity else "2x0 + 2x1 + 1x2")
    for fields in (type, FieldType(group, "2xregular(1)")):
        layer = nn.RegularNonlinearity(fields).double()
        quarter = groups.point_group("C4", axis).elements
        assert error(layer, torch.cat([quarter, group.generators])) < 1e-13
        assert error(layer, group.sample(20, seeded(1))) < 1e-3
    if symbol != "Cinf":
        twisted = {"Dinf": "0-", "Cinfv": "0-", "Cinfh": "0o", "Dinfh": "1e"}[symbol]
        with pytest.raises(TypeError, match="no function on the circle"):
            nn.RegularNonlinearity(FieldType(group, f"1x1 + 1x{twisted}"))


@pytest.mark.parametrize("type", [SPACES[0], SPACES[3], SPACES[5]], ids=str)
def test_gradients_chunks_and_export(type):
    layer = nn.RegularNonlinearity(type, "silu").double()
    x = torch.randn(3, type.dim, dtype=torch.float64, generator=seeded(), requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
    many = torch.randn(700, type.dim, dtype=torch.float64, generator=seeded())
    torch.testing.assert_close(layer(many), torch.cat([layer(part) for part in many.split(8)]), rtol=1e-12, atol=1e-12)
    volume = torch.randn(2, type.dim, 2, 3, 4, dtype=torch.float64, generator=seeded())
    grid = nn.OnGrid(layer)
    torch.testing.assert_close(grid.export()(volume), grid(volume), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "match", "call"), [
    (TypeError, "no function on the sphere", lambda: nn.RegularNonlinearity(FieldType(O3, "1x0e + 1x1e"))),
    (TypeError, "no function on the sphere", lambda: nn.RegularNonlinearity(FieldType(O3, "1x0o"))),
    (TypeError, "finite groups of space", lambda: nn.RegularNonlinearity(FieldType(groups.Octahedral(), "1xT1"))),
    (ValueError, "at least 14 samples", lambda: nn.RegularNonlinearity(FieldType(SO3, "1x0 + 1x2"), samples=6)),
    (ValueError, "at most 590", lambda: nn.RegularNonlinearity(FieldType(SO3, "1x0 + 1x2"), samples=1000)),
    (ValueError, "orders up to 20", lambda: nn.RegularNonlinearity(FieldType(SO3, "1x0 + 1x21"))),
    (TypeError, "planar", lambda: nn.PolynomialNonlinearity(FieldType(groups.SO2(), "1xregular(2)"))),
])  # fmt: skip
def test_refused(kind, match, call):
    with pytest.raises(kind, match=match):
        call()


def test_functions_on_planar_groups():
    o2 = groups.O2()
    layer = nn.RegularNonlinearity(FieldType(o2, "1xregular(1) + 2x0")).double()
    assert error(layer, groups.Dihedral(4).elements) < 1e-13 and error(layer, o2.sample(20, seeded(1))) < 1e-3
    circle = FieldType(o2, [(1, o2.quotient(groups.Reflection(), 2))])
    x = torch.randn(4, 5, dtype=torch.float64, generator=seeded())
    same = nn.RegularNonlinearity(FieldType(o2, "1x0 + 1x1 + 1x2")).double()
    torch.testing.assert_close(nn.RegularNonlinearity(circle).double()(x), same(x), rtol=1e-12, atol=1e-12)
    assert isinstance(nn.make_nonlinearity(circle, "auto"), nn.GatedNonlinearity)
