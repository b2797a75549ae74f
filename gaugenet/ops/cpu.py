"""Driver of the fused CPU loop: chunks of targets, threads, and the matrix product after each chunk."""

from __future__ import annotations

import itertools
import threading
from functools import lru_cache

import torch
from torch import Tensor

from ..fields import FieldType
from .plan import EdgeList

# Bytes of the aggregate held at a time: it should stay in the outer cache between the loop and the product.
_CHUNK_BYTES = 1 << 23


@lru_cache(maxsize=256)
def block_table(type: FieldType) -> tuple[tuple[int, int, int, int], ...] | None:
    """(kind, order, mul, first column) of every block, or None when the loop has no path for a representation."""
    from .cpu_kernels import COPY, ROTATE, SIGN

    rows = []
    for (mul, rep), columns in zip(type.blocks, type.slices):
        if rep == type.group.trivial:
            kind, order = COPY, 0
        elif type.group.dim == 2 and rep.dim == 2 and rep.name.isdigit():
            kind, order = ROTATE, int(rep.name)
        elif type.group.dim == 2 and rep.dim == 1 and rep.name == "0-":
            kind, order = SIGN, 0
        else:
            return None
        rows.append((kind, order, mul, columns.start))
    return tuple(rows)


def supported(x: Tensor) -> bool:
    """Whether the fused loop takes these features."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def convolve(x: Tensor, edges: EdgeList, node_table: Tensor, type: FieldType, weight: Tensor) -> Tensor:
    """Aggregate and mix: (N, D) features and (J, D, D_out) matrices -> (N, D_out)."""
    matrix = weight.reshape(-1, weight.shape[-1]).contiguous()
    out = x.new_empty(x.shape[0], matrix.shape[1])
    for start, stop, aggregate in _chunks(x, edges, node_table, type):
        torch.mm(aggregate.flatten(1), matrix, out=out[start:stop])
    return out


def convolve_backward(
    grad: Tensor, x: Tensor, edges: EdgeList, node_table: Tensor, type: FieldType, weight: Tensor, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients to the features and to the matrices from one aggregate over the transposed edges.

    Args:
        grad: (N, D_out) upstream gradient, of field type ``type``.
        x: (N, D) features of the forward pass.
        edges: transposed edges with turned tables.
        weight: (J, D, D_out) matrices of a *steerable* kernel. The gradient to them is right after the projection on
            the steerable space, which the expansion from weights performs.
        needs: whether the gradients to x and to weight are wanted.
    """
    columns, dim, dim_out = weight.shape
    matrix = weight.transpose(1, 2).reshape(columns * dim_out, dim).contiguous()
    grad_x = torch.empty_like(x) if needs[0] else None
    grad_w = x.new_zeros(dim, columns * dim_out) if needs[1] else None
    for start, stop, aggregate in _chunks(grad, edges, node_table, type):
        flat = aggregate.flatten(1)
        if grad_x is not None:
            torch.mm(flat, matrix, out=grad_x[start:stop])
        if grad_w is not None:
            grad_w.addmm_(x[start:stop].t(), flat)
    if grad_w is not None:
        grad_w = grad_w.view(dim, columns, dim_out).transpose(0, 1).contiguous()
    return grad_x, grad_w


def _chunks(x: Tensor, edges: EdgeList, node_table: Tensor, type: FieldType):
    """(start, stop, aggregate (stop - start, J, D)) over all targets; the buffer is reused."""
    import numpy as np

    from . import cpu_kernels

    x = x.contiguous()
    blocks = block_table(type)
    source, values = edges.source, x
    if blocks is None:  # carry per edge in torch, then only sum
        values = type.transform(edges.transport.to(x.dtype), x[source]).contiguous()
        source = torch.arange(values.shape[0])
        blocks = ((cpu_kernels.COPY, 0, x.shape[1], 0),)
    arrays = [
        values.numpy(),
        x.numpy(),
        edges.rowptr.numpy(),
        source.numpy(),
        _turns(edges.transport, x.dtype).numpy(),
        edges.table.to(x.dtype).contiguous().numpy(),
        node_table.to(x.dtype).contiguous().numpy(),
        np.array(blocks, dtype=np.int64).reshape(-1, 4),
    ]
    nodes, columns = x.shape[0], edges.table.shape[1]
    step = max(64, _CHUNK_BYTES // max(1, columns * x.shape[1] * x.element_size()))
    buffer = x.new_empty(min(step, nodes), columns, x.shape[1])
    for start in range(0, nodes, step):
        stop = min(start + step, nodes)
        part = buffer[: stop - start]
        _in_threads(cpu_kernels.aggregate, arrays, start, stop, part.numpy())
        yield start, stop, part


def _turns(transport: Tensor, dtype: torch.dtype) -> Tensor:
    """(E, 3) cos, sin and determinant of planar transporters; for spatial ones, which are carried in torch, zeros."""
    if transport.shape[-1] != 2:
        return transport.new_zeros(transport.shape[0], 3, dtype=dtype)
    g = transport.to(dtype)
    det = g[:, 0, 0] * g[:, 1, 1] - g[:, 0, 1] * g[:, 1, 0]
    return torch.stack([g[:, 0, 0], g[:, 1, 0], det.sign()], -1)


def _in_threads(kernel, arrays: list, start: int, stop: int, out) -> None:
    """Run the kernel over slices of the targets, one per torch thread; numba lets go of the GIL.

    Threads of our own and per call: numba's layers abort when used from several threads or after a fork.
    """
    count = min(torch.get_num_threads(), max(1, (stop - start) // 64))
    if count == 1:
        kernel(*arrays, start, stop, out)
        return
    bounds = [start + (stop - start) * i // count for i in range(count + 1)]
    threads = [
        threading.Thread(target=kernel, args=(*arrays, a, b, out[a - start : b - start]))
        for a, b in itertools.pairwise(bounds[1:])
    ]
    for thread in threads:
        thread.start()
    kernel(*arrays, bounds[0], bounds[1], out[: bounds[1] - start])
    for thread in threads:
        thread.join()
