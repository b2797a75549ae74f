"""Exported networks: plain torch modules with the same numbers, for every layer for images; torch.export, ONNX."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
import torch
from torch import nn

import gaugenet.nn
from gaugenet import FieldType, groups
from gaugenet.models import MobiusCNN
from gaugenet.nn import (
    FieldBias,
    FieldDropout,
    FieldNorm,
    GatedNonlinearity,
    GaugeConv,
    GaugeLinear,
    GridBlur,
    GridConv,
    GridConvTranspose,
    GridDropout,
    GridMask,
    GridPadding,
    GridPool,
    GridUpsample,
    GroupPool,
    HarmonicConv,
    InterpolatedConv,
    LatticeConv,
    MagnitudeNonlinearity,
    NormNonlinearity,
    OnGrid,
    PolynomialNonlinearity,
    RegularNonlinearity,
    Restrict,
    ScaleConv,
    Scattering,
    TensorNonlinearity,
    ToScalars,
    export,
)
from tests.helpers.networks import randomise

FLIP, C4, D4, C8, O2 = groups.Reflection(), groups.Cyclic(4), groups.Dihedral(4), groups.Cyclic(8), groups.O2()
MIXED, IRREPS = FieldType(D4, "2x0 + 2x1 + 2xregular"), FieldType(O2, "3x0 + 2x1 + 3x2")
SIGNS = FieldType(FLIP, "2x0 + 2x0- + 1xregular")
REGULAR, SCALARS = FieldType(C4, "3xregular"), FieldType(C4, "2x0 + 1x0")
LIMITED = {"basis": "band_limited"}
STRIP = {"padding_mode": "moebius"}

LAYERS = {
    "conv": lambda: GridConv(MIXED, MIXED, 3, 1),
    "strided": lambda: GridConv(IRREPS, IRREPS, 4, 1, stride=2, bias=False, **LIMITED),
    "dilated": lambda: GridConv(MIXED, MIXED, 3, 2, dilation=2, padding_mode="circular"),
    "reflected": lambda: GridConv(MIXED, MIXED, 3, 1, padding_mode="reflect"),
    "mixed ends": lambda: GridConv(MIXED, MIXED, 3, 1, padding_mode=("replicate", "circular")),
    "strip": lambda: GridConv(SIGNS, SIGNS, 5, 2, **STRIP),
    "groups": lambda: GridConv(MIXED, MIXED, 3, 1, groups=2),
    "hexagons": lambda: GridConv(*[FieldType(groups.Cyclic(6), "2xregular")] * 2, 5, 2, lattice="hexagonal"),
    "transposed": lambda: GridConvTranspose(MIXED, MIXED, 4, 1, stride=2, groups=2),
    "transposed, dilated": lambda: GridConvTranspose(MIXED, MIXED, 3, 2, dilation=2),
    "transposed strip": lambda: GridConvTranspose(SIGNS, SIGNS, 4, 1, stride=2, **STRIP),
    **{f"padding {m}": lambda m=m: GridPadding(SIGNS, 2, m) for m in ("zeros", "reflect", "replicate", "circular")},
    "padding strip": lambda: GridPadding(SIGNS, (1, 2), "moebius"),
    "max pool": lambda: GridPool(REGULAR),
    "largest pool": lambda: GridPool(MIXED),
    "mean pool": lambda: GridPool(MIXED, reduce="mean"),
    "pool of three": lambda: GridPool(MIXED, 3),
    "mean of three": lambda: GridPool(MIXED, 3, "mean"),
    "overlapping max": lambda: GridPool(REGULAR, 3, stride=1, padding=1),
    "overlapping mean": lambda: GridPool(MIXED, 3, "mean", stride=2, padding=1),
    "overlapping largest": lambda: GridPool(MIXED, 3, stride=2, padding=1),
    "pool round a strip": lambda: GridPool(SIGNS, 3, stride=2, padding=1, **STRIP),
    "mean round a strip": lambda: GridPool(SIGNS, 3, "mean", padding=(0, 2), **STRIP),
    "hexagonal windows": lambda: GridPool(FieldType(groups.Cyclic(2), "2x0 + 2x1"), 3, padding=1, lattice="hexagonal"),
    "mean of hexagons": lambda: GridPool(FieldType(groups.Cyclic(2), "2x0"), 3, "mean", lattice="hexagonal"),
    "blur": lambda: GridBlur(MIXED),
    "blur strip": lambda: GridBlur(SIGNS, **STRIP),
    "disc": lambda: GridMask(MIXED, "disc", sigma=1.0),
    "upsample": lambda: GridUpsample(MIXED),
    "nearest": lambda: GridUpsample(MIXED, 3, "nearest"),
    "upsample strip": lambda: GridUpsample(SIGNS, **STRIP),
    "map dropout": lambda: GridDropout(MIXED),
    "restriction": lambda: Restrict(MIXED, C4),
    "circular harmonics": lambda: HarmonicConv(2, 2, 5, in_order=1, out_order=2),
    "moduli": lambda: MagnitudeNonlinearity(2, 1),
    "interpolated": lambda: InterpolatedConv(FieldType(C8, "2x0"), FieldType(C8, "2xregular"), 3),
    "scales": lambda: ScaleConv(*[FieldType(groups.Scaling((1.0, 1.5)), "2xregular")] * 2, 5, effective_size=2),
    "scattering": lambda: Scattering((8, 8), 2, 4),
    **{
        f"on grid: {name}": lambda make=make: OnGrid(make())
        for name, make in {
            "norm": lambda: FieldNorm(MIXED),
            "norm without gamma": lambda: FieldNorm(IRREPS, affine=False, eps=0.1),
            "layer norm": lambda: FieldNorm(MIXED, "layer"),
            "dropout": lambda: FieldDropout(MIXED),
            "linear": lambda: GaugeLinear(IRREPS, IRREPS),
            "bias": lambda: FieldBias(MIXED),
            "sequence": lambda: nn.Sequential(FieldNorm(MIXED), NormNonlinearity(MIXED)),
            "relu": lambda: NormNonlinearity(REGULAR),
            "norms": lambda: NormNonlinearity(MIXED, "elu"),
            "published norms": lambda: NormNonlinearity(SIGNS, torch.tanh, bias=False, smooth=False, eps=1e-3),
            "gates": lambda: GatedNonlinearity(MIXED),
            "no gates": lambda: GatedNonlinearity(REGULAR, nn.LeakyReLU(0.1)),
            "regular": lambda: RegularNonlinearity(FieldType(C8, "2x0 + 3x1 + 1x1 + 1x2 + 2xregular"), "gelu"),
            "polynomial": lambda: PolynomialNonlinearity(IRREPS),
            "cubic": lambda: PolynomialNonlinearity(FieldType(C4, "2x0 + 1xregular + 2x1"), "silu", degree=3),
            "tensor": lambda: TensorNonlinearity(FieldType(O2, "2x0 + 2x1 + 2x2")),
            "group pool": lambda: GroupPool(FieldType(C4, "2xregular + 3x0"), "mean"),
            "group max": lambda: GroupPool(FieldType(C4, "2xregular")),
            "scalars": lambda: ToScalars(IRREPS),
        }.items()
    },
}  # fmt: skip


#: images of layers that are made for one size
SIZES = {"scattering": [(8, 8)]}

#: layers of gaugenet.nn that images do not go through: they take graphs or two fields
NOT_FOR_IMAGES = {
    "AngularMaxPool", "BottleneckBlock", "ConePoints", "ConvBlock", "Curl", "Divergence", "EdgeFrameConv", "FieldConv",
    "FrechetDistances", "FrechetMean", "GaugeAttention", "GaugeConv", "GaugePool", "GaugeUnpool", "Gradient",
    "HarmonicSurfaceConv", "Laplacian", "LatticeConv", "LatticePool", "ResidualBlock", "TensorProduct",
    "FieldDiffusion", "GaugeMessagePassing", "PoissonSolve",
}  # fmt: skip


def trained(layer: nn.Module, example: torch.Tensor) -> nn.Module:
    """Random weights and running averages that are not those of the start."""
    randomise(layer).train()(example)
    return layer


def assert_plain(module: nn.Module) -> None:
    for name, part in module.named_modules():
        assert type(part).__module__.startswith(("torch.nn", "torch.fx")) or type(part).__name__.startswith("GraphModule"), name


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name, dtype):
    torch.manual_seed(0)
    layer = LAYERS[name]().to(dtype)
    for shape in SIZES.get(name, [(8, 8), (12, 8)] if "three" not in name else [(8, 7)]):
        x = torch.randn(2, layer.in_type.dim, *shape, dtype=dtype)
        trained(layer, x).eval()
        plain = layer.export(x)
        assert_plain(plain)
        expected = layer(x)
        tolerance = 1e-12 if dtype == torch.float64 else 1e-4
        assert torch.allclose(plain(x), expected, rtol=tolerance, atol=tolerance)


def test_no_layer_is_missing():
    """Every module of gaugenet.nn is exported above, or is none for images."""
    made = {type(part).__name__ for make in LAYERS.values() for part in make().modules()}
    public = {name: getattr(gaugenet.nn, name) for name in gaugenet.nn.__all__}
    classes = {name for name, value in public.items() if isinstance(value, type) and issubclass(value, nn.Module)}
    assert classes == NOT_FOR_IMAGES | (made & classes) and not made & NOT_FOR_IMAGES - {"TensorProduct"}


def steps_of_training(net: nn.Module, x: torch.Tensor, steps: int = 3) -> None:
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    net.train()
    for _ in range(steps):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()


def test_after_training_and_before_more():
    """The exported copy has the state of its moment; the network stays as it is, and in its mode."""
    x = torch.randn(4, 1, 16, 16, dtype=torch.float64)
    net = network().double()
    steps_of_training(net, x)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    plain = export(net, x)
    assert net.training and not plain.training
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    then = net.eval()(x)
    assert torch.allclose(plain(x), then, rtol=1e-12, atol=1e-12)
    steps_of_training(net, x)
    net.eval()
    assert torch.allclose(plain(x), then, rtol=1e-12, atol=1e-12) and not torch.allclose(net(x), then, rtol=1e-3)
    assert torch.allclose(export(net, x)(x), net(x), rtol=1e-12, atol=1e-12)


def network() -> nn.Sequential:
    hidden, circle = FieldType(D4, "3xregular + 2x0 + 2x1"), FieldType(D4, "2x0 + 2x1 + 1xregular")
    gates = GatedNonlinearity(hidden)
    return nn.Sequential(
        GridConv(FieldType(D4, "1x0"), gates.in_type, 3, 1),
        OnGrid(FieldNorm(gates.in_type)),
        OnGrid(gates),
        GridPool(hidden),
        GridConv(hidden, circle, 3, 1, **LIMITED),
        OnGrid(RegularNonlinearity(circle)),
        GridBlur(circle),
        OnGrid(NormNonlinearity(circle)),
        OnGrid(ToScalars(circle)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 10),
    )


def test_a_network_loads_without_gaugenet(tmp_path):
    x = torch.randn(2, 1, 16, 16)
    net = trained(network(), x)
    plain = export(net, x)
    assert_plain(plain)
    assert net.training and not plain.training
    torch.save({"net": plain, "x": x, "y": net.eval()(x)}, tmp_path / "net.pt")
    code = f"""
