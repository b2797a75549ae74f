from __future__ import annotations

import itertools

import pytest
import torch

import gaugenet.nn.fields.regular as regular
from gaugenet import FieldType, geometry, groups, nn
from gaugenet.nn import GatedNonlinearity, NormNonlinearity, PolynomialNonlinearity, RegularNonlinearity
from gaugenet.testing import equivariance_error
from tests.helpers.networks import randomise, relative_error

EXACT = [
    (groups.SO2(), "3x0 + 2x1 + 4x2"),
    (groups.O2(), "3x0 + 2x1 + 2x3"),
    (groups.Cyclic(5), "2x0 + 2x1 + 2xregular"),
    (groups.Cyclic(6), "2x0 + 2x1 + 1x2 + 1x3"),
    (groups.Dihedral(4), "2x0 + 2x1 + 1x2 + 1xregular"),
]


@pytest.mark.parametrize("case", EXACT, ids=lambda c: str(c[0]))
@pytest.mark.parametrize("make", [NormNonlinearity, GatedNonlinearity, PolynomialNonlinearity])
def test_exact_nonlinearities(case, make):
    act = randomise(make(FieldType(*case)))
    assert relative_error(act) < 1e-12
    assert relative_error(act, torch.float32) < 1e-4


@pytest.mark.parametrize("case", EXACT[2:], ids=lambda c: str(c[0]))
def test_regular_is_exact_for_finite_groups(case):
    assert relative_error(RegularNonlinearity(FieldType(*case))) < 1e-12


@pytest.mark.parametrize("order", [1, 2, 3])
def test_regular_default_is_accurate_to_a_thousandth(order):
    ft = FieldType(groups.SO2(), " + ".join(f"4x{l}" for l in range(order + 1)))
    assert relative_error(RegularNonlinearity(ft), nodes=2000) < 1e-3


def test_regular_error_falls_with_samples():
    ft = FieldType(groups.SO2(), "4x0 + 4x1 + 4x2")
    errors = [relative_error(RegularNonlinearity(ft, samples=s)) for s in (5, 11, 31, 101)]
    assert all(a > 2 * b for a, b in itertools.pairwise(errors))
    assert errors[0] > 0.05  # the published default of 5 samples


def test_signs_need_another_nonlinearity():
    ft = FieldType(groups.O2(), "2x0 + 2x0- + 2x1")
    for make in (RegularNonlinearity, PolynomialNonlinearity):
        with pytest.raises(TypeError, match="no function on the circle"):
            make(ft)
    assert relative_error(randomise(NormNonlinearity(ft))) < 1e-12
    with pytest.raises(TypeError, match="planar"):
        PolynomialNonlinearity(FieldType(groups.SO3(), "2x0 + 1x1"))


def test_norm_and_gated_take_spatial_groups():
    ft = FieldType(groups.SO3(), "2x0 + 2x1 + 1x2")
    assert relative_error(randomise(NormNonlinearity(ft))) < 1e-12
    assert relative_error(randomise(GatedNonlinearity(ft))) < 1e-12


def test_scalars_are_acted_on_pointwise():
    ft = FieldType(groups.SO2(), "5x0")
    x = torch.randn(20, 5)
    for act in (RegularNonlinearity(ft), PolynomialNonlinearity(ft), NormNonlinearity(ft), GatedNonlinearity(ft, "relu")):
        assert torch.equal(act(x), x.relu())


def test_regular_equals_the_definition_with_uneven_multiplicities():
    ft = FieldType(groups.SO2(), "3x0 + 1x1")
    x = torch.randn(10, ft.dim, dtype=torch.float64)
    out = RegularNonlinearity(ft, samples=8).double()(x)
    angle = torch.arange(8, dtype=torch.float64) * 2 * torch.pi / 8
    f = (x[:, :1] + 2**0.5 * (x[:, 3:4] * angle.cos() + x[:, 4:5] * angle.sin())).relu()
    expected = [f.mean(1), x[:, 1].relu(), x[:, 2].relu()]
    expected += [(f * angle.cos()).mean(1) * 2**0.5, (f * angle.sin()).mean(1) * 2**0.5]
    assert torch.allclose(out, torch.stack(expected, 1), rtol=1e-13, atol=1e-13)


