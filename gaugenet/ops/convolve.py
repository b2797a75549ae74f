"""One function for the gauge convolution, with the backend picked from the device."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from . import cpu, reference
from .mixing import Layout
from .plan import EdgePlan

BACKENDS = ("auto", "reference", "cpu")


def gauge_convolve(
    x: Tensor, weight: Tensor, plan: EdgePlan, expansion, layouts: tuple[Layout, Layout], backend: str = "auto"
) -> Tensor:
    r"""Aggregate the transported neighbours, combine, then mix (DESIGN section 6).

    .. math:: out[p] = \sum_j W_j^T \Big( \sum_{e: q \to p} U[e, j]\, \rho_{in}(g_{pq}) f(q) + U_{self}[p, j] f(p) \Big)

    Args:
        x: (N, D_in) features of type ``expansion.in_type``.
        weight: (num_weights,) weights of the expansion.
        plan: edges and tables, from :func:`gaugenet.ops.make_plan`.
        expansion: the kernel expansion, which gives the W_j.
        layouts: :func:`gaugenet.ops.make_layout` of the expansion, plain and transposed.
        backend: "reference" (plain torch: any group and device, twice differentiable, gradients to the table), "cpu" (fused
            numba loop), or "auto", which the environment variable GAUGENET_BACKEND overrides.

    Returns:
        (N, D_out).

    Raises:
        ValueError: an unknown backend, or one that cannot take these features.
    """
    if backend == "auto":
        backend = os.environ.get("GAUGENET_BACKEND", "auto")
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}: expected one of {', '.join(BACKENDS)}")
    layout, transposed = layouts
    special = layout.special and transposed.special
    if backend == "auto":
        edges = plan.forward
        learnt = any(t.requires_grad for t in (edges.table, edges.node_table, edges.transport))
        backend = "cpu" if cpu.supported(x) and special and not learnt else "reference"
    if backend == "cpu":
        if not (cpu.supported(x) and special):
            raise ValueError(
                f"backend 'cpu' takes irreps of planar groups in floating point on the CPU, got {x.dtype} on {x.device} "
                f"and {expansion.in_type} -> {expansion.out_type}"
            )
        needs_grad = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
        second = expansion.reduced(weight, True) if needs_grad else []
        return cpu.convolve(
            x,
            expansion.reduced(weight, False),
            second,
            list(plan.forward),
            layout.tensors,
            list(plan.backward),
            transposed.tensors,
        )
    edges = plan.forward
    carried = expansion.in_type.transform(edges.transport.to(x.dtype), x[edges.source])
    return reference.convolve(carried, x, expansion.reduced(weight, False), edges, layout)
