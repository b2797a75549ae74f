from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Batch

from gaugenet import FieldType, geometry, groups
from gaugenet.data import StaticGraph
from gaugenet.kernels import Taps, hexagonal_taps, square_taps
from gaugenet.nn import ConePoints, GaugeConv, LatticeConv
from gaugenet.nn.graph import cone_points
from gaugenet.testing import assert_gauge_equivariant, equivariance_error, symmetry_error
from tests.helpers.graphs import GRIDS, HEXAGONAL_TYPES, square
from tests.helpers.networks import randomise

C6 = groups.Cyclic(6)
MODES = ("cone", "zero", "average")


@pytest.fixture(scope="module")
def ico():
    return geometry.icosahedron(2)


@pytest.mark.parametrize("types", HEXAGONAL_TYPES, ids=str)
@pytest.mark.parametrize("corners", MODES)
def test_equivariant_under_gauges_and_all_rotations(ico, types, corners, dtype):
    a, b = (FieldType(C6, t) for t in types)
    conv = randomise(LatticeConv(a, b, corners=corners)).to(dtype)
    graph = ico.to_graph(dtype)
    assert_gauge_equivariant(conv, graph, a, b)
    limit = 1e-12 if dtype == torch.float64 else 1e-5
    assert symmetry_error(conv, graph, geometry.icosahedron_symmetries(ico), a, b) < limit


@pytest.mark.parametrize("rings", [1, 2])
def test_more_rings(rings):
    geom = geometry.icosahedron(2, rings=2)
    a = FieldType(C6, "2xregular")
    conv = randomise(LatticeConv(a, a, hexagonal_taps(rings))).double()
    assert symmetry_error(conv, geom.to_graph(), geometry.icosahedron_symmetries(geom), a, a) < 1e-12
    if rings == 1:  # edges beyond the taps are not used
        x = torch.randn(geom.num_nodes, a.dim, dtype=torch.float64)
        near = geometry.icosahedron(2).to_graph()
        assert torch.allclose(conv(x, geom.to_graph()), conv(x, near), rtol=0, atol=1e-13)


@pytest.mark.parametrize("types", HEXAGONAL_TYPES, ids=str)
@pytest.mark.parametrize("corners", MODES)
def test_the_definition(ico, types, corners):
    """Edge by edge, with the kernel at each tap; at corners as the docstring says."""
    a, b = (FieldType(C6, t) for t in types)
    conv = randomise(LatticeConv(a, b, corners=corners)).double()
    graph, kernel = ico.to_graph(), conv.kernel().detach()
    raw = torch.randn(graph.num_nodes, a.dim, dtype=torch.float64)
    source, target = graph.edge_index
    project = [sum(t(g[None])[0] for g in C6.elements) / 6 for t in (a, b)]

    def treat(f, projector):
        f = f.clone()
        near = {c: source[target == c] for c in range(12)}
        new = {"cone": f[:12], "zero": 0 * f[:12], "average": torch.stack([f[q].mean(0) for q in near.values()])}[corners]
        f[:12] = new @ projector.T
        return f

    x = treat(raw, project[0])
    points = torch.from_numpy(conv.taps)
    spacing = graph.log.norm(dim=1).min()
    out = x @ kernel[conv.centre].T
    for e in range(graph.num_edges):
        tap = int((points - graph.log[e] / spacing).norm(dim=1).argmin())
        scale = 6 / 5 if corners == "cone" and target[e] < 12 else 1
        out[target[e]] += scale * kernel[tap] @ a.transform(graph.transport[e], x[source[e]])
    expected = treat(conv.bias(out), project[1])
    assert torch.allclose(conv(raw, graph), expected, rtol=1e-12, atol=1e-12)


def test_modes_differ_and_say_what_they_know(ico):
    a = FieldType(C6, "1xregular")
    graph, x = ico.to_graph(), torch.randn(ico.num_nodes, 6, dtype=torch.float64)
    outputs = []
    for mode in MODES:
        torch.manual_seed(0)
        outputs.append(LatticeConv(a, a, corners=mode).double()(x, graph))
    assert not torch.allclose(outputs[0], outputs[1]) and not torch.allclose(outputs[1], outputs[2])
    assert (outputs[1][:12] == 0).all()
    with pytest.raises(ValueError, match="'cone', 'zero', 'average'"):
        LatticeConv(a, a, corners="drop")


