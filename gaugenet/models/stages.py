"""What the ready networks share."""

from __future__ import annotations

from ..fields import FieldType
from ..groups import Group


def hidden_type(group: Group, channels: int, order: int) -> FieldType:
    """``channels`` copies of every irrep of orders 0..order that is a function on the circle.

    Those of one-dimensional sign type ("0-") are left out, so that the regular nonlinearity applies.
    """
    if order < 0:
        raise ValueError(f"expected a largest order of at least 0, got {order}")
    return FieldType(group, [(channels, group.irrep(str(l))) for l in range(order + 1)])
