"""Diffusion of fields of every order for a learnt time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_choice, check_int
from ...fields import FieldType
from ...groups import Representation
from ...ops.systems.solve import System, solve
from ..tensor_checks import GraphLike
from .by_irreps import LaplacianLayer
from .laplacian import Basis, eigenbasis, mass_defects, system

METHODS = ("spectral", "implicit")
# Times are first drawn between these, evenly in their logarithm.
_TIMES = (1e-4, 1e-1)


def eigenpairs_key(pairs: int, lumped: bool = False) -> tuple:
    """Under which graphs keep their eigenpairs; ``lumped`` as :attr:`FieldDiffusion._lumped`."""
    return "eigenpairs", pairs, lumped


class FieldDiffusion(LaplacianLayer):
    r"""Heat flow of every channel for a time of its own (Sharp, Attaiki, Crane, Ovsjanikov 2022, arXiv 2012.00888, equation 4),
    here for fields of every order: by the connection Laplacian, order by order.

    .. math:: out_c = e^{-t_c \Delta} f_c = \sum_k e^{-t_c \lambda_k}\, \phi_k\, \langle \phi_k, f_c \rangle_M
        \qquad \text{("spectral")}

    .. math:: out_c = (M + t_c L)^{-1} M f_c \qquad \text{("implicit", one backward step of Euler)}

    L has the weights of the triangulation and the transporters of the graph: see :mod:`gaugenet.nn.surfaces.laplacian`; M is
    the lumped mass, for eigenvalues the mean of it and the consistent one, which is several times more accurate. The
    eigenvalues on the unit sphere are :math:`l (l + 1) - n^2`, l >= n, for order n. What the layer needs of a graph is made at
    the first call and kept by the graph: eigenpairs, or the matrix. The range of a channel is :math:`2 \sqrt t`.

    Args:
        type: field type of input and output, over a group of the plane; fields of other representations than irreps are
            decomposed, and all parts of a copy have one time.
        method: "spectral", exact in time, of the lowest eigenpairs (finer parts of the field are dropped); "implicit" keeps
            them, needs no eigenpairs, and suits large meshes and short times: by conjugate gradients, which stop at the
            precision of the features. (A factor of the matrix for every channel, anew at every step, costs several times more.)
        pairs: number K of eigenpairs of each order, cut where the next gap is wide, so that a little fewer may be taken: a
            cut through equal eigenvalues would depend on the frames.
        unit: of the times: "area", the area of each graph over 4 pi, so that nothing depends on the unit of length; "length",
            the square of that of the positions, as published.

    Attributes:
        diffusion_time: (copies,) one for each copy of each block; its absolute value counts.

    Shapes:
        x (N, type.dim), graph as of :class:`gaugenet.nn.GaugeConv`, best with ``face`` and ``pos``; output (N, type.dim).

    Raises:
        ValueError: groups of another dimension. TypeError: representations that are no sums of irreps.
    """

    #: whether eigenvalues are those of the lumped mass
    _lumped = False

    def __init__(self, type: FieldType, method: str = "spectral", *, pairs: int = 128, unit: str = "area") -> None:
        super().__init__(type, unit)
        self.method = check_choice(self, "method", method, METHODS)
        self.pairs = check_int(self, "pairs", pairs)
        self.copies = [mul for mul, _ in type.blocks]
        self.diffusion_time = nn.Parameter(torch.empty(sum(self.copies)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.diffusion_time.uniform_(*map(math.log, _TIMES)).exp_()

    def _key(self, graph: GraphLike) -> tuple:
        return eigenpairs_key(self.pairs, self._lumped) if self.method == "spectral" else ("system",)

    def _defects(self, graph: GraphLike, irrep: Representation) -> Iterable[Any]:
        exact = self.method == "spectral" and not self._lumped
        return mass_defects(graph, irrep) if exact else super()._defects(graph, irrep)

    def _make(self, matrix: Any, mass: Any, irrep: Representation, graph: GraphLike, defect: Any) -> Basis | System:
        if self.method == "implicit":
            return system(matrix, mass)
        return eigenbasis(matrix, mass, irrep, self.pairs, graph.log, defect)

    def _on_rows(self, block: int, y: Tensor, part: Basis | System, copies: int) -> Tensor:
        time = self.diffusion_time.split(self.copies)[block].abs().repeat(copies)
        n, mass = y.shape[0] // part.nodes, part.mass
        if self.unit == "area":
            time = time * (part.area / (4 * math.pi)).to(time.dtype)
        if isinstance(part, System):
            return solve(mass.to(y.dtype)[:, None] * y, torch.ones_like(time), time, part)
        vectors = part.vectors.to(y.dtype)
        decay = torch.exp(-part.values.to(time.dtype)[:, None] * time)
        return vectors @ (decay * (vectors.T @ (mass.to(y.dtype).repeat_interleave(n)[:, None] * y))).to(y.dtype)

    def extra_repr(self) -> str:
        return f"{self.in_type}, method={self.method!r}, pairs={self.pairs}, unit={self.unit!r}"