def test_polynomial_tends_to_the_activation():
    """On normal values a higher degree is nearer to the sampled activation, up to the scaling by the power."""
    ft = FieldType(groups.SO2(), "64x0 + 64x1 + 64x2")
    x = torch.randn(200, ft.dim, dtype=torch.float64)
    target = RegularNonlinearity(ft).double()(x)
    gaps = [(PolynomialNonlinearity(ft, degree=d).double()(x) - target).norm() for d in (1, 2, 4)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert not torch.equal(PolynomialNonlinearity(ft, "silu").double()(x), PolynomialNonlinearity(ft).double()(x))


def test_arguments_matter():
    ft = FieldType(groups.SO2(), "2x0 + 2x1")
    x = torch.randn(10, ft.dim)
    assert not torch.equal(RegularNonlinearity(ft, "tanh")(x), RegularNonlinearity(ft)(x))
    assert torch.equal(RegularNonlinearity(ft, torch.tanh)(x), RegularNonlinearity(ft, "tanh")(x))
    assert NormNonlinearity(ft, bias=False).bias is None
    assert randomise(NormNonlinearity(ft)).bias.numel() == 2
    assert not torch.equal(NormNonlinearity(ft, "tanh")(x), NormNonlinearity(ft)(x))
    assert not torch.equal(NormNonlinearity(ft, eps=1.0)(x), NormNonlinearity(ft)(x))
    gated = GatedNonlinearity(ft)
    assert gated.in_type.dim == ft.dim + 2
    y = torch.randn(10, gated.in_type.dim)
    assert not torch.equal(GatedNonlinearity(ft, "tanh")(y), gated(y))
    assert not torch.equal(GatedNonlinearity(ft, gate="tanh")(y), gated(y))
    with pytest.raises(ValueError, match="relu, elu"):
        RegularNonlinearity(ft, "swish2")
    with pytest.raises(ValueError, match="at least 1"):
        RegularNonlinearity(ft, samples=0)
    with pytest.raises(ValueError, match="at least 1"):
        PolynomialNonlinearity(ft, degree=0)


@pytest.mark.parametrize("make", [NormNonlinearity, GatedNonlinearity, PolynomialNonlinearity, RegularNonlinearity])
def test_gradient_at_zero_is_finite(make):
    act = make(FieldType(groups.SO2(), "2x0 + 2x1"))
    x = torch.zeros(3, act.in_type.dim, requires_grad=True)
    act(x).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("group", [groups.SO2(), groups.O2(), groups.Cyclic(8), groups.Cyclic(4)], ids=str)
@pytest.mark.parametrize("type", ["3x0 + 3x1 + 3x2", "3x0 + 2x1 + 1x2", "2x1 + 2x2"])
def test_the_quadratic_shortcut_equals_the_samples(group, type):
    """Constant and linear terms without samples, and coefficients as they lie, against the general path."""
    act = PolynomialNonlinearity(FieldType(group, type)).double()
    x = torch.randn(50, act.in_type.dim, dtype=torch.float64, requires_grad=True)
    fast = act(x)
    act._orthogonal = act._plain = False
    slow = act(x)
    assert torch.allclose(fast, slow, rtol=1e-11, atol=1e-12)
    a, b = (torch.autograd.grad(y.square().sum(), x)[0] for y in (fast, slow))
    assert torch.allclose(a, b, rtol=1e-10, atol=1e-11)


def test_chunks_do_not_matter(monkeypatch):
    """Nodes in chunks with recomputation against all at once: values, gradients, second gradients."""
    act = RegularNonlinearity(FieldType(groups.SO2(), "2x0 + 2x1"), "silu").double()
    x = torch.randn(40, act.in_type.dim, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(40, act.in_type.dim, dtype=torch.float64)
    results = []
    for size in (1 << 20, 1):
        monkeypatch.setattr(regular, "_CHUNK_BYTES", size)
        y = act(x)
        (g,) = torch.autograd.grad((y * upstream).sum(), x, retain_graph=True)
        (g_graph,) = torch.autograd.grad((y * upstream).sum(), x, create_graph=True)
        results.append((y, g, *torch.autograd.grad(g_graph.square().sum(), x)))
    for whole, chunked in zip(*results):
        assert torch.allclose(whole, chunked, rtol=1e-12, atol=1e-13)


def test_an_activation_with_parameters_learns():
    act = RegularNonlinearity(FieldType(groups.SO2(), "1x0 + 1x1"), torch.nn.PReLU())
    act(torch.randn(5000, 3)).sum().backward()
    assert act.act.weight.grad is not None


@pytest.mark.parametrize("smooth", [True, False])
def test_norm_nonlinearity_forms(smooth):
    """Smooth or published; both finite, with finite gradients, at zero."""
    type = FieldType(groups.Reflection(), "2x0-")
    act = NormNonlinearity(type, "elu", eps=1e-3, smooth=smooth).double()
    x = torch.tensor([[0.0, 0.5], [-1e-3, -2.0]], dtype=torch.float64, requires_grad=True)
    norm = (x.square() + 1e-6).sqrt() if smooth else x.abs()
    expected = torch.nn.functional.elu(norm + act.bias) * x / (norm if smooth else norm + 1e-3)
    assert torch.allclose(act(x), expected)
    act(x).sum().backward()
    assert torch.isfinite(x.grad).all() and act(x)[0, 0].item() == 0


@pytest.mark.parametrize("group", [groups.Cyclic(4), groups.Dihedral(4)])
def test_samples_are_permuted_by_the_rotations(group):
    """Five samples of C_4 were taken without a word, with an equivariance error of 0.38."""
    type = FieldType(group, "2x0 + 2x1")
    for samples in (2, 3, 5, 6):
        with pytest.raises(ValueError, match=f"samples to be a multiple of its 4 rotations, .* got {samples}: with others"):
            nn.RegularNonlinearity(type, samples=samples)
    act, x = nn.RegularNonlinearity(type, samples=8).double(), torch.randn(20, type.dim, dtype=torch.float64)
    for g in group.elements:
        assert torch.allclose(act(type.transform(g, x)), type.transform(g, act(x)), rtol=0, atol=1e-13)
    nn.RegularNonlinearity(FieldType(group, "2xregular"), samples=5)  # acts pointwise


def test_samples_tell_the_functions_apart():
    type = FieldType(groups.SO2(), "2x0 + 2x2")
    with pytest.raises(ValueError, match=r"at least 2 L . 1 = 5 samples for orders up to L = 2, got 4"):
        nn.RegularNonlinearity(type, samples=4)
    assert nn.RegularNonlinearity(type, samples=5).samples == 5


@pytest.mark.parametrize(
    "group, blocks",
    [(groups.O2(), "2x0 + 1x0- + 2x1"), (groups.Reflection(), "2x0 + 1x0-"), (groups.SO3(), "2x0 + 1x1")],
)
def test_default_blocks_take_every_type(group, blocks):
    type = FieldType(group, blocks)
    for block in (nn.ConvBlock, nn.ResidualBlock):
        act = next(iter(block(type, type).children()))
        assert isinstance(act, nn.GatedNonlinearity)
    plain = FieldType(groups.O2(), "2x0 + 2x1")
    assert isinstance(nn.ConvBlock(plain, plain).act, nn.PolynomialNonlinearity)


def test_default_blocks_with_the_sign_are_equivariant():
    type, graph = FieldType(groups.O2(), "2x0 + 1x0- + 2x1"), geometry.icosphere(1, rings=1).to_graph()
    torch.manual_seed(0)
    assert equivariance_error(nn.ResidualBlock(type, type).double().eval(), graph, type, type) < 1e-10


def test_shifted_softplus():
    """log((e^x + 1) / 2), by name and as a plain torch module."""
    act = NormNonlinearity(FieldType(groups.SO2(), "2x0"), "ssp").double()
    x = torch.linspace(-3, 3, 14, dtype=torch.float64).view(7, 2)
    assert torch.allclose(act(x), ((x.exp() + 1) / 2).log())
    assert torch.allclose(act.pixelwise().double()(x[..., None, None])[..., 0, 0], act(x))
