"""Convolution with a free weight at every tap, on any graph whose log maps lie on a lattice."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..fields import FieldType
from ..kernels.tap_expansion import TapExpansion
from ..kernels.taps import hexagonal_taps, tap_permutation
from ..ops import TapLayout, TapPlan, make_tap_plan, tap_convolve
from .bias import FieldBias
from .checks import autocast, check_features, check_graph, check_transport
from .cone_points import ConePlan, ConePoints, cone_plan

_NEEDS = ("edge_index", "log", "transport", "radius")
# Log maps within this of a tap, in lattice spacings, lie on it: records hold float32.
_TOLERANCE = 1e-3
# Edges whose taps are looked up at a time.
_EDGES = 1 << 17


class LatticePlan(NamedTuple):
    """The neighbours of a graph by tap, and its cone points."""

    taps: TapPlan
    cone: ConePlan | None


class LatticeConv(nn.Module):
    r"""Gauge-equivariant convolution with the complete kernel on the taps of a lattice.

    .. math:: out(p) = \sum_t K(x_t)\, \rho_{in}(g_{p q_t})\, f(q_t(p)) + b,
        \qquad K(g x) = \rho_{out}(g)\, K(x)\, \rho_{in}(g)^{-1}

    with q_t(p) the neighbour whose log map is the tap x_t, in units of the lattice spacing (the shortest log map into p), and p
    itself at the tap 0. It is the hexagonal convolution of the icosahedron (Cohen et al. 2019, arXiv 1902.04615, section 5),
    and that of the Moebius strip, tori and flat square or hexagonal grids, where :class:`GridConv` runs the same weights by
    conv2d. Where there is no neighbour at a tap it counts as zero (zero padding); edges longer than every tap are not used.

    At a cone point (``graph.cone_angle``) inputs and outputs are treated as :class:`ConePoints` says, and in the mode "cone" the
    kernel is carried round the point, its sum over the angle that is there scaled to a full turn:

    .. math:: out(c) = P \Big[ \frac{2 \pi}{\Theta_c} \sum_{t \ne 0} K(x_t)\, \rho_{in}(g_{c q_t})\, f(q_t(c)) +
        K(0)\, P f(c) \Big] + b

    which does not depend on where the cone is cut, because :math:`P K(g x) \rho_{in}(g) = P K(x)`.

    Args:
        in_type, out_type: field types over one finite group.
        taps: (T, d) offsets that the group maps onto themselves (:func:`gaugenet.kernels.hexagonal_taps`,
            :func:`gaugenet.kernels.square_taps`); by default the hexagonal one-ring with its centre.
        bias: learn a bias on the invariant part of the output.
        corners: what happens at cone points, "cone", "zero" or "average"; the last two as published.
        backend: of :func:`gaugenet.ops.tap_convolve`: "auto", "reference" or "gather".

    Shapes:
        x (N, in_type.dim), graph with edge_index (2, E), log (E, d), transport (E, d, d), radius (N,), and optionally
        cone_angle (N,); output (N, out_type.dim).

    Raises:
        TypeError: types of two groups or of an infinite one; features of another dtype.
        ValueError: taps that the group does not keep; a log map that is on no tap, or two of one node on one tap (with the
            edge); transporters outside the group.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        taps: np.ndarray | None = None,
        bias: bool = True,
        *,
        corners: str = "cone",
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.in_type, self.out_type, self.backend = in_type, out_type, backend
        self.taps = np.array(hexagonal_taps() if taps is None else taps, dtype=np.float64)
        self.expansion = TapExpansion(in_type, out_type, self.taps)
        place = tap_permutation(in_type.group, self.taps)
        self.register_buffer("moved", torch.from_numpy(place), persistent=False)
        at_zero = np.flatnonzero(np.linalg.norm(self.taps, axis=1) < _TOLERANCE)
        self.centre = int(at_zero[0]) if at_zero.size else None
        self.layouts = TapLayout.of(in_type), TapLayout.of(out_type)
        self.corners_in, self.corners_out = ConePoints(in_type, corners), ConePoints(out_type, corners)
        self.weight = nn.Parameter(torch.empty(self.expansion.num_weights))
        self.bias = FieldBias(out_type) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.copy_(self.expansion.initial_weight())
        if self.bias is not None:
            self.bias.reset_parameters()

    @property
    def plan_key(self) -> tuple:
        """Layers with equal keys share the plan of a graph."""
        return self.in_type.group, self.taps.tobytes()

    def kernel(self) -> Tensor:
        """K at the taps: (T, out_type.dim, in_type.dim)."""
        return self.expansion(self.weight).transpose(1, 2)

    @torch.no_grad()
    def plan(self, graph) -> LatticePlan:
        """The neighbours of a graph by tap; layers of equal :attr:`plan_key` share one."""
        check_graph(graph, _NEEDS, graph.radius.shape[0], graph.edge_index.device, "LatticeConv")
        with torch.autocast(graph.log.device.type, enabled=False):
            group, nodes = self.in_type.group, graph.radius.shape[0]
            check_transport(group, graph.transport, "LatticeConv")
            edge, tap = _taps_of(graph, self.taps)
            place = graph.edge_index[1, edge] * len(self.taps) + tap
            _check_alone(graph, place, edge)
            elements = group.elements
            inverse = group.nearest(elements.transpose(-1, -2), _TOLERANCE).to(edge.device)
            element = group.nearest(graph.transport[edge], 1.0)  # check_transport knows the tolerance
            moved = self.moved.to(edge.device)
            taps = make_tap_plan(graph.edge_index[:, edge], tap, element, nodes, self.centre, inverse, moved)
            return LatticePlan(taps, cone_plan(graph))

    def forward(self, x: Tensor, graph, plan: LatticePlan | None = None) -> Tensor:
        check_features(x, self.in_type, self.weight, "LatticeConv")
        check_graph(graph, _NEEDS, x.shape[0], x.device, "LatticeConv")
        x = autocast(x)
        plan = self.plan(graph) if plan is None else plan
        weight = self.expansion(self.weight).to(x.dtype)
        bias = None if self.bias is None else self.bias.row()
        x = self.corners_in.apply_plan(x, plan.cone)
        out = tap_convolve(x, weight, bias, (self.in_type, self.out_type), self.layouts, plan.taps, self.backend)
        if plan.cone is None or self.corners_in.mode != "cone":
            return self.corners_out.apply_plan(out, plan.cone)
        factor, own = plan.cone.factor.to(x.dtype)[:, None], 0
        if self.centre is not None:
            own = x[plan.cone.node] @ weight[self.centre]
        if bias is not None:
            own = own + bias.to(x.dtype)
        scaled = factor * out[plan.cone.node] - (factor - 1) * own
        return out.index_copy(0, plan.cone.node, self.corners_out.project(scaled))

    def extra_repr(self) -> str:
        return (
            f"{self.in_type} -> {self.out_type}, taps={len(self.taps)}, bias={self.bias is not None}, "
            f"corners={self.corners_in.mode!r}"
        )


