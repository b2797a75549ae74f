"""GridConv with both bases over every planar group: symmetries of the grid, groups, lattices, hazards, good module."""

from __future__ import annotations

import itertools
import sys

import pytest
import torch
import torch.nn.functional as F

from gaugenet import FieldType, geometry, groups
from gaugenet.data import moebius_shift
from gaugenet.nn import GridConv, GridConvTranspose, GridPool, LatticeConv
from gaugenet.testing import grid_symmetry_error
from tests.helpers.images import MessagePassing
from tests.helpers.networks import randomise

ONE, FLIP, C4, D4, C8 = groups.Trivial(), groups.Reflection(), groups.Cyclic(4), groups.Dihedral(4), groups.Cyclic(8)
SO2, O2, C6, D6 = groups.SO2(), groups.O2(), groups.Cyclic(6), groups.Dihedral(6)
TYPES = [
    (FLIP, "2x0 + 1x0-", "1xregular + 1x0-"),
    (groups.Cyclic(2), "2x0 + 1x1", "1xregular"),
    (C4, "2x0 + 1x1", "1xregular + 1x2"),
    (C8, "2x0 + 1x3", "1xregular + 1x4"),
    (D4, "1x0 + 1x1", "1xregular + 1x0-"),
    (groups.Dihedral(8), "1x0 + 1x2", "1xregular"),
    (SO2, "2x0 + 1x1", "2x2 + 1x0 + 1x1"),
    (O2, "1x0 + 1x0- + 1x1", "2x2 + 1x0-"),
]
LIMITED = {"basis": "band_limited"}


def conv_on(group, a, b, kernel_size=3, **options) -> GridConv:
    return randomise(GridConv(FieldType(group, a), FieldType(group, b), kernel_size, **options)).double()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5])
@pytest.mark.parametrize(("group", "a", "b"), TYPES, ids=str)
def test_band_limited_kernels_keep_the_symmetries_of_the_grid(group, a, b, kernel_size, dtype, tolerance):
    conv = conv_on(group, a, b, kernel_size, padding=1, **LIMITED).to(dtype)
    assert grid_symmetry_error(conv, (7, 7), conv.in_type, conv.out_type) < tolerance
    assert grid_symmetry_error(conv, (6, 9), conv.in_type, conv.out_type) < tolerance if group.order != 4 else True


@pytest.mark.parametrize("basis", ["complete", "band_limited"])
@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("group", [C6, D6, groups.Cyclic(3), groups.Dihedral(3), groups.Cyclic(2), FLIP], ids=str)
def test_hexagonal_lattice(group, kernel_size, basis):
    name = "regular"
    conv = conv_on(group, "2x0 + 1xregular", f"1x{name} + 1x0", kernel_size, padding=None, basis=basis, lattice="hexagonal")
    assert grid_symmetry_error(conv, (9, 9), conv.in_type, conv.out_type, lattice="hexagonal") < 1e-10
    torus = conv_on(
        group, "2x0 + 1xregular", "1x0", kernel_size, padding=None, basis=basis, lattice="hexagonal", padding_mode="circular"
    )
    options = {"lattice": "hexagonal", "periodic": True, "centre": "pixel"}
    assert grid_symmetry_error(torus, (8, 8), torus.in_type, torus.out_type, **options) < 1e-10
    square = conv_on(group, "1x0", "1x0", kernel_size, padding=None, **LIMITED)
    if group not in (groups.Cyclic(2),):  # kernels of a square are no kernels of a hexagon
        assert grid_symmetry_error(square, (9, 9), square.in_type, square.out_type, lattice="hexagonal") > 1e-3


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("group", [C4, D4, FLIP], ids=str)
def test_padding_modes(group, mode):
    conv = conv_on(group, "1x0 + 1xregular", "1xregular", 5, padding=2, padding_mode=mode)
    assert grid_symmetry_error(conv, (6, 6), conv.in_type, conv.out_type, periodic=mode == "circular") < 1e-10
    x = torch.randn(1, conv.in_type.dim, 6, 5, dtype=torch.float64)
    padded = F.pad(x, (2, 2, 2, 2), mode="constant" if mode == "zeros" else mode)
    bias = conv.bias.row()
    assert torch.allclose(conv(x), F.conv2d(padded, conv.kernel(), bias), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"padding": 1, "stride": 2, "padding_mode": "replicate"}, {"bias": False}], ids=str)
