"""Pooling of fields on images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor

from ..fields import FieldType
from .checks import check_features
from .exportable import Exportable
from .grid_padding import CLOSED, GridPadding
from .nonlinearities import is_pointwise

REDUCTIONS = ("max", "mean")


class GridPool(Exportable):
    r"""Pools blocks of ``size`` x ``size`` pixels to one.

    "mean" averages the fields. "max" takes the largest value of every component where the group permutes components
    (trivial, regular, quotient), and of every other copy the member of the largest norm, as in :class:`GaugePool` (for sign
    fields: Weiler et al. 2021, arXiv 2106.06020, section 5); the mean of them where several tie, as they do at mirror images.

    An axis of pixels that do not divide by ``size`` is continued round when it is closed. One that ends is cut into blocks
    from either end, with the shorter block at the other, and the two results are averaged: blocks from one end only
    would make a difference between an image and its mirror image. On a closed axis pooling commutes with shifts by
    multiples of ``size`` only.

    Args:
        type: field type of input and output, over a group of the plane.
        size: pixels a side of a block.
        reduce: "max" or "mean".
        padding_mode: "circular" or "moebius" (any other: the axes end), or one per axis; see :class:`GridPadding`.

    Shapes:
        (B, type.dim, H, W) -> (B, type.dim, ceil(H / size), ceil(W / size)).
    """

    def __init__(
        self, type: FieldType, size: int = 2, reduce: str = "max", *, padding_mode: str | Sequence[str] = "zeros"
    ) -> None:
        super().__init__()
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise ValueError(f"GridPool expected a size of at least 1, got {size!r}")
        if reduce not in REDUCTIONS:
            raise ValueError(f"GridPool expected reduce {' or '.join(map(repr, REDUCTIONS))}, got {reduce!r}")
        if type.group.dim != 2:
            raise ValueError(f"GridPool expected fields over a group of the plane, got {type.group}")
        self.in_type = self.out_type = type
        self.size, self.reduce = int(size), reduce
        self.pad = GridPadding(type, 0, padding_mode)
        self._pointwise = [is_pointwise(rep) for _, rep in type.blocks]

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "GridPool", 4)
        x = self._close(x)
        # Spare pixels (at the top or left, at the bottom or right) of every way to lay the blocks.
        ends = [sorted({(spare, 0), (0, spare)}) for spare in ((-n) % self.size for n in x.shape[2:])]
        pooled = [self._pool(x, [*left_right, *top_bottom]) for top_bottom, left_right in product(*ends)]
        return pooled[0] if len(pooled) == 1 else sum(pooled) / len(pooled)

    def _close(self, x: Tensor) -> Tensor:
        """Closed axes, continued to a multiple of the size."""
        for axis, mode in ((2, self.pad.modes[0]), (3, self.pad.modes[1])):
            spare = (-x.shape[axis]) % self.size
            if spare and mode in CLOSED:
                following = x.narrow(axis, 0, spare)
                x = torch.cat([x, self.pad.turn_over(following) if mode == "moebius" else following], axis)
        return x

    def _pool(self, x: Tensor, ends: list[int]) -> Tensor:
        if self.reduce == "mean":
            if not any(ends):
                return F.avg_pool2d(x, self.size)
            inside = F.avg_pool2d(F.pad(x.new_ones(1, 1, *x.shape[2:]), ends), self.size)
            return F.avg_pool2d(F.pad(x, ends), self.size) / inside
        if all(self._pointwise):
            return F.max_pool2d(F.pad(x, ends, value=-torch.inf) if any(ends) else x, self.size)
        parts = []
        for (mul, rep), rows, pointwise in zip(self.in_type.blocks, self.in_type.slices, self._pointwise):
            if pointwise:
                parts.append(F.max_pool2d(F.pad(x[:, rows], ends, value=-torch.inf), self.size))
            else:  # pixels beyond the end are zeros, and never larger than those inside
                parts.append(_largest(F.pad(x[:, rows], ends).unflatten(1, (rep.dim, mul)), self.size).flatten(1, 2))
        return torch.cat(parts, 1)

    def extra_repr(self) -> str:
        return f"{self.in_type}, size={self.size}, reduce={self.reduce!r}, padding_mode={self.pad.modes}"


def tie_tolerance(dtype: torch.dtype) -> float:
    """Squared norms nearer than this, relative, tie."""
    return 64 * torch.finfo(torch.promote_types(dtype, torch.float32)).eps


def _largest(x: Tensor, size: int) -> Tensor:
    """(B, n, mul, H, W) -> (B, n, mul, H / size, W / size): for every copy the member of largest norm, the mean of ties."""
    blocks = x.unflatten(4, (-1, size)).unflatten(3, (-1, size))  # (B, n, mul, H', size, W', size)
    exact = torch.promote_types(x.dtype, torch.float32)  # in half precision too much would tie
    power = blocks.detach().to(exact).square().sum(1, keepdim=True)
    chosen = (power >= power.amax((4, 6), keepdim=True) * (1 - tie_tolerance(x.dtype))).to(x.dtype)
    return (blocks * chosen).sum((4, 6)) / chosen.sum((4, 6))
