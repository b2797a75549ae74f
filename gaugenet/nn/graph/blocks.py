"""The blocks that the ready networks are made of."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, cast

from torch import Tensor, nn

from ...checks import check_choice, check_probability
from ...fields import FieldType, check_field_types
from ...kernels import KernelFamily
from ...options import TakesOptions
from ...settings import KeepsSettings
from ..fields.by_name import make_nonlinearity
from ..fields.linear import GaugeLinear
from ..fields.norm import MODES, FieldDropout, FieldNorm
from ..tensor_checks import GraphLike
from .gauge_conv import GaugeConv

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class BlockOptions:
    """Options of the convolutions, norms and nonlinearities in a block.

    Args:
        radial: number of radial functions of the kernels, or a profile, see :class:`GaugeConv`.
        max_frequency: angular cut-off of the kernels, see :class:`GaugeConv`.
        quadrature: degree of moment matching, see :class:`GaugeConv`.
        norm: "graph", "layer", "batch" or None, see :class:`FieldNorm`.
        nonlinearity: "auto", "polynomial", "regular", "gated", "norm" or "tensor", or a function that makes a module for a
            field type, see :func:`make_nonlinearity`.
        activation: pointwise function of the nonlinearity, a name or a callable.
        dropout: probability of dropping a copy of a field.
        kernel: a kernel family, instead of its short form ``radial``, ``max_frequency``, ``quadrature``, see
            :class:`GaugeConv`.
    """

    radial: int | nn.Module = 2
    max_frequency: int | None = None
    quadrature: int | None = 3
    norm: str | None = "graph"
    nonlinearity: str | Callable[[FieldType], nn.Module] = "auto"
    activation: str | Callable[[Tensor], Tensor] = "relu"
    dropout: float = 0.0
    kernel: KernelFamily | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_choice(self, "norm", self.norm, (*MODES, None))
        check_probability(self, "dropout", self.dropout)

    def convolution(self, in_type: FieldType, out_type: FieldType) -> nn.Module:
        return GaugeConv(in_type, out_type, self.radial, self.max_frequency, kernel=self.kernel, quadrature=self.quadrature)

    def normalization(self, type: FieldType) -> nn.Module:
        return FieldNorm(type, self.norm) if self.norm else nn.Identity()

    def nonlinear(self, out_type: FieldType) -> nn.Module:
        return make_nonlinearity(out_type, self.nonlinearity, self.activation)


class BlockKeywords(TypedDict, total=False):
    """:class:`BlockOptions` as keywords, for type checkers."""

    radial: int | nn.Module
    max_frequency: int | None
    quadrature: int | None
    norm: str | None
    nonlinearity: str | Callable[[FieldType], nn.Module]
    activation: str | Callable[[Tensor], Tensor]
    dropout: float
    kernel: KernelFamily | None


class _Parts(nn.Module):
    """A module whose parameters are those of its parts."""

    def reset_parameters(self) -> None:
        module: Any
        for module in self.children():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()


class ConvBlock(TakesOptions, KeepsSettings, _Parts):
    r"""Convolution, norm, nonlinearity: :math:`out = \sigma(\mathrm{norm}(K \star f))`.

    Args:
        in_type, out_type: field types.
        options: :class:`BlockOptions`, or its fields as keywords, which win over it. Dropout is at the end.
    """

    defaults: ClassVar[BlockOptions] = BlockOptions()

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        options: BlockOptions | None = None,
        **overrides: Unpack[BlockKeywords],
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        super().__init__()
        options = self._settle(options, overrides)
        self.in_type, self.out_type = in_type, out_type
        self.act = options.nonlinear(out_type)
        hidden = cast(FieldType, self.act.in_type)
        self.conv = options.convolution(in_type, hidden)
        self.norm = options.normalization(hidden)
        self.dropout = FieldDropout(out_type, options.dropout)

    def forward(self, x: Tensor, graph: GraphLike, plans: dict | None = None) -> Tensor:
        _without_plans(plans)
        return self.dropout(self.act(normalised(self.norm, self.conv(x, graph), graph)))


class ResidualBlock(TakesOptions, KeepsSettings, _Parts):
    r"""Convolution, norm, nonlinearity, twice, beside a shortcut (He et al. 2016; de Haan et al. 2021, section 5).

    .. math:: out = \sigma(\mathrm{norm}(K_2 \star \sigma(\mathrm{norm}(K_1 \star f))) + S f)

    S is the identity, or an equivariant linear map when the types differ. Unlike the published GEM-CNN block it has biases
    on invariant parts only, so it is equivariant as shipped.

    Args:
        in_type, out_type: field types.
        options: :class:`BlockOptions`, or its fields as keywords, which win over it. Dropout is between the convolutions.
    """

    defaults: ClassVar[BlockOptions] = BlockOptions()

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        options: BlockOptions | None = None,
        **overrides: Unpack[BlockKeywords],
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        super().__init__()
        options = self._settle(options, overrides)
        self.in_type, self.out_type = in_type, out_type
        self.act1 = options.nonlinear(out_type)
        self.act2 = options.nonlinear(out_type)
        hidden = cast(FieldType, self.act1.in_type)
        self.conv1 = options.convolution(in_type, hidden)
        self.conv2 = options.convolution(out_type, hidden)
        self.norm1 = options.normalization(hidden)
        self.norm2 = options.normalization(hidden)
        self.shortcut = nn.Identity() if in_type == hidden else GaugeLinear(in_type, hidden)
        self.dropout = FieldDropout(out_type, options.dropout)

    def forward(self, x: Tensor, graph: GraphLike, plans: dict | None = None) -> Tensor:
        _without_plans(plans)
        y = self.act1(normalised(self.norm1, self.conv1(x, graph), graph))
        y = self.conv2(self.dropout(y), graph)
        return self.act2(normalised(self.norm2, y, graph) + self.shortcut(x))


class BottleneckBlock(TakesOptions, KeepsSettings, _Parts):
    r"""A convolution of few fields between linear maps, all behind norms and nonlinearities, beside a shortcut (He et al. 2016,
    arXiv 1603.05027; Finzi et al. 2020, arXiv 2002.12880, figure 5).

    .. math:: out = U\, \sigma(\mathrm{norm}(K \star \sigma(\mathrm{norm}(D\, \sigma(\mathrm{norm}(f)))))) + S f

    D leads to a quarter of the copies, U from there to ``out_type``; S is the identity, or a linear map when the types differ.

    Args:
        in_type, out_type: field types.
        options: :class:`BlockOptions`, or its fields as keywords, which win over it. Dropout is before U.
    """

    defaults: ClassVar[BlockOptions] = BlockOptions()

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        options: BlockOptions | None = None,
        **overrides: Unpack[BlockKeywords],
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        super().__init__()
        options = self._settle(options, overrides)
        self.in_type, self.out_type = in_type, out_type
        few_in, few = _quarter(in_type), _quarter(out_type)
        self.act1, self.act2, self.act3 = (options.nonlinear(type) for type in (in_type, few_in, few))
        inner = [cast(FieldType, act.in_type) for act in (self.act1, self.act2, self.act3)]
        # Gates have fields of their own, which the input does not bring.
        self.gates = nn.Identity() if inner[0] == in_type else GaugeLinear(in_type, inner[0])
        self.norm1, self.norm2, self.norm3 = map(options.normalization, inner)
        self.down, self.up = GaugeLinear(in_type, inner[1]), GaugeLinear(few, out_type)
        self.conv = options.convolution(few_in, inner[2])
        self.shortcut = nn.Identity() if in_type == out_type else GaugeLinear(in_type, out_type)
        self.dropout = FieldDropout(few, options.dropout)

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        y = self.down(self.act1(normalised(self.norm1, self.gates(x), graph)))
        y = self.conv(self.act2(normalised(self.norm2, y, graph)), graph)
        y = self.up(self.dropout(self.act3(normalised(self.norm3, y, graph))))
        return y + self.shortcut(x)


def _quarter(type: FieldType) -> FieldType:
    """A quarter of the copies of every field, one at least."""
    return FieldType(type.group, [(max(1, mul // 4), rep) for mul, rep in type.blocks])


def normalised(norm: nn.Module, x: Tensor, graph: GraphLike) -> Tensor:
    """norm(x): a :class:`FieldNorm` is told of the graph, which some take their statistics over."""
    return norm(x, graph) if isinstance(norm, FieldNorm) else norm(x)


def _without_plans(plans: dict | None) -> None:
    if plans is not None:
        warnings.warn("blocks take no plans any more: a graph keeps its own", DeprecationWarning, stacklevel=3)
