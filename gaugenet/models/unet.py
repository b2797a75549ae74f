"""Features at every node: scalars, tangent vectors or any other field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..fields import FieldType, check_field_types
from ..nn import GaugeLinear, GaugeUnpool
from ..nn.tensor_checks import GraphLike
from .encoder import EncoderKeywords, EncoderOptions, GaugeEncoder, unmapped

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GaugeUNet(GaugeEncoder):
    r"""U-shaped gauge-equivariant network (Ronneberger et al. 2015) over the levels of a graph.

    Blocks on every level going down, pooling and unpooling with transport, skip connections, one block on every level going
    up, and an equivariant linear map to ``out_type`` at the end: "5x0" gives five scalars a node, "1x1" a tangent vector field,
    and over O(2) "5x0-" five numbers that change their signs in the mirror image, which tell left from right.

    Args:
        in_type, out_type: field types of the input and the output.
        options: :class:`EncoderOptions`, or its fields as keywords, see :class:`GaugeEncoder`.

    Raises:
        ValueError: parts of the output that no hidden field reaches, such as vectors for ``order=0``: they would be zero.

    Shapes:
        x (N, in_type.dim), graph; output (N, out_type.dim). Or x (B, N, in_type.dim) on a
        :class:`gaugenet.data.StaticGraph`; output (B, N, out_type.dim).
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        options: EncoderOptions | None = None,
        **overrides: Unpack[EncoderKeywords],
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        super().__init__(in_type, out_type=out_type, options=options, **overrides)
        self.out_type = out_type
        pairs = list(zip(self.types[:-1], self.types[1:]))
        self.up = nn.ModuleList(self._block(fine + coarse, fine) for fine, coarse in pairs)
        self.unpools = nn.ModuleList(GaugeUnpool(coarse) for _, coarse in pairs)
        self.project = self._projection()

    def _projection(self) -> GaugeLinear:
        """The linear map to the output; an error if it leaves a part of it zero."""
        project = GaugeLinear(self.types[0], self.out_type)
        missing = unmapped(project, 1)
        if missing.dim:
            raise ValueError(
                f"{type(self).__name__} cannot give {missing} of its output {self.out_type}: its hidden fields are "
                f"{self.types[0]}. Take a larger order"
            )
        return project

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        passed = self.encode(x, graph)
        y = passed[-1][0]
        for depth in reversed(range(len(self.up))):
            skip, level = passed[depth]
            y = self.up[depth](torch.cat([skip, self.unpools[depth](y, level)], -1), level)
        return self.project(y).view(*x.shape[:-1], self.out_type.dim)


class MeshUNet(GaugeUNet):
    """:class:`GaugeUNet` under its name for meshes."""
