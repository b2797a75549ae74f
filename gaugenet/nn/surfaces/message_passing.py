"""Gauge-equivariant message passing: nonlinear functions of both ends of an edge and of the way between them, summed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import check_choice
from ...fields import FieldType, check_field_types
from ...kernels import Columns, Polar
from ...kernels.expansion import make_mixing
from ...ops import BACKENDS, EdgeKernel, EdgePlan, edge_fields, kept_plan, make_layout, make_plan, message_sum
from ...settings import KeepsSettings
from ..fields.bias import FieldBias
from ..fields.by_name import make_nonlinearity
from ..fields.linear import GaugeLinear
from ..fields.nonlinearities import GatedNonlinearity, is_pointwise
from ..graph.cone_points import ConePoints, cone_plan
from ..graph.gauge_conv import NEEDS
from ..precision import autocast, no_autocast
from ..tensor_checks import GraphLike, check_arrays, check_features, check_graph, check_transport
from .attention import measure_plan


class GaugeMessagePassing(KeepsSettings, nn.Module):
    r"""Nonlinear messages, summed, then an update (Park, Wong & Walters 2023, arXiv 2310.19589, Hermes).

    .. math:: m_{pq} = \sigma\big( K(\log_p q)\, \rho(g_{pq}) f(q) + K'(\log_p q)\, f(p) + b \big), \qquad
        out(p) = U \sum_{q \to p} w_{pq}\, m_{pq} + K_{self} f(p) + b'

    Messages are functions of the transported neighbour, the centre and the log, in the frame of the centre: unlike those of a
    convolution or of attention they are not linear in the neighbour. sigma is any equivariant nonlinearity: with "gated" and
    "norm" the layer is exact for every group, "regular" samples the circle (exact for C_N and D_N, up to aliasing for SO(2) and
    O(2)), "polynomial" is exact and dear, as there is one function for every edge.
    (The published layer has a bias on every component, averages over neighbours whatever their area, and two such nonlinear
    maps, the second of which is the next layer's first here.)

    Args:
        in_type, out_type: field types over one group.
        message_type: of the messages; by default half the copies of ``in_type``: there are many more edges than nodes.
        radial, max_frequency: of the kernels, as of :class:`GaugeConv`.
        nonlinearity, activation: of the messages, see :func:`gaugenet.nn.make_nonlinearity`.
        bias: learn biases on the invariant parts of the messages and of the output.
        self_interaction: learn the separate weight of the centre, :math:`K_{self}`.
        backend: "auto", "reference" or "cpu", see :mod:`gaugenet.ops.backend`.

    Shapes:
        x (N, in_type.dim), graph as of :class:`GaugeConv`; output (N, out_type.dim).

    Raises:
        TypeError: types of two groups.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        message_type: FieldType | None = None,
        radial: int | nn.Module = 2,
        max_frequency: int | None = None,
        nonlinearity: str | Callable[[FieldType], nn.Module] = "gated",
        activation: str | Callable[[Tensor], Tensor] = "relu",
        bias: bool = True,
        self_interaction: bool = True,
        backend: str = "auto",
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        check_choice(self, "backend", backend, BACKENDS)
        if message_type is None:
            message_type = FieldType(in_type.group, [(-(-mul // 2), rep) for mul, rep in in_type.blocks])
        check_field_types(self, in_type=in_type, message_type=message_type)
        family = Polar(radial, max_frequency, quadrature=None)  # which checks them
        super().__init__()
        self.in_type, self.out_type, self.message_type, self.backend = in_type, out_type, message_type, backend
        self.nonlinearity, self.activation = nonlinearity, activation
        self.act = make_nonlinearity(message_type, nonlinearity, activation)
        self.gates = _gates(self.act)
        inner = cast(FieldType, self.act.in_type)
        self.expansion = family.on_graph(in_type, inner)
        self.columns: Columns = cast(Columns, self.expansion.columns)
        #: what computes the functions of the kernels, a module that may learn
        self.radial = self.columns.module
        self.neighbour, self.centre = (nn.Parameter(torch.empty(self.expansion.num_weights)) for _ in range(2))
        self.mixing = make_mixing(self.expansion, None)
        self.layout = make_layout(self.expansion, None, True)
        self.shift = FieldBias(inner) if bias else None
        self.update = GaugeLinear(message_type, out_type, bias=bias)
        self.self_interaction = GaugeLinear(in_type, out_type, bias=False) if self_interaction else None
        self.corners_in, self.corners_out = ConePoints(in_type), ConePoints(out_type)
        self.reset_parameters()

    @property
    def max_frequency(self) -> int | None:
        return getattr(self.columns, "max_frequency", None)

    @property
    def table_key(self) -> str | None:
        """Layers with equal keys share a plan; None when the functions of the kernel are learnt."""
        return None if self.columns.key is None else f"functions {self.columns.key}"

    def reset_parameters(self) -> None:
        with torch.no_grad():
            for weight in (self.neighbour, self.centre):
                weight.copy_(self.expansion.initial_weight() * 0.5**0.5)  # two of them are added
        part: Any
        for part in (self.shift, self.update, self.self_interaction, self.radial, self.act):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

    def plan(self, graph: GraphLike) -> EdgePlan:
        """The edges and the functions of the kernels there: made once for a graph, which keeps it."""
        group = self.in_type.group
        key = None if self.table_key is None else ("messages", group, self.table_key)
        return kept_plan(graph, key, (*NEEDS, "cone_angle"), lambda: self._make_plan(graph))

    def _make_plan(self, graph: GraphLike) -> EdgePlan:
        group, target = self.in_type.group, graph.edge_index[1]
        check_arrays(graph, group.dim, "GaugeMessagePassing")
        with no_autocast(graph.transport):  # geometry keeps its precision
            check_transport(group, graph.transport, "GaugeMessagePassing")
            table = self.columns.functions(graph.log / graph.radius[target, None])
            nodes = table.new_zeros(graph.radius.shape[0], table.shape[1])
            plan = make_plan(graph.edge_index, graph.transport, table, nodes, self.columns, group)
            return plan._replace(cone=cone_plan(graph))

    def forward(self, x: Tensor, graph: GraphLike, plan: EdgePlan | None = None) -> Tensor:
        check_features(x, self.in_type, self.neighbour, "GaugeMessagePassing")
        check_graph(graph, NEEDS, x.shape[0], x.device, "GaugeMessagePassing")
        plan = self.plan(graph) if plan is None else plan
        x = self.corners_in.apply_plan(autocast(x), plan.cone)
        measure = measure_plan(graph, plan, self.in_type.group)
        kernel = EdgeKernel(self.in_type, self.expansion.out_type, self.layout, self._mixed, self.expansion)
        z = edge_fields(x, self.neighbour, self.centre, kernel, plan, self.backend)
        shift = z.new_zeros(z.shape[1]) if self.shift is None else self.shift.row().to(z.dtype)
        out = self.update(message_sum(z, shift, measure, self.act, self.gates))
        out = out if self.self_interaction is None else out + self.self_interaction(x)
        return self.corners_out.apply_plan(out, plan.cone)

    def _mixed(self, weight: Tensor) -> Tensor:
        return self.mixing.of([weight])(True)

    def extra_repr(self) -> str:
        return f"{self.in_type}, {self.out_type}, message_type={self.message_type}, nonlinearity={self.nonlinearity!r}"


def _gates(act: nn.Module) -> Tensor | None:
    """The blocks of a gated nonlinearity with ReLU, as :func:`gaugenet.ops.message_sum` takes them; None for others."""
    if not isinstance(act, GatedNonlinearity) or act.act is not F.relu or act.gate is not torch.sigmoid:
        return None
    rows, gate = [], act.out_type.dim
    for (mul, rep), columns in zip(act.out_type.blocks, act.out_type.slices):
        pointwise = is_pointwise(rep)
        rows.append((columns.start, rep.dim, mul, -1 if pointwise else gate))
        gate += 0 if pointwise else mul
    return torch.tensor(rows, dtype=torch.int64, device="cpu").reshape(-1, 4)
