"""A linear map of a few rows of a tensor: one copy forth and one back, where indexing would make several."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .backend import transformed


def map_rows(x: Tensor, node: Tensor, matrix: Tensor) -> Tensor:
    """A copy of x (N, D) with x[node] replaced by x[node] @ matrix.

    Args:
        node: (C,) ids, each once. matrix: (D, D), which gets no gradient.
    """
    if transformed():
        return x.index_copy(0, node, x[node] @ matrix)
    return _MapRows.apply(x, node, matrix)


class _MapRows(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, node: Tensor, matrix: Tensor) -> Tensor:
        return x.index_copy(0, node, x[node] @ matrix)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        node, matrix = ctx.saved_tensors
        return map_rows(grad, node, matrix.t()), None, None
