from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from gaugenet import FieldType, GaugeGraph, geometry, groups, models
from gaugenet.data import feature_type
from gaugenet.geometry import Feature, Pooling
from gaugenet.nn import GaugeConv, GaugePool, GaugeUnpool, global_mean

FT = FieldType(groups.SO2(), "2x0 + 2x1")


def three_levels(level: int, seed: int, offset: int = 0) -> geometry.LocalGeometry:
    """An icosphere with two coarser ones, random clusters and transporters, and stored features."""
    rng = np.random.default_rng(seed)
    spheres = [geometry.icosphere(level - k, rings=2 - (k > 0)) for k in range(3)]
    geom = spheres[-1]
    for fine in reversed(spheres[:-1]):
        angle = rng.uniform(0, 2 * np.pi, fine.num_nodes)
        c, s = np.cos(angle), np.sin(angle)
        transport = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
        few = geom.num_nodes
        cluster = np.concatenate([np.arange(few), rng.integers(0, few, fine.num_nodes - few)])
        geom = fine.replace(coarse=Pooling(cluster, transport, geom))
    n = geom.num_nodes
    return geom.replace(
        features={"a": Feature(rng.normal(size=(n, 2)), "2x0"), "b": Feature(rng.normal(size=(n, 5)), "1x0 + 2x1")}
    )


@pytest.fixture(scope="module")
def graphs() -> list[GaugeGraph]:
    out = []
    for seed, level in enumerate((2, 3, 2)):
        graph = three_levels(level, seed).to_graph()
        graph.y = torch.tensor([seed])
        out.append(graph)
    return out


def test_from_geometry_keeps_everything():
    geom = three_levels(2, 0)
    graph = geom.to_graph()
    assert graph.num_levels == 3 and graph.num_nodes == geom.num_nodes
    for level, g in enumerate(geom.levels()):
        view = graph.level(level)
        assert np.array_equal(view.edge_index.numpy(), g.edge_index) and view.num_nodes == g.num_nodes
        assert np.array_equal(view.log.numpy(), g.log) and np.array_equal(view.transport.numpy(), g.transport)
        assert np.array_equal(view.pos.numpy(), g.positions)
    assert np.array_equal(graph.face.numpy().T, geom.faces)
    assert np.array_equal(graph.cluster.numpy(), geom.coarse.cluster)
    assert np.array_equal(graph.coarse.cluster.numpy(), geom.coarse.geometry.coarse.cluster)
    assert graph.coarse.coarse.coarse is None
    assert graph.log.dtype == torch.float64 and geom.to_graph(dtype=torch.float32).log.dtype == torch.float32
    assert graph.float().log.dtype == torch.float32 and graph.log.dtype == torch.float64
    assert graph.float().double().radius_1.dtype == torch.float64
    graph.pos[0] = 7.0
    assert geom.positions[0, 0] != 7.0  # a copy
    with pytest.raises(IndexError, match="0 to 2"):
        graph.level(3)
    with pytest.raises(AttributeError, match="speed"):
        _ = graph.coarse.speed


class Net(torch.nn.Module):
    """Touches every level: convolution, pooling twice, unpooling twice."""

    def __init__(self):
        super().__init__()
        self.convs = torch.nn.ModuleList(GaugeConv(FT, FT, radial=2) for _ in range(3))
        self.pool, self.unpool = GaugePool(FT), GaugeUnpool(FT)

    def forward(self, x, graph):
        top = graph.coarse
        x = self.convs[0](x, graph)
        y = self.convs[1](self.pool(x, graph), top)
        z = self.convs[2](self.pool(y, top), top.coarse)
        return x + self.unpool(y + self.unpool(z, top), graph), z, top.coarse


def run(net, graph):
    x = torch.sin(graph.pos @ torch.arange(18.0, dtype=torch.float64).view(3, 6))
    return net(x, graph)


def test_batch_equals_the_meshes_one_by_one(graphs):
    torch.manual_seed(0)
    net = Net().double()
    batch = Batch.from_data_list(graphs)
    assert batch.num_graphs == 3 and batch.coarse.num_graphs == 3
    out, z, last = run(net, batch)
    singles = [run(net, g) for g in graphs]
    assert torch.allclose(out, torch.cat([s[0] for s in singles]), rtol=1e-12, atol=1e-12)
    assert torch.allclose(z, torch.cat([s[1] for s in singles]), rtol=1e-12, atol=1e-12)
    means = torch.cat([global_mean(s[1], s[2]) for s in singles])
    assert torch.allclose(global_mean(z, last), means, rtol=1e-12, atol=1e-12)
    assert torch.equal(
        last.batch, torch.repeat_interleave(torch.arange(3), torch.tensor([g.level(2).num_nodes for g in graphs]))
    )
    assert torch.equal(batch.y, torch.arange(3))
    for original, again in zip(graphs, batch.to_data_list()):
        for key in ("edge_index", "edge_index_1", "cluster_1", "cluster_2", "cluster_transport_2", "face", "batch_1"):
            assert torch.equal(original[key], again[key]), key


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_in_a_data_loader(graphs, workers):
    torch.manual_seed(0)
    net = Net().double()
    loader = DataLoader(graphs, batch_size=3, num_workers=workers)
    (batch,) = list(loader)
    assert torch.allclose(run(net, batch)[0], torch.cat([run(net, g)[0] for g in graphs]), rtol=1e-12, atol=1e-12)


def test_the_net_does_not_see_the_rest_of_the_batch(graphs):
    torch.manual_seed(0)
    in_type = feature_type(graphs[0], "a", "b")
    model = models.MeshClassifier(in_type, 3, channels=4, blocks=(1, 1, 1)).double().eval()
    batch = Batch.from_data_list(graphs)
    together = model(batch.features("a", "b"), batch)
    alone = torch.cat([model(g.features("a", "b"), g) for g in graphs])
    assert torch.allclose(together, alone, rtol=1e-10, atol=1e-12)


def test_gauge_transform_agrees_with_the_geometry():
    geom = three_levels(2, 0)
    h = groups.O2().sample(geom.num_nodes, generator=torch.Generator().manual_seed(0))
    ours, theirs = geom.to_graph().gauge_transform(h), geom.gauge_transform(h.numpy()).to_graph()
    for key, value in theirs.to_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.allclose(ours[key], value, rtol=1e-12, atol=1e-12), key
    with pytest.raises(ValueError, match="level 0 expected"):
        geom.to_graph().gauge_transform(h[:-1])
    with pytest.raises(ValueError, match="4 gauge changes"):
        geom.to_graph().gauge_transform([h] * 4)


def test_features_and_their_type(graphs):
    graph = graphs[0]
    assert feature_type(graph, "a", "b") == FieldType(groups.SO2(), "2x0 + 1x0 + 2x1")
    assert feature_type(graph, "b", group=groups.O2()).group == groups.O2()
    assert graph.features("a", "b").shape == (graph.num_nodes, 7)
    assert feature_type(Batch.from_data_list(graphs), "b") == feature_type(graph, "b")
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        graph.features("c")
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        feature_type(graph, "c")


def test_graph_survives(graphs):
    for other in (copy.deepcopy(graphs[0]), pickle.loads(pickle.dumps(graphs[0])), graphs[0].clone()):
        assert torch.equal(other.edge_index_2, graphs[0].edge_index_2) and other.num_levels == 3
    assert "num_nodes=" in repr(graphs[0].coarse)
