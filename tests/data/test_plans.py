"""Plans: made once for a graph, kept with it, dropped when it changes, carried through batches."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import ToDevice

import gaugenet.kernels.polar as polar
from gaugenet import FieldType, geometry, groups, models
from gaugenet.data import GaugeGraph, StaticGraph, batched_plans
from gaugenet.nn import GaugeConv, GaugePool, GaugeUnpool, KernelTables, LatticeConv, LatticePool
from tests.helpers.graphs import icosphere_graph, sphere_graph, two_level_graph

FT = FieldType(groups.SO2(), "2x0 + 1x1")
ARRAYS = ("edge_index", "log", "transport", "weight", "radius", "area", "curvature")


@pytest.fixture
def made(monkeypatch):
    """A list that grows by one with every table that is made."""
    calls, table = [], polar.coefficient_table
    monkeypatch.setattr(polar, "coefficient_table", lambda *a, **k: calls.append(1) or table(*a, **k))
    return calls


def features(graph) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(graph.num_nodes, FT.dim, generator=generator, dtype=torch.float64).to(graph.log)


def test_made_once_by_every_way(made):
    graph, conv = two_level_graph(), GaugeConv(FT, FT).double()
    for _ in range(2):
        conv(features(graph), graph)
        assert graph.plan(conv) is conv.plan(graph)
    assert len(made) == 1 == len(graph.plans)
    GaugeConv(FT, FieldType(groups.SO2(), "1x2"), max_frequency=2).double()(features(graph), graph)  # of the same key
    assert graph.level(1).plan(conv) is graph.coarse.plan(conv) is not graph.plan(conv)
    assert len(made) == 2
    static = StaticGraph(graph)
    assert static.plan(conv) is graph.plan(conv) and static.coarse.plan(conv) is graph.coarse.plan(conv)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("change", ["assign", "item", "in place"])
@pytest.mark.parametrize("static", [False, True])
def test_changes_are_noticed(name, change, static):
    graph, conv = sphere_graph(), GaugeConv(FT, FT).double()
    x, old = features(graph), graph[name].clone()
    on = StaticGraph(graph) if static else graph
    before = conv(x, on)
    if name == "edge_index":
        order = torch.randperm(old.shape[1], generator=torch.Generator().manual_seed(1))
        new = torch.stack([old[0].roll(1), old[1]])
        assert order.numel() == new.shape[1]
    elif name == "transport":
        new = -old
    else:
        new = old * 0.9 + (0.5 if name == "curvature" else 0.0)
    if change == "in place":
        getattr(on, name).copy_(new)
    elif change == "item" and not static:
        graph[name] = new
    else:
        setattr(on, name, new)
    after = conv(x, on)
    fresh = sphere_graph()
    fresh[name] = new
    assert torch.allclose(after, conv(x, fresh), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(after, before, rtol=1e-6, atol=1e-9)
    getattr(on, name).copy_(old)
    assert torch.allclose(conv(x, on), before, rtol=1e-12, atol=1e-12)


def test_copies_have_plans_of_their_own(made):
    graph, conv = two_level_graph(), GaugeConv(FT, FT).double()
    x = features(graph)
    expected = conv(x, graph)
    for other in (graph.clone(), copy.deepcopy(graph), pickle.loads(pickle.dumps(graph)), graph.float()):
        assert not other.plans
    shallow = copy.copy(graph)
    assert torch.equal(conv(x, shallow), expected) and len(made) == 1
    shallow.log = 0.9 * shallow.log
    assert not torch.allclose(conv(x, shallow), expected) and torch.equal(conv(x, graph), expected)
    turned = graph.gauge_transform(groups.SO2().sample(graph.num_nodes))
    assert not turned.plans and graph.plans
    assert graph.to("cpu") is graph and torch.equal(conv(x, graph), expected)
    assert "plan" not in repr(graph) and "plan_cache" not in graph and "plan_cache" not in graph.to_dict()


def test_geometry_that_learns_has_no_plan():
    graph, conv = sphere_graph(), GaugeConv(FT, FT).double()
    graph.log = graph.log.clone().requires_grad_()
    for _ in range(2):
        (grad,) = torch.autograd.grad(conv(features(graph), graph).square().sum(), graph.log)
        assert grad.abs().max() > 0
    assert not graph.plans


def test_a_batch_hands_its_plans_on_and_joins_them(made):
    graphs = [two_level_graph(2, seed) for seed in range(3)]
    conv = GaugeConv(FT, FT).double()
    batch = Batch.from_data_list(graphs)
    expected = conv(features(batch), batch)
    assert len(made) == 1 and all(len(graph.plans) == 1 for graph in graphs)
    again = Batch.from_data_list(graphs[::-1])
    assert torch.allclose(conv(features(batch), Batch.from_data_list(graphs)), expected, rtol=1e-13, atol=1e-13)
    alone = torch.cat([conv(part, graph) for part, graph in zip(features(again).split(162), graphs[::-1])])
    assert torch.allclose(conv(features(again), again), alone, rtol=1e-13, atol=1e-13)
    assert len(made) == 1
    joined, whole = conv.plan(again), conv.plan(Batch.from_data_list([graph.clone() for graph in graphs[::-1]]))
    for name, a, b in [(n, getattr(p, n), getattr(q, n)) for p, q in zip(joined[:2], whole[:2]) for n in p._fields]:
        assert a.shape == b.shape and torch.allclose(a.double(), b.double(), atol=1e-14), name


@pytest.mark.parametrize("how", ["float", "copy", "deepcopy", "transform", "pickle"])
def test_a_batch_finds_the_plans_of_copies_whose_original_is_gone(made, how):
    """As transforms and ``graph.float()`` leave them: a network that saw them once makes no table again."""
    copied = {
        "float": lambda graph: graph.float(),
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "transform": ToDevice("cpu"),
        "pickle": lambda graph: pickle.loads(pickle.dumps(graph)),
    }
    graphs, conv = [copied[how](icosphere_graph(level, 1).float()) for level in (1, 2)], GaugeConv(FT, FT)
    for _ in range(3):
        for batch in (*DataLoader(graphs, 1), *DataLoader(graphs, 2)):
            conv(features(batch), batch)
    assert len(made) == 2
    assert all(graph.plan(conv) is next(graph.plans[key] for key in graph.plans) for graph in graphs) and len(made) == 2


def test_a_copy_that_was_changed_has_plans_of_its_own(made):
    """The batch's plan goes to the graph that it was made of, whichever of them is the older."""
    graph, conv = icosphere_graph(1, 1), GaugeConv(FT, FT).double()
    other = copy.copy(graph)
    other.log = 0.5 * other.log
    for one in (graph, other):
        for _ in range(2):
            for batch in DataLoader([one], 1):
                conv(features(batch), batch)
        assert one.plan(conv) is not None
    assert len(made) == 2


