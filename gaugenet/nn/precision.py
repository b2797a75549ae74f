"""The precision that features have inside a layer: that of an autocast region, and more where squares are taken."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def autocast(x: Tensor) -> Tensor:
    """The features in the dtype of the autocast region round the layer, if there is one (float64 stays)."""
    if in_autocast(x) and x.dtype != torch.float64:
        return x.to(torch.get_autocast_dtype(x.device.type))
    return x


def in_autocast(x: Tensor) -> bool:
    """Whether there is an autocast region round the layer."""
    # torch has no autocast on the meta device, and refuses to be asked.
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)


def no_autocast(x: Tensor) -> AbstractContextManager:
    """A region without autocast, on the device of x."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def room_for_squares(x: Tensor) -> Tensor:
    """float16 has no squares of numbers above 255, and none of small ones: norms of such features are taken in float32."""
    return x.float() if x.dtype == torch.float16 else x
