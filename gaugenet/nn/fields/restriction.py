"""Restriction of the structure group half-way through a network."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from ...checks import check_instance
from ...fields import FieldType, check_field_types
from ...groups import Group
from ..exporting.exportable import Exportable, Pixelwise, Seen
from ..tensor_checks import check_features


class Restrict(Exportable, Pixelwise):
    """Looks at the same numbers as fields of a subgroup (Weiler & Cesa 2019, arXiv 1911.08251, section 2.7).

    Layers before it are equivariant under the whole group, layers after it only under the subgroup: digits are classified up
    to rotations of their strokes, not of themselves.

    Args:
        type: field type of the input.
        subgroup: of its group.

    Shapes:
        (N, type.dim), an image (B, type.dim, H, W) or, for groups of space, a volume: unchanged; ``out_type`` is
        ``type.restrict(subgroup)``.

    Raises:
        ValueError: when it is no subgroup; features of another shape.
    """

    def __init__(self, type: FieldType, subgroup: Group) -> None:
        check_field_types(self, type=type)
        check_instance(self, "subgroup", subgroup, Group, "a group, such as groups.Cyclic(4)")
        super().__init__()
        self.in_type, self.out_type = type, type.restrict(subgroup)

    def forward(self, x: Tensor) -> Tensor:
        image = isinstance(x, Tensor) and x.dim() > 2
        check_features(x, self.in_type, None, "Restrict", 2 + self.in_type.group.dim if image else 2)
        return x

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        return nn.Identity()

    def pixelwise(self) -> nn.Module:
        return nn.Identity()

    def extra_repr(self) -> str:
        return f"{self.in_type.group} -> {self.out_type.group}, {self.in_type}"
