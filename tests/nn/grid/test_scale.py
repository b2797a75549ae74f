"""Scale-steerable networks: the authors' numbers, dilations by a whole factor, the truncation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gaugenet import FieldType, groups
from gaugenet.kernels.published.hermite import hermite_gaussians
from gaugenet.nn import GroupPool, OnGrid, ScaleConv
from tests.helpers.networks import randomise


def load(shared):
    arrays = np.load(shared / "oracles" / "seeds" / "sesn" / "sesn.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def layer_of(oracle, kind, number, scales=None):
    group = groups.Scaling(tuple(oracle["scales"].tolist() if scales is None else scales))
    w, b = oracle[f"{kind}_w{number}"], oracle[f"{kind}_b{number}"]
    lifting = w.dim() == 3
    conv = ScaleConv(
        FieldType(group, f"{w.shape[1]}x{'0' if lifting else 'regular'}"),
        FieldType(group, f"{w.shape[0]}xregular"),
        int(oracle[f"{kind}_size"]),
        effective_size=int(oracle[f"{kind}_effective_size"]),
        scale_size=1 if lifting else w.shape[2],
        kind=kind,
    )
    with torch.no_grad():
        conv.weight.copy_(w[:, :, None] if lifting else w)
        conv.bias.value.copy_(b * len(group.scales) ** 0.5)  # the unit invariant vector is S^(-1/2) everywhere
    return conv


def fields(x, count):
    """(B, S C, H, W) -> the published (B, C, S, H, W)."""
    return x.unflatten(1, (count, -1)).transpose(1, 2)


def relative(ours, theirs):
    return float((ours - theirs).detach().abs().max() / theirs.abs().max())


@pytest.mark.parametrize("kind", ["A", "B"])
def test_oracle(shared, kind):
    oracle = load(shared)
    count = len(oracle["scales"])
    lift, *convs = (layer_of(oracle, kind, number) for number in range(3))
    assert relative(lift.basis, oracle[f"{kind}_basis"]) < 1e-5
    y0 = lift(oracle[f"{kind}_x"])
    assert relative(fields(y0, count), oracle[f"{kind}_y0"]) < 1e-5
    outputs = [conv(y0.relu()) for conv in convs]
    for number, y in enumerate(outputs, start=1):
        assert relative(fields(y, count), oracle[f"{kind}_y{number}"]) < 1e-5
    projected = OnGrid(GroupPool(convs[0].out_type))(outputs[0])
    assert relative(projected, oracle[f"{kind}_proj"]) < 1e-5


def test_oracle_dilated_pair(shared):
    """The image zoomed by 2 meets the field moved to the next sampled scale: up to discretisation, as published (2 %)."""
    oracle = load(shared)
    scales = [1.0, 2.0]
    group = groups.Scaling(tuple(scales))
    w, size = oracle["equiv_w"], int(oracle["A_size"])
    conv = ScaleConv(
        FieldType(group, f"{w.shape[1]}x0"), FieldType(group, f"{w.shape[0]}xregular"), size, effective_size=7, bias=False
    )
    assert oracle["equiv_y1"].shape[2] == len(scales)
    with torch.no_grad():
        conv.weight.copy_(w[:, :, None])
    outputs = [fields(conv(oracle[f"equiv_x{n}"]), len(scales)) for n in (1, 2)]
    for n, y in enumerate(outputs, start=1):
        assert relative(y, oracle[f"equiv_y{n}"]) < 1e-5
    middle = slice(24, 73)  # the centre of 97 pixels, every second of which shows the unzoomed image
    there, zoomed = outputs[0][0, :, 0, middle, middle], outputs[1][0, :, 1, ::2, ::2]
    inner = slice(8, -8)
    error = (zoomed - there)[:, inner, inner].norm() / there[:, inner, inner].norm()
    assert error < 0.05
    assert (zoomed - outputs[0][0, :, 1, middle, middle])[:, inner, inner].norm() / there.norm() > 2 * error


@pytest.mark.parametrize("scale_size", [1, 2, 3])
def test_grouped_form_equals_the_whole_kernel(scale_size):
    group = groups.Scaling((1.0, 1.5, 2.25))
    a, b = FieldType(group, "2xregular"), FieldType(group, "3xregular")
    conv = randomise(ScaleConv(a, b, 7, effective_size=3, scale_size=scale_size)).double()
    x = torch.randn(2, a.dim, 9, 9, dtype=torch.float64)
    assert torch.allclose(conv(x), F.conv2d(x, conv.kernel(), conv.bias.row(), padding=3), rtol=1e-12, atol=1e-12)


def test_moves_along_the_scales(dtype):
    """A field moved by one scale, with its kernels: exact for what does not leave the sequence."""
    group = groups.Scaling((1.0, 2.0, 4.0, 8.0))
    a = FieldType(group, "2xregular")
    conv = randomise(ScaleConv(a, a, 1, effective_size=1, scale_size=2)).to(dtype)
    x = torch.randn(3, a.dim, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)
    up = (2 * torch.eye(2)).to(dtype)

    def move(field):
        return a.transform(up, field.movedim(1, -1)).movedim(-1, 1)

    with torch.no_grad():  # one pixel: every scale has the kernel of the first but for the factor of the Gaussian
        conv.basis.fill_(1.0)
    got, expected = conv(move(x)).unflatten(1, (4, 2)), conv(x).unflatten(1, (4, 2))
    close = {"atol": 1e-10 if dtype == torch.float64 else 1e-4}
    assert torch.allclose(got[:, 1:3], expected[:, :2], **close)
    assert not torch.allclose(got[:, 3], expected[:, 2], **close)  # reads the scale that has left


@torch.no_grad()
def test_deep_networks_dilate_up_to_the_truncation():
    """Lifting, a convolution over two scales, one more layer: an image zoomed by 2 moves what no kernel read beyond the end.

    A field at scale i of S = 3 read the scales i and i + 1, of the zoomed image those at i + 1 and i + 2: i = 0 is whole (up to
    the sampling of kernels on pixels, 4 %), i = 1 has lost half of what it reads.
    """
    torch.manual_seed(0)
    group = groups.Scaling((1.0, 2.0, 4.0))
    scalars, fields_ = FieldType(group, "1x0"), FieldType(group, "2xregular")
    options = {"effective_size": 3, "bias": False}  # a bias would leave something at the border
    lift = ScaleConv(scalars, fields_, 25, **options)
    convs = [ScaleConv(fields_, fields_, 25, scale_size=k, **options) for k in (2, 1)]
    net = torch.nn.Sequential(lift, torch.nn.ReLU(), convs[0], torch.nn.ReLU(), convs[1]).double()
    middle = 48
    axis = torch.arange(2 * middle + 1, dtype=torch.float64) - middle
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    places, values = 8 * torch.randn(6, 2).clamp(-1, 1), torch.randn(6)

    def image(zoom):
        blobs = [
            v * torch.exp(-((x / zoom - a) ** 2 + (y / zoom - b) ** 2) / 32)
            for v, (a, b) in zip(values.tolist(), places.tolist())
        ]
        return sum(blobs)[None, None]

    plain, zoomed = (net(image(zoom)).unflatten(1, (3, 2))[0] for zoom in (1.0, 2.0))
    plain, zoomed = plain[..., middle // 2 : -middle // 2, middle // 2 : -middle // 2], zoomed[..., ::2, ::2]
    errors = [float((zoomed[i + 1] - plain[i]).norm() / plain[i].norm()) for i in (0, 1)]
    assert errors[0] < 0.05 and errors[1] > 10 * errors[0]
    assert (zoomed[0] - plain[0]).norm() > 5 * errors[0] * plain[0].norm()


def test_bases():
    a = hermite_gaussians(9, (1.0, 2.0), 3)
    assert a.shape == (9, 2, 9, 9) and np.allclose((a[:, 0] ** 2).sum((1, 2)), 1)
    # psi at the scale 2 sigma, at every second pixel, is psi at sigma, divided by 4
    wide = hermite_gaussians(33, (1.0, 2.0), 3)
    assert np.allclose(4 * wide[:, 1, ::2, ::2][:, 4:13, 4:13], wide[:, 0, 12:21, 12:21], rtol=1e-12, atol=1e-12)
    b = hermite_gaussians(9, (1.0, 2.0), 5, "B")
    assert b.shape[0] == 25 and not np.allclose(b[0], b[15])
    assert not np.allclose(hermite_gaussians(9, (1.0, 2.0), 5, "B", shrink=1.2)[15:], b[15:])
    assert not np.allclose(hermite_gaussians(9, (1.0, 2.0), 5, "B", max_order=2)[6:], b[6:])
    assert np.abs(a[:, 0, :2]).max() == 0 < np.abs(a[:, 0, 2:7, 2:7]).max()  # 5 of the 9 pixels at the smaller scale
    for bad in (
        {"size": 8},
        {"scales": (0.0, 1.0)},
        {"effective_size": 0},
        {"shrink": 1.0},
        {"kind": "C"},
        {"size": 3, "scales": (1.0, 4.0)},
    ):
        with pytest.raises(ValueError):
            hermite_gaussians(**{"size": 9, "scales": (1.0, 2.0), "effective_size": 3, **bad})


def test_arguments():
    group = groups.Scaling((1.0, 2.0))
    a, b = FieldType(group, "2x0"), FieldType(group, "3xregular")
    x = torch.randn(1, 2, 15, 15)
    assert ScaleConv(a, b, 7, effective_size=3)(x).shape == (1, 6, 15, 15)
    assert ScaleConv(a, b, 7, 0, effective_size=3, stride=3)(x).shape == (1, 6, 3, 3)
    assert ScaleConv(a, b, 7, effective_size=3, bias=False).bias is None
    kinds = [
        ScaleConv(a, b, 7, effective_size=3, kind="B", shrink=s, max_order=m).basis for s, m in ((1.4, 1), (1.2, 1), (1.4, 2))
    ]
    assert not torch.equal(kinds[0], kinds[1]) and not torch.equal(kinds[0], kinds[2])
    assert ScaleConv(a, b).weight.shape == (3, 2, 1, 49)
    with pytest.raises(ValueError, match="scale_size"):
        ScaleConv(a, b, 7, effective_size=3, scale_size=2)
    with pytest.raises(ValueError, match="scale_size"):
        ScaleConv(b, b, 7, effective_size=3, scale_size=3)
    for bad in (FieldType(groups.Cyclic(4), "2x0"), FieldType(groups.Scaling((1.0, 3.0)), "2x0")):
        with pytest.raises(TypeError):
            ScaleConv(bad, b)
    with pytest.raises(TypeError, match="one block"):
        ScaleConv(FieldType(group, "1x0 + 1xregular"), b)
