"""Driver of the GPU loop: the fused aggregation in chunks of nodes, combinations and matrix products after each chunk."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import torch
from torch import Tensor

from ..mixing import FLIP, PERMUTE, ROTATE, Layout
from ..plan import EdgeList
from ..precision import WORKING
from ..reference import combine

# Bytes of the aggregate held at a time: it should stay in the second-level cache of a large GPU.
_CHUNK_BYTES = 1 << 25
# Channels to a program.
_CHANNELS = 64
_TRITON = importlib.util.find_spec("triton") is not None


def supported(x: Tensor, *layouts: Layout) -> bool:
    """Whether the loop takes these features: on a GPU, or anywhere under Triton's interpreter (TRITON_INTERPRET=1)."""
    here = x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    return _TRITON and here and x.dtype in WORKING and all(layout.special for layout in layouts)


def convolve(x: Tensor, bias: Tensor, weight: Tensor, edges: EdgeList, layout: Layout) -> Tensor:
    """(N, D) -> (N, D_out); see :func:`gaugenet.ops.operator.convolve`."""
    out = x.new_empty(x.shape[0], bias.shape[0])
    matrices = layout.matrices(weight)
    for start, stop, reduced in _chunks(x, edges, layout):
        column = 0
        for part, matrix in zip(reduced.split(layout.sizes, 1), matrices):
            columns = slice(column, column + matrix.shape[1])
            out[start:stop, columns] = torch.addmm(bias[columns].to(x.dtype), part, matrix.to(x.dtype))
            column += matrix.shape[1]
    return out


def convolve_backward(
    grad: Tensor, x: Tensor, weight: Tensor, edges: EdgeList, layout: Layout, need_x: bool, need_w: bool
) -> tuple[Tensor, Tensor]:
    """Gradients to the features and to the weight, from one aggregate of ``grad`` over the transposed edges."""
    working = WORKING[x.dtype]
    grad_x = torch.empty_like(x) if need_x else x.new_empty(0, x.shape[1])
    matrices = layout.matrices(weight)
    grads = [torch.zeros_like(m, dtype=working) for m in matrices] if need_w else []
    for start, stop, reduced in _chunks(grad, edges, layout):
        column = 0
        for number, (part, matrix) in enumerate(zip(reduced.split(layout.sizes, 1), matrices)):
            columns = slice(column, column + matrix.shape[1])
            if need_x:
                grad_x[start:stop, columns] = part @ matrix.to(x.dtype)
            if need_w:
                grads[number] += part.T @ x[start:stop, columns]
            column += matrix.shape[1]
    flat = torch.cat([g.reshape(-1) for g in grads]) if grads else x.new_empty(0, dtype=working)
    return grad_x, flat


def pieces(layout: Layout) -> tuple[list[tuple[int, ...]], Tensor]:
    """What the programs of a node do, a component and up to 64 channels each, and the inverse permutations.

    A row is kind, order, first column of component a, of component b (of permutations: the stride between components),
    channels, column of the result, place (1 for the second component of a rotation; of permutations the offset), dim.
    """
    rows: list[tuple[int, ...]] = []
    inverses = layout.permutations.clone()
    for kind, order, mul, first, dim in layout.blocks.tolist():
        if kind == PERMUTE:
            later = [o for k, o, *_ in layout.blocks.tolist() if k in (PERMUTE, FLIP) and o > order]
            table = layout.permutations[order : min(later, default=layout.permutations.numel())].view(-1, dim)
            inverses[order : order + table.numel()] = table.argsort(1).reshape(-1)
        for component in range(dim):
            for channel in range(0, mul, _CHANNELS):
                count = min(_CHANNELS, mul - channel)
                to = first + component * mul + channel
                if kind == PERMUTE:
                    rows.append((kind, order, first + channel, mul, count, to, order + component, dim))
                elif kind == ROTATE:
                    rows.append((kind, order, first + channel, first + mul + channel, count, to, component, dim))
                else:
                    rows.append((kind, order, to, to, count, to, order if kind == FLIP else 0, dim))
    return rows, inverses


def _chunks(x: Tensor, edges: EdgeList, layout: Layout) -> Iterator[tuple[int, int, Tensor]]:
    """(start, stop, combinations (stop - start, Z) in the dtype of x) over all nodes."""
    import triton

    from . import kernels as cuda_kernels

    x = x.contiguous()
    working = WORKING[x.dtype]
    rows, inverses = pieces(layout)
    places = torch.tensor(rows, dtype=torch.int64, device=x.device)
    # Once, and not for every chunk.
    inverses = inverses.to(x.device)
    layout = layout._replace(columns=layout.columns.to(x.device), column_factors=layout.column_factors.to(x.device, working))
    (num_nodes, width), columns = x.shape, edges.node_table.shape[1]
    turn, det, table, node_table = (t.contiguous() for t in (edges.turn, edges.det, edges.table, edges.node_table))
    step = max(64, _CHUNK_BYTES // ((columns + 1) * width * working.itemsize))
    channels = triton.next_power_of_2(max(row[4] for row in rows))
    buffer = x.new_empty(min(step, num_nodes), columns + 1, width, dtype=working)
    for start in range(0, num_nodes, step):
        stop = min(start + step, num_nodes)
        part = buffer[: stop - start]
        cuda_kernels.aggregate[(stop - start, len(rows))](
            x,
            edges.rowptr,
            edges.source,
            turn,
            det,
            edges.element,
            table,
            node_table,
            places,
            inverses,
            part,
            start,
            node_table.shape[0],
            width,
            columns,
            ROWS=triton.next_power_of_2(columns),
            CHANNELS=channels,
            REFLECTS=det.numel() > 0,
        )
        yield start, stop, combine(part.flatten(1), layout).to(x.dtype)
