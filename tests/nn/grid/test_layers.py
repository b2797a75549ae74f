"""Transposed convolution, blur, upsampling, dropout, restriction, and every layer for nodes through OnGrid."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gaugenet import FieldType, groups
from gaugenet.data import moebius_shift
from gaugenet.nn import (
    FieldDropout,
    FieldNorm,
    GatedNonlinearity,
    GaugeLinear,
    GridBlur,
    GridConv,
    GridConvTranspose,
    GridDropout,
    GridMask,
    GridPool,
    GridUpsample,
    GroupPool,
    NormNonlinearity,
    OnGrid,
    PolynomialNonlinearity,
    RegularNonlinearity,
    Restrict,
    TensorNonlinearity,
    ToScalars,
)
from gaugenet.testing import grid_symmetry_error
from tests.helpers.networks import randomise

ONE, FLIP, C4, D4, C8 = groups.Trivial(), groups.Reflection(), groups.Cyclic(4), groups.Dihedral(4), groups.Cyclic(8)
SO2, O2, D6 = groups.SO2(), groups.O2(), groups.Dihedral(6)
LIMITED = {"basis": "band_limited"}
DTYPES = [(torch.float64, 1e-10), (torch.float32, 1e-4)]


def transposed(group, a, b, size, **options):
    return randomise(GridConvTranspose(FieldType(group, a), FieldType(group, b), size, **options)).double()


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize(
    ("size", "options"),
    [(4, {"stride": 2, "padding": 1}), (3, {"stride": 2}), (3, {"padding": 1, "dilation": 2}), (2, {"stride": 3})],
)
@pytest.mark.parametrize(
    ("group", "a", "b"), [(C4, "2x0 + 1x1", "1xregular"), (D4, "1xregular", "1x1 + 1x0-"), (SO2, "1x0 + 1x1", "1x2 + 2x0")]
)
def test_transposed_convolution_keeps_the_symmetries(group, a, b, size, options, dtype, tolerance):
    for basis in ("complete", "band_limited") if group.order else ("band_limited",):
        layer = transposed(group, a, b, size, basis=basis, **options).to(dtype)
        assert grid_symmetry_error(layer, (5, 5), layer.in_type, layer.out_type) < tolerance


@pytest.mark.parametrize("basis", ["complete", "band_limited"])
@pytest.mark.parametrize("group", [groups.Cyclic(3), groups.Cyclic(6), D6], ids=str)
def test_up_and_down_on_hexagons(group, basis):
    """From 9 to 5 pixels a side and back: exact for all elements, on a masked array and on a torus."""
    hexagons, type = {"lattice": "hexagonal"}, FieldType(group, "1x0 + 1x1 + 1xregular")
    options = {"stride": 2, "basis": basis, **hexagons}
    for mode, ends in (("zeros", {}), ("circular", {"periodic": True, "centre": "pixel"})):
        down, up = (layer(type, type, 3, 1, padding_mode=mode, **options) for layer in (GridConv, GridConvTranspose))
        masks = [torch.nn.Identity() if ends else GridMask(type, **hexagons) for _ in range(2)]
        net = randomise(torch.nn.Sequential(masks[0], down, OnGrid(NormNonlinearity(type)), masks[1], up)).double()
        side = 8 if ends else 9
        assert net(torch.zeros(1, type.dim, side, side, dtype=torch.float64)).shape[2:] == (side, side)
        assert grid_symmetry_error(net, (side, side), type, type, **hexagons, **ends) < 1e-10


def test_transposed_kernels_have_the_options_of_kernels():
    options = {"max_frequency": 1, "rings": [0.0, 1.5], "sigma": 0.7, "dilation": 2, "padding": 4, "bias": False, **LIMITED}
    conv, layer = (kind(*[FieldType(C8, "1xregular")] * 2, 5, **options) for kind in (GridConv, GridConvTranspose))
    layer.load_state_dict(dict(conv.state_dict()))  # of another class: without what it was built with
    assert torch.equal(layer.kernel(), conv.kernel()) and layer.bias is None
    x = torch.randn(1, 8, 9, 9)
    assert torch.allclose(layer(x), conv(x), atol=1e-5)


@pytest.mark.parametrize("mode", ["zeros", "circular", "moebius"])
@pytest.mark.parametrize("size", [3, 5])
def test_transposed_convolution_of_stride_one_is_the_convolution(size, mode):
    types = FieldType(FLIP, "2x0 + 1xregular"), FieldType(FLIP, "1xregular + 1x0-")
    conv = randomise(GridConv(*types, size, padding=None, padding_mode=mode)).double()
    layer = GridConvTranspose(*types, size, size // 2, padding_mode=mode).double()
    layer.load_state_dict(dict(conv.state_dict()))  # of another class: without what it was built with
    x = torch.randn(2, types[0].dim, 6, 7, dtype=torch.float64)
    assert torch.allclose(layer(x), conv(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2}, {"bias": False}, {"groups": 2}], ids=str)
def test_transposed_convolution_over_the_trivial_group(options):
    layer = transposed(ONE, "4x0", "6x0", 3, **options)
    plain = torch.nn.ConvTranspose2d(4, 6, 3, dtype=torch.float64, **options)
    assert plain.weight.numel() == layer.weight.numel()
    with torch.no_grad():
        kernel = layer.kernel().flip(2, 3)
        plain.weight.copy_(kernel.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1))
        if plain.bias is not None:
            plain.bias.copy_(layer.bias.row())
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    # Over {e} a part of the channels is a run of them: both orders agree.
    assert torch.allclose(layer(x), plain(x), rtol=1e-12, atol=1e-12)


def test_transposed_convolution_is_the_adjoint():
    """With the adjoint kernel, the gradient of a strided convolution, on a closed strip too."""
    types = FieldType(FLIP, "2x0 + 1x0-"), FieldType(FLIP, "1x0 + 2x0-")
    for mode, padding in (("zeros", 1), ("moebius", 1)):
        conv = randomise(GridConv(*types, 4, padding, stride=2, padding_mode=mode, bias=False)).double()
        layer = GridConvTranspose(types[1], types[0], 4, padding, stride=2, padding_mode=mode, bias=False).double()
        x = torch.randn(1, 3, 6, 8, dtype=torch.float64, requires_grad=True)
        y = torch.randn(1, 3, 3, 4, dtype=torch.float64)
        (expected,) = torch.autograd.grad((conv(x) * y).sum(), x)
        adjoint = conv.kernel().detach().transpose(0, 1).flip(2, 3)
        basis = torch.func.vmap(layer.expansion.forward)(torch.eye(layer.weight.numel(), dtype=torch.float64))
        solution = torch.linalg.lstsq(basis.flatten(1).T, adjoint.permute(2, 3, 1, 0).reshape(-1)).solution
        with torch.no_grad():
            layer.weight.copy_(solution)
        assert torch.allclose(layer.kernel(), adjoint, rtol=1e-12, atol=1e-12)
        assert torch.allclose(layer(y), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layer", [
    lambda t: GridConvTranspose(t, t, 4, 1, stride=2, padding_mode="moebius"),
    lambda t: GridUpsample(t, 2, padding_mode="moebius"), lambda t: GridUpsample(t, 2, "nearest", padding_mode="moebius"),
])  # fmt: skip
def test_up_round_the_strip(layer):
    type = FieldType(FLIP, "1x0 + 1x0- + 1xregular")
    layer = randomise(layer(type)).double()
    x = torch.randn(1, 4, 4, 5, dtype=torch.float64)
    out = layer(x)
    assert out.shape[2:] == (8, 10)
    for shift in (1, 5, 7):
        assert torch.allclose(layer(moebius_shift(x, shift, type)), moebius_shift(out, 2 * shift, type), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (7, 7), (10, 10), (8, 5)], ids=str)
@pytest.mark.parametrize("make", [
    lambda t: GridBlur(t), lambda t: GridBlur(t, 3, 1.0), lambda t: GridBlur(t, 1, 0.5, padding_mode="zeros"),
    lambda t: GridUpsample(t), lambda t: GridUpsample(t, 3, "nearest"),
    lambda t: GridPool(t), lambda t: GridPool(t, 3, "mean"), lambda t: GridDropout(t),
])  # fmt: skip
def test_resampling_keeps_the_symmetries(make, shape, dtype, tolerance):
    type = FieldType(D4, "1x0 + 1x0- + 2x1 + 1xregular")
    layer = make(type)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, type.dim, *shape, generator=generator, dtype=torch.float64).to(dtype)
    assert grid_symmetry_error(layer, shape, type, type, x=x) < tolerance


def test_blur():
    type = FieldType(SO2, "1x0 + 1x1")
    ones = torch.ones(1, 3, 9, 8)
    assert torch.allclose(GridBlur(type)(ones), torch.ones(1, 3, 5, 4), atol=1e-6)
    assert GridBlur(type, 3)(ones).shape[2:] == (3, 3)
    wave = torch.tensor([1.0, -1.0]).repeat(8).expand(1, 3, 16, 16)  # the highest frequency is gone
    ring, sharp = GridBlur(type, padding_mode="circular"), GridBlur(type, 2, 0.2)
    odd = wave[..., :15, :15]
    assert GridBlur(type, 2, 1.0)(odd)[..., 3:5].abs().max() < 0.02 and sharp(odd)[..., 3:5].abs().min() > 0.9
    assert not torch.equal(GridBlur(type, padding_mode="zeros")(odd), GridBlur(type)(odd))
    x = torch.randn(1, 3, 8, 8)
    assert torch.allclose(ring(x.roll(2, 3)), ring(x).roll(1, 3), atol=1e-6)
    assert not torch.allclose(GridBlur(type)(x.roll(2, 3)), GridBlur(type)(x).roll(1, 3), atol=1e-3)
    with pytest.raises(ValueError, match="no multiple"):
        ring(torch.randn(1, 3, 9, 8))


def test_upsampling_is_that_of_torch():
    x = torch.randn(1, 3, 4, 5)
    type = FieldType(SO2, "1x0 + 1x1")
    assert torch.equal(GridUpsample(type)(x), F.interpolate(x, scale_factor=2, mode="bilinear"))
    assert torch.equal(GridUpsample(type, 3, "nearest")(x), x.repeat_interleave(3, 2).repeat_interleave(3, 3))
    volume = FieldType(groups.SO3(), "1x0 + 1x1")
    assert GridUpsample(volume)(torch.randn(1, 4, 2, 2, 2)).shape == (1, 4, 4, 4, 4)
    assert GridBlur(volume)(torch.randn(1, 4, 4, 5, 6)).shape == (1, 4, 2, 3, 3)


def test_dropout_drops_whole_maps():
    torch.manual_seed(0)
    type = FieldType(D4, "8x1 + 4xregular")
    x = torch.randn(4, type.dim, 3, 3).abs() + 1
    out = GridDropout(type, 0.25)(x)
    for block, before in zip(type.split(out.movedim(1, -1)), type.split(x.movedim(1, -1))):
        kept = (block != 0).flatten(1, 3)
        assert torch.equal(kept.all(1), kept.any(1)) and 0 < kept.float().mean() < 1
        assert torch.allclose(block[block != 0], before[block != 0] / 0.75)
    assert torch.equal(GridDropout(type, 0.25).eval()(x), x)


NODE_LAYERS = {
    "norm": lambda t: FieldNorm(t),
    "layer norm": lambda t: FieldNorm(t, "layer"),
    "dropout": lambda t: FieldDropout(t),
    "linear": lambda t: GaugeLinear(t, t),
    "norm nonlinearity": lambda t: NormNonlinearity(t),
    "gated": lambda t: GatedNonlinearity(t),
    "tensor": lambda t: TensorNonlinearity(t),
    "scalars": lambda t: ToScalars(t),
}
CIRCLE = {
    "regular": lambda t: RegularNonlinearity(t),
    "polynomial": lambda t: PolynomialNonlinearity(t),
}


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize(("group", "text"), [
    (FLIP, "2x0 + 2x0- + 2xregular"), (C4, "2x0 + 2x1 + 2xregular + 2x2"), (D4, "2x0 + 2x0- + 2x1 + 2xregular"),
    (C8, "2x0 + 2x1 + 2xregular"), (SO2, "2x0 + 2x1 + 2x2"), (O2, "2x0 + 2x0- + 2x1"),
], ids=str)  # fmt: skip
def test_every_layer_for_nodes(group, text, dtype, tolerance):
    made = dict(NODE_LAYERS, **CIRCLE)
    for name, make in made.items():
        type = FieldType(group, text.replace(" + 2x0-", "")) if name in CIRCLE else FieldType(group, text)
        layer = OnGrid(randomise(make(type)).to(dtype))
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(2, layer.in_type.dim, 5, 5, generator=generator, dtype=torch.float64).to(dtype)
        assert grid_symmetry_error(layer, (5, 5), layer.in_type, layer.out_type, x=x) < tolerance, name
    pool = OnGrid(GroupPool(FieldType(C4, "2xregular")))
    assert grid_symmetry_error(pool, (4, 4), pool.in_type, pool.out_type) < 1e-12


@pytest.mark.parametrize(
    ("group", "subgroup", "text"),
    [(O2, SO2, "2x0 + 1x0- + 1x1"), (SO2, C4, "1x0 + 1x1 + 1x3"), (D4, C4, "1xregular + 1x1 + 1x0-"), (C8, C4, "1xregular"),
     (D6, FLIP, "1xregular + 1x2"), (D4, groups.Cyclic(2), "1x1 + 1xquotient"), (C4, ONE, "1xregular + 1x1")],
    ids=str,
)  # fmt: skip
def test_restriction(group, subgroup, text):
    """The numbers stay; what follows is equivariant under the subgroup, and needs not be under the group."""
    type = FieldType(group, text.replace(" + 1xquotient", ""))
    layer = Restrict(type, subgroup)
    assert all(rep.group == subgroup for _, rep in layer.out_type.blocks) and layer.out_type.dim == type.dim
    for g in subgroup.sample(3):
        assert torch.allclose(layer.out_type(g), type(g), rtol=1e-9, atol=1e-9)
    conv = randomise(GridConv(layer.out_type, FieldType(subgroup, "2x0 + 1xstandard"), 3, 1, **LIMITED)).double()
    net = torch.nn.Sequential(layer, conv)
    x = torch.randn(1, type.dim, 5, 5, dtype=torch.float64)
    assert torch.equal(layer(x), x)
    if subgroup.order != 1:
        assert grid_symmetry_error(net, (5, 5), layer.out_type, conv.out_type) < 1e-10


def test_restricted_irreps_have_their_names():
    assert FieldType(O2, "1x0 + 1x0- + 2x3").restrict(SO2) == FieldType(SO2, [(1, "0"), (1, "0"), (2, "3")])
    assert FieldType(SO2, "1x0 + 1x5").restrict(C4) == FieldType(C4, "1x0 + 1x1")
    assert FieldType(D4, "1xregular").restrict(C4) != FieldType(C4, "2xregular")


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("more than", lambda: transposed(C4, "1x0", "1x0", 3, padding=3)),
        ("padding_mode", lambda: transposed(C4, "1x0", "1x0", 3, padding_mode="reflect")),
        ("band-limited", lambda: transposed(C8, "1x0", "1x0", 3)),
        ("stride", lambda: GridBlur(FieldType(C4, "1x0"), 0)),
        ("sigma", lambda: GridBlur(FieldType(C4, "1x0"), sigma=0.0)),
        ("scale", lambda: GridUpsample(FieldType(C4, "1x0"), 0)),
        ("mode", lambda: GridUpsample(FieldType(C4, "1x0"), mode="cubic")),
        ("p < 1", lambda: GridDropout(FieldType(C4, "1x0"), 1.0)),
        ("not a subgroup", lambda: Restrict(FieldType(C4, "1x0"), C8)),
    ],
)
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