@pytest.mark.parametrize("quadrature", [None, 3])
@pytest.mark.parametrize("corners", MODES)
@pytest.mark.parametrize("types", HEXAGONAL_TYPES, ids=str)
def test_polar_kernels_are_exact_too(ico, types, corners, quadrature):
    """GaugeConv projects at the corners by itself; at the corners themselves moments cannot be matched over a cut cone."""
    a, b = (FieldType(C6, t) for t in types)
    conv = randomise(GaugeConv(a, b, quadrature=quadrature, corners=corners)).double()
    graph, symmetries = ico.to_graph(), geometry.icosahedron_symmetries(ico)
    assert symmetry_error(conv, graph, symmetries, a, b) < 1e-12
    assert equivariance_error(conv, graph, a, b) < 1e-12
    without = graph.clone()
    del without.cone_angle
    assert symmetry_error(conv, without, symmetries, a, b) > 1e-3  # the cut shows


def test_is_gauge_conv_with_taps(ico):
    a = FieldType(C6, "1x0 + 1xregular")
    conv, graph = LatticeConv(a, a).double(), ico.to_graph()
    same = GaugeConv(a, a, kernel=Taps(), self_interaction=False).double()
    same.load_state_dict(conv.state_dict())
    x = torch.randn(ico.num_nodes, a.dim, dtype=torch.float64)
    assert torch.equal(conv(x, graph), same(x, graph)) and len(graph.plans) == 1
    more = GaugeConv(a, a, kernel=Taps()).double()
    assert symmetry_error(more, graph, geometry.icosahedron_symmetries(ico), a, a) < 1e-12
    more.load_state_dict({**conv.state_dict(), "self_interaction.weight": more.self_interaction.weight.detach()})
    centre = ConePoints(a).double()
    expected = conv(x, graph) + centre(more.self_interaction(centre(x, graph)), graph)
    assert torch.allclose(more(x, graph), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", GRIDS, ids=lambda c: str(c[0]))
@pytest.mark.parametrize("size", [3, 5])
def test_flat_grids_are_conv2d(case, size):
    """With zero padding on a plate, in random frames of the group."""
    group, a, b = case[0], FieldType(case[0], case[1]), FieldType(case[0], case[2])
    conv = randomise(LatticeConv(a, b, square_taps(size))).double()
    graph, h = square(6, 7, group, radius=2)
    image = torch.randn(1, a.dim, 6, 7, dtype=torch.float64)
    x = a.transform(h.transpose(1, 2), image[0].flatten(1).T)
    kernel = conv.kernel().permute(1, 2, 0).unflatten(2, (size, size))
    expected = F.conv2d(image, kernel, conv.bias.row(), padding=size // 2)[0].flatten(1).T
    got = b.transform(h, conv(x, graph))
    assert torch.allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_torus_and_taps_without_a_centre():
    a = FieldType(groups.Cyclic(4), "2xregular")
    taps = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    conv = randomise(LatticeConv(a, a, taps)).double()
    graph, _ = square(4, 5, periodic=True)
    full = randomise(LatticeConv(a, a, square_taps(3))).double()
    x = torch.randn(20, a.dim, dtype=torch.float64)
    image = F.pad(x.T.reshape(1, a.dim, 4, 5), (1, 1, 1, 1), mode="circular")
    expected = F.conv2d(image, full.kernel().permute(1, 2, 0).unflatten(2, (3, 3)), full.bias.row())
    assert torch.allclose(full(x, graph), expected[0].flatten(1).T, rtol=1e-12, atol=1e-12)
    cross = torch.zeros(a.dim, a.dim, 3, 3, dtype=torch.float64)
    for k, (dx, dy) in enumerate(taps):
        cross[..., 1 - dy, 1 + dx] = conv.kernel()[k].detach()
    expected = F.conv2d(image, cross, conv.bias.row())
    assert conv.centre is None and torch.allclose(conv(x, graph), expected[0].flatten(1).T, rtol=1e-12, atol=1e-12)


def test_bias_and_counts():
    regular, scalar = FieldType(C6, "1xregular"), FieldType(C6, "1x0")
    counts = [LatticeConv(a, b).weight.numel() for a, b in ((scalar, scalar), (scalar, regular), (regular, regular))]
    assert counts == [2, 7, 42]  # Cohen et al. 2019, section 5
    assert LatticeConv(regular, regular, bias=False).bias is None
    assert LatticeConv(regular, regular).bias.value.numel() == 1
    assert LatticeConv(scalar, scalar, hexagonal_taps(2)).weight.numel() == 4


def test_a_batch_is_its_parts(ico):
    a = FieldType(C6, "2xregular")
    conv = randomise(LatticeConv(a, a)).double()
    graphs = [ico.to_graph(), geometry.icosahedron(1).to_graph(), square(3, 4)[0]]
    x = [torch.randn(g.num_nodes, a.dim, dtype=torch.float64) for g in graphs[:2]]
    both = conv(torch.cat(x), Batch.from_data_list(graphs[:2]))
    assert torch.allclose(both, torch.cat([conv(f, g) for f, g in zip(x, graphs)]), rtol=1e-13, atol=1e-13)


def test_plans_are_shared(ico):
    a, b = FieldType(C6, "2xregular"), FieldType(C6, "3x0")
    first, second = LatticeConv(a, a).double(), LatticeConv(a, b, corners="zero").double()
    assert first.plan_key == second.plan_key != LatticeConv(a, a, hexagonal_taps(2)).plan_key
    graph, x = ico.to_graph(), torch.randn(ico.num_nodes, a.dim, dtype=torch.float64)
    assert torch.equal(second(x, graph, first.plan(graph)), second(x, graph))


@pytest.mark.parametrize("mode", ["cone", "zero", "average"])
def test_cone_points_are_looked_for_once(ico, mode, monkeypatch):
    layer, graph = ConePoints(FieldType(C6, "1x0 + 1xregular"), mode).double(), ico.to_graph()
    x = torch.randn(ico.num_nodes, 7, dtype=torch.float64)
    flat = geometry.grid((3, 4), 3).to_graph(), torch.randn(12, 7, dtype=torch.float64)
    expected = layer(x, graph), layer(flat[1], flat[0])
    assert torch.equal(expected[1], flat[1]) and not torch.equal(expected[0], x)
    made, plan = [], cone_points.cone_plan
    monkeypatch.setattr(cone_points, "cone_plan", lambda graph: made.append(1) or plan(graph))
    assert torch.equal(layer(x, graph), expected[0]) and torch.equal(layer(x, StaticGraph(graph)), expected[0])
    assert torch.equal(layer(flat[1], flat[0]), flat[1]) and not made
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    for features, on, out in ((x, graph, expected[0]), (flat[1], flat[0], flat[1])):
        assert torch.allclose(compiled(features, on), out, rtol=1e-12, atol=1e-12)
    batch = Batch.from_data_list([graph, ico.to_graph()])
    assert torch.allclose(layer(torch.cat([x, x]), batch), torch.cat([expected[0]] * 2)) and len(made) == 1
    graph.cone_angle = torch.full_like(graph.cone_angle, 2 * torch.pi)
    assert torch.equal(layer(x, graph), x) and len(made) == 2  # a changed graph: a new plan


def test_compiles_without_graph_breaks(ico):
    a = FieldType(C6, "2xregular + 1x1")
    conv, graph = LatticeConv(a, a), ico.to_graph(torch.float32)
    x, plan = torch.randn(ico.num_nodes, a.dim), conv.plan(graph)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, graph, plan), conv(x, graph, plan), atol=1e-5)
    conv(x, graph, plan).square().sum().backward()
    expected = conv.weight.grad.clone()
    conv.zero_grad()
    compiled(x, graph, plan).square().sum().backward()
    assert torch.allclose(conv.weight.grad, expected, rtol=1e-4, atol=1e-3)


