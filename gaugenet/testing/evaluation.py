"""How the tests call a module: on a graph or without, in its own dtype and on its device."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn


def tensor_of(module: nn.Module, otherwise: Tensor) -> Tensor:
    """A parameter or buffer, for its dtype and device."""
    return next((p for p in [*module.parameters(), *module.buffers()] if p.is_floating_point()), otherwise)


def call(module: nn.Module, x: Tensor, graph: Any) -> Tensor:
    """module(x, graph), or module(x) when its forward takes one argument."""
    parameters = inspect.signature(module.forward).parameters
    return module(x, graph) if len(parameters) > 1 else module(x)
