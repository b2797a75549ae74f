"""MobiusCNN: gauge independence by its symmetries, its recipes and arguments; the plain CNN is not independent."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.data import moebius_shift
from gaugenet.models import MobiusCNN, StripCNN
from gaugenet.models.moebius import RECIPES

SMALL = {"widths": (1, 2, 2, 3, 3)}


def noisy(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random weights, biases and running averages."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
        for m in net.modules():
            if isinstance(m, torch.nn.BatchNorm1d):
                m.running_mean.copy_(torch.randn(m.num_features, generator=generator))
    return net


def strip(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("fields", [*RECIPES, "1x0 + 2xregular", FieldType(groups.Dihedral(4), "1x0 + 1x1")], ids=str)
def test_sees_no_shift_along_the_strip(fields, dtype, tolerance):
    torch.manual_seed(0)
    net, x = noisy(MobiusCNN(fields, **SMALL)).to(dtype).eval(), strip(2, 1, 12, 16).to(dtype)
    logits = net(x)
    assert logits.shape == (2, 10) and logits.std() > 1e-3
    for shift in (4, 12, 16, 20):  # two poolings: multiples of four; 16 is a full turn
        change = (net(moebius_shift(x, shift)) - logits).abs().max() / logits.abs().max()
        assert change.item() < tolerance
    # The last convolution sees pixels that are blocks of four: a shift by one is none of its symmetries.
    assert (net(moebius_shift(x, 1)) - logits).abs().max() / logits.abs().max() > 10 * tolerance


@pytest.mark.parametrize("mode", ["moebius", "zeros"])
def test_the_plain_cnn_does(mode):
    torch.manual_seed(0)
    net, x = noisy(StripCNN(widths=(4, 4, 8, 8, 8), padding_mode=mode)).double().eval(), strip(2, 1, 12, 16)
    logits = net(x)
    assert (net(moebius_shift(x, 16)) - logits).abs().max() / logits.abs().max() > 1e-3


def test_arguments():
    torch.manual_seed(0)
    net = MobiusCNN("1xregular", 3, in_channels=2, widths=(2, 3), kernel_size=3, dropout=0.0)
    assert net.in_type == FieldType(groups.Reflection(), "2x0") and net(torch.randn(4, 2, 8, 8)).shape == (4, 3)
    types = [layer.out_type.dim for layer in net.body]
    assert types == [4, 4, 6, 6, 6, 64]
    x = torch.randn(4, 2, 8, 8)
    assert torch.equal(net.train()(x), net(x))  # dropout=0
    assert not torch.equal(*(MobiusCNN("1xregular", widths=(2, 3)).train()(x[:, :1]) for _ in range(2)))
    ring = MobiusCNN("1x0", widths=(2, 2), padding_mode=("zeros", "circular")).double().eval()
    y = strip(2, 1, 8, 8)
    assert torch.allclose(ring(y.roll(2, 3)), ring(y))
    plain = StripCNN(3, in_channels=2, widths=(2, 3), kernel_size=3, dropout=0.0)
    assert plain(x).shape == (4, 3) and plain.body[1].weight.shape == (2, 2, 3, 3) and torch.equal(plain(x), plain(x))
    with pytest.raises(ValueError, match="fancy"):
        MobiusCNN("fancy")


def test_published_number_of_channels():
    """All recipes have as many channels; the plain nets as many channels, or about as many weights."""
    nets = {name: MobiusCNN(name) for name in RECIPES}
    dims = {name: [layer.out_type.dim for layer in net.body if hasattr(layer, "kernel_size")] for name, net in nets.items()}
    assert all(d == [16, 32, 64, 128, 256, 64] for d in dims.values())
    assert [c.out_channels for c in StripCNN().body if isinstance(c, torch.nn.Conv2d)] == dims["regular"]


def test_trains_in_half_precision():
    torch.manual_seed(0)
    net, x = MobiusCNN("mixed", **SMALL), torch.randn(3, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = net(x)
    out.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
