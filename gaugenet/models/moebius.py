"""Networks on the Moebius strip: coordinate independent, and a plain CNN to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from torch import Tensor, nn

from ..checks import check_counts, check_ints, check_probability
from ..fields import FieldType
from ..groups import Group, Reflection
from ..learning import SavedNetwork
from ..nn import GridConv, GridPadding, GridPool, NormNonlinearity, OnGrid
from ..nn.fields.running import InvariantBatchNorm
from ..nn.tensor_checks import check_features

#: The published choices of fields, in units of the widths of the layers (all with as many channels).
RECIPES = {
    "trivial": "4x0",
    "sign": "4x0-",
    "regular": "2xregular",
    "irrep": "2x0 + 2x0-",
    "mixed": "1x0 + 1x0- + 1xregular",
}
_INVARIANTS = 64


class MobiusCNN(SavedNetwork):
    r"""Coordinate-independent CNN on the flat Moebius strip (Weiler, Forré, Verlinde & Welling 2021, arXiv 2106.06020).

    Section 5 there: one convolution and ELU nonlinearity per width, 2 x 2 max pooling after every second of them, a last
    convolution to 64 scalar fields, their maxima over the strip, and a multilayer perceptron. The logits are exactly invariant
    when the picture is carried once round the strip, and under its other shifts by multiples of the pooled blocks.

    Args:
        fields: "trivial", "sign", "regular", "irrep", "mixed" (the published nets), or a field type, or its string over
            ``groups.Reflection()``: the fields of a layer of width 1.
        num_classes: number of logits.
        in_channels: scalar fields of the input.
        widths: copies of ``fields`` after each convolution but the last.
        kernel_size: odd, pixels a side.
        dropout: probability, in the perceptron.
        padding_mode: continuation of the image, see :class:`gaugenet.nn.GridPadding`.

    Shapes:
        (B, in_channels, H, L) -> (B, num_classes): rows across the strip, columns along it.
    """

    def __init__(
        self,
        fields: str | FieldType = "regular",
        num_classes: int = 10,
        *,
        in_channels: int = 1,
        widths: Sequence[int] = (4, 8, 16, 32, 64),
        kernel_size: int = 5,
        dropout: float = 0.3,
        padding_mode: str | Sequence[str] = "moebius",
    ) -> None:
        check_counts(self, num_classes=num_classes, in_channels=in_channels, kernel_size=kernel_size)
        check_ints(self, "widths", widths)
        check_probability(self, "dropout", dropout)
        super().__init__()
        unit = fields if isinstance(fields, FieldType) else FieldType(Reflection(), RECIPES.get(fields, fields))
        group = unit.group
        if group.dim != 2:
            raise ValueError(f"MobiusCNN expected fields over a group of the plane, such as groups.Reflection(), got {group}")
        self.in_type = FieldType(group, [(in_channels, group.trivial)])
        types = [self.in_type, *(_times(unit, width) for width in widths), _scalars(group, _INVARIANTS)]
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(pairwise(types), start=1):
            layers.append(GridConv(a, b, kernel_size, padding=None, padding_mode=padding_mode))
            if number <= len(widths):
                # The published form. b = 0 at first: -0.1, the default, is there for the ReLU of norms.
                act = NormNonlinearity(b, "elu", smooth=False, eps=1e-8)
                nn.init.zeros_(cast(Tensor, act.bias))
                layers.append(OnGrid(act))
                if number % 2 == 0:
                    layers.append(GridPool(b, padding_mode=padding_mode))
        self.body = nn.Sequential(*layers)
        self.head = _head(num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).amax((2, 3)))


class StripCNN(SavedNetwork):
    """The plain CNN that :class:`MobiusCNN` is compared with (same paper): conv2d, with no regard to frames.

    The image is continued across the seam with its rows in reverse order ("moebius", the published baseline), but the features
    are not transported: they keep their numbers although the frame is reflected there, so that the logits of a picture that
    crosses the seam are others.

    Args:
        num_classes: number of logits.
        in_channels: channels of the input.
        widths: channels after each convolution but the last; (16, 32, 64, 128, 256) has the channels of the published
            nets, (11, 22, 45, 90, 181) about their number of parameters.
        kernel_size, dropout: as in MobiusCNN.
        padding_mode: "moebius", or "zeros" for the strip cut open.

    Shapes:
        (B, in_channels, H, L) -> (B, num_classes).
    """

    def __init__(
        self,
        num_classes: int = 10,
        *,
        in_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        kernel_size: int = 5,
        dropout: float = 0.3,
        padding_mode: str | Sequence[str] = "moebius",
    ) -> None:
        check_counts(self, num_classes=num_classes, in_channels=in_channels, kernel_size=kernel_size)
        check_ints(self, "widths", widths)
        check_probability(self, "dropout", dropout)
        super().__init__()
        channels = [in_channels, *widths, _INVARIANTS]
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(pairwise(channels), start=1):
            layers.append(GridPadding(_scalars(Reflection(), a), kernel_size // 2, padding_mode))
            layers.append(nn.Conv2d(a, b, kernel_size))
            if number <= len(widths):
                layers.append(nn.ELU())
                if number % 2 == 0:
                    layers.append(GridPool(_scalars(Reflection(), b), padding_mode=padding_mode))
        self.body = nn.Sequential(*layers)
        self.head = _head(num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        body: Any = self.body
        padding, conv = body[:2]
        check_features(x, padding.in_type, conv.weight, "StripCNN", 4)
        return self.head(self.body(x).amax((2, 3)))


def _times(unit: FieldType, width: int) -> FieldType:
    return FieldType(unit.group, [(mul * width, rep) for mul, rep in unit.blocks])


def _scalars(group: Group, count: int) -> FieldType:
    return FieldType(group, [(count, group.trivial)])


def _head(num_classes: int, dropout: float) -> nn.Sequential:
    layers = []
    # Maxima over the strip drift faster than means: running averages of the last few batches.
    for a, b in ((_INVARIANTS, 32), (32, num_classes)):
        layers += [InvariantBatchNorm(a, momentum=0.3), nn.ELU(), nn.Dropout(dropout), nn.Linear(a, b)]
    return nn.Sequential(*layers)
