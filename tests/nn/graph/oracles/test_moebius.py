"""Against the published layers on the Moebius strip: MobiusCNNs' outputs in oracles/sphere/mobius.npz."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.data import moebius_shift
from gaugenet.kernels import TapBasis, square_taps
from gaugenet.models import MobiusCNN
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


def published_shape(a, b, size, copies_in, copies_out):
    """Published parameters of a pair of field types: (out, in, rows, k), the first rows only where the others follow."""
    rows = size if "reg" in (a, b) else size // 2 + (a == b)
    return copies_out, copies_in * (2 if a == b == "reg" else 1), rows, size


def set_weights(conv, published):
    """The free weights of a GridConv from published ones {(in, out): (out, in, rows, k)}.

    Of a kernel the parameters name the first rows, of the first component of the output, and of the input too unless
    both are regular (then its components alternate with the copies). These numbers fix the kernel: a linear system.
    """
    size, parts = conv.kernel_size, []
    for (_, rep_in), (_, rep_out) in product(conv.in_type.blocks, conv.out_type.blocks):
        weights = published[KINDS[rep_in.name], KINDS[rep_out.name]]
        named = 2 if rep_in.dim == rep_out.dim == 2 else 1
        basis = TapBasis(rep_in, rep_out, square_taps(size)).coefficients.unflatten(-1, (size, size))
        matrix = basis[:, 0, :named, : weights.shape[2]].flatten(1).t()
        assert matrix.shape == (len(basis), len(basis))  # as many parameters as published
        values = weights.unflatten(1, (-1, named)).permute(2, 3, 4, 1, 0)  # (component, row, column, in, out)
        parts.append(torch.linalg.solve(matrix, values.flatten(3).flatten(0, 2)).flatten())
    with torch.no_grad():
        conv.weight.copy_(torch.cat(parts))


@pytest.fixture(scope="module")
def conv(oracle, fields):
    a, b = fields
    conv = GridConv(a.type, b.type, oracle["conv_kernel"].shape[-1], padding=None, padding_mode="moebius").double()
    set_weights(conv, {(x, y): oracle[f"conv_weights_{x}2{y}"] for x, y in product(NAMES, NAMES)})
    with torch.no_grad():  # one number a copy, along unit vectors
        conv.bias.value.copy_(torch.cat([oracle["conv_bias_triv"], 2**0.5 * oracle["conv_bias_reg"]]))
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


def published_weights(net, seed):
    """Fresh published weights, drawn in their order (biases are zero): He's law with the mean of both fans."""
    generator = torch.Generator().manual_seed(seed)
    for conv in (layer for layer in net.body if isinstance(layer, GridConv)):
        ends = [
            dict.fromkeys(NAMES, 0) | {KINDS[rep.name]: mul for mul, rep in t.blocks} for t in (conv.in_type, conv.out_type)
        ]
        std = 2 / (conv.kernel_size**2 * (conv.in_type.dim + conv.out_type.dim)) ** 0.5
        drawn = {}
        for a, b in ORDER:
            if ends[0][a] and ends[1][b]:
                shape = published_shape(a, b, conv.kernel_size, ends[0][a], ends[1][b])
                drawn[a, b] = std * torch.randn(shape, generator=generator, dtype=torch.float64)
        set_weights(conv, drawn)
    for layer in (layer for layer in net.head if isinstance(layer, torch.nn.Linear)):
        bound = layer.in_features**-0.5
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)


@pytest.mark.parametrize("published", NETS)
def test_networks(oracle, published):
    """Parameters, logits with the published initial weights (seed 4), and after a full turn."""
    net = MobiusCNN(NETS[published]).double().eval()
    assert sum(p.numel() for p in net.parameters()) == int(oracle[f"net_{published}_nparams"])
    published_weights(net, seed=4)
    x = oracle[f"net_{published}_x"]
    with torch.no_grad():
        close(net(x), oracle[f"net_{published}_logits"])
        turn = moebius_shift(x, x.shape[-1])
        close(net(turn), oracle[f"net_{published}_logits_shift_full_turn28"])
        for p in net.parameters():  # biases too
            p.add_(0.1 * torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(0)))
        close(net(turn), net(x))
