"""Polar kernels: radial functions times harmonics, every kernel that the group admits up to a frequency."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_int
from ..fields import FieldType
from ..groups.harmonic_action import harmonic_action
from .basis import SteerableBasis
from .expansion import KernelExpansion
from .harmonics import harmonic_size, harmonics
from .kernel import CoefficientTable, Columns
from .quadrature import MAX_DEGREE, coefficient_table
from .quadrature.builder import as_numpy, supported
from .quadrature.cone_angles import full_turns, is_cone
from .quadrature.matching import centre_weight
from .quadrature.moments import profile_values
from .quadrature.table_operator import compiled_table
from .radial import GaussianRings, make_radial

# Cut-off for finite groups, whose kernels have no highest frequency.
_FINITE_FREQUENCY = 4


class PolarColumns(Columns):
    r"""The functions :math:`w\, R_b(|x|)\, Y_y(x / |x|)`, x = log / radius, column j = b Y + y, by default moment-matched.

    Args:
        radial: module with ``num`` = B. max_frequency: of the harmonics Y. quadrature: degree of moment matching, or None.
        dim: d.
    """

    module: Any  # a profile, whose ``num`` and ``key`` nn.Module does not declare

    def __init__(self, radial: nn.Module, max_frequency: int, quadrature: int | None, dim: int) -> None:
        self.module, self.max_frequency, self.quadrature, self._dim = radial, max_frequency, quadrature, dim
        self.widths = [harmonic_size(dim, f) for f in range(max_frequency + 1)]
        self.size = self.module.num * sum(self.widths)
        self._key, self._profile_key = self._keys()

    @property
    def key(self) -> str | None:
        if not torch.compiler.is_compiling():  # which may take numbers of the profile for symbols
            self._key, self._profile_key = self._keys()
        return self._key

    def _keys(self) -> tuple[str | None, str | None]:
        """Of the table, and of the profile alone."""
        key = self.module.key
        return None if key is None else str((key, self.max_frequency, self.quadrature)), key

    @property
    def kept(self) -> Columns | None:
        """Of a learnt profile without moment matching: harmonics and distances."""
        return None if self.key is not None or self.quadrature is not None else _Directions(self.max_frequency, self._dim)

    def complete(self, rows: Tensor) -> Tensor:
        radial, angular = profile_values(self.module, rows[:, -1]).to(rows.dtype), rows[:, :-1]
        return (radial.unsqueeze(2) * angular.unsqueeze(1)).flatten(1)

    def table(self, graph: Any, layer: str) -> CoefficientTable:
        """By moment matching. At cone points, whose neighbourhood is a cut cone, by area weights scaled to a full turn."""
        edge, node = self._coefficients(graph, self.quadrature)
        angle = getattr(graph, "cone_angle", None)
        if angle is None or not (torch.compiler.is_compiling() or bool(is_cone(angle).any())):
            return CoefficientTable(edge, node)
        plain_edge, plain_node = self._coefficients(graph, None)
        turns: Any = full_turns(angle)  # a tensor, as the angle is
        cone, target = is_cone(angle)[:, None], graph.edge_index[1]
        plain_edge = plain_edge * turns[target, None].to(plain_edge)
        return CoefficientTable(torch.where(cone[target], plain_edge, edge), torch.where(cone, plain_node, node))

    def _coefficients(self, graph: Any, degree: int | None) -> tuple[Tensor, Tensor]:
        area, curvature = getattr(graph, "area", None), getattr(graph, "curvature", None)
        geometry = graph.log, graph.weight, graph.radius, graph.edge_index
        if torch.compiler.is_compiling() and self.key is not None:
            options = self._profile_key, self.size, self.max_frequency, degree
            return compiled_table(*geometry, area, curvature, *options)
        return coefficient_table(*geometry, self.module, self.max_frequency, area=area, curvature=curvature, degree=degree)

    def functions(self, points: Tensor) -> Tensor:
        """Radial functions times harmonics at points (K, d), in units of the radius: (K, J)."""
        radial, angular = self.module(points.norm(dim=1)), harmonics(points, self.max_frequency)
        return (radial.unsqueeze(2) * angular.unsqueeze(1)).flatten(1)

    def turn(self, g: Tensor, element: Tensor, table: Tensor) -> Tensor:
        r""":math:`Y_f(g x) = D_f(g) Y_f(x)`, frequency by frequency."""
        if g.shape[-1] == 2 and g.dtype == table.dtype and supported(table.dtype, g, table):
            from .turning import turn_circular

            out = torch.empty_like(table, memory_format=torch.contiguous_format)
            turn_circular(*as_numpy(g, table, out), self.module.num, self.max_frequency)
            return out
        blocks = table.view(table.shape[0], self.module.num, sum(self.widths)).split(self.widths, -1)
        parts = [
            part @ harmonic_action(g.shape[-1], frequency, g).transpose(-1, -2) if frequency else part
            for frequency, part in enumerate(blocks)
        ]
        return torch.cat(parts, -1).flatten(1)


class _Directions(PolarColumns):
    """What learnt profiles are multiplied with: the weighted harmonics, and last the distance in units of the radius."""

    def __init__(self, max_frequency: int, dim: int) -> None:
        super().__init__(GaussianRings(1), max_frequency, None, dim)
        self.size += 1

    def _keys(self) -> tuple[str | None, str | None]:
        return f"directions {self.max_frequency}", None

    def table(self, graph: Any, layer: str) -> CoefficientTable:
        target, radius, weight = graph.edge_index[1], graph.radius, graph.weight
        area, angle = getattr(graph, "area", None), getattr(graph, "cone_angle", None)
        x, count = graph.log / radius[target, None], torch.bincount(target, minlength=len(radius))
        centre = centre_weight(weight, radius, target, count, area, x.shape[1]).to(weight.dtype)
        if angle is not None:
            turns: Any = full_turns(angle)
            weight = torch.where(is_cone(angle)[target], turns[target].to(weight.dtype) * weight, weight)
        edge = torch.cat([harmonics(x, self.max_frequency) * weight[:, None], torch.linalg.vector_norm(x, dim=1)[:, None]], 1)
        middle = x.new_zeros(1, x.shape[1])
        node = torch.cat([harmonics(middle, self.max_frequency), middle[:, :1]], 1)
        return CoefficientTable(edge, node * centre[:, None])

    def turn(self, g: Tensor, element: Tensor, table: Tensor) -> Tensor:
        return torch.cat([super().turn(g, element, table[:, :-1].contiguous()), table[:, -1:]], 1)


@dataclass(frozen=True)
class Polar:
    r"""The band-limited kernels :math:`K(x) = \sum_{b, k} w_{b k}\, R_b(|x|)\, Q_k(x / |x|)` of any compact group
    (Weiler et al. 2021, arXiv 2106.06020, theorem 4.2; Lang & Weiler 2021, arXiv 2010.10952).

    Args:
        radial: number of radial functions, or a profile of :mod:`gaugenet.kernels.radial`.
        max_frequency: angular cut-off; by default the sum of the largest orders of both types, beyond which irreps of SO(2),
            O(2), SO(3) and O(3) have no kernels, and 4 for finite groups.
        quadrature: degree of moment matching of the quadrature (0, 1, 2, ...), or None for plain area weights.
    """

    radial: int | nn.Module = 2
    max_frequency: int | None = None
    quadrature: int | None = field(default=3, kw_only=True)

    def __post_init__(self) -> None:
        check_int(self, "radial", 1 if isinstance(self.radial, nn.Module) else self.radial)
        check_int(self, "max_frequency", 0 if self.max_frequency is None else self.max_frequency, 0)
        check_int(self, "quadrature", 0 if self.quadrature is None else self.quadrature, 0, MAX_DEGREE)

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> KernelExpansion:
        """One column for every radial function and harmonic.

        Raises:
            ValueError: groups of more than three dimensions, of which there are no harmonics here.
        """
        if in_type.group.dim > 3:
            raise ValueError(
                f"kernels.Polar has harmonics in dimension 1, 2 and 3, and {in_type.group} acts on {in_type.group.dim} "
                "coordinates: take kernels.MLP or kernels.Spline"
            )
        radial = make_radial(self.radial)
        frequency = default_frequency(in_type, out_type) if self.max_frequency is None else self.max_frequency
        columns = PolarColumns(radial, frequency, self.quadrature, in_type.group.dim)
        basis = partial(SteerableBasis, max_frequency=frequency)
        return KernelExpansion(in_type, out_type, basis, columns=columns, num_radial=columns.module.num)

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps) -> KernelExpansion:
        """Refused: arrays sample kernels on rings."""
        raise TypeError("Polar kernels are for graphs; on arrays take kernels.Rings (band-limited) or kernels.Taps (complete)")


def default_frequency(in_type: FieldType, out_type: FieldType) -> int:
    """Largest angular frequency at which irreps of both types have kernels."""
    if in_type.group.order is not None:
        return _FINITE_FREQUENCY
    return sum(max((rep.degree for _, rep in type.blocks), default=0) for type in (in_type, out_type))