import sys, torch
sys.modules["gaugenet"] = None
d = torch.load({str(tmp_path / "net.pt")!r}, weights_only=False)
assert torch.allclose(d["net"](d["x"]), d["y"], atol=1e-5)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PATH": ""})


def test_torch_export_and_scripted_graph():
    x = torch.randn(2, 1, 16, 16)
    net = trained(network(), x).eval()
    plain = export(net, x)
    program = torch.export.export(plain, (x,))
    assert torch.allclose(program.module()(x), net(x), atol=1e-5)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    assert torch.allclose(torch.export.load(buffer).module()(x), net(x), atol=1e-5)


class Beside(nn.Module):
    """All layers over a group, side by side, behind linear maps to their types."""

    def __init__(self, group: groups.Group):
        super().__init__()
        # ONNX's reference evaluator knows no groups of a transposed convolution, not even those of nn.ConvTranspose2d.
        layers = [make() for name, make in LAYERS.items() if name != "transposed"]
        self.layers = nn.ModuleList(layer for layer in layers if layer.in_type.group == group)
        self.in_type = self.layers[0].in_type
        self.maps = nn.ModuleList(OnGrid(GaugeLinear(self.in_type, layer.in_type)) for layer in self.layers)

    def forward(self, x):
        return torch.cat([layer(to(x)).flatten(1) for to, layer in zip(self.maps, self.layers)], 1)


