"""Pooling of fields on images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import reduce as fold
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import check_choice, check_int
from ...fields import FieldType, check_field_types
from ...kernels.lattices import Lattice
from ..exporting.exportable import Exportable, Seen
from ..exporting.plain import LargestPool, MeanPool, Narrow, blocks_of, traced
from ..fields.nonlinearities import is_pointwise
from ..tensor_checks import check_features
from .padding import CLOSED, GridPadding, check_closed, per_axis, turned_axes

REDUCTIONS = ("max", "mean")


class GridPool(Exportable):
    r"""Pools windows of ``size`` x ``size`` pixels, ``stride`` pixels apart, to one pixel each.

    "mean" averages the fields. "max" takes the largest value of every component where the group permutes components
    (trivial, regular, quotient), and of every other copy the member of the largest norm, as in :class:`GaugePool` (for sign
    fields: Weiler et al. 2021, arXiv 2106.06020, section 5). For antialiased pooling take stride 1 and a :class:`GridBlur`
    behind it (Zhang 2019, arXiv 1904.11486).

    Windows that do not fit on an axis that ends are laid from either end, going beyond the other, and the two results are
    averaged: windows from one end only would make a difference between an image and its mirror image. Pixels beyond
    the end do not count. A closed axis is continued round; on it pooling commutes with shifts by multiples of ``stride``.

    On other lattices than squares the windows are those of the kernels of :class:`GridConv` (hexagons), what lies beyond the
    ends counts as zero (see :class:`GridMask`), and windows have to fit: with size 3, stride 2, padding 1 an array of 4 k + 1
    pixels.

    Args:
        type: field type of input and output, over a group of the plane.
        size: pixels a side of a window.
        reduce: "max" or "mean".
        stride: pixels from window to window, at most ``size``; by default ``size``.
        padding: pixels by which the first and the last window go beyond the ends (on a closed axis: by which the first window
            begins before the first pixel); one number or one per axis, below ``size``.
        padding_mode: "circular" or "moebius" (any other: the axes end), or one per axis; see :class:`GridPadding`.
        lattice: see :class:`GridConv`.

    Shapes:
        (B, type.dim, H, W) -> (B, type.dim, H', W') with H' = ceil((H + 2 padding - size) / stride) + 1, less
        a window that holds padding alone; on a closed axis ceil(H / stride).

    Raises:
        ValueError: arguments that do not fit; windows that go round an axis more than once, or not evenly where the group
            turns it over (:func:`~gaugenet.nn.grid.padding.check_closed`); on other lattices windows that do not fit.
    """

    def __init__(
        self,
        type: FieldType,
        size: int = 2,
        reduce: str = "max",
        *,
        stride: int | None = None,
        padding: int | Sequence[int] = 0,
        padding_mode: str | Sequence[str] = "zeros",
        lattice: str | Lattice | np.ndarray = "square",
    ) -> None:
        super().__init__()
        check_field_types(self, type=type)
        check_int(self, "size", size)
        stride = check_int(self, "stride", size if stride is None else stride, 1, size)
        check_choice(self, "reduce", reduce, REDUCTIONS)
        if type.group.dim != 2:
            raise ValueError(f"GridPool expected fields over a group of the plane, got {type.group}")
        self.in_type = self.out_type = type
        self.size, self.stride, self.reduce = int(size), int(stride), reduce
        self.padding = per_axis("padding", padding, 2, least=0)
        if max(self.padding) >= size:
            raise ValueError(f"GridPool expected a padding below its size {size}, got {padding!r}")
        self.pad = GridPadding(type, 0, padding_mode)
        self.lattice = Lattice.of(lattice)
        #: rows and columns of a window that belong to it; None for all
        self.taps = None if self.lattice.is_square else [divmod(int(n), self.size) for n in self.lattice.taps(self.size)[0]]
        self._turned = turned_axes(type, self.lattice, self.pad.modes)
        extent, steps = [self.size] * 2, [self.stride] * 2
        # Windows always go round where nothing turns the axis over.
        check_closed("GridPool", type, self.lattice, self.pad.modes, extent, self.padding, steps, only_turned=True)
        self._mixes_axes = not self.lattice.is_square and self.lattice.mixes_axes(type.group)
        self.pointwise = [is_pointwise(rep) for _, rep in type.blocks]

    def windows(self, axis: int, n: int) -> tuple[int, tuple[int, int], list[tuple[int, int]]]:
        """How the windows lie on an axis of n pixels.

        Returns:
            their number; the pixels (before, after) by which a closed axis is continued, negative for cut; and all ways to lay
            the windows, as pixels (before, after) that lie beyond the ends.
        """
        pad = self.padding[axis]
        if self.pad.modes[axis] in CLOSED:
            count = -(-n // self.stride)
            if self._turned[axis] and n % self.stride:
                raise ValueError(f"GridPool closes axis {axis} of {n} pixels, no multiple of its stride {self.stride}")
            after = (count - 1) * self.stride + self.size - pad - n
            if max(pad, after) > n:
                raise ValueError(f"windows of {self.size} go round an axis of {n} pixels more than once")
            return count, (pad, after), [(0, 0)]
        count = max(-(-(n + 2 * pad - self.size) // self.stride), 0) + 1
        spare = (count - 1) * self.stride + self.size - n - 2 * pad
        if pad + spare >= self.size:  # the last window would hold padding alone
            count, spare = count - 1, spare - self.stride
        if self._mixes_axes and self.stride > 1 and (spare or count % 2 == 0):
            raise ValueError(
                f"{self.in_type.group} does not map the windows of GridPool (size {self.size}, stride {self.stride}, padding "
                f"{pad}) on axis {axis} of {n} pixels to each other about its middle: an odd number of them has to fit"
            )
        return count, (0, 0), sorted({(pad + spare, pad), (pad, pad + spare)})

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "GridPool", 4)
        (height, rows, tops), (width, columns, lefts) = (self.windows(axis, n) for axis, n in enumerate(x.shape[2:]))
        for axis, (before, after) in enumerate((rows, columns)):
            if before or after:
                x = self._close(x, 2 + axis, before, after)
        pooled = [self._pool(x, [*left, *top], (height, width)) for top, left in product(tops, lefts)]
        return pooled[0] if len(pooled) == 1 else _sum(pooled) / len(pooled)

    def _close(self, x: Tensor, axis: int, before: int, after: int) -> Tensor:
        """A closed axis, continued."""
        n, turn = x.shape[axis], self.pad.modes[axis - 2] == "moebius"
        parts = [x.narrow(axis, n - before, before), x, x.narrow(axis, 0, max(after, 0))]
        if turn:
            parts = [self.pad.turn_over(parts[0]), x, self.pad.turn_over(parts[2])]
        return torch.cat([part for part in parts if part.shape[axis]], axis).narrow(axis, 0, before + n + after)

    def _pool(self, x: Tensor, ends: list[int], count: tuple[int, int]) -> Tensor:
        if self.reduce == "mean":
            return self._mean(x, ends, count)
        if self.taps is None and all(self.pointwise):
            return F.max_pool2d(F.pad(x, ends, value=-torch.inf) if any(ends) else x, self.size, self.stride)
        parts = []
        for (mul, rep), rows, pointwise in zip(self.in_type.blocks, self.in_type.slices, self.pointwise):
            block = x[:, rows]
            if not pointwise:  # pixels beyond the end are zeros, and never larger than those inside
                block = F.pad(block, ends) if any(ends) else block
                parts.append(self._largest(block.unflatten(1, (rep.dim, mul)), count).flatten(1, 2))
            elif self.taps is None:
                block = F.pad(block, ends, value=-torch.inf) if any(ends) else block
                parts.append(F.max_pool2d(block, self.size, self.stride))
            else:
                parts.append(fold(torch.maximum, self._seen(F.pad(block, ends), count)))
        return torch.cat(parts, 1)

    def _mean(self, x: Tensor, ends: list[int], count: tuple[int, int]) -> Tensor:
        if self.taps is not None:
            return _sum(self._seen(F.pad(x, ends), count)) / len(self.taps)
        if not any(ends):
            return F.avg_pool2d(x, self.size, self.stride)
        inside = F.avg_pool2d(F.pad(x.new_ones(1, 1, *x.shape[2:]), ends), self.size, self.stride)
        return F.avg_pool2d(F.pad(x, ends), self.size, self.stride) / inside

    def _seen(self, x: Tensor, count: tuple[int, int]) -> list[Tensor]:
        """What all windows see at each of their pixels: (..., H', W') for every tap."""
        taps: Iterable[tuple[int, int]] = product(range(self.size), range(self.size)) if self.taps is None else self.taps
        return [strided(x, tap, self.stride, count) for tap in taps]

    def _largest(self, x: Tensor, count: tuple[int, int]) -> Tensor:
        """(B, n, mul, H, W) -> (B, n, mul, H', W'): for every copy the member of largest norm, the mean of ties."""
        exact = torch.promote_types(x.dtype, torch.float32)  # in half precision too much would tie
        powers = self._seen(x.detach().to(exact).square().sum(1, keepdim=True), count)
        least = fold(torch.maximum, powers) * (1 - tie_tolerance(x.dtype))
        chosen = [(power >= least).to(x.dtype) for power in powers]
        return _sum(member * there for member, there in zip(self._seen(x, count), chosen)) / _sum(chosen)

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        native = self._native_pool(seen)
        if native is not None:
            return native
        shape, dtype = self.only(seen)
        (_, rows, tops), (_, columns, lefts) = (self.windows(axis, n) for axis, n in enumerate(shape))
        ends = [[*left, *top] for top, left in product(tops, lefts)]
        taps = list(product(range(self.size), repeat=2)) if self.taps is None else self.taps
        windows = self.size, taps, self.stride, ends
        if self.reduce == "mean":
            pool: nn.Module
            closed = [n + sum(pixels) for n, pixels in zip(shape, (rows, columns))]
            pool = MeanPool(*windows, inside=torch.ones(1, 1, *closed) if self.taps is None else None)
        else:
            pool = LargestPool(*windows, blocks=blocks_of(self.in_type), eps=tie_tolerance(dtype))
        pool = traced(pool.to(dtype))
        if not any((*rows, *columns)):
            return pool
        most = [max(pixels) for pixels in (rows, columns)]
        parts = [(m - before, before + n + after) for m, (before, after), n in zip(most, (rows, columns), shape)]
        pad = GridPadding(self.in_type, most, self.pad.modes).to(dtype)
        return nn.Sequential(pad.plain(()), traced(Narrow(parts)), pool)

    def _native_pool(self, seen: Collection[Seen]) -> nn.Module | None:
        """torch's own layer, where it does the same for all images seen."""
        if not seen or self.taps is not None or any(2 * pad > self.size for pad in self.padding):
            return None
        for image in seen:
            for axis, n in enumerate(image.shape):
                _, closed, ends = self.windows(axis, n)
                if any(closed) or ends != [(0, 0) if self.pad.modes[axis] in CLOSED else (self.padding[axis],) * 2]:
                    return None
        padding: Any = tuple(0 if mode in CLOSED else pad for pad, mode in zip(self.padding, self.pad.modes))
        if self.reduce == "mean":
            return nn.AvgPool2d(self.size, self.stride, padding, count_include_pad=False)
        return nn.MaxPool2d(self.size, self.stride, padding) if all(self.pointwise) else None

    def extra_repr(self) -> str:
        parts = [f"{self.in_type}, size={self.size}, reduce={self.reduce!r}, stride={self.stride}, padding={self.padding}"]
        parts += [f"padding_mode={self.pad.modes}"]
        parts += [] if self.lattice.is_square else [f"lattice={self.lattice.steps}"]
        return ", ".join(parts)


def _sum(parts: Iterable[Tensor]) -> Any:
    """The sum of tensors, of which type checkers think that there may be none."""
    return sum(parts)


def strided(x: Tensor, first: tuple[int, int], stride: int, count: tuple[int, int]) -> Tensor:
    """Every ``stride``-th pixel from the first one on, ``count`` of them along each of the last two axes."""
    (i, j), (height, width) = first, count
    return x[..., i : i + (height - 1) * stride + 1 : stride, j : j + (width - 1) * stride + 1 : stride]


def tie_tolerance(dtype: torch.dtype) -> float:
    """Squared norms nearer than this, relative, tie."""
    return 64 * torch.finfo(torch.promote_types(dtype, torch.float32)).eps
