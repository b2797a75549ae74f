"""How the tests call a module: on a graph or without, in its own dtype and on its device."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def tensor_of(module: nn.Module, otherwise: Tensor) -> Tensor:
    """A parameter or buffer, for its dtype and device."""
    return next((p for p in [*module.parameters(), *module.buffers()] if p.is_floating_point()), otherwise)


def call(module: nn.Module, x: Tensor, graph: Any) -> Tensor:
    """module(x, graph), or module(x) when its forward takes one argument."""
    parameters = inspect.signature(module.forward).parameters
    return module(x, graph) if len(parameters) > 1 else module(x)


@contextmanager
def in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """A module in training or evaluation; modes and buffers (running averages) are put back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()] if training else []
    module.train(training)
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def call_again(module: nn.Module, x: Tensor, graph: Any, seed: int) -> Tensor:
    """As :func:`call`, with the same random numbers (dropout) for the same seed; those of the caller are left alone."""
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(seed)
        return call(module, x, graph)
