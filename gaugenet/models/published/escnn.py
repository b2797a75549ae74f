"""Weights of escnn (github.com/QUVA-Lab/escnn): R2Conv and InnerBatchNorm."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...fields import FieldType
from ...groups import Cyclic, Group, Representation
from ...nn import FieldNorm, GridConv
from .reading import State, bias_value, loaded, tap_weight

_CONV, _NORM = "R2Conv", "InnerBatchNorm"
#: so many batches that a running average is taken for one with the plain momentum, as torch's are
_MANY = 1_000_000


def escnn_type(group: Group, names: Sequence[str]) -> FieldType:
    """Their field type as one of ours: a block for equal fields that follow each other.

    Args:
        group: C_N, D_N, SO(2) or O(2), which acts on the plane there by their default axis: ``flipRot2dOnR2``, ``rot2dOnR2``.
        names: of the fields, as they print them: "regular", "irrep_k" of C_N and SO(2), "irrep_f,k" of D_N and O(2),
            "quotient[(None, 2)]" of two-fold turns.

    Raises:
        ValueError: other names.
    """
    blocks: list[tuple[int, Representation]] = []
    for name in map(str, names):
        rep = _representation(group, name)
        if blocks and blocks[-1][1] == rep:
            blocks[-1] = blocks[-1][0] + 1, rep
        else:
            blocks.append((1, rep))
    return FieldType(group, blocks)


def _representation(group: Group, name: str) -> Representation:
    if name == "regular":
        return group.regular
    if found := re.fullmatch(r"quotient\[\(?(?:None, ?)?(\d+)\)?\]", name):
        return group.quotient(Cyclic(int(found[1])))
    found = re.fullmatch(r"irrep_(?:(\d+),)?(\d+)", name)
    if found is None:
        raise ValueError(
            f"escnn_type: expected names such as 'regular', 'irrep_1', 'irrep_1,0', 'quotient[(None, 2)]', got {name!r}"
        )
    flip, order = found[1] or "0", found[2]
    candidates = [n for n in (order, f"{order}-") if group.canonical_name(n) is not None]
    for candidate in candidates:
        rep = group.irrep(candidate)
        if rep.dim == 2 or float(rep(_flip(group)[0])) == (-1.0) ** int(flip):
            return rep
    raise ValueError(f"escnn_type: {group} has no {name!r}")


def _flip(group: Group) -> Tensor:
    """Their reflection without a turn, x to -x; the identity of groups without."""
    return torch.diag(torch.tensor([-1.0 if group.reflects else 1.0, 1.0], dtype=torch.float64, device="cpu"))[None]


def escnn_basis(type: FieldType) -> Tensor:
    """(dim, dim) with our features = this matrix times theirs.

    Theirs go field by field, ours component by component of a block; over D_N and O(2) their reflection without a turn is that
    of x, ours that of y, which turns pairs of numbers of order k by 90 k degrees; regular fields have other orders of elements.
    """
    whole = torch.zeros(type.dim, type.dim, dtype=torch.float64, device="cpu")
    for (mul, rep), columns in zip(type.blocks, type.slices):
        q, n = _change(rep), rep.dim
        for copy in range(mul):
            rows = columns.start + torch.arange(n, device="cpu") * mul + copy
            there = slice(columns.start + copy * n, columns.start + (copy + 1) * n)
            whole[rows, there] = q
    return whole


def _change(rep: Representation) -> Tensor:
    group = rep.group
    if rep.rotation_order is not None:
        quarter = torch.tensor(rep.rotation_order * torch.pi / 2 if group.reflects else 0.0, dtype=torch.float64)
        cos, sin = quarter.cos(), quarter.sin()
        return torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
    if rep.dim == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    if not rep.is_permutation or group.order is None:
        raise ValueError(f"escnn_basis: expected irreps, regular and quotient fields, got {rep!r}")
    # Theirs are numbered by their elements: turns, then turned reflections; cosets by the first of each.
    turns = group.order // (2 if group.reflects else 1)
    angle = torch.arange(turns, dtype=torch.float64, device="cpu") * (2 * torch.pi / turns)
    rotation = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)
    elements = torch.cat([rotation, rotation @ _flip(group)]) if group.reflects else rotation
    place = rep(elements)[:, :, 0].argmax(1).tolist()  # where ours moves the first
    return torch.eye(rep.dim, dtype=torch.float64, device="cpu")[list(dict.fromkeys(place))].T.contiguous()


def escnn_conv(
    state: Mapping[str, Any],
    in_type: FieldType,
    out_type: FieldType,
    *,
    padding: int = 0,
    stride: int | Sequence[int] = 1,
    rings: Sequence[float] | None = None,
    sigma: float | Sequence[float] | None = None,
    max_frequency: int | Sequence[int] | Callable[[float], int] | None = None,
    prefix: str = "",
) -> GridConv:
    """R2Conv (Weiler & Cesa 2019, arXiv 1911.08251) as a :class:`gaugenet.nn.GridConv` with the band-limited basis.

    The state has to be that of a module in evaluation mode, ``module.eval().state_dict()``: their weights count kernels in an
    order of their own, and the expanded filter is there.

    Args:
        state: "filter" (out, in, k, k), and "expanded_bias" (out,) unless there is none; "weights", "bias", "bias_expansion"
            and what is under "_basisexpansion." are not needed.
        in_type, out_type: as of :func:`escnn_type`.
        padding, stride: of the convolution.
        rings, sigma, max_frequency: of the band-limited basis, as of GridConv, where theirs are not the defaults.
        prefix: of their names.

    Returns:
        A layer on features in our basis, see :func:`escnn_basis`.

    Raises:
        ValueError: names that are missing or too many, arrays of another shape; a filter that is none of the layer's.
    """
    found = State(state, prefix, _CONV)
    hint = ": a state in evaluation mode has the filter, module.eval().state_dict()"
    kernel = found.take("filter", (out_type.dim, in_type.dim, None, None), hint)
    bias = found.take("expanded_bias", (out_type.dim,)) if "expanded_bias" in found else None
    found.skip("weights", "bias", "_basisexpansion.")
    found.finish()
    kernel = torch.einsum("oO,OIyx,iI->yxio", escnn_basis(out_type), kernel, escnn_basis(in_type))
    size = kernel.shape[0]
    bounds: dict[str, Any] = {"rings": rings, "sigma": sigma, "max_frequency": max_frequency}
    conv = GridConv(in_type, out_type, size, padding, stride=stride, basis="band_limited", bias=bias is not None, **bounds)
    values = {"weight": tap_weight(conv, kernel.flatten(0, 1), _CONV)}
    if bias is not None and conv.bias is not None:
        values["bias.value"] = bias_value(conv.bias, escnn_basis(out_type) @ bias, _CONV)
    return loaded(conv, values, found.dtype)


def escnn_inner_batch_norm(state: Mapping[str, Any], type: FieldType, *, prefix: str = "") -> FieldNorm:
    """InnerBatchNorm as a :class:`gaugenet.nn.FieldNorm` in the mode "batch", of regular, quotient and scalar fields.

    Args:
        state: "batch_norm_[s].weight", "bias", "running_mean", "running_var" (fields,) and "num_batches_tracked" of the fields
            of every size s, and the constants "indices_s".
        type: as of :func:`escnn_type`.
        prefix: of their names.

    Raises:
        TypeError: fields that are not permuted. ValueError: names that are missing or too many, arrays of another shape.
    """
    for _, rep in type.blocks:
        if not rep.is_permutation:
            raise TypeError(f"{_NORM} expected regular, quotient or scalar fields, got {rep!r}")
    found = State(state, prefix, _NORM)
    counts: dict[int, int] = {}
    for mul, rep in type.blocks:
        counts[rep.dim] = counts.get(rep.dim, 0) + mul
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = {n: {s: found.take(f"batch_norm_[{s}].{n}", (count,)) for s, count in counts.items()} for n in names}
    for s in counts:
        found.skip(f"batch_norm_[{s}].num_batches_tracked", f"indices_{s}")
    found.finish()
    norm, start = FieldNorm(type), dict.fromkeys(counts, 0)
    values: dict[str, list[Tensor]] = {"gamma": [], "beta.value": [], "running_mean": [], "running_var": []}
    for mul, rep in type.blocks:
        part = slice(start[rep.dim], start[rep.dim] + mul)
        start[rep.dim] += mul
        weight, bias, mean, var = (arrays[n][rep.dim][part] for n in names)
        # Ours are along the invariant vector of unit length, on which a constant c has the coordinate c sqrt(n).
        for name, value in zip(values, (weight, bias * rep.dim**0.5, mean * rep.dim**0.5, var)):
            values[name].append(value)
    whole = {name: torch.cat(parts) for name, parts in values.items()}
    return loaded(norm, {**whole, "num_batches_tracked": torch.tensor(_MANY)}, found.dtype)
