"""One function for the gauge convolution, with the backend picked from the device."""

from __future__ import annotations

import torch
from torch import Tensor

from ..fields import FieldType
from . import cpu
from .aggregate import gauge_aggregate
from .plan import EdgePlan

BACKENDS = ("auto", "reference", "cpu")


def gauge_convolve(
    x: Tensor, weight: Tensor, plan: EdgePlan, in_type: FieldType, out_type: FieldType, backend: str = "auto"
) -> Tensor:
    r"""Aggregate the transported neighbours, then mix them (DESIGN section 6).

    .. math:: out[p] = \sum_j W_j^T \Big( \sum_{e: q \to p} U[e, j]\, \rho_{in}(g_{pq}) f(q) + U_{self}[p, j] f(p) \Big)

    Args:
        x: (N, D_in) features of type ``in_type``.
        weight: (J, D_in, D_out) matrices of a steerable kernel (:class:`gaugenet.kernels.expansion.KernelExpansion`);
            the fused backward pass uses that constraint.
        plan: edges and tables, from :func:`gaugenet.ops.make_plan`.
        in_type, out_type: field types.
        backend: "reference" (plain torch: any device, twice differentiable, gradients to the table), "cpu" (fused numba
            loop), or "auto".

    Returns:
        (N, D_out).
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}: expected one of {', '.join(BACKENDS)}")
    learnt = plan.forward.table.requires_grad or plan.node_table.requires_grad or plan.forward.transport.requires_grad
    if backend == "auto":
        fused = cpu.supported(x) and not learnt and not torch.compiler.is_compiling()
        backend = "cpu" if fused else "reference"
    if backend == "cpu":
        if not cpu.supported(x):
            raise ValueError(f"backend 'cpu' takes float32 and float64 on the CPU, got {x.dtype} on {x.device}")
        return _FusedConvolution.apply(x, weight, plan, in_type, out_type)
    return _reference(x, weight, plan, in_type)


def _reference(x: Tensor, weight: Tensor, plan: EdgePlan, in_type: FieldType) -> Tensor:
    edges = plan.forward
    aggregate = gauge_aggregate(
        x,
        in_type,
        torch.stack([edges.source, edges.target]),
        edges.transport.to(x.dtype),
        edges.table.to(x.dtype),
        plan.node_table.to(x.dtype),
    )
    return aggregate.flatten(1) @ weight.flatten(0, 1)


class _FusedConvolution(torch.autograd.Function):
    """Saves features and weights only; nothing per edge."""

    @staticmethod
    def forward(ctx, x, weight, plan, in_type, out_type):
        ctx.save_for_backward(x, weight)
        ctx.plan, ctx.in_type, ctx.out_type = plan, in_type, out_type
        return cpu.convolve(x.detach(), plan.forward, plan.node_table, in_type, weight.detach())

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        plan, needs = ctx.plan, ctx.needs_input_grad
        if torch.is_grad_enabled():  # create_graph=True: let the reference path be differentiated again
            with torch.enable_grad():
                out = _reference(x, weight, plan, ctx.in_type)
                wanted = [t for t, need in zip((x, weight), needs) if need]
                grads = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
            return (*(next(grads) if need else None for need in needs[:2]), None, None, None)
        grad_x, grad_w = cpu.convolve_backward(
            grad.contiguous(), x, plan.backward, plan.node_table, ctx.out_type, weight, (needs[0], needs[1])
        )
        return grad_x, grad_w, None, None, None
