from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from gaugenet import FieldType, geometry, groups
from gaugenet.data import StaticGraph
from gaugenet.models import IcosahedralCNN
from gaugenet.testing import assert_gauge_equivariant, symmetry_error
from tests.helpers.networks import randomise, with_statistics

VARIANTS = [
    {},
    {"corners": "zero"},
    {"corners": "average"},
    {"pool": "max", "norm": "layer", "activation": "silu"},
    {"pool": "stride", "norm": None, "group_pool": "mean", "channels": (4, 4)},
]


@pytest.fixture(scope="module")
def ico():
    return geometry.icosahedron(3, levels=2)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_invariant_under_gauges_and_all_rotations(ico, options, dtype):
    net = with_statistics(randomise(IcosahedralCNN(3, 5, **options))).to(dtype)
    graph = ico.to_graph(dtype)
    assert_gauge_equivariant(net, graph, net.in_type)
    limit = 1e-12 if dtype == torch.float64 else 1e-5
    assert symmetry_error(net, graph, geometry.icosahedron_symmetries(ico), net.in_type) < limit


def test_it_is_not_invariant_under_more(ico):
    net = randomise(IcosahedralCNN(1, 5)).double().eval()
    graph, x = ico.to_graph(), torch.randn(642, 1, dtype=torch.float64)
    assert (net(x, graph) - net(x.roll(1, 0), graph)).abs().max() > 1e-6


def test_fields_may_come_in(ico):
    in_type = FieldType(groups.Cyclic(6), "2x0 + 1x1")  # wind: a tangent vector
    net = randomise(IcosahedralCNN(in_type, 5)).double()
    assert symmetry_error(net, ico.to_graph(), geometry.icosahedron_symmetries(ico), in_type) < 1e-12


def test_every_argument_matters(ico):
    graph, x = ico.to_graph(torch.float32), torch.randn(642, 3)

    def output(**options):
        torch.manual_seed(0)
        with torch.no_grad():
            return IcosahedralCNN(3, 5, **options).train()(x, graph)

    default = output()
    for options in (
        {"channels": (8, 16)},
        {"corners": "zero"},
        {"corners": "average"},
        {"norm": "layer"},
        {"norm": None},
        {"activation": "silu"},
        {"pool": "max"},
        {"pool": "stride"},
        {"group_pool": "mean"},
    ):
        assert not torch.allclose(output(**options), default), options


def test_a_batch_is_its_parts(ico):
    graph = ico.to_graph(torch.float32)
    x = torch.randn(2, 642, 3)
    net = IcosahedralCNN(3, 5)
    net(x[0], graph)  # moves the running averages
    expected = net.eval()(x[0], graph)
    batch = net(x.flatten(0, 1), Batch.from_data_list([graph, graph.clone()]))
    assert torch.allclose(batch[0], expected[0], atol=1e-5) and not torch.allclose(batch[0], batch[1])


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_many_fields_on_one_graph(ico, options):
    net = with_statistics(randomise(IcosahedralCNN(2, 5, **options))).double()
    graph, x = ico.to_graph(), torch.randn(3 * ico.num_nodes, 2, dtype=torch.float64)
    static = StaticGraph(graph)
    for mode in (True, False):  # in training with the statistics of all fields
        net.train(mode)
        out, expected = net(x, static), net(x, Batch.from_data_list([graph] * 3))
        assert out.shape == (3, 5) and torch.allclose(out, expected, rtol=1e-9, atol=1e-11)
    assert torch.equal(net(x.unflatten(0, (3, -1)), static), out)


@pytest.mark.parametrize("static", [False, True])
def test_on_a_coarser_level(ico, static):
    """A level has as many levels as there are from it on."""
    net = randomise(IcosahedralCNN(2, 5, channels=(4, 4))).double().eval()
    graph, x = ico.to_graph(), torch.randn(geometry.icosahedron(2).num_nodes, 2, dtype=torch.float64)
    levels = [StaticGraph(graph) if static else graph]
    while levels[-1].coarse is not None:
        levels.append(levels[-1].coarse)
    assert [level.num_levels for level in levels] == [3, 2, 1]
    assert torch.allclose(net(x, levels[1]), net(x, geometry.icosahedron(2, levels=1).to_graph()), rtol=1e-9, atol=1e-11)
    with pytest.raises(ValueError, match=r"2 stages, but the graph 1 levels"):
        net(x[:42], levels[2])


def test_it_learns_directions():
    """A field and its mirror image under a reflection of the icosahedron: no isotropic network tells them apart."""
    torch.manual_seed(0)
    graph = geometry.icosahedron(2).to_graph(torch.float32)
    x, y, z = 2 * graph.pos.T
    fields = [(sign * x * y * z + x**2 * y + y * z**2 * sign * x)[:, None] for sign in (1, -1)]
    net = IcosahedralCNN(1, 2, channels=((8, 8, 8),))
    optimiser, losses = torch.optim.Adam(net.parameters(), 2e-2), []
    for _ in range(60):
        logits = torch.cat([net(f, graph) for f in fields])
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 < losses[0]


def test_compiles_without_graph_breaks(ico):
    graph, x = ico.to_graph(torch.float32), torch.randn(642, 3)
    net = IcosahedralCNN(3, 5, channels=((4, 4), 4)).eval()
    plans = net.plans(graph)
    assert torch.equal(net(x, graph, plans), net(x, graph))
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, graph, plans), net(x, graph), atol=1e-5)


def test_levels_must_be_there(ico):
    with pytest.raises(ValueError, match=r"3 stages, but the graph 1 levels.*levels=2"):
        IcosahedralCNN(1, 5)(torch.randn(162, 1), geometry.icosahedron(2).to_graph(torch.float32))
