"""Driver of the fused CPU loop: arrays for numba, chunks, threads."""

from __future__ import annotations

import importlib
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..mixing import Layout
from ..plan import EdgeList
from ..precision import WORKING

if TYPE_CHECKING:
    from ..attention import Attended
    from ..carrying import Carrier

# Slices of the nodes to a thread: whoever is done early takes another.
_SLICES = 2
# Bytes of the combinations held at a time: they should stay in the cache between the loop and the product.
_CHUNK_BYTES = 1 << 18

# Without numba (a machine that only trains on its GPU) the reference path serves.
HAS_NUMBA = importlib.util.find_spec("numba") is not None


def supported(x: Tensor, *layouts: Layout | Carrier) -> bool:
    """Whether the fused loop takes these features, of fields with these layouts."""
    return HAS_NUMBA and x.device.type == "cpu" and x.dtype in WORKING and all(layout.special for layout in layouts)


def convolve(x: Tensor, bias: Tensor, weight: Tensor, edges: EdgeList, layout: Layout) -> Tensor:
    """(N, D) -> (N, D_out); see :func:`gaugenet.ops.operator.convolve`."""
    working = WORKING[x.dtype]
    out = x.new_empty(x.shape[0], bias.shape[0], dtype=working)
    head = _numpy(x, working), *_arrays(edges, layout, working)
    nothing = out.new_empty(0, out.shape[1]).numpy()
    bounds = _bounds(x.shape[0])
    arguments = *head, _numpy(weight, working), _numpy(bias, working), out.numpy(), nothing, nothing
    _run("convolve", (*arguments, bounds.numpy(), _step(layout, working)), bounds.numel() - 1)
    return out.to(x.dtype)


def convolve_backward(
    grad: Tensor, x: Tensor, weight: Tensor, edges: EdgeList, layout: Layout, need_x: bool, need_w: bool
) -> tuple[Tensor, Tensor]:
    """Gradients to the features and to the weight, from one aggregate of ``grad`` over the transposed edges."""
    working = WORKING[x.dtype]
    grad_x = x.new_empty(x.shape if need_x else (0, x.shape[1]), dtype=working)
    bounds = _bounds(x.shape[0])
    size = weight.numel() if need_w else 0
    # Every slice has a sum of its own: which thread takes it does not change the result.
    grad_w = torch.zeros(bounds.numel() - 1, size, dtype=working, device="cpu")
    features, bias = _numpy(x if need_w else x[:0], working), np.zeros(x.shape[1], grad_x.numpy().dtype)
    head = _numpy(grad, working), *_arrays(edges, layout, working), _numpy(weight, working), bias
    arguments = *head, grad_x.numpy(), features, grad_w.numpy(), bounds.numpy(), _step(layout, working)
    _run("convolve", arguments, bounds.numel() - 1)
    return grad_x.to(x.dtype), grad_w[0] if grad_w.shape[0] == 1 else grad_w.sum(0)


def table_gradient(grad: Tensor, x: Tensor, weight: Tensor, edges: EdgeList, layout: Layout) -> tuple[Tensor, Tensor]:
    """Gradients (E, J) and (N, J) to the table of the neighbours and of the centres."""
    working = WORKING[x.dtype]
    grads = [torch.zeros(table.shape, dtype=working, device="cpu") for table in (edges.table, edges.node_table)]
    bounds = _bounds(edges.node_table.shape[0])
    head = _numpy(x, working), _numpy(grad, working), *_arrays(edges, layout, working), _numpy(weight, working)
    of_edges, of_nodes = (g.numpy() for g in grads)
    arguments = *head, of_edges.reshape(-1), of_nodes, bounds.numpy(), _step(layout, working)
    _run("table_gradient", arguments, bounds.numel() - 1, "table_gradient")
    return grads[0], grads[1]


