"""The fused loops as one torch operator: schema, fake tensors, autograd."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from . import reference
from .cpu import driver as cpu
from .cuda import driver as cuda
from .cuda import on_chip as cuda_on_chip
from .mixing import Layout
from .plan import EdgeList
from .precision import WORKING

LOOPS = {"cpu": cpu, "cuda": cuda, "cuda-on-chip": cuda_on_chip}


@torch.library.custom_op("gaugenet::convolve", mutates_args=())
def convolve(
    x: Tensor,
    bias: Tensor,
    weight: Tensor,
    transposed_weight: Tensor,
    edges: list[Tensor],
    layout: list[Tensor],
    transposed_edges: list[Tensor],
    transposed_layout: list[Tensor],
    loop: str,
) -> Tensor:
    """Fused convolution: (N, D) -> (N, D_out).

    Gradients to the weights arrive at ``transposed_weight``, which the backward pass uses, or all at ``weight``; both are made
    from the same weights, so the gradient of those is whole.

    Args:
        bias: (D_out,), added to every node.
        weight, transposed_weight: what mixes the combinations, see :class:`gaugenet.ops.Kernel`.
        edges, transposed_edges: fields of an EdgeList. layout, transposed_layout: tensors of a Layout.
        loop: one of LOOPS.
    """
    return LOOPS[loop].convolve(x, bias, weight, EdgeList(*edges), Layout.of(layout))


@convolve.register_fake
def _(
    x: Tensor,
    bias: Tensor,
    weight: Tensor,
    transposed_weight: Tensor,
    edges: list[Tensor],
    layout: list[Tensor],
    transposed_edges: list[Tensor],
    transposed_layout: list[Tensor],
    loop: str,
) -> Tensor:
    return x.new_empty(x.shape[0], bias.shape[0])


@torch.library.custom_op("gaugenet::convolve_backward", mutates_args=())
def convolve_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    edges: list[Tensor],
    layout: list[Tensor],
    need_x: bool,
    need_w: bool,
    loop: str,
) -> tuple[Tensor, Tensor]:
    """Gradients to the features and to the (transposed) weight; an empty tensor for one not needed."""
    return LOOPS[loop].convolve_backward(grad, x, weight, EdgeList(*edges), Layout.of(layout), need_x, need_w)


@convolve_backward.register_fake
def _(
    grad: Tensor, x: Tensor, weight: Tensor, edges: list[Tensor], layout: list[Tensor], need_x: bool, need_w: bool, loop: str
) -> tuple[Tensor, Tensor]:
    size = weight.numel() if need_w else 0
    working = WORKING[x.dtype]
    return x.new_empty(x.shape if need_x else (0, x.shape[1])), x.new_empty(size, dtype=working)


@torch.library.custom_op("gaugenet::table_gradient", mutates_args=())
def table_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, edges: list[Tensor], layout: list[Tensor], loop: str
) -> tuple[Tensor, Tensor]:
    """Gradients to the table of the edges and to that of the nodes, of a loop that has ``table_gradient``."""
    return LOOPS[loop].table_gradient(grad, x, weight, EdgeList(*edges), Layout.of(layout))


@table_gradient.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, edges: list[Tensor], layout: list[Tensor], loop: str) -> tuple[Tensor, Tensor]:
    side, working = EdgeList(*edges), WORKING[x.dtype]
    return side.table.new_empty(side.table.shape, dtype=working), side.table.new_empty(side.node_table.shape, dtype=working)


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.loop = inputs
    lists = tensors[4:]
    ctx.sizes = [len(part) for part in lists]
    ctx.save_for_backward(*tensors[:4], *itertools.chain(*lists))


def _backward(ctx: Any, grad: Tensor) -> tuple:
    x, bias, weight, transposed, *rest = ctx.saved_tensors
    rest = iter(rest)
    edges, layout, t_edges, t_layout = ([next(rest) for _ in range(n)] for n in ctx.sizes)
    need_x, need_bias, *need_ws = ctx.needs_input_grad[:4]
    need_w, learnt = any(need_ws), [side.requires_grad for side in edges[-3:-1]]
    grad_bias = grad.sum(0).to(bias.dtype) if need_bias else None
    of_edges: list[Tensor | None] = [None] * len(edges)
    nothing = (*([None] * n for n in ctx.sizes[1:]), None)
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph: let plain torch be differentiated
        side, blocks = EdgeList(*edges), Layout.of(layout)

        def one(field: Tensor) -> Tensor:
            return reference.convolve(reference.carry(field[side.source], side, blocks), field, weight, side, blocks)

        out = reference.each_field(one, x, side)
        asked = (x, need_x), (weight, need_w), *zip(edges[-3:-1], learnt)
        grads = iter(torch.autograd.grad(out, [t for t, need in asked if need], grad, create_graph=True))
        grad_x, grad_w, *of_tables = (next(grads) if need else None for _, need in asked)
        of_edges[-3:-1] = of_tables
        return grad_x, grad_bias, grad_w, None, of_edges, *nothing
    grad = grad.contiguous()
    if any(learnt):
        of_tables = table_gradient(grad, x, weight, edges, layout, ctx.loop)
        of_edges[-3:-1] = [g.to(table.dtype) for g, table in zip(of_tables, edges[-3:-1])]
    if not need_x and x.shape[1] < grad.shape[1]:  # a first layer: aggregating few features again beats many gradients
        _, grad_w = convolve_backward(x, grad, weight, edges, layout, False, need_w, ctx.loop)
        return None, grad_bias, grad_w.to(weight.dtype) if need_w else None, None, of_edges, *nothing
    grad_x, grad_w = convolve_backward(grad, x, transposed, t_edges, t_layout, need_x, need_w, ctx.loop)
    grad_w = grad_w.to(transposed.dtype) if need_w else None
    return grad_x if need_x else None, grad_bias, None, grad_w, of_edges, *nothing


convolve.register_autograd(_backward, setup_context=_setup)
