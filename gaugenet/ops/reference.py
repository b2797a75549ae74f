"""The aggregate-first convolution in plain torch: any group, any device, differentiable as often as wanted.

Letters: N nodes, E edges, J columns of the coefficient table (radial functions x harmonics), D feature dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .mixing import FLIP, PERMUTE, ROTATE, SIGN, Layout, there
from .plan import EdgeList
from .rows import fields_of, sum_rows

# Bytes of padded neighbour features that one chunk of targets may take: large enough for BLAS, small enough for memory.
_CHUNK_BYTES = 1 << 26


def carry(x: Tensor, edges: EdgeList, layout: Layout) -> Tensor:
    """rho(g_e) x[e] for blocks that the fused loops know: (E, D)."""
    cos, sin = (edges.turn[:, k : k + 1].to(x.dtype) for k in range(2))
    det = edges.det[:, None].to(x.dtype) if edges.det.numel() else torch.ones_like(cos)
    permutations = there(layout.permutations, x.device) if layout.permutations.numel() else layout.permutations
    parts = []
    for kind, order, mul, first, dim in layout.blocks.tolist():
        if kind == PERMUTE:
            count = edges.element.max().item() + 1 if edges.element.numel() else 0
            rows = permutations[order : order + count * dim].view(-1, dim)[edges.element]
            block = x[:, first : first + dim * mul].view(-1, dim, mul)
            parts.append(torch.zeros_like(block).scatter(1, rows.unsqueeze(2).expand_as(block), block).flatten(1))
            continue
        a = x[:, first : first + mul]
        if kind == SIGN:
            parts.append(det * a)
        elif kind == FLIP:
            parts.append(permutations[order:][edges.element][:, None].to(x.dtype) * a)
        elif kind == ROTATE:
            b = det * x[:, first + mul : first + 2 * mul]
            c, s = cos, sin
            for _ in range(order - 1):
                c, s = c * cos - s * sin, c * sin + s * cos
            parts += [c * a - s * b, s * a + c * b]
        else:
            parts.append(a)
    return torch.cat(parts, 1)


def each_field(function: Callable[[Tensor], Tensor], x: Tensor, edges: EdgeList) -> Tensor:
    """A function of one field, for each of the fields (N, D) that lie one under the other in x (B N, D)."""
    found = [function(field) for field in fields_of(x, edges.node_table.shape[0])]
    return found[0] if len(found) == 1 else torch.cat(found)


def convolve(carried: Tensor, x: Tensor, weight: Tensor, edges: EdgeList, layout: Layout) -> Tensor:
    """Sum the carried neighbours (E, D) against the table, add the centres x (N, D), combine and mix: (N, D_out)."""
    matrices = layout.matrices(weight)
    table, node_table = edges.table.to(x.dtype), edges.node_table.to(x.dtype)
    if edges.unordered or torch.compiler.is_compiling():  # no data-dependent shapes: the compiler fuses the products itself
        messages = table.unsqueeze(2) * carried.unsqueeze(1)
        aggregate = sum_rows(messages, edges.target, x.shape[0])
        return _mix(aggregate, x, node_table, matrices, layout)
    parts = [
        _mix(aggregate, x[start:stop], node_table[start:stop], matrices, layout)
        for start, stop, aggregate in _padded_sums(carried, table, edges, x.shape[0])
    ]
    return torch.cat(parts) if parts else x.new_zeros(0, layout.width)


def _mix(aggregate: Tensor, x: Tensor, node_table: Tensor, matrices: list[Tensor], layout: Layout) -> Tensor:
    flat = torch.cat([(aggregate + node_table.unsqueeze(2) * x.unsqueeze(1)).flatten(1), x], 1)
    reduced = combine(flat, layout)
    return torch.cat([part @ matrix for part, matrix in zip(reduced.split(layout.sizes, 1), matrices)], 1)


def combine(flat: Tensor, layout: Layout) -> Tensor:
    """What the kernels use of the aggregate and its centre, (N, (J + 1) D): (N, Z)."""
    z, a, b = there(layout.columns, flat.device)
    f, g = there(layout.column_factors, flat.device).to(flat.dtype)
    reduced = flat[:, a] * f + flat[:, b] * g
    width = sum(layout.sizes)
    if width != z.shape[0]:  # some combinations have more than two terms
        reduced = sum_rows(reduced, z, width, 1)
    return reduced


def _padded_sums(values: Tensor, table: Tensor, edges: EdgeList, num_nodes: int) -> Iterator[tuple[int, int, Tensor]]:
    """(start, stop, sum over e -> p of table[e, j] values[e, :]) by batched products over targets padded to equal degree."""
    first, degree = edges.rowptr[:-1], edges.rowptr.diff()
    rank = torch.arange(edges.target.numel(), device=first.device) - first[edges.target]
    widest = max(int(degree.max()), 1) if num_nodes else 1
    chunk = max(1, _CHUNK_BYTES // (widest * (values.shape[1] + table.shape[1]) * values.element_size()))
    bounds = [*range(0, num_nodes, chunk), num_nodes]
    cuts = edges.rowptr[torch.tensor(bounds, device=first.device)].tolist()
    for start, stop, e0, e1 in zip(bounds[:-1], bounds[1:], cuts[:-1], cuts[1:]):
        width = max(int(degree[start:stop].max()), 1)
        slot = (edges.target[e0:e1] - start) * width + rank[e0:e1]
        size = (stop - start) * width
        padded_values = values.new_zeros(size, values.shape[1]).index_copy(0, slot, values[e0:e1])
        padded_table = table.new_zeros(size, table.shape[1]).index_copy(0, slot, table[e0:e1])
        yield (
            start,
            stop,
            torch.bmm(padded_table.view(stop - start, width, -1).transpose(1, 2), padded_values.view(stop - start, width, -1)),
        )
