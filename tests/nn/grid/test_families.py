"""GridConv with kernel=: every family, its short form, its published layer, groups, padding, and what is refused."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

from gaugenet import FieldType, groups
from gaugenet.kernels import (
    CircularHarmonic,
    HermiteGaussian,
    Interpolated,
    KernelFamily,
    Polar,
    Rings,
    Taps,
    hexagonal_taps,
    square_taps,
)
from gaugenet.kernels.published.sampled import SampledExpansion
from gaugenet.nn import (
    GaugeConv,
    GridConv,
    GridConvTranspose,
    HarmonicConv,
    InterpolatedConv,
    LatticeConv,
    ScaleConv,
    stream_type,
)
from gaugenet.testing import grid_symmetry_error
from tests.helpers.networks import randomise

C4, C8, SO2, SCALES = groups.Cyclic(4), groups.Cyclic(8), groups.SO2(), groups.Scaling((1.0, 1.5, 2.25))
SCALAR, REGULAR = FieldType(C4, "2x0"), FieldType(C4, "2xregular")
SCALED = FieldType(SCALES, "2xregular")
#: family, field types, the layer of the same name
PUBLISHED = {
    "interpolated lifting": (Interpolated(), SCALAR, REGULAR, lambda **o: InterpolatedConv(SCALAR, REGULAR, 5, **o)),
    "interpolated": (
        Interpolated(disk=False), REGULAR, REGULAR, lambda **o: InterpolatedConv(REGULAR, REGULAR, 5, disk=False, **o)
    ),
    "scales lifting": (
        HermiteGaussian(3, kind="B", shrink=1.3, max_order=3), FieldType(SCALES, "2x0"), SCALED,
        lambda **o: ScaleConv(
            FieldType(SCALES, "2x0"), SCALED, 5, effective_size=3, kind="B", shrink=1.3, max_order=3, **o
        ),
    ),
    "scales": (
        HermiteGaussian(2, 2), SCALED, SCALED, lambda **o: ScaleConv(SCALED, SCALED, 5, effective_size=2, scale_size=2, **o)
    ),
    "harmonic": (
        CircularHarmonic(3, real_input=True), FieldType(SO2, "2x0"), stream_type(2, 1),
        lambda **o: HarmonicConv(2, 2, 5, rings=3, **o),
    ),
    "harmonic streams": (
        CircularHarmonic(phase=False, real_input=False), stream_type(2, 1), stream_type(4, 2),
        lambda **o: HarmonicConv(2, 4, 5, in_order=1, out_order=2, phase=False, **o),
    ),
}  # fmt: skip
published = pytest.mark.parametrize("case", PUBLISHED)


def make(case, layer=GridConv, size=5, **options):
    family, a, b, _ = PUBLISHED[case]
    torch.manual_seed(1)
    return randomise(layer(a, b, size, kernel=family, **options)).double()


def image(type, *shape, batch=2):
    return torch.randn(batch, type.dim, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("layer", [GridConv, GridConvTranspose])
def test_short_form(layer):
    """basis= says a family: equal weights give equal kernels, and the old names are still told."""
    a, b = FieldType(C4, "2x0 + 1x1"), FieldType(C4, "1xregular")
    rings = Rings.of(5, [0, 1, 2], 0.5, 1)
    for kernel, options in [
        (Taps(), {}),
        (rings, {"basis": "band_limited", "rings": [0, 1, 2], "sigma": 0.5, "max_frequency": 1}),
        (Taps(rings=rings), {"basis": "band_limited", "rings": [0, 1, 2], "sigma": 0.5, "max_frequency": 1}),
    ]:
        long, short = layer(a, b, 5, kernel=kernel), randomise(layer(a, b, 5, **options))
        long.load_state_dict(short.state_dict())
        assert torch.equal(long.kernel(), short.kernel()) and short.kernel().abs().max() > 0.1
        assert long.basis == short.basis == options.get("basis", "complete") and long.rings == short.rings
        assert long.family == kernel and repr(short.basis) in repr(short)
    assert layer(a, b, 5).rings is None and layer(a, b, 5, kernel=rings).rings == rings
    assert layer(a, b, 5, kernel=Rings.of(3)).weight.numel() < layer(a, b, 5, kernel=Rings.of(5)).weight.numel()


@published
@pytest.mark.parametrize("options", [{}, {"padding": 1, "stride": 2}], ids=str)
def test_equals_the_published_layer(case, options):
    """One state_dict, one output."""
    layer = randomise(PUBLISHED[case][3](**options)).double()
    options = {"bias": layer.bias is not None, "padding": 2, **options}
    conv = make(case, **options)
    conv.load_state_dict(layer.state_dict(), strict=True)
    x = image(conv.in_type, 9, 9)
    assert isinstance(layer, GridConv) and torch.equal(conv(x), layer(x)) and conv(x).abs().max() > 0.1
    assert layer.family == conv.family and repr(conv.family) in repr(conv)
    assert conv.basis is None and torch.equal(conv.kernel(), layer.kernel())
    for other in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(other(x), conv(x))


@published
def test_is_conv2d_with_its_kernel(case):
    """So is the short way of kernels that are zero in most blocks."""
    conv = make(case, padding=2, dilation=2)
    x = image(conv.in_type, 9, 10)
    expected = F.conv2d(x, conv.kernel(), conv.bias.row(), padding=2, dilation=2)
    assert torch.allclose(conv(x), expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(expected.shape, dtype=torch.float64)
    grads = [torch.autograd.grad((weights * out).sum(), list(conv.parameters())) for out in (conv(x), expected)]
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in zip(*grads))


@published
def test_groups(case):
    """Part by part the layer of half of the copies."""
    conv = make(case, groups=2, bias=False)
    x = image(conv.in_type, 7, 7)
    halves = [FieldType(t.group, [(mul // 2, rep) for mul, rep in t.blocks]) for t in (conv.in_type, conv.out_type)]
    parts = []
    for j in range(2):
        small = GridConv(*halves, 5, kernel=conv.family, bias=False).double()
        with torch.no_grad():
            for mine, theirs in zip(small.parameters(), conv.parameters()):
                mine.copy_(theirs.unflatten(0, (2, -1))[j])
        blocks = [block.unflatten(-1, (2, -1))[..., j, :] for block in conv.in_type.split(x.movedim(1, -1))]
        parts.append(small.out_type.split(small(small.in_type.join(blocks).movedim(-1, 1)).movedim(1, -1)))
    expected = conv.out_type.join([torch.cat(blocks, -1) for blocks in zip(*parts)]).movedim(-1, 1)
    assert torch.allclose(conv(x), expected, rtol=1e-12, atol=1e-12) and expected.abs().max() > 0.1


@pytest.mark.parametrize("case", ["interpolated lifting", "interpolated", "harmonic", "harmonic streams"])
@pytest.mark.parametrize("mode", ["circular", "reflect"])
def test_padding_modes(case, mode):
    """What the published layers did not have: quarter turns stay exact, for they map the pixels of the square to each other."""
    conv = make(case, padding=2, padding_mode=mode)
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    x = image(conv.in_type, 8, 8)

    def turn(field, type):
        return type.transform(quarter, torch.rot90(field, 1, (2, 3)).movedim(1, -1)).movedim(-1, 1)

    out = turn(conv(x), conv.out_type)
    assert (conv(turn(x, conv.in_type)) - out).abs().max() < 1e-10 * out.abs().max()
    rolled = conv(x.roll((1, 2), (2, 3))) - conv(x).roll((1, 2), (2, 3))
    assert (rolled.abs().max() < 1e-10) == (mode == "circular")
    assert (conv(x) - make(case, padding=2)(x)).abs().max() > 0.1  # another border than zeros


@published
def test_transposed(case):
    """At stride 1 the transposed layer is the layer; at stride 2 it is conv_transpose2d, the adjoint for that kernel."""
    conv = make(case, padding=2)
    transposed = make(case, GridConvTranspose, padding=2)
    transposed.load_state_dict(conv.state_dict())
    x = image(conv.in_type, 7, 7)
    assert torch.allclose(transposed(x), conv(x), rtol=1e-12, atol=1e-12)
    assert make(case, GridConvTranspose, padding=2, stride=2)(x).shape[2:] == (13, 13)


def test_rings_keep_the_symmetries_of_the_square():
    conv = randomise(GridConv(FieldType(C8, "1x0 + 1x1"), FieldType(C8, "1xregular"), 5, kernel=Rings.of(5), padding=None))
    assert grid_symmetry_error(conv.double(), (9, 9), conv.in_type, conv.out_type) < 1e-10


def test_initial_scale():
    """The variance of white noise is about kept, whatever the number of parts."""
    for case in PUBLISHED:
        for parts in (1, 2):
            conv = make(case, groups=parts, bias=False)
            conv.reset_parameters()
            assert 0.2 < conv(image(conv.in_type, 40, 40, batch=4)).std() < 2.5, (case, parts)


def test_every_field_of_the_families_matters():
    def kernel(family, a, b, size=7):
        torch.manual_seed(0)
        return GridConv(a, b, size, kernel=family).kernel()

    assert not torch.equal(kernel(Interpolated(), SCALAR, REGULAR), kernel(Interpolated(disk=False), SCALAR, REGULAR))
    wide = kernel(HermiteGaussian(3, kind="B"), SCALED, SCALED)
    for other in (
        HermiteGaussian(2, kind="B"),
        HermiteGaussian(3, 2, kind="B"),
        HermiteGaussian(3, kind="A"),
        HermiteGaussian(3, kind="B", shrink=1.2, max_order=1),
    ):
        assert not torch.equal(wide, kernel(other, SCALED, SCALED))
    few = kernel(HermiteGaussian(3, kind="B", max_order=1), SCALED, SCALED)
    assert not torch.equal(few, wide)
    assert not torch.equal(few, kernel(HermiteGaussian(3, kind="B", shrink=1.2, max_order=1), SCALED, SCALED))
    complex_type = stream_type(2, 0)
    default = kernel(CircularHarmonic(), complex_type, complex_type)
    assert torch.equal(default, kernel(CircularHarmonic(real_input=True), complex_type, complex_type))
    for other in (CircularHarmonic(2), CircularHarmonic(phase=False), CircularHarmonic(real_input=False)):
        assert not torch.equal(default, kernel(other, complex_type, complex_type))
    assert all(
        hash(case[0]) == hash(copy.deepcopy(case[0])) and case[0] == copy.deepcopy(case[0]) for case in PUBLISHED.values()
    )
    assert all(isinstance(case[0], KernelFamily) for case in PUBLISHED.values())


class OneByOneExpansion(SampledExpansion):
    """A learnt multiple of the identity at every tap."""

    def __init__(self, in_type, out_type, taps):
        super().__init__(in_type, out_type)
        self.parameter_shapes = {"profile": (len(taps),)}

    def initial_parameters(self):
        return {"profile": torch.ones(self.parameter_shapes["profile"])}

    def forward(self, profile):
        return profile[:, None, None] * torch.eye(self.in_type.dim, dtype=profile.dtype)


@dataclass(frozen=True)
class OneByOne:
    def on_graph(self, in_type, out_type):
        raise TypeError("arrays only")

    def on_taps(self, in_type, out_type, taps):
        return OneByOneExpansion(in_type, out_type, taps)


def test_a_family_of_ones_own():
    conv = GridConv(REGULAR, REGULAR, 3, kernel=OneByOne(), padding=None, bias=False).double()
    x = image(REGULAR, 6, 6)
    assert set(conv.state_dict()) == {"profile"}
    assert torch.allclose(conv(x), 9 * F.avg_pool2d(x, 3, 1, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("error", "match", "call"), [
    *[(ValueError, "short form", lambda layer=layer, options=options: layer(SCALAR, REGULAR, 5, kernel=Taps(), **options))
      for layer in (GridConv, GridConvTranspose)
      for options in ({"basis": "band_limited"}, {"rings": [1]}, {"sigma": 0.5}, {"max_frequency": 1})],
    (TypeError, "kernel family", lambda: GridConv(SCALAR, REGULAR, 5, kernel="complete")),
    (TypeError, "kernel family", lambda: GridConvTranspose(SCALAR, REGULAR, 5, kernel=Interpolated)),
    (TypeError, "kernels.Rings", lambda: GridConv(SCALAR, REGULAR, 5, kernel=Polar())),
    (ValueError, "9 taps of its own", lambda: GridConv(SCALAR, REGULAR, 5, kernel=Taps(square_taps(3)))),
    (TypeError, "finite", lambda: GridConv(FieldType(SO2, "1x0"), FieldType(SO2, "1x0"), 5, kernel=Taps())),
    (TypeError, r"kernels.Taps\(taps, rings=", lambda: GaugeConv(SCALAR, SCALAR, kernel=Rings.of(5))),
    *[(TypeError, "on graphs take kernels.Polar", lambda family=family: GaugeConv(SCALAR, SCALAR, kernel=family))
      for family in (Interpolated(), HermiteGaussian(), CircularHarmonic())],
    *[(ValueError, "odd", lambda case=case: make(case, size=4)) for case in PUBLISHED],
    (ValueError, "square", lambda: make("interpolated", lattice="hexagonal")),
    (TypeError, "Cyclic", lambda: GridConv(FieldType(SO2, "1x0"), FieldType(SO2, "1x0"), 5, kernel=Interpolated())),
    (TypeError, "one block", lambda: GridConv(SCALAR, SCALAR, 5, kernel=Interpolated())),
    (TypeError, "Scaling", lambda: GridConv(SCALAR, REGULAR, 5, kernel=HermiteGaussian())),
    (TypeError, "one block", lambda: GridConv(SCALED, FieldType(SCALES, "2x0"), 5, kernel=HermiteGaussian())),
    (ValueError, "scale_size", lambda: GridConv(SCALED, SCALED, 5, kernel=HermiteGaussian(2, 4))),
    (TypeError, "stream_type", lambda: GridConv(stream_type(1, 1), FieldType(SO2, "3x1"), 5, kernel=CircularHarmonic())),
    (TypeError, "stream_type", lambda: GridConv(FieldType(SO2, "1x0"), FieldType(SO2, "3x0"), 5, kernel=CircularHarmonic())),
    (TypeError, "real input", lambda: GridConv(*[stream_type(1, 1)] * 2, 5, kernel=CircularHarmonic(real_input=True))),
    (ValueError, "rings", lambda: GridConv(*[stream_type(1, 1)] * 2, 5, kernel=CircularHarmonic(0))),
    (ValueError, "off its middle", lambda: make("interpolated", padding=2, stride=2)(image(REGULAR, 8, 8))),
    (ValueError, "off its middle", lambda: make("harmonic", padding=2, stride=2)(image(FieldType(SO2, "2x0"), 8, 8))),
    (ValueError, "does not go evenly", lambda: make("interpolated", padding=1, padding_mode="circular")),
])  # fmt: skip
def test_refused(error, match, call):
    with pytest.raises(error, match=match):
        call()


def test_own_taps_on_arrays():
    """Taps that are those of the array are welcome; on graphs they are what the layer is about."""
    assert torch.equal(
        *[randomise(GridConv(SCALAR, REGULAR, 3, kernel=family)).kernel() for family in (Taps(square_taps(3)), Taps())]
    )
    assert len(LatticeConv(*[FieldType(groups.Cyclic(6), "1x0")] * 2, hexagonal_taps()).taps) == 7


def test_strides_off_the_middle_of_published_layers_warn_for_a_release():
    """Version 0.1.0 took them, though the symmetry is lost."""
    group = groups.Cyclic(4)
    for layer in (
        InterpolatedConv(FieldType(group, "1x0"), FieldType(group, "1xregular"), 3, stride=2),
        HarmonicConv(1, 1, 3, stride=2),
    ):
        with pytest.warns(DeprecationWarning, match="off its middle"):
            assert layer(torch.randn(1, 1, 8, 8)).shape[2:] == (4, 4)
        layer(torch.randn(1, 1, 9, 9))
