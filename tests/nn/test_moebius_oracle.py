"""Against the published layers on the Moebius strip: MobiusCNNs' outputs in oracles/sphere/mobius.npz."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.data import moebius_shift
from gaugenet.models import MobiusCNN
from gaugenet.nn import GridConv, GridPadding, GridPool, NormNonlinearity, OnGrid

FLIP = groups.Reflection()
NAMES = {"triv": "0", "sign": "0-", "reg": "regular"}
NETS = {"scalar": "trivial", "signflip": "sign", "regular": "regular", "irrep": "irrep", "mixed": "mixed"}


@pytest.fixture(scope="module")
def oracle(shared):
    with np.load(shared / "oracles" / "sphere" / "mobius.npz") as data:
        return {name: torch.from_numpy(data[name]) for name in data.files}


class Published:
    """Multiplicities (trivial, sign, regular) and the order of channels: both components of a regular copy side by side."""

    def __init__(self, fields):
        self.counts = dict(zip(NAMES, fields.tolist()))
        self.type = FieldType(FLIP, [(n, NAMES[kind]) for kind, n in self.counts.items() if n])
        scalars = self.counts["triv"] + self.counts["sign"]
        regular = torch.arange(2 * self.counts["reg"]).view(-1, 2).t().flatten()  # component-major
        self.order = torch.cat([torch.arange(scalars), scalars + regular])

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


@pytest.fixture(scope="module")
def conv(oracle, fields):
    """A GridConv whose free weights are solved for, block by block, from the published parameters.

    Of the expanded kernel only what the published parameters name is used: the first rows, of the first component.
    """
    a, b = fields
    size = oracle["conv_kernel"].shape[-1]
    conv = GridConv(a.type, b.type, size, padding=None, padding_mode="moebius").double()
    count = conv.weight.numel()
    with torch.no_grad():
        kernels = torch.stack([conv.expansion(row) for row in torch.eye(count, dtype=torch.float64)])
    kernels = kernels.permute(0, 3, 2, 1).unflatten(3, (size, size))  # (weights, out, in, k, k)
    kernels = b.theirs(a.theirs(kernels, 2), 1)
    columns, values = [], []
    ends_in, ends_out = (np.cumsum([0, f.counts["triv"], f.counts["sign"], 2 * f.counts["reg"]]) for f in (a, b))
    for (i, x), (o, y) in product(enumerate(NAMES), enumerate(NAMES)):
        weights = oracle.get(f"conv_weights_{x}2{y}")
        if weights is None:
            continue
        step_in = 2 if x == "reg" and y != "reg" else 1
        step_out = 2 if y == "reg" else 1
        part = kernels[:, ends_out[o] : ends_out[o + 1] : step_out, ends_in[i] : ends_in[i + 1] : step_in, : weights.shape[2]]
        columns.append(part.flatten(1))
        values.append(weights.flatten())
    matrix, wanted = torch.cat(columns, 1).t(), torch.cat(values)
    assert matrix.shape == (count, count)  # as many parameters as published
    with torch.no_grad():
        conv.weight.copy_(torch.linalg.solve(matrix, wanted))
        copies = torch.cat([oracle["conv_bias_triv"], 2**0.5 * oracle["conv_bias_reg"]])  # along unit vectors
        conv.bias.value.copy_(copies)
    return conv


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


@pytest.mark.parametrize("published", NETS)
def test_networks(oracle, published):
    """The number of parameters, and the logits after a full turn (the published weights are not among the oracles)."""
    torch.manual_seed(0)
    net = MobiusCNN(NETS[published]).double().eval()
    assert sum(p.numel() for p in net.parameters()) == int(oracle[f"net_{published}_nparams"])
    x = oracle[f"net_{published}_x"]
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))  # biases too
        logits = net(x)
        close(net(moebius_shift(x, x.shape[-1])), logits)
    assert float(logits.std()) > 1e-3
