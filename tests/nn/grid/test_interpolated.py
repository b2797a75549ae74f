"""SE(2,N) with interpolated kernels: the reference numbers, quarter turns, what is approximate."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gaugenet import FieldType, groups
from gaugenet.kernels import square_taps
from gaugenet.kernels.published.rotated import rotation_operators
from gaugenet.nn import GridConv, GroupPool, InterpolatedConv, OnGrid
from tests.helpers.networks import randomise


def load(shared, order):
    arrays = np.load(shared / "oracles" / "seeds" / "se2cnn" / "se2cnn.npz")
    start = f"N{order}_"
    return {name[len(start) :]: torch.from_numpy(arrays[name]) for name in arrays.files if name.startswith(start)}


def layers(oracle, order):
    """The lifting and the group convolution of the oracle, with its weights."""
    group = groups.Cyclic(order)
    *_, c0, c1 = oracle["w0"].shape
    types = [FieldType(group, f"{c0}x0"), *(FieldType(group, f"{w.shape[-1]}xregular") for w in (oracle["w0"], oracle["w1"]))]
    convs = [InterpolatedConv(a, b, oracle["w0"].shape[0], 0, bias=False) for a, b in pairwise(types)]
    assert c1 == types[1].blocks[0][0]
    with torch.no_grad():
        for conv, w in zip(convs, (oracle["w0"], oracle["w1"])):
            conv.weight.copy_(w.transpose(-1, -2))
    return convs


def relative(ours, theirs):
    return float((ours - theirs).detach().abs().max() / theirs.abs().max())


@pytest.mark.parametrize("order", [4, 8])
def test_oracle(shared, order):
    oracle = load(shared, order)
    lift, conv = layers(oracle, order)
    kernel0 = lift.kernel().unflatten(0, (order, -1)).permute(0, 3, 4, 2, 1)
    assert relative(kernel0, oracle["K0"]) < 1e-5
    kernel1 = conv.kernel().unflatten(1, (order, -1)).unflatten(0, (order, -1)).permute(0, 4, 5, 2, 3, 1)
    assert relative(kernel1, oracle["K1"]) < 1e-5
    y0 = lift(oracle["x"].movedim(-1, 1))  # channels: rotations, then copies
    assert relative(y0.movedim(1, -1).unflatten(-1, (order, -1)), oracle["y0"]) < 1e-5
    y1 = conv(y0.relu())
    assert relative(y1.movedim(1, -1).unflatten(-1, (order, -1)), oracle["y1"]) < 1e-5
    projected = OnGrid(GroupPool(conv.out_type))(y1)
    assert relative(projected.movedim(1, -1), oracle["proj"]) < 1e-5


@pytest.mark.parametrize("order", [4, 8])
def test_oracle_operators(shared, order):
    operators = load(shared, order)["rotmat"].numpy()
    ours = rotation_operators(int(operators.shape[1] ** 0.5), order).reshape(operators.shape)
    assert abs(ours - operators).max() < 1e-5


def test_operators_turn_counter_clockwise():
    """A linear function x is turned to R x where nothing leaves the square; quarter turns are permutations."""
    operators = rotation_operators(5, 8, disk=False)
    taps = square_taps(5)
    inner = np.linalg.norm(taps, axis=1) <= 2
    for n, operator in enumerate(operators):
        a = 2 * np.pi * n / 8
        turned = operator @ taps[:, 0]
        assert np.allclose(turned[inner], (taps @ [np.cos(a), np.sin(a)])[inner])
    assert set(operators[::2].ravel()) == {0.0, 1.0}
    cut = rotation_operators(5, 8)
    assert (cut[0].sum(1) == 0).sum() == 4 and np.array_equal(cut[:, inner], operators[:, inner])


@pytest.mark.parametrize("order", [1, 2, 4, 8, 12])
@pytest.mark.parametrize("fields", ["2x0", "2xregular"])
def test_quarter_turns(order, fields, dtype):
    """Exact for the turns by 90 degrees that the group has, whatever the group."""
    group = groups.Cyclic(order)
    a, b = FieldType(group, fields), FieldType(group, "3xregular")
    conv = randomise(InterpolatedConv(a, b, 5)).to(dtype)
    x = torch.randn(2, a.dim, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    for n in range(order):
        if 4 * n % order:
            continue
        g, quarters = group.elements[n].to(dtype), 4 * n // order
        turned = a.transform(g, torch.rot90(x, quarters, (2, 3)).movedim(1, -1)).movedim(-1, 1)
        expected = b.transform(g, torch.rot90(conv(x), quarters, (2, 3)).movedim(1, -1)).movedim(-1, 1)
        assert torch.allclose(conv(turned), expected, **{torch.float64: {"atol": 1e-10}, torch.float32: {"atol": 1e-4}}[dtype])


def test_complete_on_a_disk_for_quarter_turns():
    """N = 4: the kernels are those of GridConv's complete basis, one free weight a tap of the disk."""
    group = groups.Cyclic(4)
    a, b = FieldType(group, "1xregular"), FieldType(group, "1xregular")
    conv = randomise(InterpolatedConv(a, b, 3, bias=False)).double()
    grid = GridConv(a, b, 3, padding=None, bias=False).double()
    basis = torch.stack([_kernel_of(grid, n) for n in range(grid.weight.numel())])
    fit = torch.linalg.lstsq(basis.flatten(1).T, conv.kernel().flatten()[:, None]).solution
    assert torch.allclose(basis.flatten(1).T @ fit, conv.kernel().flatten()[:, None], rtol=1e-10, atol=1e-10)
    assert conv.weight.numel() == grid.weight.numel() == 36