def test_a_batch_that_was_changed_takes_no_plan_of_its_graphs(made):
    graphs = [sphere_graph(), sphere_graph()]
    conv = GaugeConv(FT, FT).double()
    for graph in graphs:
        conv.plan(graph)
    batch = Batch.from_data_list(graphs)
    batch.weight = 2 * batch.weight
    twice = [graph.clone() for graph in graphs]
    for graph in twice:
        graph.weight = 2 * graph.weight
    x = features(batch)
    expected = torch.cat([conv(part, graph) for part, graph in zip(x.split(162), twice)])
    assert torch.allclose(conv(x, batch), expected, rtol=1e-12, atol=1e-12)
    graphs[0].weight = 3 * graphs[0].weight  # and a graph that was changed has none to give
    made.clear()
    conv.plan(Batch.from_data_list(graphs))
    assert len(made) == 1


@pytest.mark.parametrize("levels", [True, False])
def test_networks_join_all_their_plans(levels):
    graphs = [two_level_graph(2, seed).float() for seed in range(2)]
    torch.manual_seed(0)
    net = models.MeshUNet(FT, FT, channels=2, blocks=(1, 1)).eval()
    batch = Batch.from_data_list(graphs)
    first = net(features(batch), batch)
    batch = Batch.from_data_list(graphs)
    assert torch.allclose(net(features(batch), batch), first, atol=1e-6)
    for layer in (GaugePool(FT), GaugeUnpool(FT)):
        assert layer.plan(batch).forward.rowptr.numel() > 1