@pytest.mark.parametrize("group", [D4, O2, FLIP, C4, C8, groups.Cyclic(2), groups.Cyclic(6)], ids=str)
def test_all_layers_through_torch_export_and_onnx(group):
    """For batches of any size."""
    pytest.importorskip("onnxscript", reason="writing ONNX needs the extra: pip install 'gaugenet[onnx]'")
    reference = pytest.importorskip("onnx.reference", reason="running ONNX needs the extra: pip install 'gaugenet[onnx]'")
    torch.manual_seed(0)
    net = Beside(group).double()
    shape = (8, 8) if any(isinstance(layer, Scattering) for layer in net.layers) else (12, 12)  # it is made for one size
    x, more = torch.randn(5, net.in_type.dim, *shape, dtype=torch.float64).split((2, 3))
    trained(net, x).eval()
    more[0] = 0.0  # ONNX optimisers drop small numbers that keep a norm from zero
    expected = net(more)
    program = torch.export.export(export(net, x), (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))
    assert relative(program.module()(more), expected) < 1e-12
    model = torch.onnx.export(program, dynamo=True, verbose=False).model_proto
    (y,) = reference.ReferenceEvaluator(model).run(None, {model.graph.input[0].name: more.numpy()})
    assert relative(torch.from_numpy(y), expected) < 1e-6  # ONNX keeps eps in single precision


