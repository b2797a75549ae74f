"""Layers for nodes, used on the pixels of images."""

from __future__ import annotations

from torch import Tensor, nn

from .exportable import Exportable


class OnGrid(Exportable):
    """Applies a layer for nodes (N, dim) to every pixel of an image: nonlinearities, norms, dropout, linear maps, GroupPool.

    The pixels of the whole batch are the nodes, so that ``OnGrid(FieldNorm(type))`` takes its statistics over them, as
    BatchNorm2d does. With images in ``torch.channels_last`` no data is moved.

    Args:
        layer: a module (N, in_type.dim) -> (N, out_type.dim).

    Shapes:
        (B, in_type.dim, H, W) -> (B, out_type.dim, H, W); volumes likewise.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.in_type, self.out_type = layer.in_type, layer.out_type

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 4 or x.shape[1] != self.in_type.dim:
            raise ValueError(f"OnGrid expected an image of shape (B, {self.in_type.dim}, H, W), got {tuple(x.shape)}")
        pixels = x.movedim(1, -1)
        return self.layer(pixels.flatten(0, -2)).unflatten(0, pixels.shape[:-1]).movedim(-1, 1)
