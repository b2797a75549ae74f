"""Running averages: of invariants, and taken anew over a loader."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader as Rows
from torch.utils.data import TensorDataset
from torch_geometric.loader import DataLoader

from gaugenet import FieldType, geometry, groups
from gaugenet.data import StaticGraph
from gaugenet.models import MeshUNet, MobiusCNN
from gaugenet.nn import FieldNorm, refresh_norms
from gaugenet.nn.fields.running import InvariantBatchNorm
from tests.helpers.networks import randomise

IN = FieldType(groups.SO2(), "2x0 + 1x1")


def graphs(count: int = 6) -> list:
    torch.manual_seed(0)
    made = [geometry.icosphere(1, rings=1).to_graph().float() for _ in range(count)]
    for graph in made:
        graph.x = torch.randn(graph.num_nodes, IN.dim) + 0.5
    return made


def test_invariants_in_training_are_those_of_torch_and_averages_lag_not():
    ours, theirs = InvariantBatchNorm(4), torch.nn.BatchNorm1d(4)
    theirs.load_state_dict(ours.state_dict())
    x = 0.01 * torch.randn(3, 20, 4) + 5
    for part in x:
        assert torch.allclose(ours(part), theirs(part), atol=1e-5)
    share = torch.tensor([0.81, 0.9, 1.0]) / 2.71
    assert torch.allclose(ours.running_mean, share @ x.mean(1), atol=1e-5)
    assert torch.allclose(ours.running_var, share @ x.var(1), atol=1e-6)
    before = ours.running_mean.clone()
    assert torch.equal(ours(x[0, :1]), ours.eval()(x[0, :1]))  # one row has no variance
    assert torch.equal(ours.running_mean, before)


def test_refreshed_averages_are_the_means_over_the_batches():
    norm = FieldNorm(IN).eval()
    x = torch.randn(40, IN.dim) * 3
    refresh_norms(norm, Rows(TensorDataset(x, torch.zeros(40)), 10))
    means = x.view(4, 10, IN.dim)[..., :2].mean(1)
    assert torch.allclose(norm.running_mean, means.mean(0), atol=1e-6)
    assert norm.momentum == 0.1 and int(norm.num_batches_tracked) == 4 and not norm.training
    again = norm.running_mean.clone()
    refresh_norms(norm, [x[:10], x[10:20], x[20:30], x[30:]])
    assert torch.allclose(norm.running_mean, again, atol=1e-6)


def test_a_refreshed_network_evaluates_as_it_trains():
    """With one batch the averages are its own statistics, with the weights as they are now, and without dropout."""
    loader = DataLoader(graphs(), 6)
    batch = next(iter(loader))
    net = MeshUNet(IN, IN, channels=2, order=1, blocks=(2,), norm="batch", dropout=0.5).double().train()
    batch.x = batch.x.double()
    net(batch.x, batch)
    randomise(net)
    before = net.eval()(batch.x, batch)
    net.train()
    refresh_norms(net, [batch])
    assert all(m.training for m in net.modules())
    out = net.eval()(batch.x, batch)
    for module in net.modules():
        if isinstance(module, FieldNorm):
            module.train()
    assert (net(batch.x, batch) - out).abs().max() < 1e-12 < 1e-2 < (before - out).abs().max()


def test_refresh_takes_images_and_calls_of_yours():
    images = torch.rand(6, 1, 8, 8)
    net = MobiusCNN("mixed", 3, widths=(1, 1), kernel_size=3)
    refresh_norms(net, Rows(TensorDataset(images, torch.zeros(6)), 3))
    assert int(net.head[0].num_batches_tracked) == 2 and net.head[0].running_mean.abs().max() > 0
    sphere = StaticGraph(geometry.icosphere(1, rings=1).to_graph().float())
    x = torch.randn(4, 42, IN.dim)
    net = MeshUNet(IN, IN, channels=2, order=1, blocks=(1,), norm="batch").eval()
    refresh_norms(net, [(x, None)], lambda net, batch: net(batch[0], sphere))
    assert int(next(m for m in net.modules() if isinstance(m, FieldNorm)).num_batches_tracked) == 1


def test_refresh_without_averages_or_batches():
    net = MeshUNet(IN, IN, channels=2, order=1, blocks=(1,), norm="layer")
    state = {key: value.clone() for key, value in net.state_dict().items()}
    refresh_norms(net, iter(()))  # nothing to do, nothing read
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    norm = FieldNorm(IN).train()
    norm(torch.randn(20, IN.dim))
    before = norm.running_mean.clone()
    with pytest.raises(ValueError, match="got none"):
        refresh_norms(norm, [])
    assert torch.equal(norm.running_mean, before) and norm.momentum == 0.1 and norm.training
