"""Driver of the fused CPU loop: arrays for numba, chunks, threads."""

from __future__ import annotations

import importlib.util
import itertools
import threading

import torch
from torch import Tensor

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


def convolve(x: Tensor, matrices: list[Tensor], edges: EdgeList, layout: Layout) -> Tensor:
    """(N, D) -> (N, D_out); see :func:`gaugenet.ops.operator.convolve`."""
    working = _WORKING[x.dtype]
    out = x.new_empty(x.shape[0], sum(m.shape[1] for m in matrices), dtype=working)
    arrays = _arrays(edges, layout, matrices, working)
    _in_threads("convolve", [_numpy(x, working), *arrays, out.numpy()], x.shape[0], _step(layout, working))
    return out.to(x.dtype)


def convolve_backward(
    grad: Tensor, x: Tensor, matrices: list[Tensor], edges: EdgeList, layout: Layout, need_x: bool, need_w: bool
) -> tuple[Tensor, Tensor]:
    """Gradients to the features and to the concatenated matrices, from one aggregate of ``grad`` over the transposed edges."""
    working = _WORKING[x.dtype]
    grad_x = x.new_empty(x.shape if need_x else (0, x.shape[1]), dtype=working)
    size = sum(m.numel() for m in matrices) if need_w else 0
    head = [_numpy(grad, working), _numpy(x, working), *_arrays(edges, layout, matrices, working), grad_x.numpy()]
    parts = _in_threads("convolve_backward", head, x.shape[0], _step(layout, working), size)
    return grad_x.to(x.dtype), sum(parts[1:], parts[0])


def _numpy(x: Tensor, dtype: torch.dtype):
    return x.detach().to(dtype).contiguous().numpy()


def _arrays(edges: EdgeList, layout: Layout, matrices: list[Tensor], dtype: torch.dtype) -> list:
    floats = [_numpy(t, dtype) for t in (edges.turn, edges.table, edges.node_table)]
    weight = torch.cat([m.detach().reshape(-1).to(dtype) for m in matrices])
    turn, table, node_table = floats[0].reshape(-1), floats[1].reshape(-1), floats[2]
    return [
        (edges.rowptr.numpy(), edges.source.numpy(), turn, edges.element.numpy(), table, node_table),
        (*(t.numpy() for t in layout[:3]), _numpy(layout.factors, dtype), layout.groups.numpy()),
        weight.numpy(),
    ]


def _step(layout: Layout, dtype: torch.dtype) -> int:
    """Nodes to a chunk."""
    width = sum(layout.sizes)
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
