"""What the published planar layers share: a kernel made from weights, a bias, conv2d."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ...fields import FieldType
from ...kernels.constants import ConstantModule
from ..checks import autocast, check_features
from ..exporting.exportable import Exportable
from ..exporting.plain import loaded
from ..fields.bias import FieldBias
from .padding import per_axis


class FilterConv(ConstantModule, Exportable):
    """conv2d with the kernel that a subclass makes from its weights, by `kernel`.

    Args:
        in_type, out_type: field types.
        kernel_size: pixels a side, odd.
        padding: as in conv2d, with zeros; None keeps the size of the image.
        stride: as in conv2d.
        bias: learn a bias on the invariant part of the output.

    Shapes:
        (B, in_type.dim, H, W) -> (B, out_type.dim, H', W'), as conv2d.

    Raises:
        ValueError: an even kernel, padding or stride out of range; features of another shape.
        TypeError: features of another dtype.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        kernel_size: int,
        padding: int | Sequence[int] | None = None,
        *,
        stride: int | Sequence[int] = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        (self.kernel_size,) = set(per_axis("kernel_size", kernel_size, 2, least=1))
        if self.kernel_size % 2 == 0:
            raise ValueError(f"{type(self).__name__} turns or stretches kernels about a pixel: kernel_size must be odd")
        self.in_type, self.out_type = in_type, out_type
        self.padding = per_axis("padding", self.kernel_size // 2 if padding is None else padding, 2, least=0)
        self.stride = per_axis("stride", stride, 2, least=1)
        self.bias = FieldBias(out_type) if bias else None

    def kernel(self) -> Tensor:
        """The weight of conv2d: (out_type.dim, in_type.dim, kernel_size, kernel_size)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, next(self.parameters()), type(self).__name__, 4)
        return F.conv2d(autocast(x), self.kernel(), self._bias_row(), self.stride, self.padding)

    def _bias_row(self) -> Tensor | None:
        return None if self.bias is None else self.bias.row()

    def plain(self, seen) -> nn.Module:
        bias = self._bias_row()
        conv = nn.Conv2d(
            self.in_type.dim, self.out_type.dim, self.kernel_size, self.stride, self.padding, bias=bias is not None
        )
        return loaded(conv, self.kernel(), bias)

    def extra_repr(self) -> str:
        return (
            f"{self.in_type}, {self.out_type}, kernel_size={self.kernel_size}, padding={self.padding}, stride={self.stride}, "
            f"bias={self.bias is not None}"
        )


def single_block(type: FieldType, allowed: dict, layer: str) -> int:
    """The copies in a type that is one block of an allowed representation ({name: representation}). Else TypeError."""
    if len(type.blocks) != 1 or type.blocks[0][1] not in allowed.values():
        raise TypeError(f"{layer} expected one block of {' or '.join(allowed)} fields, got {type}")
    return type.blocks[0][0]
