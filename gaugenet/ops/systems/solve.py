r"""Solves :math:`(s M + t L) u = f` on the nodes of one graph, differentiable in f, s and t as often as one likes.

The matrix is symmetric, so the backward pass is the same system:

.. math:: \bar f = (s M + t L)^{-1} \bar u, \qquad \bar s = - \langle \bar f, M u \rangle, \qquad
    \bar t = - \langle \bar f, L u \rangle
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..cpu.driver import HAS_NUMBA

# Of the residual in the norm of the preconditioner, by the precision of the features.
_TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-8}
_COARSE = 1e-6
_MOST_STEPS = 20_000


class System(NamedTuple):
    r"""A symmetric positive semi-definite matrix L and a mass M, of R rows, n for every node one after the other; float64.

    Attributes:
        mass: (R,) the diagonal of M. node: (N, 0), which says how many nodes there are.
        rowptr, column, value: L by rows.
        diagonal: (R,) that of L.
        order, colptr, row, factor, pivot: :class:`gaugenet.sparse.factors.Factor` of one combination :math:`s M + L`, factor
            (K, 1), or of its complex form with R / 2 rows, (K, 2); empty where there is none.
    """

    mass: Tensor
    node: Tensor
    rowptr: Tensor
    column: Tensor
    value: Tensor
    diagonal: Tensor
    order: Tensor
    colptr: Tensor
    row: Tensor
    factor: Tensor
    pivot: Tensor

    @property
    def nodes(self) -> int:
        return self.node.shape[0]

    @property
    def area(self) -> Tensor:
        """Sum of the mass over the nodes."""
        return self.mass.sum() * (self.nodes / self.mass.shape[0])


def solve(f: Tensor, shift: Tensor, time: Tensor, system: System, factored: bool = False) -> Tensor:
    r"""u with :math:`(s_c M + t_c L) u_c = f_c` for every column c.

    Args:
        f: (R, C). shift: (C,) s, positive. time: (C,) t, not negative.
        system: L and M.
        factored: take the system's factor, which must be that of :math:`s M + L`, with t = 1. It is there on the CPU;
            elsewhere, and without it or numba, conjugate gradients with the diagonal as the preconditioner.

    Returns:
        (R, C) in the dtype of f; solved in float64 where the device has it.

    Raises:
        RuntimeError: conjugate gradients do not converge.
    """
    return _solve(f, shift, time, list(system), factored)


@torch.library.custom_op("gaugenet::solve", mutates_args=())
def _solve(f: Tensor, shift: Tensor, time: Tensor, system: list[Tensor], factored: bool) -> Tensor:
    own = System(*system)
    if factored and f.device.type == "cpu" and HAS_NUMBA:
        return _by_factor(f, own).to(f.dtype)
    return _conjugate_gradients(f, shift, time, own).to(f.dtype)


@_solve.register_fake
def _(f: Tensor, shift: Tensor, time: Tensor, system: list[Tensor], factored: bool) -> Tensor:
    return f.new_empty(f.shape)


@torch.library.custom_op("gaugenet::apply", mutates_args=())
def _apply(u: Tensor, system: list[Tensor]) -> Tensor:
    """L u."""
    own = System(*system)
    return (_matrix(own) @ u.to(own.value.dtype)).to(u.dtype)


@_apply.register_fake
def _(u: Tensor, system: list[Tensor]) -> Tensor:
    return u.new_empty(u.shape)


def _keep(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _, shift, time, system, ctx.factored = inputs
    ctx.save_for_backward(output, shift, time, *system)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    u, shift, time, *system = ctx.saved_tensors
    back = _solve(grad.contiguous(), shift, time, system, ctx.factored)
    to_shift = to_time = None
    if ctx.needs_input_grad[1]:
        to_shift = -(back * (System(*system).mass.to(u.dtype)[:, None] * u)).sum(0).to(shift.dtype)
    if ctx.needs_input_grad[2]:
        to_time = -(back * _apply(u, system)).sum(0).to(time.dtype)
    return back, to_shift, to_time, [None] * len(System._fields), None


def _keep_system(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1])


def _apply_backward(ctx: Any, grad: Tensor) -> tuple:
    return _apply(grad.contiguous(), list(ctx.saved_tensors)), [None] * len(System._fields)


_solve.register_autograd(_backward, setup_context=_keep)
_apply.register_autograd(_apply_backward, setup_context=_keep_system)


def _matrix(system: System) -> Tensor:
    rows = system.mass.shape[0]
    with warnings.catch_warnings():  # that sparse matrices by rows are new in torch
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(system.rowptr, system.column, system.value, (rows, rows), check_invariants=False)


def _by_factor(f: Tensor, system: System) -> Tensor:
    from .triangular import solve_complex, solve_real  # numba, which a machine that only trains may lack

    order, nodes = system.order, system.order.shape[0]
    x = f.double().reshape(nodes, -1)[order]
    loop = solve_real if system.factor.shape[1] == 1 else solve_complex
    loop(*(np.asarray(t) for t in (system.colptr, system.row, system.factor, system.pivot, x)))
    out = torch.empty_like(x)
    out[order] = x
    return out.view(f.shape)


def _conjugate_gradients(f: Tensor, shift: Tensor, time: Tensor, system: System) -> Tensor:
    """Hestenes, Stiefel 1952, with the diagonal as the preconditioner; on the CPU a few columns at a time."""
    tolerance = _TOLERANCE.get(f.dtype, _COARSE)
    f, s, t = (a.to(system.mass) for a in (f, shift, time))
    if f.device.type == "cpu" and HAS_NUMBA:
        u, done = _in_groups(f, s, t, system, tolerance)
    else:
        u, done = _together(f, s, t, system, tolerance)
    if not done:
        raise RuntimeError(
            f"conjugate gradients have not converged in {_MOST_STEPS} steps: take smaller times, or a larger shift"
        )
    return u


def _in_groups(f: Tensor, s: Tensor, t: Tensor, system: System, tolerance: float) -> tuple[Tensor, bool]:
    """Columns of about the same condition side by side, as many as a vector register holds."""
    from .conjugate_gradients import LANES, conjugate_gradients

    order, out, done = torch.argsort(t / s), torch.empty_like(f), True
    matrix = [np.asarray(a) for a in (system.rowptr, system.column, system.value, system.diagonal, system.mass)]
    for columns in order.split(LANES):
        part = f.new_zeros(f.shape[0], LANES)
        part[:, : len(columns)] = f[:, columns]
        factors = [torch.nn.functional.pad(a[columns], (0, LANES - len(columns)), value=1.0) for a in (s, t)]
        arrays = [np.asarray(a) for a in (*factors, part)]
        done = conjugate_gradients(*matrix, *arrays, tolerance, _MOST_STEPS) and done
        out[:, columns] = part[:, : len(columns)]
    return out, done


def _together(f: Tensor, s: Tensor, t: Tensor, system: System, tolerance: float) -> tuple[Tensor, bool]:
    """All columns, until the last has converged."""
    mass, matrix, least = system.mass[:, None], _matrix(system), torch.finfo(f.dtype).tiny
    inverse = 1 / (s * mass + t * system.diagonal[:, None])
    u, r = torch.zeros_like(f), f.clone()
    p = inverse * r
    power = (r * p).sum(0)
    stop = tolerance**2 * power
    for step in range(_MOST_STEPS):
        q = s * (mass * p) + t * (matrix @ p)
        along = power / (p * q).sum(0).clamp_min(least)
        u.addcmul_(along, p)
        r.addcmul_(along, q, value=-1)
        z = inverse * r
        new = (r * z).sum(0)
        # A column of zeros stays one.
        p = z + new / power.clamp_min(least) * p
        power = new
        if step % 4 == 3 and bool((power <= stop).all()):
            return u, True
    return u, False
