"""Messages: a field at every edge from kernels of its two ends, and the weighted sums of a nonlinear function of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..fields import FieldType
from .backend import choose, transformed
from .cpu import driver as cpu
from .mixing import Layout
from .plan import EdgeList, EdgePlan
from .rows import fields_of, sum_rows

# Bytes of messages held at a time: they should stay in the cache between the operations of a nonlinearity.
_CHUNK_BYTES = 1 << 20


class EdgeKernel(NamedTuple):
    """Two steerable kernels from the type of nodes to that of messages: of the neighbour, and of the centre.

    Attributes:
        in_type, out_type: field types.
        layout: :func:`gaugenet.ops.make_layout`, transposed, the same for both.
        mixing: of a weight, the matrices of that layout in one vector. dense: the matrices (J, D, H).
    """

    in_type: FieldType
    out_type: FieldType
    layout: Layout
    mixing: Callable[[Tensor], Tensor]
    dense: Callable[[Tensor], Tensor]


def edge_fields(
    x: Tensor, neighbour: Tensor, centre: Tensor, kernel: EdgeKernel, plan: EdgePlan, backend: str = "auto"
) -> Tensor:
    r"""A field at every edge, in the frame of the node that it leads to.

    .. math:: z_e = K(\log_p q)\, \rho_{in}(g_{pq}) f(q) + K'(\log_p q)\, f(p) \qquad \text{for the edge } e: q \to p

    No kernel is formed at an edge: :math:`K(x) \rho_{in}(g) = \rho_{out}(g) K(g^{-1} x)`, so that each node multiplies its own
    features with the matrices of the kernels once, sums the products against the functions of its edges, both those that
    lead to it and those that come from it, and what is sent to a neighbour is carried.

    Args:
        x: (B N, D) features of B fields on the graph. neighbour, centre: weights of K and K'.
        kernel: how weights become matrices.
        plan: edges, whose tables are the functions of the kernel, without quadrature weights.
        backend: "reference" (plain torch), "cpu" (fused), or "auto".

    Returns:
        (B E, H).
    """
    edges = plan.forward
    learnt = edges.transport.requires_grad or edges.table.requires_grad
    backend = "reference" if edges.unordered or torch.compiler.is_compiling() else backend
    what = str(kernel.out_type)
    backend = choose(backend, x, {"cpu": cpu}, lambda loop: loop.supported(x, kernel.layout), learnt=learnt, what=what)
    if backend != "reference":
        return _EdgeFields.apply(x, neighbour, centre, kernel, plan)
    return _plain(x, neighbour, centre, kernel, plan)


def _plain(x: Tensor, neighbour: Tensor, centre: Tensor, kernel: EdgeKernel, plan: EdgePlan) -> Tensor:
    edges, found = plan.forward, []
    table, transport = edges.table.to(x.dtype), edges.transport.to(x.dtype)
    matrices = torch.cat([kernel.dense(neighbour), kernel.dense(centre)], 1).to(x.dtype)
    for field in fields_of(x, edges.node_table.shape[0]):
        carried = field[edges.source]
        carried = carried if plan.identity else kernel.in_type.transform(transport, carried)
        ends = torch.cat([carried, field[edges.target]], 1)
        found.append(sum(table[:, j : j + 1] * (ends @ matrix) for j, matrix in enumerate(matrices)))
    return torch.cat(found)


class _EdgeFields(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, neighbour: Tensor, centre: Tensor, kernel: EdgeKernel, plan: EdgePlan) -> Tensor:
        ctx.save_for_backward(x, neighbour, centre)
        ctx.rest = kernel, plan
        layout, width = kernel.layout, kernel.out_type.dim
        nothing, place = x.new_empty(0, width), cpu.places(plan.forward, plan.backward)
        sent = cpu.expand(x, kernel.mixing(neighbour), plan.backward, layout, width, nothing, place)
        return cpu.expand(x, kernel.mixing(centre), plan.forward, layout, width, sent, place)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        saved, (kernel, plan) = ctx.saved_tensors, ctx.rest
        if torch.is_grad_enabled():  # somebody differentiates again: plain torch
            out = _plain(saved[0], saved[1], saved[2], kernel, plan)
            needs = ctx.needs_input_grad[:3]
            grads = iter(torch.autograd.grad(out, [t for t, need in zip(saved, needs) if need], grad, create_graph=True))
            return *(next(grads) if need else None for need in needs), None, None
        x, *weights = saved
        with torch.enable_grad():
            leaves = [w.detach().requires_grad_() for w in weights]
            mixed = [kernel.mixing(leaf) for leaf in leaves]
        place = cpu.places(plan.forward, plan.backward)
        of_x, of_centre, sent = cpu.contract(grad, x, mixed[1].detach(), plan.forward, kernel.layout, place, True)
        more, of_neighbour, _ = cpu.contract(sent, x, mixed[0].detach(), plan.backward, kernel.layout, place, False)
        of_mixed = (of_neighbour.to(mixed[0].dtype), of_centre.to(mixed[1].dtype))
        return of_x + more, *torch.autograd.grad(mixed, leaves, of_mixed), None, None


def message_sum(
    z: Tensor,
    shift: Tensor,
    measure: EdgePlan,
    nonlinear: nn.Module,
    gates: Tensor | None = None,
) -> Tensor:
    r"""Sums of messages over the edges into every node: :math:`out[p] = \sum_{e: q \to p} w_e\, \sigma(z_e + b)`.

    Some edges at a time, whose messages stay in the cache; the backward pass makes them anew. Gates have a loop of their own.

    Args:
        z: (B E, H), shift: (H,) b. measure: edges with the table (E, 1) of w.
        nonlinear: sigma, of single rows.
        gates: where sigma is a ReLU on some blocks and the logistic function of gates times others, (K, 4): first column,
            dim, mul and first column of the gates, or -1.

    Returns:
        (B nodes, H').
    """
    edges = measure.forward
    weight = edges.table[:, 0].to(z.dtype)
    plain = torch.compiler.is_compiling() or transformed() or edges.unordered
    if gates is not None and not plain and cpu.supported(z) and z.dtype in (torch.float32, torch.float64):
        return _GatedSum.apply(z, shift, weight, edges, nonlinear, gates)
    step = max(64, _CHUNK_BYTES // max(1, z.shape[1] * z.element_size()))
    if plain or z.shape[0] <= step:
        return _plain_sum(z + shift, weight, edges, nonlinear)
    weight, target, count = _fields(z.shape[0], weight, edges)
    return _MessageSum.apply(z, shift, weight[:, None], target, count, nonlinear, step, *nonlinear.parameters())


def _plain_sum(z: Tensor, weight: Tensor, edges: EdgeList, nonlinear: nn.Module) -> Tensor:
    weight, target, count = _fields(z.shape[0], weight, edges)
    return sum_rows(weight[:, None] * nonlinear(z), target, count)


def _fields(rows: int, weight: Tensor, edges: EdgeList) -> tuple[Tensor, Tensor, int]:
    """Weights, targets and the number of nodes of as many fields, one under the other, as have these rows."""
    nodes, number = edges.node_table.shape[0], weight.shape[0]
    if rows == number:
        return weight, edges.target, nodes
    copies = rows // number
    first = torch.arange(copies, device=weight.device)[:, None] * nodes
    return weight.repeat(copies), (first + edges.target).flatten(), nodes * copies


class _GatedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, shift: Tensor, weight: Tensor, edges: EdgeList, nonlinear: nn.Module, gates: Tensor
    ) -> Tensor:
        ctx.save_for_backward(z, shift)
        ctx.rest = weight, edges, nonlinear, gates
        return cpu.gated_sum(z, shift, weight, edges.rowptr, gates, int((gates[:, 1] * gates[:, 2]).sum()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        (z, shift), (weight, edges, nonlinear, gates) = ctx.saved_tensors, ctx.rest
        if torch.is_grad_enabled():  # create_graph=True
            needs = ctx.needs_input_grad[:2]
            with torch.enable_grad():
                out = _plain_sum(z + shift, weight, edges, nonlinear)
            grads = iter(torch.autograd.grad(out, [t for t, need in zip((z, shift), needs) if need], grad, create_graph=True))
            return *(next(grads) if need else None for need in needs), *[None] * 4
        return *cpu.gated_sum_backward(grad, z, shift, weight, edges.rowptr, gates), *[None] * 4


class _MessageSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        shift: Tensor,
        measure: Tensor,
        target: Tensor,
        count: int,
        nonlinear: nn.Module,
        step: int,
        *learnt: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(z, shift, measure, target)
        ctx.rest = count, nonlinear, step, learnt
        out = z.new_zeros(count, nonlinear(z[:1] + shift).shape[1])
        for part, w, to in zip(z.split(step), measure.split(step), target.split(step)):
            out.index_add_(0, to, nonlinear(part + shift) * w)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        (z, shift, measure, target), (count, nonlinear, step, learnt) = ctx.saved_tensors, ctx.rest
        if torch.is_grad_enabled():  # create_graph=True
            out, asked = sum_rows(measure * nonlinear(z + shift), target, count), [z, shift, *learnt]
            needs = [t.requires_grad for t in asked]
            found = iter(torch.autograd.grad(out, [t for t, need in zip(asked, needs) if need], grad, create_graph=True))
            first, second, *rest = (next(found) if need else None for need in needs)
            return first, second, *[None] * 5, *rest
        of_z, sums = torch.empty_like(z), [torch.zeros_like(p) for p in (shift, *learnt)]
        for part, w, to, place in zip(z.split(step), measure.split(step), target.split(step), of_z.split(step)):
            with torch.enable_grad():
                leaf = (part + shift).detach().requires_grad_()
                of_part, *of_learnt = torch.autograd.grad(nonlinear(leaf), [leaf, *learnt], grad[to] * w)
            place.copy_(of_part)
            for total, more in zip(sums, (of_part.sum(0), *of_learnt)):
                total += more
        return of_z, sums[0], *[None] * 5, *sums[1:]
