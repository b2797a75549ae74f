"""Images continued beyond their border: with zeros, mirrored, round an axis, or round a Moebius strip."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...fields import FieldType, check_field_types
from ...kernels.constants import ConstantModule
from ...kernels.lattices import Lattice
from ..exporting.exportable import Exportable, Seen
from ..exporting.plain import Pad, traced
from ..tensor_checks import check_features

MODES = ("zeros", "reflect", "replicate", "circular", "moebius")
#: modes of axes without ends
CLOSED = ("circular", "moebius")


class GridPadding(ConstantModule, Exportable):
    r"""Continues a field on an image beyond its border, carried by parallel transport.

    Every axis has its mode. "zeros" ends there, "reflect" and "replicate" repeat the pixels before the end as in
    ``torch.nn.functional.pad`` (a copy, not a mirror image: no group element acts); "circular" closes the axis; "moebius", for
    the x axis of an image, closes it with a twist: beyond the seam the image goes on turned over (y to -y) and acted on by
    :math:`\rho(\mathrm{diag}(1, -1))` (Weiler et al. 2021, arXiv 2106.06020, section 5, transport padding).

    Args:
        type: field type of input and output.
        padding: pixels on either side: one number, or one per axis in the order of the shape.
        mode: one of them for all axes ("moebius": "zeros" in y, "moebius" in x), or one per axis in the order of the shape;
            ("circular", "moebius") is the Klein bottle.

    Shapes:
        (B, type.dim, H, W) -> (B, type.dim, H + 2 padding, W + 2 padding); volumes (B, type.dim, Z, H, W) over groups of space.

    Raises:
        ValueError: an unknown mode, or "moebius" for a group without diag(1, -1); more padding than a closed axis has pixels.
    """

    def __init__(self, type: FieldType, padding: int | Sequence[int], mode: str | Sequence[str] = "zeros") -> None:
        check_field_types(self, type=type)
        super().__init__()
        self.in_type = self.out_type = type
        self.spatial = spatial_axes(type)
        self.padding = per_axis("padding", padding, self.spatial, least=0)
        self.modes = check_modes(mode, type)
        if self.twisted:
            for b, (_, rep) in enumerate(type.blocks):
                self.register_constant(f"reflection_{b}", rep(_flip()))

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"mode": self.modes}

    @property
    def twisted(self) -> bool:
        return self.modes[-1] == "moebius"

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "GridPadding", 2 + self.spatial)
        return self.extend(x, self.padding)

    def extend(self, x: Tensor, padding: Sequence[int]) -> Tensor:
        """The same with so many pixels on either side of every axis."""
        ends: list[int] = []
        for axis, (pad, mode) in enumerate(zip(padding, self.modes)):
            ends = [0, 0, *ends] if mode != "zeros" else [pad, pad, *ends]
            if pad and mode != "zeros":
                x = self._wrap(x, 2 + axis, pad, mode)
        return F.pad(x, ends) if any(ends) else x

    def _wrap(self, x: Tensor, axis: int, pad: int, mode: str) -> Tensor:
        size = x.shape[axis]
        if mode not in CLOSED:
            if pad >= size and mode == "reflect":
                raise ValueError(f"an axis of {size} pixels cannot be padded by {pad} in the mode reflect")
            index = torch.arange(-pad, size + pad, device=x.device)
            index = index.clamp(0, size - 1) if mode == "replicate" else (size - 1 - (size - 1 - index.abs()).abs())
            return x.index_select(axis, index)
        if pad > size:
            raise ValueError(f"a {mode} axis of {size} pixels cannot be padded by {pad}: it would go round more than once")
        before, after = x.narrow(axis, size - pad, pad), x.narrow(axis, 0, pad)
        if mode == "moebius":
            before, after = self.turn_over(before), self.turn_over(after)
        return torch.cat([before, x, after], axis)

    def turn_over(self, x: Tensor) -> Tensor:
        """What stands beyond the seam: (B, type.dim, H, W) turned over, and acted on by the reflection."""
        parts = []
        for b, ((mul, rep), rows) in enumerate(zip(self.in_type.blocks, self.in_type.slices)):
            block, matrix = x[:, rows].flip(2), self.constant(f"reflection_{b}", x)
            if rep.dim == 1:
                parts.append(block * matrix[0, 0])
            else:
                block = block.unflatten(1, (rep.dim, mul))
                parts.append(torch.einsum("ij,bj...->bi...", matrix, block).flatten(1, 2))
        return torch.cat(parts, 1) if parts else x

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        turn = None
        if self.twisted:
            blocks = [getattr(self, f"reflection_{b}") for b in range(len(self.in_type.blocks))]
            eyes = [torch.eye(mul).to(m) for (mul, _), m in zip(self.in_type.blocks, blocks)]
            turn = torch.block_diag(*[torch.kron(m, eye) for m, eye in zip(blocks, eyes)])
        return traced(Pad(self.padding, self.modes, turn))

    def extra_repr(self) -> str:
        return f"{self.in_type}, padding={self.padding}, mode={self.modes}"


def spatial_axes(type: FieldType) -> int:
    """Number of spatial axes of images with fields of a type: the dimension of its group, 2 or 3."""
    check_field_types("a layer on images", type=type)
    if type.group.dim not in (2, 3):
        raise ValueError(f"fields on images and volumes have a group of the plane or of space, got {type.group}")
    return type.group.dim


def per_axis(name: str, value: int | Sequence[int], spatial: int, least: int) -> tuple[int, ...]:
    """One number per axis. ValueError unless they are integers of at least ``least``."""
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * spatial
    if len(values) != spatial or any(isinstance(v, bool) or not isinstance(v, Integral) or v < least for v in values):
        raise ValueError(f"{name} must be an integer of at least {least}, or {spatial} of them, got {value!r}")
    return tuple(int(v) for v in values)


def check_modes(mode: str | Sequence[str], type: FieldType) -> tuple[str, ...]:
    """One padding mode per axis. ValueError for unknown modes and for twists that the group does not know."""
    spatial = spatial_axes(type)
    if isinstance(mode, str):
        modes = ("zeros", "moebius") if (mode, spatial) == ("moebius", 2) else (mode,) * spatial
    else:
        modes = tuple(mode) if isinstance(mode, Sequence) else ()
    if len(modes) != spatial or any(m not in MODES for m in modes):
        raise ValueError(f"padding_mode must be one of {', '.join(MODES)}, or one per axis ({spatial}), got {mode!r}")
    if "moebius" in modes:
        if spatial != 2 or modes[0] == "moebius":
            raise ValueError(f'padding_mode "moebius" is for the x axis of images (B, C, H, W), got {modes}')
        if not bool(type.group.contains(_flip())):
            raise ValueError(
                f'padding_mode "moebius" turns frames over: it needs a group that contains diag(1, -1), got {type.group}'
            )
    return modes


def turned_axes(type: FieldType, lattice: Lattice, modes: Sequence[str]) -> list[bool]:
    """Which axes the group turns over (or into others), or the seam of a Klein bottle."""
    return [moved or (axis == 0 and "moebius" in modes) for axis, moved in enumerate(lattice.moved_axes(type.group))]


def check_closed(
    layer: str,
    type: FieldType,
    lattice: Lattice,
    modes: Sequence[str],
    extent: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
    *,
    only_turned: bool = False,
) -> None:
    """Raise ValueError when windows of ``extent`` pixels that begin ``padding`` pixels before a closed axis do not fit it.

    Where the group turns the axis over, windows have to lie about the first pixel (extent = 2 padding + 1) or about the middle
    of the axis (extent = 2 padding + stride); beyond the seam of a Klein bottle the y axis is turned over about its middle.
    """
    turned = turned_axes(type, lattice, modes)
    for axis, mode in enumerate(modes):
        if mode not in CLOSED or (only_turned and not turned[axis]):
            continue
        rest, step = extent[axis] - 2 * padding[axis], stride[axis]
        if axis == 0 and "moebius" in modes:
            fits, wanted = rest == step, f"2 padding + {step}"
        elif turned[axis]:
            fits, wanted = rest in (1, step), f"2 padding + 1{f' or + {step}' if step > 1 else ''}"
        else:
            fits, wanted = 1 <= rest <= step, f"2 padding + 1{f' to + {step}' if step > 1 else ''}"
        if not fits:
            raise ValueError(
                f"{layer} with {extent[axis]} pixels, padding {padding[axis]} and stride {step} does not go evenly round the "
                f"{mode} axis {axis} over {type.group}: take {wanted} pixels"
            )


def _flip() -> Tensor:
    return torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64, device="cpu"))