def test_reduced_precision(ico):
    a = FieldType(C6, "2xregular")
    conv, graph = randomise(LatticeConv(a, a)), ico.to_graph(torch.float32)
    x = torch.randn(ico.num_nodes, a.dim)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = conv(x, graph)
    assert low.dtype == torch.bfloat16
    assert (low.float() - conv(x, graph)).abs().max() < 0.05 * conv(x, graph).abs().max()


def test_errors_say_what_was_expected(ico):
    a, graph = FieldType(C6, "1xregular"), ico.to_graph()
    conv, x = LatticeConv(a, a).double(), torch.randn(ico.num_nodes, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"\(N, 6\).*\(162, 5\)"):
        conv(x[:, :5], graph)
    with pytest.raises(TypeError, match="float32"):
        conv(x.float(), graph)
    with pytest.raises(TypeError, match="finite group"):
        LatticeConv(FieldType(groups.SO2(), "1x0"), FieldType(groups.SO2(), "1x0"))
    with pytest.raises(TypeError, match="one group"):
        LatticeConv(a, FieldType(groups.Cyclic(3), "1x0"))
    with pytest.raises(ValueError, match="does not map these taps"):
        LatticeConv(a, a, square_taps(3))
    with pytest.raises(ValueError, match=r"edge \d+ from node \d+ to node \d+ .* on none of the 7 taps"):
        conv(torch.randn(12, 6, dtype=torch.float64), square(3, 4)[0])
    with pytest.raises(ValueError, match="does not lie in it"):
        LatticeConv(*[FieldType(groups.Cyclic(3), "1x0")] * 2).double()(x[:, :1], graph)
    twice = graph.clone()
    twice.log = torch.cat([graph.log[1:2], graph.log[1:]])
    with pytest.raises(ValueError, match="edges 0 and 1 into node 0 have their log maps on one tap"):
        conv(x, twice)
    del graph.transport
    with pytest.raises(ValueError, match="transport"):
        conv(x, graph)
