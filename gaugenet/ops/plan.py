"""EdgePlan: a graph, its table and the transposed pair in the order that the fused loop reads them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..groups import Group
from ..groups.harmonic_action import harmonic_action
from ..groups.representation import ELEMENT_TOLERANCE


class EdgeList(NamedTuple):
    """Edges sorted by the node they go to.

    Attributes:
        rowptr: (N + 1,) int64, the edges into node p are rowptr[p] to rowptr[p + 1].
        source, target: (E,) int64, the nodes that each edge comes from and goes to.
        transport: (E, d, d) transporter along the edge.
        turn: (E, 3) its cosine, sine and determinant in the plane; zeros in space.
        element: (E,) its number among the elements of a finite group; empty for other groups.
        table: (E, J) kernel coefficients of the neighbours, node_table (N, J) of the centres.
    """

    rowptr: Tensor
    source: Tensor
    target: Tensor
    transport: Tensor
    turn: Tensor
    element: Tensor
    table: Tensor
    node_table: Tensor


class EdgePlan(NamedTuple):
    """The edges of a graph, and the transposed ones for the backward pass."""

    forward: EdgeList
    backward: EdgeList


def make_plan(
    edge_index: Tensor,
    transport: Tensor,
    edge_table: Tensor,
    node_table: Tensor,
    num_harmonics: int,
    group: Group | None = None,
) -> EdgePlan:
    r"""Sort the transposed edges and turn their tables.

    A steerable kernel satisfies :math:`\rho_{in}(g)^T K(x)^T = K(g^{-1} x)^T \rho_{out}(g)^T` for g in G, so the backward
    pass is the convolution over the reversed edges with transporter :math:`g^{-1}`, the harmonics of :math:`g^{-1} x`, and
    transposed matrices. That holds for any table whose columns turn as harmonics do, moment-matched ones included.

    Args:
        edge_index: (2, E), sorted by target.
        transport: (E, d, d).
        edge_table: (E, B * Y), node_table: (N, B * Y).
        num_harmonics: Y.
        group: the structure group; a finite one lets permutation representations take the fused path.
    """
    num_nodes = node_table.shape[0]
    source, target = edge_index[0], edge_index[1]
    order = torch.argsort(source, stable=True)
    inverse = transport.transpose(-1, -2)[order]
    turned = _turn_table(inverse, edge_table[order], num_harmonics)
    forth = source, target, transport, _turns(transport), _elements(transport, group), edge_table, node_table
    # Of the transposed edges only the fused loops make use, which read neither the targets nor the matrices.
    nothing = source.new_zeros(0), transport.new_zeros(0, *transport.shape[1:])
    back = target[order], *nothing, _turns(inverse), _elements(inverse, group), turned, node_table
    return EdgePlan(
        EdgeList(_rowptr(target, num_nodes), *forth),
        EdgeList(_rowptr(source[order], num_nodes), *back),
    )


def _turns(transport: Tensor) -> Tensor:
    if transport.shape[-1] != 2:
        return transport.new_zeros(transport.shape[0], 3)
    a, b, c, d = transport[:, 0, 0], transport[:, 0, 1], transport[:, 1, 0], transport[:, 1, 1]
    return torch.stack([a, c, (a * d - b * c).sign()], -1)


def _elements(transport: Tensor, group: Group | None) -> Tensor:
    if group is None or group.order is None:
        return torch.zeros(0, dtype=torch.int64, device=transport.device)
    return group.nearest(transport, ELEMENT_TOLERANCE)


def _rowptr(sorted_ids: Tensor, num_nodes: int) -> Tensor:
    return torch.searchsorted(sorted_ids.contiguous(), torch.arange(num_nodes + 1, device=sorted_ids.device))


def _turn_table(g: Tensor, table: Tensor, num_harmonics: int) -> Tensor:
    """Coefficients of the harmonics of g x from those of x: (E, B * Y) -> (E, B * Y)."""
    blocks = table.view(table.shape[0], table.shape[1] // num_harmonics, num_harmonics)
    planar = g.shape[-1] == 2
    parts, start, frequency = [], 0, 0
    while start < num_harmonics:
        width = 1 if frequency == 0 else 2 if planar else 2 * frequency + 1
        part = blocks[..., start : start + width]
        if frequency:
            part = part @ harmonic_action(g.shape[-1], frequency, g).transpose(-1, -2)
        parts.append(part)
        start, frequency = start + width, frequency + 1
    return torch.cat(parts, -1).flatten(1)
