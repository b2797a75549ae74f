"""HarmonicConv: the authors' numbers, quarter turns, its place among the SO(2)-steerable kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import groups
from gaugenet.kernels import SteerableBasis, square_taps
from gaugenet.kernels.published.circular_filters import circular_filters
from gaugenet.nn import HarmonicConv, MagnitudeNonlinearity, stream_type
from tests.helpers.networks import randomise

SO2 = groups.SO2()


def load(shared):
    arrays = np.load(shared / "oracles" / "seeds" / "hnets" / "hnet.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def streams(x, orders):
    """(B, 2 orders channels, H, W) -> (B, H, W, orders, complex, channels) of the complex conjugates, which are published."""
    z = x.movedim(1, -1).unflatten(-1, (orders, 2, -1))
    return z * torch.tensor([1.0, -1.0])[:, None]


def layer_of(oracle, name, in_order):
    order = int(oracle["max_order"])
    _, channels_in, channels_out = oracle[f"{name}_R0"].shape
    conv = HarmonicConv(
        channels_in,
        channels_out,
        int(oracle["kernel_size"]),
        in_order=in_order,
        out_order=order,
        rings=int(oracle["n_rings"]),
        padding=0,
    )
    with torch.no_grad():
        for m in range(order + 1):
            conv.radial[m] = oracle[f"{name}_R{m}"]
            conv.offset[m] = oracle[f"{name}_P{m}"].view(channels_in, channels_out)
    return conv


def relative(ours, theirs):
    return float((ours - theirs).detach().abs().max() / theirs.abs().max())


def test_oracle(shared):
    oracle = load(shared)
    order = int(oracle["max_order"])
    first, second = layer_of(oracle, "l1", None), layer_of(oracle, "l2", order)
    for name, conv in (("l1", first), ("l2", second)):
        real, imaginary = conv.filters()
        for m in range(order + 1):  # of negative orders they are the conjugates; the published ones are not used
            assert relative(real[m].permute(2, 3, 1, 0), oracle[f"{name}_Wre{m}"]) < 1e-5
            assert relative(-imaginary[m].permute(2, 3, 1, 0), oracle[f"{name}_Wim{m}"]) < 1e-5
    y1 = first(oracle["x"][:, :, :, 0, 0].movedim(-1, 1))
    assert relative(streams(y1, order + 1), oracle["y1"]) < 1e-5
    act = MagnitudeNonlinearity(y1.shape[1] // (2 * order + 2), order)
    with torch.no_grad():
        act.bias.copy_(oracle["bias1"].view(order + 1, -1))
    z1 = act(y1)
    assert relative(streams(z1, order + 1), oracle["z1"]) < 1e-5
    assert relative(streams(second(z1), order + 1), oracle["y2"]) < 1e-5


def test_oracle_rings(shared):
    """The resampling weights: the Fourier transform over the circle of what is stored."""
    oracle = load(shared)
    size, rings = int(oracle["kernel_size"]), int(oracle["n_rings"])
    ours = circular_filters(size, rings, 1)
    for m in (0, 1):
        weights = oracle[f"gauss_interp_weights_m{m}"].numpy()  # (rings, samples, taps)
        wave = np.exp(2j * np.pi * m * np.arange(weights.shape[1]) / weights.shape[1])
        assert abs(np.einsum("s,rst->rt", wave, weights) - ours[m]).max() < 1e-5


@pytest.mark.parametrize("in_order", [None, 0, 2])
def test_quarter_turns(in_order, dtype):
    """Exact: no quarter turn keeps the 101 samples of a ring, but they resolve all that the Gaussian lets through."""
    conv = randomise(HarmonicConv(2, 3, 5, in_order=in_order, out_order=2)).to(dtype)
    act = randomise(MagnitudeNonlinearity(3, 2)).to(dtype)
    x = torch.randn(2, conv.in_type.dim, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=dtype)

    def turn(field, type):
        return type.transform(quarter, torch.rot90(field, 1, (2, 3)).movedim(1, -1)).movedim(-1, 1)

    got, expected = act(conv(turn(x, conv.in_type))), turn(act(conv(x)), act.out_type)
    assert (got - expected).abs().max() < (1e-10 if dtype == torch.float64 else 1e-4) * expected.abs().max()
    assert (got - act(conv(x))).abs().max() > 0.1


def test_exactly_equivariant_filters():
    """Each filter is steered by its frequency under quarter turns, B(R x) = e^{i m pi / 2} B(x)."""
    filters = circular_filters(5, 3, 4)
    image = filters.reshape(5, 3, 5, 5)
    for m in range(5):
        assert np.allclose(np.rot90(image[m], 1, (1, 2)), np.exp(-0.5j * np.pi * m) * image[m], rtol=1e-10, atol=1e-10)
        assert abs(image[m]).max() > 0.01
    assert not np.allclose(circular_filters(5, 3, 4, bandwidth=0.7), filters)
    assert not np.allclose(circular_filters(5, 3, 4, samples=9), filters)
    for bad in ((0, 1, 1), (5, 0, 1), (5, 1, -1)):
        with pytest.raises(ValueError, match="rings"):
            circular_filters(*bad)


def test_is_steerable_with_half_of_the_kernels():
    """On a tap, kernels lie in the span of SO(2)'s solutions of the frequency |o - i|: the complex-linear half of them."""
    conv = randomise(HarmonicConv(1, 1, 5, in_order=2, out_order=2, rings=1)).double()
    kernel = conv.kernel().flatten(2)  # (out, in, taps)
    taps = torch.from_numpy(square_taps(5))
    on_circle = (taps.norm(dim=1) - 1).abs() < 1e-9
    for i, o in ((1, 2), (2, 1), (2, 2)):
        block = kernel[2 * o : 2 * o + 2, 2 * i : 2 * i + 2][..., on_circle].permute(2, 0, 1).flatten()
        basis = SteerableBasis(SO2.irrep(i), SO2.irrep(o), max_frequency=4)
        space = basis(taps[on_circle]).transpose(0, 1).flatten(1)  # (kernels, taps x 2 x 2)
        fit = torch.linalg.lstsq(space.T, block[:, None]).solution
        assert torch.allclose(space.T @ fit, block[:, None], rtol=1e-10, atol=1e-10)
        assert len(basis) == 4


