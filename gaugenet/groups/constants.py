"""Constant arrays, and tensors of them that torch.compile takes as they are."""

from __future__ import annotations

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
