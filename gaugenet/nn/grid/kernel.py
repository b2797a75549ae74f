"""What convolutions on images share: field types, kernels on the taps of a lattice, weights, biases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...checks import check_int
from ...fields import FieldType, check_field_types
from ...kernels.constants import ConstantModule
from ...kernels.kernel import KernelFamily
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
        family: KernelFamily,
        *,
        stride: int | Sequence[int],
        dilation: int | Sequence[int],
        bias: bool,
        groups: int,
        lattice: str | Lattice | np.ndarray,
    ) -> None:
        super().__init__()
        check_field_types(self, in_type=in_type, out_type=out_type)
        check_int(self, "kernel_size", kernel_size)
        check_int(self, "groups", groups)
        self.in_type, self.out_type, self.family = in_type, out_type, family
        self.spatial = spatial_axes(in_type)
        self.lattice = Lattice.of(lattice, self.spatial)
        whole = getattr(family, "period", None) is not None
        place, self.taps = self.lattice.taps(kernel_size, whole)
        self.kernel_size, self.groups = int(kernel_size), _check_groups(groups, in_type, out_type)
        self.stride = per_axis("stride", stride, self.spatial, least=1)
        self.dilation = per_axis("dilation", dilation, self.spatial, least=1)
        share_in, share_out = _share(in_type, self.groups), _share(out_type, self.groups)
        #: a :class:`gaugenet.kernels.kernel.TapExpansion`, and what else families have for layers of their own
        self.expansion: Any = family.on_taps(share_in, share_out, self.taps)
        # Where the taps are all pixels of the kernel, none has to be put into its place.
        whole = len(place) == self.kernel_size**self.spatial
        self.register_constant("place", None if whole else torch.from_numpy(place))
        for name, type in (("order_in", in_type), ("order_out", out_type)):
            order = None if self.groups == 1 else _by_group(type, self.groups)
            self.register_constant(name, order if name == "order_in" or order is None else order.argsort())
        self.moved_axes = self.lattice.moved_axes(in_type.group)
        for name, (rows, *rest) in self.expansion.parameter_shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(self.groups * rows, *rest)))
        self.bias = FieldBias(out_type) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        initial = [self.expansion.initial_parameters() for _ in range(self.groups)]
        with torch.no_grad():
            for name, parameter in zip(self.expansion.parameter_shapes, self.kernel_parameters()):
                parameter.copy_(torch.cat([part[name] for part in initial]))
        if self.bias is not None:
            self.bias.reset_parameters()

    def kernel_parameters(self) -> list[Tensor]:
        """What the kernel is made of, in the order of the expansion."""
        return [getattr(self, name) for name in self.expansion.parameter_shapes]

    @property
    def basis(self) -> str | None:
        """ "complete" or "band_limited"; None for other families of kernels."""
        if isinstance(self.family, Taps | Rings):
            return "complete" if self.rings is None else "band_limited"
        return None

    @property
    def rings(self) -> Rings | None:
        """Of band-limited kernels; None for others."""
        return self.family if isinstance(self.family, Rings) else getattr(self.family, "rings", None)

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        if isinstance(self.family, Taps | Rings):  # Taps of rings are Rings: basis and rings tell
            del found["kernel"]
        if found.get("rings", 0) is None:  # of a published family its default, which its own layer fills in
            del found["rings"]
        return found

    def kernel(self) -> Tensor:
        """K at the taps as a weight of conv2d: (out_type.dim, in_type.dim / groups, kernel_size, kernel_size).

        With ``groups`` > 1 its rows are group by group.
        """
        parameters = self.kernel_parameters()
        if self.groups == 1:
            return self._as_weight(self.expansion(*parameters))
        expand = torch.func.vmap(self.expansion.forward, out_dims=1)
        taps = expand(*[p.unflatten(0, (self.groups, -1)) for p in parameters])  # (T, groups, in, out)
        return self._as_weight(taps.transpose(1, 2).flatten(2))

    def _as_weight(self, taps: Tensor) -> Tensor:
        """Matrices at the taps (T, in, out) as a weight of conv2d."""
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
            if spare or (last % 2 and not self.lattice.is_box):
                self._off_middle(
                    f"{type(self).__name__} with stride {step} samples axis {axis} of {n} pixels off its middle (padding {pad},"
                    f" kernel of {size} pixels), so that {self.in_type.group} does not map the sampled pixels to each other: "
                    "take one pixel more or fewer, another padding, a kernel_size of the other parity, or GridPool"
                )

    def _off_middle(self, message: str) -> None:
        raise ValueError(message)

    def check_lattice(self, modes: Sequence[str]) -> None:
        """Raise ValueError for what breaks the symmetry that the group and the lattice have."""
        if not self.lattice.is_box and any(self.moved_axes) and set(modes) - {"zeros", "circular"}:
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
        short = isinstance(self.family, Taps | Rings)
        parts.append(f"basis={self.basis!r}" if short else f"kernel={self.family}")
        parts.append(f"bias={self.bias is not None}")
        parts.append(f"padding={self.padding}, stride={self.stride}, dilation={self.dilation}, padding_mode={self.pad.modes}")
        return ", ".join(parts)


def grid_family(
    kernel: KernelFamily | None,
    kernel_size: int,
    basis: str,
    rings: Sequence[float] | None,
    sigma: float | Sequence[float] | None,
    max_frequency: int | Sequence[int] | Callable[[float], int] | None,
    layer: str,
) -> KernelFamily:
    """The kernel family of a layer on arrays: ``kernel``, or what its short form says.

    Raises:
        TypeError: a kernel that is no family. ValueError: both; an unknown basis; rings of the complete basis.
    """
    ring_options: tuple[Any, ...] = (rings, sigma, max_frequency)
    given = any(option is not None for option in ring_options)
    if kernel is not None:
        if isinstance(kernel, type) or not isinstance(kernel, KernelFamily):
            raise TypeError(
                f"{layer} expected kernel to be a kernel family such as kernels.Taps() or kernels.Rings.of(5), got {kernel!r}"
            )
        if basis != "complete" or given:
            raise ValueError(
                f"{layer} got kernel={kernel} and its short form: basis, rings, sigma and max_frequency are options of "
                "kernels.Taps() and kernels.Rings.of(...)"
            )
        return kernel
    if basis not in BASES:
        raise ValueError(f"unknown basis {basis!r}: expected one of {', '.join(BASES)}")
    if basis == "band_limited":
        return Rings.of(kernel_size, *ring_options)
    if given:
        raise ValueError('rings, sigma and max_frequency belong to basis="band_limited"; the complete basis has none')
    return Taps()


def spaced(
    layer: str,
    type: FieldType,
    lattice: str | Lattice | np.ndarray,
    spacing: Sequence[float],
    kernel_size: int,
    basis: str,
    kernel: KernelFamily | None,
    rings: Sequence[float] | None,
) -> tuple[Lattice, Sequence[float] | None]:
    """The lattice of a spacing, and the radii of its rings where a layer samples kernels on rings of no other."""
    if not isinstance(lattice, str) or lattice != "square":
        raise ValueError(f"{layer} got lattice={lattice!r} and spacing={spacing!r}: a spacing is that of square pixels")
    box = Lattice.box(spacing)
    if box.dim != spatial_axes(type):
        raise ValueError(f"{layer} expected spacing to have {spatial_axes(type)} numbers, one for every axis, got {spacing!r}")
    box.check_kept(type.group, layer)
    if rings is None and basis == "band_limited" and kernel is None:
        outermost = (check_int(layer, "kernel_size", kernel_size) - 1) / 2 * max(spacing)
        rings = tuple(float(r) for r in np.arange(outermost % 1, outermost + 0.5))
    return box, rings


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
