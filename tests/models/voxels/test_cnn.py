"""VoxelCNN and its presets: exact under the symmetries of the voxels, every argument, export."""

from __future__ import annotations

import inspect
import io

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.kernels import Lattice
from gaugenet.models import GCNN3D, CubeNet, PlanarCNN, SteerableCNN3D, VoxelCNN
from gaugenet.nn import GridBlur, GridConv, GridPool, NormNonlinearity
from gaugenet.testing import grid_symmetries, transform_image
from tests.helpers.networks import stirred

SMALL = {"widths": (2, 2, 2), "num_classes": 3}
SO3, point_group = groups.SO3(), groups.point_group
NETWORKS = {
    "plain": lambda: VoxelCNN(groups.Trivial(3), **SMALL),
    "V": lambda: CubeNet(groups.Klein(), **SMALL),
    "T4": lambda: CubeNet(groups.Tetrahedral(), **SMALL),
    "S4": lambda: CubeNet(**SMALL),
    "D4": lambda: GCNN3D(point_group("D4"), **SMALL),
    "D4h": lambda: GCNN3D(**SMALL),
    "Oh": lambda: GCNN3D(point_group("Oh"), **SMALL),
    "steerable": lambda: SteerableCNN3D(**SMALL),
    "SO(2)": lambda: VoxelCNN(groups.SO2(dim=3), nonlinearity="regular", **SMALL),
    "C4 about x": lambda: VoxelCNN(point_group("C4", "x"), **SMALL),
    "I": lambda: VoxelCNN(groups.Icosahedral(), basis="band_limited", **SMALL),
    "SO(3) on the sphere": lambda: VoxelCNN(SO3, nonlinearity="regular", **SMALL),
    "SO(3) functions": lambda: VoxelCNN(SO3, "1xregular(1)", nonlinearity="regular", **SMALL),
    "O(3)": lambda: VoxelCNN(groups.O3(), norm="layer", reduce="mean", **SMALL),
    "quotient": lambda: VoxelCNN(groups.Octahedral(), [(1, groups.Octahedral().quotient(groups.Cyclic(4, 3)))], **SMALL),
}


def volume(size=6, batch=2, seed=0):
    shape = (size,) * 3 if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 1, *shape, generator=generator, dtype=torch.float64)


def changes(net, x, elements, **options):
    """Of the logits, in units of what tells two volumes apart."""
    with torch.no_grad():
        out = net(x)
        scale = (out[0] - out[1]).abs().max()
        assert scale > 1e-4 * out.abs().max()
        return [float((net(transform_image(x, net.in_type, g, **options)) - out).abs().max() / scale) for g in elements]


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_under_the_symmetries_of_the_voxels(name, size):
    torch.manual_seed(5)
    net, x = stirred(NETWORKS[name]()).double(), volume(size)
    elements = grid_symmetries(net.in_type, x.shape[2:])
    for training in (False, True):
        assert max(changes(net.train(training), x, elements)) < 1e-10
    others = [g for g in groups.FullOctahedral().elements if not net.in_type.group.contains(g)]
    if others:  # and under no others
        lattice = FieldType(groups.FullOctahedral(), "1xA1g")
        moved = [transform_image(x, lattice, g) for g in others[:4]]
        with torch.no_grad():
            out = net.eval()(x)
            assert max(float((net(m) - out).abs().max() / (out[0] - out[1]).abs().max()) for m in moved) > 0.02


@pytest.mark.parametrize("make", [lambda s: GCNN3D(spacing=s, **SMALL), lambda s: VoxelCNN(SO3, spacing=s, **SMALL)])
def test_spacing(make):
    """Of slices two and a half times as far apart as their pixels: exact under what keeps such voxels."""
    torch.manual_seed(5)
    spacing = (2.5, 1.0, 1.0)
    net, x, lattice = stirred(make(spacing)).double().eval(), volume((4, 6, 6)), Lattice.box(spacing)
    elements = grid_symmetries(net.in_type, x.shape[2:], lattice=lattice)
    assert len(elements) == (16 if net.in_type.group.order else 8)
    assert max(changes(net, x, elements, lattice=lattice)) < 1e-10
    with pytest.raises(ValueError, match=r"turns axes into each other whose spacing \(2.0, 1.0, 1.0\) differs"):
        CubeNet(spacing=(2.0, 1.0, 1.0))
    CubeNet(spacing=(2.0, 2.0, 2.0))


