"""DeltaNet: streams of scalars and vectors, joined by the operators of vector calculus."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_ints
from ...fields import FieldType
from ...groups import SO2
from ...kernels.quadrature.derivatives import DerivativeColumns
from ...nn import Curl, Divergence, FieldNorm, GaugeLinear, Gradient, NormNonlinearity, to_scalars
from ...nn.surfaces.operators import DifferentialOperator
from ...nn.tensor_checks import GraphLike
from ...ops import EdgePlan
from .scalar_net import ScalarNet


class DeltaNet(ScalarNet):
    r"""Convolutions of vector calculus (Wiersma, Nasikun, Eisemann & Hildebrandt 2022, DeltaConv, arXiv 2111.08799).

    .. math:: x' = \sigma\, W (x,\ \nabla \cdot v,\ \nabla \times v,\ |v|) + \max_{q} \sigma\, W' x(q), \qquad
        v' = \sigma\, C (v,\ \Delta_1 v,\ \nabla x'), \quad \Delta_1 = - \nabla \nabla \cdot - J \nabla \nabla \times

    with real matrices W and complex ones C, which also turn the vectors, sigma a norm and a ReLU, of vectors on their moduli;
    at first :math:`v = \nabla x`. The scalars behind all layers, side by side, give the output.

    Unlike the publication: derivatives are :class:`gaugenet.nn.Gradient`, ``Divergence`` and ``Curl``, second order at
    irregular points, in units of the radius of the neighbourhood, instead of least squares on shapes of unit size; the output
    is a linear map of the scalars, without an embedding of 1024 channels; norms over each mesh instead of the batch; no centred
    features in the first layer.

    Args:
        in_channels, out_channels: numbers of scalars.
        channels: of every layer, of scalars and of vectors.
        dropout: before the last map.
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
        channels: Sequence[int] = (64, 128, 256),
        dropout: float = 0.0,
        pool: str | None = None,
    ) -> None:
        super().__init__(SO2(), in_channels, out_channels, pool, dropout)
        self.channels = check_ints(self, "channels", channels)
        self.gradient = _by_radius(Gradient(self.in_type))
        pairs, last = list(pairwise((in_channels, *self.channels))), len(self.channels) - 1
        self.layers = nn.ModuleList(_DeltaConv(a, b, vectors=k < last) for k, (a, b) in enumerate(pairs))
        self.last = nn.Sequential(nn.Dropout(dropout), nn.Linear(sum(self.channels), out_channels))

    def features(self, x: Tensor, graph: GraphLike) -> Tensor:
        v, passed = self.gradient(x, graph), []
        for layer in self.layers:
            x, v = layer(x, v, graph)
            passed.append(x)
        return self.last(torch.cat(passed, -1))


class _DeltaConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, vectors: bool) -> None:
        super().__init__()

        def t(blocks: str) -> FieldType:
            return FieldType(SO2(), blocks)

        scalars = t(f"{outputs}x0")
        self.div, self.curl = _by_radius(Divergence(t(f"{inputs}x1"))), _by_radius(Curl(t(f"{inputs}x1")))
        self.mix, self.spread = (_Map(t(f"{n * inputs}x0"), scalars, nn.ReLU()) for n in (4, 1))
        self.vectors = vectors  # nothing would read those of the last layer
        if vectors:
            self.of_div, self.of_curl = _by_radius(Gradient(t(f"{inputs}x0"))), _by_radius(Curl(t(f"{inputs}x0")))
            self.gradient = _by_radius(Gradient(scalars))
            seen, turned = t(f"{inputs}x1 + {inputs}x1 + {outputs}x1"), t(f"{outputs}x1")
            self.turn = _Map(seen, turned, NormNonlinearity(turned))

    def forward(self, x: Tensor, v: Tensor, graph: GraphLike) -> tuple[Tensor, Tensor]:
        div, curl = self.div(v, graph), self.curl(v, graph)
        seen = torch.cat([x, div, curl, to_scalars(v, self.div.in_type)], -1)
        x = self.mix(seen, graph) + _largest(self.spread(x, graph), self.div.plan(graph))
        if not self.vectors:
            return x, v
        hodge = -(self.of_div(div, graph) + self.of_curl(curl, graph))
        return x, self.turn(torch.cat([v, hodge, self.gradient(x, graph)], -1), graph)


class _Map(nn.Module):
    """A linear map, a norm, a nonlinearity."""

    def __init__(self, in_type: FieldType, out_type: FieldType, act: nn.Module) -> None:
        super().__init__()
        self.linear, self.norm, self.act = GaugeLinear(in_type, out_type), FieldNorm(out_type, "graph"), act

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        return self.act(self.norm(self.linear(x), graph))


def _by_radius(operator: DifferentialOperator) -> Any:
    """Of derivatives by the length those by the radius of the neighbourhood."""
    operator.columns = DerivativeColumns(operator.degree, "radius")
    return operator


def _largest(x: Tensor, plan: EdgePlan) -> Tensor:
    """Of every channel over the node and its neighbours: (B N, C) -> (B N, C)."""
    source, target = plan.forward.source, plan.forward.target
    fields = x.unflatten(0, (-1, plan.forward.node_table.shape[0]))
    index = target[None, :, None].expand(fields.shape[0], -1, x.shape[1])
    return fields.scatter_reduce(1, index, fields[:, source], "amax").flatten(0, 1)
