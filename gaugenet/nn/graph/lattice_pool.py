"""Pooling from a lattice to the points of a coarser one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...checks import check_choice
from ...fields import FieldType, check_field_types
from ...kernels import CoefficientTable
from ...kernels.constants import ConstantModule
from ...kernels.quadrature.cone_angles import is_cone
from ...kernels.tap_kernels import TapColumns
from ...kernels.taps import hexagonal_taps
from ...ops import Carrier, EdgePlan, carry_sum, kept_plan, make_sum_plan
from ...ops.rows import sum_rows
from ...settings import KeepsSettings
from ..tensor_checks import (
    LatticeLike,
    check_arrays,
    check_clusters,
    check_features,
    check_graph,
    check_transport,
    count_copies,
)
from .cone_points import ConePlan, ConePoints, cone_plan

REDUCTIONS = ("mean", "max", "stride")
_NEEDS = ("edge_index", "log", "transport", "radius")
_SOURCES = (*_NEEDS, "cluster", "cluster_transport", "cone_angle")
# The group was checked with its tolerance: any nearest element will do.
_NEAREST = 1.0


class PoolPlan(NamedTuple):
    """How a lattice is pooled to a coarser one of M points.

    Attributes:
        sum: edges from the fine nodes to the coarse ones, with transporters into the frames of these; one each with "stride".
        source: (M, T) the fine node at every tap, element: (M, T) the number of its transporter into the frame of the coarse
            point, there: (M, T) whether there is one. Only with "max".
        conical: (M,) whether the fine node under each coarse one is a cone point.
        cone, coarse_cone: the cone points of both levels.
        sizes: N and M.
    """

    sum: EdgePlan
    source: Tensor
    element: Tensor
    there: Tensor
    conical: Tensor
    cone: ConePlan | None
    coarse_cone: ConePlan | None
    sizes: tuple[int, int]


class LatticePool(KeepsSettings, ConstantModule):
    r"""Reduces the features at the taps round every point of the coarser lattice, carried into its frame.

    .. math:: out(c) = \frac{1}{|T_c|} \sum_{t \in T_c} \rho(g_{c q_t})\, f(q_t(c))

    over the taps T_c at which there is a neighbour ("mean"; icoCNN's pooling for the hexagonal one-ring), the largest of the
    values component by component ("max", for fields whose representations permute components), or f(c) alone ("stride").
    Neighbouring sums overlap: unlike :class:`GaugePool`, which needs every node in one cluster and so has to break ties, this
    commutes with every symmetry of the two lattices.

    At cone points inputs and outputs are treated as :class:`ConePoints` says; in the mode "cone" a mean gives the neighbours of
    a cone point the weight of a full turn, and a maximum is that of the projected features.

    Args:
        type: field type of input and output, over a finite group.
        reduce: "mean", "max" or "stride".
        taps: (T, d) offsets, see :class:`LatticeConv`; by default the hexagonal one-ring with its centre.
        corners: what happens at cone points, "cone", "zero" or "average".

    Shapes:
        x (N, type.dim) and a graph whose coarser level has the lowest member of each cluster for its node, in the same place
        (so have those of :func:`gaugenet.geometry.icosahedron`); output (M, type.dim). On a StaticGraph many fields, one under
        the other.

    Raises:
        TypeError: "max" of a field that is not permuted.
        ValueError: a graph without a coarser level, or with another kind of clusters; as :class:`LatticeConv`.
    """

    def __init__(self, type: FieldType, reduce: str = "mean", taps: np.ndarray | None = None, *, corners: str = "cone") -> None:
        check_field_types(self, type=type)
        super().__init__()
        check_choice(self, "reduce", reduce, REDUCTIONS)
        for _, rep in type.blocks:
            if reduce == "max" and not rep.is_permutation:
                raise TypeError(f"LatticePool takes the maximum of regular, quotient or trivial fields, got {rep}")
        self.in_type = self.out_type = type
        self.reduce, self.carrier = reduce, Carrier.of(type)
        self.taps = np.array(hexagonal_taps() if taps is None else taps, dtype=np.float64)
        self.columns = TapColumns(type.group, self.taps)
        self.corners = ConePoints(type, corners)
        # The matrices of all elements: looked up by number, where a representation would match every transporter anew.
        for b, (_, rep) in enumerate(type.blocks):
            self.register_constant(f"matrices_{b}", rep(type.group.elements) if reduce == "max" else None)

    def plan(self, graph: LatticeLike) -> PoolPlan:
        """The way from a graph to its coarser level: made once, and kept by the graph."""
        key = "lattice pool", self.in_type.group, self.columns.key, self.reduce, self.corners.mode
        return kept_plan(graph, key, _SOURCES, lambda: self._make_plan(graph))

    def forward(self, x: Tensor, graph: LatticeLike, plan: PoolPlan | None = None) -> Tensor:
        check_features(x, self.in_type, None, "LatticePool")
        if graph.coarse is None:
            raise ValueError("LatticePool needs a graph with a coarser level: build the geometry with levels >= 1")
        copies = count_copies(graph, x.shape[0], graph.radius.shape[0], "LatticePool")
        plan = self.plan(graph) if plan is None else plan
        x = self.corners.apply_plan(x, plan.cone)
        pooled = self._largest(x, plan, copies) if self.reduce == "max" else carry_sum(x, self.carrier, plan.sum, copies)
        return self.corners.apply_plan(pooled, plan.coarse_cone)

    def _make_plan(self, graph: LatticeLike) -> PoolPlan:
        group, coarse = self.in_type.group, graph.coarse
        check_graph(graph, _NEEDS, graph.radius.shape[0], graph.edge_index.device, "LatticePool")
        check_arrays(graph, group.dim, "LatticePool")
        check_clusters(graph, group.dim, "LatticePool")
        check_transport(group, graph.transport, "LatticePool")
        check_transport(group, graph.cluster_transport, "LatticePool", "cluster_transport")
        centre = _centres(graph)
        sizes = graph.radius.shape[0], centre.numel()
        turn, cone = graph.cluster_transport[centre], cone_plan(graph)
        numbers = torch.arange(sizes[1], device=centre.device)
        if self.reduce == "stride":
            edges = (centre, numbers, turn, torch.ones_like(turn[:, 0, 0]))
        else:
            table = self.columns.table(graph, "LatticePool")
            edges = self._edges(graph, table, centre, turn)
        plan = make_sum_plan(*edges, sizes, group)
        source = element = there = conical = centre.new_zeros(0)
        if self.reduce == "max":
            source, element, there = self._by_tap(graph, table, centre, turn)
            angle = getattr(graph, "cone_angle", None)
            conical = torch.zeros_like(centre, dtype=torch.bool) if angle is None else is_cone(angle)[centre]
        return PoolPlan(plan, source, element, there, conical, cone, cone_plan(coarse), sizes)

    def _edges(
        self, graph: LatticeLike, table: CoefficientTable, centre: Tensor, turn: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Source, target, transport and weight of what the mean round every coarse point sums."""
        coarse = torch.full_like(graph.radius, -1, dtype=torch.int64)
        coarse[centre] = torch.arange(centre.numel(), device=centre.device)
        factor, target = table.edge.sum(1), coarse[graph.edge_index[1]]
        own = table.node[centre].sum(1)
        here = (factor > 0) & (target >= 0)
        if torch.compiler.is_compiling():  # edges that are not wanted stay, with the weight 0
            factor, target, here = factor * here, target.clamp_min(0), torch.ones_like(here)
        source = torch.cat([graph.edge_index[0, here], centre])
        transport = torch.cat([turn[target[here]] @ graph.transport[here], turn])
        target, factor = torch.cat([target[here], coarse[centre]]), torch.cat([factor[here], own])
        whole = sum_rows(factor, target, centre.numel())
        used = slice(None) if torch.compiler.is_compiling() else factor > 0
        return source[used], target[used], transport[used], (factor / whole[target])[used]

    def _by_tap(
        self, graph: LatticeLike, table: CoefficientTable, centre: Tensor, turn: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Node, transporter and presence at every tap of the coarse points, (M, T)."""
        edge = torch.arange(table.edge.shape[0], device=centre.device)[:, None]
        target = graph.edge_index[1][:, None].expand(table.edge.shape)
        place = torch.full_like(table.node, -1, dtype=torch.int64)
        place = place.scatter_reduce(0, target, torch.where(table.edge > 0, edge, -1), "amax")
        place, there = place[centre], (place >= 0)[centre]
        transport = turn[:, None] @ graph.transport[place.clamp_min(0)]
        source = graph.edge_index[0][place.clamp_min(0)]
        if (own := self.columns.centre) is not None:
            transport[:, own], source[:, own], there[:, own] = turn, centre, True
        return source, self.in_type.group.nearest(transport, _NEAREST), there

    def _largest(self, x: Tensor, plan: PoolPlan, copies: int) -> Tensor:
        fields = x.unflatten(0, (copies, plan.sizes[0]))[:, plan.source]  # (B, M, T, D)
        blocks = self.in_type.split(fields)
        rows = self.in_type.join([self.constant(f"matrices_{b}", x)[plan.element] @ block for b, block in enumerate(blocks)])
        if plan.cone is not None and self.corners.mode == "cone":
            projected = self.corners.project(rows.flatten(0, -2)).view_as(rows)
            rows = torch.where(plan.conical[:, None, None], projected, rows)
        return rows.masked_fill(~plan.there[..., None], -torch.inf).amax(2).flatten(0, 1)

    def extra_repr(self) -> str:
        return f"{self.in_type}, reduce={self.reduce!r}, taps={len(self.taps)}, corners={self.corners.mode!r}"


def _centres(graph: LatticeLike) -> Tensor:
    """(M,) the node of the fine graph at each coarse one: the lowest of its cluster."""
    few = graph.coarse.radius.shape[0]
    numbers = torch.arange(graph.cluster.numel(), device=graph.cluster.device)
    node = numbers.new_full((few,), numbers.numel()).scatter_reduce(0, graph.cluster, numbers, "amin")
    here, there = getattr(graph, "pos", None), getattr(graph.coarse, "pos", None)
    if here is not None and there is not None and not torch.compiler.is_compiling():
        away = (here[node] - there).abs().amax(1) > 1e-3 * graph.radius[node]
        if bool(away.any()):
            c = int(away.nonzero()[0, 0])
            raise ValueError(f"LatticePool: coarse node {c} is not where node {int(node[c])}, the lowest of its cluster, is")
    return node