@pytest.mark.parametrize("name", ["V", "steerable", "SO(3) on the sphere", "O(3)", "D4h"])
def test_export_and_onnx(name):
    torch.manual_seed(0)
    net, x = stirred(NETWORKS[name]()).eval(), volume(5).float()
    plain = net.export(x)
    assert all(type(m).__module__.startswith("torch") for m in plain.modules())
    assert torch.allclose(plain(x), net(x), rtol=1e-4, atol=1e-5)
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="ONNX files are written and run with it: pip install 'gaugenet[dev]'"
    )
    pytest.importorskip("onnxscript", reason="ONNX files are written and run with it: pip install 'gaugenet[dev]'")
    file = io.BytesIO()
    torch.onnx.export(plain, (x,), dynamo=True, verbose=False).save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert torch.allclose(torch.from_numpy(out), net(x), rtol=1e-3, atol=1e-4)


def test_architecture():
    net = SteerableCNN3D(widths=(1, 1, 1, 1, 1))
    assert [type(m).__name__ for m in net.body].count("GridBlur") == 2 and net.body[0].basis == "band_limited"
    assert CubeNet().body[0].basis == "complete" and GCNN3D().in_type.group == point_group("D4h")
    assert any(isinstance(m, GridPool) for m in CubeNet().body) and SteerableCNN3D().body[0].kernel_size == 5
    assert isinstance(PlanarCNN(reduce="blur", widths=(1, 1, 1)).body[6], GridBlur)
    ours, theirs = (inspect.signature(cls).parameters for cls in (VoxelCNN, PlanarCNN))
    assert ours.keys() - theirs.keys() == {"spacing"} and theirs.keys() - ours.keys() == {"lattice"}


BASE = {"group": groups.Klein(), **SMALL}
OTHERS = {
    "group": point_group("D2d"), "fields": "1xA1 + 1xregular", "num_classes": 5, "in_channels": 2, "widths": (1, 2, 1),
    "kernel_size": 5, "basis": "band_limited", "nonlinearity": lambda type: NormNonlinearity(type, "tanh"),
    "activation": "elu", "norm": "layer", "pool": 3, "reduce": "mean", "readout": "max", "dropout": 0.5,
    "spacing": (2.0, 1.0, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", [*OTHERS, "a function"])
def test_every_argument_matters(name):
    torch.manual_seed(0)
    assert OTHERS.keys() == inspect.signature(VoxelCNN).parameters.keys()
    base = stirred(VoxelCNN(**BASE))
    torch.manual_seed(0)
    value = {"basis": lambda a, b: GridConv(a, b, 3, 1, bias=False)} if name == "a function" else {name: OTHERS[name]}
    if name == "spacing":  # which only sampled kernels see
        base, value = VoxelCNN(**BASE, basis="band_limited"), {**value, "basis": "band_limited"}
        torch.manual_seed(0)
        base = stirred(VoxelCNN(**BASE, basis="band_limited"))
        torch.manual_seed(0)
    other = stirred(VoxelCNN(**{**BASE, **value}))
    x = volume().float()
    torch.manual_seed(1)
    expected = base.train()(x)
    torch.manual_seed(1)
    out = other.train()(x.expand(-1, OTHERS["in_channels"], -1, -1, -1) if name == "in_channels" else x)
    assert out.shape != expected.shape or not torch.allclose(out, expected, rtol=1e-3)


@pytest.mark.parametrize(("error", "match", "call"), [
    (ValueError, "expected a group of space", lambda: VoxelCNN(groups.Cyclic(4))),
    (ValueError, "expected a group of the plane", lambda: PlanarCNN(SO3)),
    (TypeError, "structure group", lambda: VoxelCNN("O")),
    (TypeError, "fields over", lambda: VoxelCNN(groups.Klein(), FieldType(SO3, "1x0"))),
    (ValueError, "reduce", lambda: CubeNet(reduce="median")),
    (ValueError, "band-limited basis", lambda: VoxelCNN(groups.Icosahedral())),
    (ValueError, "B, 1, Z, H, W|shape", lambda: CubeNet(**SMALL)(torch.zeros(1, 1, 6, 6))),
])  # fmt: skip
def test_refused(error, match, call):
    with pytest.raises(error, match=match):
        call()
