"""The GM-convolution on images: conv2d with the steerable kernel sampled at the taps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..fields import FieldType
from ..kernels.tap_expansion import TapExpansion
from ..kernels.taps import square_taps
from .bias import FieldBias
from .checks import autocast, check_features
from .grid_padding import GridPadding, check_modes, per_axis, spatial_axes

BASES = ("complete",)
_CONV = {2: F.conv2d, 3: F.conv3d}


class GridConv(nn.Module):
    r"""Gauge-equivariant convolution of an image (Cohen & Welling 2016; Weiler & Cesa 2019; Weiler et al. 2021, section 5).

    .. math:: out(p) = \sum_t K(x_t)\, f(p + x_t) + b, \qquad K(g x) = \rho_{out}(g)\, K(x)\, \rho_{in}(g)^{-1}

    with one matrix K(x_t) at every tap x_t of a square kernel (x to the right, y up), run by conv2d. It gives the numbers of
    message passing with these taps on :func:`gaugenet.geometry.grid`, :func:`~gaugenet.geometry.cylinder` and
    :func:`~gaugenet.geometry.moebius`. On images the frames are those of the pixel grid: gauge changes show as the
    symmetries of the grid (mirror images, quarter turns) and of the seam.

    Args:
        in_type, out_type: field types over one finite group that maps the taps onto themselves.
        kernel_size: pixels a side, odd or even.
        stride, padding, dilation: as in conv2d, one number or one per axis. ``padding=None`` keeps the size of the image
            (odd kernels, stride 1).
        padding_mode: "zeros", "circular" or "moebius", or one per axis; see :class:`GridPadding`.
        basis: "complete", a free weight at every tap (exact for the symmetries of the grid; :class:`TapBasis`).
        bias: learn a bias on the invariant part of the output.

    Shapes:
        (B, in_type.dim, H, W) -> (B, out_type.dim, H', W'), as conv2d; (B, in_type.dim, Z, H, W) over groups of space.

    Raises:
        TypeError: for features of another dtype, types of two groups, infinite groups.
        ValueError: for arguments and shapes that do not fit; for a closed axis that is no multiple of the stride.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        kernel_size: int,
        padding: int | Sequence[int] | None = 0,
        *,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        padding_mode: str | Sequence[str] = "zeros",
        basis: str = "complete",
        bias: bool = True,
    ) -> None:
        super().__init__()
        if basis not in BASES:
            raise ValueError(f"unknown basis {basis!r}: expected one of {', '.join(BASES)}")
        self.in_type, self.out_type, self.basis = in_type, out_type, basis
        self.spatial = spatial_axes(in_type)
        self.expansion = TapExpansion(in_type, out_type, square_taps(kernel_size, self.spatial))
        self.kernel_size = int(kernel_size)
        self.stride = per_axis("stride", stride, self.spatial, least=1)
        self.dilation = per_axis("dilation", dilation, self.spatial, least=1)
        if padding is None:
            if self.kernel_size % 2 == 0 or any(s != 1 for s in self.stride):
                raise ValueError("padding=None keeps the size of the image: it needs an odd kernel_size and stride 1")
            padding = tuple(d * (self.kernel_size // 2) for d in self.dilation)
        padding, modes = per_axis("padding", padding, self.spatial, least=0), check_modes(padding_mode, in_type)
        # conv2d pads with zeros by itself, without a copy of the image.
        self.zeros = tuple(pad if mode == "zeros" else 0 for pad, mode in zip(padding, modes))
        self.pad = GridPadding(in_type, tuple(pad - z for pad, z in zip(padding, self.zeros)), modes)
        self.weight = nn.Parameter(torch.empty(self.expansion.num_weights))
        self.bias = FieldBias(out_type) if bias else None
        self.reset_parameters()

    @property
    def padding(self) -> tuple[int, ...]:
        return tuple(a + b for a, b in zip(self.zeros, self.pad.padding))

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.copy_(self.expansion.initial_weight())
        if self.bias is not None:
            self.bias.reset_parameters()

    def kernel(self) -> Tensor:
        """The weight of conv2d: (out_type.dim, in_type.dim, kernel_size, kernel_size)."""
        taps = self.expansion(self.weight)  # (T, in, out)
        return taps.permute(2, 1, 0).unflatten(2, (self.kernel_size,) * self.spatial)

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.weight, "GridConv", 2 + self.spatial)
        for axis, (mode, step) in enumerate(zip(self.pad.modes, self.stride)):
            if mode != "zeros" and x.shape[2 + axis] % step:
                raise ValueError(f"GridConv closes axis {axis} of {x.shape[2 + axis]} pixels, no multiple of its stride {step}")
        x, bias = self.pad(autocast(x)), None if self.bias is None else self.bias.row()
        return _CONV[self.spatial](x, self.kernel(), bias, self.stride, self.zeros, self.dilation)

    def extra_repr(self) -> str:
        return (
            f"{self.in_type}, {self.out_type}, kernel_size={self.kernel_size}, padding={self.padding}, stride={self.stride}, "
            f"dilation={self.dilation}, padding_mode={self.pad.modes}, basis={self.basis!r}, bias={self.bias is not None}"
        )
