"""The convolution of space in the frames of its edges: faster than harmonics and Clebsch-Gordan products for high degrees."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...fields import FieldType, check_field_types
from ...groups import O3, SO3
from ...groups.harmonic_action import raised_action
from ...groups.representation import Irrep
from ...kernels import Polar, SteerableBasis
from ...kernels.constants import ConstantModule
from ...kernels.expansion import KernelExpansion
from ...kernels.quadrature.matching import centre_weight
from ...kernels.quadrature.moments import profile_values
from ...ops import kept_plan
from ...ops.plan import is_identity
from ...ops.rows import fields_of, sum_rows
from ..precision import autocast, no_autocast
from ..tensor_checks import GraphLike, check_arrays, check_features, check_transport, count_copies
from .gauge_conv import NEEDS, GaugeConv

_SOURCES = (*NEEDS, "area")


class EdgeFrames(NamedTuple):
    """What a graph keeps: the rotations of its edges in every degree.

    Attributes:
        source, target: (E,). transport: (E, d, d), None where it is the identity.
        actions: D_l (E, 2l + 1, 2l + 1) of the rotation that takes the y axis to the direction of the edge, for l = 0, 1, ...
        distance: (E,) in units of the radius. weight: (E,) and centre (N,), of the quadrature.
    """

    source: Tensor
    target: Tensor
    transport: Tensor | None
    actions: tuple[Tensor, ...]
    distance: Tensor
    weight: Tensor
    centre: Tensor


class EdgeFrameConv(GaugeConv):
    r""":class:`GaugeConv` over SO(3) or O(3) in frames along the edges (eSCN: Passaro & Zitnick 2023, arXiv 2302.03655).

    .. math:: out(p) = \sum_{q} D(R_{pq})\, K(|x_{pq}| e_y)\, D(R_{pq})^T f(q) + \ldots, \qquad R_{pq}\, e_y = x_{pq} / |x_{pq}|

    The kernel along an axis commutes with the rotations about it: it joins only components of the same order \|m\|, by 2 x 2
    blocks. So for degrees up to L the work is L^3, where harmonics and Clebsch-Gordan products take L^6. The weights are
    those of :class:`GaugeConv` with ``quadrature=None``, and so are the numbers, to rounding; each loads the state of the
    other. Messages are mixed edge by edge, not once for every node: that pays for high degrees only, see
    benchmarks/results/edge_frames.md.

    Args:
        in_type, out_type: irreps of SO(3) or O(3). radial, max_frequency, bias, self_interaction: see :class:`GaugeConv`.

    Shapes:
        As of :class:`GaugeConv`.

    Raises:
        TypeError: fields that are no irreps of SO(3) or O(3). ValueError: neighbours that coincide, which have no direction.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        radial: int | nn.Module = 2,
        max_frequency: int | None = None,
        bias: bool = True,
        *,
        self_interaction: bool = True,
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        for type in (in_type, out_type):
            if not isinstance(type.group, SO3 | O3) or not all(isinstance(rep, Irrep) for _, rep in type.blocks):
                raise TypeError(f"EdgeFrameConv expected irreps of SO(3) or O(3), got {type} over {type.group}: take GaugeConv")
        kernel = Polar(radial, max_frequency, quadrature=None)
        super().__init__(in_type, out_type, bias=bias, kernel=kernel, self_interaction=self_interaction)
        self.axis = _AxisKernels(self.expansion)
        self._degree = max((l for degrees in self.axis.degrees for l in degrees), default=0)

    @property
    def table_key(self) -> str | None:
        """None: there is no table."""
        return None

    def plan(self, graph: GraphLike, table: Any = None) -> Any:
        """The rotations of the edges (:class:`EdgeFrames`): made once for a graph, which keeps it."""
        key = ("edge frames", type(self.in_type.group), self._degree)
        return kept_plan(graph, key, _SOURCES, lambda: self._frames(graph))

    def _frames(self, graph: GraphLike) -> EdgeFrames:
        self._check(graph, graph.radius.shape[0], graph.edge_index.device)
        check_arrays(graph, self.in_type.group.dim, self._name)
        source, target = graph.edge_index
        with no_autocast(graph.transport):
            check_transport(self.in_type.group, graph.transport, self._name)
            x = graph.log / graph.radius[target, None]
            distance = torch.linalg.vector_norm(x, dim=1)
            if not torch.compiler.is_compiling() and not bool((distance > 0).all()):
                edge = int((distance <= 0).nonzero()[0, 0])
                raise ValueError(
                    f"{self._name} expected neighbours apart, but those of edge {edge} coincide, which has no direction: take "
                    "GaugeConv, or points apart"
                )
            turn, actions = _along(x / distance[:, None]), [torch.ones_like(x[:, :1, None])]
            for l in range(1, self._degree + 1):
                actions.append(turn if l == 1 else raised_action(l, turn, actions[-1]))
            count = torch.bincount(target, minlength=len(graph.radius))
            area = getattr(graph, "area", None)
            centre = centre_weight(graph.weight, graph.radius, target, count, area, 3).to(graph.weight.dtype)
        transport = None if is_identity(graph.transport) else graph.transport
        return EdgeFrames(source, target, transport, tuple(actions), distance, graph.weight, centre)

    def forward(self, x: Tensor, graph: GraphLike, plan: Any = None) -> Tensor:
        check_features(x, self.in_type, self.weight, self._name)
        self._check(graph, x.shape[0], x.device)
        count_copies(graph, x.shape[0], graph.radius.shape[0], self._name)
        frames = self.plan(graph) if plan is None else plan
        x, nodes = autocast(x), graph.radius.shape[0]
        with no_autocast(frames.distance):
            profile: Any = self.radial
            at_edges, at_centre = (profile_values(profile, r) for r in (frames.distance, frames.distance.new_zeros(1)))
            edge = (at_edges * frames.weight.double()[:, None]).to(x.dtype)
            node = (at_centre * frames.centre.double()[:, None]).to(x.dtype)
        out = torch.cat([self._one(field, frames, edge, node) for field in fields_of(x, nodes)]) if nodes else x
        out = out if self.self_interaction is None else out + self.self_interaction(x)
        return out if self.bias is None else self.bias(out)

    def _one(self, x: Tensor, frames: EdgeFrames, edge: Tensor, node: Tensor) -> Tensor:
        carried = x[frames.source]
        if frames.transport is not None:
            carried = self.in_type.transform(frames.transport.to(x.dtype), carried)
        actions = [action.to(x.dtype) for action in frames.actions]
        seen = [
            block if rep.degree == 0 else actions[rep.degree].transpose(1, 2) @ block
            for (_, rep), block in zip(self.in_type.blocks, self.in_type.split(carried))
        ]
        mixed = self.axis(self.weight, seen, edge)
        parts = [
            block if rep.degree == 0 else actions[rep.degree] @ block for (_, rep), block in zip(self.out_type.blocks, mixed)
        ]
        messages = sum_rows(self.out_type.join(parts), frames.target, x.shape[0])
        return messages + self.out_type.join(self.axis.centre(self.weight, self.in_type.split(x), node))


