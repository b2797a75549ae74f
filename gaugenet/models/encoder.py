"""What the ready networks share: stages of blocks on the levels of a graph, with pooling between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from ..fields import FieldType
from ..groups import Group
from ..nn import ConvBlock, GaugeLinear, GaugePool, ResidualBlock

BLOCKS = {"residual": ResidualBlock, "plain": ConvBlock}


def hidden_type(group: Group, channels: int, order: int) -> FieldType:
    """``channels`` copies of every irrep of orders 0..order that is a function on the circle.

    Those of one-dimensional sign type ("0-") are left out, so that the regular nonlinearity applies.
    """
    if order < 0:
        raise ValueError(f"expected a largest order of at least 0, got {order}")
    return FieldType(group, [(channels, group.irrep(str(l))) for l in range(order + 1)])


class GaugeEncoder(nn.Module):
    """Stages of gauge-equivariant blocks, each on a level of the graph, pooling with transport between them.

    Base of :class:`GaugeClassifier` and :class:`GaugeUNet`, whose options these are.

    Args:
        in_type: field type of the input features; its group is the structure group of the network.
        channels: copies of every order: one number, or one for each stage.
        order: largest order of the hidden fields; 0 makes the network isotropic (over SO(2) and O(2)).
        blocks: blocks per stage, finest first; as many levels as entries must be in the graph.
        block: "residual" (:class:`gaugenet.nn.ResidualBlock`) or "plain" (:class:`gaugenet.nn.ConvBlock`).
        lift: begin with a linear map at every node to the hidden fields; without it the first convolution reads in_type.
        pool: "mean" or "max", see :class:`gaugenet.nn.GaugePool`.
        radial, max_frequency, quadrature: see :class:`gaugenet.nn.GaugeConv`.
        norm: of the blocks: "batch", "layer" or None.
        nonlinearity: "polynomial", "regular", "gated", "norm" or "tensor", or a function that makes a module for a field type.
        activation: its pointwise function.
        dropout: probability of dropping a copy of a field in the blocks.

    Raises:
        ValueError: options out of range, or as many channels as there are not stages.
    """

    #: options of a subclass that differ from those of the constructor
    defaults: ClassVar[dict] = {}

    def __init__(
        self,
        in_type: FieldType,
        *,
        channels: int | Sequence[int] = 16,
        order: int = 2,
        blocks: Sequence[int] = (1, 1),
        block: str = "residual",
        lift: bool = True,
        pool: str = "mean",
        radial: int | nn.Module = 2,
        max_frequency: int | None = None,
        quadrature: int | None = 3,
        norm: str | None = "batch",
        nonlinearity: str | Callable[[FieldType], nn.Module] = "polynomial",
        activation: str | Callable[[Tensor], Tensor] = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if block not in BLOCKS:
            raise ValueError(f"unknown block {block!r}: expected one of {', '.join(BLOCKS)}")
        widths = [channels] * len(blocks) if isinstance(channels, int) else list(channels)
        if len(widths) != len(blocks) or not widths:
            raise ValueError(f"expected one number of channels for each of {len(blocks)} stages, got {channels}")
        options = {
            "radial": radial,
            "max_frequency": max_frequency,
            "quadrature": quadrature,
            "norm": norm,
            "nonlinearity": nonlinearity,
            "activation": activation,
            "dropout": dropout,
        }
        self.in_type = in_type
        #: field type of every stage
        self.types = [hidden_type(in_type.group, width, order) for width in widths]
        self.lift = GaugeLinear(in_type, self.types[0]) if lift else nn.Identity()
        self.stages = nn.ModuleList()
        previous = self.types[0] if lift else in_type
        for type, count in zip(self.types, blocks):
            if count == 0 and type != previous:
                raise ValueError(f"a stage without blocks cannot change {previous} to {type}")
            inputs = [previous, *[type] * (count - 1)][:count]
            self.stages.append(nn.ModuleList(self._block(block, a, type, options) for a in inputs))
            previous = type
        self.pools = nn.ModuleList(GaugePool(type, pool) for type in self.types[:-1])
        self._options = block, options

    @staticmethod
    def _block(kind: str, in_type: FieldType, out_type: FieldType, options: dict) -> nn.Module:
        return BLOCKS[kind](in_type, out_type, **options)

    def reset_parameters(self) -> None:
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def encode(self, x: Tensor, graph) -> list[tuple[Tensor, object, dict]]:
        """Features, level of the graph and its edge plans after every stage, finest first.

        x may be (N, in_type.dim), or (B, N, in_type.dim) for B fields on one :class:`gaugenet.data.StaticGraph`.
        """
        x, level, passed = self.lift(x.flatten(0, -2)), graph, []
        for stage, blocks in enumerate(self.stages):
            if stage:
                x, level = self.pools[stage - 1](x, level), level.coarse
            plans: dict = {}
            for block in blocks:
                x = block(x, level, plans)
            passed.append((x, level, plans))
        return passed
