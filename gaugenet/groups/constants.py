"""Constant arrays, and tensors of them that torch.compile takes as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch


def constant_array(values: np.ndarray) -> np.ndarray:
    """A read-only copy in float64."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def constant_tensor(array: np.ndarray) -> torch.Tensor:
    """A new CPU tensor with the values of a (read-only) array.

    Functions that return it are decorated with ``torch.compiler.assume_constant_result``, so that torch.compile stores the
    values instead of tracing how they were found. It takes all results of one function for one tensor, and when they differ in
    shape for one of dynamic shape, which fails; the mark is what ``torch._dynamo.mark_static`` sets (that function itself does
    nothing while compiling, and importing it is slow).
    """
    tensor = torch.from_numpy(array.copy())
    tensor._dynamo_static_indices = set(range(tensor.ndim))  # type: ignore[attr-defined]
    return tensor


def constant_of(make: Callable[..., np.ndarray]) -> Callable[..., torch.Tensor]:
    """A function that gives the array of ``make`` as a new CPU tensor, as often as a network that is compiled asks for it.

    The compiler takes the results of one ``assume_constant_result`` for one tensor, and refuses the second; numbers it takes as
    often as they come, and an operator makes the tensor of them.
    """

    @torch.compiler.assume_constant_result
    def numbers(*arguments: object) -> tuple[tuple[float, ...], tuple[int, ...], bool]:
        array = make(*arguments)
        return tuple(array.ravel().tolist()), array.shape, array.dtype.kind == "i"

    def get(*arguments: object) -> torch.Tensor:
        if torch.compiler.is_dynamo_compiling():  # torch.export takes the tensor, as ONNX wants it
            values, sizes, whole = numbers(*arguments)
            return _constant(torch.empty(0, device="cpu"), values, sizes, whole)
        return torch.from_numpy(make(*arguments).copy())

    return get


@torch.library.custom_op("gaugenet::constant", mutates_args=())
def _constant(like: torch.Tensor, values: Sequence[float], sizes: Sequence[int], whole: bool) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64 if whole else torch.float64, device=like.device).reshape(list(sizes))


@_constant.register_fake
def _(like: torch.Tensor, values: Sequence[float], sizes: Sequence[int], whole: bool) -> torch.Tensor:
    return like.new_empty(list(sizes), dtype=torch.int64 if whole else torch.float64)
