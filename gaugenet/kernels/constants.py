"""Constants of a module that stay exact under ``.double()`` and out of the state_dict."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn


def _built_on_cpu(init: Callable) -> Callable:
    """A constructor that works on the CPU, where constants are solved for, then moves the module to torch's default device.

    Without it ``torch.set_default_device("cuda")`` and ``with torch.device("meta")`` would mix devices within.
    """

    @wraps(init)
    def wrapped(self, *args, **kwargs) -> None:
        device = torch.get_default_device()
        if device.type == "cpu":
            return init(self, *args, **kwargs)
        with torch.device("cpu"):
            init(self, *args, **kwargs)
        self.to(device)

    return wrapped


class ConstantModule(nn.Module):
    """A module with non-persistent constants that are made anew, from float64, whenever the module changes dtype or device.

    A plain buffer that went through float32 would keep its rounding after ``.double()`` and spoil exactness, and one that
    was on the meta device would have no values after ``to_empty``.
    """

    if TYPE_CHECKING:  # constants are tensors; nn.Module knows of tensors or modules

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _built_on_cpu(cls.__init__)  # type: ignore[method-assign]

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, Tensor] = {}

    def register_constant(self, name: str, value: Tensor | None) -> None:
        """Register numbers, kept in float64, or indices; ``getattr(self, name)`` has the device and, numbers, the dtype of
        the module. None registers nothing under the name.
        """
        if value is None:
            return self.register_buffer(name, None)
        number = value.is_floating_point()
        exact = value.detach().to("cpu", torch.float64 if number else value.dtype).clone()
        self._exact[name] = exact
        self.register_buffer(name, exact.to(torch.get_default_dtype() if number else exact.dtype), persistent=False)

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
