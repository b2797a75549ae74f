"""The blocks that the ready networks are made of."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ...fields import FieldType
from ...ops import EdgePlan
from ..fields.by_name import make_nonlinearity
from ..fields.linear import GaugeLinear
from ..fields.norm import FieldDropout, FieldNorm
from .gauge_conv import GaugeConv


def shared_plan(conv: GaugeConv, graph, plans: dict) -> EdgePlan:
    """The plan of a convolution, taken from or put into ``plans`` (one dict per graph and forward pass)."""
    if conv.table_key is None:
        return conv.plan(graph)
    if conv.table_key not in plans:
        plans[conv.table_key] = conv.plan(graph)
    return plans[conv.table_key]


class ConvBlock(nn.Module):
    r"""Convolution, norm, nonlinearity: :math:`out = \sigma(\mathrm{norm}(K \star f))`.

    Args:
        in_type, out_type: field types.
        radial, max_frequency, quadrature: see :class:`GaugeConv`.
        norm: "batch", "layer" or None.
        nonlinearity: a name or a function, see :func:`make_nonlinearity`.
        activation: its pointwise function.
        dropout: probability of dropping a copy at the end.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        radial: int | nn.Module = 2,
        max_frequency: int | None = None,
        quadrature: int | None = 3,
        norm: str | None = "batch",
        nonlinearity: str | Callable[[FieldType], nn.Module] = "polynomial",
        activation: str | Callable[[Tensor], Tensor] = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_type, self.out_type = in_type, out_type
        self.act = make_nonlinearity(out_type, nonlinearity, activation)
        hidden = self.act.in_type
        self.conv = GaugeConv(in_type, hidden, radial, max_frequency, quadrature=quadrature)
        self.norm = FieldNorm(hidden, norm) if norm else nn.Identity()
        self.dropout = FieldDropout(out_type, dropout)

    def reset_parameters(self) -> None:
        for module in self.children():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(self, x: Tensor, graph, plans: dict | None = None) -> Tensor:
        plan = shared_plan(self.conv, graph, {} if plans is None else plans)
        return self.dropout(self.act(self.norm(self.conv(x, graph, plan))))


class ResidualBlock(nn.Module):
    r"""Convolution, norm, nonlinearity, twice, beside a shortcut (He et al. 2016; de Haan et al. 2021, section 5).

    .. math:: out = \sigma(\mathrm{norm}(K_2 \star \sigma(\mathrm{norm}(K_1 \star f))) + S f)

    S is the identity, or an equivariant linear map when the types differ. Unlike the published GEM-CNN block it has biases
    on invariant parts only, so it is equivariant as shipped.

    Args:
        in_type, out_type: field types.
        radial, max_frequency, quadrature: see :class:`GaugeConv`.
        norm: "batch", "layer" or None.
        nonlinearity: a name or a function, see :func:`make_nonlinearity`.
        activation: its pointwise function.
        dropout: probability of dropping a copy between the convolutions.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        radial: int | nn.Module = 2,
        max_frequency: int | None = None,
        quadrature: int | None = 3,
        norm: str | None = "batch",
        nonlinearity: str | Callable[[FieldType], nn.Module] = "polynomial",
        activation: str | Callable[[Tensor], Tensor] = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_type, self.out_type = in_type, out_type
        self.act1 = make_nonlinearity(out_type, nonlinearity, activation)
        self.act2 = make_nonlinearity(out_type, nonlinearity, activation)
        hidden = self.act1.in_type
        options = {"radial": radial, "max_frequency": max_frequency, "quadrature": quadrature}
        self.conv1 = GaugeConv(in_type, hidden, **options)
        self.conv2 = GaugeConv(out_type, hidden, **options)
        self.norm1 = FieldNorm(hidden, norm) if norm else nn.Identity()
        self.norm2 = FieldNorm(hidden, norm) if norm else nn.Identity()
        self.shortcut = nn.Identity() if in_type == hidden else GaugeLinear(in_type, hidden)
        self.dropout = FieldDropout(out_type, dropout)

    def reset_parameters(self) -> None:
        for module in self.children():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(self, x: Tensor, graph, plans: dict | None = None) -> Tensor:
        plans = {} if plans is None else plans
        y = self.act1(self.norm1(self.conv1(x, graph, shared_plan(self.conv1, graph, plans))))
        y = self.conv2(self.dropout(y), graph, shared_plan(self.conv2, graph, plans))
        return self.act2(self.norm2(y) + self.shortcut(x))
