"""Pooling between the levels of a graph."""

from __future__ import annotations

import torch
from torch import Tensor

from ...checks import check_choice
from ...fields import FieldType, check_field_types
from ...ops import Carrier, EdgePlan, carry_sum, kept_plan, make_sum_plan
from ...ops.rows import sum_rows
from ...settings import KeepsSettings
from ..tensor_checks import ClusteredGraph, check_clusters, check_features, check_transport, count_copies

# The arrays of a graph that a plan is made of.
_SOURCES = ("cluster", "cluster_transport", "area")
_COARSE = (
    "GaugePool and GaugeUnpool need a graph with a coarser level, and a cluster for every node: build the geometry with "
    "levels >= 1"
)


class GaugePool(KeepsSettings):
    r"""Carries the features of a cluster into the frame of its coarse node and reduces them.

    .. math:: out(c) = \frac{\sum_{n \in c} a_n\, \rho(g_{cn})\, f(n)}{\sum_{n \in c} a_n}

    with a the cell areas, all equal where the graph has none ("mean"), or for every copy the carried feature of the largest
    norm ("max").

    Args:
        type: field type of input and output.
        reduce: "mean" or "max".

    Shapes:
        x (N, type.dim) and a graph whose ``cluster`` (N,), ``cluster_transport`` (N, d, d), ``area`` (N,) and ``coarse``
        (M nodes) are set; output (M, type.dim).
    """

    def __init__(self, type: FieldType, reduce: str = "mean") -> None:
        check_field_types(self, type=type)
        super().__init__()
        check_choice(self, "reduce", reduce, ("mean", "max"))
        self.in_type = self.out_type = type
        self.reduce, self.carrier = reduce, Carrier.of(type)

    def forward(self, x: Tensor, graph: ClusteredGraph) -> Tensor:
        check_features(x, self.in_type, None, "GaugePool")
        coarse = graph.coarse
        if coarse is None or graph.cluster is None:
            raise ValueError(_COARSE)
        copies = count_copies(graph, x.shape[0], graph.cluster.shape[0], "GaugePool")
        plan = self.plan(graph)
        if self.reduce == "mean":
            return carry_sum(x, self.carrier, plan, copies)
        edges, num_coarse = plan.forward, coarse.radius.shape[0]
        fields = x.unflatten(0, (copies, x.shape[0] // copies))[:, edges.source]
        carried = self.in_type.transform(edges.transport.to(x.dtype)[None], fields).flatten(0, 1)
        first = torch.arange(copies, device=x.device).unsqueeze(1) * num_coarse
        cluster = (first + edges.target).flatten()
        return self.in_type.join([_largest_copy(b, cluster, copies * num_coarse) for b in self.in_type.split(carried)])

    def plan(self, graph: ClusteredGraph) -> EdgePlan:
        """The way from a graph to its coarser level: made once, and kept by the graph."""
        return kept_plan(graph, ("pool", self.in_type.group), _SOURCES, lambda: self._make_plan(graph))

    def _make_plan(self, graph: ClusteredGraph) -> EdgePlan:
        check_clusters(graph, self.in_type.group.dim, "GaugePool")
        check_transport(self.in_type.group, graph.cluster_transport, "GaugePool", "cluster_transport")
        sizes = graph.cluster.shape[0], graph.coarse.radius.shape[0]
        area = getattr(graph, "area", None)
        area = torch.ones_like(graph.cluster_transport[:, 0, 0]) if area is None else area
        part = area / sum_rows(area, graph.cluster, sizes[1])[graph.cluster]
        source = torch.arange(sizes[0], device=graph.cluster.device)
        return make_sum_plan(source, graph.cluster, graph.cluster_transport, part, sizes, self.in_type.group)

    def extra_repr(self) -> str:
        return f"{self.in_type}, reduce={self.reduce!r}"


class GaugeUnpool(KeepsSettings):
    r"""Carries the feature of a coarse node back to the frames of its cluster: :math:`out(n) = \rho(g_{cn})^{-1} f(c)`.

    Args:
        type: field type of input and output.

    Shapes:
        x (M, type.dim) and the *fine* graph; output (N, type.dim).
    """

    def __init__(self, type: FieldType) -> None:
        check_field_types(self, type=type)
        super().__init__()
        self.in_type = self.out_type = type
        self.carrier = Carrier.of(type)

    def forward(self, x: Tensor, graph: ClusteredGraph) -> Tensor:
        check_features(x, self.in_type, None, "GaugeUnpool")
        if graph.coarse is None or graph.cluster is None:
            raise ValueError(_COARSE)
        copies = count_copies(graph, x.shape[0], graph.coarse.radius.shape[0], "GaugeUnpool")
        plan = self.plan(graph)
        return carry_sum(x, self.carrier, plan, copies)

    def plan(self, graph: ClusteredGraph) -> EdgePlan:
        """The way to a graph from its coarser level: made once, and kept by the graph."""
        return kept_plan(graph, ("unpool", self.in_type.group), _SOURCES, lambda: self._make_plan(graph))

    def _make_plan(self, graph: ClusteredGraph) -> EdgePlan:
        check_clusters(graph, self.in_type.group.dim, "GaugeUnpool")
        check_transport(self.in_type.group, graph.cluster_transport, "GaugeUnpool", "cluster_transport")
        sizes, back = (graph.coarse.radius.shape[0], graph.cluster.shape[0]), graph.cluster_transport.mT
        ones, target = torch.ones_like(back[:, 0, 0]), torch.arange(sizes[1], device=back.device)
        return make_sum_plan(graph.cluster, target, back, ones, sizes, self.in_type.group)

    def extra_repr(self) -> str:
        return str(self.in_type)


def _largest_copy(block: Tensor, cluster: Tensor, num_coarse: int) -> Tensor:
    """(N, n, mul) -> (M, n, mul): for every copy the member of largest norm, the mean of them when several tie."""
    power = block.square().sum(1)
    best = power.new_full((num_coarse, power.shape[1]), -1.0)
    best = best.scatter_reduce(0, cluster[:, None].expand_as(power), power.detach(), "amax")
    # Ties (mirror symmetry) would flip with rounding if the first one won.
    chosen = (power.detach() >= best[cluster] * (1 - 1e-6)).to(block.dtype)
    count = sum_rows(chosen, cluster, num_coarse)
    total = sum_rows(block * chosen[:, None], cluster, num_coarse)
    return total / count[:, None]
