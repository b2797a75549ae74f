"""Errors of predicted fields that no choice of frames changes: the same in any gauge, and for vectors in space."""

from __future__ import annotations

import torch
from torch import Tensor

# Vectors shorter than this part of the largest have no direction.
_SHORT = 1e-9


def relative_error(predicted: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Relative L2 error :math:`\sqrt{\sum_p w_p |f_p - t_p|^2 / \sum_p w_p |t_p|^2}`, one number.

    Args:
        predicted, target: (N, dim) of one field type, in the same frames, or (N, ...) in the ambient space.
        weight: (N,), by default 1; areas make it an integral over the manifold (``graph.area``).

    Raises:
        ValueError: shapes that differ; a target that is zero everywhere.
    """
    predicted, target = _pair(predicted, target)
    difference, size = _squares(predicted - target), _squares(target)
    weight = torch.ones_like(size) if weight is None else _weights(weight, size)
    total = (weight * size).sum()
    if not bool(total > 0):
        raise ValueError("relative_error expected a target that is not zero everywhere")
    return ((weight * difference).sum() / total).sqrt()


def angle_error(predicted: Tensor, target: Tensor, *, order: int = 1) -> Tensor:
    """Angles between predicted and true directions in degrees, (N,); NaN where one of the two is zero.

    Args:
        predicted, target: (N, 2) fields of ``order``, or (N, 3) vectors in space for order 1.
        order: of the field. 1: vectors, angles of 0 to 180 degrees. 2: lines (of the tensors of order 2), 0 to 90; n: n-fold
            crosses, 0 to 180 / n. Angles are those of the directions themselves, not of the components.

    Raises:
        ValueError: shapes that differ or are none of these; an order below 1.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"angle_error expected an order of 1, 2, ..., got {order!r}")
    a, b = _pair(predicted, target)
    if a.ndim != 2 or a.shape[1] not in ((2, 3) if order == 1 else (2,)):
        wanted = "(N, 2) or (N, 3)" if order == 1 else "(N, 2)"
        raise ValueError(f"angle_error expected {wanted} for order {order}, got {tuple(a.shape)}")
    cosine = (a * b).sum(1)
    if a.shape[1] == 2:
        sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs()
    else:
        sine = torch.linalg.cross(a, b).norm(dim=1)
    sizes = [x.norm(dim=1) for x in (a, b)]
    none = torch.stack([s <= _SHORT * s.amax() for s in sizes]).any(0) if len(a) else torch.zeros(0, dtype=torch.bool)
    return torch.rad2deg(torch.atan2(sine, cosine) / order).masked_fill(none, torch.nan)


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.shape != b.shape:
        raise ValueError(f"expected a prediction and a target of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    return a, b


def _squares(x: Tensor) -> Tensor:
    return x.flatten(1).square().sum(1) if x.ndim > 1 else x.square()


def _weights(weight: Tensor, size: Tensor) -> Tensor:
    if weight.shape != size.shape:
        raise ValueError(f"expected a weight for each of {len(size)} nodes, got {tuple(weight.shape)}")
    return weight.to(size)
