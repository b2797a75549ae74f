"""Which loop runs an operator: named in the call, by the environment variable GAUGENET_BACKEND, or chosen by the device."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

BACKENDS = ("auto", "reference", "cpu", "cuda", "cuda-on-chip")


def choose(
    backend: str, x: Tensor, loops: Mapping[str, Any], fits: Callable[[Any], bool], *, learnt: bool = False, what: str = ""
) -> str:
    """The name of the loop to run: one of ``loops``, or "reference" for plain torch.

    "auto" is what GAUGENET_BACKEND says, by default the loop of the device of x where it takes these features, and plain torch
    where it does not: for geometry that learns, and inside of torch.func transforms and forward-mode differentiation, which
    only plain torch knows. A loop that is named has to take the features; an operator without such a loop runs plain torch.

    Args:
        backend: one of BACKENDS.
        x: the features.
        loops: the loops of the operator by name.
        fits: whether a loop takes the features.
        learnt: whether gradients to the geometry are asked for.
        what: the features in words, for the error message.

    Raises:
        ValueError: an unknown backend, in the call or in the environment, or one that does not take the features.
    """
    source = ""
    if backend == "auto":
        backend, source = os.environ.get("GAUGENET_BACKEND", "auto"), " in the environment variable GAUGENET_BACKEND"
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}{source}: expected one of {', '.join(BACKENDS)}")
    if backend == "auto":
        loop = loops.get(x.device.type)
        fast = loop is not None and not learnt and not transformed() and fits(loop)
        return x.device.type if fast else "reference"
    if backend == "reference" or backend not in loops:
        return "reference"
    if not fits(loops[backend]):
        raise ValueError(
            f"backend {backend!r} takes irreps of planar groups, permutations and signs, in floating point on its device "
            f"(cuda-on-chip: irreps in at most 32 bits); got {x.dtype} on {x.device} and features {what}"
        )
    return backend


def transformed() -> bool:
    """Whether a torch.func transform or forward-mode differentiation is running."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
