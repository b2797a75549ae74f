"""What fields are worth at cone points, where no frame is consistent."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...checks import check_choice
from ...fields import FieldType, check_field_types
from ...kernels.constants import ConstantModule
from ...kernels.quadrature.cone_angles import is_cone
from ...ops import kept_plan, map_rows
from ...ops.rows import sum_rows
from ...settings import KeepsSettings
from ..tensor_checks import GraphLike, check_features, count_copies

MODES = ("cone", "zero", "average")
_SOURCES = ("edge_index", "log", "cone_angle")
#: the key of a graph's own plan of cone points
CONE_KEY = ("cone",)
# Distances within this of the shortest, relative, are equal.
_TIE = 1e-3


class ConePlan(NamedTuple):
    """Cone points of a graph, and their nearest neighbours.

    Attributes:
        node: (C,) ids. source: (K,) ids of nearest neighbours, place: (K,) which cone point they belong to, part: (K,) one over
            their number. num_nodes: N, an empty tensor of shape (N, 0).
        mask: (N,) whether a node is one, where all nodes and edges stand in the other arrays (of edges that are not wanted,
            part is 0): what a compiler makes, for which their number would be a shape that it cannot know. None otherwise.
    """

    node: Tensor
    source: Tensor
    place: Tensor
    part: Tensor
    num_nodes: Tensor
    mask: Tensor | None = None

    def repeated(self, rows: int) -> ConePlan:
        """The plan of as many fields, one under the other, as have these rows."""
        nodes, cones = self.num_nodes.shape[0], self.node.numel()
        if rows == nodes:
            return self
        copies = rows // nodes
        field = torch.arange(copies, device=self.node.device)[:, None]
        node, source = ((field * nodes + ids).flatten() for ids in (self.node, self.source))
        place = (field * cones + self.place).flatten()
        mask = None if self.mask is None else self.mask.repeat(copies)
        return ConePlan(node, source, place, self.part.repeat(copies), self.num_nodes.new_zeros(rows, 0), mask)


def cone_plan(graph: GraphLike) -> ConePlan | None:
    """The cone points of a graph with ``cone_angle`` (N,); None when there are none."""
    angle = getattr(graph, "cone_angle", None)
    if angle is None:
        return None
    if torch.compiler.is_compiling():
        return _masked_plan(graph, angle)
    node = is_cone(angle).nonzero()[:, 0]
    if not node.numel():
        return None
    number = torch.full_like(angle, -1, dtype=torch.int64)
    number[node] = torch.arange(node.numel(), device=node.device)
    source, target = graph.edge_index
    place = number[target]
    source, distance, place = source[place >= 0], graph.log[place >= 0].norm(dim=1), place[place >= 0]
    shortest = distance.new_full((node.numel(),), torch.inf).scatter_reduce(0, place, distance, "amin")
    near = distance <= shortest[place] * (1 + _TIE)
    source, place = source[near], place[near]
    count = angle.new_zeros(node.numel()).index_add(0, place, angle.new_ones(place.numel()))
    return ConePlan(node, source, place, 1 / count[place], angle.new_zeros(angle.numel(), 0))


def _masked_plan(graph: GraphLike, angle: Tensor) -> ConePlan:
    """As :func:`cone_plan`, with shapes that do not depend on the numbers."""
    source, target = graph.edge_index
    distance, mask, node = graph.log.norm(dim=1), is_cone(angle), torch.arange(angle.numel(), device=angle.device)
    shortest = distance.new_full((angle.numel(),), torch.inf).scatter_reduce(0, target, distance, "amin")
    near = (mask[target] & (distance <= shortest[target] * (1 + _TIE))).to(angle.dtype)
    count = sum_rows(near, target, angle.numel())
    return ConePlan(node, source, target, near / count.clamp_min(1)[target], angle.new_zeros(angle.numel(), 0), mask)


class ConePoints(KeepsSettings, ConstantModule):
    r"""Gives features at cone points values that no choice of frame changes; other points keep theirs.

    Carrying a frame once round a cone point of the icosahedron turns it by 60 degrees: a frame at the point itself is one of
    six equally good ones, and only the part of a feature that C_6 leaves alone has a meaning there. With P the projection of
    each field on its invariant subspace (a scalar: itself; a regular field: its mean; a vector: zero), and c a cone point,

    - ``"cone"``: f(c) -> P f(c);
    - ``"zero"``: f(c) -> 0, as Cohen et al. 2019 (arXiv 1902.04615, section 4) pad their charts;
    - ``"average"``: f(c) -> mean over the nearest neighbours q of P f(q).

    All three commute with the symmetries of the graph. On a graph without ``cone_angle`` nothing happens.

    Args:
        type: field type of input and output.
        mode: "cone", "zero" or "average".

    Shapes:
        x (N, type.dim), graph with edge_index, log and optionally cone_angle (N,); output (N, type.dim).
    """

    def __init__(self, type: FieldType, mode: str = "cone") -> None:
        check_field_types(self, type=type)
        super().__init__()
        check_choice(self, "mode", mode, MODES)
        self.in_type = self.out_type = type
        self.mode = mode
        for b, (_, rep) in enumerate(type.blocks):
            vectors = rep.invariant_vectors()
            self.register_constant(f"projector_{b}", vectors.t() @ vectors)

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        check_features(x, self.in_type, None, "ConePoints")
        if hasattr(graph, "radius"):
            count_copies(graph, x.shape[0], graph.radius.shape[0], "ConePoints")
        return self.apply_plan(x, self.plan(graph))

    def plan(self, graph: GraphLike) -> ConePlan | None:
        """The cone points of a graph: looked for once, and kept by the graph."""
        # () stands for none: of plans None is one that has not been made.
        return kept_plan(graph, CONE_KEY, _SOURCES, lambda: cone_plan(graph) or ()) or None

    def apply_plan(self, x: Tensor, plan: ConePlan | None) -> Tensor:
        """As ``forward``, with the cone points found before."""
        if plan is None:
            return x
        plan = plan.repeated(x.shape[0])
        if self.mode == "average":
            near = self.project(x[plan.source]) * plan.part.to(x.dtype)[:, None]
            new = sum_rows(near, plan.place, plan.node.numel())
            return x.index_copy(0, plan.node, new) if plan.mask is None else torch.where(plan.mask[:, None], new, x)
        if plan.mask is not None:
            return torch.where(plan.mask[:, None], 0 if self.mode == "zero" else self.project(x), x)
        if self.mode == "zero":
            return map_rows(x, plan.node, x.new_zeros(x.shape[1], x.shape[1]))
        blocks = [self.constant(f"projector_{b}", x) for b in range(len(self.in_type.blocks))]
        spread = [
            torch.kron(p, torch.eye(mul, dtype=p.dtype, device=p.device)) for p, (mul, _) in zip(blocks, self.in_type.blocks)
        ]
        return map_rows(x, plan.node, torch.block_diag(*spread))

    def project(self, x: Tensor) -> Tensor:
        """P f: (M, type.dim) -> (M, type.dim)."""
        blocks = self.in_type.split(x)
        return self.in_type.join([self.constant(f"projector_{b}", x) @ block for b, block in enumerate(blocks)])

    def extra_repr(self) -> str:
        return f"{self.in_type}, mode={self.mode!r}"
