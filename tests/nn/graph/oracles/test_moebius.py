"""Against the published layers on the Moebius strip: MobiusCNNs' outputs in oracles/sphere/mobius.npz."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import groups
from gaugenet.data import moebius_shift
from gaugenet.models import MobiusCNN
from gaugenet.models.published import moebius_channels, moebius_cnn, moebius_conv, moebius_fields
from gaugenet.nn import GridConv, GridPadding, GridPool, NormNonlinearity, OnGrid

FLIP = groups.Reflection()
NAMES = {"triv": "0", "sign": "0-", "reg": "regular"}
KINDS = {name: kind for kind, name in NAMES.items()}
# The order in which the published layers draw their parameters.
ORDER = [("triv", "triv"), ("sign", "sign"), ("triv", "sign"), ("sign", "triv"), ("triv", "reg"), ("sign", "reg")]
ORDER += [("reg", "triv"), ("reg", "sign"), ("reg", "reg")]
NETS = {"scalar": "trivial", "signflip": "sign", "regular": "regular", "irrep": "irrep", "mixed": "mixed"}


@pytest.fixture(scope="module")
def oracle(shared):
    with np.load(shared / "oracles" / "sphere" / "mobius.npz") as data:
        return {name: torch.from_numpy(data[name]) for name in data.files}


class Published:
    """Multiplicities (trivial, sign, regular) and the order of channels: both components of a regular copy side by side."""

    def __init__(self, fields):
        self.counts = dict(zip(NAMES, fields.tolist()))
        self.type, self.order = moebius_fields(fields.tolist()), moebius_channels(fields.tolist())

    def ours(self, x, dim=1):
        return x.index_select(dim, self.order)

    def theirs(self, x, dim=1):
        return x.index_select(dim, self.order.argsort())


@pytest.fixture(scope="module")
def fields(oracle):
    return Published(oracle["in_fields"]), Published(oracle["out_fields"])


def close(a, b):
    assert a.shape == b.shape
    assert float((a - b).detach().abs().max()) <= 1e-12 * float(b.abs().max())


def published_shape(a, b, size, copies_in, copies_out):
    """Published parameters of a pair of field types: (out, in, rows, k), the first rows only where the others follow."""
    rows = size if "reg" in (a, b) else size // 2 + (a == b)
    return copies_out, copies_in * (2 if a == b == "reg" else 1), rows, size


@pytest.fixture(scope="module")
def conv(oracle, fields):
    a, b = fields
    state = {
        name.removeprefix("conv_"): value for name, value in oracle.items() if name.startswith(("conv_weights", "conv_bias_"))
    }
    return moebius_conv(state, tuple(a.counts.values()), tuple(b.counts.values())).double()


def test_kernel_and_bias(oracle, fields, conv):
    a, b = fields
    close(b.theirs(a.theirs(conv.kernel(), 1), 0), oracle["conv_kernel"])
    close(b.theirs(conv.bias.row(), 0), oracle["conv_bias"])


def test_transport_padding(oracle, fields):
    a, _ = fields
    x, padded = oracle["x"], oracle["transport_pad"]
    pad = [(m - n) // 2 for m, n in zip(padded.shape[2:], x.shape[2:])]
    moved = GridPadding(a.type, pad, "moebius").double()(a.ours(x))
    assert torch.equal(a.theirs(moved), padded)


def test_convolution(oracle, fields, conv):
    a, b = fields
    close(b.theirs(conv(a.ours(oracle["x"]))), oracle["y_conv"])


def test_nonlinearity(oracle, fields):
    _, b = fields
    act = NormNonlinearity(b.type, "elu", eps=1e-8, smooth=False).double()
    with torch.no_grad():
        act.bias.copy_(oracle["nonlin_bias_sign"].flatten())
    close(b.theirs(OnGrid(act)(b.ours(oracle["y_conv"]))), oracle["y_nonlin"])


def test_pooling(oracle, fields):
    _, b = fields
    close(b.theirs(GridPool(b.type, padding_mode="moebius")(b.ours(oracle["y_nonlin"]))), oracle["y_pool"])


def test_isometries(oracle, fields, conv):
    a, b = fields
    x = a.ours(oracle["x"])
    for shift in (1, 5, 12, 17):
        moved = moebius_shift(x, shift, a.type)
        assert torch.equal(a.theirs(moved), oracle[f"isom_x_shift{shift}"])
        expected = moebius_shift(b.ours(oracle["y_conv"]), shift, b.type)
        close(b.theirs(conv(moved)), oracle[f"isom_y_shift{shift}"])
        close(conv(moved), expected)


def test_gauge_action(oracle, fields):
    a, _ = fields
    flip = FLIP.elements[1]
    x = oracle["x"]
    action = a.type.transform(flip, a.ours(x).movedim(1, -1)).movedim(-1, 1)
    assert torch.equal(a.theirs(action), oracle["gauge_x"])


def published_state(net, seed):
    """Fresh published weights by their names, drawn in their order (biases are zero): He's law with the mean of both fans."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for k, conv in enumerate(net.body):
        if isinstance(conv, OnGrid):
            signs = sum(mul for mul, rep in conv.in_type.blocks if rep.is_sign)
            state |= {f"mobius_cnn.{k}.bias_sign": torch.zeros(1, signs, 1, 1)} if signs else {}
        if not isinstance(conv, GridConv):
            continue
        ends = [
            dict.fromkeys(NAMES, 0) | {KINDS[rep.name]: mul for mul, rep in t.blocks} for t in (conv.in_type, conv.out_type)
        ]
        std = 2 / (conv.kernel_size**2 * (conv.in_type.dim + conv.out_type.dim)) ** 0.5
        for a, b in ORDER:
            if ends[0][a] and ends[1][b]:
                shape = published_shape(a, b, conv.kernel_size, ends[0][a], ends[1][b])
                drawn = std * torch.randn(shape, generator=generator, dtype=torch.float64)
                state[f"mobius_cnn.{k}.weights_{a}2{b}"] = drawn
        state |= {f"mobius_cnn.{k}.bias_{b}": torch.zeros(ends[1][b]) for b in ("triv", "reg") if ends[1][b]}
    for k, layer in enumerate(net.head):
        state |= {f"classifier.{k}.{name}": value for name, value in layer.state_dict().items()}
        if isinstance(layer, torch.nn.Linear):
            bound = layer.in_features**-0.5
            for name, value in layer.state_dict().items():
                fresh = torch.empty(value.shape, dtype=torch.float64)
                state[f"classifier.{k}.{name}"] = fresh.uniform_(-bound, bound, generator=generator)
    return state


@pytest.mark.parametrize("published", NETS)
def test_networks(oracle, published):
    """Parameters, logits with the published initial weights (seed 4), and after a full turn."""
    net = MobiusCNN(NETS[published]).double().eval()
    assert sum(p.numel() for p in net.parameters()) == int(oracle[f"net_{published}_nparams"])
    net = moebius_cnn(published_state(net, seed=4), published).double().eval()
    x = oracle[f"net_{published}_x"]
    with torch.no_grad():
        close(net(x), oracle[f"net_{published}_logits"])
        turn = moebius_shift(x, x.shape[-1])
        close(net(turn), oracle[f"net_{published}_logits_shift_full_turn28"])
        for p in net.parameters():  # biases too
            p.add_(0.1 * torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(0)))
        close(net(turn), net(x))
