"""What convolutions on images share: field types, kernels on the taps of a lattice, weights, biases."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ...checks import check_choice, check_int
from ...fields import FieldType, check_field_types
from ...kernels.constants import ConstantModule
from ...kernels.lattices import Lattice
from ...kernels.rings import Rings
from ...kernels.tap_kernels import Taps
from ..exporting.exportable import Exportable
from ..fields.bias import FieldBias
from .padding import GridPadding, per_axis, spatial_axes

BASES = ("complete", "band_limited")


class GridKernel(ConstantModule, Exportable):
    """Base of :class:`GridConv` and :class:`GridConvTranspose`, which set ``padding`` and ``pad``; arguments as there."""

    padding: tuple[int, ...]
    pad: GridPadding

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        kernel_size: int,
        *,
        stride: int | Sequence[int],
        dilation: int | Sequence[int],
        basis: str,
        bias: bool,
        groups: int,
        lattice: str | Lattice | np.ndarray,
        rings: Sequence[float] | None,
        sigma: float | Sequence[float] | None,
        max_frequency: int | Sequence[int] | Callable[[float], int] | None,
    ) -> None:
        super().__init__()
        check_field_types(self, in_type=in_type, out_type=out_type)
        check_int(self, "kernel_size", kernel_size)
        check_int(self, "groups", groups)
        check_choice(self, "basis", basis, BASES)
        if basis == "complete" and (rings, sigma, max_frequency) != (None, None, None):
            raise ValueError('rings, sigma and max_frequency belong to basis="band_limited"; the complete basis has none')
        self.in_type, self.out_type, self.basis = in_type, out_type, basis
        self.spatial = spatial_axes(in_type)
        self.lattice = Lattice.of(lattice, self.spatial)
        place, self.taps = self.lattice.taps(kernel_size)
        self.kernel_size, self.groups = int(kernel_size), _check_groups(groups, in_type, out_type)
        self.stride = per_axis("stride", stride, self.spatial, least=1)
        self.dilation = per_axis("dilation", dilation, self.spatial, least=1)
        self.rings = Rings.of(self.kernel_size, rings, sigma, max_frequency) if basis == "band_limited" else None
        share_in, share_out = _share(in_type, self.groups), _share(out_type, self.groups)
        self.expansion = Taps(rings=self.rings).on_taps(share_in, share_out, self.taps)
        # Where the taps are all pixels of the kernel, none has to be put into its place.
        whole = len(place) == self.kernel_size**self.spatial
        self.register_constant("place", None if whole else torch.from_numpy(place))
        for name, type in (("order_in", in_type), ("order_out", out_type)):
            order = None if self.groups == 1 else _by_group(type, self.groups)
            self.register_constant(name, order if name == "order_in" or order is None else order.argsort())
        self.moved_axes = self.lattice.moved_axes(in_type.group)
        self.weight = nn.Parameter(torch.empty(self.groups * self.expansion.num_weights))
        self.bias = FieldBias(out_type) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.copy_(torch.cat([self.expansion.initial_weight() for _ in range(self.groups)]))
        if self.bias is not None:
            self.bias.reset_parameters()

    def kernel(self) -> Tensor:
        """K at the taps as a weight of conv2d: (out_type.dim, in_type.dim / groups, kernel_size, kernel_size).

        With ``groups`` > 1 its rows are group by group.
        """
        if self.groups == 1:
            taps = self.expansion(self.weight)  # (T, in, out)
        else:
            expand = torch.func.vmap(self.expansion.forward, out_dims=1)
            taps = expand(self.weight.view(self.groups, -1))  # (T, groups, in, out)
            taps = taps.transpose(1, 2).flatten(2)
        weight = taps.permute(2, 0, 1)
        if self.place is not None:
            empty = weight.new_zeros(len(weight), self.kernel_size**self.spatial, weight.shape[2])
            weight = empty.index_copy(1, self.place, weight)
        # In this order a kernel for one channel has the strides of channels_last, too, and hands it on to the features.
        return weight.unflatten(1, (self.kernel_size,) * self.spatial).movedim(-1, 1)

    def bias_row(self) -> Tensor | None:
        """The bias of every channel, in the order of :meth:`kernel`."""
        if self.bias is None:
            return None
        row = self.bias.row()
        return row if self.order_out is None else row[self.order_out.argsort()]

    @property
    def extent(self) -> tuple[int, ...]:
        """Pixels that the kernel spans on every axis."""
        return tuple(d * (self.kernel_size - 1) + 1 for d in self.dilation)

    def check_sampling(self, shape: Sequence[int], padding: Sequence[int], stride: Sequence[int]) -> None:
        """Raise ValueError when a strided axis is sampled off its middle, so that the group does not keep the sampled pixels.

        Args:
            shape: pixels of every axis, padding: pixels of zeros on either side of it.
        """
        for axis, (n, pad, size, step) in enumerate(zip(shape, padding, self.extent, stride)):
            if step == 1 or not self.moved_axes[axis]:
                continue
            last, spare = divmod(n + 2 * pad - size, step)
            # Other lattices than squares turn about a pixel, which has to be among the sampled ones.
            if spare or (last % 2 and not self.lattice.is_square):
                raise ValueError(
                    f"{type(self).__name__} with stride {step} samples axis {axis} of {n} pixels off its middle (padding {pad},"
                    f" kernel of {size} pixels), so that {self.in_type.group} does not map the sampled pixels to each other: "
                    "take one pixel more or fewer, another padding, a kernel_size of the other parity, or GridPool"
                )

    def check_lattice(self, modes: Sequence[str]) -> None:
        """Raise ValueError for what breaks the symmetry that the group and the lattice have."""
        if not self.lattice.is_square and any(self.moved_axes) and set(modes) - {"zeros", "circular"}:
            raise ValueError(f'padding_mode {modes} is for square lattices: others have "zeros" and "circular"')
        if self.lattice.mixes_axes(self.in_type.group) and (len(set(self.stride)) > 1 or len(set(self.dilation)) > 1):
            raise ValueError(
                f"{self.in_type.group} turns the axes of the image into each other: it needs one stride and one dilation for "
                f"them, got stride={self.stride}, dilation={self.dilation}"
            )

    def extra_repr(self) -> str:
        parts = [f"{self.in_type}, {self.out_type}, kernel_size={self.kernel_size}"]
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if not self.lattice.is_square:
            parts.append(f"lattice={self.lattice.steps}")
        parts.append(f"basis={self.basis!r}, bias={self.bias is not None}")
        parts.append(f"padding={self.padding}, stride={self.stride}, dilation={self.dilation}, padding_mode={self.pad.modes}")
        return ", ".join(parts)


def _check_groups(groups: int, *types: FieldType) -> int:
    for type in types:
        for mul, rep in type.blocks:
            if mul % groups:
                raise ValueError(f"groups={groups} does not divide the {mul} copies of {rep} in {type}")
    return int(groups)


def _share(type: FieldType, groups: int) -> FieldType:
    return type if groups == 1 else FieldType(type.group, [(mul // groups, rep) for mul, rep in type.blocks])


def _by_group(type: FieldType, groups: int) -> Tensor:
    """The channels of a type, group by group: (dim,). Group j has the j-th part of the copies of every block."""
    parts = [torch.arange(s.start, s.stop).view(rep.dim, groups, -1) for s, (_, rep) in zip(type.slices, type.blocks)]
    return torch.cat([part.transpose(0, 1).flatten(1) for part in parts], 1).flatten()
