"""The faults of published layers, made again in plain torch; each also without its fault."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gaugenet import FieldType, groups

SCALARS_AND_VECTORS = FieldType(groups.SO2(), "4x0 + 4x1")
ORDER_2 = FieldType(groups.SO2(), "4x2")


def turned(x: Tensor, angle: Tensor) -> Tensor:
    """Copies (E, 2, C) turned by an angle (E,)."""
    c, s = angle.cos()[:, None], angle.sin()[:, None]
    return torch.stack([c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1]], 1)


def angle_of(transport: Tensor) -> Tensor:
    return torch.atan2(transport[:, 1, 0], transport[:, 0, 0])


class BiasOnVectors(nn.Module):
    """GEM-CNN's residual block ends in a batch norm and a bias of all channels, vectors included."""

    in_type = out_type = SCALARS_AND_VECTORS

    def __init__(self, fault: bool = True) -> None:
        super().__init__()
        self.bias, self.fault = nn.Parameter(torch.zeros(12)), fault

    def forward(self, x, graph):
        return x + (self.bias if self.fault else torch.cat([self.bias[:4], torch.zeros_like(self.bias[4:])]))


class SampledRelu(nn.Module):
    """GEM-CNN's nonlinearity: the Fourier coefficients of orders 0 and 1 to samples of the circle, ReLU, and back."""

    in_type = out_type = SCALARS_AND_VECTORS

    def __init__(self, samples: int) -> None:
        super().__init__()
        angles = 2 * torch.pi * torch.arange(samples, dtype=torch.float64) / samples
        waves = torch.stack([torch.ones_like(angles) / 2**0.5, angles.cos(), angles.sin()], 1) * (2 / samples) ** 0.5
        self.register_buffer("waves", waves)

    def forward(self, x, graph):
        coefficients = x.reshape(-1, 3, 4)
        return torch.einsum("sk,nsc->nkc", self.waves, torch.einsum("sk,nkc->nsc", self.waves, coefficients).relu()).flatten(1)


class HarmonicConv(nn.Module):
    """HSN's convolution of order 2 to order 2, with neighbours transported as if they were vectors of order 1."""

    in_type = out_type = ORDER_2

    def __init__(self, transport_order: int) -> None:
        super().__init__()
        self.weight, self.order = nn.Parameter(torch.randn(4, 4) / 2), transport_order

    def forward(self, x, graph):
        source, target = graph.edge_index
        sent = turned(x.reshape(-1, 2, 4)[source], self.order * angle_of(graph.transport)) @ self.weight.t()
        sent = sent * (graph.log.norm(dim=1) / graph.radius[target])[:, None, None]
        return x.new_zeros(len(x), 2, 4).index_add_(0, target, sent).flatten(1)


class Attention(nn.Module):
    """EMAN's attention: logits from queries at the centre and keys of the neighbours, multiplied in different frames."""

    in_type = out_type = SCALARS_AND_VECTORS

    def __init__(self, transport_keys: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Parameter(torch.randn(4, 4) / 2) for _ in range(3))
        self.transport_keys = transport_keys

    def forward(self, x, graph):
        source, target = graph.edge_index
        scalars, vectors = x[:, :4], x[:, 4:].reshape(-1, 2, 4)
        angle = angle_of(graph.transport)
        keys = (vectors @ self.key)[source]
        logits = ((vectors @ self.query)[target] * (turned(keys, angle) if self.transport_keys else keys)).sum((1, 2))
        weight = (logits - logits.max()).exp()
        weight = weight / weight.new_zeros(len(x)).index_add_(0, target, weight)[target]
        sent = weight[:, None, None] * turned((vectors @ self.value)[source], angle)
        return torch.cat([scalars, torch.zeros_like(vectors).index_add_(0, target, sent).flatten(1)], 1)
