"""Layers for nodes, used on the pixels of images."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from ...fields import FieldType
from ..checks import check_same_type
from ..exporting.exportable import Exportable


class OnGrid(Exportable):
    """Applies a layer for nodes (N, dim) to every pixel of an image: nonlinearities, norms, dropout, linear maps, GroupPool.

    The pixels of the whole batch are the nodes, so that ``OnGrid(FieldNorm(type))`` takes its statistics over them, as
    BatchNorm2d does. With images in ``torch.channels_last`` no data is moved.

    Args:
        layer: a module (N, in_type.dim) -> (N, out_type.dim), or an nn.Sequential of such.

    Shapes:
        (B, in_type.dim, H, W) -> (B, out_type.dim, H, W); volumes likewise.

    Raises:
        TypeError: a module without field types (nn.ReLU and the like, which take images as they are).
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        parts = list(layer) if isinstance(layer, nn.Sequential) else [layer]
        for part in parts or [layer]:
            if not isinstance(getattr(part, "in_type", None), FieldType) or not hasattr(part, "out_type"):
                raise TypeError(f"OnGrid expected a layer for nodes with an in_type and an out_type, got {type(part).__name__}")
        for a, b in pairwise(parts):
            check_same_type(b.in_type, a.out_type, f"OnGrid: {type(b).__name__} behind {type(a).__name__}")
        self.layer = layer
        self.in_type, self.out_type = parts[0].in_type, parts[-1].out_type

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 4 or x.shape[1] != self.in_type.dim:
            raise ValueError(f"OnGrid expected an image of shape (B, {self.in_type.dim}, H, W), got {tuple(x.shape)}")
        pixels = x.movedim(1, -1)
        return self.layer(pixels.flatten(0, -2)).unflatten(0, pixels.shape[:-1]).movedim(-1, 1)
