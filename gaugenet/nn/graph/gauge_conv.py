"""The GM-convolution on any graph that carries log maps and transporters."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from ...checks import check_choice, check_int
from ...fields import FieldType, check_field_types
from ...kernels import CoefficientTable, Columns, KernelFamily, Polar
from ...kernels.expansion import make_mixing
from ...kernels.quadrature import MAX_DEGREE
from ...ops import BACKENDS, EdgePlan, Kernel, completed_plan, gauge_convolve, kept_plan, make_layout, make_plan
from ...settings import KeepsSettings
from ..fields.bias import FieldBias
from ..fields.linear import GaugeLinear
from ..precision import autocast, no_autocast
from ..tensor_checks import GraphLike, check_arrays, check_features, check_graph, check_transport
from .cone_points import ConePoints, cone_plan

NEEDS = ("edge_index", "log", "transport", "weight", "radius")
# The arrays of a graph that a plan is made of.
_SOURCES = (*NEEDS, "area", "curvature", "cone_angle")


class GaugeConv(KeepsSettings, MessagePassing):
    r"""Gauge-equivariant convolution (Weiler et al. 2021, arXiv 2106.06020; de Haan et al. 2021, arXiv 2003.05425).

    .. math:: out(p) = K_{self} f(p) + \sum_{q \to p} w_{pq}\, K(\log_p q)\, \rho_{in}(g_{pq})\, f(q) + b

    with the kernel :math:`K(x) = \sum_j \varphi_j(x) W_j` of a family, computed aggregate first: the transported neighbours are
    summed against every function :math:`\varphi_j`, then one matrix product per node follows. ``message`` is the readable
    per-edge form of the same sum.

    At a cone point (``graph.cone_angle``, on the icosahedron) no frame is consistent: inputs and outputs are treated as
    :class:`ConePoints` says, and neighbours count by a full turn over the angle that is there, which does not depend on where
    the cone is cut.

    Args:
        in_type, out_type: field types over one group.
        radial: number of radial functions, or a profile of :mod:`gaugenet.kernels.radial`.
        max_frequency: angular cut-off of the kernel; by default the sum of the largest orders of both types, beyond
            which SO(2) and O(2) irreps have no kernels.
        bias: learn a bias on the invariant part of the output.
        kernel: a kernel family (:class:`gaugenet.kernels.Polar`, :class:`~gaugenet.kernels.Taps`, ...). ``radial``,
            ``max_frequency`` and ``quadrature`` are short for ``kernel=Polar(radial, max_frequency, quadrature=quadrature)``.
        quadrature: degree of moment matching of the quadrature (0, 1, 2, ...), or None for plain area weights.
        self_interaction: learn the separate weight of the centre, :math:`K_{self}`.
        corners: what happens at cone points, "cone", "zero" or "average", see :class:`ConePoints`.
        backend: "auto", "reference", "cpu", "cuda" or "cuda-on-chip", see :mod:`gaugenet.ops.backend`.

    Shapes:
        x (N, in_type.dim), graph with edge_index (2, E), log (E, d), transport (E, d, d), weight (E,), radius (N,), and
        optionally area (N,), curvature (N,), cone_angle (N,); output (N, out_type.dim). The graph's arrays are cast to the
        dtype of x.

    Raises:
        TypeError: for features of another dtype or types of two groups.
        ValueError: for a graph without transport, or shapes that do not fit; for a kernel family beside its short form.
    """

    propagate: Any  # PyG has no types
    weight: nn.Parameter  # of most families, see KernelExpansion.parameter_shapes

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        radial: int | nn.Module = 2,
        max_frequency: int | None = None,
        bias: bool = True,
        *,
        kernel: KernelFamily | None = None,
        quadrature: int | None = 3,
        self_interaction: bool = True,
        corners: str = "cone",
        backend: str = "auto",
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        check_int(self, "radial", 1 if isinstance(radial, nn.Module) else radial)
        check_int(self, "max_frequency", 0 if max_frequency is None else max_frequency, 0)
        check_int(self, "quadrature", 0 if quadrature is None else quadrature, 0, MAX_DEGREE)
        check_choice(self, "backend", backend, BACKENDS)
        super().__init__(aggr="add")
        self.in_type, self.out_type, self.backend = in_type, out_type, backend
        short = Polar(radial, max_frequency, quadrature=quadrature)
        if kernel is None:
            kernel = short
        elif short != Polar():
            raise ValueError(
                "radial, max_frequency and quadrature are options of kernels.Polar: put them into kernel=Polar(...)"
            )
        self.family = kernel
        self.expansion = kernel.on_graph(in_type, out_type)
        columns = self.expansion.columns
        if columns is None:
            raise TypeError(f"{self._name} expected a kernel with functions on graphs: on_graph of {kernel} gives no columns")
        self.columns = columns
        #: what computes the functions of the kernel, a module that may learn
        self.radial = self.columns.module
        self._parameter_names = tuple(self.expansion.parameter_shapes)
        for name, shape in self.expansion.parameter_shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.self_interaction = GaugeLinear(in_type, out_type, bias=False) if self_interaction else None
        own = None if self.self_interaction is None else self.self_interaction.expansion
        self.mixing = make_mixing(self.expansion, own)
        self.layouts = make_layout(self.expansion, own, False), make_layout(self.expansion, own, True)
        self.corners_in, self.corners_out = ConePoints(in_type, corners), ConePoints(out_type, corners)
        self.bias = FieldBias(out_type) if bias else None
        self.reset_parameters()

    @property
    def max_frequency(self) -> int | None:
        """Angular cut-off of a polar kernel; None for other families."""
        return getattr(self.columns, "max_frequency", None)

    @property
    def quadrature(self) -> int | None:
        """Degree of moment matching; None for plain area weights and for families without."""
        return getattr(self.columns, "quadrature", None)

    @quadrature.setter
    def quadrature(self, degree: int | None) -> None:
        if not hasattr(self.columns, "quadrature"):
            raise AttributeError(f"the kernel {self.family} has no quadrature to set: that is an option of kernels.Polar")
        self.columns.quadrature = degree

    @property
    def table_key(self) -> str | None:
        """Layers with equal keys share a table; None when the functions of the kernel are learnt."""
        return self.columns.key

    def reset_parameters(self) -> None:
        # PyG's base constructor calls nothing here; each part resets itself.
        with torch.no_grad():
            for name, value in self.expansion.initial_parameters().items():
                self.get_parameter(name).copy_(value)
        part: Any
        for part in (self.self_interaction, self.bias, self.radial):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

    @property
    def first_parameter(self) -> Tensor:
        """Of the kernel: features have its dtype."""
        return getattr(self, self._parameter_names[0])

    def kernel_weight(self) -> Tensor:
        """The parameters of the kernel as the flat vector that its expansion takes."""
        return self.expansion.flat_weight(*(getattr(self, name) for name in self._parameter_names))

    def table(self, graph: GraphLike) -> CoefficientTable:
        """The functions of the kernel at the log maps of a graph, times the quadrature weights."""
        return self._table(graph, self.columns)

    def _table(self, graph: GraphLike, columns: Columns) -> CoefficientTable:
        self._check(graph, graph.radius.shape[0], graph.edge_index.device)
        check = partial(check_arrays, graph, self.in_type.group.dim, self._name)
        if columns.key is None:  # where the table is kept with the graph, so is this verdict
            kept_plan(graph, ("checked", self.in_type.group.dim), _SOURCES, check)
        else:
            check()
        return columns.table(graph, self._name)

    def plan(self, graph: GraphLike, table: CoefficientTable | None = None) -> EdgePlan:
        """The edges and tables in the order of the hot loop: made once for a graph, which keeps it.

        Layers of equal :attr:`table_key` over one group share one. A plan from a table that is given is not kept. Of learnt
        functions the graph keeps what does not change (:attr:`gaugenet.kernels.Columns.kept`), and the table is filled in.
        """
        if table is not None:
            return self._make_plan(graph, table, self.columns)
        kept = self.columns.kept
        columns = self.columns if kept is None else kept
        key = None if columns.key is None else ("conv", self.in_type.group, columns.key)
        plan = kept_plan(graph, key, _SOURCES, lambda: self._make_plan(graph, self._table(graph, columns), columns))
        return plan if kept is None else completed_plan(plan, self.columns.complete)

    def _make_plan(self, graph: GraphLike, table: CoefficientTable, columns: Columns) -> EdgePlan:
        group = self.in_type.group
        with no_autocast(graph.transport):  # geometry keeps its precision
            check_transport(group, graph.transport, self._name)
            plan = make_plan(graph.edge_index, graph.transport, *table, columns, group)
            return plan._replace(cone=cone_plan(graph))

    def kernel(self, points: Tensor) -> Tensor:
        r"""The kernel :math:`K(x)` at points (K, d), in units of the radius: matrices (K, out_type.dim, in_type.dim).

        On a flat grid with equal frames the layer is the convolution with these at the offsets of the neighbours (without
        moment matching, and up to the weight of a cell), so conv2d and conv3d run the same parameters.
        """
        return torch.einsum("kj,jio->koi", self.columns.functions(points), self.expansion(self.kernel_weight()))

    def forward(self, x: Tensor, graph: GraphLike, plan: EdgePlan | None = None) -> Tensor:
        check_features(x, self.in_type, self.first_parameter, self._name)
        self._check(graph, x.shape[0], x.device)
        x = autocast(x)
        plan = self.plan(graph) if plan is None else plan
        x = self.corners_in.apply_plan(x, plan.cone)
        out = self._explained(x, plan) if self.explain else self.message_and_aggregate(x, plan)
        return self.corners_out.apply_plan(out, plan.cone)

    def message_and_aggregate(self, x: Tensor, plan: EdgePlan) -> Tensor:
        own: list[Tensor] = [] if self.self_interaction is None else [self.self_interaction.weight]
        weights = [self.kernel_weight(), *own]
        needs_grad = any(w.requires_grad for w in weights)
        bias = None if self.bias is None else self.bias.row()
        kernel = Kernel(self.in_type, self.layouts, self.mixing.of(weights), needs_grad, bias)
        return gauge_convolve(x, kernel, plan, self.backend)

    def _explained(self, x: Tensor, plan: EdgePlan) -> Tensor:
        """The same by per-edge messages, which PyG's explainers hook."""
        edges, weight = plan.forward, self.expansion(self.kernel_weight()).flatten(0, 1)
        if x.shape[0] != edges.node_table.shape[0]:
            raise ValueError(f"{self._name} explains one field at a time: pass one of the fields on the static graph")
        transport, table, node = (t.to(x.dtype) for t in (edges.transport, edges.table, edges.node_table))
        edge_index = torch.stack([edges.source, edges.target])
        neighbours = self.propagate(edge_index, x=x, transport=transport, edge_table=table)
        out = (neighbours + (node.unsqueeze(2) * x.unsqueeze(1)).flatten(1)) @ weight
        out = out if self.self_interaction is None else out + self.self_interaction(x)
        return out if self.bias is None else self.bias(out)

    def message(self, x_j: Tensor, transport: Tensor, edge_table: Tensor) -> Tensor:
        return (edge_table.unsqueeze(2) * self.in_type.transform(transport, x_j).unsqueeze(1)).flatten(1)

    def _check(self, graph: GraphLike, num_nodes: int, device: torch.device) -> None:
        check_graph(graph, NEEDS, num_nodes, device, self._name)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_type}, {self.out_type}, kernel={self.family}, bias={self.bias is not None}, "
            f"self_interaction={self.self_interaction is not None})"
        )
