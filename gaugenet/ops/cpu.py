"""The fused CPU loop as torch operators, with autograd, fake tensors and threads."""

from __future__ import annotations

import importlib.util
import itertools
import threading

import torch
from torch import Tensor

from . import reference
from .mixing import Layout
from .plan import EdgeList

# Bytes of the combinations held at a time: they should stay in the cache between the loop and the product.
_CHUNK_BYTES = 1 << 18
_WORKING = {torch.float64: torch.float64, torch.float32: torch.float32, torch.float16: torch.float32}
_WORKING[torch.bfloat16] = torch.float32


# Without numba (a machine that only trains on its GPU) the reference path serves.
_NUMBA = importlib.util.find_spec("numba") is not None


def supported(x: Tensor) -> bool:
    """Whether the fused loop takes these features."""
    return _NUMBA and x.device.type == "cpu" and x.dtype in _WORKING


@torch.library.custom_op("gaugenet::convolve_cpu", mutates_args=(), device_types="cpu")
def convolve(
    x: Tensor,
    matrices: list[Tensor],
    transposed_matrices: list[Tensor],
    edges: list[Tensor],
    layout: list[Tensor],
    transposed_edges: list[Tensor],
    transposed_layout: list[Tensor],
) -> Tensor:
    """Fused convolution: (N, D) -> (N, D_out).

    Gradients to the weights arrive at ``transposed_matrices``, which the backward pass uses; both lists are made from
    the same weights, so the gradient of the weights is whole.

    Args:
        matrices, transposed_matrices: of KernelExpansion.reduced.
        edges, transposed_edges: fields of an EdgeList. layout, transposed_layout: tensors of a Layout.
    """
    working = _WORKING[x.dtype]
    out = x.new_empty(x.shape[0], sum(m.shape[1] for m in matrices), dtype=working)
    arrays = _arrays(edges, layout, matrices, working)
    _in_threads("convolve", [_numpy(x, working), *arrays, out.numpy()], x.shape[0], _step(layout, working))
    return out.to(x.dtype)


@convolve.register_fake
def _(x, matrices, transposed_matrices, edges, layout, transposed_edges, transposed_layout):
    return x.new_empty(x.shape[0], sum(m.shape[1] for m in matrices))


@torch.library.custom_op("gaugenet::convolve_cpu_backward", mutates_args=(), device_types="cpu")
def convolve_backward(
    grad: Tensor, x: Tensor, matrices: list[Tensor], edges: list[Tensor], layout: list[Tensor], need_x: bool, need_w: bool
) -> tuple[Tensor, Tensor]:
    """Gradients to the features and to the (concatenated, transposed) matrices; an empty tensor for one not needed."""
    working = _WORKING[x.dtype]
    shape = x.shape if need_x else (0, x.shape[1])
    grad_x = x.new_empty(shape, dtype=working)
    size = sum(m.numel() for m in matrices) if need_w else 0
    head = [_numpy(grad, working), _numpy(x, working), *_arrays(edges, layout, matrices, working), grad_x.numpy()]
    parts = _in_threads("convolve_backward", head, x.shape[0], _step(layout, working), size)
    grad_w = sum(parts[1:], parts[0]) if parts else x.new_zeros(size, dtype=working)
    return grad_x.to(x.dtype), grad_w


@convolve_backward.register_fake
def _(grad, x, matrices, edges, layout, need_x, need_w):
    size = sum(m.numel() for m in matrices) if need_w else 0
    return x.new_empty(x.shape if need_x else (0, x.shape[1])), x.new_empty(size, dtype=_WORKING[x.dtype])


def _setup(ctx, inputs, output):
    x, matrices, transposed_matrices, edges, layout, transposed_edges, transposed_layout = inputs
    lists = (matrices, transposed_matrices, edges, layout, transposed_edges, transposed_layout)
    ctx.sizes = [len(part) for part in lists]
    ctx.save_for_backward(x, *itertools.chain(*lists))


