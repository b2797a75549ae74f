"""Weights of MobiusCNNs (github.com/mauriceweiler/MobiusCNNs)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor

from ...checks import check_choice
from ...fields import FieldType
from ...groups import Reflection
from ...nn import GridConv, OnGrid
from ..moebius import MobiusCNN
from .reading import State, bias_value, loaded

_CONV, _NET = "MobiusConv", "MobiusGaugeCNN"
_NAMES = {"0": "triv", "0-": "sign", "regular": "reg"}


def moebius_fields(counts: tuple[int, int, int]) -> FieldType:
    """Their (trivial, sign-flip, regular) multiplicities as a field type.

    Their regular copies have both components side by side, ours component after component: :func:`moebius_channels`.
    """
    return FieldType(Reflection(), [(int(n), name) for n, name in zip(counts, _NAMES) if n])


def moebius_channels(counts: tuple[int, int, int]) -> Tensor:
    """(dim,) the number of their channel that each of ours is: ours = theirs[:, moebius_channels(counts)]."""
    scalars, copies = int(counts[0]) + int(counts[1]), int(counts[2])
    regular = torch.arange(2 * copies, device="cpu").view(-1, 2).t().flatten()
    return torch.cat([torch.arange(scalars, device="cpu"), scalars + regular])


def moebius_conv(
    state: Mapping[str, Any], in_fields: tuple[int, int, int], out_fields: tuple[int, int, int], *, prefix: str = ""
) -> GridConv:
    """MobiusConv (Weiler et al. 2021, arXiv 2106.06020, section 5) as a :class:`gaugenet.nn.GridConv` on the Moebius strip.

    Args:
        state: "weights_a2b" for a, b of triv, sign, reg that there are, (out, in, rows, k) where the first rows tell the others
            (k // 2 + 1 of symmetric kernels, k // 2 of antisymmetric ones, k with regular fields; in doubles between regular
            ones), "bias_triv" (out,), "bias_reg" (out,).
        in_fields, out_fields: multiplicities of trivial, sign-flip and regular fields.
        prefix: of their names.

    Returns:
        A layer on :func:`moebius_fields`.

    Raises:
        ValueError: names that are missing or too many, arrays of another shape.
    """
    found = State(state, prefix, _CONV)
    first = found.names("weights_")
    size = torch.as_tensor(state[prefix + first[0]]).shape[-1] if first else 0
    if not size % 2:
        raise ValueError(f"{_CONV}: expected kernels of an odd number of columns under {prefix}weights_*, got {size}")
    conv = GridConv(moebius_fields(in_fields), moebius_fields(out_fields), size, padding=None, padding_mode="moebius")
    values = {"weight": _weight(conv, found)}
    if conv.bias is not None:
        row = torch.zeros(conv.out_type.dim, dtype=torch.float64)
        for (mul, rep), columns in zip(conv.out_type.blocks, conv.out_type.slices):
            if not rep.is_sign:
                row[columns] = found.take(f"bias_{_NAMES[rep.name]}", (mul,)).repeat(rep.dim)
        values["bias.value"] = bias_value(conv.bias, row, _CONV)
    found.finish()
    return loaded(conv, values, found.dtype)


def _weight(conv: GridConv, found: State) -> Tensor:
    """A linear system: the parameters name the first rows of a kernel, of the first component of the output, and of the input
    too unless both are regular (then its components alternate with the copies)."""
    size, parts = conv.kernel_size, []
    for (i, (mul_in, rep_in)), (o, (mul_out, rep_out)) in product(*map(enumerate, (conv.in_type.blocks, conv.out_type.blocks))):
        named = 2 if rep_in.dim == rep_out.dim == 2 else 1
        rows = size if 2 in (rep_in.dim, rep_out.dim) else size // 2 + (rep_in == rep_out)
        name = f"weights_{_NAMES[rep_in.name]}2{_NAMES[rep_out.name]}"
        weights = found.take(name, (mul_out, mul_in * named, rows, size))
        basis = conv.expansion.basis(i, o).coefficients.double().unflatten(-1, (size, size))
        matrix = basis[:, 0, :named, :rows].flatten(1).t()
        values = weights.unflatten(1, (-1, named)).permute(2, 3, 4, 1, 0)  # (component, row, column, in, out)
        parts.append(torch.linalg.solve(matrix, values.flatten(3).flatten(0, 2)).flatten())
    return torch.cat(parts)


def moebius_cnn(state: Mapping[str, Any], mode: str, *, prefix: str = "") -> MobiusCNN:
    """MobiusGaugeCNN as a :class:`gaugenet.models.MobiusCNN`.

    Args:
        state: that of the published network, "mobius_cnn.k.*" and "classifier.k.*".
        mode: "scalar", "signflip", "regular", "irrep" or "mixed", as there.
        prefix: of their names.

    Raises:
        ValueError: another mode; names that are missing or too many, arrays of another shape.
    """
    fields = {"scalar": "trivial", "signflip": "sign", "regular": "regular", "irrep": "irrep", "mixed": "mixed"}
    check_choice(_NET, "mode", mode, tuple(fields))
    found = State(state, prefix, _NET)
    first = next((n for n in ("triv2triv", "triv2sign", "triv2reg") if f"mobius_cnn.0.weights_{n}" in found), None)
    name = f"mobius_cnn.0.weights_{first}"
    weights = found.take(name, (None, None, None, None), f": expected that of a network of mode {mode!r}")
    last = found.take("classifier.7.weight", (None, None))
    net = MobiusCNN(fields[mode], len(last), in_channels=weights.shape[1], kernel_size=weights.shape[3]).double()
    values: dict[str, Tensor] = {}
    for k, layer in enumerate(net.body):
        here = f"mobius_cnn.{k}."
        if isinstance(layer, GridConv):
            ends = (_counts(layer.in_type), _counts(layer.out_type))
            conv = moebius_conv(state, *ends, prefix=prefix + here).double()
            values |= {f"body.{k}.{n}": value for n, value in conv.state_dict().items()}
            found.skip(here)
        elif isinstance(layer, OnGrid) and (signs := _counts(layer.in_type)[1]):
            values[f"body.{k}.layer.bias"] = found.take(f"{here}bias_sign", (1, signs, 1, 1)).flatten()
    for n, value in net.head.state_dict().items():
        values[f"head.{n}"] = found.take(f"classifier.{n}", tuple(value.shape)).to(value.dtype)
    found.finish()
    return loaded(net, values, found.dtype)


def _counts(type: FieldType) -> tuple[int, int, int]:
    found = {rep.name: mul for mul, rep in type.blocks}
    return found.get("0", 0), found.get("0-", 0), found.get("regular", 0)
