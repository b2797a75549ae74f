"""The fused loops as one torch operator: schema, fake tensors, autograd."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from . import cpu, cuda, reference
from .mixing import Layout
from .plan import EdgeList

LOOPS = {"cpu": cpu, "cuda": cuda}


@torch.library.custom_op("gaugenet::convolve", mutates_args=())
def convolve(
    x: Tensor,
    matrices: list[Tensor],
    transposed_matrices: list[Tensor],
    edges: list[Tensor],
    layout: list[Tensor],
    transposed_edges: list[Tensor],
    transposed_layout: list[Tensor],
    loop: str,
) -> Tensor:
    """Fused convolution: (N, D) -> (N, D_out).

    Gradients to the weights arrive at ``transposed_matrices``, which the backward pass uses; both lists are made from
    the same weights, so the gradient of the weights is whole.

    Args:
        matrices, transposed_matrices: what mixes the combinations, see :class:`gaugenet.ops.Kernel`.
        edges, transposed_edges: fields of an EdgeList. layout, transposed_layout: tensors of a Layout.
        loop: "cpu" or "cuda".
    """
    return LOOPS[loop].convolve(x, matrices, EdgeList(*edges), _layout(layout))


@convolve.register_fake
def _(x, matrices, transposed_matrices, edges, layout, transposed_edges, transposed_layout, loop):
    return x.new_empty(x.shape[0], sum(m.shape[1] for m in matrices))


@torch.library.custom_op("gaugenet::convolve_backward", mutates_args=())
def convolve_backward(
    grad: Tensor,
    x: Tensor,
    matrices: list[Tensor],
    edges: list[Tensor],
    layout: list[Tensor],
    need_x: bool,
    need_w: bool,
    loop: str,
) -> tuple[Tensor, Tensor]:
    """Gradients to the features and to the (concatenated, transposed) matrices; an empty tensor for one not needed."""
    return LOOPS[loop].convolve_backward(grad, x, matrices, EdgeList(*edges), _layout(layout), need_x, need_w)


@convolve_backward.register_fake
def _(grad, x, matrices, edges, layout, need_x, need_w, loop):
    size = sum(m.numel() for m in matrices) if need_w else 0
    working = torch.promote_types(x.dtype, torch.float32)
    return x.new_empty(x.shape if need_x else (0, x.shape[1])), x.new_empty(size, dtype=working)


def _setup(ctx, inputs, output):
    x, *lists, ctx.loop = inputs
    ctx.sizes = [len(part) for part in lists]
    ctx.save_for_backward(x, *itertools.chain(*lists))


def _backward(ctx, grad):
    x, *rest = ctx.saved_tensors
    rest = iter(rest)
    matrices, transposed, edges, layout, t_edges, t_layout = ([next(rest) for _ in range(n)] for n in ctx.sizes)
    need_x, need_w = ctx.needs_input_grad[0], any(m.requires_grad for m in transposed)
    nothing = (*([None] * n for n in ctx.sizes[2:]), None)
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph: let plain torch be differentiated
        side, blocks = EdgeList(*edges), _layout(layout)
        carried = reference.carry(x[side.source], side, blocks)
        out = reference.convolve(carried, x, matrices, side, blocks)
        wanted = [t for t, need in zip((x, *matrices), (need_x, *[need_w] * len(matrices))) if need]
        grads = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
        grad_x = next(grads) if need_x else None
        return grad_x, list(grads) if need_w else [None] * len(matrices), [None] * len(transposed), *nothing
    grad_x, grad_w = convolve_backward(grad.contiguous(), x, transposed, t_edges, t_layout, need_x, need_w, ctx.loop)
    grads_w: list = [None] * len(transposed)
    if need_w:
        parts = grad_w.split([m.numel() for m in transposed])
        grads_w = [part.view(m.shape).to(m.dtype) for part, m in zip(parts, transposed)]
    return grad_x if need_x else None, [None] * len(matrices), grads_w, *nothing


convolve.register_autograd(_backward, setup_context=_setup)


def _layout(tensors: list[Tensor]) -> Layout:
    return Layout(*tensors, tuple(tensors[4][:, 1].tolist()), True)
