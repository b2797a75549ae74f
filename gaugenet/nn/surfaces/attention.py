"""Gauge-equivariant attention: neighbours weighted by invariant products of queries and transported keys."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_choice, check_int
from ...fields import FieldType, check_field_types
from ...groups import Group
from ...ops import BACKENDS, Carrier, EdgePlan, Kernel, gauge_attend, head_runs, kept_plan
from ...settings import KeepsSettings
from ..fields.linear import GaugeLinear, together
from ..graph.cone_points import ConePoints
from ..graph.gauge_conv import NEEDS, GaugeConv
from ..precision import autocast
from ..tensor_checks import GraphLike, check_features, check_graph

# The arrays of a graph that say which edges there are, and in which frames.
_EDGES = ("edge_index", "transport", "cone_angle")


class GaugeAttention(KeepsSettings, nn.Module):
    r"""Multi-head attention over the neighbours (Basu, Gallego-Posada, Vigano, Rowbottom & Cohen 2022, arXiv 2205.10662, EMAN).

    .. math:: a_{pq} = \frac{1}{\sqrt{D}}\, Q f(p) \cdot \rho(g_{pq})\, K f(q), \qquad
        \alpha_{pq} = \frac{e^{a_{pq}} \sum_r w_{pr}}{\sum_r w_{pr}\, e^{a_{pr}}}

    .. math:: out(p) = \sum_{heads} \sum_q \alpha_{pq}\, w_{pq}\, K(\log_p q)\, \rho(g_{pq})\, V f(q) + K_{self} f(p) + b

    with Q, K, V and the kernel of every head its own (the map that joins the heads is part of the kernels).
    Queries and keys are fields of orthogonal representations, so that their products do not depend on the frame. The softmax is
    one over the measure of the neighbourhood: refining the mesh does not change it, and with equal logits the layer *is* the
    convolution :class:`GaugeConv`. (The published code multiplies components of keys in other frames: turning the frames
    changes its output by half.) At a cone point only what no frame changes is seen of the field.

    Args:
        in_type, out_type: field types over one group, of orthogonal representations.
        heads: number of heads; divides the copies of every block of ``value_type``.
        key_type: field of the queries and keys of one head; by default 4 copies of every representation of ``in_type``.
        value_type: field of the values of all heads; by default ``in_type``, its copies rounded up to a multiple of ``heads``.
        radial, max_frequency, quadrature: of the kernel of the values, as of :class:`GaugeConv`.
        bias: learn a bias on the invariant part of the output.
        self_interaction: learn the separate weight of the centre.
        backend: as of :class:`GaugeConv`.

    Shapes:
        x (N, in_type.dim), graph as of :class:`GaugeConv`; output (N, out_type.dim).

    Raises:
        TypeError: types of two groups. ValueError: copies that the heads do not divide.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        heads: int = 2,
        *,
        key_type: FieldType | None = None,
        value_type: FieldType | None = None,
        radial: int | nn.Module = 2,
        max_frequency: int | None = None,
        quadrature: int | None = 3,
        bias: bool = True,
        self_interaction: bool = True,
        backend: str = "auto",
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        check_int(self, "heads", heads)
        check_choice(self, "backend", backend, BACKENDS)
        group = in_type.group
        if key_type is None:
            key_type = FieldType(group, [(4, rep) for _, rep in in_type.blocks])
        if value_type is None:
            value_type = FieldType(group, [(-(-mul // heads) * heads, rep) for mul, rep in in_type.blocks])
        check_field_types(self, in_type=in_type, key_type=key_type, value_type=value_type)
        for mul, rep in value_type.blocks:
            if mul % heads:
                raise ValueError(
                    f"GaugeAttention expected value_type with copies for each of heads={heads}, got {mul} of {rep}"
                )
        super().__init__()
        self.in_type, self.out_type, self.heads = in_type, out_type, int(heads)
        self.key_type, self.value_type = key_type, value_type
        keys = FieldType(group, [(mul * heads, rep) for mul, rep in key_type.blocks])
        self.carrier = Carrier.of(keys)
        self.queries, self.keys = (GaugeLinear(in_type, keys, bias=False) for _ in range(2))
        self.values = GaugeLinear(in_type, value_type, bias=False)
        self.runs = head_runs(keys, heads), head_runs(value_type, heads)
        options: Any = {"max_frequency": max_frequency, "quadrature": quadrature, "self_interaction": False, "backend": backend}
        self.conv = GaugeConv(value_type, out_type, radial, bias=bias, **options)
        self.self_interaction = GaugeLinear(in_type, out_type, bias=False) if self_interaction else None
        self.corners = ConePoints(in_type)

    @property
    def backend(self) -> str:
        return self.conv.backend

    @backend.setter
    def backend(self, name: str) -> None:
        self.conv.backend = name

    def plan(self, graph: GraphLike) -> EdgePlan:
        """That of the values' kernel."""
        return self.conv.plan(graph)

    def forward(self, x: Tensor, graph: GraphLike, plan: EdgePlan | None = None) -> Tensor:
        check_features(x, self.in_type, self.conv.weight, "GaugeAttention")
        check_graph(graph, NEEDS, x.shape[0], x.device, "GaugeAttention")
        plan = self.conv.plan(graph) if plan is None else plan
        x = self.corners.apply_plan(autocast(x), plan.cone)
        measure = measure_plan(graph, plan, self.in_type.group)
        maps = self.queries, self.keys, self.values, self.self_interaction
        query, key, value, *own = together(x, *(layer for layer in maps if layer is not None))
        conv = self.conv
        bias = None if conv.bias is None else conv.bias.row()
        kernel = Kernel(self.value_type, conv.layouts, conv.mixing.of([conv.weight]), conv.weight.requires_grad, bias)
        query = query * self.key_type.dim**-0.5
        out = sum(own, gauge_attend(query, key, value, kernel, self.carrier, plan, measure, self.runs, self.backend))
        return conv.corners_out.apply_plan(out, plan.cone)

    def extra_repr(self) -> str:
        return f"{self.in_type}, {self.out_type}, heads={self.heads}, key_type={self.key_type}, value_type={self.value_type}"


def measure_plan(graph: GraphLike, plan: EdgePlan, group: Group) -> EdgePlan:
    """The edges of a plan with the weights of the graph for a table, which the graph keeps."""
    return kept_plan(graph, ("measure", group), ("weight", *_EDGES), lambda: _measure(graph, plan))


def _measure(graph: GraphLike, plan: EdgePlan) -> EdgePlan:
    """The edges of a plan, which go by their targets, with the weights of the graph for a table."""
    weight = graph.weight[torch.argsort(graph.edge_index[1], stable=True)][:, None]
    node, none = weight.new_zeros(plan.forward.node_table.shape[0], 1), graph.edge_index.new_zeros(0)
    back = weight[torch.argsort(plan.forward.source, stable=True)]
    sides = zip((plan.forward, plan.backward), (weight, back))
    forward, backward = (side._replace(table=table, node_table=node, column=none) for side, table in sides)
    return plan._replace(forward=forward, backward=backward, turned=forward.table)
