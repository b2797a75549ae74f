from __future__ import annotations

import pytest
import torch

from gaugenet import geometry, groups
from gaugenet.data import FeatureScaler, feature_type
from gaugenet.errors import GaugenetError

NAMES = ("hks", "second_fundamental_form", "position")


@pytest.fixture(scope="module")
def graphs():
    ball = geometry.icosphere(2)
    stretched = [ball.positions * [1.0, 1.5, s] for s in (0.7, 2.0)]
    return [geometry.mesh(v, ball.faces, rings=1, features=("hks:4", *NAMES[1:])).to_graph() for v in stretched]


def test_one_scale(graphs):
    scaler = FeatureScaler(NAMES).fit(graphs)
    x = torch.cat([scaler(g.clone()).x for g in graphs])
    for (_, rep), block in zip(feature_type(graphs[0], *NAMES).blocks, feature_type(graphs[0], *NAMES).split(x)):
        if rep.dim == 1:
            assert block.mean(0).abs().max() < 1e-6
        assert torch.allclose(block.square().sum(1).mean(0), torch.ones_like(block[0, 0]), atol=1e-4)


def test_nothing_is_taken_from_other_graphs(graphs):
    scaler = FeatureScaler(NAMES).fit(graphs[:1])
    mean = scaler.mean.clone()
    scaler(graphs[1].clone())
    assert torch.equal(scaler.mean, mean)


@pytest.mark.parametrize("compress", [True, False])
def test_commutes_with_the_gauge(graphs, compress):
    graph = geometry.mesh(
        graphs[0].pos.double().numpy(), graphs[0].face.T.numpy(), rings=1, features=("hks:4", *NAMES[1:])
    ).to_graph(torch.float64)
    h = groups.SO2().sample(graph.num_nodes)
    scaler = FeatureScaler(NAMES, compress=compress).fit([graph])
    turned = scaler(graph.gauge_transform(h)).x
    expected = feature_type(graph, *NAMES).transform(h.transpose(-1, -2), scaler(graph).x)
    assert torch.allclose(turned, expected, rtol=1e-12, atol=1e-12)


def test_compression_tames_tails(graphs):
    graph = graphs[0].clone()
    graph["feature_hks"] = graph["feature_hks"].clone()
    graph["feature_hks"][0] = 1e6
    assert (
        FeatureScaler(["hks"]).fit([graph])(graph.clone()).x.abs().max()
        < FeatureScaler(["hks"], compress=False).fit([graph])(graph.clone()).x.abs().max()
    )
    assert "hks" in repr(FeatureScaler(["hks"]))


def test_errors(graphs):
    with pytest.raises(GaugenetError, match="fit"):
        FeatureScaler(["hks"])(graphs[0].clone())
    with pytest.raises(GaugenetError, match="no graphs"):
        FeatureScaler(["hks"]).fit([])
    with pytest.raises(ValueError, match="no feature"):
        FeatureScaler(["nothing"]).fit(graphs)
