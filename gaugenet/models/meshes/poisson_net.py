"""PoissonNet: local maps of gradients, and one global solve in every block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...checks import check_ints
from ...fields import FieldType
from ...groups import SO2
from ...nn import Divergence, GaugeLinear, Gradient, NormNonlinearity, PoissonSolve
from ...nn.tensor_checks import GraphLike
from .scalar_net import ScalarNet, perceptron


class PoissonNet(ScalarNet):
    r"""Maps in the gradient domain, then a Poisson equation (Maesumi et al. 2025, arXiv 2510.14146).

    .. math:: (\Delta + s)\, u = - \nabla \cdot \sigma(W \nabla x), \qquad out = x + \mathrm{MLP}(x, u)

    with a complex matrix W on gradients as complex numbers and :math:`\sigma` on their moduli. Every block sees the whole
    surface, however fine it is, and with W = 1 gives back x (for s = 0 up to a constant): all frequencies pass, where
    diffusion drops the fine ones. In ``blocks`` residual blocks between two linear maps.

    Unlike the publication: gradients and divergences at the vertices (:class:`gaugenet.nn.Gradient`, second order at
    irregular points) instead of the faces, in units of the area of the mesh, so that nothing depends on the unit of length; a
    small s instead of s = 0 and a pinned mean; the blocks have no time embedding and no skip connections of gradients.

    Args:
        in_channels, out_channels: numbers of scalars.
        width: of the blocks.
        blocks: number of blocks.
        hidden: widths of the hidden layers of the MLP, by default one of ``width``.
        shift: s, see :class:`gaugenet.nn.PoissonSolve`.
        dropout: before all but the first layer of the MLPs.
        pool: None for an output at every vertex, "mean" for one a mesh.

    Shapes:
        x (N, in_channels), graph; output (N, out_channels), or pooled (number of graphs, out_channels). On a
        :class:`gaugenet.data.StaticGraph` also x (B, N, in_channels).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 64,
        blocks: int = 4,
        hidden: Sequence[int] | None = None,
        shift: float = 0.1,
        dropout: float = 0.0,
        pool: str | None = None,
    ) -> None:
        super().__init__(SO2(), in_channels, out_channels, pool, dropout, width=width, blocks=blocks)
        self.width, self.shift = width, shift
        self.hidden = check_ints(self, "hidden", (width,) if hidden is None else hidden)
        self.first, self.last = nn.Linear(in_channels, width), nn.Linear(width, out_channels)
        self.blocks = nn.ModuleList(_Block(width, self.hidden, shift, dropout) for _ in range(blocks))

    def features(self, x: Tensor, graph: GraphLike) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x, graph)
        return self.last(x)


class _Block(nn.Module):
    def __init__(self, width: int, hidden: Sequence[int], shift: float, dropout: float) -> None:
        super().__init__()
        scalars, vectors = (FieldType(SO2(), f"{width}x{order}") for order in (0, 1))
        self.gradient, self.divergence = Gradient(scalars), Divergence(vectors)
        self.map = nn.Sequential(GaugeLinear(vectors, vectors), NormNonlinearity(vectors))
        self.solve = PoissonSolve(scalars, shift)
        self.mlp = perceptron([2 * width, *hidden, width], dropout)

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        source = self.divergence(self.map(self.gradient(x, graph)), graph)
        return x + self.mlp(torch.cat([x, -self.solve(source, graph)], -1))
