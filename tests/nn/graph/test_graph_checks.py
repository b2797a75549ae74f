"""Graphs that cannot be meant: refused in our words at the boundary, looked at once; another order of edges is no matter."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch_geometric.data import Batch

from gaugenet import FieldType, geometry, groups, kernels, models, nn
from gaugenet.data import StaticGraph
from gaugenet.nn.graph import gauge_conv

TYPE = FieldType(groups.SO2(), "2x0 + 1x1")
NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def graph():
    return geometry.icosphere(1, rings=1, levels=1).to_graph()


@pytest.fixture(scope="module")
def x(graph):
    return torch.randn(graph.num_nodes, TYPE.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def conv(**options) -> nn.GaugeConv:
    torch.manual_seed(0)
    return nn.GaugeConv(TYPE, TYPE, **options).double()


def poke(name, place, value):
    def change(graph):
        graph[name][place] = value

    return change


def put(name, function):
    def change(graph):
        graph[name] = function(graph[name])

    return change


def loop(graph):
    graph.edge_index[0, 5] = graph.edge_index[1, 5]


BROKEN = {
    "log nan": (poke("log", (3, 0), NAN), r"in log finite numbers, got nan at \(3, 0\): make the graph by"),
    "transport inf": (poke("transport", 3, INF), "in transport finite numbers, got inf"),
    "weight nan": (poke("weight", 3, NAN), "in weight finite numbers, got nan at 3"),
    "radius nan": (poke("radius", 3, NAN), "in radius finite numbers"),
    "radius zero": (poke("radius", 3, 0.0), "in radius positive numbers, got 0.0 at 3"),
    "area nan": (poke("area", 3, NAN), "in area finite numbers"),
    "curvature nan": (poke("curvature", 3, NAN), "in curvature finite numbers"),
    "log short": (put("log", lambda v: v[:-1]), r"log of shape \(E, d\) = \(240, 2\), got \(239, 2\)"),
    "transport short": (put("transport", lambda v: v[:-1]), r"transport of shape \(E, d, d\) = \(240, 2, 2\), got \(239"),
    "weight 2-D": (put("weight", lambda v: v[:, None]), r"weight of shape \(E\) = \(240,\), got \(240, 1\)"),
    "curvature short": (put("curvature", lambda v: v[:-1]), r"curvature of shape \(N\) = \(42,\), got \(41,\)"),
    "log in space": (put("log", lambda v: torch.cat([v, v[:, :1]], 1)), "log maps of 2 coordinates, .* over a group of dim"),
    "index large": (poke("edge_index", (0, 0), 10**6), r"in edge_index node ids from 0 to 41, got 1000000 at \(0, 0\)"),
    "index negative": (poke("edge_index", (1, 2), -1), "in edge_index node ids from 0 to 41, got -1"),
    "index float": (put("edge_index", lambda v: v.double()), "edge_index of dtype int64, got torch.float64"),
    "self-loop": (loop, r"no self-loops, the centre having a weight of its own, got \d+ at 5"),
}
BROKEN_CLUSTERS = {
    "large": (poke("cluster_1", 0, 10**6), "in cluster node ids from 0 to 11, got 1000000 at 0"),
    "negative": (poke("cluster_1", 0, -1), "in cluster node ids from 0 to 11, got -1"),
    "float": (put("cluster_1", lambda v: v.double()), "cluster of dtype int64"),
    "empty": (put("cluster_1", torch.zeros_like), "a member of every cluster, got none for coarse node 1"),
    "missing": (lambda graph: graph.__delitem__("cluster_1"), "a cluster for every node: build the geometry with levels"),
    "transport missing": (lambda graph: graph.__delitem__("cluster_transport_1"), "needs a graph with cluster_transport"),
    "transport short": (put("cluster_transport_1", lambda v: v[:-1]), r"cluster_transport of shape \(42, 2, 2\), got \(41"),
    "area nan": (poke("area", 3, NAN), "in area finite numbers of at least 0, got nan at 3"),
    "area zero": (put("area", torch.zeros_like), "a positive sum over every cluster"),
}


@pytest.mark.parametrize("options", [{}, {"radial": kernels.RadialMLP(2, 4, 3)}], ids=["fixed", "learnt"])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_graphs_are_refused(name, options, graph, x):
    change, text = BROKEN[name]
    broken = graph.clone()
    change(broken)
    with pytest.raises((TypeError, ValueError), match="GaugeConv expected .*" + text.replace("in radius", "(in )?radius")):
        conv(**options)(x, broken)


@pytest.mark.parametrize("name", BROKEN_CLUSTERS)
def test_broken_clusters_are_refused(name, graph, x):
    change, text = BROKEN_CLUSTERS[name]
    broken = graph.clone()
    change(broken)
    for layer, features in ((nn.GaugePool(TYPE), x), (nn.GaugeUnpool(TYPE), x[:12])):
        with pytest.raises((TypeError, ValueError), match=text):
            layer(features, broken)


@pytest.mark.parametrize("options, looks", [({}, 1), ({"radial": kernels.RadialMLP(2, 4, 3)}, 1)], ids=["fixed", "learnt"])
def test_a_graph_is_looked_at_once(options, looks, graph, x, monkeypatch):
    seen = []
    look = gauge_conv.check_arrays
    monkeypatch.setattr(gauge_conv, "check_arrays", lambda *args: seen.append(args) or look(*args))
    layer, mine = conv(**options), graph.clone()
    for _ in range(3):
        layer(x, mine)
    assert len(seen) == looks
    mine.log.mul_(0.5)  # a change in place is seen
    layer(x, mine)
    assert len(seen) == looks + 1


def test_any_object_is_checked(graph, x):
    names = ("edge_index", "log", "transport", "weight", "radius")
    mine = SimpleNamespace(**{name: graph[name].clone() for name in names})
    assert torch.isfinite(conv()(x, mine)).all()
    mine.weight[0] = NAN
    with pytest.raises(ValueError, match="in weight finite"):
        conv()(x, mine)


def test_missing_levels(graph, x):
    net = models.MeshUNet(TYPE, TYPE, channels=2, blocks=(1, 1, 1)).double()
    with pytest.raises(ValueError, match=r"MeshUNet has 3 stages, blocks=\(1, 1, 1\), but the graph 2 levels: .* levels=2"):
        net(x, graph)
    with pytest.raises(ValueError, match="3 stages"):
        net(x, StaticGraph(graph))


def test_batches_of_batches(graph):
    batch = Batch.from_data_list([graph, graph])
    with pytest.raises(ValueError, match=r"a batch cannot be batched again: join the graphs of all, batch.to_data_list\(\)"):
        Batch.from_data_list([batch, batch])
    again = Batch.from_data_list([*batch.to_data_list(), graph])
    assert again.num_graphs == 3


@pytest.mark.parametrize("order", ["sort", "sort by target", "coalesce", "random"])
def test_the_order_of_edges_does_not_matter(order, graph, x):
    generator = torch.Generator().manual_seed(1)
    mixed = graph.clone()
    for suffix in ("", "_1"):
        edges = torch.randperm(graph["edge_index" + suffix].shape[1], generator=generator)
        for name in ("log", "transport", "weight"):
            mixed[name + suffix] = mixed[name + suffix][edges]
        mixed["edge_index" + suffix] = mixed["edge_index" + suffix][:, edges]
    reordered = {
        "sort": mixed.sort, "sort by target": lambda: mixed.sort(sort_by_row=False), "coalesce": mixed.coalesce,
        "random": lambda: copy.copy(mixed),
    }[order]()  # fmt: skip
    net = models.MeshUNet(TYPE, TYPE, channels=2, blocks=(1, 1)).double().eval()
    assert torch.allclose(net(x, reordered), net(x, graph), rtol=1e-11, atol=1e-11)
    if order != "random":
        rows = reordered.edge_index_1[1 if "target" in order else 0]
        assert bool((rows[1:] >= rows[:-1]).all()) and set(reordered.keys()) == set(graph.keys())


def test_a_static_graph_sees_later_changes(graph, x):
    layer, static = conv(), StaticGraph(graph.clone())
    before = layer(x, static)
    static.weight = 2 * static.weight
    changed = layer(x, static)
    assert (changed - before).abs().max() > 1e-3
    static.weight.mul_(2)
    assert (layer(x, static) - changed).abs().max() > 1e-3


def test_a_geometry_is_no_graph(x):
    geom = geometry.icosphere(1, rings=1)
    text = "expected a graph whose edge_index is a torch.Tensor, got ndarray of LocalGeometry: of a geometry take .to_graph()"
    for layer in (conv(), nn.GaugeAttention(TYPE, TYPE).double(), nn.Laplacian(TYPE).double()):
        with pytest.raises(TypeError, match=text):
            layer(x, geom)
