"""Cone points: nodes round which the angle is not a full turn, where log maps are those of a cut cone."""

from __future__ import annotations

import torch
from torch import Tensor

# Angles within this of 2 pi are full ones: records hold float32.
_TOLERANCE = 1e-4


def is_cone(angle: Tensor) -> Tensor:
    """(N,) whether the total angle round each node differs from a full turn."""
    return (angle - 2 * torch.pi).abs() > _TOLERANCE


def full_turns(angle: Tensor | None) -> Tensor | None:
    """(N,) 2 pi over the angle round each node, exactly 1 where that is a full turn; None for None."""
    if angle is None:
        return None
    return torch.where(is_cone(angle), 2 * torch.pi / angle.double(), 1.0)
