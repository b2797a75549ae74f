"""Harmonic Networks: quarter turns, arguments, state."""

from __future__ import annotations

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
