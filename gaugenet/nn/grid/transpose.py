"""The transposed convolution of images: learnt, equivariant upsampling."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from ...fields import FieldType
from ...kernels.kernel import KernelFamily
from ...kernels.lattices import Lattice
from ..exporting.exportable import Seen
from ..exporting.plain import CONV_TRANSPOSED, Crop, Reorder, loaded, traced
from ..precision import autocast
from ..tensor_checks import check_features
from .kernel import GridKernel, grid_family
from .padding import CLOSED, GridPadding, check_closed, check_modes, per_axis

_CONV = {2: F.conv_transpose2d, 3: F.conv_transpose3d}


class GridConvTranspose(GridKernel):
    r"""Convolution from a coarse grid of pixels to one ``stride`` times finer.

    .. math:: out(q) = \sum_{p, t:\ s p - q = x_t} K(x_t)\, f(p) + b, \qquad K(g x) = \rho_{out}(g)\, K(x)\, \rho_{in}(g)^{-1}

    with s p the place of the coarse pixel p among the fine ones: the kernel sees the source from the target, as in
    :class:`GridConv`, to which it is equal at stride 1 (with the same state_dict). Run by conv_transpose2d.

    It has no ``output_padding``, which would put the result off the middle: an axis of n pixels becomes
    ``(n - 1) stride - 2 padding + dilation (kernel_size - 1) + 1``, for example 2 n with stride 2, kernel_size 4, padding 1.
    A closed axis becomes ``n stride`` pixels.

    Args:
        padding: as in conv_transpose2d: pixels taken off the result on either side.
        padding_mode: "zeros", "circular" or "moebius", or one per axis; see :class:`GridPadding`.
        in_type, out_type, kernel_size, stride, dilation, basis, bias, groups, lattice, rings, sigma, max_frequency, kernel: as
            in :class:`GridConv`.

    Shapes:
        (B, in_type.dim, H, W) -> (B, out_type.dim, H', W'); (B, in_type.dim, Z, H, W) over groups of space.

    Raises:
        TypeError, ValueError: as :class:`GridConv`; more padding than the kernel has pixels beside its middle and beyond.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        kernel_size: int,
        padding: int | Sequence[int] = 0,
        *,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        padding_mode: str | Sequence[str] = "zeros",
        basis: str = "complete",
        bias: bool = True,
        groups: int = 1,
        lattice: str | Lattice | np.ndarray = "square",
        rings: Sequence[float] | None = None,
        sigma: float | Sequence[float] | None = None,
        max_frequency: int | Sequence[int] | Callable[[float], int] | None = None,
        kernel: KernelFamily | None = None,
    ) -> None:
        family = grid_family(kernel, kernel_size, basis, rings, sigma, max_frequency, type(self).__name__)
        options: dict[str, Any] = {"bias": bias, "groups": groups, "lattice": lattice}
        super().__init__(in_type, out_type, kernel_size, family, stride=stride, dilation=dilation, **options)
        self.padding = per_axis("padding", padding, self.spatial, least=0)
        modes = check_modes(padding_mode, in_type)
        if set(modes) & {"reflect", "replicate"}:
            raise ValueError(f'GridConvTranspose has padding_mode "zeros", "circular" and "moebius", got {modes}')
        self.check_lattice(modes)
        reach = [size - 1 for size in self.extent]
        if any(pad > r for pad, r in zip(self.padding, reach)):
            raise ValueError(f"padding {self.padding} is more than dilation * (kernel_size - 1) = {tuple(reach)}")
        check_closed(type(self).__name__, in_type, self.lattice, modes, self.extent, self.padding, self.stride)
        # On a closed axis the pixels before and after the seam reach across it; a kernel smaller than the stride leaves gaps.
        ends = [
            0 if mode == "zeros" else max(-(-r // s), -(-(pad + s - 1 - r) // s))
            for mode, r, s, pad in zip(modes, reach, self.stride, self.padding)
        ]
        self.pad = GridPadding(in_type, ends, modes)

    def transposed_kernel(self) -> Tensor:
        """The weight of conv_transpose2d: (in_type.dim, out_type.dim / groups, kernel_size, kernel_size)."""
        # It looks from the source at the target.
        weight = self.kernel().flip(tuple(range(2, 2 + self.spatial)))
        return weight.unflatten(0, (self.groups, -1)).transpose(1, 2).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.kernel_parameters()[0], type(self).__name__, 2 + self.spatial)
        shape, x = x.shape[2:], self.pad(autocast(x))
        x = x if self.order_in is None else x[:, self.order_in]
        weight = self.transposed_kernel()
        taken = tuple(pad if mode == "zeros" else 0 for pad, mode in zip(self.padding, self.pad.modes))
        out = _CONV[self.spatial](x, weight, self.bias_row(), self.stride, taken, 0, self.groups, self.dilation)
        for axis, (mode, end, step, pad) in enumerate(zip(self.pad.modes, self.pad.padding, self.stride, self.padding)):
            if mode != "zeros":
                out = out.narrow(2 + axis, end * step + pad, shape[axis] * step)
        return out if self.order_out is None else out[:, self.order_out]

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        conv = CONV_TRANSPOSED[self.spatial](
            self.in_type.dim,
            self.out_type.dim,
            self.kernel_size,
            self.stride,
            tuple(pad if mode == "zeros" else 0 for pad, mode in zip(self.padding, self.pad.modes)),
            0,
            self.groups,
            self.bias is not None,
            self.dilation,
        )
        conv = loaded(conv, self.transposed_kernel(), self.bias_row())
        if self.order_in is not None:
            conv = traced(Reorder(conv, self.order_in, self.order_out))
        closed = [axis for axis, mode in enumerate(self.pad.modes) if mode in CLOSED]
        if not closed:
            return conv
        first = {a: self.pad.padding[a] * self.stride[a] + self.padding[a] for a in closed}
        return traced(Crop(self.pad.plain(()), conv, first, self.stride))