def _backward(ctx, grad):
    x, *rest = ctx.saved_tensors
    rest = iter(rest)
    matrices, transposed, edges, layout, t_edges, t_layout = ([next(rest) for _ in range(n)] for n in ctx.sizes)
    need_x, need_w = ctx.needs_input_grad[0], any(m.requires_grad for m in transposed)
    nothing = tuple([None] * n for n in ctx.sizes[2:])
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph: let plain torch be differentiated
        side = EdgeList(*edges)
        blocks = _layout(layout)
        carried = reference.carry(x[side.source], side, blocks)
        out = reference.convolve(carried, x, matrices, side, blocks)
        wanted = [t for t, need in zip((x, *matrices), (need_x, *[need_w] * len(matrices))) if need]
        grads = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
        grad_x = next(grads) if need_x else None
        return grad_x, list(grads) if need_w else [None] * len(matrices), [None] * len(transposed), *nothing
    grad_x, grad_w = convolve_backward(grad.contiguous(), x, transposed, t_edges, t_layout, need_x, need_w)
    grads_w: list = [None] * len(transposed)
    if need_w:
        parts = grad_w.split([m.numel() for m in transposed])
        grads_w = [part.view(m.shape).to(m.dtype) for part, m in zip(parts, transposed)]
    return grad_x if need_x else None, [None] * len(matrices), grads_w, *nothing


convolve.register_autograd(_backward, setup_context=_setup)


def _layout(tensors: list[Tensor]) -> Layout:
    return Layout(*tensors, tuple(tensors[4][:, 1].tolist()), True)


def _numpy(x: Tensor, dtype: torch.dtype):
    return x.detach().to(dtype).contiguous().numpy()


def _arrays(edges: list[Tensor], layout: list[Tensor], matrices: list[Tensor], dtype: torch.dtype) -> list:
    side, parts = EdgeList(*edges), _layout(layout)
    floats = [_numpy(t, dtype) for t in (side.turn, side.table, side.node_table)]
    weight = torch.cat([m.detach().reshape(-1).to(dtype) for m in matrices])
    turn, table, node_table = floats[0].reshape(-1), floats[1].reshape(-1), floats[2]
    return [
        (side.rowptr.numpy(), side.source.numpy(), turn, side.element.numpy(), table, node_table),
        (*(t.numpy() for t in parts[:3]), _numpy(parts.factors, dtype), parts.groups.numpy()),
        weight.numpy(),
    ]


def _step(layout: list[Tensor], dtype: torch.dtype) -> int:
    """Nodes to a chunk."""
    width = sum(_layout(layout).sizes)
    return max(16, min(512, _CHUNK_BYTES // max(1, width * dtype.itemsize)) // 8 * 8)


def _in_threads(name: str, head: list, num_nodes: int, step: int, size: int | None = None) -> list[Tensor]:
    """Run a kernel over slices of the nodes, one per torch thread; numba lets go of the GIL.

    Threads of our own and per call: numba's layers abort when used from several threads or after a fork. With ``size``, every
    thread has a buffer of that size of its own, and they are returned.
    """
    from . import cpu_kernels

    kernel = getattr(cpu_kernels, name)
    count = max(1, min(torch.get_num_threads(), num_nodes // 256))
    bounds = [num_nodes * i // count for i in range(count + 1)]
    dtype = torch.float64 if head[0].dtype == "float64" else torch.float32
    buffers = [] if size is None else [torch.zeros(size, dtype=dtype) for _ in range(count)]
    calls = [
        (*head, *([buffers[i].numpy()] if buffers else []), start, stop, step)
        for i, (start, stop) in enumerate(itertools.pairwise(bounds))
    ]
    threads = [threading.Thread(target=kernel, args=call) for call in calls[1:]]
    for thread in threads:
        thread.start()
    kernel(*calls[0])
    for thread in threads:
        thread.join()
    return buffers
