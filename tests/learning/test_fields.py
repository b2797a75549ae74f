"""Many fields on one geometry: the loop learns, its arguments matter, what does not fit is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gaugenet import FieldType, data, geometry, groups, learning, models
from gaugenet.errors import GaugenetError

SO2 = groups.SO2()
GLOBE = geometry.latlon(6, 12, grid="cell-centred")
GRAPH = GLOBE.to_graph().float()
X = np.random.default_rng(0).normal(size=(12, GLOBE.num_nodes, 1))


def network(seed=0, **options):
    torch.manual_seed(seed)
    options = {"blocks": (1,), "channels": 2} | options
    return models.SphericalUNet(FieldType(SO2, "1x0"), FieldType(SO2, "1x0"), **options)


def test_it_learns():
    told = []
    history = learning.fit(
        network(), data.StaticGraph(GRAPH), X, 2 * X, epochs=20, rate=0.02, batch_size=4, progress=told.append
    )
    assert told == history and [entry["epoch"] for entry in history] == list(range(1, 21))
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]


def test_arguments_matter():
    def losses(y=X, net=network, **options):
        return [entry["loss"] for entry in learning.fit(net(), GRAPH, X, y, **{"epochs": 2, "batch_size": 5, **options})]

    plain = losses()
    assert losses() == plain == losses(torch.tensor(X)) and len(losses(epochs=0)) == 0
    for options in ({"rate": 0.02}, {"batch_size": 4}, {"seed": 1}, {"weight": GLOBE.area}):
        assert losses(**options) != plain, options
    assert losses(weight=np.full(GLOBE.num_nodes, 7.0)) == pytest.approx(plain)
    np.testing.assert_allclose(losses(net=lambda: network().double()), plain, rtol=1e-4)  # the network's precision counts
    before = torch.get_rng_state()
    losses()
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_targets_do_not_count():
    class Zero(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.zeros(()))

        def forward(self, x, graph):
            return x * self.a

    y = np.full_like(X, 3.0)
    y[:, ::2] = np.nan
    net = Zero()
    (entry,) = learning.fit(net, GRAPH, X, y, epochs=1, batch_size=100)
    assert entry["loss"] == pytest.approx(9.0) and bool(net.a.isfinite()) and not net.training


def test_wrong_arguments():
    net = network()
    with pytest.raises(
        ValueError, match=r"x and y \(B, 72, dim\) with a field of y for each of x, got \(12, 72, 1\) and \(11, 72, 1\)"
    ):
        learning.fit(net, GRAPH, X, X[1:])
    with pytest.raises(ValueError, match=r"weight \(72,\), got \(71,\)"):
        learning.fit(net, GRAPH, X, X, weight=np.ones(71))
    with pytest.raises(ValueError, match="batch_size to be an integer"):
        learning.fit(net, GRAPH, X, X, batch_size=0)
    with pytest.raises(ValueError, match="rate to be a positive number"):
        learning.fit(net, GRAPH, X, X, rate=0)
    with pytest.raises(GaugenetError, match="the loss is nan in epoch 1: take a smaller rate"):
        learning.fit(net, GRAPH, X * np.nan, X)
