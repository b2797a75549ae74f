"""What the ready networks share: stages of blocks on the levels of a graph, with pooling between them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from ..checks import check_choice, check_int, check_ints
from ..fields import FieldType, check_field_types
from ..groups import Group
from ..learning import SavedNetwork
from ..nn import BlockOptions, BottleneckBlock, ConvBlock, GaugeLinear, GaugePool, ResidualBlock
from ..nn.graph.blocks import BlockKeywords
from ..nn.tensor_checks import GraphLike, as_rows
from ..options import TakesOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

BLOCKS: dict[str, type[ConvBlock] | type[ResidualBlock] | type[BottleneckBlock]] = {
    "residual": ResidualBlock,
    "plain": ConvBlock,
    "bottleneck": BottleneckBlock,
}


@dataclass(frozen=True)
class EncoderOptions(BlockOptions):
    """Options of a network made of stages of blocks; those of the blocks are in :class:`gaugenet.nn.BlockOptions`.

    Args:
        channels: copies of every order: one number, or one for each stage.
        order: largest order of the hidden fields, or all that the group has; 0 makes the network isotropic (over SO(2) and
            O(2)).
        blocks: blocks per stage, finest first; as many levels as entries must be in the graph.
        block: "residual" (:class:`gaugenet.nn.ResidualBlock`), "plain" (:class:`gaugenet.nn.ConvBlock`) or "bottleneck"
            (:class:`gaugenet.nn.BottleneckBlock`).
        lift: begin with a linear map at every node to the hidden fields; without it the first convolution reads the input.
            Hidden fields have copies of the sign representation ("0-") where the input or the output has some.
        pool: "mean" or "max", see :class:`gaugenet.nn.GaugePool`.
    """

    channels: int | Sequence[int] = 16
    order: int = 2
    blocks: Sequence[int] = (1, 1)
    block: str = "residual"
    lift: bool = True
    pool: str = "mean"


class EncoderKeywords(BlockKeywords, total=False):
    """:class:`EncoderOptions` as keywords, for type checkers."""

    channels: int | Sequence[int]
    order: int
    blocks: Sequence[int]
    block: str
    lift: bool
    pool: str


def hidden_type(group: Group, channels: int, order: int, sign: bool = False) -> FieldType:
    """``channels`` copies of every irrep of orders 0..order that is a function on the circle, as far as the group has them.

    Those of one-dimensional sign type ("0-") are left out, so that the regular nonlinearity applies, but with ``sign``, and
    where a vector is nothing else: over the reflections.
    """
    names = [name for name in map(str, range(order + 1)) if group.canonical_name(name) is not None]
    if (sign or (order and names == ["0"])) and group.canonical_name("0-") is not None:
        names.append("0-")
    return FieldType(group, [(channels, group.irrep(name)) for name in names])


def unmapped(linear: GaugeLinear, end: int) -> FieldType:
    """The part of the input (``end`` 0) that a linear map does not read, or of the output (1) that it leaves zero."""
    mapped = {path[end] for path in linear.expansion.paths if path[3] > path[2]}
    type = (linear.in_type, linear.out_type)[end]
    return FieldType(type.group, [block for i, block in enumerate(type.blocks) if i not in mapped])


class GaugeEncoder(TakesOptions, SavedNetwork):
    """Stages of gauge-equivariant blocks, each on a level of the graph, pooling with transport between them.

    Base of :class:`GaugeClassifier` and :class:`GaugeUNet`.

    Args:
        in_type: field type of the input features; its group is the structure group of the network.
        out_type: field type that a subclass makes of the hidden fields, if it makes a field of them.
        options: :class:`EncoderOptions`, or its fields as keywords, which win over it; by default those of the class,
            ``defaults``, in which the presets differ.

    Raises:
        TypeError: an input type that is no field type; a keyword that does not exist.
        ValueError: options out of range; not as many numbers of channels as stages.

    Warns:
        UserWarning: inputs of which the hidden fields have no part, such as vectors for ``order=0``.
    """

    defaults: ClassVar[EncoderOptions] = EncoderOptions()

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType | None = None,
        *,
        options: EncoderOptions | None = None,
        **overrides: Unpack[EncoderKeywords],
    ) -> None:
        check_field_types(self, in_type=in_type)
        super().__init__()
        self.options = options = self._settle(options, overrides)
        widths = _widths(options, type(self).__name__)
        self.in_type = in_type
        # Pseudo-scalars come with the input, or are made of fields that turn.
        ends = (in_type, out_type) if out_type is not None and options.order else (in_type,)
        sign = any(rep.is_sign for end in ends for _, rep in end.blocks)
        #: field type of every stage
        self.types = [hidden_type(in_type.group, width, options.order, sign) for width in widths]
        self.lift = self._lift() if options.lift else nn.Identity()
        self.stages = nn.ModuleList()
        previous = self.types[0] if options.lift else in_type
        for hidden, count in zip(self.types, options.blocks):
            if count == 0 and hidden != previous:
                raise ValueError(f"{type(self).__name__}: a stage without blocks cannot change {previous} to {hidden}")
            inputs = [previous, *[hidden] * (count - 1)][:count]
            self.stages.append(nn.ModuleList(self._block(a, hidden) for a in inputs))
            previous = hidden
        self.pools = nn.ModuleList(GaugePool(hidden, options.pool) for hidden in self.types[:-1])

    def _lift(self) -> nn.Module:
        """The linear map to the hidden fields; a warning if it loses a part of the input."""
        lift = GaugeLinear(self.in_type, self.types[0])
        lost = unmapped(lift, 0)
        if lost.dim:
            warnings.warn(
                f"{type(self).__name__} sees nothing of {lost} of its input {self.in_type}: its "
                f"hidden fields are {self.types[0]}. Take a larger order, invariants of these inputs (their norms), or "
                "lift=False, which lets the first convolution read them",
                UserWarning,
                stacklevel=2,
            )
        return lift

    def _block(self, in_type: FieldType, out_type: FieldType) -> nn.Module:
        return BLOCKS[self.options.block](in_type, out_type, options=self.options)

    def reset_parameters(self) -> None:
        module: Any
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def encode(self, x: Tensor, graph: GraphLike) -> list[tuple[Tensor, Any]]:
        """Features and level of the graph after every stage, finest first.

        x may be (N, in_type.dim), or (B, N, in_type.dim) for B fields on one :class:`gaugenet.data.StaticGraph`.
        """
        x = as_rows(x, self.in_type, type(self).__name__)
        level: Any = graph
        levels = getattr(graph, "num_levels", len(self.stages))
        if levels < len(self.stages):
            raise ValueError(
                f"{type(self).__name__} has {len(self.stages)} stages, blocks={tuple(self.options.blocks)}, but the graph "
                f"{levels} level{'s' if levels > 1 else ''}: make the geometry with levels={len(self.stages) - 1}, or take "
                "fewer blocks"
            )
        stages: Any = self.stages  # lists of blocks
        x, passed = self.lift(x), []
        for stage, blocks in enumerate(stages):
            if stage:
                x, level = self.pools[stage - 1](x, level), level.coarse
            for block in blocks:
                x = block(x, level)
            passed.append((x, level))
        return passed


def _widths(options: EncoderOptions, name: str) -> list[int]:
    """The channels of every stage, and errors about the options of a network of that name."""
    check_choice(name, "block", options.block, tuple(BLOCKS))
    check_int(name, "order", options.order, 0)
    check_ints(name, "blocks", options.blocks, 0)
    channels = options.channels
    same = isinstance(channels, Integral)
    widths = list(check_ints(name, "channels", (channels,) * len(options.blocks) if same else channels))
    if len(widths) != len(options.blocks) or not widths:
        raise ValueError(
            f"{name} expected channels for each of the {len(options.blocks)} stages in blocks={options.blocks}, "
            f"got {options.channels}"
        )
    return widths
