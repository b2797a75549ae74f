"""Features at every vertex: scalars or tangent vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..fields import FieldType
from ..nn import GaugeLinear, GaugePool, GaugeUnpool, ResidualBlock
from .stages import hidden_type


class MeshUNet(nn.Module):
    r"""U-shaped gauge-equivariant network (Ronneberger et al. 2015) over the levels of a graph.

    Residual blocks on every level going down, pooling and unpooling with transport, skip connections, and an equivariant
    linear map to ``out_type`` at the end: "5x0" gives five scalars a vertex, "1x1" a tangent vector field.

    Args:
        in_type, out_type: field types of the input and the output.
        channels: copies of every order.
        order: largest order of the hidden fields.
        blocks: residual blocks per level, finest first; as many levels as entries must be in the graph.
        radial, max_frequency, quadrature, norm, nonlinearity, activation, dropout: see :class:`gaugenet.nn.ResidualBlock`.

    Shapes:
        x (N, in_type.dim), graph; output (N, out_type.dim).
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        channels: int = 16,
        order: int = 2,
        blocks: tuple[int, ...] = (1, 1),
        radial: int = 2,
        max_frequency: int | None = None,
        quadrature: int | None = 3,
        norm: str | None = "batch",
        nonlinearity: str = "polynomial",
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_type, self.out_type = in_type, out_type
        self.hidden = hidden = hidden_type(in_type.group, channels, order)
        options = {
            "radial": radial,
            "max_frequency": max_frequency,
            "quadrature": quadrature,
            "norm": norm,
            "nonlinearity": nonlinearity,
            "activation": activation,
            "dropout": dropout,
        }
        self.lift = GaugeLinear(in_type, hidden)
        self.down = nn.ModuleList(
            nn.ModuleList(ResidualBlock(hidden, hidden, **options) for _ in range(count)) for count in blocks
        )
        self.up = nn.ModuleList(ResidualBlock(hidden + hidden, hidden, **options) for _ in blocks[:-1])
        self.pool, self.unpool = GaugePool(hidden), GaugeUnpool(hidden)
        self.project = GaugeLinear(hidden, out_type)

    def reset_parameters(self) -> None:
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(self, x: Tensor, graph) -> Tensor:
        x = self.lift(x)
        passed, plans, level = [], [], graph
        for depth, blocks in enumerate(self.down):
            if depth:
                x, level = self.pool(x, level), level.coarse
            plans.append({})
            for block in blocks:
                x = block(x, level, plans[-1])
            passed.append((x, level))
        for depth in reversed(range(len(self.up))):
            skip, level = passed[depth]
            x = self.up[depth](torch.cat([skip, self.unpool(x, level)], -1), level, plans[depth])
        return self.project(x)
