"""DiffusionNet: learnt diffusion and spatial gradients of scalars."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...checks import check_ints
from ...fields import FieldType
from ...groups import O2, SO2
from ...nn import FieldDiffusion, Gradient
from ...nn.tensor_checks import GraphLike
from ...ops import EdgePlan, kept_plan, make_plan
from .scalar_net import ScalarNet, perceptron

# Of the least squares of a gradient, in the square of the unit of length, as published.
_REGULARIZER = 1e-5


class DiffusionNet(ScalarNet):
    r"""Diffusion with learnt times, and products of gradients (Sharp, Attaiki, Crane & Ovsjanikov 2022, arXiv 2012.00888).

    .. math:: out = x + \mathrm{MLP}\big( x,\; e^{-t \Delta} x,\; \tanh \mathrm{Re} (\bar g \odot A g) \big), \qquad
        g = \nabla e^{-t \Delta} x

    in ``blocks`` residual blocks between two linear maps; A is a complex matrix on the gradients as complex numbers, which
    turns them within the tangent planes, or with ``gradient_rotations=False`` a real one. It is the published network for the
    same weights, whose names in the state_dict are the published ones: ``net.load_state_dict(torch.load("published.pth"))``.
    As there, times and gradients have the unit of length of the positions: give meshes of unit size.

    Unlike the publication: times are kept positive by their absolute value instead of a clamp in place, and are drawn at first
    instead of being 0; eigenpairs are cut at a gap (:class:`gaugenet.nn.FieldDiffusion`); the cotangent weights are those of
    the mesh, not of its intrinsic Delaunay triangulation; "implicit" solves a sparse system, the published code a dense one.
    Everything is kept by the graph. Fields of higher order diffuse by :class:`gaugenet.nn.FieldDiffusion`.

    Args:
        in_channels, out_channels: numbers of scalars.
        width: C, of the blocks.
        blocks: number of blocks.
        hidden: widths of the hidden layers of the MLP, by default two of C.
        dropout: before all but the first layer of the MLPs.
        gradient_features: whether MLPs see the third entry.
        gradient_rotations: complex A; networks with a real one do not tell a shape from its mirror image (over O(2)).
        method, pairs: see :class:`gaugenet.nn.FieldDiffusion`.
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
        width: int = 128,
        blocks: int = 4,
        hidden: Sequence[int] | None = None,
        dropout: float = 0.5,
        gradient_features: bool = True,
        gradient_rotations: bool = True,
        method: str = "spectral",
        pairs: int = 128,
        pool: str | None = None,
    ) -> None:
        group = SO2() if gradient_features and gradient_rotations else O2()
        super().__init__(group, in_channels, out_channels, pool, dropout, width=width, blocks=blocks)
        self.width, self.blocks, self.hidden = width, blocks, (width, width) if hidden is None else hidden
        self.gradient_features, self.gradient_rotations = gradient_features, gradient_rotations
        self.method, self.pairs = method, pairs
        self.hidden = check_ints(self, "hidden", self.hidden)
        self.first_lin, self.last_lin = nn.Linear(in_channels, width), nn.Linear(width, out_channels)
        for k in range(blocks):
            diffusion = _PublishedDiffusion(FieldType(group, [(width, group.trivial)]), method, pairs=pairs, unit="length")
            self.add_module(f"block_{k}", _Block(diffusion, self.hidden, dropout, gradient_features, gradient_rotations))

    def features(self, x: Tensor, graph: GraphLike) -> Tensor:
        x = self.first_lin(x)
        for k in range(self.blocks):
            x = self.get_submodule(f"block_{k}")(x, graph)
        return self.last_lin(x)


class _PublishedDiffusion(FieldDiffusion):
    """By the eigenvalues of the lumped mass."""

    _lumped = True


class _Block(nn.Module):
    def __init__(
        self, diffusion: FieldDiffusion, hidden: Sequence[int], dropout: float, gradients: bool, rotations: bool
    ) -> None:
        super().__init__()
        self.diffusion, width = diffusion, diffusion.in_type.dim
        self.gradient = OneRingGradient(diffusion.in_type) if gradients else None
        self.gradient_features = _GradientProducts(width, rotations) if gradients else None
        self.mlp = perceptron([(3 if gradients else 2) * width, *hidden, width], dropout, "miniMLP_mlp_layer")

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        parts = [x, self.diffusion(x, graph)]
        if self.gradient is not None and self.gradient_features is not None:
            parts.append(self.gradient_features(self.gradient(parts[1], graph)))
        return x + self.mlp(torch.cat(parts, -1))


class _GradientProducts(nn.Module):
    """tanh Re(conj(g) A g) of gradients (N, 2 C)."""

    def __init__(self, width: int, rotations: bool) -> None:
        super().__init__()
        self.rotations = rotations
        if rotations:
            self.A_re, self.A_im = (nn.Linear(width, width, bias=False) for _ in range(2))
        else:
            self.A = nn.Linear(width, width, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        x, y = vectors.chunk(2, -1)
        if self.rotations:
            a, b = self.A_re(x) - self.A_im(y), self.A_re(y) + self.A_im(x)
        else:
            a, b = self.A(x), self.A(y)
        return torch.tanh(x * a + y * b)


class OneRingGradient(Gradient):
    """Gradients of scalars by least squares over the edges of the mesh, in the tangent plane, as DiffusionNet has them.

    Of a graph without faces over all of its edges, by the log maps. First order; :class:`gaugenet.nn.Gradient` is third.
    """

    def plan(self, graph: GraphLike) -> EdgePlan:
        sources = ("edge_index", "log", "radius", "pos", "frame", "face")
        return kept_plan(graph, ("one ring", self.in_type.group), sources, lambda: self._make_plan(graph))

    def _make_plan(self, graph: GraphLike) -> EdgePlan:
        edges, vector = _tangent_edges(graph)
        target, count = edges[1], graph.radius.shape[0]
        moments = vector.new_zeros(count, 2, 2).index_add(0, target, vector[:, :, None] * vector[:, None])
        inverse = torch.linalg.inv(moments + _REGULARIZER * torch.eye(2, dtype=vector.dtype, device=vector.device))
        slope = (inverse[target] @ vector[:, :, None])[:, :, 0]
        # The columns of a derivative: the Laplacian, d/dx, d/dy, two more of second order.
        table = torch.nn.functional.pad(slope, (1, 2))
        node = -table.new_zeros(count, 5).index_add(0, target, table)
        same = torch.eye(2, dtype=vector.dtype, device=vector.device).expand(
            len(target), 2, 2
        )  # scalars are carried as they are
        dtype = graph.log.dtype
        return make_plan(edges, same.to(dtype), table.to(dtype), node.to(dtype), self.columns, self.in_type.group)


def _tangent_edges(graph: GraphLike) -> tuple[Tensor, Tensor]:
    """Edges (2, E) and the other end (E, 2) in the frame of their target, in float64."""
    face, pos, frame = (getattr(graph, name, None) for name in ("face", "pos", "frame"))
    if face is None or pos is None or frame is None:
        return graph.edge_index, graph.log.double()
    pairs = torch.cat([face[[0, 1]], face[[1, 2]], face[[2, 0]]], 1)
    edges = torch.unique(torch.cat([pairs, pairs.flip(0)], 1).flip(0), dim=1).flip(0)  # by target
    source, target = edges
    return edges, torch.einsum("eai,ea->ei", frame.double()[target], pos.double()[source] - pos.double()[target])
