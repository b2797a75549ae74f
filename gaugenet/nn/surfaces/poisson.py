"""Solutions of the screened Poisson equation for fields of every order: a layer that sees the whole surface."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...checks import check_number
from ...fields import FieldType
from ...groups import Representation
from ...ops.systems.solve import System, solve
from ..tensor_checks import GraphLike
from .by_irreps import LaplacianLayer
from .laplacian import system


class PoissonSolve(LaplacianLayer):
    r"""Solves :math:`(\Delta + s)\, u = f` on every graph, :math:`\Delta` the connection Laplacian of each order.

    .. math:: out = (L + s M)^{-1} M f

    One sparse solve carries information across the whole surface, however many vertices it has: the response falls like
    :math:`e^{-\sqrt s\, r}` with the distance r, and with the default it reaches the other side of a closed surface. Of scalars
    it is the step of PoissonNet (Maesumi et al. 2025, arXiv 2510.14146), of vectors that of the vector heat method (Sharp,
    Soliman, Crane 2019), with t = 1 / s. It has no weights: put :class:`gaugenet.nn.GaugeLinear` before and after it, or see
    :class:`gaugenet.models.PoissonNet`.

    The matrix is factorised once for a graph, which keeps the factor, and every call and its backward pass solve two triangular
    systems. On other devices than the CPU conjugate gradients serve. Differentiable as often as one likes.

    Args:
        type: field type of input and output, over a group of the plane; fields of other representations than irreps are
            decomposed.
        shift: s, positive.
        unit: of the shift: "area", 4 pi over the area of each graph, so that nothing depends on the unit of length, and u has
            the unit of f; "length", the inverse square of that of the positions.

    Shapes:
        x (N, type.dim), graph as of :class:`gaugenet.nn.GaugeConv`, best with ``face`` and ``pos``; output (N, type.dim).

    Raises:
        ValueError: groups of another dimension, a shift that is not positive.
        TypeError: representations that are no sums of irreps.
    """

    def __init__(self, type: FieldType, shift: float = 1.0, *, unit: str = "area") -> None:
        super().__init__(type, unit)
        self.shift = check_number(self, "shift", shift, positive=True)

    def _scale(self, area: Any) -> Any:
        return 4 * math.pi / area if self.unit == "area" else 1.0

    def _key(self, graph: GraphLike) -> tuple:
        return "factor", self.shift, self.unit, graph.transport.device.type

    def _make(self, matrix: Any, mass: Any, irrep: Representation, graph: GraphLike, defect: Any) -> System:
        factorise = graph.transport.device.type == "cpu"
        return system(matrix, mass, self.shift * self._scale(mass.sum()) if factorise else None)

    def _on_rows(self, block: int, y: Tensor, part: System, copies: int) -> Tensor:
        scale = self._scale(part.area)
        shift = torch.full_like(y[0], self.shift) * scale
        f = part.mass.to(y.dtype)[:, None] * y * scale
        return solve(f, shift, torch.ones_like(shift), part, part.order.shape[0] > 0)

    def extra_repr(self) -> str:
        return f"{self.in_type}, shift={self.shift:g}, unit={self.unit!r}"
