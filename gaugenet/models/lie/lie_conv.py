"""LieConv: nets of the log map as kernels, on any Lie group."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ...fields import FieldType, check_field_types
from ...kernels import MLP
from ...nn import global_mean, to_scalars
from ...nn.graph.blocks import normalised
from ...nn.tensor_checks import GraphLike
from ..classifier import GaugeClassifier
from ..encoder import EncoderKeywords, EncoderOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


class LieConvNet(GaugeClassifier):
    r"""Bottleneck blocks with LieConv layers, subsampling between them, norm, nonlinearity and the mean over the group (Finzi,
    Stanton, Izmailov & Wilson 2020, arXiv 2002.12880).

    On :func:`gaugenet.geometry.lie_group`, whose edges carry log(u_p^-1 u_q), LieConv is the convolution with the family
    ``kernels.MLP()``, and translations of the group from the left change nothing: lift points or pixels by
    :func:`~gaugenet.geometry.lift_points` or :func:`~gaugenet.geometry.lift_image`, and moving them by the group changes no
    logits (as far as the lifts move with them)::

        lift = geometry.lift_image("SE2", (28, 28), 8)
        graph = StaticGraph(geometry.lie_group("SE2", lift, neighbours=32, alpha=0.2, levels=2).to_graph(torch.float32))
        net = LieConvNet(FieldType(groups.Trivial(3), "1x0"), 10)
        logits = net(images.flatten(1)[:, lift.point, None], graph)

    ``kernel=kernels.Spline(...)`` makes it a B-spline G-CNN (Bekkers 2020), ``kernel=kernels.MLP(orbit=1)`` lets the kernels
    see the orbits of lifts to "SO2" and "SO3".

    Unlike the publication: the centre has a weight of its own beside the kernel; subsampling averages over the nearest points
    instead of taking every so-manieth; a read-out with one hidden layer behind the mean.

    Args:
        in_type: field type over ``groups.Trivial(d)``, d the dimension of the Lie group.
        num_classes: number of logits.
        options: :class:`EncoderOptions`, or its fields as keywords, see :class:`GaugeEncoder`.

    Shapes:
        x (N, in_type.dim), graph; output (number of graphs, num_classes). Or x (B, N, in_type.dim) on a
        :class:`gaugenet.data.StaticGraph`; output (B, num_classes).
    """

    defaults: ClassVar[EncoderOptions] = EncoderOptions(
        channels=(32, 64, 128),
        order=0,
        blocks=(1, 1, 1),
        block="bottleneck",
        nonlinearity="norm",  # pointwise, on scalars
        activation="silu",
        kernel=MLP(),
    )

    def __init__(
        self,
        in_type: FieldType,
        num_classes: int,
        *,
        options: EncoderOptions | None = None,
        **overrides: Unpack[EncoderKeywords],
    ) -> None:
        check_field_types(self, in_type=in_type)
        if in_type.group.order != 1:
            raise TypeError(
                f"LieConvNet expected in_type over groups.Trivial(d), d the dimension of the Lie group, got {in_type.group}: "
                "its left-invariant frames leave nothing to turn"
            )
        super().__init__(in_type, num_classes, options=options, **overrides)
        self.norm, self.act = self.options.normalization(self.types[-1]), self.options.nonlinear(self.types[-1])

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        x, level = self.encode(x, graph)[-1]
        x = self.act(normalised(self.norm, x, level))
        return self.head(global_mean(to_scalars(x, self.types[-1]), level))
