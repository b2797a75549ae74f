"""Exported networks on graphs: the graph is an input of the program, of any size; torch.export, ONNX in onnxruntime."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from gaugenet import FieldType, geometry, groups
from gaugenet.kernels import MLP, Spline
from gaugenet.kernels.radial import RadialMLP
from gaugenet.models import (
    EMAN,
    DeltaNet,
    DiffusionNet,
    IcosahedralCNN,
    MeshClassifier,
    MeshUNet,
    SphericalCNN,
    TensorFieldNetwork,
)
from gaugenet.nn import (
    ConePoints,
    EdgeFrameConv,
    FieldDiffusion,
    FieldNorm,
    GatedNonlinearity,
    GaugeConv,
    GaugeLinear,
    GaugeMessagePassing,
    GaugePool,
    GroupPool,
    LatticeConv,
    NormNonlinearity,
    PoissonSolve,
    PolynomialNonlinearity,
    RegularNonlinearity,
    TensorNonlinearity,
    dynamic_shapes,
    export,
    graph_inputs,
)
from tests.helpers.corpus import plate, torus
from tests.helpers.graphs import random_graph
from tests.helpers.networks import randomise

SO2, C4, SO3 = groups.SO2(), groups.Cyclic(4), groups.SO3()
INPUT = FieldType(SO2, "1x0 + 1x1")
SMALL = {"channels": 1, "order": 1, "blocks": (1,), "block": "plain", "radial": 1}
LEVELS = {"channels": 1, "order": 1, "blocks": (1, 1), "block": "plain", "radial": 1}


class Several(nn.Module):
    """Every nonlinearity and norm for nodes behind a convolution, and both poolings."""

    def __init__(self):
        super().__init__()
        type = FieldType(SO2, "1x0 + 1x1")
        gates = GatedNonlinearity(type)
        self.in_type = type
        self.conv = GaugeConv(type, type, 1)
        self.lift = GaugeConv(type, gates.in_type, 1)
        self.gates = gates
        self.layers = nn.ModuleList([
            RegularNonlinearity(type, "silu", 7), PolynomialNonlinearity(type, degree=3), NormNonlinearity(type),
            TensorNonlinearity(type), FieldNorm(type), FieldNorm(type, "layer"),
        ])  # fmt: skip
        self.mean, self.largest = GaugePool(type), GaugePool(type, "max")

    def forward(self, x, graph):
        x = self.conv(x, graph)
        x = sum((layer(x) for layer in self.layers), self.gates(self.lift(x, graph)))
        return torch.cat([self.mean(x, graph), self.largest(x, graph)], 1)


NETWORKS = {
    "defaults": lambda: MeshClassifier(INPUT, 3, channels=2),
    "batch norms": lambda: MeshClassifier(INPUT, 3, channels=2, norm="batch"),
    "regular": lambda: MeshClassifier(INPUT, 3, **SMALL, nonlinearity="regular", norm="layer"),
    "gated": lambda: MeshClassifier(INPUT, 3, **LEVELS, nonlinearity="gated", norm=None, pool="max", quadrature=None),
    "spheres": lambda: SphericalCNN(INPUT, 3, channels=(1, 2), blocks=(1, 1), order=1, radial=1),
    "unet": lambda: MeshUNet(INPUT, FieldType(SO2, "1x0 + 1x1"), **LEVELS, dropout=0.5),
    "several": Several,
}


def graph(mesh, dtype):
    return geometry.mesh(*mesh, levels=1).to_graph().type(dtype)


def trained(network: nn.Module, x: torch.Tensor, of) -> nn.Module:
    """Random weights and running averages that are not those of the start."""
    randomise(network).train()(x, of)
    return network.eval()


def relative(out, expected) -> float:
    return float(((torch.as_tensor(out) - expected).abs().max() / expected.abs().max()).detach())


def features(network, of, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(of.num_nodes, network.in_type.dim, generator=generator, dtype=of.log.dtype)


@cache
def program_of(name: str, dtype):
    """The network of a name, and its program from a batch of two meshes."""
    torch.manual_seed(0)
    network = NETWORKS[name]().to(dtype)
    example = Batch.from_data_list([graph(torus(6, 5), dtype), graph(plate(4, 5), dtype)])
    x = features(network, example, 0)
    plain = export(trained(network, x, example), (x, example))
    inputs = graph_inputs(plain, example)
    return network, torch.export.export(plain, (x, inputs), dynamic_shapes=dynamic_shapes(inputs))


def others(dtype):
    """Another mesh, and a batch of three."""
    other = graph(torus(8, 6), dtype)
    return other, Batch.from_data_list([other, graph(plate(5, 4), dtype), other])


@torch.no_grad()
def assert_same(name: str, tolerance: float, dtype) -> None:
    network, program = program_of(name, dtype)
    assert not [node for node in program.graph.nodes if "gaugenet" in str(node.target)]
    for of in others(dtype):
        x = features(network, of)
        assert relative(program.module()(x, graph_inputs(network, of)), network(x, of)) < tolerance


@pytest.mark.parametrize("name", NETWORKS)
def test_program_runs_on_other_graphs(name):
    assert_same(name, 1e-12, torch.float64)


# Of single precision, by network.
ROUNDING = {"batch norms": 1e-6, "defaults": 2e-5}


@pytest.mark.parametrize(("name", "tolerance"), ROUNDING.items())
def test_single_precision(name, tolerance):
    """Against the network in double precision: both have rounding of their own, in other orders of summation.

    Norms that divide by the spread over these few nodes multiply the rounding before them.
    """
    network, program = program_of(name, torch.float32)
    exact = deepcopy(network).double()
    for of, in_double in zip(others(torch.float32), others(torch.float64)):
        x = features(network, of)
        with torch.no_grad():
            out = program.module()(x, graph_inputs(network, of))
            assert relative(out.double(), exact(x.double(), in_double)) < tolerance


@pytest.mark.parametrize(
    ("name", "dtype"), [("defaults", torch.float32), ("unet", torch.float64), ("several", torch.float64)], ids=str
)
def test_onnxruntime_on_other_meshes(name, dtype):
    pytest.importorskip("onnxscript", reason="writing ONNX needs the extra: pip install 'gaugenet[onnx]'")
    onnxruntime = pytest.importorskip("onnxruntime", reason="running ONNX needs the extra: pip install 'gaugenet[onnx]'")
    network, program = program_of(name, dtype)
    model = torch.onnx.export(program, dynamo=True, verbose=False, optimize=False).model_proto
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    exact = deepcopy(network).double()
    for of, in_double in zip(others(dtype), others(torch.float64)):
        x = features(network, of)
        feed = {"x": x} | {f"graph_{key}": value for key, value in graph_inputs(network, of).items()}
        (out,) = session.run(None, {key: value.numpy() for key, value in feed.items()})
        # In float64, too, there is a little: ONNX keeps eps in single precision.
        bound = ROUNDING[name] if dtype == torch.float32 else 1e-5
        assert relative(torch.from_numpy(out).double(), exact(x.double(), in_double)) < bound


class OverFinite(nn.Module):
    """Regular fields, whose transporters are elements of a finite group."""

    def __init__(self):
        super().__init__()
        self.in_type = FieldType(C4, "1x0 + 1xregular")
        self.conv, self.pool = GaugeConv(self.in_type, self.in_type, 1, 1), GroupPool(self.in_type)

    def forward(self, x, graph):
        return self.pool(self.conv(x, graph))


@pytest.mark.parametrize(
    ("layer", "group"),
    [(OverFinite, C4), (lambda: GaugeConv(*[FieldType(SO3, "1x0e + 1x1e")] * 2, 1, 1), SO3)],
    ids=["finite", "space"],
)
def test_other_groups(layer, group):
    torch.manual_seed(0)
    network = randomise(layer().double()).eval()
    of, other = random_graph(group, 10, 3), random_graph(group, 14, 4, seed=1)
    x, inputs = features(network, of), graph_inputs(network, of)
    program = torch.export.export(export(network, (x, of)), (x, inputs), dynamic_shapes=dynamic_shapes(inputs))
    y = features(network, other)
    assert relative(program.module()(y, graph_inputs(network, other)), network(y, other)) < 1e-12


@pytest.mark.parametrize(("pool", "corners"), [("mean", "cone"), ("max", "average"), ("stride", "zero")])
def test_lattices_with_cone_points(pool, corners):
    torch.manual_seed(0)
    network = IcosahedralCNN(FieldType(groups.Cyclic(6), "1x0"), 2, channels=(1, 1), pool=pool, corners=corners).double()
    of, other = (geometry.icosahedron(level, levels=1).to_graph() for level in (2, 3))
    example = Batch.from_data_list([of, of])
    x = features(network, example)
    plain = export(trained(network, x, example), (x, example))
    inputs = graph_inputs(network, example)
    program = torch.export.export(plain, (x, inputs), dynamic_shapes=dynamic_shapes(inputs))
    y = features(network, other)
    assert relative(program.module()(y, graph_inputs(network, other)), network(y, other)) < 1e-12


SO2_PAIRS = FieldType(SO2, "1x0 + 1x1 + 1x2")
LIE = FieldType(groups.Trivial(2), "2x0")
SPATIAL = FieldType(SO3, "1x0e + 2x1e"), FieldType(SO3, "1x0e + 1x1e + 1x2e")


def cloud(seed: int):
    points = np.random.default_rng(seed).normal(size=(11 + seed, 3))
    return geometry.points(points, neighbours=4).to_graph()


def plane(seed: int):
    elements = geometry.LieGroup.of("T2").exp(np.random.default_rng(seed).normal(size=(12 + seed, 2)))
    return geometry.lie_group("T2", elements, neighbours=4).to_graph()


OF_GRAPHS = {
    "learnt profile": (lambda: GaugeConv(INPUT, INPUT, RadialMLP(2, 6, 4)), None),
    "learnt profile, area weights": (lambda: GaugeConv(INPUT, INPUT, RadialMLP(2, 6, 4), quadrature=None), None),
    "messages": (lambda: GaugeMessagePassing(INPUT, INPUT), None),
    "attention": (lambda: EMAN(INPUT, 3, channels=2, order=1, blocks=(1,)), None),
    "spectral": (lambda: FieldDiffusion(SO2_PAIRS, pairs=9), None),
    "implicit": (lambda: FieldDiffusion(SO2_PAIRS, "implicit"), None),
    "implicit, reflections": (lambda: FieldDiffusion(FieldType(groups.O2(), "1x0- + 1x1"), "implicit"), None),
    "Poisson": (lambda: PoissonSolve(SO2_PAIRS), None),
    "DiffusionNet": (lambda: DiffusionNet(2, 3, width=4, blocks=2, pairs=9), None),
    "DeltaNet": (lambda: DeltaNet(2, 3, channels=(3, 4), pool="mean"), None),
    "edge frames": (lambda: EdgeFrameConv(*SPATIAL, 2), cloud),
    "tensor field network": (lambda: TensorFieldNetwork(*SPATIAL, hidden=SPATIAL[1], edge_frames=True), cloud),
    "net of the log": (lambda: GaugeConv(LIE, LIE, kernel=MLP(4, 5)), plane),
    "moving splines": (lambda: GaugeConv(LIE, LIE, kernel=Spline(3, learn_centres=True)), plane),
}


@pytest.mark.parametrize("name", OF_GRAPHS)
def test_learnt_tables_and_layers_of_whole_graphs(name):
    """From one graph on others, of any size; what is learnt is in the program or in its inputs."""
    make, sample = OF_GRAPHS[name]
    torch.manual_seed(0)
    network = randomise(make().double()).eval()
    graphs = (
        [sample(seed) for seed in (0, 5)] if sample else [graph(mesh, torch.float64) for mesh in (torus(6, 5), plate(5, 6))]
    )
    of, other = graphs
    x, inputs = features(network, of), graph_inputs(network, of)
    program = torch.export.export(export(network), (x, inputs), dynamic_shapes=dynamic_shapes(inputs))
    solves = any("gaugenet" in str(node.target) for node in program.graph.nodes)
    assert solves == (name.startswith(("implicit", "Poisson")))
    y = features(network, other)
    assert relative(program.module()(y, graph_inputs(network, other)), network(y, other)) < 1e-10


def test_batches_of_layers_of_whole_graphs():
    torch.manual_seed(0)
    network = randomise(FieldDiffusion(SO2_PAIRS, pairs=9).double()).eval()
    of = Batch.from_data_list([graph(torus(6, 5), torch.float64), graph(plate(4, 5), torch.float64)])
    x, inputs = features(network, of), graph_inputs(network, of)
    program = torch.export.export(export(network, (x, of)), (x, inputs))
    assert relative(program.module()(2 * x, inputs), network(2 * x, of)) < 1e-12


def test_systems_stay_in_double_precision():
    network, of = PoissonSolve(INPUT), graph(torus(6, 5), torch.float32)
    inputs = graph_inputs(GaugeUnderPoisson(), of)
    assert {inputs[name].dtype for name in inputs if name.startswith("system_v")} == {torch.float64}
    assert inputs["table_0_0"].dtype == torch.float32
    x = features(network, of)
    assert relative(export(network)(x, graph_inputs(network, of)), network(x, of)) < 1e-6


class GaugeUnderPoisson(nn.Module):
    def __init__(self):
        super().__init__()
        self.in_type, self.conv, self.solve = INPUT, GaugeConv(INPUT, INPUT), PoissonSolve(INPUT)

    def forward(self, x, graph):
        return self.solve(self.conv(x, graph), graph)


class BetweenCones(nn.Module):
    """Cone points treated before and after a map at every node, as docs/icosahedron.md says."""

    def __init__(self, mode: str):
        super().__init__()
        self.in_type = FieldType(groups.Cyclic(6), "1x0 + 1xregular")
        self.corners, self.linear = ConePoints(self.in_type, mode), GaugeLinear(self.in_type, self.in_type)
        self.conv = LatticeConv(self.in_type, self.in_type)

    def forward(self, x, graph):
        return self.conv(self.corners(self.linear(self.corners(x, graph)), graph), graph)


@pytest.mark.parametrize("mode", ["cone", "zero", "average"])
def test_cone_points(mode):
    torch.manual_seed(0)
    network = randomise(BetweenCones(mode).double()).eval()
    of, other = (geometry.icosahedron(level).to_graph() for level in (1, 2))
    x, inputs = features(network, of), graph_inputs(network, of)
    program = torch.export.export(export(network, (x, of)), (x, inputs), dynamic_shapes=dynamic_shapes(inputs))
    y = features(network, other)
    assert relative(program.module()(y, graph_inputs(network, other)), network(y, other)) < 1e-12
    flat = random_graph(groups.Cyclic(6), 10, 3)  # has none
    with torch.no_grad():
        z = features(network.corners, flat)
        assert torch.equal(export(network.corners, (z, flat))(z, graph_inputs(network.corners, flat)), z)


def test_the_network_stays_as_it_is():
    network = NETWORKS["regular"]()
    network.head.eval()
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    plain, of = export(network), graph(plate(4, 5), torch.float32)
    inputs = graph_inputs(network, of)
    assert not any(module.training for module in plain.modules())
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    x = features(network, of)
    assert torch.allclose(plain(x, inputs), network.eval()(x, of), atol=1e-6)
    double = graph_inputs(network, graph(plate(4, 5), torch.float64))
    assert all(double[name].dtype == value.dtype for name, value in inputs.items())


def test_tensors_of_a_batch_have_the_names_of_one():
    network = NETWORKS["unet"]()
    one = graph(torus(6, 5), torch.float32)
    names = list(graph_inputs(network, one))
    assert list(graph_inputs(network, Batch.from_data_list([one, one]))) == names
    deeper = geometry.mesh(*torus(8, 6), levels=2).to_graph().float()
    assert list(graph_inputs(network, deeper)) == names  # of the levels that are used


class Untyped(nn.Module):
    def forward(self, x, graph):
        return x


class Noise(nn.Module):
    in_type = INPUT

    def forward(self, x, graph):
        return torch.randn_like(x)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, "one graph", lambda of: dynamic_shapes(graph_inputs(PoissonSolve(INPUT), Batch.from_data_list([of] * 2)))),
        (TypeError, "in_type", lambda of: graph_inputs(Untyped(), of)),
        (TypeError, "GaugeConv is no layer for images", lambda of: export(nn.Sequential(GaugeConv(INPUT, INPUT)))),
        (RuntimeError, "other numbers", lambda of: export(Noise(), (torch.zeros(of.num_nodes, 3), of))),
        (TypeError, "x, graph", lambda of: export(NETWORKS["regular"](), torch.zeros(of.num_nodes, 3))),
    ],
)
def test_refused(error, match, call):
    with pytest.raises(error, match=match):
        call(graph(plate(4, 5), torch.float32))
