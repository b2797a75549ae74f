"""What the examples share: a training that goes on where it was stopped, runs that are not repeated, tables."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from examples import common


class Line(nn.Module):
    def __init__(self, widths=(1,)):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(a, b) for a, b in zip((1, *widths), (*widths, 1))))

    def forward(self, x):
        return self.layers(x)


def learn(epochs: int, checkpoint: Path | None = None, stop: int | None = None, **options):
    torch.manual_seed(0)
    net, x = Line((4,)), torch.linspace(-1, 1, 20)[:, None]

    def batches(epoch):
        if epoch == stop:
            raise KeyboardInterrupt
        return [x[torch.randperm(20)[:8]] for _ in range(3)]

    def loss_of(net, x):
        return (net(x) - 2 * x).square().mean()

    options = {"lr": 0.05, "weight_decay": 0.0} | options
    return net, common.train(net, batches, loss_of, epochs, 3, checkpoint=checkpoint, **options)


def test_a_training_that_was_stopped_goes_on(tmp_path):
    whole, losses = learn(20)
    assert len(losses) == 20 and losses[-1] < 0.1 * losses[0]
    with pytest.raises(KeyboardInterrupt):
        learn(20, tmp_path / "checkpoint.pt", stop=11)
    resumed, again = learn(20, tmp_path / "checkpoint.pt")
    assert again == losses
    for a, b in zip(whole.parameters(), resumed.parameters()):
        assert torch.equal(a, b)


@pytest.mark.parametrize("options", [{"clip": 1e-3}, {"weight_decay": 10.0}, {"optimiser": torch.optim.SGD}, {"lr": 1e-3}])
def test_every_option_matters(options):
    assert learn(3, **options)[1] != learn(3)[1]


def test_networks_of_a_size():
    net = common.with_parameters(partial(Line), 100, (1, 2))
    count = sum(p.numel() for p in net.parameters())
    assert abs(count - 100) < 30
    assert count < sum(p.numel() for p in common.with_parameters(partial(Line), 1000, (1, 2)).parameters())


def test_runs_are_kept_with_their_settings(tmp_path):
    def table(results):
        return f"{len(results['runs'])} runs"

    path = tmp_path / "new" / "results.json"
    runs = common.Runs(path, table, "digits", {"lr": 1})
    runs.add({"model": "a", "seed": 0, "error": 2.0})
    assert path.with_suffix(".md").read_text() == "1 runs"
    assert json.loads(path.read_text())["machine"]
    again = common.Runs(path, table, "digits", {"lr": 1})
    assert again.has(model="a", seed=0) and not again.has(model="a", seed=1)
    for data, settings in (("digits", {"lr": 2}), ("letters", {"lr": 1})):
        assert not common.Runs(path, table, data, settings).has(model="a")
        assert common.Runs(path, table, data, settings, keep=True).has(model="a")


def test_cells():
    assert common.cell([]) == "-"
    assert common.cell([2.0]) == "2 (2)"
    assert common.cell([1.0, 3.0], ".2f") == "2.00 ± 1 (1.00, 3.00)"
    assert common.spelled({"lr": 0.1, "batch size": 8}) == "Settings: lr 0.1, batch size 8."