def carry_sum(x: Tensor, copies: int, edges: EdgeList, blocks: Tensor, permutations: Tensor) -> Tensor:
    """(B N, D) -> (B M, D); see :func:`gaugenet.ops.carrying.carry_sum`."""
    working = WORKING[x.dtype]
    out = x.new_empty(copies * (edges.rowptr.numel() - 1), x.shape[1], dtype=working)
    bounds = _bounds(out.shape[0])
    head = _numpy(x, working), _edges(edges, working), blocks.numpy(), permutations.numpy(), out.numpy(), bounds.numpy()
    _run("carry_sum", (*head, x.shape[0] // copies), bounds.numel() - 1)
    return out.to(x.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, weight: Tensor, side: Attended) -> Tensor:
    """(B N, D_out); see :func:`gaugenet.ops.attention.gauge_attend`."""
    working = WORKING[value.dtype]
    out, bounds = value.new_empty(value.shape[0], bias.shape[0], dtype=working), _bounds(value.shape[0])
    last = _numpy(bias, working), out.numpy(), bounds.numpy(), _step(side.layout, working)
    _run("attend", (*_attended(query, key, value, weight, side), *last), bounds.numel() - 1, "attention")
    return out.to(value.dtype)


def attend_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, weight: Tensor, side: Attended
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients to query, key, value and weight."""
    working, bounds, nodes = WORKING[value.dtype], _bounds(value.shape[0]), side.edges.rowptr.numel() - 1
    spans = _spans(bounds, side.edges, nodes)
    rows = torch.tensor([0, *(high - low for low, high in spans)], device="cpu").cumsum(0)
    # A slice adds to nodes of others: it has rows of its own for those that its edges come from.
    grad_query = torch.zeros(query.shape, dtype=working, device="cpu")
    parts = [torch.zeros(int(rows[-1]), t.shape[1], dtype=working, device="cpu") for t in (key, value)]
    grad_w = torch.zeros(len(spans), weight.numel(), dtype=working, device="cpu")
    places = torch.stack([rows[:-1], torch.tensor([low for low, _ in spans], device="cpu")], 1)
    grads = grad_query.numpy(), *(part.numpy().reshape(-1) for part in parts), grad_w.numpy()
    last = _numpy(grad, working), grads, places.numpy(), bounds.numpy(), _step(side.layout, working)
    _run("attend_backward", (*_attended(query, key, value, weight, side), *last), len(spans), "attention")
    if len(spans) > 1:
        whole = [torch.zeros(t.shape, dtype=working, device="cpu") for t in (key, value)]
        for (low, high), start in zip(spans, rows.tolist()):
            for total, part in zip(whole, parts):
                total[low:high] += part[start : start + high - low]
        parts = whole
    return grad_query.to(query.dtype), parts[0].to(key.dtype), parts[1].to(value.dtype), grad_w.sum(0)


def _spans(bounds: Tensor, edges: EdgeList, nodes: int) -> list[tuple[int, int]]:
    """First and last node that the edges into every slice come from, and those of the slice itself."""
    if bounds.numel() == 2:
        return [(0, int(bounds[1]))]
    spans = []
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
        copy = start // nodes * nodes
        if stop > copy + nodes:  # of several fields: all of them
            spans.append((copy, -(-stop // nodes) * nodes))
            continue
        source = edges.source[int(edges.rowptr[start - copy]) : int(edges.rowptr[stop - copy])]
        low, high = (int(source.min()), int(source.max()) + 1) if source.numel() else (start - copy, stop - copy)
        spans.append((min(start, copy + low), max(stop, copy + high)))
    return spans


def _attended(query: Tensor, key: Tensor, value: Tensor, weight: Tensor, side: Attended) -> tuple:
    working = WORKING[value.dtype]
    edges, layout = _arrays(side.edges, side.layout, working)
    keyed = tuple(t.numpy() for t in (side.key_blocks, side.key_permutations, side.key_runs))
    features = (_numpy(t, working) for t in (query, key, value))
    return *features, edges, _numpy(side.measure, working), keyed, layout, side.value_runs.numpy(), _numpy(weight, working)


def expand(x: Tensor, weight: Tensor, edges: EdgeList, layout: Layout, width: int, other: Tensor, place: Tensor) -> Tensor:
    """(B N, D) -> (B E, width) at the edges; see :func:`gaugenet.ops.messages.edge_fields`."""
    working, number = WORKING[x.dtype], edges.source.numel()
    nodes = edges.rowptr.numel() - 1
    out, bounds = x.new_empty(x.shape[0] // nodes * number, width, dtype=working), _bounds(x.shape[0])
    head = _numpy(x, working), *_arrays(edges, layout, working), _numpy(weight, working), _numpy(other, working)
    _run("expand", (*head, place.numpy(), out.numpy(), bounds.numpy(), _step(layout, working)), bounds.numel() - 1, "messages")
    return out.to(x.dtype)


def contract(
    grad: Tensor, x: Tensor, weight: Tensor, edges: EdgeList, layout: Layout, place: Tensor, back: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to x, to the weight and, with ``back``, to ``other``."""
    working, bounds = WORKING[x.dtype], _bounds(x.shape[0])
    grad_x = x.new_empty(x.shape, dtype=working)
    grad_other = grad.new_zeros(grad.shape if back else (0, grad.shape[1]), dtype=working)
    grad_w = torch.zeros(bounds.numel() - 1, weight.numel(), dtype=working, device="cpu")
    head = _numpy(grad, working), _numpy(x, working), *_arrays(edges, layout, working), _numpy(weight, working), place.numpy()
    grads = grad_x.numpy(), grad_other.numpy(), grad_w.numpy()
    _run("contract", (*head, *grads, bounds.numpy(), _step(layout, working)), bounds.numel() - 1, "messages")
    return grad_x.to(x.dtype), grad_w.sum(0), grad_other


def places(forward: EdgeList, backward: EdgeList) -> Tensor:
    """(E,) which of the backward edges each of the forward ones is."""
    place = torch.empty_like(forward.source)
    _run("places", (forward.source.numpy(), backward.rowptr.numpy(), place.numpy()), 1, "messages")
    return place


def gated_sum(z: Tensor, shift: Tensor, measure: Tensor, rowptr: Tensor, blocks: Tensor, width: int) -> Tensor:
    """(B N, width); see :func:`gaugenet.ops.messages.message_sum`."""
    rows = z.shape[0] // max(1, measure.shape[0]) * (rowptr.numel() - 1)
    out, bounds = z.new_zeros(rows, width), _bounds(rows)
    head = *(_numpy(t, z.dtype) for t in (z, shift, measure)), rowptr.numpy(), blocks.numpy()
    _run("gated_sum", (*head, out.numpy(), bounds.numpy()), bounds.numel() - 1, "messages")
    return out


def gated_sum_backward(
    grad: Tensor, z: Tensor, shift: Tensor, measure: Tensor, rowptr: Tensor, blocks: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients to z and shift."""
    grad_z, bounds = torch.empty_like(z), _bounds(grad.shape[0])
    grad_shift = z.new_zeros(bounds.numel() - 1, z.shape[1])
    head = *(_numpy(t, z.dtype) for t in (z, shift, measure)), rowptr.numpy(), blocks.numpy(), _numpy(grad, z.dtype)
    _run("gated_sum_backward", (*head, grad_z.numpy(), grad_shift.numpy(), bounds.numpy()), bounds.numel() - 1, "messages")
    return grad_z, grad_shift.sum(0)


def graph_moments(x: Tensor, share: Tensor, batch: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(N, D) -> (G, D), (G, D); see :func:`gaugenet.ops.nodes.graph_columns.graph_moments`."""
    bounds = _bounds(x.shape[0])
    head = _numpy(x, x.dtype), _numpy(share, x.dtype), batch.contiguous().numpy()
    mean = centre = x.new_zeros(count, x.shape[1])
    for power in (False, True):
        out = x.new_zeros(bounds.numel() - 1, count, x.shape[1])
        arguments = *head, centre.numpy(), power, out.numpy(), bounds.numpy()
        _run("sums", arguments, bounds.numel() - 1, "graph_columns")
        mean, centre = centre, out.sum(0)
    return mean, centre


def scale_graphs(x: Tensor, scale: Tensor, shift: Tensor, batch: Tensor, share: Tensor | None = None) -> Tensor:
    """share (x scale + shift), (N, D); see :func:`gaugenet.ops.nodes.graph_columns.scale_graphs`."""
    out, bounds = torch.empty_like(x, memory_format=torch.contiguous_format), _bounds(x.shape[0])
    share = x.new_empty(0) if share is None else share
    head = (_numpy(t, x.dtype) for t in (x, scale, shift))
    arguments = *head, batch.contiguous().numpy(), _numpy(share, x.dtype), out.numpy(), bounds.numpy()
    _run("scale", arguments, bounds.numel() - 1, "graph_columns")
    return out


def scale_graphs_backward(grad: Tensor, x: Tensor, scale: Tensor, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to x, scale and shift."""
    grad_x, bounds = torch.empty_like(x, memory_format=torch.contiguous_format), _bounds(x.shape[0])
    # Every slice has sums of its own: which thread takes it does not change the result.
    sums = [x.new_zeros(bounds.numel() - 1, *scale.shape) for _ in range(2)]
    head = *(_numpy(t, x.dtype) for t in (grad, x, scale)), batch.contiguous().numpy()
    arguments = *head, grad_x.numpy(), *(t.numpy() for t in sums), bounds.numpy()
    _run("scale_backward", arguments, bounds.numel() - 1, "graph_columns")
    return grad_x, sums[0].sum(0), sums[1].sum(0)


def square(x: Tensor, grad: Tensor | None, samples: Tensor, polynomial: Tensor, unit: Tensor, tiny: float) -> Tensor:
    """(N, n, C) -> (N, n, C), or the gradient to x; see :func:`gaugenet.ops.nodes.squares.squared_functions`."""
    working = WORKING[x.dtype]
    out, bounds = x.new_empty(x.shape, dtype=working), _bounds(x.shape[0])
    constant, linear, scale = polynomial.tolist()
    numbers = [out.numpy().dtype.type(v) for v in (constant, linear, scale / samples.shape[0], tiny)]
    f, h, t, e = (_numpy(a, working).reshape(-1) for a in (x, x if grad is None else grad, samples, unit))
    arguments = f, h, t, e, tuple(numbers), out.numpy().reshape(-1), *x.shape[1:], bounds.numpy()
    _run("square" if grad is None else "square_backward", arguments, bounds.numel() - 1, "squares")
    return out.to(x.dtype)


def _numpy(x: Tensor, dtype: torch.dtype) -> np.ndarray:
    return x.detach().to(dtype).contiguous().numpy()


def _edges(edges: EdgeList, dtype: torch.dtype) -> tuple:
    """rowptr, source, turn, det, element and table, the floats flat and in ``dtype``."""
    turn, det, table = (_numpy(t, dtype).reshape(-1) for t in (edges.turn, edges.det, edges.table))
    return edges.rowptr.numpy(), edges.source.numpy(), turn, det, edges.element.numpy(), table


def _arrays(edges: EdgeList, layout: Layout, dtype: torch.dtype) -> list:
    return [
        (*_edges(edges, dtype), _numpy(edges.node_table, dtype), edges.column.numpy()),
        (*(t.numpy() for t in layout[:3]), _numpy(layout.factors, dtype), layout.groups.numpy()),
    ]


def _step(layout: Layout, dtype: torch.dtype) -> int:
    """Nodes to a chunk: whole tiles of every shape, and enough of them for a pass over wide weights."""
    width = sum(layout.sizes)
    return max(48, min(504, _CHUNK_BYTES // max(1, width * dtype.itemsize)) // 24 * 24)


def _bounds(num_nodes: int) -> Tensor:
    """Slices of the nodes, first one to last one."""
    threads = torch.get_num_threads()
    count = max(1, min(_SLICES * threads, num_nodes // 256)) if threads > 1 else 1
    return torch.arange(count + 1, device="cpu") * num_nodes // count


def _run(name: str, arguments: tuple, count: int, module: str = "kernels") -> None:
    """Run a kernel over slices of the nodes on torch's threads; numba lets go of the GIL."""
    from . import team

    kernel = getattr(importlib.import_module(f".{module}", __package__), name)
    threads, fork = min(torch.get_num_threads(), count), team.fork_address()
    if threads == 1 or fork:
        failed = kernel(fork, threads, 0, count, arguments)
    else:  # no OpenMP to be had: threads of our own, one a slice
        with ThreadPoolExecutor(count) as own:
            failed = sum(own.map(lambda i: kernel(0, 1, i, i + 1, arguments), range(count)))
    if failed:
        raise MemoryError(f"the gauge convolution found no memory for its work space ({failed} of {count} slices)")
