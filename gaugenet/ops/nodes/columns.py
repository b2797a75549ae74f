"""Features (N, C) scaled and shifted by the moments of their columns, with few passes over them forth and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..backend import transformed


def column_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (divided by N) of every column of (N, C)."""
    if _is_fast(x):
        return _Moments.apply(x)
    mean = x.mean(0)
    return mean, (x - mean).square().mean(0)


def scale_columns(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """x * scale + shift with one number a column: (N, C), (C,), (C,) -> (N, C)."""
    if _is_fast(x) and x.dtype == scale.dtype == shift.dtype:
        return _Scale.apply(x, scale, shift)
    return torch.addcmul(shift, x, scale)


def _is_fast(x: Tensor) -> bool:
    """Where torch has both sums over a column in one pass, in its batch norm on the CPU, and there will be a backward pass.

    The compiler fuses what is written plainly, and forward-mode differentiation takes it.
    """
    return (
        x.requires_grad
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and x.numel() > 0
        and not torch.compiler.is_compiling()
        and not transformed()
    )


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.batch_norm_update_stats(x, None, None, 0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs, output[0])

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_var: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        slope = of_var * (2 / x.shape[0])
        return torch.addcmul(of_mean / x.shape[0] - slope * mean, x, slope)


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return torch.addcmul(shift, x, scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            return grad * scale, (grad * x).sum(0), grad.sum(0)
        # The backward pass of a batch norm of mean 0 and variance 1, of which only the sums over the rows are asked for.
        nought, one = torch.zeros_like(scale), torch.ones_like(scale)
        _, of_scale, of_shift = torch.ops.aten.native_batch_norm_backward(
            grad, x, None, nought, one, None, None, False, 0.0, [False, True, True]
        )
        return grad * scale, of_scale, of_shift
