"""Aggregate-first gauge convolution in plain torch: any group, any device, differentiable twice.

Letters: N nodes, E edges, J columns of the coefficient table (radial functions x harmonics), D feature dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..fields import FieldType

# Bytes of padded neighbour features that one chunk of targets may take: large enough for BLAS, small enough for memory.
_CHUNK_BYTES = 1 << 26


def gauge_messages(x_source: Tensor, transport: Tensor, coefficients: Tensor, in_type: FieldType) -> Tensor:
    """Per-edge messages U[e, j] rho_in(g_e) f(q): (E, J, D). The readable form; :func:`gauge_aggregate` avoids it.

    Args:
        x_source: (E, D) features of the sources.
        transport: (E, d, d) transporters g_pq.
        coefficients: (E, J) table of kernel coefficients.
        in_type: field type of the features.
    """
    return coefficients.unsqueeze(2) * in_type.transform(transport, x_source).unsqueeze(1)


def scatter_messages(messages: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    """Sum the messages of every target: (E, ...) -> (N, ...)."""
    out = messages.new_zeros((num_nodes, *messages.shape[1:]))
    return out.index_add(0, target, messages)


def gauge_aggregate(
    x: Tensor, in_type: FieldType, edge_index: Tensor, transport: Tensor, edge_table: Tensor, node_table: Tensor
) -> Tensor:
    r"""Sum of transported neighbour features against every kernel function (DESIGN section 6).

    .. math:: A[p, j] = \sum_{e : q \to p} U[e, j]\, \rho_{in}(g_{pq}) f(q) + U_{self}[p, j]\, f(p)

    The kernel is never formed per edge. Targets are taken in chunks and padded to the largest degree of the chunk,
    which turns the sum into batched matrix products.

    Args:
        x: (N, D) features.
        in_type: their field type.
        edge_index: (2, E), sorted by target.
        transport: (E, d, d).
        edge_table: (E, J) coefficients of the neighbours.
        node_table: (N, J) coefficients of the centres.

    Returns:
        (N, J, D).
    """
    num_nodes = x.shape[0]
    source, target = edge_index[0], edge_index[1]
    if torch.compiler.is_compiling():  # no data-dependent shapes: the compiler fuses the products itself
        out = scatter_messages(gauge_messages(x[source], transport, edge_table, in_type), target, num_nodes)
    elif target.numel() == 0:
        out = x.new_zeros((num_nodes, edge_table.shape[1], x.shape[1]))
    else:
        out = _padded_sum(in_type.transform(transport, x[source]), edge_table, target, num_nodes)
    return out + node_table.unsqueeze(2) * x.unsqueeze(1)


def _padded_sum(values: Tensor, table: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    """sum over e -> p of table[e, j] values[e, :], by batched products over targets padded to equal degree."""
    degree = torch.bincount(target, minlength=num_nodes)
    first = torch.cumsum(degree, 0) - degree
    rank = torch.arange(target.numel(), device=target.device) - first[target]
    widest = max(int(degree.max()), 1)
    chunk = max(1, _CHUNK_BYTES // (widest * (values.shape[1] + table.shape[1]) * values.element_size()))
    bounds = [*range(0, num_nodes, chunk), num_nodes]
    edges = torch.cat([first, first.new_tensor([target.numel()])])[torch.tensor(bounds, device=first.device)].tolist()
    parts = []
    for start, stop, e0, e1 in zip(bounds[:-1], bounds[1:], edges[:-1], edges[1:]):
        width = max(int(degree[start:stop].max()), 1)
        slot = (target[e0:e1] - start) * width + rank[e0:e1]
        size = (stop - start) * width
        padded_values = values.new_zeros(size, values.shape[1]).index_copy(0, slot, values[e0:e1])
        padded_table = table.new_zeros(size, table.shape[1]).index_copy(0, slot, table[e0:e1])
        parts.append(
            torch.bmm(padded_table.view(stop - start, width, -1).transpose(1, 2), padded_values.view(stop - start, width, -1))
        )
    return torch.cat(parts)
