"""Pooling from a lattice to the points of a coarser one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...fields import FieldType
from ...kernels.constants import ConstantModule
from ...kernels.taps import hexagonal_taps
from ...ops import TapTable
from ..checks import check_features, check_transport
from .cone_points import ConePoints, cone_plan
from .lattice_plan import LatticePlan, lattice_plan

REDUCTIONS = ("mean", "max", "stride")


class LatticePool(ConstantModule):
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
        (so have those of :func:`gaugenet.geometry.icosahedron`); output (M, type.dim). ``plan`` and ``coarse_plan`` are those
        of the two levels, found on the way by default.

    Raises:
        TypeError: "max" of a field that is not permuted.
        ValueError: a graph without a coarser level, or with another kind of clusters; as :class:`LatticeConv`.
    """

    def __init__(self, type: FieldType, reduce: str = "mean", taps: np.ndarray | None = None, *, corners: str = "cone") -> None:
        super().__init__()
        if reduce not in REDUCTIONS:
            raise ValueError(f"LatticePool expected reduce to be one of {', '.join(REDUCTIONS)}, got {reduce!r}")
        for _, rep in type.blocks:
            if reduce == "max" and not rep.is_permutation:
                raise TypeError(f"LatticePool takes the maximum of regular, quotient or trivial fields, got {rep}")
        self.in_type = self.out_type = type
        self.reduce = reduce
        self.taps = np.array(hexagonal_taps() if taps is None else taps, dtype=np.float64)
        self.corners = ConePoints(type, corners)
        # The matrices of all elements: looked up by number, where a representation would match every transporter anew.
        self.register_constant("elements", type.group.elements)
        for b, (_, rep) in enumerate(type.blocks):
            self.register_constant(f"matrices_{b}", rep(type.group.elements))

    def plan(self, graph) -> LatticePlan:
        """The plan of the fine graph, as of :meth:`LatticeConv.plan`."""
        return lattice_plan(graph, self.in_type.group, self.taps, "LatticePool")

    def forward(self, x: Tensor, graph, plan: LatticePlan | None = None, coarse_plan: LatticePlan | None = None) -> Tensor:
        check_features(x, self.in_type, None, "LatticePool")
        if graph.coarse is None:
            raise ValueError("LatticePool needs a graph with a coarser level: build the geometry with levels >= 1")
        check_transport(self.in_type.group, graph.cluster_transport, "LatticePool", "cluster_transport")
        plan = self.plan(graph) if plan is None else plan
        node = _centres(graph)
        x = self.corners.apply_plan(x, plan.cone)
        pooled = x[node] if self.reduce == "stride" else self._reduced(x, plan, node)
        turn = graph.cluster_transport[node].to(x.dtype).flatten(1) @ self.constant("elements", x).flatten(1).t()
        pooled = self._carried(pooled, turn.argmax(1))  # orthogonal matrices: the nearest has the largest product
        below = cone_plan(graph.coarse) if coarse_plan is None else coarse_plan.cone
        return self.corners.apply_plan(pooled, below)

    def _reduced(self, x: Tensor, plan: LatticePlan, node: Tensor) -> Tensor:
        table = TapTable(*(part[node] for part in plan.taps.forward))
        share = table.share.to(x.dtype)[..., None]
        rows = share * self._carried(x[table.neighbour.long()], table.element.long())  # (M, T, D)
        if self.reduce == "mean":
            return rows.sum(1) / share.sum(1)
        if plan.cone is not None and self.corners.mode == "cone":
            conical = torch.isin(node, plan.cone.node)[:, None, None]
            rows = torch.where(conical, self._projected(rows), rows)
        return (rows / torch.where(share > 0, share, 1)).masked_fill(share == 0, -torch.inf).amax(1)

    def _carried(self, x: Tensor, element: Tensor) -> Tensor:
        """rho(g) x for elements (...) by number and features (..., D)."""
        blocks = self.in_type.split(x)
        return self.in_type.join([self.constant(f"matrices_{b}", x)[element] @ block for b, block in enumerate(blocks)])

    def _projected(self, rows: Tensor) -> Tensor:
        return self.corners.project(rows.flatten(0, 1)).view_as(rows)

    def extra_repr(self) -> str:
        return f"{self.in_type}, reduce={self.reduce!r}, taps={len(self.taps)}, corners={self.corners.mode!r}"


def _centres(graph) -> Tensor:
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