def test_negative_orders_are_conjugates():
    conv = randomise(HarmonicConv(1, 1, 5, in_order=1, out_order=1)).double()
    kernel = conv.kernel()
    up, down = kernel[2:, :2], kernel[:2, 2:]
    assert torch.allclose(up[0, 0], down[0, 0]) and torch.allclose(up[1, 0], -down[1, 0])
    assert torch.equal(kernel[0, 1], torch.zeros_like(kernel[0, 1]))  # W_0 is real between complex streams


def test_magnitude():
    act = MagnitudeNonlinearity(2, 1, "relu").double()
    with torch.no_grad():
        act.bias.fill_(-1.0)
    x = torch.zeros(1, 8, dtype=torch.float64)
    x[0, 0], x[0, 2] = 3.0, 4.0  # a complex number of order 0
    y = act(x)
    assert torch.allclose(y[0, 0], torch.tensor(2.4).double()) and torch.allclose(y[0, 2], torch.tensor(3.2).double())
    assert torch.equal(act(x), act(x[..., None, None])[..., 0, 0])
    zeros = torch.zeros(1, 8, dtype=torch.float64, requires_grad=True)
    act(zeros).sum().backward()
    assert torch.isfinite(zeros.grad).all()
    floor = MagnitudeNonlinearity(2, 1, "softplus", eps=4.0).double()
    assert torch.allclose(floor(0.1 * x), torch.nn.functional.softplus(torch.tensor(2.0).double()) / 2 * 0.1 * x)
    with pytest.raises(ValueError, match="shape"):
        act(torch.zeros(1, 7).double())


def test_arguments():
    x = torch.randn(2, 3, 9, 9)
    conv = HarmonicConv(3, 4, 5, out_order=2)
    assert conv.in_type.dim == 3 and conv.out_type == stream_type(4, 2) and conv(x).shape == (2, 24, 9, 9)
    assert HarmonicConv(3, 4, 3, padding=0, stride=2)(x).shape == (2, 16, 4, 4)
    assert HarmonicConv(3, 4, 5, rings=3).radial.shape == (2, 3, 3, 4)
    assert HarmonicConv(3, 4, 3).rings == 2
    plain = HarmonicConv(3, 4, 5, phase=False)
    assert plain.offset is None and not any(name == "offset" for name, _ in plain.named_parameters())
    with torch.no_grad():
        conv.offset.zero_()
    assert torch.allclose(
        plain.filters()[0][0], torch.einsum("rt,rio->oit", plain.expansion.real_filters[0], plain.radial[0]).view(4, 3, 5, 5)
    )