class _AxisKernels(ConstantModule):
    """The kernels of an expansion at the y axis: for every pair of blocks and order m the block (a, b; -b, a), of (m, -m)."""

    def __init__(self, expansion: KernelExpansion) -> None:
        super().__init__()
        self._in, self._out, self._paths = expansion.in_type, expansion.out_type, expansion.paths
        self._radial = expansion.num_radial
        #: of the blocks of the input, and of the output
        self.degrees = [[rep.degree for _, rep in type.blocks] for type in (self._in, self._out)]
        self._orders = min(max(part, default=-1) for part in self.degrees) + 1
        axis = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        for i, o, start, stop in self._paths:
            if stop == start:
                continue
            rep_in, rep_out = self._in.blocks[i][1], self._out.blocks[o][1]
            basis = expansion._bases[i, o]
            assert isinstance(basis, SteerableBasis)
            kernel, a, b = basis(axis), rep_in.degree, rep_out.degree  # (K, 2b + 1, 2a + 1)
            orders = range(min(a, b) + 1)
            along = [torch.stack([kernel[:, b + m, a + m], kernel[:, b + m, a - m] if m else kernel[:, b, a]]) for m in orders]
            self.register_constant(f"along_{i}_{o}", torch.stack(along))  # (m, 2, K)
            if rep_in == rep_out:
                still = basis(torch.zeros(3, dtype=torch.float64))  # a multiple of the identity
                self.register_constant(f"still_{i}_{o}", still[:, 0, 0])

    def _weights(self, weight: Tensor) -> dict[tuple[int, int], Tensor]:
        """(B, K, mul_in, mul_out) of every pair of blocks with kernels."""
        return {
            (i, o): weight[start:stop].view(self._radial, -1, self._in.blocks[i][0], self._out.blocks[o][0])
            for i, o, start, stop in self._paths
            if stop > start
        }

    def forward(self, weight: Tensor, blocks: list[Tensor], radial: Tensor) -> list[Tensor]:
        """Blocks (E, 2a + 1, mul) in the frames of the edges and radial functions (E, B): blocks of the output likewise."""
        paths = self._weights(weight)
        found: list[dict[int, Tensor]] = [{} for _ in self._out.blocks]
        for m in range(self._orders):
            inner, outer = ([k for k, l in enumerate(part) if l >= m] for part in self.degrees)
            places = [[(i, self.degrees[0][i] + side) for i in inner] for side in ((m, -m) if m else (0,))]
            sides = [torch.cat([blocks[i][:, row] for i, row in part], 1) for part in places]
            rows = torch.stack(sides)  # (2, E, n)
            rows = (radial.unsqueeze(2) * rows.unsqueeze(2)).flatten(2)  # (2, E, B n)
            product = rows @ self._matrix(paths, inner, outer, m, weight)
            if m:
                plain, crossed = product.chunk(2, -1)
                sides = [plain[0] + crossed[1], plain[1] - crossed[0]]
            else:
                sides = [product[0]]
            widths = [self._out.blocks[o][0] for o in outer]
            for side, part in zip((m, -m), sides):
                for o, columns in zip(outer, part.split(widths, 1)):
                    found[o][side] = columns
        empty = radial.new_zeros(radial.shape[0], 1)
        return [
            torch.stack([parts.get(m, empty.expand(-1, mul)) for m in range(-rep.degree, rep.degree + 1)], 1)
            for parts, (mul, rep) in zip(found, self._out.blocks)
        ]

    def _matrix(self, paths: dict, inner: list[int], outer: list[int], m: int, weight: Tensor) -> Tensor:
        """(B n_in, n_out), for m > 0 that of a beside that of b: (B n_in, 2 n_out)."""
        halves = []
        for half in range(2 if m else 1):
            rows = []
            for i in inner:
                row = []
                for o in outer:
                    if (i, o) in paths:
                        row.append(torch.einsum("k,bkio->bio", getattr(self, f"along_{i}_{o}")[m, half], paths[i, o]))
                    else:
                        row.append(weight.new_zeros(self._radial, self._in.blocks[i][0], self._out.blocks[o][0]))
                rows.append(torch.cat(row, 2))
            halves.append(torch.cat(rows, 1).flatten(0, 1))
        return torch.cat(halves, 1)

    def centre(self, weight: Tensor, blocks: list[Tensor], radial: Tensor) -> list[Tensor]:
        """What the kernel does at distance 0: blocks (N, 2a + 1, mul) and radial functions (N, B)."""
        out = [radial.new_zeros(radial.shape[0], rep.dim, mul) for mul, rep in self._out.blocks]
        for (i, o), part in self._weights(weight).items():
            still = getattr(self, f"still_{i}_{o}", None)
            if still is not None:
                matrices = torch.einsum("k,bkio->ibo", still, part).flatten(1)
                spread = (blocks[i] @ matrices).unflatten(2, (self._radial, -1))
                out[o] = out[o] + torch.einsum("ndbo,nb->ndo", spread, radial)
        return out


def _along(u: Tensor) -> Tensor:
    """Rotations (E, 3, 3) that take the y axis to unit vectors (E, 3)."""
    # The axis farthest from u, so that nothing cancels.
    other = torch.nn.functional.one_hot(u.detach().abs().argmin(1), 3).to(u.dtype)
    first = torch.linalg.cross(u, other)
    first = first / torch.linalg.vector_norm(first, dim=1, keepdim=True)
    return torch.stack([first, u, torch.linalg.cross(first, u)], 2)
