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
from ..exporting.plain import MAX_POOL, LargestPool, MeanPool, Narrow, blocks_of, traced
from ..fields.nonlinearities import is_pointwise
from ..tensor_checks import check_features
from .padding import CLOSED, GridPadding, check_closed, per_axis, spatial_axes, turned_axes

REDUCTIONS = ("max", "mean")
_MEAN_POOL: dict[int, Any] = {2: F.avg_pool2d, 3: F.avg_pool3d}


class GridPool(Exportable):
    r"""Pools windows of ``size`` pixels a side, ``stride`` pixels apart, to one pixel each.

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
        type: field type of input and output.
        size: pixels a side of a window.
        reduce: "max" or "mean".
        stride: pixels from window to window, at most ``size``; by default ``size``.
        padding: pixels by which the first and the last window go beyond the ends (on a closed axis: by which the first window
            begins before the first pixel); one number or one per axis, below ``size``.
        padding_mode: "circular" or "moebius" (any other: the axes end), or one per axis; see :class:`GridPadding`.
        lattice: see :class:`GridConv`.

    Shapes:
        (B, type.dim, H, W) -> (B, type.dim, H', W') with H' = ceil((H + 2 padding - size) / stride) + 1, less
        a window that holds padding alone; on a closed axis ceil(H / stride). Volumes (B, type.dim, Z, H, W) likewise.

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
        self.in_type = self.out_type = type
        self.size, self.stride, self.reduce, self.spatial = int(size), int(stride), reduce, spatial_axes(type)
        self.padding = per_axis("padding", padding, self.spatial, least=0)
        if max(self.padding) >= size:
            raise ValueError(f"GridPool expected a padding below its size {size}, got {padding!r}")
        self.pad = GridPadding(type, 0, padding_mode)
        self.lattice = Lattice.of(lattice, self.spatial)
        #: pixels of a window (one number for every axis) that belong to it; None for all
        self.taps = None if self.lattice.is_box else self._inside()
        self._turned = turned_axes(type, self.lattice, self.pad.modes)
        extent, steps = [self.size] * self.spatial, [self.stride] * self.spatial
        # Windows always go round where nothing turns the axis over.
        check_closed("GridPool", type, self.lattice, self.pad.modes, extent, self.padding, steps, only_turned=True)
        self._mixes_axes = not self.lattice.is_box and self.lattice.mixes_axes(type.group)
        self.pointwise = [is_pointwise(rep) for _, rep in type.blocks]

    def _inside(self) -> list[tuple[int, ...]]:
        places = np.unravel_index(self.lattice.taps(self.size)[0], (self.size,) * self.spatial)
        return [tuple(int(n) for n in place) for place in zip(*places)]

    def _layouts(self, shape: Sequence[int]) -> tuple[list[int], list[tuple[int, int]], list[list[int]]]:
        """The windows of all axes: their numbers, the pixels by which closed axes are continued, and all ways to lay them, as
        arguments of torch.nn.functional.pad."""
        found = [self.windows(axis, n) for axis, n in enumerate(shape)]
        ends = [[pad for pair in reversed(way) for pad in pair] for way in product(*[ways for *_, ways in found])]
        return [count for count, *_ in found], [closed for _, closed, _ in found], ends

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
        check_features(x, self.in_type, None, "GridPool", 2 + self.spatial)
        count, closed, ways = self._layouts(x.shape[2:])
        for axis, (before, after) in enumerate(closed):
            if before or after:
                x = self._close(x, 2 + axis, before, after)
        pooled = [self._pool(x, ends, count) for ends in ways]
        return pooled[0] if len(pooled) == 1 else _sum(pooled) / len(pooled)

    def _close(self, x: Tensor, axis: int, before: int, after: int) -> Tensor:
        """A closed axis, continued."""
        n, turn = x.shape[axis], self.pad.modes[axis - 2] == "moebius"
        parts = [x.narrow(axis, n - before, before), x, x.narrow(axis, 0, max(after, 0))]
        if turn:
            parts = [self.pad.turn_over(parts[0]), x, self.pad.turn_over(parts[2])]
        return torch.cat([part for part in parts if part.shape[axis]], axis).narrow(axis, 0, before + n + after)

    def _pool(self, x: Tensor, ends: list[int], count: Sequence[int]) -> Tensor:
        if self.reduce == "mean":
            return self._mean(x, ends, count)
        if self.taps is None and all(self.pointwise):
            return MAX_POOL[self.spatial](F.pad(x, ends, value=-torch.inf) if any(ends) else x, self.size, self.stride)
        parts = []
        for (mul, rep), rows, pointwise in zip(self.in_type.blocks, self.in_type.slices, self.pointwise):
            block = x[:, rows]
            if not pointwise:  # pixels beyond the end are zeros, and never larger than those inside
                block = F.pad(block, ends) if any(ends) else block
                parts.append(self._largest(block.unflatten(1, (rep.dim, mul)), count).flatten(1, 2))
            elif self.taps is None:
                block = F.pad(block, ends, value=-torch.inf) if any(ends) else block
                parts.append(MAX_POOL[self.spatial](block, self.size, self.stride))
            else:
                parts.append(fold(torch.maximum, self._seen(F.pad(block, ends), count)))
        return torch.cat(parts, 1)

    def _mean(self, x: Tensor, ends: list[int], count: Sequence[int]) -> Tensor:
        pool = _MEAN_POOL[self.spatial]
        if self.taps is not None:
            return _sum(self._seen(F.pad(x, ends), count)) / len(self.taps)
        if not any(ends):
            return pool(x, self.size, self.stride)
        inside = pool(F.pad(x.new_ones(1, 1, *x.shape[2:]), ends), self.size, self.stride)
        return pool(F.pad(x, ends), self.size, self.stride) / inside

    def _seen(self, x: Tensor, count: Sequence[int]) -> list[Tensor]:
        """What all windows see at each of their pixels: (..., H', W') for every tap."""
        taps: Iterable[tuple[int, ...]] = product(range(self.size), repeat=self.spatial) if self.taps is None else self.taps
        return [strided(x, tap, self.stride, count) for tap in taps]

    def _largest(self, x: Tensor, count: Sequence[int]) -> Tensor:
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
        _, continued, ends = self._layouts(shape)
        taps = list(product(range(self.size), repeat=self.spatial)) if self.taps is None else self.taps
        windows = self.size, taps, self.stride, ends
        if self.reduce == "mean":
            pool: nn.Module
            closed = [n + sum(pixels) for n, pixels in zip(shape, continued)]
            pool = MeanPool(*windows, inside=torch.ones(1, 1, *closed) if self.taps is None else None)
        else:
            pool = LargestPool(*windows, blocks=blocks_of(self.in_type), eps=tie_tolerance(dtype))
        pool = traced(pool.to(dtype))
        if not any(any(pixels) for pixels in continued):
            return pool
        most = [max(pixels) for pixels in continued]
        parts = [(m - before, before + n + after) for m, (before, after), n in zip(most, continued, shape)]
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
            mean: Any = {2: nn.AvgPool2d, 3: nn.AvgPool3d}[self.spatial]
            return mean(self.size, self.stride, padding, count_include_pad=False)
        largest: Any = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[self.spatial]
        return largest(self.size, self.stride, padding) if all(self.pointwise) else None

    def extra_repr(self) -> str:
        parts = [f"{self.in_type}, size={self.size}, reduce={self.reduce!r}, stride={self.stride}, padding={self.padding}"]
        parts += [f"padding_mode={self.pad.modes}"]
        parts += [] if self.lattice.is_square else [f"lattice={self.lattice.steps}"]
        return ", ".join(parts)


def _sum(parts: Iterable[Tensor]) -> Any:
    """The sum of tensors, of which type checkers think that there may be none."""
    return sum(parts)


def strided(x: Tensor, first: Sequence[int], stride: int, count: Sequence[int]) -> Tensor:
    """Every ``stride``-th pixel from the first one on, ``count`` of them along each of the last axes."""
    inside = [slice(i, i + (n - 1) * stride + 1, stride) for i, n in zip(first, count)]
    place: Any = (Ellipsis, *inside)
    return x[place]


def tie_tolerance(dtype: torch.dtype) -> float:
    """Squared norms nearer than this, relative, tie."""
    return 64 * torch.finfo(torch.promote_types(dtype, torch.float32)).eps
