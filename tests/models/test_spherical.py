from __future__ import annotations

import functools

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from gaugenet import FieldType, groups, models
from gaugenet.data import StaticGraph
from gaugenet.nn import GaugeConv, RegularNonlinearity
from gaugenet.testing import assert_gauge_equivariant
from tests.helpers.graphs import icosphere_graph
from tests.helpers.networks import randomise, with_statistics

SO2, NONE = groups.SO2(), groups.Trivial()
SCALAR, FRAMED = FieldType(SO2, "1x0"), FieldType(NONE, "1x0")
VECTOR = FieldType(SO2, "3x0 + 1x1")
EQUIVARIANT = [models.SphericalCNN, models.ZonalCNN, models.DeepSphere, models.SpinCNN, models.ClebschGordanCNN]
SMALL = {"channels": (4, 4), "blocks": (1, 1)}


@pytest.fixture(scope="module")
def sphere():
    return icosphere_graph()


@pytest.fixture(scope="module")
def framed():
    return icosphere_graph(structure="e")


def make(model, **options):
    """A small network of every kind, and the structure of its graph."""
    if model is models.SphericalUNet:
        return model(SCALAR, VECTOR, **{**SMALL, **options})
    return model(FRAMED if model is models.UGSCNN else SCALAR, 5, **{**SMALL, **options})


ALL = [*EQUIVARIANT, models.UGSCNN, models.SphericalUNet]


@pytest.mark.parametrize("model", EQUIVARIANT)
def test_classifiers_are_equivariant_as_shipped(model, dtype, sphere):
    for in_type in (SCALAR, FieldType(SO2, "2x0 + 1x1")):
        net = with_statistics(randomise(model(in_type, 5))).to(dtype)
        assert_gauge_equivariant(net, sphere, in_type, tolerance=1e-10 if dtype == torch.float64 else 1e-4)


def test_unet_is_equivariant_as_shipped(dtype, sphere):
    net = with_statistics(randomise(models.SphericalUNet(SCALAR, VECTOR))).to(dtype)
    assert_gauge_equivariant(net, sphere, SCALAR, VECTOR, tolerance=1e-10 if dtype == torch.float64 else 1e-4)


def signals(count: int) -> list:
    """Random polynomials of degree 4 on the sphere: functions of points (N, 3)."""
    g = torch.Generator().manual_seed(3)

    def signal(tensors, p):
        out = 0.0
        for t in tensors:
            value = t.expand(len(p), *t.shape)
            for _ in range(t.dim()):
                value = torch.einsum("n...i,ni->n...", value, p)
            out = out + value
        return out.unsqueeze(1)

    return [
        functools.partial(signal, [torch.randn([3] * k, generator=g, dtype=torch.float64) for k in range(1, 5)])
        for _ in range(count)
    ]


def rotation_error(model, level: int, **options) -> float:
    """Change of the logits when band-limited inputs are rotated, over their spread from input to input (both rms).

    Without norms, which divide by the spread of the features and so scale the error of sampling up.
    """
    framed = model is models.UGSCNN
    graph = icosphere_graph(level, count=3, structure="e" if framed else "SO2")
    fields = signals(6)
    rotations = groups.SO3().sample(6, generator=torch.Generator().manual_seed(4))
    x = torch.stack([f(graph.pos) for f in fields])
    y = torch.stack([f(graph.pos @ r) for f, r in zip(fields, rotations)])
    torch.manual_seed(0)
    net, sphere = model(FRAMED if framed else SCALAR, 5, **{"norm": None, **options}).double(), StaticGraph(graph)
    with torch.no_grad():
        for _ in range(20):
            net.train()(x, sphere)  # sets the running averages
        before, after = net.eval()(x, sphere), net(y, sphere)
    return float((after - before).square().mean().sqrt() / (before - before.mean(0)).square().mean().sqrt())


def test_rotations_of_the_input():
    """Isotropic or gauge equivariant: the error is one of sampling and falls with refinement, far below that of filters in
    frames that prefer a north pole."""
    fixed = rotation_error(models.UGSCNN, 3, channels=8, blocks=(2,))
    for model in EQUIVARIANT:
        coarse, fine = (rotation_error(model, level, channels=8, blocks=(2,)) for level in (2, 3))
        assert fine < coarse / 2 and fine < fixed / 5


def test_rotations_through_pooling():
    """Pooling adds to the error; it still falls with refinement."""
    coarse, fine = (rotation_error(models.SphericalCNN, level) for level in (3, 4))
    assert fine < coarse / 2


