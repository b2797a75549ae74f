"""From weights to the matrices at every tap of a lattice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..fields import FieldType
from .constants import ConstantModule
from .taps import TapBasis

_ZERO = 1e-12


class TapExpansion(ConstantModule):
    r"""Expands a flat weight vector into one matrix a tap: :math:`K(x_t) = \sum_k w_k\, Q_k(x_t)`.

    The flat vector holds, for every pair (in block, out block) in order, an array (K, mul_in, mul_out).

    Args:
        in_type, out_type: field types over one group.
        taps: (T, d) offsets.
        basis: makes Q for a pair of representations and the taps: something with ``coefficients`` (K, dim_out, dim_in, T),
            every kernel of unit norm. :class:`TapBasis`, or :class:`RingBasis` with its rings filled in.
    """

    def __init__(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray, basis: Callable = TapBasis) -> None:
        super().__init__()
        if in_type.group != out_type.group:
            raise TypeError(f"in_type and out_type must have one group, got {in_type.group} and {out_type.group}")
        self.in_type, self.out_type, self.num_taps = in_type, out_type, len(taps)
        #: (in block, out block, number K of kernels, start in the flat vector)
        self.paths: list[tuple[int, int, int, int]] = []
        self.num_weights = 0
        for i, (mul_in, rep_in) in enumerate(in_type.blocks):
            for o, (mul_out, rep_out) in enumerate(out_type.blocks):
                kernels = basis(rep_in, rep_out, taps).coefficients
                if len(kernels):
                    self._register(f"{i}_{o}", kernels.permute(1, 3, 2, 0))
                self.paths.append((i, o, len(kernels), self.num_weights))
                self.num_weights += len(kernels) * mul_in * mul_out

    def _register(self, name: str, spread: Tensor) -> None:
        """(dim_out, T, dim_in, K). With permutations every entry is one weight: a gather then, instead of a product."""
        spread = spread.flatten(0, 2).contiguous()
        used = spread.abs() > _ZERO
        if used.count_nonzero() <= len(used) and (used.sum(-1) <= 1).all():
            place = spread.abs().argmax(-1)
            self.register_buffer(f"place_{name}", place, persistent=False)
            self.register_constant(f"factor_{name}", spread.gather(-1, place.unsqueeze(-1)))
        else:
            self.register_constant(f"spread_{name}", spread)

    def initial_weight(self) -> Tensor:
        """Random weights that keep the variance of the output near that of the input: (num_weights,)."""
        fan = [0] * len(self.out_type.blocks)
        for i, o, count, _ in self.paths:
            fan[o] += self.in_type.blocks[i][0] * count
        weight = torch.randn(self.num_weights)
        for i, o, count, start in self.paths:
            (mul_in, _), (mul_out, rep_out) = self.in_type.blocks[i], self.out_type.blocks[o]
            if count:
                # A basis element has unit Frobenius norm: sqrt(dim_out) brings each output component to unit variance.
                weight[start : start + count * mul_in * mul_out] *= (rep_out.dim / fan[o]) ** 0.5
        return weight

    def forward(self, weight: Tensor) -> Tensor:
        """(num_weights,) -> (T, in_type.dim, out_type.dim); in memory (out, T, in), which is channels_last for conv2d."""
        rows: list[list[Tensor]] = [[] for _ in self.out_type.blocks]
        blocks = self.in_type.blocks, self.out_type.blocks
        sizes = [count * blocks[0][i][0] * blocks[1][o][0] for i, o, count, _ in self.paths]
        for (i, o, count, _), path in zip(self.paths, weight.split(sizes)):
            (mul_in, rep_in), (mul_out, rep_out) = blocks[0][i], blocks[1][o]
            shape = (rep_out.dim * mul_out, self.num_taps, rep_in.dim * mul_in)
            if not count:
                rows[o].append(weight.new_zeros(shape))
                continue
            # The copies of the input last, as in the result: long runs to copy.
            path = path.view(count, mul_in, mul_out).transpose(1, 2).reshape(count, -1)
            spread = getattr(self, f"spread_{i}_{o}", None)
            if spread is None:
                entries = path.index_select(0, getattr(self, f"place_{i}_{o}")) * getattr(self, f"factor_{i}_{o}")
            else:
                entries = spread @ path
            entries = entries.view(rep_out.dim, self.num_taps, rep_in.dim, mul_out, mul_in)
            rows[o].append(entries.permute(0, 3, 1, 2, 4).reshape(shape))
        rows = [_joined(row, -1) for row in rows]
        return _joined(rows, 0).permute(1, 2, 0)

    def extra_repr(self) -> str:
        return f"{self.in_type} -> {self.out_type}, taps={self.num_taps}, num_weights={self.num_weights}"


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)
