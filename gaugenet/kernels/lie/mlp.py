"""Kernels that are a net of the log map: those of LieConv, for G = {e}."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from numbers import Integral
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ...checks import check_int, check_ints
from ...fields import FieldType
from ...settings import KeepsSettings
from ..basis import FreeBasis
from ..expansion import KernelExpansion
from ..kernel import FixedColumns

# SiLU takes a normal number to one of about this root mean square.
_AFTER_SILU = 0.6


class LogNet(KeepsSettings):
    """Linear maps with SiLU after each: (..., inputs) -> (..., units), at first of about one size, whatever the depth.

    Args:
        inputs: numbers that it sees. units: J, of its last layer. hidden: widths of the layers before.
    """

    key = None  # learnt

    def __init__(self, inputs: int, units: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise((inputs, *hidden, units)):
            layers += [nn.Linear(fan_in, fan_out), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5 / _AFTER_SILU)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.to(next(self.parameters()).dtype))  # in the precision of the net


class MLPColumns(FixedColumns):
    """The units of a :class:`LogNet` of log / radius and, with Q coordinates of orbits, of those of both ends."""

    def __init__(self, dim: int, family: MLP) -> None:
        self.dim, self.orbit, self.size = dim, family.orbit, family.units
        self.module: Any = LogNet(dim + 2 * family.orbit, family.units, family.widths)

    def inputs(self, graph: Any, layer: str) -> tuple[Tensor, Tensor]:
        edge, centre = super().inputs(graph, layer)
        if not self.orbit:
            return edge, centre
        orbit = getattr(graph, "orbit", None)
        if orbit is None or orbit.shape[1] != self.orbit:
            found = "no orbit" if orbit is None else f"orbit of shape {tuple(orbit.shape)}"
            raise ValueError(
                f"{layer} has a kernel of orbits, kernels.MLP(orbit={self.orbit}), and expected a graph with orbit (N, "
                f"{self.orbit}), got {found}: make it by geometry.lie_group(..., orbit=...), or of a lift that has orbits"
            )
        (source, target), orbit = graph.edge_index, orbit.to(edge)
        centre = centre.expand(orbit.shape[0], -1)
        return torch.cat([edge, orbit[target], orbit[source]], 1), torch.cat([centre, orbit, orbit], 1)

    def functions(self, points: Tensor) -> Tensor:
        return self.module(points)


@dataclass(frozen=True)
class MLP:
    r"""Kernels that are a net of the log map, over G = {e} (Finzi et al. 2020, arXiv 2002.12880, section 4.2: LieConv; on R^d
    Wu, Qi & Fuxin 2019, arXiv 1811.07246: PointConv).

    .. math:: K(x) = \sum_{j < J} \varphi_j(x / radius,\, q_p,\, q_q)\, W_j

    with :math:`\varphi` the J units of the last layer of a net of linear maps and SiLU, and a free matrix for each of them. On
    a Lie group x = log(u_p^-1 u_q). LieConv sees -x and no radius: the first map times -radius takes its weights.

    Args:
        units: J, of the last layer.
        hidden: widths of the layers before, an integer for one layer.
        orbit: Q, the number of coordinates of orbits (``graph.orbit``) that the net sees of the target and of the source.
    """

    units: int = 16
    hidden: int | Sequence[int] = (32, 32)
    orbit: int = 0

    def __post_init__(self) -> None:
        check_int(self, "units", self.units)
        check_int(self, "orbit", self.orbit, 0)
        _ = self.widths
        if not isinstance(self.hidden, Integral):
            object.__setattr__(self, "hidden", self.widths)

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the layers before the last."""
        return check_ints(self, "hidden", (self.hidden,) if isinstance(self.hidden, Integral) else self.hidden)

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> KernelExpansion:
        """One column for every unit.

        Raises:
            TypeError: field types of another group than {e}.
        """
        basis = partial(FreeBasis, size=self.units)
        return KernelExpansion(in_type, out_type, basis, columns=MLPColumns(in_type.group.dim, self), dense=True)

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: Any) -> NoReturn:
        """Refused with TypeError."""
        raise TypeError("kernels.MLP is a net of log maps, for graphs: on arrays take kernels.Spline, kernels.Taps or Rings")
