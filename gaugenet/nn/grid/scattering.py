"""The roto-translation scattering transform of images (Bruna & Mallat 2013, arXiv 1203.1513)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import check_counts, check_ints
from ...fields import FieldType
from ...groups import Cyclic
from ...kernels.constants import ConstantModule
from ...kernels.published.morlet import gaussian, morlet
from ..exporting.exportable import Exportable, Seen
from ..exporting.plain import traced
from ..tensor_checks import check_features


class Scattering(ConstantModule, Exportable):
    r"""Windowed scattering of orders 0, 1 and 2: a G-CNN of frozen Morlet kernels (Bruna & Mallat 2013, arXiv 1203.1513).

    .. math:: S_0 = \phi \star f, \quad S_1(j, \theta) = \phi \star |\psi_{j\theta} \star f|, \quad
              S_2(j, \theta, j', \theta') = \phi \star |\psi_{j'\theta'} \star |\psi_{j\theta} \star f||, \; j < j'

    sampled every 2^J pixels. The first layer lifts scalars to fields on the rotations with one complex kernel turned by
    k pi / L, k = 0 .. 2 L - 1; a wavelet turned by pi is its conjugate, so that the modulus lives on the L cosets of the half
    turn in C_2L. The second turns psi_{j'} against it, the low-pass phi is isotropic. Hence S_1 is a field of type
    quotient(C_2), S_2 one of type quotient(C_2) x quotient(C_2), component k belonging to the angle k pi / L
    (for odd L, as published, (k + 1/2) pi / L), counter-clockwise. Convolutions are circular on the image continued by
    reflection and run in the Fourier domain.

    The numbers are those of kymatio (Andreux et al. 2020, arXiv 1812.11214): sigma = 0.8 2^j, xi = 3 pi / (4 2^j), slant 4 / L,
    the low-pass of sigma = 0.8 2^(J-1), intermediate results sampled every 2^j pixels; its order of channels is that of
    :meth:`published`. Turns by 90 degrees about a sampled pixel (0, 2^J, ...) commute with it exactly, for even L and images
    that vanish near the border (for J >= 3 up to about 1e-4: of the two edge frequencies of a coarser sampling the published
    filters keep one). Turning the whole array has its centre between the pixels, so that other ones are sampled.

    Args:
        shape: (H, W) of the images.
        J: the largest scale is 2^J pixels.
        L: number of angles.
        in_channels: scalar fields of the input.

    Shapes:
        (B, in_channels, H, W) -> (B, out_type.dim, H // 2^J, W // 2^J), with
        out_type.dim = in_channels (1 + J L + J (J - 1) L^2 / 2).

    Raises:
        ValueError: J or L out of range, images that are too small, or of another shape.
        TypeError: features of another dtype.
    """

    def __init__(self, shape: Sequence[int], J: int = 2, L: int = 8, *, in_channels: int = 1) -> None:
        check_ints(self, "shape", shape, length=2)
        check_counts(self, J=J, L=L, in_channels=in_channels)
        super().__init__()
        self.shape, self.J, self.L, self.in_channels = tuple(int(n) for n in shape), int(J), int(L), int(in_channels)
        step = 2**self.J
        self.padded = tuple((n // step + 2) * step for n in self.shape)
        spare = [whole - n for whole, n in zip(self.padded, self.shape)]
        self.ends = [end for total in reversed(spare) for end in (total // 2, total - total // 2)]  # left, right, top, bottom
        if any(n <= total - total // 2 for n, total in zip(self.shape, spare)):
            raise ValueError(f"Scattering expected sides of more than about 2^J = {step} pixels, got {self.shape}")
        group = Cyclic(2 * self.L)
        angles = group.quotient(Cyclic(2))
        pairs = self.J * (self.J - 1) // 2
        blocks = [(1, group.trivial), (self.J, angles), (pairs, angles * angles)]
        self.in_type = FieldType(group, [(self.in_channels, group.trivial)])
        self.out_type = FieldType(group, [(mul * self.in_channels, rep) for mul, rep in blocks if mul])
        # The opposite of component k's angle, as published: the same modulus but for the edge of coarser samplings.
        turns = (np.arange(self.L) + (self.L % 2) / 2) * np.pi / self.L - np.pi
        for j in range(self.J):
            turned = [morlet(self.padded, 0.8 * 2**j, angle, 0.75 * np.pi / 2**j, 4 / self.L) for angle in turns]
            # The Fourier transform of a wavelet with psi(-x) = conj psi(x) is real.
            psi = torch.from_numpy(np.fft.fft2(turned).real)
            for level in range(max(j, 1)):
                self.register_constant(f"psi_{j}_{level}", _low_band(psi, level))
        phi = torch.from_numpy(np.fft.fft2(gaussian(self.padded, 0.8 * 2 ** (self.J - 1))).real)
        for level in range(self.J):
            self.register_constant(f"phi_{level}", _low_band(phi, level))

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.phi_0, "Scattering", 4)
        if x.shape[2:] != self.shape:
            raise ValueError(f"Scattering was made for images of {self.shape} pixels, got {tuple(x.shape[2:])}")
        return self.transform(x)

    def transform(self, x: Tensor) -> Tensor:
        """`forward` without its checks."""
        image = self._spectrum(F.pad(x, self.ends, mode="reflect"), 0)  # (B, C, h, w)
        first, second = [], []
        for j in range(self.J):
            inner = self._spectrum(self._modulus(image.unsqueeze(-3), j, 0), j)  # (B, C, L, h, w) at every 2^j pixels
            first.append(self._low_pass(inner, j))
            for k in range(j + 1, self.J):
                second.append(self._low_pass(self._spectrum(self._modulus(inner.unsqueeze(-3), k, j), k), k))
        parts = [self._low_pass(image, 0)]
        # (B, C, scales, angles ..., h, w) -> components first, then copies
        parts.append(torch.stack(first, 2).permute(0, 3, 1, 2, 4, 5).flatten(1, 3))
        if second:
            parts.append(torch.stack(second, 2).permute(0, 3, 4, 1, 2, 5, 6).flatten(1, 4))
        return torch.cat(parts, 1)

    def _modulus(self, spectrum: Tensor, j: int, level: int) -> Tensor:
        """|psi_j * f| at every 2^j pixels, of the spectrum of f at every 2^level pixels: (..., h, w) -> (..., L, h', w')."""
        product = spectrum * getattr(self, f"psi_{j}_{level}")
        return self._inverse_modulus(self._folded(product, level, j) / 4 ** (j - level), j)

    def _low_pass(self, spectrum: Tensor, level: int) -> Tensor:
        """phi * f at every 2^J pixels inside the image."""
        product = spectrum * getattr(self, f"phi_{level}")
        return self._inverse_real(self._folded(product, level, self.J) / 4 ** (self.J - level), self.J)[..., 1:-1, 1:-1]

    def _spectrum(self, x: Tensor, level: int) -> Tensor:
        return torch.fft.fft2(x)

    def _inverse_modulus(self, spectrum: Tensor, level: int) -> Tensor:
        return torch.fft.ifft2(spectrum).abs()

    def _inverse_real(self, spectrum: Tensor, level: int) -> Tensor:
        return torch.fft.ifft2(spectrum).real

    def _folded(self, spectrum: Tensor, level: int, to: int) -> Tensor:
        """Sum over the aliases of sampling every 2^to pixels instead of every 2^level: (..., h, w) -> (..., h', w')."""
        if to == level:
            return spectrum
        (h, w), step = (n // 2**to for n in self.padded), 2 ** (to - level)
        return spectrum.unflatten(-1, (step, w)).unflatten(-3, (step, h)).sum((-4, -2))

    def published(self, y: Tensor) -> Tensor:
        """The channels in kymatio's order: (B, out_type.dim, h, w) -> (B, in_channels, 1 + J L + ..., h, w).

        There angles run clockwise, from (L - 1) pi / L for even L, and of order 2 the first path (j, theta) is the slowest.
        """
        C, J, L = self.in_channels, self.J, self.L
        clockwise = [(L - 1 - L % 2 - theta) % L for theta in range(L)]
        blocks = [y[:, columns] for columns in self.out_type.slices]
        first = blocks[1].unflatten(1, (L, C, J))[:, clockwise].permute(0, 2, 3, 1, 4, 5)  # (B, C, J, L, h, w)
        parts = [blocks[0][:, :, None], first.flatten(2, 3)]
        if J > 1:
            second = blocks[2].unflatten(1, (L, L, C, -1))[:, clockwise][:, :, clockwise].permute(0, 3, 4, 1, 2, 5, 6)
            pairs = [(j, k) for j in range(J) for k in range(j + 1, J)]
            for j in range(J - 1):
                chosen = second[:, :, [n for n, pair in enumerate(pairs) if pair[0] == j]]  # (B, C, k, theta, theta', h, w)
                parts.append(chosen.transpose(2, 3).flatten(2, 4))
        return torch.cat(parts, 2)

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        return traced(_PlainScattering(self))

    def extra_repr(self) -> str:
        return f"shape={self.shape}, J={self.J}, L={self.L}, in_channels={self.in_channels}"


def _low_band(spectrum: Tensor, level: int) -> Tensor:
    """The lowest frequencies, as many as there are when sampling every 2^level pixels: not their aliases, as published."""
    for axis in (-2, -1):
        size = spectrum.shape[axis]
        half = size // 2 ** (level + 1)
        if level:
            low, high = spectrum.narrow(axis, 0, half), spectrum.narrow(axis, size - half, half)
            spectrum = torch.cat([low, high], axis)
    return spectrum


class _PlainScattering(nn.Module):
    """:class:`Scattering` without checks and field types; its constants are buffers here.

    ONNX has no complex numbers: real and imaginary parts are stacked in front, and Fourier transforms, which are small, are
    products with matrices of cosines and sines.
    """

    def __init__(self, layer: Scattering) -> None:
        super().__init__()
        self.J, self.padded, self.ends = layer.J, layer.padded, layer.ends
        for name, value in layer.named_buffers(recurse=False):
            self.register_buffer(name, value.clone())
        for level in range(self.J + 1):
            for axis, n in zip("yx", self.padded):
                n //= 2**level
                turns = torch.outer(torch.arange(n), torch.arange(n)) % n
                angle = turns.double() * (2 * torch.pi / n)
                self.register_buffer(f"cos_{axis}_{level}", angle.cos().to(layer.phi_0))
                self.register_buffer(f"sin_{axis}_{level}", angle.sin().to(layer.phi_0))

    forward = Scattering.transform
    _modulus, _low_pass, _folded = Scattering._modulus, Scattering._low_pass, Scattering._folded

    def _turned(self, real: Tensor, imaginary: Tensor, level: int, sign: float) -> tuple[Tensor, Tensor]:
        """The sums with exp(sign i angle) over both axes."""
        cos, sin = getattr(self, f"cos_x_{level}"), sign * getattr(self, f"sin_x_{level}")
        real, imaginary = real @ cos - imaginary @ sin, real @ sin + imaginary @ cos
        cos, sin = getattr(self, f"cos_y_{level}"), sign * getattr(self, f"sin_y_{level}")
        return cos @ real - sin @ imaginary, sin @ real + cos @ imaginary

    def _spectrum(self, x: Tensor, level: int) -> Tensor:
        return torch.stack(self._turned(x, torch.zeros_like(x), level, -1.0))

    def _inverse(self, spectrum: Tensor, level: int) -> tuple[Tensor, Tensor]:
        pixels = self.padded[0] * self.padded[1] // 4**level
        return self._turned(spectrum[0] / pixels, spectrum[1] / pixels, level, 1.0)

    def _inverse_modulus(self, spectrum: Tensor, level: int) -> Tensor:
        real, imaginary = self._inverse(spectrum, level)
        return (real.square() + imaginary.square()).sqrt()

    def _inverse_real(self, spectrum: Tensor, level: int) -> Tensor:
        return self._inverse(spectrum, level)[0]