@pytest.mark.parametrize("groups_", [2, 4])
def test_groups(groups_, options):
    """Equal to the dense layer whose kernel is zero between different parts; over {e} it is Conv2d."""
    conv = conv_on(C4, "4x0 + 8x1", "4xregular + 4x2", 3, groups=groups_, **options)
    x = torch.randn(2, conv.in_type.dim, 7, 7, dtype=torch.float64)
    out = conv(x)
    parts = []
    for j in range(groups_):
        small = conv_on(C4, f"{4 // groups_}x0 + {8 // groups_}x1", f"{4 // groups_}xregular + {4 // groups_}x2", 3, **options)
        with torch.no_grad():
            small.weight.copy_(conv.weight.view(groups_, -1)[j])
            if small.bias is not None:
                small.bias.value.copy_(conv.bias.value.view(groups_, -1)[j])
        blocks = [block.unflatten(-1, (groups_, -1))[..., j, :] for block in conv.in_type.split(x.movedim(1, -1))]
        parts.append(small.out_type.split(small(small.in_type.join(blocks).movedim(-1, 1)).movedim(1, -1)))
    expected = conv.out_type.join([torch.cat(blocks, -1) for blocks in zip(*parts)]).movedim(-1, 1)
    assert torch.allclose(out, expected, rtol=1e-12, atol=1e-12)
    plain, deep = torch.nn.Conv2d(4, 8, 3, groups=2, dtype=torch.float64), conv_on(ONE, "4x0", "8x0", groups=2)
    with torch.no_grad():
        plain.weight.copy_(deep.kernel())
        plain.bias.copy_(deep.bias.row())
    assert plain.weight.numel() == deep.weight.numel()
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    assert torch.allclose(plain(x), deep(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("lattice", "group", "basis"), [
    *[("square", group, basis) for group in (ONE, FLIP, C4, D4) for basis in ("complete", "band_limited")],
    *[("square", group, "band_limited") for group in (C8, SO2, O2)],
    *[("hexagonal", group, basis) for group in (groups.Cyclic(3), C6, D6) for basis in ("complete", "band_limited")],
], ids=str)  # fmt: skip
@pytest.mark.parametrize("periodic", [False, True])
def test_equals_message_passing(lattice, group, basis, periodic):
    """The definition, edge by edge, and LatticeConv with the same state_dict on the graph of the pixels."""
    mode = "circular" if periodic else "zeros"
    a, b = ("1x0 + 1xregular", "1xregular") if group.order else ("1x0 + 1x1", "1x2 + 1x1 + 1x0")
    conv = conv_on(group, a, b, 5, padding=2, lattice=lattice, basis=basis, padding_mode=mode)
    build = geometry.grid if lattice == "square" else geometry.hexagonal
    graph = build((6, 7), 5 if lattice == "square" else 2, periodic).to_graph()
    x = torch.randn(1, conv.in_type.dim, 6, 7, dtype=torch.float64)
    pixels, expected = x[0].flatten(1).T, conv(x)[0].flatten(1).T
    if lattice == "square":
        assert torch.allclose(MessagePassing(conv)(pixels, graph), expected, rtol=1e-12, atol=1e-12)
    if group not in (C8, SO2, O2):  # LatticeConv takes groups of the taps
        on_graph = LatticeConv(conv.in_type, conv.out_type, conv.taps, rings=conv.rings).double()
        on_graph.load_state_dict(conv.state_dict())
        assert torch.allclose(on_graph(pixels, graph), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("group", "a", "b"), [(groups.SO3(), "1x0 + 1x1", "1x1 + 1x2"), (groups.Octahedral(), "1x0 + 1x1", "1xregular")]
)
def test_in_space(group, a, b):
    """Spherical harmonics on shells: exact for the rotations of the cube."""
    in_type, out_type = FieldType(group, a), FieldType(group, b)
    conv = randomise(GridConv(in_type, out_type, 3, 1, **LIMITED)).double()
    assert grid_symmetry_error(conv, (4, 4, 4), in_type, out_type) < 1e-10


def test_rings_matter():
    few, default = (
        GridConv(FieldType(C8, "1x0"), FieldType(C8, "1xregular"), 5, max_frequency=f, **LIMITED) for f in (1, None)
    )
    assert few.weight.numel() < default.weight.numel()
    far = GridConv(FieldType(SO2, "1x0"), FieldType(SO2, "1x0"), 5, rings=[2.0], sigma=0.1, bias=False, **LIMITED)
    kernel = far.kernel()[0, 0].detach()
    assert far.weight.numel() == 1 and kernel[2, 2].abs() < 1e-12 < kernel[2, 0].abs()


def error_of_turned_ellipses(order: int, **options) -> float:
    """How far the response to a smooth ellipse turned by some angle is from the turned response, relative, at worst."""
    conv = conv_on(SO2, "1x0", f"1x{order}", 5, padding=2, bias=False, **LIMITED, **options)
    axis = torch.arange(33, dtype=torch.float64) - 16
    y, x = torch.meshgrid(-axis, axis, indexing="ij")
    responses = []
    for angle in torch.arange(8, dtype=torch.float64) * 0.2:
        u, v = angle.cos() * x + angle.sin() * y, angle.cos() * y - angle.sin() * x
        image = torch.exp(-((u / 4) ** 2 + (v / 8) ** 2))
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
        responses.append(conv.out_type(turn).T @ conv(image[None, None])[0, :, 16, 16])
    responses = torch.stack(responses).detach()
    return float((responses - responses[0]).norm(dim=1).max() / responses.norm(dim=1).mean())


def test_smooth_images_and_any_angle():
    """Below the cut-off the response turns with the image; a harmonic that the taps cannot tell from others does not."""
    assert 10 * error_of_turned_ellipses(2) < error_of_turned_ellipses(6, rings=[1.0], max_frequency=[6])


def test_gradients_with_groups_of_channels():
    conv = GridConv(FieldType(C8, "4x0 + 2x1"), FieldType(C8, "2xregular"), 5, 2, groups=2, **LIMITED).double()
    assert torch.autograd.gradcheck(conv, torch.randn(1, conv.in_type.dim, 2, 2, dtype=torch.float64).requires_grad_())


def strided(group, n, kernel_size, padding, stride=2, **options):
    conv = conv_on(group, "2x0", "2x0", kernel_size, padding=padding, stride=stride, **LIMITED, **options)
    return conv(torch.randn(1, 2, *([n, n] if isinstance(n, int) else n), dtype=torch.float64)), conv


@pytest.mark.parametrize(
    ("group", "n", "kernel_size", "padding"), [(C4, 9, 3, 1), (D4, 8, 4, 1), (SO2, 8, 2, 0), (C8, 11, 5, 0)]
)
def test_symmetric_strides(group, n, kernel_size, padding):
    _, conv = strided(group, n, kernel_size, padding)
    assert grid_symmetry_error(conv, (n, n), conv.in_type, conv.out_type) < 1e-10


def test_hazards():
    """Even size with stride 2 and others that sample off the middle."""
    for group in (C4, D4, SO2, C8, groups.Cyclic(2)):
        with pytest.raises(ValueError, match="off its middle"):
            strided(group, 8, 3, 1)
        with pytest.raises(ValueError, match="off its middle"):
            strided(group, 9, 2, 0)
    assert strided(ONE, 8, 3, 1)[0].shape[-1] == 4  # no symmetry to break
    with pytest.raises(ValueError, match="axis 0 of 8"):
        strided(FLIP, (8, 9), 3, 1)
    assert strided(FLIP, (9, 8), 3, 1)[0].shape[2:] == (5, 4)  # x is not mirrored
    with pytest.raises(ValueError, match="off its middle"):
        strided(C6, 11, 3, 1, lattice="hexagonal")  # six sampled rows: no pixel in the middle
    assert strided(C6, 9, 3, 1, lattice="hexagonal")[0].shape[-1] == 5


def _evenly(make, group, steps: int, up: bool = False) -> bool:
    """Whether a layer on the torus has the symmetries about the middle or about the first pixel, and leaves a torus."""
    type = FieldType(group, "1x0 + 1x1" if group != FLIP else "1x0 + 1x0-")
    layer = randomise(make(type)).double()
    n = 6 if up else 6 * steps
    if layer(torch.zeros(1, type.dim, n, n, dtype=torch.float64)).shape[2:] != (6 * steps if up else 6,) * 2:
        return False
    errors = [grid_symmetry_error(layer, (n, n), type, type, periodic=True, centre=c) for c in ("middle", "pixel")]
    return min(errors) < 1e-10


@pytest.mark.parametrize("group", [D4, FLIP], ids=str)
@pytest.mark.parametrize("layer", [GridConv, GridConvTranspose, GridPool])
def test_closed_axes_are_gone_round_evenly(layer, group, monkeypatch):
    """What is refused at construction is what breaks the symmetry of a torus, and nothing else."""
    options = {"padding_mode": "circular"} | ({"reduce": "mean"} if layer is GridPool else {})
    taken = 0
    for size, padding, stride in itertools.product(range(1, 5), range(4), (1, 2, 3)):
        if padding >= size or (layer is GridPool and stride > size):
            continue
        types = (lambda t: (t,)) if layer is GridPool else (lambda t: (t, t))
        make = lambda t: layer(*types(t), size, stride=stride, padding=padding, **options)  # noqa: B023, E731
        try:
            make(FieldType(group, "1x0"))
        except ValueError as error:
            assert "evenly" in str(error)
            with monkeypatch.context() as patch:
                patch.setattr(sys.modules[layer.__module__], "check_closed", lambda *args, **options: None)
                assert not _evenly(make, group, stride, layer is GridConvTranspose), (size, padding, stride)
        else:
            taken += 1
            assert _evenly(make, group, stride, layer is GridConvTranspose), (size, padding, stride)
    assert taken >= 6


def test_klein_bottle_with_strides():
    """Beyond the seam y is turned over about its middle: kernels about a pixel would miss the sampled pixels there."""
    type, klein = FieldType(FLIP, "1x0 + 1xregular"), {"padding_mode": ("circular", "moebius")}
    x = torch.randn(1, type.dim, 6, 8, dtype=torch.float64)
    for layer, up in [
        (GridConv(type, type, 4, 1, stride=2, **klein), 1 / 2),
        (GridConvTranspose(type, type, 4, 1, stride=2, **klein), 2),
        (GridPool(type, 4, stride=2, padding=1, **klein), 1 / 2),
    ]:
        layer = randomise(layer).double()
        moved = layer(moebius_shift(x, 2, type))
        assert torch.allclose(moved, moebius_shift(layer(x), int(2 * up), type), rtol=1e-12, atol=1e-12)
    for make in (
        lambda: GridConv(type, type, 3, 1, stride=2, **klein),
        lambda: GridConvTranspose(type, type, 3, 1, stride=2, **klein),
        lambda: GridPool(type, 3, stride=2, padding=1, **klein),
    ):
        with pytest.raises(ValueError, match="evenly"):
            make()
    with pytest.raises(ValueError, match="no multiple"):
        GridPool(type, **klein)(torch.zeros(1, type.dim, 5, 8))


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("one stride", lambda: conv_on(C4, "1x0", "1x0", stride=(1, 2))),
        ("one dilation", lambda: conv_on(SO2, "1x0", "1x0", dilation=(1, 2), **LIMITED)),
        ("square lattices", lambda: conv_on(C6, "1x0", "1x0", lattice="hexagonal", padding_mode="reflect")),
        ("band-limited basis", lambda: conv_on(C8, "1x0", "1x0")),
        ("belong to", lambda: conv_on(C4, "1x0", "1x0", sigma=0.5)),
        ("groups=3", lambda: conv_on(C4, "3x0", "4x0", groups=3)),
        ("at least 1", lambda: conv_on(C4, "3x0", "4x0", groups=0)),
        (
            "cannot be padded",
            lambda: conv_on(C4, "1x0", "1x0", padding=3, padding_mode="reflect")(torch.zeros(1, 1, 3, 3).double()),
        ),
    ],
)
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
