"""The fused loops as one torch operator: schema, fake tensors, autograd."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

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


class Sides(NamedTuple):
    """What the loops read of a plan and of a kernel, forth and back."""

    edges: EdgeList
    layout: Layout
    transposed_edges: EdgeList
    transposed_layout: Layout


class _Needs(NamedTuple):
    """Which gradients are wanted."""

    x: bool
    bias: bool
    weight: bool
    table: bool
    node_table: bool


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, transposed: Tensor, sides: Sides, needs: _Needs, loop: str, traced: bool
) -> list[Tensor | None]:
    """Gradients to x, bias, weight, transposed weight, table and node_table; None where not wanted, or zero.

    Args:
        traced: by operators that a compiler sees, instead of the loop itself.
    """
    edges, layout = sides.edges, sides.layout
    grad_bias = grad.sum(0) if needs.bias else None
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph: let plain torch be differentiated

        def one(field: Tensor) -> Tensor:
            return reference.convolve(reference.carry(field[edges.source], edges, layout), field, weight, edges, layout)

        out = reference.each_field(one, x, edges)
        asked = (x, needs.x), (weight, needs.weight), (edges.table, needs.table), (edges.node_table, needs.node_table)
        grads = iter(torch.autograd.grad(out, [t for t, need in asked if need], grad, create_graph=True))
        grad_x, grad_w, *of_tables = (next(grads) if need else None for _, need in asked)
        return [grad_x, grad_bias, grad_w, None, *of_tables]
    grad = grad.contiguous()
    of_table = of_node = grad_x = grad_w = grad_t = None
    if needs.table or needs.node_table:
        if traced:
            of_table, of_node = table_gradient(grad, x, weight, list(edges), layout.tensors, loop)
        else:
            of_table, of_node = LOOPS[loop].table_gradient(grad, x, weight, edges, layout)
        of_table, of_node = of_table.to(edges.table.dtype), of_node.to(edges.node_table.dtype)

    def back(grad: Tensor, x: Tensor, weight: Tensor, edges: EdgeList, layout: Layout, need_x: bool) -> tuple[Tensor, Tensor]:
        if traced:
            return convolve_backward(grad, x, weight, list(edges), layout.tensors, need_x, needs.weight, loop)
        return LOOPS[loop].convolve_backward(grad, x, weight, edges, layout, need_x, needs.weight)

    if not needs.x and x.shape[1] < grad.shape[1]:  # a first layer: aggregating few features again beats many gradients
        if needs.weight:
            grad_w = back(x, grad, weight, edges, layout, False)[1].to(weight.dtype)
    elif needs.x or needs.weight:
        grad_x, grad_t = back(grad, x, transposed, sides.transposed_edges, sides.transposed_layout, needs.x)
        grad_x, grad_t = grad_x if needs.x else None, grad_t.to(transposed.dtype) if needs.weight else None
    return [grad_x, grad_bias, grad_w, grad_t, of_table, of_node]


class Convolution(torch.autograd.Function):
    """The same without the ways of :func:`convolve` for compilers, which cost as much as a small graph."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor,
        weight: Tensor,
        transposed_weight: Tensor,
        table: Tensor,
        node_table: Tensor,
        sides: Sides,
        loop: str,
    ) -> Tensor:
        ctx.sides, ctx.loop, ctx.bias_dtype = sides, loop, bias.dtype
        ctx.save_for_backward(x, weight, transposed_weight, table, node_table)
        return LOOPS[loop].convolve(x, bias, weight, sides.edges, sides.layout)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, weight, transposed, table, node_table = ctx.saved_tensors
        need_x, need_bias, first, second, *tables = ctx.needs_input_grad[:6]
        needs = _Needs(need_x, need_bias, first or second, *tables)
        sides = ctx.sides._replace(edges=ctx.sides.edges._replace(table=table, node_table=node_table))
        grads = _gradients(grad, x, weight, transposed, sides, needs, ctx.loop, traced=False)
        grads[1] = None if grads[1] is None else grads[1].to(ctx.bias_dtype)
        return *grads, None, None


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.loop = inputs
    lists = tensors[4:]
    ctx.sizes = [len(part) for part in lists]
    ctx.save_for_backward(*tensors[:4], *itertools.chain(*lists))


def _backward(ctx: Any, grad: Tensor) -> tuple:
    x, bias, weight, transposed, *rest = ctx.saved_tensors
    rest = iter(rest)
    edges, layout, t_edges, t_layout = ([next(rest) for _ in range(n)] for n in ctx.sizes)
    sides = Sides(EdgeList(*edges), Layout.of(layout), EdgeList(*t_edges), Layout.of(t_layout))
    need_x, need_bias, *need_ws = ctx.needs_input_grad[:4]
    learnt = sides.edges.table.requires_grad, sides.edges.node_table.requires_grad
    needs = _Needs(need_x, need_bias, any(need_ws), *learnt)
    grad_x, grad_bias, grad_w, grad_t, *of_tables = _gradients(grad, x, weight, transposed, sides, needs, ctx.loop, traced=True)
    of_edges: list[Tensor | None] = [None] * len(edges)
    of_edges[-3:-1] = of_tables  # table and node_table
    nothing = [None] * len(layout), [None] * len(t_edges), [None] * len(t_layout), None
    return grad_x, None if grad_bias is None else grad_bias.to(bias.dtype), grad_w, grad_t, of_edges, *nothing


convolve.register_autograd(_backward, setup_context=_setup)
