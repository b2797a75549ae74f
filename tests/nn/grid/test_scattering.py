"""Scattering: kymatio's numbers, the action of quarter turns, the definition by plain convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gaugenet.kernels.published.morlet import gaussian, morlet
from gaugenet.nn import Scattering


def load(shared):
    arrays = np.load(shared / "oracles" / "seeds" / "scattering" / "scattering.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def from_oracle(oracle, dtype=torch.float64):
    return Scattering(oracle["x"].shape[1:], int(oracle["J"]), int(oracle["L"])).to(dtype)


def turn(x):
    """A quarter turn, counter-clockwise, about the pixel [0, 0] of a periodic image (..., n, n)."""
    return torch.rot90(x, 1, (-2, -1)).roll(1, -2)


def spot(*shape, seed=0):
    """Random images that vanish near the border."""
    x = torch.zeros(shape, dtype=torch.float64)
    inside = x[..., 12:-12, 12:-12]
    inside += torch.randn(inside.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x


def test_oracle(shared):
    oracle = load(shared)
    layer = from_oracle(oracle)
    y = layer.published(layer(oracle["x"][:, None]))[:, 0]
    assert y.shape == oracle["y"].shape and (y - oracle["y"]).abs().max() < 1e-6
    turned = layer.published(layer(turn(oracle["x"])[:, None]))[:, 0]
    assert (turned - oracle["y_rot90"]).abs().max() < 1e-6
    single = from_oracle(oracle, torch.float32)
    y = single.published(single(oracle["x"][:, None].float()))[:, 0]
    assert (y - oracle["y"]).abs().max() < 1e-6


def test_filter_bank_of_the_oracle(shared):
    """Filters of another size than the image's, as they stand there, in single precision."""
    oracle = load(shared)
    L, shape = int(oracle["L"]), oracle["phi"].shape
    names = [name for name in oracle if name.startswith("psi_") and not name.endswith("jt")]
    assert len(names) == int(oracle["J"]) * L
    for name in names:
        j, theta = oracle[f"{name}_jt"].tolist()
        psi = np.fft.fft2(morlet(shape, 0.8 * 2**j, -(theta + 1) * np.pi / L, 0.75 * np.pi / 2**j, 4 / L))
        assert abs(psi.imag).max() < 1e-12
        assert abs(psi.real - oracle[name].numpy()).max() < 1e-6
    phi = np.fft.fft2(gaussian(shape, 0.8 * 2 ** (int(oracle["J"]) - 1)))
    assert abs(phi.real - oracle["phi"].numpy()).max() < 1e-6


@pytest.mark.parametrize("J, L", [(1, 4), (2, 8), (2, 6), (3, 4)])
def test_quarter_turns(J, L, dtype):
    """The field of quotient(C_2) fields is turned along with the image: every component goes L / 2 places on."""
    layer = Scattering((48, 48), J, L, in_channels=2).to(dtype)
    x = spot(1, 2, 48, 48).to(dtype)
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=dtype)
    expected = layer.out_type.transform(quarter, turn(layer(x)).movedim(1, -1)).movedim(-1, 1)
    # The first row comes round from the other border, where the padding stands.
    got, expected = layer(turn(x))[..., 1:, :], expected[..., 1:, :]
    limit = 1e-10 if dtype == torch.float64 else 1e-4
    if J > 2:  # the published cropping keeps one of the two frequencies at the edge of the band
        limit = 1e-3
    assert (got - expected).abs().max() < limit * expected.abs().max()
    assert (turn(layer(x))[..., 1:, :] - expected).abs().max() > 1e-3


