"""Constants of a module that stay exact under ``.double()`` and out of the state_dict."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConstantModule(nn.Module):
    """A module with non-persistent constants that are recast from float64 whenever the module changes dtype.

    A plain buffer that went through float32 would keep its rounding after ``.double()`` and spoil exactness.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, Tensor] = {}

    def register_constant(self, name: str, value: Tensor) -> None:
        """Register a float64 tensor; ``getattr(self, name)`` has the dtype and device of the module."""
        exact = value.detach().to("cpu", torch.float64).clone()
        self._exact[name] = exact
        self.register_buffer(name, exact.to(torch.get_default_dtype()), persistent=False)

    def constant(self, name: str, like: Tensor) -> Tensor:
        """A constant in the dtype of the features: a module without parameters may not have been cast to it."""
        buffer = getattr(self, name)
        return buffer if buffer.dtype == like.dtype else self._exact[name].to(like)

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        for name, exact in self._exact.items():
            buffer = getattr(self, name)
            if buffer.device.type != "meta":
                setattr(self, name, exact.to(device=buffer.device, dtype=buffer.dtype))
        return self