def _taps_of(graph, taps: np.ndarray) -> tuple[Tensor, Tensor]:
    """Edges within reach of the taps, and the tap of each."""
    if graph.log.shape[1] != taps.shape[1]:
        raise ValueError(f"LatticeConv has taps of dimension {taps.shape[1]} but the graph log maps of {graph.log.shape[1]}")
    target = graph.edge_index[1]
    length = graph.log.norm(dim=1)
    spacing = length.new_full((graph.radius.shape[0],), torch.inf).scatter_reduce(0, target, length, "amin")
    points = graph.log / spacing[target, None]
    taps = torch.as_tensor(taps).to(points)
    edge = (points.norm(dim=1) <= taps.norm(dim=1).max() + _TOLERANCE).nonzero()[:, 0]
    found = []
    for part in edge.split(_EDGES):
        away, tap = torch.linalg.vector_norm(points[part, None] - taps, dim=-1).min(1)
        off = (away > _TOLERANCE).nonzero()
        if off.numel():
            e = int(part[off[0, 0]])
            q, p = graph.edge_index[:, e].tolist()
            where = [round(c, 4) for c in points[e].tolist()]
            raise ValueError(
                f"LatticeConv: edge {e} from node {q} to node {p} has the log map {where} in lattice spacings, which is on none "
                f"of the {len(taps)} taps: take taps of the graph's lattice, or GaugeConv"
            )
        found.append(tap)
    return edge, torch.cat(found) if found else edge


def _check_alone(graph, place: Tensor, edge: Tensor) -> None:
    """Raise when two neighbours of a node are on one tap."""
    order = torch.argsort(place, stable=True)
    twice = (place[order].diff() == 0).nonzero()
    if twice.numel():
        first, second = (int(edge[order[twice[0, 0] + k]]) for k in range(2))
        raise ValueError(
            f"LatticeConv: edges {first} and {second} into node {int(graph.edge_index[1, first])} have their log maps on one tap"
        )
