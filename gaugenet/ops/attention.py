"""Attention over neighbours: the convolution with weights of the neighbours that a softmax makes, in one fused loop."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..fields import FieldType
from . import reference
from .backend import choose
from .carrying import Carrier
from .convolve import Kernel
from .cpu import driver as cpu
from .mixing import Layout
from .plan import EdgeList, EdgePlan
from .precision import WORKING
from .rows import fields_of, sum_rows


class Attended(NamedTuple):
    """What the loop reads beside the features and the weights.

    Attributes:
        edges: of a plan. layout: of the kernel. measure: (E,) of the edges.
        key_blocks, key_permutations: how keys are carried, as in a Layout.
        key_runs, value_runs: (R, 3) runs of columns, first, length, head.
    """

    edges: EdgeList
    layout: Layout
    measure: Tensor
    key_blocks: Tensor
    key_permutations: Tensor
    key_runs: Tensor
    value_runs: Tensor

    @property
    def tensors(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        return list(self.edges), self.layout.tensors, list(self[2:])

    @classmethod
    def of(cls, edges: list[Tensor], layout: list[Tensor], rest: list[Tensor]) -> Attended:
        """The inverse of :attr:`tensors`."""
        return cls(EdgeList(*edges), Layout.of(layout), *rest)


def head_runs(type: FieldType, heads: int) -> Tensor:
    """The columns of each head, which has the h-th part of the copies of every block: (R, 3) first, length, head."""
    rows = [
        (columns.start + i * mul + h * (mul // heads), mul // heads, h)
        for (mul, rep), columns in zip(type.blocks, type.slices)
        for i in range(rep.dim)
        for h in range(heads)
    ]
    return torch.tensor(rows, dtype=torch.int64, device="cpu").reshape(-1, 3)


def gauge_attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    kernel: Kernel,
    keys: Carrier,
    plan: EdgePlan,
    measure: EdgePlan,
    runs: tuple[Tensor, Tensor],
    backend: str = "auto",
) -> Tensor:
    r"""The convolution whose neighbours count as much as a softmax over the measure of the neighbourhood says.

    .. math:: a_{eh} = \langle q(p)_h,\ \rho(g_{pq})\, k(q)_h \rangle, \qquad
        \alpha_{eh} = \frac{e^{a_{eh}} \sum_r w_r}{\sum_r w_r\, e^{a_{rh}}} \qquad \text{for the edge } e: q \to p

    .. math:: out[p] = \sum_j W_j^T \Big( \sum_{e: q \to p} U[e, j]\, \alpha_e\, \rho(g_{pq}) v(q) + U_{self}[p, j] v(p) \Big)
        + b

    with a weight :math:`\alpha_{eh}` for the columns of every head h. Each node is done at once, forth and back; nothing is
    kept for an edge. Plain torch as in :func:`gaugenet.ops.gauge_convolve`, and for kernels that learn their functions.

    Args:
        query, key: (B N, K), value: (B N, D) features of B fields on the graph.
        kernel: of the values, as of :func:`gaugenet.ops.gauge_convolve`. keys: carrier of the keys.
        plan: edges and tables of the kernel. measure: the same edges with the table (E, 1) of w.
        runs: :func:`head_runs` of the keys and of the values.
        backend: as of :func:`gaugenet.ops.gauge_convolve`; there are "reference" and "cpu".

    Returns:
        (B N, D_out).
    """
    layout, edges, weight = kernel.layouts[0], plan.forward, measure.forward.table[:, 0]
    side = Attended(edges, layout, weight, keys.blocks, keys.permutations, *runs)
    learnt = edges.transport.requires_grad or edges.table.requires_grad or edges.node_table.requires_grad
    backend = "reference" if edges.unordered else backend
    loops = {"cpu": cpu}
    what = f"{keys.type} and {kernel.in_type}"
    backend = choose(backend, value, loops, lambda loop: loop.supported(value, layout, keys), learnt=learnt, what=what)
    first = kernel.mixing(False)
    if backend != "reference":
        bias = value.new_zeros(layout.width) if kernel.bias is None else kernel.bias
        if torch.compiler.is_compiling():
            return _attend(query, key, value, bias, first, *side.tensors)
        return _Attention.apply(query, key, value, bias, first, side)
    types = keys.type, kernel.in_type

    def carried(x: Tensor, type: FieldType) -> Tensor:
        x = x[edges.source]
        return x if plan.identity else type.transform(edges.transport.to(x.dtype), x)

    def one(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return _attended(query, carried(key, types[0]), value, carried(value, types[1]), first, side)

    fields = [fields_of(t, edges.node_table.shape[0]) for t in (query, key, value)]
    out = torch.cat([one(*field) for field in zip(*fields)]) if len(fields[0]) > 1 else one(query, key, value)
    return out if kernel.bias is None else out + kernel.bias.to(value.dtype)


def _attended(query: Tensor, keys: Tensor, value: Tensor, values: Tensor, weight: Tensor, side: Attended) -> Tensor:
    """In plain torch, of one field, with keys and values that were carried (E, ...)."""
    edges, measure = side.edges, side.measure.to(values.dtype)[:, None]
    products = query[edges.target] * keys
    heads = max((head for *_, head in side.key_runs.tolist()), default=0) + 1
    logits = products.new_zeros(products.shape[0], heads)
    columns, head_of = _columns(side.key_runs, products)
    logits = logits.index_add(1, head_of, products[:, columns])
    target, nodes = edges.target, edges.node_table.shape[0]
    top = logits.detach().new_full((nodes, heads), -torch.inf)
    top = top.scatter_reduce(0, target[:, None].expand_as(logits), logits.detach(), "amax")
    raised = torch.exp(logits - top[target])
    total, whole = sum_rows(measure * raised, target, nodes), sum_rows(measure, target, nodes)
    alpha = raised * (whole / total.clamp_min(torch.finfo(torch.float32).tiny))[target]
    columns, head_of = _columns(side.value_runs, values)
    factor = torch.empty_like(values).index_copy(1, columns, alpha[:, head_of])
    return reference.convolve(values * factor, value, weight, edges, side.layout)


def _columns(runs: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of runs, and the head of each."""
    pairs = [(k, head) for first, length, head in runs.tolist() for k in range(first, first + length)]
    columns, heads = torch.tensor(pairs, device=like.device).reshape(-1, 2).unbind(1)
    return columns, heads


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, weight: Tensor, side: Attended) -> Tensor:
        ctx.save_for_backward(query, key, value, weight)
        ctx.side, ctx.bias_dtype = side, bias.dtype
        return cpu.attend(query, key, value, bias, weight, side)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        saved, side = ctx.saved_tensors, ctx.side
        query, key, value, weight = saved
        of_bias = grad.sum(0).to(ctx.bias_dtype) if ctx.needs_input_grad[3] else None
        if torch.is_grad_enabled():  # somebody differentiates again: plain torch
            asked = ctx.needs_input_grad[:3] + ctx.needs_input_grad[4:5]
            out = _once_more(query, key, value, weight, side)
            grads = iter(torch.autograd.grad(out, [t for t, need in zip(saved, asked) if need], grad, create_graph=True))
            *rest, of_weight = (next(grads) if need else None for need in asked)
        else:
            *rest, of_weight = cpu.attend_backward(grad.contiguous(), query, key, value, weight, side)
            of_weight = of_weight.to(weight.dtype)
        return *rest, of_bias, of_weight, None