def relative(out: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((out - expected).abs().max() / expected.abs().max()).detach())


class Residual(nn.Module):
    """A class of the user."""

    def __init__(self):
        super().__init__()
        self.conv, self.again = GridConv(REGULAR, REGULAR, 3, 1), GridPool(REGULAR, 3)

    def forward(self, x):
        return self.again(self.conv(x) + x)


def test_classes_of_users_and_of_ours():
    x = torch.randn(1, 12, 9, 7)
    net = randomise(Residual())
    plain = export(net, x)
    assert type(plain.conv) is nn.Conv2d and torch.allclose(plain(x), net(x), atol=1e-5)
    strip, strips = torch.randn(1, 1, 8, 12), torch.randn(8, 1, 8, 12)
    model = trained(MobiusCNN("regular", widths=(2, 2)), strips).eval()
    assert torch.allclose(export(model, strip)(strip), model(strip), atol=1e-5)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (TypeError, "GaugeConv is no layer", lambda: export(nn.Sequential(GaugeConv(REGULAR, REGULAR)))),
        (TypeError, "0: LatticeConv", lambda: export(nn.Sequential(LatticeConv(*[FieldType(groups.Cyclic(6), "1x0")] * 2)))),
        (TypeError, "OnGrid", lambda: export(OnGrid(Unknown()))),
        (ValueError, "give an example", lambda: GridBlur(REGULAR).export()),
        (ValueError, "this one saw", lambda: export(Twice(), torch.zeros(1, 12, 9, 9))),
        (
            RuntimeError,
            "other numbers",
            lambda: export(nn.Sequential(GridConv(SCALARS, SCALARS, 1), Noise()), torch.ones(1, 3, 4, 4)),
        ),
    ],
)
def test_refused(error, match, call):
    with pytest.raises(error, match=match):
        call()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = GridPool(REGULAR)

    def forward(self, x):
        return self.pool(self.pool(x))


class Unknown(nn.Module):
    in_type = out_type = SCALARS


class Noise(nn.Module):
    def forward(self, x):
        return torch.randn_like(x)