def test_is_convolution_with_turned_wavelets():
    """First order without Fourier transforms: kernels as large as the image, sampled at the offsets, conv2d."""
    J, L, n = 2, 4, 16
    layer = Scattering((n, n), J, L).double()
    x = torch.randn(1, 1, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    period = n + 2 ** (J + 1)
    whole = F.pad(x, (2**J,) * 4, mode="reflect")

    def convolve(image, kernel):
        flipped = torch.from_numpy(kernel).flip(0, 1).roll((1, 1), (0, 1)).contiguous()
        return F.conv2d(F.pad(image, (0, period - 1) * 2, mode="circular"), flipped[None, None])

    low = gaussian((period, period), 0.8 * 2 ** (J - 1))
    columns = layer.out_type.slices[1]
    got = layer(x)[:, columns].unflatten(1, (L, J))
    for k in range(L):
        psi = morlet((period, period), 0.8, k * np.pi / L, 0.75 * np.pi, 4 / L)
        modulus = (convolve(whole, psi.real) ** 2 + convolve(whole, psi.imag) ** 2).sqrt()
        expected = convolve(modulus, low)[..., :: 2**J, :: 2**J][..., 1:-1, 1:-1]
        assert torch.allclose(got[:, k, 0], expected[:, 0], rtol=1e-12, atol=1e-12)


def test_channels():
    layer = Scattering((16, 24), 3, 2, in_channels=2)
    count = 1 + 3 * 2 + 3 * 4
    assert Scattering((18, 23), 2, 2)(torch.randn(1, 1, 18, 23)).shape[2:] == (4, 5)
    x = torch.randn(2, 2, 16, 24)
    y = layer(x)
    assert y.shape == (2, layer.out_type.dim, 2, 3) and layer.out_type.dim == 2 * count
    published = layer.published(y)
    assert published.shape == (2, 2, count, 2, 3)
    for channel in range(2):
        alone = Scattering((16, 24), 3, 2)
        assert torch.allclose(published[:, channel], alone.published(alone(x[:, channel, None]))[:, 0], atol=1e-6)


def test_odd_numbers_of_angles():
    """As published: half a step between the angles and the axes; the wavelets are as those of even L otherwise."""
    layer, n = Scattering((24, 24), 1, 3).double(), 28
    x = spot(1, 1, 40, 40)[..., 8:32, 8:32]
    expected = []
    for theta in range(3):
        t = (0 - theta) * np.pi / 3  # int(L - L / 2 - 1) = 0, from the row axis, which points down
        psi = torch.from_numpy(np.fft.fft2(morlet((n, n), 0.8, t - np.pi / 2, 0.75 * np.pi, 4 / 3)))
        low = torch.from_numpy(np.fft.fft2(gaussian((n, n), 0.8)))
        modulus = torch.fft.ifft2(torch.fft.fft2(F.pad(x, (2,) * 4, mode="reflect")) * psi).abs()
        expected.append(torch.fft.ifft2(torch.fft.fft2(modulus) * low).real[0, 0, ::2, ::2][1:-1, 1:-1])
    got = layer.published(layer(x))[0, 0, 1:]
    assert torch.allclose(got, torch.stack(expected), rtol=1e-12, atol=1e-12)


def test_refuses():
    for arguments in (((16, 16), 0, 8), ((16, 16), 2, 0), ((16,), 2, 8), ((4, 4), 2, 8)):
        with pytest.raises(ValueError, match="Scattering"):
            Scattering(*arguments)
    with pytest.raises(ValueError, match="in_channels"):
        Scattering((16, 16), 2, 8, in_channels=0)
    with pytest.raises(ValueError, match=r"\(16, 16\)"):
        Scattering((16, 16))(torch.randn(1, 1, 16, 20))
    with pytest.raises(TypeError, match="float32"):
        Scattering((16, 16))(torch.randn(1, 1, 16, 16).double())


def test_gradient_of_nothing():
    """The modulus has no derivative at 0."""
    layer, zeros = Scattering((16, 16), 2, 4), torch.zeros(1, 1, 16, 16, requires_grad=True)
    layer(zeros).sum().backward()
    assert torch.isfinite(zeros.grad).all() and not layer.state_dict()
