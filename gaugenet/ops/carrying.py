"""Carry features along edges and sum them, without a kernel: what pooling and unpooling are."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..fields import FieldType
from .backend import choose
from .cpu import driver as cpu
from .cuda import driver as cuda
from .mixing import OTHER, carried_blocks
from .plan import EdgeList, EdgePlan
from .rows import sum_rows

_EDGES = len(EdgeList._fields)
_LOOPS = {"cpu": cpu, "cuda": cuda}


class Carrier(NamedTuple):
    """How features of a type are carried: blocks and permutations of a Layout; whether the fused loop knows them all."""

    type: FieldType
    blocks: Tensor
    permutations: Tensor
    special: bool

    @classmethod
    def of(cls, type: FieldType) -> Carrier:
        blocks, permutations = carried_blocks(type)
        return cls(type, blocks, permutations, bool((blocks[:, 0] != OTHER).all()))


def carry_sum(x: Tensor, carrier: Carrier, plan: EdgePlan, copies: int = 1) -> Tensor:
    r"""Sum of transported features, from N nodes to M others.

    .. math:: out[p] = \sum_{e: q \to p} u_e\, \rho(g_{pq})\, f(q)

    One fused loop, of which the backward pass is the same over the reversed edges; plain torch for features that it does not
    take, and where the environment variable GAUGENET_BACKEND says so, see :mod:`gaugenet.ops.backend`.

    Args:
        x: (B N, D) features. carrier: of their field type.
        plan: forward edges with M targets and a table (E, 1) of the factors u; the backward ones reversed.
        copies: number B of fields on the graph, one under the other.

    Returns:
        (B M, D).
    """
    edges = plan.forward
    learnt = edges.table.requires_grad or edges.transport.requires_grad
    backend = "reference" if edges.unordered else "auto"
    loop = choose(backend, x, _LOOPS, lambda loop: loop.supported(x, carrier), learnt=learnt, what=str(carrier.type))
    if loop != "reference":
        sides = edges, plan.backward
        if torch.compiler.is_compiling():
            return _carry_sum(x, copies, *map(list, sides), carrier.blocks, carrier.permutations, loop)
        return _CarrySum.apply(x, copies, sides, carrier, loop)
    fields = x.unflatten(0, (copies, x.shape[0] // copies))
    transport = edges.transport.to(x.dtype)[None]  # as many axes as the features: onnxruntime wants that
    carried = edges.table.to(x.dtype) * carrier.type.transform(transport, fields[:, edges.source])
    return sum_rows(carried, edges.target, edges.rowptr.numel() - 1, 1).flatten(0, 1)


class _CarrySum(torch.autograd.Function):
    """The same without the ways of the operator below for compilers, which cost as much as a small graph."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, copies: int, sides: tuple[EdgeList, EdgeList], carrier: Carrier, loop: str) -> Tensor:
        ctx.rest = copies, sides[::-1], carrier, loop
        return _LOOPS[loop].carry_sum(x, copies, sides[0], carrier.blocks, carrier.permutations)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        # Linear: its own backward pass with the edges turned round, and so on.
        return _CarrySum.apply(grad.contiguous(), *ctx.rest), None, None, None, None


@torch.library.custom_op("gaugenet::carry_sum", mutates_args=())
def _carry_sum(
    x: Tensor, copies: int, edges: list[Tensor], reversed_edges: list[Tensor], blocks: Tensor, permutations: Tensor, loop: str
) -> Tensor:
    return _LOOPS[loop].carry_sum(x, copies, EdgeList(*edges), blocks, permutations)


@_carry_sum.register_fake
def _(
    x: Tensor, copies: int, edges: list[Tensor], reversed_edges: list[Tensor], blocks: Tensor, permutations: Tensor, loop: str
) -> Tensor:
    return x.new_empty(copies * (edges[0].shape[0] - 1), x.shape[1])


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _, ctx.copies, edges, reversed_edges, *layout, ctx.loop = inputs
    ctx.save_for_backward(*edges, *reversed_edges, *layout)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    tensors = ctx.saved_tensors
    edges, reversed_edges, layout = tensors[:_EDGES], tensors[_EDGES : 2 * _EDGES], tensors[2 * _EDGES :]
    grad_x = _carry_sum(grad.contiguous(), ctx.copies, list(reversed_edges), list(edges), *layout, ctx.loop)
    return grad_x, None, [None] * _EDGES, [None] * _EDGES, None, None, None


_carry_sum.register_autograd(_backward, setup_context=_setup)