def _kernel_of(conv, n):
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[n] = 1
        return conv.kernel()


def test_only_approximate_between_quarter_turns():
    """A smooth picture turned by 45 degrees: near, but not exact."""
    group = groups.Cyclic(8)
    a, b = FieldType(group, "1x0"), FieldType(group, "2xregular")
    conv = randomise(InterpolatedConv(a, b, 7, bias=False)).double()
    with torch.no_grad():  # a smooth kernel
        conv.weight.copy_(F.avg_pool2d(conv.weight.permute(2, 3, 0, 1), 3, 1, 1).permute(2, 3, 0, 1))
    c = torch.arange(41, dtype=torch.float64) - 20
    y, x = torch.meshgrid(-c, c, indexing="ij")

    def picture(x, y):
        return torch.exp(-((x - 3) ** 2 + 2 * (y - 1) ** 2) / 40) * (1 + 0.1 * x)

    s = 0.5**0.5
    one, two = picture(x, y), picture(s * (x + y), s * (y - x))  # turned counter-clockwise
    out, turned = conv(one[None, None])[0, :, 20, 20], conv(two[None, None])[0, :, 20, 20]
    expected = b.transform(group.elements[1], out)
    error = (turned - expected).norm() / expected.norm()
    assert 1e-3 < error < 0.1
    assert (turned - out).norm() / expected.norm() > 2 * error


def test_arguments():
    group = groups.Cyclic(4)
    a, b = FieldType(group, "2x0"), FieldType(group, "3xregular")
    x = torch.randn(1, 2, 9, 9)
    assert InterpolatedConv(a, b, 5)(x).shape == (1, 12, 9, 9)
    assert InterpolatedConv(a, b, 5, 0, stride=2)(x).shape == (1, 12, 3, 3)
    assert InterpolatedConv(a, b, 3, (1, 0))(x).shape == (1, 12, 9, 7)
    assert InterpolatedConv(a, b, 5, disk=False).kernel()[:, :, 0, 0].abs().min() > 0
    assert InterpolatedConv(a, b, 5).kernel()[:, :, 0, 0].abs().max() == 0
    assert InterpolatedConv(a, b, bias=False).bias is None
    biased = InterpolatedConv(a, b)
    with torch.no_grad():
        biased.bias.value.fill_(2.0)
    assert torch.allclose(biased(0 * x), torch.full((), 1.0))  # the unit invariant vector of a regular field: 1/2 everywhere
    with pytest.raises(ValueError, match="odd"):
        InterpolatedConv(a, b, 4)
    for bad in (FieldType(groups.SO2(), "2x0"), FieldType(groups.Dihedral(4), "2x0"), FieldType(group, "1x0 + 1xregular")):
        with pytest.raises(TypeError):
            InterpolatedConv(bad, b)
    with pytest.raises(TypeError):
        InterpolatedConv(a, FieldType(group, "1x1"))
    with pytest.raises(ValueError, match="shape"):
        biased(torch.randn(1, 3, 9, 9))
