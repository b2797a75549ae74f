"""One label for a whole manifold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from ..checks import check_int
from ..fields import FieldType, check_field_types
from ..nn import global_mean, to_scalars
from ..nn.fields.running import InvariantBatchNorm
from ..nn.tensor_checks import GraphLike
from .encoder import EncoderKeywords, EncoderOptions, GaugeEncoder

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GaugeClassifier(GaugeEncoder):
    r"""Gauge-equivariant stages with an invariant read-out (after de Haan et al. 2021, section 5).

    Stages of :class:`gaugenet.models.GaugeEncoder`, the norm of every copy, its area-weighted mean over the manifold, and a
    perceptron with one hidden layer.
    The logits do not depend on the frames, nor on what else is in the batch (in evaluation).

    Args:
        in_type: field type of the input features.
        num_classes: number of logits.
        options: :class:`EncoderOptions`, or its fields as keywords, see :class:`GaugeEncoder`; ``norm`` and ``dropout`` also
            apply in the read-out.

    Shapes:
        x (N, in_type.dim), graph; output (number of graphs, num_classes). Or x (B, N, in_type.dim) on a
        :class:`gaugenet.data.StaticGraph`; output (B, num_classes).
    """

    def __init__(
        self,
        in_type: FieldType,
        num_classes: int,
        *,
        options: EncoderOptions | None = None,
        **overrides: Unpack[EncoderKeywords],
    ) -> None:
        check_field_types(self, in_type=in_type)
        check_int(self, "num_classes", num_classes)
        super().__init__(in_type, options=options, **overrides)
        used = self.options
        copies = sum(mul for mul, _ in self.types[-1].blocks)
        # Means over a surface differ little from mesh to mesh: without a common scale the read-out learns slowly.
        scales = {"graph": InvariantBatchNorm, "batch": InvariantBatchNorm, "layer": nn.LayerNorm, None: nn.Identity}
        self.head = nn.Sequential(
            scales[used.norm](copies),
            nn.Linear(copies, copies),
            nn.ReLU(),
            nn.Dropout(used.dropout),
            nn.Linear(copies, num_classes),
        )

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        x, level = self.encode(x, graph)[-1]
        return self.head(global_mean(to_scalars(x, self.types[-1]), level))


class MeshClassifier(GaugeClassifier):
    """:class:`GaugeClassifier` with the defaults for meshes: residual blocks of 24 copies of orders 0 to 2, one level."""

    defaults: ClassVar[EncoderOptions] = replace(GaugeClassifier.defaults, channels=24, blocks=(2,))
