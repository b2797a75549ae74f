"""EdgePlan: a graph, its table and the transposed pair in the order that the fused loop reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..groups import Group
from ..groups.representation import ELEMENT_TOLERANCE

# Edges to a piece when the table of the transposed edges is made.
_EDGES = 1 << 18


class EdgeList(NamedTuple):
    """Edges sorted by the node they go to.

    Attributes:
        rowptr: (N + 1,) int64, the edges into node p are rowptr[p] to rowptr[p + 1].
        source, target: (E,) int64, the nodes that each edge comes from and goes to.
        transport: (E, d, d) transporter along the edge.
        turn: (E, 2) its cosine and sine in the plane; zeros in space.
        det: (E,) its determinant; empty for groups without reflections.
        element: (E,) its number among the elements of a finite group; empty for other groups.
        table: (E, J) kernel coefficients of the neighbours, node_table (N, J) of the centres.
        column: (E,) the one column of each edge that is not zero; empty for other tables.
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
    column: Tensor

    @property
    def unordered(self) -> bool:
        """Whether there is only what plain torch reads: neither the turns nor, of convolutions, where each node begins."""
        return not self.turn.shape[0] and bool(self.transport.shape[0])


class EdgePlan(NamedTuple):
    """A graph and a kernel in the order of the hot loop: made once, kept with the graph.

    Attributes:
        forward: the edges. backward: the transposed ones, for the backward pass.
        cone: what a layer does at cone points, or None where there are none; nothing that the loops read.
        identity: whether every transporter is known to be the identity: then features of any type are carried as they are.
        turned: the forward table that the backward one was made from. With another in its place, plain torch serves.
    """

    forward: EdgeList
    backward: EdgeList
    cone: Any = None
    identity: bool = False
    turned: Tensor | None = None

    @property
    def paired(self) -> bool:
        """Whether the backward table belongs to the forward one, as far as a compiler lets that be seen."""
        if torch.compiler.is_compiling():
            return not self.forward.table.requires_grad
        return self.turned is self.forward.table


class Columns(Protocol):
    """What a plan asks of the columns of a table (:class:`gaugenet.kernels.Columns`)."""

    one_hot: bool

    def turn(self, g: Tensor, element: Tensor, table: Tensor) -> Tensor: ...


def make_plan(
    edge_index: Tensor,
    transport: Tensor,
    edge_table: Tensor,
    node_table: Tensor,
    columns: Columns,
    group: Group | None = None,
) -> EdgePlan:
    r"""Sort the edges and the transposed ones, and turn the tables of these.

    A steerable kernel satisfies :math:`\rho_{in}(g)^T K(x)^T = K(g^{-1} x)^T \rho_{out}(g)^T` for g in G, so the backward
    pass is the convolution over the reversed edges with transporter :math:`g^{-1}`, the columns of :math:`g^{-1} x`, and
    transposed matrices. That holds for any table whose columns turn as the functions do, moment-matched ones included.

    Args:
        edge_index: (2, E). transport: (E, d, d).
        edge_table: (E, J), node_table: (N, J).
        columns: turns the rows of a table. Of one-hot ones edges with nothing in their row are left out.
        group: the structure group; a finite one lets permutation representations take the fused path.
    """
    num_nodes = node_table.shape[0]
    if columns.one_hot and not torch.compiler.is_compiling():
        used = edge_table.any(1)
        if not bool(used.all()):
            edge_index, transport, edge_table = edge_index[:, used], transport[used], edge_table[used]
    if not _is_sorted(edge_index[1]):
        order = torch.argsort(edge_index[1], stable=True)
        edge_index, transport, edge_table = edge_index[:, order], transport[order], edge_table[order]
    source, target = edge_index[0], edge_index[1]
    order = torch.argsort(source, stable=True)
    reflects = transport.shape[-1] == 2 and (group is None or group.reflects)
    forth = source, target, transport, *_turns(transport, reflects), _elements(transport, group), edge_table, node_table
    with torch.no_grad():  # only the fused loops read it, which know no gradient to the table
        turn, det, element, table = _transposed(order, transport, edge_table, columns, reflects, group)
    # Of the transposed edges the loops read neither the targets nor the matrices.
    nothing = source.new_zeros(0), transport.new_zeros(0, *transport.shape[1:])
    back = target[order], *nothing, turn, det, element, table, node_table
    column = [table.argmax(1) if columns.one_hot else source.new_zeros(0) for table in (edge_table, table)]
    forward = EdgeList(_rowptr(target, num_nodes), *forth, column[0])
    backward = EdgeList(_rowptr(source[order], num_nodes), *back, column[1])
    return EdgePlan(forward, backward, identity=is_identity(transport), turned=forward.table)


def completed_plan(plan: EdgePlan, complete: Callable[[Tensor], Tensor]) -> EdgePlan:
    """The plan with other tables, which a function makes of the rows (E, K) of those it has, the same for every edge.

    What is turned by an element of the group must be turned by it before and after.
    """
    table, node_table = complete(plan.forward.table), complete(plan.forward.node_table)
    with torch.no_grad():  # only the fused loops read it, which know no gradient to the table
        turned = complete(plan.backward.table)
    forward = plan.forward._replace(table=table, node_table=node_table)
    return plan._replace(
        forward=forward, backward=plan.backward._replace(table=turned, node_table=node_table), turned=forward.table
    )


def make_sum_plan(
    source: Tensor, target: Tensor, transport: Tensor, factor: Tensor, sizes: tuple[int, int], group: Group
) -> EdgePlan:
    """The plan of :func:`gaugenet.ops.carry_sum` from N nodes to M others.

    Args:
        source, target: (E,) the nodes that each edge comes from and goes to. transport: (E, d, d) to its frame. factor: (E,).
        sizes: N and M.
        group: the structure group.
    """
    reflects = transport.shape[-1] == 2 and group.reflects
    sides = []
    for here, there, g, rows in ((target, source, transport, sizes[1]), (source, target, transport.mT, sizes[0])):
        order = torch.argsort(here, stable=True)
        turned, u = g[order], factor[order, None]
        carried = (*_turns(turned, reflects), _elements(turned, group), u)
        ends = there[order], here[order], turned
        sides.append(EdgeList(_rowptr(ends[1], rows), *ends, *carried, u.new_zeros(0, 1), order.new_zeros(0)))
    return EdgePlan(sides[0], sides[1])


def _transposed(
    order: Tensor, transport: Tensor, table: Tensor, columns: Columns, reflects: bool, group: Group | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn, det, element and table of the transposed edges, in ``order``; in pieces, to save memory."""
    parts = []
    for rows in (order,) if torch.compiler.is_compiling() else order.split(_EDGES):
        inverse = transport.transpose(-1, -2)[rows]
        element = _elements(inverse, group)
        parts.append((*_turns(inverse, reflects), element, columns.turn(inverse, element, table[rows])))
    turn, det, element, turned = (torch.cat(part) if len(part) > 1 else part[0] for part in zip(*parts))
    return turn, det, element, turned


def is_identity(transport: Tensor) -> bool:
    """Whether nothing turns; a compiler does not see values."""
    if torch.compiler.is_compiling() or transport.requires_grad:
        return False
    return bool((transport == torch.eye(transport.shape[-1], dtype=transport.dtype, device=transport.device)).all())


def _is_sorted(target: Tensor) -> bool:
    """Whether edges go by their targets; a compiler does not see values."""
    return torch.compiler.is_compiling() or not target.numel() or bool((target[1:] >= target[:-1]).all())


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
