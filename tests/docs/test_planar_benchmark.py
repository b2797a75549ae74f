"""The networks of benchmarks/planar.py: they run, and have as many weights as escnn's where it is installed."""

from __future__ import annotations

import pytest
import torch

from benchmarks.baselines import has_escnn
from benchmarks.planar import build_networks, expansion_step, layer_step, table
from benchmarks.planar_networks import CASES, number_of_weights, train_step

pytestmark = pytest.mark.filterwarnings("ignore:::escnn")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_networks_have_as_many_weights_and_train(case):
    theirs = has_escnn()
    networks = build_networks(case, theirs)
    counts = {name: number_of_weights(network) for name, network in networks.items()}
    assert set(counts) == ({"gaugenet", "escnn"} if theirs and case.basis == "band_limited" else {"gaugenet"})
    # escnn's gates and norms have a few biases that ours have not.
    assert max(counts.values()) < 1.02 * min(counts.values())
    images, labels = torch.randn(2, 1, 12, 12), torch.tensor([0, 1])
    for network in networks.values():
        before = [p.detach().clone() for p in network.parameters()]
        train_step(network, images, labels)()
        moved = [not torch.equal(a, b) for a, b in zip(before, network.parameters())]
        assert all(moved[-2:]) and sum(moved) > len(moved) / 2
        convolutions = network.convolutions()
        assert len(convolutions) == 4
        network.zero_grad()
        expansion_step(network)()
        assert all((conv.weights if hasattr(conv, "weights") else conv.weight).grad.any() for conv in convolutions)
        layer_step(convolutions[1], 2, 8)()


def test_table_shows_what_was_measured():
    rows = [{"network": "a", "gaugenet ms": 1.234, "gaugenet expansion": 0.0123}, {"network": "b", "escnn ms": 2.0}]
    head, _, first, second = table(rows)
    assert head == "| network | gaugenet ms | escnn ms | gaugenet expansion |"
    assert first == "| a | 1.2 |  | 1.2 % |" and second == "| b |  | 2.0 |  |"