def test_filters_of_differential_operators(framed):
    """Four weights for a pair of channels: centre, mean, east, north. Derivatives of x, y, z are those of the frame."""
    conv = models.UGSCNN(FRAMED, 5).stages[0][0].conv1
    assert conv.weight.numel() + conv.self_interaction.weight.numel() == 4 * 16
    net = GaugeConv(FRAMED, FRAMED, 1, 1, bias=False).double()
    pos, frame = framed.pos, framed.frame
    columns = []
    with torch.no_grad():
        for k in range(3):
            net.weight.copy_(torch.eye(3)[k])
            net.self_interaction.weight.zero_()
            columns.append(torch.cat([net(pos[:, i : i + 1], framed) for i in range(3)], 1))
    _, east, north = columns
    for field, axis in ((east, 0), (north, 1)):
        field = field / framed.radius[:, None]  # kernels see log / radius
        scale = (field * frame[:, :, axis]).sum() / frame[:, :, axis].square().sum()
        assert torch.allclose(field, scale * frame[:, :, axis], rtol=0.05 * float(scale.abs()), atol=0.05 * float(scale.abs()))


def test_frames_are_needed(sphere):
    with pytest.raises(TypeError, match="Trivial"):
        models.UGSCNN(SCALAR, 5)
    with pytest.raises(ValueError, match="does not lie in it"):
        models.UGSCNN(FRAMED, 5)(torch.randn(sphere.num_nodes, 1), sphere.float())


def test_every_argument_matters(sphere):
    graph = sphere.float()
    x = torch.randn(graph.num_nodes, 1)

    def output(**options):
        torch.manual_seed(0)
        return models.SphericalCNN(SCALAR, 5, **options)(x, graph)

    default = output()
    for options in (
        {"channels": (8, 16, 16)},
        {"channels": 8},
        {"order": 1},
        {"blocks": (2, 1, 1)},
        {"block": "residual"},
        {"lift": True},
        {"pool": "max"},
        {"radial": 3},
        {"max_frequency": 1},
        {"quadrature": None},
        {"norm": None},
        {"norm": "layer"},
        {"nonlinearity": "norm"},
        {"nonlinearity": "tensor"},
        {"nonlinearity": functools.partial(RegularNonlinearity, samples=8)},
        {"activation": "silu"},
        {"dropout": 0.5},
    ):
        assert not torch.allclose(output(**options), default), options
    for options, text in (
        ({"block": "dense"}, "block to be one of"),
        ({"channels": (8, 8)}, "3 stages"),
        ({"blocks": (1, 0, 1)}, "without blocks"),
        ({"pool": "median"}, "mean"),
    ):
        with pytest.raises(ValueError, match=text):
            output(**options)
    with pytest.raises(TypeError, match="depth"):
        output(depth=3)


@pytest.mark.parametrize("model", ALL)
def test_a_static_graph_is_a_batch_of_equal_graphs(model, sphere, framed):
    from torch_geometric.data import Batch

    graph = framed if model is models.UGSCNN else sphere
    net, x = make(model).double(), torch.randn(3, graph.num_nodes, 1, dtype=torch.float64)
    results = []
    for fields, sphere in ((x, StaticGraph(graph)), (x.flatten(0, 1), Batch.from_data_list([graph] * 3))):
        net.zero_grad()
        out = net(fields, sphere)
        out.sin().sum().backward()
        results.append([out.flatten(0, -2), *(p.grad.clone() for p in net.parameters() if p.numel())])
    for ours, expected in zip(*results):
        assert torch.allclose(ours, expected, rtol=1e-8, atol=1e-10)


_SLOW = [pytest.param(model, marks=pytest.mark.slow) for model in (models.ClebschGordanCNN, models.SphericalUNet)]


@pytest.mark.parametrize("model", [models.SphericalCNN, *_SLOW])
def test_compiled(model, sphere):
    """One graph without breaks; new fields and new weights need no compilation."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    net, static, counter = make(model).double(), StaticGraph(sphere), CompileCounterWithBackend("aot_eager")
    x = torch.randn(2, 2, sphere.num_nodes, 1, dtype=torch.float64)
    expected = [net.eval()(part, static) for part in x]
    compiled = torch.compile(net, fullgraph=True, backend=counter)
    for part, out in zip(x, expected):
        assert torch.allclose(compiled(part, static), out, rtol=1e-10, atol=1e-10)
    assert counter.frame_count == 1
    compiled(x[0], static).square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    torch._dynamo.reset()
