"""Features (N, C) scaled and shifted by the moments of their columns over every graph of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..backend import transformed
from ..cpu import driver as cpu
from ..rows import sum_rows


def graph_moments(x: Tensor, share: Tensor, batch: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of every column of (N, C) over each of ``count`` graphs: (count, C), (count, C).

    Args:
        share: (N,) of a node in its graph; their sum over a graph is 1. batch: (N,) the graph of every node.
    """
    if _is_fast(x, share):
        return _Moments.apply(x, share, batch, count)
    mean = sum_rows(x * share[:, None], batch, count)
    square = (x - mean[batch]).square() * share[:, None]
    return mean, sum_rows(square, batch, count)


def scale_graphs(x: Tensor, scale: Tensor, shift: Tensor, batch: Tensor) -> Tensor:
    """x * scale + shift with one number a graph and column: (N, C), (G, C), (G, C), (N,) -> (N, C)."""
    if _is_fast(x, scale, shift):
        return _Scale.apply(x, scale, shift, batch)
    return torch.addcmul(shift[batch], x, scale[batch])


def _is_fast(x: Tensor, *others: Tensor) -> bool:
    """Where the compiled loops serve. The compiler fuses what is written plainly, and torch.func takes it."""
    return (
        cpu.supported(x)
        and x.dtype in (torch.float32, torch.float64)
        and all(other.dtype == x.dtype for other in others)
        and not torch.compiler.is_compiling()
        and not transformed()
    )


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: Tensor, batch: Tensor, count: int) -> tuple[Tensor, Tensor]:
        mean, var = cpu.graph_moments(x, share, batch, count)
        ctx.save_for_backward(x, share, batch, mean)
        return mean, var

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_var: Tensor) -> tuple[Tensor | None, ...]:
        x, share, batch, mean = ctx.saved_tensors
        slope = 2 * of_var
        if torch.is_grad_enabled() or ctx.needs_input_grad[1]:  # create_graph=True, or areas that are learnt
            centred = x - mean[batch]
            along = of_mean[batch] + slope[batch] * centred
            of_share = (of_mean[batch] * x + of_var[batch] * centred.square()).sum(1)
            return share[:, None] * along, of_share, None, None
        return cpu.scale_graphs(x, slope, of_mean - slope * mean, batch, share), None, None, None


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, batch: Tensor) -> Tensor:
        ctx.save_for_backward(x, scale, batch)
        return cpu.scale_graphs(x, scale, shift, batch)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, batch = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            nothing = torch.zeros_like(scale)
            sums = nothing.index_add(0, batch, grad * x), nothing.index_add(0, batch, grad)
            return grad * scale[batch], *sums, None
        return *cpu.scale_graphs_backward(grad, x, scale, batch), None
