"""Rows of tensors: sums of those with one index, and a linear map of a few, with one copy forth and one back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .backend import transformed


def sum_rows(values: Tensor, index: Tensor, count: int, dim: int = 0) -> Tensor:
    """Sums of the slices of ``values`` along ``dim`` that have the same index: ``count`` of them.

    A compiler gets it as ``scatter_add``: onnxruntime runs what ``index_add`` becomes (ScatterND) on several threads and loses
    terms where an index occurs twice.
    """
    shape = list(values.shape)
    size, shape[dim] = shape[dim], count
    out = values.new_zeros(shape)
    if not torch.compiler.is_compiling():
        return out.index_add(dim, index, values)
    ones = [1] * values.ndim
    ones[dim] = size
    return out.scatter_add(dim, index.view(ones).expand(values.shape), values)


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


def fields_of(x: Tensor, num_nodes: int) -> tuple[Tensor, ...]:
    """The fields (N, D) that lie one under the other in x (B N, D); of one field a compiler sees that it is one."""
    return (x,) if x.shape[0] == num_nodes else x.split(num_nodes)
