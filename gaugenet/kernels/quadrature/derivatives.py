"""Derivatives at the centre as functions of the log map: exact on polynomials, at irregular neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...checks import check_int
from ...fields import FieldType
from ...groups.harmonic_action import harmonic_action
from ..basis import SteerableBasis
from ..expansion import KernelExpansion
from ..kernel import CoefficientTable, Columns

#: the columns: the Laplacian, the first derivatives, and of the second ones the difference and the mixed one
WIDTHS = (1, 2, 2)
# Neighbours count less with the distance: exp(-_NARROW |x|^2), x in units of the radius.
_NARROW = 3.0
# Smallest over largest eigenvalue of the moments at which a degree is still matched.
_CONDITION = 1e-5
# Below this part of the largest, an eigenvalue is none.
_RANK = 1e-9
# Polynomials up to degree 1, 2, 3.
_SIZES = (3, 6, 10)


class DerivativeColumns(Columns):
    r"""Coefficients :math:`u_q` with :math:`\sum_q u_q f(q) = D f(p)` for D of the Laplacian, (d/dx, d/dy), (dxx - dyy, 2 dxy).

    f is a function of the log map at p: the components of transported features, along geodesics, so that first derivatives are
    covariant ones, and the Laplacian is that of the connection, :math:`-\nabla^* \nabla`. (In normal coordinates and radial
    gauge the connection and the first derivatives of the metric vanish at p, and so does the divergence of the connection.)
    Of all coefficients that are exact on polynomials up to a degree the smallest in the norm weighted by 1/w, w the area
    weight times exp(-3 |x|^2), as in generalised moving least squares (Trask et al. 2019, arXiv 1909.05371, section 2).

    Args:
        degree: of the polynomials, 2 or 3. Where the points do not determine so many, at each node less; where they do not
            determine all second derivatives, what is nearest to exact.
        unit: derivatives by the length, or by the radius of the neighbourhood.
    """

    size = sum(WIDTHS)

    def __init__(self, degree: int = 3, unit: str = "radius") -> None:
        self.degree, self.unit = degree, unit

    @property
    def key(self) -> str:
        return f"derivatives {self.degree} {self.unit}"

    def table(self, graph: Any, layer: str) -> CoefficientTable:
        if graph.log.shape[1] != 2:
            raise ValueError(f"{layer} has derivatives on surfaces, the graph has log maps of dimension {graph.log.shape[1]}")
        target, n = graph.edge_index[1], graph.radius.shape[0]
        x = (graph.log / graph.radius[target, None]).double()
        share = torch.exp(-_NARROW * x.square().sum(1)) * graph.weight.double()
        area = getattr(graph, "area", None)
        if area is None:
            count = torch.bincount(target, minlength=n).clamp_min(1)
            own = torch.zeros(n, dtype=torch.float64, device=x.device).index_add(0, target, graph.weight.double()) / count
        else:
            own = (area / (torch.pi * graph.radius**2)).double()
        edge, centre = _polynomials(x), _polynomials(x.new_zeros(1, 2))[0]
        moments = torch.empty(n, len(centre), len(centre), dtype=torch.float64, device=x.device)
        for i in range(len(centre)):
            for j in range(i + 1):
                sums = (own * centre[i] * centre[j]).index_add(0, target, share * edge[:, i] * edge[:, j])
                moments[:, i, j] = moments[:, j, i] = sums
        solution = _solution(moments, self.degree)  # (N, 10, 5)
        table = share[:, None] * torch.einsum("em,emj->ej", edge, solution[target])
        node = own[:, None] * torch.einsum("m,nmj->nj", centre, solution)
        if self.unit == "length":
            power = torch.tensor([2.0, 1, 1, 2, 2], dtype=torch.float64, device=x.device)
            scale = graph.radius.double()[:, None] ** -power
            table, node = table * scale[target], node * scale
        return CoefficientTable(table.to(graph.log.dtype), node.to(graph.log.dtype))

    def turn(self, g: Tensor, element: Tensor, table: Tensor) -> Tensor:
        """As the harmonics of frequencies 0, 1 and 2."""
        parts = table.split(WIDTHS, 1)
        turned = [torch.einsum("ej,eij->ei", part, harmonic_action(2, f, g)) for f, part in enumerate(parts) if f]
        return torch.cat([parts[0], *turned], 1)


@dataclass(frozen=True)
class Derivatives:
    r"""Kernels of derivatives up to second order: every equivariant differential operator with constant coefficients.

    .. math:: out = \sum_{|\alpha| \le 2} W_\alpha\, \nabla^\alpha f, \qquad W \text{ steerable}

    with derivatives by the radius of the neighbourhood, so that nothing depends on the unit of length: gradient, divergence,
    curl, Hessian and Laplacian in learnt combinations, as the layers of DeltaConv have them (Wiersma, Nasikun, Eisemann,
    Hildebrandt 2022, arXiv 2111.08799). :class:`gaugenet.nn.Gradient` and its kin are single ones, by the length.

    Args:
        degree: of the polynomials on which the derivatives are exact, 2 or 3, see :class:`DerivativeColumns`.
    """

    degree: int = 3

    def __post_init__(self) -> None:
        check_int(self, "degree", self.degree, 2, 3)

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> KernelExpansion:
        """Five columns, of the frequencies 0, 1 and 2."""
        return derivative_expansion(in_type, out_type, DerivativeColumns(self.degree))

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: Any) -> KernelExpansion:
        """Refused: they are made of the neighbours of a graph."""
        raise TypeError("kernels.Derivatives are for graphs; on arrays take kernels.Taps or kernels.Rings")


def derivative_expansion(in_type: FieldType, out_type: FieldType, columns: DerivativeColumns) -> KernelExpansion:
    """Steerable combinations of the columns."""
    if in_type.group.dim != 2:
        raise ValueError(f"kernels.Derivatives are on surfaces, over groups of the plane, got {in_type.group}")
    return KernelExpansion(in_type, out_type, partial(SteerableBasis, max_frequency=2), columns=columns)


def _polynomials(x: Tensor) -> Tensor:
    """Orthonormal polynomials over the unit disc by degree (Zernike's), so that turning the frame mixes them by rotations."""
    a, b = x.unbind(1)
    r2 = a.square() + b.square()
    c2, s2 = a.square() - b.square(), 2 * a * b
    three, six, eight = 3**0.5, 6**0.5, 8**0.5
    rows = [torch.ones_like(a), 2 * a, 2 * b, three * (2 * r2 - 1), six * c2, six * s2]
    rows += [eight * (3 * r2 - 2) * a, eight * (3 * r2 - 2) * b, eight * (a * c2 - b * s2), eight * (a * s2 + b * c2)]
    return torch.stack(rows, 1)


def _targets(like: Tensor) -> Tensor:
    """The derivatives of the polynomials at 0: (10, 5)."""
    t = like.new_zeros(10, 5)
    t[3, 0] = 8 * 3**0.5
    t[1, 1] = t[2, 2] = 2.0
    t[6, 1] = t[7, 2] = -2 * 8**0.5
    t[4, 3] = t[5, 4] = 4 * 6**0.5
    return t


def _solution(moments: Tensor, degree: int) -> Tensor:
    """Lagrange multipliers (N, 10, 5), of the largest degree up to ``degree`` that the points determine."""
    targets = _targets(moments)
    out = torch.zeros(*moments.shape[:2], targets.shape[1], dtype=moments.dtype, device=moments.device)
    done = torch.zeros(len(moments), dtype=torch.bool, device=moments.device)
    for size in reversed(_SIZES[1:degree]):
        value, vector = torch.linalg.eigh(moments[:, :size, :size])
        fits = value[:, 0] > _CONDITION * value[:, -1]
        # The last resort: in the span of the moments that there are.
        there = value > _RANK * value[:, -1:] if size == _SIZES[1] else torch.ones_like(value, dtype=torch.bool)
        inverse = torch.where(there, 1 / torch.where(there, value, torch.ones_like(value)), torch.zeros_like(value))
        found = vector @ (inverse.unsqueeze(2) * (vector.mT @ targets[:size]))
        take = ~done & (fits if size != _SIZES[1] else torch.ones_like(fits))
        out[:, :size] = torch.where(take[:, None, None], found, out[:, :size])
        done = done | take
    return out
