"""The GM-convolution on any graph that carries log maps and transporters."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from ...fields import FieldType
from ...kernels import harmonics
from ...kernels.expansion import KernelExpansion
from ...kernels.mixing_weight import MixingWeight
from ...kernels.quadrature import coefficient_table
from ...kernels.radial import make_radial
from ...ops import EdgePlan, Kernel, gauge_convolve, make_layout, make_plan
from ..checks import autocast, check_features, check_graph, check_transport, kept
from ..fields.bias import FieldBias
from ..fields.linear import GaugeLinear

_NEEDS = ("edge_index", "log", "transport", "weight", "radius")


class CoefficientTable(NamedTuple):
    """Kernel coefficients of a graph: ``edge`` (E, J) of the neighbours, ``node`` (N, J) of the centres."""

    edge: Tensor
    node: Tensor


class GaugeConv(MessagePassing):
    r"""Gauge-equivariant convolution (Weiler et al. 2021, arXiv 2106.06020; de Haan et al. 2021, arXiv 2003.05425).

    .. math:: out(p) = K_{self} f(p) + \sum_{q \to p} w_{pq}\, K(\log_p q)\, \rho_{in}(g_{pq})\, f(q) + b

    computed aggregate first: the transported neighbours are summed against every (radial, angular) function, then
    one matrix product per node follows. ``message`` is the readable per-edge form of the same sum.

    Args:
        in_type, out_type: field types over one group.
        radial: number of radial functions, or a profile of :mod:`gaugenet.kernels.radial`.
        max_frequency: angular cut-off of the kernel; by default the sum of the largest orders of both types, beyond
            which SO(2) and O(2) irreps have no kernels.
        bias: learn a bias on the invariant part of the output.
        quadrature: degree of moment matching of the quadrature (0, 1, 2, ...), or None for plain area weights.
        self_interaction: learn the separate weight of the centre, :math:`K_{self}`.
        backend: of :func:`gaugenet.ops.gauge_convolve`: "auto", "reference", "cpu", "cuda" or "cuda-on-chip".

    Shapes:
        x (N, in_type.dim), graph with edge_index (2, E), log (E, d), transport (E, d, d), weight (E,), radius (N,), and
        optionally area (N,), curvature (N,); output (N, out_type.dim). The graph's arrays are cast to the dtype of x.

    Raises:
        TypeError: for features of another dtype or types of two groups.
        ValueError: for a graph without transport, or shapes that do not fit.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        radial: int | nn.Module = 4,
        max_frequency: int | None = None,
        bias: bool = True,
        *,
        quadrature: int | None = 3,
        self_interaction: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__(aggr="add")
        self.in_type, self.out_type = in_type, out_type
        self.radial = make_radial(radial)
        self.max_frequency = _default_frequency(in_type, out_type) if max_frequency is None else max_frequency
        self.quadrature, self.backend = quadrature, backend
        self.expansion = KernelExpansion(in_type, out_type, self.max_frequency, self.radial.num)
        key = self.radial.key
        #: layers with equal keys share a table; None when the radial profile is learnt
        self.table_key = None if key is None else str((key, self.max_frequency, self.quadrature))
        self.weight = nn.Parameter(torch.empty(self.expansion.num_weights))
        self.self_interaction = GaugeLinear(in_type, out_type, bias=False) if self_interaction else None
        own = self.self_interaction.expansion if self_interaction else None
        self.mixing = MixingWeight(self.expansion, own)
        self.layouts = make_layout(self.expansion, own, False), make_layout(self.expansion, own, True)
        self.bias = FieldBias(out_type) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # PyG's base constructor calls nothing here; each part resets itself.
        with torch.no_grad():
            self.weight.copy_(self.expansion.initial_weight())
        for part in (self.self_interaction, self.bias, self.radial):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

    def table(self, graph) -> CoefficientTable:
        """The coefficient table of a graph; compute it once for layers of equal :attr:`table_key`."""
        check_graph(graph, _NEEDS, graph.radius.shape[0], graph.edge_index.device, "GaugeConv")
        stored = getattr(graph, "table_key", None)
        if stored is not None and set(stored if isinstance(stored, list) else [stored]) == {self.table_key}:
            return CoefficientTable(graph.edge_table, graph.node_table)
        edge, node = coefficient_table(
            graph.log,
            graph.weight,
            graph.radius,
            graph.edge_index,
            self.radial,
            self.max_frequency,
            area=getattr(graph, "area", None),
            curvature=getattr(graph, "curvature", None),
            degree=self.quadrature,
        )
        return CoefficientTable(edge, node)

    def plan(self, graph, table: CoefficientTable | None = None) -> EdgePlan:
        """The edges and tables in the order of the hot loop; layers of equal :attr:`table_key` share one."""
        if table is None and self.table_key is not None:
            key = "GaugeConv", self.in_type.group, self.table_key
            return kept(graph, key, lambda: self._make_plan(graph, *self.table(graph)))
        return self._make_plan(graph, *(self.table(graph) if table is None else table))

    def _make_plan(self, graph, edge: Tensor, node: Tensor) -> EdgePlan:
        group = self.in_type.group
        with torch.autocast(graph.transport.device.type, enabled=False):  # geometry keeps its precision
            check_transport(group, graph.transport, "GaugeConv")
            return make_plan(graph.edge_index, graph.transport, edge, node, self.expansion.num_harmonics, group)

    def kernel(self, points: Tensor) -> Tensor:
        r"""The kernel :math:`K(x)` at points (K, d), in units of the radius: matrices (K, out_type.dim, in_type.dim).

        On a flat grid with equal frames the layer is the convolution with these at the offsets of the neighbours (without
        moment matching, and up to the weight of a cell), so conv2d and conv3d run the same parameters.
        """
        radial = self.radial(points.norm(dim=1))
        angular = harmonics(points, self.max_frequency)
        return torch.einsum("kb,ky,byio->koi", radial, angular, self.expansion(self.weight))

    def forward(self, x: Tensor, graph, plan: EdgePlan | None = None) -> Tensor:
        check_features(x, self.in_type, self.weight, "GaugeConv")
        check_graph(graph, _NEEDS, x.shape[0], x.device, "GaugeConv", many=True)
        x = autocast(x)
        plan = self.plan(graph) if plan is None else plan
        if self.explain:  # PyG's explainers hook the per-edge messages
            if x.shape[0] != graph.radius.shape[0]:
                raise ValueError("GaugeConv explains one field at a time: pass one of the fields on the static graph")
            edges, weight = plan.forward, self.expansion(self.weight).flatten(0, 2)
            transport, table, node = (t.to(x.dtype) for t in (edges.transport, edges.table, edges.node_table))
            neighbours = self.propagate(graph.edge_index, x=x, transport=transport, edge_table=table)
            out = (neighbours + (node.unsqueeze(2) * x.unsqueeze(1)).flatten(1)) @ weight
            out = out if self.self_interaction is None else out + self.self_interaction(x)
            return out if self.bias is None else self.bias(out)
        return self.message_and_aggregate(x, plan)

    def message(self, x_j: Tensor, transport: Tensor, edge_table: Tensor) -> Tensor:
        return (edge_table.unsqueeze(2) * self.in_type.transform(transport, x_j).unsqueeze(1)).flatten(1)

    def message_and_aggregate(self, x: Tensor, plan: EdgePlan) -> Tensor:
        weights = [self.weight, *([] if self.self_interaction is None else [self.self_interaction.weight])]
        needs_grad = any(w.requires_grad for w in weights)
        bias = None if self.bias is None else self.bias.row()
        kernel = Kernel(self.in_type, self.layouts, lambda transposed: self.mixing(weights, transposed), needs_grad, bias)
        return gauge_convolve(x, kernel, plan, self.backend)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_type}, {self.out_type}, radial={self.radial}, "
            f"max_frequency={self.max_frequency}, bias={self.bias is not None}, quadrature={self.quadrature})"
        )


# Cut-off for finite groups, whose kernels have no highest frequency.
_FINITE_FREQUENCY = 4


def _default_frequency(in_type: FieldType, out_type: FieldType) -> int:
    """Largest angular frequency at which irreps of both types have kernels."""
    if in_type.group.order is not None:
        return _FINITE_FREQUENCY
    return sum(max((rep.degree for _, rep in type.blocks), default=0) for type in (in_type, out_type))
