"""Weights of GrouPy (github.com/tscohen/GrouPy), p4 and p4m."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...fields import FieldType
from ...groups import Cyclic, Dihedral
from ...kernels import Lattice
from ...nn import GridConv
from .reading import State, bias_value, loaded, tap_weight

_SOURCE = "SplitGConv2D"
_ROTATION, _MIRROR = np.array([[0, -1], [1, 0]]), np.array([[-1, 0], [0, 1]])


def groupy_elements(order: int) -> np.ndarray:
    """Their elements in their order, integer matrices on (row, column): turns, then for p4m these with the rows reversed."""
    turns = [np.linalg.matrix_power(_ROTATION, k) for k in range(4)]
    return np.stack(turns if order == 4 else turns + [_MIRROR @ turn for turn in turns])


def groupy_order(order: int) -> Tensor:
    """(order,) the number of their element that each of ours is: ``x[:, :, groupy_order(4)]`` of theirs (B, C, 4, H, W)."""
    ours = Lattice.of("square").symmetries(Cyclic(4) if order == 4 else Dihedral(4))[1]
    theirs = groupy_elements(order)
    return torch.tensor([int(np.flatnonzero((theirs == m).all((1, 2)))[0]) for m in ours], device="cpu")


def groupy_conv(
    state: Mapping[str, Any], *, order: int = 4, stride: int | Sequence[int] = 1, padding: int = 0, prefix: str = ""
) -> GridConv:
    r"""P4ConvZ2, P4ConvP4, P4MConvZ2, P4MConvP4M (Cohen & Welling 2016, arXiv 1602.07576) as a :class:`gaugenet.nn.GridConv`.

    .. math:: K_{g h}(x) = w_{g^{-1} h}(g^{-1} x)

    from the component h of the input (none of images) to the component g of the output.

    Args:
        state: "weight" (out, in, 1 or order, k, k), "bias" (out,) unless there is none.
        order: of the group of the output, 4 or 8: ``output_stabilizer_size`` there.
        stride, padding: of the convolution.
        prefix: of their names.

    Returns:
        A layer of regular fields (in scalars from images), component by component: theirs (B, C, order, H, W) are
        ``x[:, :, groupy_order(order)].transpose(1, 2).flatten(1, 2)`` here.

    Raises:
        ValueError: names that are missing or too many, arrays of another shape.
    """
    if order not in (4, 8):
        raise ValueError(f"{_SOURCE}: expected order 4 (p4) or 8 (p4m), got {order!r}")
    found = State(state, prefix, _SOURCE)
    weight = found.take("weight", (None, None, None, None, None))
    c_out, c_in, components, size, width = weight.shape
    if components not in (1, order) or size != width:
        raise ValueError(f"{_SOURCE}: expected 'weight' (out, in, 1 or {order}, k, k), got {tuple(weight.shape)}")
    bias = found.take("bias", (c_out,)) if "bias" in found else None
    found.finish()
    group = Cyclic(4) if order == 4 else Dihedral(4)
    in_type = FieldType(group, [(c_in, group.trivial if components == 1 else group.regular)])
    conv = GridConv(in_type, FieldType(group, [(c_out, group.regular)]), size, padding, stride=stride, bias=bias is not None)
    elements = groupy_elements(order)
    number = {m.tobytes(): k for k, m in enumerate(elements)}
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1).reshape(-1, 2)
    centred = 2 * pixels - (size - 1)  # in halves of a pixel, so that even sizes have a middle
    bank = torch.zeros(order, c_out, components, c_in, size * size, dtype=torch.float64)
    flat = weight.flatten(3)
    for k, g in enumerate(elements):
        seen = (centred @ np.linalg.inv(g).round().astype(int).T + size - 1) // 2 @ np.array([size, 1])
        for h in range(components):
            back = number[(np.linalg.inv(g).round().astype(int) @ elements[h]).tobytes()] if components > 1 else 0
            bank[k, :, h] = flat[:, :, back][..., seen]
    ours = groupy_order(order)
    bank = bank[ours] if components == 1 else bank[ours][:, :, ours]
    matrices = bank.flatten(2, 3).flatten(0, 1).permute(2, 1, 0)
    values = {"weight": tap_weight(conv, matrices, _SOURCE)}
    if bias is not None and conv.bias is not None:
        values["bias.value"] = bias_value(conv.bias, bias.repeat(order), _SOURCE)
    return loaded(conv, values, found.dtype)
