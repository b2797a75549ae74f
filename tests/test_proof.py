"""The report on a module: it catches faults of published layers, and each of its lines can break."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from gaugenet import FieldType, data, geometry, groups, models
from gaugenet.nn import FieldBias, GaugeConv, GaugePool, RegularNonlinearity
from gaugenet.testing import Report, equivariance_error, report
from gaugenet.testing.isometries import rigid_symmetries
from gaugenet.testing.remeshing import at_nodes_of, halved_edges, remeshed_graph, smooth_field
from tests.helpers.faults import Attention, BiasOnVectors, HarmonicConv, SampledRelu

SO2, O2 = groups.SO2(), groups.O2()
FT = FieldType(SO2, "2x0 + 2x1")


@pytest.fixture(scope="module")
def graph():
    return geometry.icosphere(2, rings=2, levels=1).to_graph()


def broken(found: Report) -> set[str]:
    return {check.name for check in found.checks if check.verdict == "BROKEN"}


@pytest.mark.parametrize(
    ("faulty", "right", "least"),
    [
        (lambda: BiasOnVectors(), lambda: BiasOnVectors(fault=False), 1e-2),
        (lambda: SampledRelu(5), None, 1e-2),
        (lambda: HarmonicConv(1), lambda: HarmonicConv(2), 0.1),
        (lambda: Attention(False), lambda: Attention(True), 0.1),
    ],
    ids=["bias on a vector", "five samples", "transport of order 1", "keys without transport"],
)
def test_faults_of_published_layers(graph, faulty, right, least):
    found = report(faulty(), graph)
    assert not found.ok and {"gauge", "gauge, training", "symmetry"} <= broken(found)
    assert found["gauge"].error > least and {"relabelling", "batching", "rigid motion", "dtype"}.isdisjoint(broken(found))
    if right is not None:
        assert report(right(), graph).ok


def test_samples_and_tolerance(graph):
    found = report(SampledRelu(60), graph)
    assert not found.ok and "too few samples" in found["gauge"].note
    assert report(SampledRelu(60), graph, tolerance=1e-2).ok
    assert report(RegularNonlinearity(FT), graph, tolerance=2e-3).ok


class Network(nn.Module):
    """A network of ours with a fault in the middle."""

    in_type = out_type = FT

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.first, self.middle, self.last = GaugeConv(FT, FT), middle, GaugeConv(FT, FT)

    def forward(self, x, graph):
        return self.last(self.middle(self.first(x, graph)), graph)


class AllBiased(nn.Module):
    in_type = out_type = FT

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(FT.dim))

    def forward(self, x):
        return x + self.bias


class Everywhere(nn.Dropout):
    """Dropout of single components, which only training shows."""

    in_type = out_type = FT


def test_where_a_network_breaks(graph):
    assert report(Network(FieldBias(FT)), graph).ok
    found = report(Network(AllBiased()), graph)
    assert found["gauge"].note.startswith("first off after middle (AllBiased)")
    # a bias of zero is a fault that cannot be seen
    assert report(Network(AllBiased()), graph, stir=0).ok
    found = report(Network(Everywhere(0.5)), graph)
    assert broken(found) == {"gauge, training"} and "middle (Everywhere)" in found["gauge, training"].note


def test_ready_networks_and_pooling(graph):
    for net in (models.MeshClassifier(FT, 3, channels=4), models.MeshUNet(FT, FieldType(SO2, "1x1"), channels=4)):
        before = {name: value.clone() for name, value in net.state_dict().items()}
        found = report(net, graph)
        assert found.ok and 0 < found["remeshing"].error < 1 and found["remeshing"].tolerance is None
        assert net.training and all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    pooled = report(Pooled(), graph)
    assert pooled.ok and pooled["symmetry"].verdict == "left out" and pooled["gauge"].verdict == "ok"


class Pooled(nn.Module):
    in_type = out_type = FT

    def __init__(self):
        super().__init__()
        self.pool = GaugePool(FT)

    def forward(self, x, graph):
        return self.pool(x, graph)


def module_of(function, out_type=None) -> nn.Module:
    module = nn.Module()
    module.in_type, module.out_type = FieldType(SO2, "2x0"), out_type
    module.forward = function
    return module


def by_positions(x, graph):
    return x * graph.pos[:, :1]


def by_number(x, graph):
    return x * torch.arange(len(x))[:, None]


def by_batch_mean(x, graph):
    return x - x.mean(0)


def by_largest_radius(x, graph):
    return x * (graph.radius / graph.radius.max())[:, None]


def in_double(x, graph):
    return x.double() * 2


def only_single(x, graph):
    return x @ torch.ones(2, 2)


def nothing(x, graph):
    return 0 * x


def infinite(x, graph):
    return x / 0


def pair_of_neighbours(x, graph):
    """Depends on how many triangles there are, not on what they approximate."""
    source, target = graph.edge_index
    return torch.zeros_like(x).index_add_(0, target, x[source])


@pytest.mark.parametrize(
    ("function", "lines"),
    [
        (by_positions, {"rigid motion", "symmetry"}),
        (by_number, {"relabelling", "symmetry", "batching"}),
        (by_batch_mean, {"batching"}),
        (by_largest_radius, {"batching"}),
        (in_double, {"dtype"}),
        (only_single, {"dtype"}),
        (nothing, {"gauge", "gauge, training", "rigid motion", "symmetry", "relabelling", "batching", "dtype"}),
        (infinite, {"gauge", "gauge, training", "rigid motion", "symmetry", "relabelling", "batching", "dtype", "remeshing"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_line_can_break(function, lines, graph):
    assert broken(report(module_of(function), graph)) == lines


def test_remeshing_is_measured(graph):
    area = report(module_of(lambda x, g: (x * g.area[:, None]).sum(0, keepdim=True)), graph.clone())
    assert area["remeshing"].error < 0.1 and area["remeshing"].verdict == "measured"
    assert report(module_of(pair_of_neighbours), graph)["remeshing"].error > 0.3
    finer = geometry.icosphere(3, rings=2, levels=1).to_graph()
    convolution = GaugeConv(FT, FT)
    given = report(convolution, graph, remeshed=finer)["remeshing"]
    assert given.note == "relative L2, 642 nodes for 162"
    over_c6 = FieldType(groups.Cyclic(6), "1xregular")
    ico = geometry.icosahedron(1)
    found = report(nn.Identity(), ico.to_graph(), over_c6, over_c6)
    assert found["remeshing"].verdict == "left out"


def test_arguments(graph):
    wrong = BiasOnVectors()
    first, other = (report(wrong, graph, seed=s)["gauge"].error for s in (0, 1))
    assert first != other
    assert report(wrong, graph, stir=10.0)["gauge"].error > first
    large = report(wrong, graph, x=1e6 * torch.ones(162, 12))["gauge"].error
    assert large < first
    identity = (torch.arange(162)[None], torch.eye(2).expand(1, 162, 2, 2))
    assert report(wrong, graph, isometries=identity)["symmetry"].error == 0
    linear = module_of(lambda x, graph: x)
    assert report(linear, graph, FieldType(SO2, "1x1"), FieldType(SO2, "1x1")).ok
    assert not report(linear, graph, FieldType(SO2, "1x1"), FieldType(SO2, "2x0")).ok
    # without a type, rows of nodes are scalars
    assert "1x1 -> 2x0" in report(linear, graph, FieldType(SO2, "1x1")).title


def test_table_and_json(graph):
    found = report(BiasOnVectors(), graph)
    lines = str(found).splitlines()
    assert lines[0].startswith("BiasOnVectors (12 parameters), 4x0 + 4x1 -> 4x0 + 4x1 over SO2") and len(lines) == 10
    assert [line.split()[0] for line in lines[2:4]] == ["gauge", "gauge,"] and "BROKEN" in lines[2]
    facts = json.loads(json.dumps(found.to_dict()))
    assert facts["ok"] is False and facts["checks"][0]["name"] == "gauge" and facts["checks"][0]["tolerance"] == 1e-10
    with pytest.raises(KeyError, match="no check 'speed': there are gauge"):
        found["speed"]


def test_wrong_arguments(graph):
    linear = module_of(lambda x, graph: x)
    with pytest.raises(TypeError, match=r"module to be a torch.nn.Module, got"):
        report(torch.relu, graph)
    with pytest.raises(TypeError, match=r"expected a GaugeGraph, as geometry.mesh"):
        report(linear, (5, 5))
    with pytest.raises(ValueError, match=r"expected in_type, since Identity has no attribute"):
        report(nn.Identity(), graph)
    with pytest.raises(TypeError, match=r"in_type to be a field type"):
        report(linear, graph, "2x0")
    with pytest.raises(TypeError, match="one group"):
        report(linear, graph, FT, FieldType(O2, "2x0"))
    with pytest.raises(ValueError, match=r"x of shape \(162, 2\), got \(161, 2\)"):
        report(linear, graph, x=torch.zeros(161, 2))
    with pytest.raises(ValueError, match="gives 2 numbers at every node, but out_type 3x0 has 3"):
        report(linear, graph, out_type=FieldType(SO2, "3x0"))
    with pytest.raises(ValueError, match=r"levels have 162, 42.*got shape \(7, 2\)"):
        report(module_of(lambda x, graph: x[:7]), graph)
    with pytest.raises(TypeError, match="one tensor of fields or logits, got tuple"):
        report(module_of(lambda x, graph: (x, x)), graph)
    held = module_of(lambda x, graph: x)
    held.generator = (number for number in range(3))
    with pytest.raises(TypeError, match="works on a copy"):
        report(held, graph)


def test_training_mode_of_the_error(graph):
    act = Everywhere(0.5).double().eval()
    assert equivariance_error(act, graph, FT, FT) == 0 and equivariance_error(act, graph, FT, FT, training=True) > 0.1
    norm = nn.BatchNorm1d(4).double()
    norm.eval()
    net = nn.Sequential(norm)
    equivariance_error(net, graph, FieldType(SO2, "4x0"), FieldType(SO2, "4x0"), training=True)
    assert not norm.training and norm.running_mean.abs().max() == 0 and norm.num_batches_tracked == 0


def test_rigid_symmetries():
    ball = geometry.icosphere(2, rings=2, levels=1)
    graph = ball.to_graph()
    permutation, g, error = rigid_symmetries(graph, SO2)
    assert permutation.shape == (59, 162) and g.shape == (59, 162, 2, 2) and error < 1e-12
    assert (torch.linalg.det(g) > 0).all() and len(permutation.unique(dim=0)) == 59
    # mirror images keep the sphere, but not the way in which its levels are made
    assert len(rigid_symmetries(geometry.icosphere(2, rings=2).to_graph(), O2)[0]) == 119
    assert len(rigid_symmetries(graph, O2)[0]) == 59
    # a stretched sphere keeps the turns that keep the axis; a bump leaves none
    prism = geometry.mesh(ball.positions * np.array([1.0, 1.0, 1.5]), ball.faces, rings=2).to_graph()
    stretched = rigid_symmetries(prism, SO2)
    assert 0 < len(stretched[0]) < 59
    rng = np.random.default_rng(0)
    bumpy = geometry.mesh(ball.positions * (1 + 0.1 * rng.random((162, 1))), ball.faces, rings=2).to_graph()
    assert rigid_symmetries(bumpy, SO2) is None


def test_halved_edges_are_the_same_surface():
    ball = geometry.icosphere(2)
    vertices, faces, values = halved_edges(ball.positions, ball.faces, ball.positions[:, 0], seed=0)

    def area(v, f):
        return np.linalg.norm(np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]]), axis=1).sum() / 2

    assert len(vertices) > 1.5 * 162 and len(faces) == 2 * len(vertices) - 4
    np.testing.assert_allclose(area(vertices, faces), area(ball.positions, ball.faces), rtol=1e-12)
    np.testing.assert_allclose(values, vertices[:, 0], atol=1e-12)
    np.testing.assert_array_equal(vertices[:162], ball.positions)
    other = halved_edges(ball.positions, ball.faces, ball.positions[:, 0], seed=1)[0]
    assert other.shape != vertices.shape or not np.array_equal(other, vertices)


def test_smooth_fields_depend_on_the_surface_alone(graph):
    type = FieldType(SO2, "2x0 + 2x1 + 1x2 + 1x3")
    field = smooth_field(graph, type)
    assert not torch.equal(field, smooth_field(graph, type, seed=1))
    h = SO2.sample(162, generator=torch.Generator().manual_seed(0))
    turned = smooth_field(graph.gauge_transform(h), type)
    torch.testing.assert_close(turned, type.transform(h.transpose(1, 2), field), rtol=1e-12, atol=1e-12)
    other = remeshed_graph(graph, "SO2")
    assert other.num_levels == 2 and abs(other.coarse.num_nodes - 42) <= 2
    back = at_nodes_of(smooth_field(other, type), type, other, graph)
    assert float((back - field).norm() / field.norm()) < 0.05


def test_a_mesh_with_boundary_and_features():
    v, f = np.meshgrid(np.arange(6.0), np.arange(6.0)), []
    points = np.stack([v[0].ravel(), v[1].ravel(), 0.1 * (v[0].ravel() ** 2)], 1)
    for row in range(5):
        for column in range(5):
            a = 6 * row + column
            f += [[a, a + 1, a + 7], [a, a + 7, a + 6]]
    graph = geometry.mesh(points, np.array(f), rings=1, features=("curvature",)).to_graph()
    type = data.feature_type(graph, "curvature")
    found = report(GaugeConv(type, FT), graph)
    assert found.ok and found["remeshing"].verdict == "measured"
    assert report(GaugeConv(type, FT), graph, x=graph.features("curvature")).ok
