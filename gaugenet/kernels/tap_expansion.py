"""From weights to the matrices at every tap of a lattice."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..fields import FieldType
from .constants import ConstantModule
from .taps import TapBasis

_ZERO = 1e-12
# Blocks of as many copies are expanded as one up to this dimension: fewer products, and hardly larger ones.
_TOGETHER = 8


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
        kernels: dict[tuple[int, int], Tensor] = {}
        for i, (mul_in, rep_in) in enumerate(in_type.blocks):
            for o, (mul_out, rep_out) in enumerate(out_type.blocks):
                kernels[i, o] = basis(rep_in, rep_out, taps).coefficients
                self.paths.append((i, o, len(kernels[i, o]), self.num_weights))
                self.num_weights += len(kernels[i, o]) * mul_in * mul_out
        self._runs_in, self._runs_out = _runs(in_type), _runs(out_type)
        for a, run_in in enumerate(self._runs_in):
            for b, run_out in enumerate(self._runs_out):
                self._register(f"{a}_{b}", [[kernels[i, o] for o in run_out.blocks] for i in run_in.blocks])
        #: numbers of weights, from every block to every run
        self._sizes = [
            sum(len(kernels[i, o]) for o in run.blocks) * mul * run.mul
            for i, (mul, _) in enumerate(in_type.blocks)
            for run in self._runs_out
        ]

    def _register(self, name: str, kernels: list[list[Tensor]]) -> None:
        """What spreads the weights of two runs over the taps: (dim_out T dim_in, K), with K over all pairs of their blocks."""
        dims_in, dims_out = [row[0].shape[2] for row in kernels], [kernel.shape[1] for kernel in kernels[0]]
        count = sum(len(kernel) for row in kernels for kernel in row)
        spread = torch.zeros(sum(dims_out), self.num_taps, sum(dims_in), count, dtype=torch.float64, device="cpu")
        parts = [part.split(dims_out) for part in spread.split(dims_in, 2)]
        start = 0
        for row, places in zip(kernels, parts):
            for kernel, place in zip(row, places):
                place[..., start : start + len(kernel)] = kernel.permute(1, 3, 2, 0)
                start += len(kernel)
        spread = spread.flatten(0, 2)
        used = spread.abs() > _ZERO
        if count and used.count_nonzero() <= len(used) and (used.sum(-1) <= 1).all():
            # With permutations every entry is one weight.
            place = spread.abs().argmax(-1)
            self.register_constant(f"factor_{name}", spread.gather(-1, place.unsqueeze(-1)))
        else:
            # The symmetries of the taps repeat the entries of regular fields.
            spread, place = _distinct(spread)
            self.register_constant(f"spread_{name}", spread)
        self.register_constant(f"place_{name}", place)

    def initial_weight(self) -> Tensor:
        """Random weights that keep the variance of the output near that of the input: (num_weights,)."""
        fan = [0] * len(self.out_type.blocks)
        for i, o, count, _ in self.paths:
            fan[o] += self.in_type.blocks[i][0] * count
        weight = torch.randn(self.num_weights, device="cpu")
        for i, o, count, start in self.paths:
            (mul_in, _), (mul_out, rep_out) = self.in_type.blocks[i], self.out_type.blocks[o]
            if count:
                # A basis element has unit Frobenius norm: sqrt(dim_out) brings each output component to unit variance.
                weight[start : start + count * mul_in * mul_out] *= (rep_out.dim / fan[o]) ** 0.5
        return weight

    def forward(self, weight: Tensor) -> Tensor:
        """(num_weights,) -> (T, in_type.dim, out_type.dim); in memory (out, T, in), which is channels_last for conv2d."""
        pieces, rows, stride = weight.split(self._sizes), [], len(self._runs_out)
        for b, run_out in enumerate(self._runs_out):
            parts = []
            for a, run_in in enumerate(self._runs_in):
                path = _joined([pieces[i * stride + b] for i in run_in.blocks], 0).view(-1, run_in.mul, run_out.mul)
                parts.append(self._expand(f"{a}_{b}", path, run_in, run_out))
            rows.append(_joined(parts, -1))
        return _joined(rows, 0).permute(1, 2, 0)

    def _expand(self, name: str, path: Tensor, run_in: _Run, run_out: _Run) -> Tensor:
        """(K, mul_in, mul_out) -> (out, T, in) between two runs."""
        # The copies of the input last, as in the result: long runs to copy.
        path = path.transpose(1, 2).flatten(1)
        spread, place, factor = (getattr(self, f"{kind}_{name}", None) for kind in ("spread", "place", "factor"))
        entries = path if spread is None else spread @ path
        entries = entries if place is None else entries.index_select(0, place)
        entries = entries if factor is None else entries * factor
        entries = entries.view(run_out.dim, self.num_taps, run_in.dim, run_out.mul, run_in.mul)
        return entries.permute(0, 3, 1, 2, 4).reshape(run_out.dim * run_out.mul, self.num_taps, -1)

    def extra_repr(self) -> str:
        return f"{self.in_type} -> {self.out_type}, taps={self.num_taps}, num_weights={self.num_weights}"


class _Run(NamedTuple):
    """Consecutive blocks of ``mul`` copies each, which lie in memory like ``mul`` copies of their sum of dimension ``dim``."""

    blocks: tuple[int, ...]
    mul: int
    dim: int


def _runs(type: FieldType) -> list[_Run]:
    runs: list[_Run] = []
    for b, (mul, rep) in enumerate(type.blocks):
        last = runs[-1] if runs else None
        if last and last.mul == mul and last.dim + rep.dim <= _TOGETHER:
            runs[-1] = _Run((*last.blocks, b), mul, last.dim + rep.dim)
        else:
            runs.append(_Run((b,), mul, rep.dim))
    return runs


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """The different rows of a matrix and the place of every row among them; all rows and None where few are equal."""
    if not rows.numel():
        return rows, None
    # Equal rows have equal products with a vector; that others have not is looked at in the end.
    generic = torch.arange(1.0, rows.shape[1] + 1, dtype=rows.dtype, device=rows.device).sqrt().cos()
    _, place = torch.unique((rows @ generic).round(decimals=10), return_inverse=True)
    number = int(place.max()) + 1
    distinct = rows.new_zeros(number, rows.shape[1]).index_copy(0, place, rows)
    if 2 * number > len(rows) or (distinct[place] - rows).abs().max() > _ZERO:
        return rows, None
    return distinct, place


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)