def test_to_moves_the_plans_along():
    graphs = [sphere_graph(), sphere_graph()]
    conv = GaugeConv(FT, FT).double()
    for graph in graphs:
        conv.plan(graph)
    batch = Batch.from_data_list(graphs).to("cpu")
    assert len(batch.plans) == 1
    meta = Batch.from_data_list(graphs).to("meta")
    assert meta.plans.find(meta, *_only_key(meta)).forward.table.is_meta


def _only_key(graph: GaugeGraph) -> tuple:
    (key,) = graph.plans
    return key, tuple(graph.plans.sources(key))


def test_workers_send_their_plans(made):
    graphs = [sphere_graph().float() for _ in range(4)]
    conv = GaugeConv(FT, FT)

    class Set(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return KernelTables(conv)(graphs[i])

    for batch in DataLoader(Set(), batch_size=2, num_workers=1):
        x = features(batch)
        expected = torch.cat([conv(part, graphs[0].clone()) for part in x.split(162)])
        before = len(made)
        assert torch.allclose(conv(x, batch), expected, atol=1e-5)
        assert len(made) == before


def test_lattices_keep_plans_and_take_many_fields():
    group = groups.Cyclic(6)
    a = FieldType(group, "1xregular + 1x1")
    ico = StaticGraph(geometry.icosahedron(2, levels=1).to_graph())
    batch = Batch.from_data_list([geometry.icosahedron(2, levels=1).to_graph() for _ in range(3)])
    x = torch.randn(3 * 162, a.dim, dtype=torch.float64)
    for corners in ("cone", "zero", "average"):
        layers = [LatticeConv(a, a, corners=corners), LatticePool(a, corners=corners), LatticePool(a, "stride")]
        for layer in layers:
            layer.double()
            assert torch.allclose(layer(x, ico), layer(x, batch), rtol=1e-12, atol=1e-12)
    pool = LatticePool(FieldType(group, "2xregular"), "max")
    y = torch.randn(3 * 162, 12, dtype=torch.float64)
    assert torch.allclose(pool(y, ico), pool(y, batch), rtol=1e-12, atol=1e-12)
    conv, before = LatticeConv(a, a).double(), len(ico.plans)
    conv(x, ico)
    assert len(ico.plans) == before and ico.plan(conv) is conv.plan(ico)


def test_edges_in_any_order():
    graph, conv = icosphere_graph(1, count=1), GaugeConv(FT, FT).double()
    x, order = features(graph), torch.randperm(graph.num_edges, generator=torch.Generator().manual_seed(0))
    mixed = graph.clone()
    for name in ("log", "transport", "weight"):
        mixed[name] = graph[name][order]
    mixed.edge_index = graph.edge_index[:, order]
    assert torch.allclose(conv(x, mixed), conv(x, graph), rtol=1e-12, atol=1e-12)


def test_moved_plans_know_their_tables():
    """The table that the reversed one was made from is one tensor with the forward one, on another device too."""
    graph, conv = icosphere_graph(1, 1), GaugeConv(FT, FT)
    plan = graph.plan(conv)
    there = batched_plans._moved(plan, "meta")
    assert plan.paired and there.paired and there.forward.table.device.type == "meta"
