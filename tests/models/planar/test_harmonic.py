"""Harmonic Networks: quarter turns, arguments, state."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gaugenet.models import HarmonicNetwork
from gaugenet.nn import stream_type
from tests.helpers.networks import randomise, with_statistics


def small(**options):
    return with_statistics(randomise(HarmonicNetwork(3, channels=(2, 2, 3), **options)))


@pytest.mark.parametrize("size", [16, 17])
def test_network_is_invariant_as_shipped(dtype, size):
    net = small().to(dtype).eval()
    x = torch.randn(2, 1, size, size, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for k in (1, 2, 3):
        error = (net(torch.rot90(x, k, (2, 3))) - net(x)).abs().max() / net(x).abs().max()
        assert error < (1e-10 if dtype == torch.float64 else 1e-4)


def test_network_arguments():
    x = torch.randn(2, 2, 16, 16)
    net = small(in_channels=2, max_order=2, kernel_size=3, rings=3)
    assert net(x).shape == (2, 3)
    assert net.body[0].kernel_size == 3 and net.body[0].rings == 3 and net.body[3].in_type == stream_type(2, 2)
    assert len(small(norm=None).body) == len(small().body) - 3 and small(norm="layer").body[1].layer.mode == "layer"
    assert len(small(pool=1).body) == len(small().body) - 1
    assert HarmonicNetwork(7)(torch.randn(1, 1, 16, 16)).shape == (1, 7)


def test_is_a_good_module():
    net, x = small().eval(), torch.randn(2, 1, 12, 12)
    keys = net.train().state_dict().keys()
    assert net.eval().state_dict().keys() == keys
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(x), net(x))
    torch._dynamo.reset()
    assert torch.allclose(torch.compile(net, fullgraph=True, backend="aot_eager")(x), net(x), atol=1e-5)
    torch._dynamo.reset()
    net(x).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    assert torch.allclose(net.double()(x.double()).float(), net.float()(x), atol=1e-4)
