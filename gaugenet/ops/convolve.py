"""One function for the gauge convolution, with the backend picked from the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..fields import FieldType
from . import operator, reference
from .backend import choose
from .mixing import Layout
from .plan import EdgePlan


class Kernel(NamedTuple):
    """A steerable kernel with its weights.

    Attributes:
        in_type: field type of the features.
        layouts: :func:`gaugenet.ops.make_layout`, plain and transposed.
        mixing: called with False (True: for the backward pass), gives the matrices of the layout's groups in one vector.
        requires_grad: whether the weights do.
        bias: (D_out,) added to every node, or None.
    """

    in_type: FieldType
    layouts: tuple[Layout, Layout]
    mixing: Callable[[bool], Tensor]
    requires_grad: bool
    bias: Tensor | None = None


def gauge_convolve(x: Tensor, kernel: Kernel, plan: EdgePlan, backend: str = "auto") -> Tensor:
    r"""Aggregate the transported neighbours, combine, then mix (DESIGN section 6).

    .. math:: out[p] = K_{self} f(p)
        + \sum_j W_j^T \Big( \sum_{e: q \to p} U[e, j]\, \rho_{in}(g_{pq}) f(q) + U_{self}[p, j] f(p) \Big) + b

    Args:
        x: (B N, D_in) features of B fields on the graph of the plan, one under the other.
        kernel: the matrices W_j and K_self, how they are laid out, and the bias b.
        plan: edges and tables, from :func:`gaugenet.ops.make_plan`.
        backend: "reference" (plain torch: any group and device, twice differentiable, gradients to the geometry), "cpu"
            (fused numba loop, with gradients to the table), "cuda" (Triton), "cuda-on-chip" (Triton, irreps only), or "auto",
            which the environment variable GAUGENET_BACKEND overrides.

    Returns:
        (B N, D_out).

    Raises:
        ValueError: an unknown backend, or one that cannot take these features.
    """
    layout, transposed = [layout.standing for layout in kernel.layouts] if plan.identity else kernel.layouts
    edges = plan.forward
    learnt = edges.table.requires_grad or edges.node_table.requires_grad

    def fits(loop: Any) -> bool:
        if learnt and (edges.column.numel() or not hasattr(loop, "table_gradient")):
            return False
        return loop.supported(x, layout, transposed)

    backend = backend if plan.paired and not edges.unordered else "reference"
    backend = choose(backend, x, operator.LOOPS, fits, learnt=edges.transport.requires_grad, what=str(kernel.in_type))
    if backend != "reference":
        needs_grad = torch.is_grad_enabled() and (x.requires_grad or kernel.requires_grad or learnt)
        second = kernel.mixing(True) if needs_grad else x.new_empty(0)
        first = kernel.mixing(False)
        bias = x.new_zeros(layout.width) if kernel.bias is None else kernel.bias
        if torch.compiler.is_compiling():
            back = list(plan.backward), transposed.tensors
            return operator.convolve(x, bias, first, second, list(edges), layout.tensors, *back, backend)
        sides = operator.Sides(edges, layout, plan.backward, transposed)
        return operator.Convolution.apply(x, bias, first, second, edges.table, edges.node_table, sides, backend)
    mixing = kernel.mixing(False)
    transport = edges.transport.to(x.dtype)

    def one(field: Tensor) -> Tensor:
        carried = kernel.in_type.transform(transport, field[edges.source])
        return reference.convolve(carried, field, mixing, edges, layout)

    out = reference.each_field(one, x, edges)
    return out if kernel.bias is None else out + kernel.bias.to(x.dtype)