def _once_more(query: Tensor, key: Tensor, value: Tensor, weight: Tensor, side: Attended) -> Tensor:
    edges, out = side.edges, []
    keyed = side.layout._replace(blocks=side.key_blocks, permutations=side.key_permutations)
    for field in zip(*(fields_of(t, edges.node_table.shape[0]) for t in (query, key, value))):
        keys, values = reference.carry(field[1][edges.source], edges, keyed), field[2][edges.source]
        out.append(_attended(field[0], keys, field[2], reference.carry(values, edges, side.layout), weight, side))
    return torch.cat(out) if len(out) > 1 else out[0]


@torch.library.custom_op("gaugenet::attend", mutates_args=())
def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    weight: Tensor,
    edges: list[Tensor],
    layout: list[Tensor],
    rest: list[Tensor],
) -> Tensor:
    return cpu.attend(query, key, value, bias, weight, Attended.of(edges, layout, rest))


@_attend.register_fake
def _(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    weight: Tensor,
    edges: list[Tensor],
    layout: list[Tensor],
    rest: list[Tensor],
) -> Tensor:
    return value.new_empty(value.shape[0], bias.shape[0])


@torch.library.custom_op("gaugenet::attend_backward", mutates_args=())
def _attend_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weight: Tensor,
    edges: list[Tensor],
    layout: list[Tensor],
    rest: list[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return cpu.attend_backward(grad, query, key, value, weight, Attended.of(edges, layout, rest))


@_attend_backward.register_fake
def _(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weight: Tensor,
    edges: list[Tensor],
    layout: list[Tensor],
    rest: list[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    of_weight = weight.new_empty(weight.shape, dtype=WORKING[value.dtype])
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), of_weight


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    query, key, value, bias, weight, *lists = inputs
    ctx.sizes, ctx.bias_dtype = [len(part) for part in lists], bias.dtype
    ctx.save_for_backward(query, key, value, weight, *itertools.chain(*lists))


def _backward(ctx: Any, grad: Tensor) -> tuple:
    *features, weight = ctx.saved_tensors[:4]
    rest = iter(ctx.saved_tensors[4:])
    lists = [[next(rest) for _ in range(size)] for size in ctx.sizes]
    *grads, of_weight = _attend_backward(grad.contiguous(), *features, weight, *lists)
    nothing = ([None] * size for size in ctx.sizes)
    return *grads, grad.sum(0).to(ctx.bias_dtype), of_weight.to(weight.dtype), *nothing


_attend.register_autograd(_backward, setup_context=_setup)
