"""Field convolution: a filter that every neighbour turns by its own direction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_int, check_number
from ...fields import FieldType, check_field_types
from ...groups import Representation
from ...kernels import KernelFamily, Polar
from ...ops import EdgePlan
from ...settings import KeepsSettings
from ..graph.gauge_conv import GaugeConv
from ..precision import autocast, room_for_squares
from ..tensor_checks import GraphLike, check_features


class FieldConv(KeepsSettings, nn.Module):
    r"""Field convolution (Mitchel, Kim & Kazhdan 2021, arXiv 2104.03916, equations 4 and 7).

    .. math:: out(p) = \sum_{q \to p} w_{pq}\, F\big(e^{-i \arg f(q)} \log_q p\big)\, e^{i \varphi_{pq}}\, f(q) + b, \qquad
              F(r e^{i \theta}) = \sum_{|m| \le B} F_m(r)\, e^{i m \theta}

    for tangent vectors f as complex numbers: every neighbour scatters its vector with a filter that is laid along that vector,
    so that the filter sees where p lies from it, and all is nonlinear in the field. Turning back what the direction does,

    .. math:: e^{i m (\theta_{qp} - \arg f)}\, f = (-1)^m e^{i m (\theta_{pq} - \varphi_{pq})}\, |f|\, e^{i (1 - m) \arg f},

    it is one :class:`GaugeConv`, in the fused loop, of the fields :math:`|f| e^{i l \arg f}` of the orders
    :math:`l = 0 \ldots B + 1`, made at every node, with all kernels up to the frequency B.

    Here the input may have any representation: a field of order n gives the orders 0, n, 2 n, ..., and what is no pair of
    numbers (scalars, regular fields) goes in as it is. The output may have any type. Unlike the published code the centre has
    a weight of its own, there is a bias on invariants, and the quadrature is moment-matched.
    :func:`gaugenet.models.published.field_conv` reads published weights.

    Args:
        in_type, out_type: field types over one group of the plane.
        radial: number of radial functions of the profiles F_m, or a profile. The published one is
            ``kernels.LinearRings(6, equal_area=True, cutoff=False)``.
        max_frequency: B, by default 1.
        bias, self_interaction, backend: as of :class:`GaugeConv`.
        kernel: a kernel family in the place of ``kernels.Polar(radial, max_frequency, quadrature=quadrature)``.
        quadrature: degree of moment matching, or None for plain area weights.
        eps: vectors much shorter than its square root have no direction.

    Shapes:
        x (N, in_type.dim), graph as of :class:`GaugeConv`; output (N, out_type.dim).

    Raises:
        TypeError: types of two groups. ValueError: groups of another dimension than 2; a kernel family beside its short form.
    """

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
        eps: float = 1e-12,
        backend: str = "auto",
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        check_number(self, "eps", eps, positive=True)
        super().__init__()
        if in_type.group.dim != 2:
            raise ValueError(f"FieldConv is for surfaces, over groups of the plane, got {in_type.group}")
        frequency = check_int(self, "max_frequency", 1 if max_frequency is None else max_frequency, 0)
        self.in_type, self.out_type, self.max_frequency, self.eps = in_type, out_type, frequency, eps
        #: of every block the orders that are made of it; none of what goes in as it is
        self.powers = [_multiples(rep, frequency) for _, rep in in_type.blocks]
        self.seen = FieldType(
            in_type.group,
            [
                (mul, name)
                for (mul, rep), orders in zip(in_type.blocks, self.powers)
                for name in ([in_type.group.irrep(str(order)) for order in orders] or [rep])
            ],
        )
        if kernel is None:
            kernel = Polar(radial, frequency, quadrature=quadrature)
        elif Polar(radial, quadrature=quadrature) != Polar():
            raise ValueError("radial and quadrature are options of kernels.Polar: put them into kernel=")
        options: dict[str, Any] = {"kernel": kernel, "self_interaction": self_interaction, "backend": backend}
        self.conv = GaugeConv(self.seen, out_type, bias=bias, **options)

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    @property
    def backend(self) -> str:
        return self.conv.backend

    @backend.setter
    def backend(self, name: str) -> None:
        self.conv.backend = name

    @property
    def quadrature(self) -> int | None:
        """Degree of moment matching; None for plain area weights and for families without."""
        return self.conv.quadrature

    def plan(self, graph: GraphLike) -> EdgePlan:
        """As of :class:`GaugeConv`."""
        return self.conv.plan(graph)

    def directions(self, x: Tensor) -> Tensor:
        r"""The fields :math:`|f| e^{i l \arg f}` of all orders: (N, in_type.dim) -> (N, seen.dim)."""
        parts: list[Tensor] = []
        for field, orders in zip(self.in_type.split(x), self.powers):
            parts += _powers(field, len(orders), self.eps) if orders else [field.flatten(-2)]
        return torch.cat(parts, -1)  # component by component

    def forward(self, x: Tensor, graph: GraphLike, plan: EdgePlan | None = None) -> Tensor:
        check_features(x, self.in_type, self.conv.first_parameter, "FieldConv")
        return self.conv(self.directions(autocast(x)), graph, plan)

    def extra_repr(self) -> str:
        return f"{self.in_type}, {self.out_type}, max_frequency={self.max_frequency}"


def _multiples(rep: Representation, frequency: int) -> list[int]:
    """0, n, 2 n, ... of a representation by turns of order n, up to 1 + B, as far as the group has them as pairs of numbers."""
    order = rep.rotation_order
    if order is None:
        return []
    group, last = rep.group, max(order, 1 + frequency)
    orders = range(order, last + 1, order)
    return [0, *(n for n in orders if group.canonical_name(str(n)) is not None and group.irrep_dim(str(n)) == 2)]


def _powers(z: Tensor, count: int, eps: float) -> list[Tensor]:
    """|z|, z, z^2 / |z|, ..., ``count`` of them: (N, 2, mul) to their components (N, mul), one of the first, else two."""
    a, b = room_for_squares(z).unbind(-2)
    square = torch.addcmul(a * a, b, b)
    over = (square + eps).rsqrt()
    cos, sin = a * over, b * over
    found = [square * over, a, b]
    while len(found) < 2 * count - 1:
        a, b = torch.addcmul(a * cos, b, sin, value=-1), torch.addcmul(a * sin, b, cos)
        found += [a, b]
    return [part.to(z.dtype) for part in found[: 2 * count - 1]]
