"""What the readers share: arrays of a state by their names, with errors that say what is missing; kernels by least squares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...kernels import SteerableBasis
from ...nn import FieldBias, GaugeConv, GaugeLinear, GridConv, LatticeConv

# Relative to the kernel: what a published kernel may have beside the kernels of a layer, from single precision.
_ROUNDING = 1e-5
Layer = TypeVar("Layer", bound=nn.Module)


class State:
    """The arrays of one layer in a state_dict, in float64 on the CPU; ``dtype`` is the widest that they have.

    Args:
        state: arrays or tensors by name. prefix: of the layer's names in it; names that begin otherwise are not looked at.
        source: whose layer it is, for error messages.
    """

    def __init__(self, state: Mapping[str, Any], prefix: str, source: str) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"{source}: expected a state_dict, arrays by name, got {type(state).__name__}")
        self.source, self.prefix, self._read = source, prefix, set[str]()
        self._arrays = {str(name)[len(prefix) :]: value for name, value in state.items() if str(name).startswith(prefix)}
        self.dtype = torch.float32

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def names(self, start: str) -> list[str]:
        """Those that begin so."""
        return [name for name in self._arrays if name.startswith(start)]

    def take(self, name: str, shape: tuple[int | None, ...], hint: str = "") -> Tensor:
        """The array of a name. ValueError when there is none, or one of another shape (None: any length)."""
        self._read.add(name)
        if name not in self._arrays:
            raise ValueError(
                f"{self.source}: no {self.prefix + name!r} in the state, which has "
                f"{', '.join(sorted(self._arrays)[:8]) or 'nothing of this prefix'}{hint}"
            )
        value = torch.as_tensor(self._arrays[name]).detach().to("cpu", torch.float64)
        if torch.as_tensor(self._arrays[name]).dtype == torch.float64:
            self.dtype = torch.float64
        if value.dim() != len(shape) or any(n is not None and n != m for n, m in zip(shape, value.shape)):
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(f"{self.source}: expected {self.prefix + name!r} of shape ({wanted}), got {tuple(value.shape)}")
        return value

    def skip(self, *starts: str) -> None:
        """Take note of names that hold nothing new: constants of their code."""
        self._read |= {name for name in self._arrays if name.startswith(starts)}

    def finish(self) -> None:
        """ValueError for names that nobody has asked for."""
        if left := sorted(self._arrays.keys() - self._read):
            raise ValueError(
                f"{self.source}: expected no {', '.join(repr(self.prefix + name) for name in left[:8])} in the state"
            )


def loaded(layer: Layer, values: Mapping[str, Tensor], dtype: torch.dtype) -> Layer:
    """The layer with the values of its parameters and buffers."""
    wide = layer.double()
    kept = {name: value for name, value in wide.state_dict().items() if name not in values}
    wide.load_state_dict({**kept, **values})
    return wide.to(dtype)


def solved(matrix: Tensor, wanted: Tensor, source: str) -> Tensor:
    """The weights (K, ...) whose combination of the columns (M, K) gives the numbers (M, ...). ValueError where none does."""
    found = torch.linalg.lstsq(matrix, wanted.flatten(1)).solution
    if (matrix @ found - wanted.flatten(1)).norm() > _ROUNDING * wanted.norm():
        raise ValueError(f"{source}: the kernel is none of those that are equivariant for these field types")
    return found.view(-1, *wanted.shape[1:])


def polar_weight(conv: GaugeConv, kernel: Callable[[int, int, Tensor], Tensor], source: str) -> Tensor:
    """The weights of a GaugeConv with polar kernels from its kernels on the unit circle.

    Args:
        kernel: called with (in block, out block, angles (T,)) gives (B, T, mul_out, dim_out, mul_in, dim_in), for each radial
            function.
    """
    frequency = conv.max_frequency or 0
    angle = torch.arange(4 * frequency + 4, dtype=torch.float64) * (2 * torch.pi / (4 * frequency + 4))
    points = torch.stack([angle.cos(), angle.sin()], -1)
    weight = torch.zeros(conv.expansion.num_weights, dtype=torch.float64)
    for i, o, start, stop in conv.expansion.paths:
        basis = SteerableBasis(conv.in_type.blocks[i][1], conv.out_type.blocks[o][1], frequency)(points)  # (T, K, out, in)
        wanted = kernel(i, o, angle).permute(1, 3, 5, 0, 4, 2)  # (T, dim_out, dim_in, B, mul_in, mul_out)
        found = solved(basis.permute(0, 2, 3, 1).flatten(0, 2), wanted.flatten(0, 2), source)
        weight[start:stop] = found.transpose(0, 1).flatten()
    return weight


def tap_weight(conv: LatticeConv | GridConv | GaugeLinear, matrices: Tensor, source: str) -> Tensor:
    """The weights of a layer of one matrix at every tap from these (T, in_type.dim, out_type.dim)."""
    expansion, parts = conv.expansion, []
    for i, o, *_ in expansion.paths:
        (mul_in, rep_in), (mul_out, rep_out) = conv.in_type.blocks[i], conv.out_type.blocks[o]
        block = matrices[:, conv.in_type.slices[i], conv.out_type.slices[o]]
        wanted = block.reshape(len(matrices), rep_in.dim, mul_in, rep_out.dim, mul_out).permute(3, 1, 0, 2, 4)
        basis = expansion.basis(i, o).coefficients.cpu().double()  # (K, dim_out, dim_in, T)
        parts.append(solved(basis.flatten(1).T, wanted.flatten(0, 2), source).flatten())
    return torch.cat(parts)


def bias_value(bias: FieldBias, row: Tensor, source: str) -> Tensor:
    """The parameter of a bias from what is added to every component (type.dim,). ValueError where that is not invariant."""
    wide = bias.double()
    factor, place = wide.get_buffer("factor"), wide.get_buffer("place")
    # Coordinates along the invariant vectors, which are orthonormal.
    value = torch.zeros(bias.value.shape, dtype=torch.float64).index_add(0, place.flatten(), (factor * row).flatten())
    if ((value[place] * factor).sum(0) - row).norm() > _ROUNDING * row.norm():
        raise ValueError(f"{source}: the bias is not one that the group leaves as it is")
    return value


def turn(angle: Tensor, order: int) -> Tensor:
    """(T,) to the matrices (T, n, n) of the irrep of an order of SO(2)."""
    if order == 0:
        return torch.ones_like(angle)[:, None, None]
    cos, sin = (order * angle).cos(), (order * angle).sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
