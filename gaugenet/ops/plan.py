"""EdgePlan: a graph, its table and the transposed pair in the order that the fused loop reads them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..groups import Group
from ..groups.harmonic_action import harmonic_action
from ..groups.representation import ELEMENT_TOLERANCE

# Edges to a piece when the table of the transposed edges is made.
_EDGES = 1 << 18


class EdgeList(NamedTuple):
    """Edges sorted by the node they go to.

    Attributes:
        rowptr: (N + 1,) int64, the edges into node p are rowptr[p] to rowptr[p + 1].
        source, target: (E,) int64 or int32, the nodes that each edge comes from and goes to.
        transport: (E, d, d) transporter along the edge.
        turn: (E, 2) its cosine and sine in the plane; zeros in space.
        det: (E,) its determinant; empty for groups without reflections.
        element: (E,) its number among the elements of a finite group; empty for other groups.
        table: (E, J) kernel coefficients of the neighbours, node_table (N, J) of the centres.
    """

    rowptr: Tensor
    source: Tensor
    target: Tensor
    transport: Tensor
    turn: Tensor
    det: Tensor
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
    reflects = transport.shape[-1] == 2 and (group is None or group.reflects)
    forth = source, target, transport, *_turns(transport, reflects), _elements(transport, group), edge_table, node_table
    with torch.no_grad():  # only the fused loops read it, which know no gradient to the table
        inverse = _transposed(order, transport, edge_table, num_harmonics, reflects)
    element = _elements(transport.transpose(-1, -2), group)[order] if forth[5].numel() else forth[5]
    # Of the transposed edges the loops read neither the targets nor the matrices.
    nothing = source.new_zeros(0), transport.new_zeros(0, *transport.shape[1:])
    narrow = torch.int32 if num_nodes < 2**31 else torch.int64
    back = target[order].to(narrow), *nothing, *inverse[:2], element, inverse[2], node_table
    return EdgePlan(
        EdgeList(_rowptr(target, num_nodes), *forth),
        EdgeList(_rowptr(source[order], num_nodes), *back),
    )


def make_sum_plan(cluster: Tensor, transport: Tensor, factor: Tensor, num_targets: int, group: Group) -> EdgePlan:
    """The plan of :func:`gaugenet.ops.carry_sum` from N nodes to the nodes that they belong to.

    Args:
        cluster: (N,) the target of every node. transport: (N, d, d) to its frame. factor: (N,).
        num_targets: M.
        group: the structure group.
    """
    order = torch.argsort(cluster, stable=True)
    target, there, factor = cluster[order], transport[order], factor[:, None]
    reflects = transport.shape[-1] == 2 and group.reflects
    none = factor.new_zeros(0, 1)
    back = transport.transpose(-1, -2)
    one_each = torch.arange(cluster.numel() + 1, device=cluster.device)
    turns, elements = _turns(there, reflects), _elements(there, group)
    forth = order, target, there, *turns, elements, factor[order], none
    back = cluster, one_each[:-1], back, *_turns(back, reflects), _elements(back, group), factor, none
    return EdgePlan(EdgeList(_rowptr(target, num_targets), *forth), EdgeList(one_each, *back))


def _transposed(
    order: Tensor, transport: Tensor, table: Tensor, num_harmonics: int, reflects: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn, det and table of the transposed edges, in ``order``; in pieces, to save memory."""
    if torch.compiler.is_compiling():
        inverse = transport.transpose(-1, -2)[order]
        return *_turns(inverse, reflects), _turn_table(inverse, table[order], num_harmonics)
    turned, turn = torch.empty_like(table), transport.new_empty(order.numel(), 2)
    det = transport.new_empty(order.numel() if reflects else 0)
    for start in range(0, order.numel(), _EDGES):
        rows = slice(start, start + _EDGES)
        inverse = transport.transpose(-1, -2)[order[rows]]
        turned[rows] = _turn_table(inverse, table[order[rows]], num_harmonics)
        turn[rows], part = _turns(inverse, reflects)
        if reflects:
            det[rows] = part
    return turn, det, turned


def _turns(transport: Tensor, reflects: bool) -> tuple[Tensor, Tensor]:
    """Cosine and sine (E, 2), determinant (E,)."""
    if transport.shape[-1] != 2:
        return transport.new_zeros(transport.shape[0], 2), transport.new_zeros(0)
    a, b, c, d = transport[:, 0, 0], transport[:, 0, 1], transport[:, 1, 0], transport[:, 1, 1]
    return torch.stack([a, c], -1), (a * d - b * c).sign() if reflects else transport.new_zeros(0)


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
