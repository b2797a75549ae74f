"""GridConv: the numbers of message passing on grid graphs, plain conv2d, the symmetries of grids and strips."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gaugenet import FieldType, geometry, groups
from gaugenet.data import moebius_shift
from gaugenet.kernels import square_taps
from gaugenet.nn import GaugeConv, GridConv, GridPadding, LatticeConv
from gaugenet.testing import assert_gauge_equivariant, equivariance_error, symmetry_error
from tests.helpers.images import MessagePassing, turned
from tests.helpers.networks import randomise

FLIP, C4, D4, ONE = groups.Reflection(), groups.Cyclic(4), groups.Dihedral(4), groups.Trivial()
SURFACES = {
    "grid": (lambda h, w, k: geometry.grid((h, w), k), "zeros"),
    "cylinder": (geometry.cylinder, ("zeros", "circular")),
    "torus": (geometry.flat_torus, "circular"),
    "moebius": (geometry.moebius, "moebius"),
    "klein_bottle": (geometry.klein_bottle, ("circular", "moebius")),
}
TYPES = [
    (FLIP, "2x0 + 3x0- + 2xregular", "3x0 + 2x0- + 1xregular"),
    (D4, "2xregular + 1x1", "1x0- + 2xregular"),
]


def conv_on(group, a, b, kernel_size=3, **options) -> GridConv:
    return randomise(GridConv(FieldType(group, a), FieldType(group, b), kernel_size, **options)).double()


def image(conv, *shape, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, conv.in_type.dim, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("types", TYPES, ids=str)
@pytest.mark.parametrize("surface", SURFACES)
def test_equals_message_passing(surface, types, kernel_size):
    build, mode = SURFACES[surface]
    conv = conv_on(*types, kernel_size, padding=None, padding_mode=mode)
    graph = build(5, 7, kernel_size).to_graph()
    x = image(conv, 5, 7)
    plane = conv(x)
    for one, out in zip(x, plane):
        nodes = MessagePassing(conv)(one.flatten(1).T, graph)
        assert torch.allclose(out.flatten(1).T, nodes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("types", TYPES, ids=str)
@pytest.mark.parametrize("surface", SURFACES)
def test_equals_lattice_conv(surface, types, kernel_size):
    """The same state_dict on a graph."""
    build, mode = SURFACES[surface]
    conv = conv_on(*types, kernel_size, padding=None, padding_mode=mode)
    lattice = LatticeConv(conv.in_type, conv.out_type, square_taps(kernel_size)).double()
    lattice.load_state_dict(conv.state_dict())
    x = image(conv, 6, 7, batch=1)
    nodes = lattice(x[0].flatten(1).T, build(6, 7, kernel_size).to_graph())
    assert torch.allclose(conv(x)[0].flatten(1).T, nodes, rtol=1e-12, atol=1e-12)


def test_equals_message_passing_in_space():
    conv = conv_on(
        groups.Octahedral(), "1xregular + 1x1", "2x1 + 1x0", padding=None, padding_mode=("zeros", "circular", "zeros")
    )
    graph = geometry.grid((3, 4, 5), 3, (False, True, False)).to_graph()
    x = image(conv, 3, 4, 5, batch=1)
    nodes = MessagePassing(conv)(x[0].flatten(1).T, graph)
    assert torch.allclose(conv(x)[0].flatten(1).T, nodes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("types", TYPES, ids=str)
def test_its_kernels_do_not_depend_on_frames(types, dtype):
    """Message passing with them, which gives the same numbers, is equivariant under new frames at every pixel."""
    conv = conv_on(*types, 3, padding=None).to(dtype)
    graph = geometry.moebius(5, 7).to_graph(dtype)
    assert_gauge_equivariant(MessagePassing(conv), graph, conv.in_type, conv.out_type)


@pytest.mark.parametrize("surface", ["grid", "moebius", "torus"])
@pytest.mark.parametrize("group", [FLIP, D4, groups.O2()], ids=str)
def test_gauge_conv_works_on_grids(surface, group):
    b = "2x0 + 1x0-" if group == FLIP else "2x0 + 1x1"
    types = FieldType(group, "2x0 + 1x0-"), FieldType(group, b)
    layer = randomise(GaugeConv(*types)).double()
    assert equivariance_error(layer, SURFACES[surface][0](5, 7, 5).to_graph(), *types) < 1e-11


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
@pytest.mark.parametrize("layer", [GaugeConv, lambda a, b: LatticeConv(a, b, square_taps(3))], ids=["gauge", "lattice"])
def test_layers_on_graphs_commute_with_the_isometries_of_the_strip(layer, dtype, tolerance):
    types = FieldType(FLIP, "2x0 + 1xregular"), FieldType(FLIP, "1x0- + 2x0")
    graph, isometries = geometry.moebius(4, 6).to_graph(dtype), geometry.moebius_symmetries(4, 6)
    layer = randomise(layer(*types)).to(dtype)
    assert symmetry_error(layer, graph, isometries, *types) < tolerance
    assert symmetry_error(layer, geometry.cylinder(4, 6).to_graph(dtype), isometries, *types) > 0.1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 2},
        {"padding": (0, 1), "stride": 2},
        {"stride": (1, 3), "dilation": 2, "padding": 1},
        {"dilation": (1, 2)},
        {"bias": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_trivial_group_is_conv2d(kernel_size, options):
    conv = conv_on(ONE, "3x0", "4x0", kernel_size, **options)
    plain = torch.nn.Conv2d(3, 4, kernel_size, dtype=torch.float64, **options)
    assert sum(p.numel() for p in conv.parameters()) == sum(p.numel() for p in plain.parameters())
    with torch.no_grad():
        plain.weight.copy_(conv.kernel())
        if plain.bias is not None:
            plain.bias.copy_(conv.bias.row())
    x = image(conv, 9, 8)
    assert torch.allclose(conv(x), plain(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("kernel_size", [2, 3, 4])
@pytest.mark.parametrize(("group", "a", "b"), [(C4, "2x0 + 1x1", "1xregular + 1x2"), *TYPES], ids=str)
def test_commutes_with_the_symmetries_of_the_square(group, a, b, kernel_size, dtype, tolerance):
    conv = conv_on(group, a, b, kernel_size, padding=1).to(dtype)
    x = image(conv, 7, 7).to(dtype)
    out = conv(x)
    for g in group.elements.to(dtype):
        expected = turned(out, conv.out_type, g.double().to(dtype)) if dtype == torch.float64 else None
        if expected is None:
            expected = turned(out.double(), conv.out_type, g.double()).to(dtype)
        moved = conv(turned(x.double(), conv.in_type, g.double()).to(dtype))
        assert float((moved - expected).detach().abs().max()) <= tolerance * float(out.detach().abs().max())


@pytest.mark.parametrize("mode", ["moebius", ("circular", "moebius")], ids=str)
@pytest.mark.parametrize("group", [FLIP, D4], ids=str)
def test_commutes_with_the_isometries_of_the_strip(group, mode):
    conv = conv_on(group, "2x0 + 1xregular + 2x0-", "1xregular + 1x0-", 5, padding=None, padding_mode=mode)
    x = image(conv, 6, 5)
    for shift in (1, 5, 7, torch.tensor([3, 9])):
        moved = conv(moebius_shift(x, shift, conv.in_type))
        assert torch.allclose(moved, moebius_shift(conv(x), shift, conv.out_type), rtol=1e-11, atol=1e-11)
    cut_open = conv_on(group, "2x0 + 1xregular + 2x0-", "1xregular + 1x0-", 5, padding=None)
    assert not torch.allclose(cut_open(moebius_shift(x, 1, conv.in_type)), moebius_shift(cut_open(x), 1, conv.out_type))


def test_strided_strip():
    """Stride 2 keeps the shifts by two pixels; dilation and padding go round the strip too."""
    conv = conv_on(FLIP, "1x0 + 1xregular", "2xregular", 3, padding=(1, 1), stride=2, padding_mode="moebius")
    x = image(conv, 5, 8)
    expected = moebius_shift(conv(x), 1, conv.out_type)
    assert torch.allclose(conv(moebius_shift(x, 2, conv.in_type)), expected, rtol=1e-12, atol=1e-12)
    wide = conv_on(FLIP, "1x0 + 1xregular", "2xregular", 3, padding=None, dilation=(1, 3), padding_mode="moebius")
    assert wide.padding == (1, 3) and wide(x).shape[2:] == x.shape[2:]
    assert torch.allclose(
        wide(moebius_shift(x, 11, wide.in_type)), moebius_shift(wide(x), 11, wide.out_type), rtol=1e-12, atol=1e-12
    )
    with pytest.raises(ValueError, match="stride"):
        conv(image(conv, 5, 7))


def test_padding_alone():
    type = FieldType(FLIP, "1x0 + 1x0-")
    x = torch.arange(12.0).reshape(1, 2, 2, 3)
    assert torch.equal(GridPadding(type, 1, "circular")(x), F.pad(x, (1, 1, 1, 1), mode="circular"))
    assert torch.equal(GridPadding(type, (0, 2))(x), F.pad(x, (2, 2)))
    strip = GridPadding(type, (0, 1), "moebius")(x)
    assert strip[0, 0].tolist() == [[5, 0, 1, 2, 3], [2, 3, 4, 5, 0]]
    assert strip[0, 1].tolist() == [[-11, 6, 7, 8, -9], [-8, 9, 10, 11, -6]]
    with pytest.raises(ValueError, match="more than once"):
        GridPadding(type, 4, "moebius")(x)


def test_gradients_and_compile():
    torch._dynamo.reset()
    conv = conv_on(FLIP, "1x0 + 1xregular", "1x0- + 1xregular", padding=None, padding_mode="moebius")
    x = image(conv, 3, 4, batch=1).requires_grad_()
    assert torch.autograd.gradcheck(conv, x)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x), conv(x))
    compiled(x).square().sum().backward()
    torch._dynamo.reset()


def test_initial_scale():
    torch.manual_seed(0)
    types = FieldType(FLIP, "20xregular + 20x0 + 20x0-")
    out = GridConv(types, types, 5, padding=None, padding_mode="moebius")(torch.randn(4, types.dim, 10, 10))
    assert 0.8 < out.std().item() < 1.2


ZERO, TWO = FieldType(FLIP, "1x0"), FieldType(FLIP, "2x0")


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, "basis", lambda: GridConv(ZERO, ZERO, 3, basis="spline")),
        (ValueError, "size", lambda: GridConv(ZERO, ZERO, 0)),
        (ValueError, "padding_mode", lambda: GridConv(ZERO, ZERO, 3, padding_mode="mirror")),
        (ValueError, "padding_mode", lambda: GridConv(ZERO, ZERO, 3, padding_mode=("zeros",))),
        (ValueError, "x axis", lambda: GridConv(ZERO, ZERO, 3, padding_mode=("moebius", "zeros"))),
        (ValueError, "contains diag", lambda: GridConv(*[FieldType(C4, "1x0")] * 2, 3, padding_mode="moebius")),
        (ValueError, "odd kernel_size", lambda: GridConv(ZERO, ZERO, 4, padding=None)),
        (ValueError, "stride 1", lambda: GridConv(ZERO, ZERO, 3, padding=None, stride=2)),
        (ValueError, "stride", lambda: GridConv(ZERO, ZERO, 3, stride=0)),
        (ValueError, "dilation", lambda: GridConv(ZERO, ZERO, 3, dilation=(1, 1, 1))),
        (ValueError, "padding", lambda: GridConv(ZERO, ZERO, 3, padding=-1)),
        (ValueError, "padding", lambda: GridConv(ZERO, ZERO, 3, padding="same")),
        (ValueError, "stride", lambda: GridConv(ZERO, ZERO, 3, stride=1.5)),
        (ValueError, "padding_mode", lambda: GridConv(ZERO, ZERO, 3, padding_mode=None)),
        (TypeError, "one group", lambda: GridConv(ZERO, FieldType(C4, "1x0"), 3)),
        (TypeError, "finite group", lambda: GridConv(*[FieldType(groups.SO2(), "1x0")] * 2, 3)),
        (ValueError, "does not map", lambda: GridConv(*[FieldType(groups.Cyclic(6), "1x0")] * 2, 3)),
        (ValueError, "B, 2, H, W", lambda: GridConv(TWO, ZERO, 3)(torch.zeros(1, 3, 5, 5))),
        (ValueError, "B, 2, H, W", lambda: GridConv(TWO, ZERO, 3)(torch.zeros(5, 2))),
        (ValueError, "kernel of", lambda: GridConv(TWO, ZERO, 3, dilation=2)(torch.zeros(1, 2, 4, 5))),
        (TypeError, "to be a field type", lambda: GridConv("2x0", ZERO, 3)),
        (TypeError, "to be a field type", lambda: GridConv(TWO, "1x0", 3)),
        (TypeError, "float64", lambda: GridConv(TWO, ZERO, 3).double()(torch.zeros(1, 2, 5, 5))),
    ],
)
def test_refused(error, match, call):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("channels", [1, 3])
def test_kernel_and_output_have_channels_last(channels):
    """Of a single input channel, too, whose strides torch reads as those of channels first unless they are set."""
    conv = GridConv(FieldType(C4, f"{channels}x0"), FieldType(C4, "2xregular"), 3, padding=1)
    kernel = conv.kernel()
    assert kernel.shape == (8, channels, 3, 3) and kernel.stride() == (9 * channels, 1, 3 * channels, channels)
    if torch.backends.mkldnn.is_available():
        assert conv(torch.randn(2, channels, 6, 6)).stride() == (6 * 6 * 8, 1, 6 * 8, 8)
