"""Layout: how the fused loops combine the aggregate and mix the combinations, as plain tensors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from ..fields import FieldType

# What a block of a field type does under a transporter with (cos, sin, det), or as an element of a finite group; of FLIP a sign
# for each element stands in the place of a permutation.
COPY, SIGN, ROTATE, PERMUTE, OTHER, FLIP = 0, 1, 2, 3, 4, 5


class Expansion(Protocol):
    """What a layout asks of a kernel (:class:`gaugenet.kernels.expansion.KernelExpansion`)."""

    in_type: FieldType
    out_type: FieldType
    num_radial: int
    num_angular: int
    dense: bool

    @property
    def num_columns(self) -> int: ...

    @property
    def paths(self) -> Sequence[tuple[int, int, int, int]]: ...

    def functionals(self, i: int, o: int, transposed: bool) -> Tensor: ...


class Layout(NamedTuple):
    """One direction of a convolution: what is carried, which combinations of the sums are needed, what mixes them.

    Attributes:
        blocks: (K, 5) kind, order (or offset in permutations), mul, first column and dim of every block that is carried.
        permutations: (P,) for every permutation representation in use: the row to which each element moves each column; for
            every one-dimensional one of a finite group: the sign of each element.
        entries: (M, 7) first output column z; row and first column of the aggregate A, twice (a and b); mul; 1 for the first
            entry of z. The row after the last column of the table is the centre itself.
        factors: (M, 2): out[z : z + mul] (+)= f A[a] + g A[b].
        groups: (O, 5) first column z, number of columns, first column and number of columns of the result, and offset of
            the matrix in the concatenated matrices; one row for each block of the result.
        columns: (3, Z') the entries one channel at a time: column z, places a and b in the flat aggregate.
        column_factors: (2, Z') f and g of them.
        whole: (1, 5) the blocks where transporters are all the identity: one that is copied, whatever its representation.
        shapes: of the matrix of each group.
        special: whether every block has a path in the fused loops.

    The tensors are on the CPU, int64 and float64.
    """

    blocks: Tensor
    permutations: Tensor
    entries: Tensor
    factors: Tensor
    groups: Tensor
    columns: Tensor
    column_factors: Tensor
    whole: Tensor
    shapes: tuple[tuple[int, int], ...]
    special: bool

    @property
    def tensors(self) -> list[Tensor]:
        """All fields that are tensors, in order."""
        return list(self[:-2])

    @classmethod
    def of(cls, tensors: list[Tensor]) -> Layout:
        """The inverse of :attr:`tensors`, of a special layout."""
        blocks, permutations, entries, factors, groups, columns, column_factors, whole = tensors
        shapes = _shapes(groups)
        return cls(blocks, permutations, entries, factors, groups, columns, column_factors, whole, shapes, True)

    @property
    def sizes(self) -> list[int]:
        """Number of combinations of each group."""
        return [size for size, _ in self.shapes]

    @property
    def width(self) -> int:
        """Number of columns of the result."""
        return sum(columns for _, columns in self.shapes)

    @property
    def standing(self) -> Layout:
        """The same for transporters that are all the identity."""
        return self._replace(blocks=self.whole, permutations=self.permutations[:0], special=True)

    def matrices(self, weight: Tensor) -> list[Tensor]:
        """Views of the matrices of the groups in one vector of them all."""
        return [part.view(shape) for part, shape in zip(weight.split([a * b for a, b in self.shapes]), self.shapes)]


def make_layout(expansion: Expansion, own: Expansion | None, transposed: bool) -> Layout:
    """The Layout of a kernel expansion, or of its backward pass.

    Args:
        expansion: of the neighbours (:class:`gaugenet.kernels.expansion.KernelExpansion`).
        own: of the centre's own weight (max_frequency None), or None.
        transposed: for the backward pass.
    """
    source, result = expansion.in_type, expansion.out_type
    if transposed:
        source, result = result, source
    centre = expansion.num_columns
    if expansion.dense:
        return _dense_layout(source, result, centre + (own is not None))
    parts = [(expansion, 0, _pairs(expansion)), *([(own, centre, _pairs(own))] if own is not None else [])]
    entries: list[tuple[int, ...]] = []
    factors: list[tuple[float, float]] = []
    groups = []
    z = offset = 0
    for r, ((mul_r, rep_r), columns) in enumerate(zip(result.blocks, result.slices)):
        first = z
        for part, row, pairs in parts:
            for s, ((mul, _), place) in enumerate(zip(source.blocks, source.slices)):
                pair = (r, s) if transposed else (s, r)
                if pair not in pairs:
                    continue
                functionals = part.functionals(*pair, transposed).cpu().numpy()
                for b in range(part.num_radial):
                    for functional in functionals:
                        _append(entries, factors, functional, z, row + b * part.num_angular, place.start, mul)
                        z += mul
        width = rep_r.dim * mul_r
        groups.append((first, z - first, columns.start, width, offset))
        offset += (z - first) * width
    return _layout(source, entries, factors, groups)


def _dense_layout(source: FieldType, result: FieldType, columns: int) -> Layout:
    """One matrix that mixes the whole aggregate (and the centre, its last row): nothing is combined before."""
    entries = [(j * source.dim, j, 0, j, 0, source.dim, 1) for j in range(columns)] if source.dim else []
    return _layout(source, entries, [(1.0, 0.0)] * len(entries), [(0, columns * source.dim, 0, result.dim, 0)])


def _layout(source: FieldType, entries: list, factors: list, groups: list) -> Layout:
    blocks, permutations = carried_blocks(source)
    group = torch.tensor(groups, dtype=torch.int64, device="cpu").reshape(-1, 5)
    entry = torch.tensor(entries, dtype=torch.int64, device="cpu").reshape(-1, 7)
    factor = torch.tensor(factors, dtype=torch.float64, device="cpu").reshape(-1, 2)
    mul = entry[:, 5]
    step = torch.arange(int(mul.sum()), device="cpu") - torch.repeat_interleave(mul.cumsum(0) - mul, mul)
    places = entry[:, 0], entry[:, 1] * source.dim + entry[:, 2], entry[:, 3] * source.dim + entry[:, 4]
    return Layout(
        blocks,
        permutations,
        entry,
        factor,
        group,
        torch.stack([torch.repeat_interleave(place, mul) + step for place in places]),
        torch.repeat_interleave(factor, mul, 0).T.contiguous(),
        torch.tensor([[COPY, 0, source.dim, 0, 1]], device="cpu"),
        _shapes(group),
        bool((blocks[:, 0] != OTHER).all()),
    )


_kept: WeakIdKeyDictionary = WeakIdKeyDictionary()


def kept_with(constant: Tensor, key: Hashable, make: Callable[[], Any]) -> Any:
    """What ``make`` gives, made once and kept as long as a constant that nobody changes, such as the blocks of a layout.

    So the tables of the loops on a GPU are copied there once, and not at every call.
    """
    found = _kept.setdefault(constant, {})
    if key not in found:
        with torch.inference_mode(False):  # what is made in evaluation must serve training
            found[key] = make()
    return found[key]


def there(constant: Tensor, device: torch.device) -> Tensor:
    """A constant on a device, copied there once. A compiler keeps it itself."""
    if constant.device == device or torch.compiler.is_compiling():
        return constant.to(device)
    return kept_with(constant, device, lambda: constant.to(device))


def _shapes(groups: Tensor) -> tuple[tuple[int, int], ...]:
    return tuple((rows, columns) for _, rows, _, columns, _ in groups.tolist())


def _pairs(expansion: Expansion) -> set[tuple[int, int]]:
    """(in block, out block) that a kernel joins."""
    return {(i, o) for i, o, start, stop in expansion.paths if stop > start}


def _append(entries: list, factors: list, functional: np.ndarray, z: int, row: int, column: int, mul: int) -> None:
    """The nonzero entries (d, y) of a functional, two at a time."""
    places = [(row + y, column + d * mul, functional[d, y]) for d, y in zip(*np.nonzero(functional))]
    for k in range(0, len(places), 2):
        (ja, ca, f), (jb, cb, g) = places[k], (places[k + 1] if k + 1 < len(places) else (*places[k][:2], 0.0))
        entries.append((z, ja, ca, jb, cb, mul, int(k == 0)))
        factors.append((f, g))


def carried_blocks(type: FieldType) -> tuple[Tensor, Tensor]:
    """Layout.blocks and Layout.permutations of features of a type."""
    rows, tables, offset = [], [], 0
    planar = type.group.dim == 2
    for (mul, rep), columns in zip(type.blocks, type.slices):
        order = rep.rotation_order or 0
        if rep.is_trivial:
            kind = COPY
        elif order:
            kind = ROTATE
        elif planar and rep.is_sign:
            kind = SIGN
        elif type.group.order is not None and rep.is_permutation:
            kind, order = PERMUTE, offset
            tables.append(rep.permutation_table().reshape(-1).to("cpu", torch.int64))
            offset += tables[-1].numel()
        elif type.group.order is not None and rep.dim == 1:
            kind, order = FLIP, offset
            tables.append(rep(type.group.elements).flatten().round().to("cpu", torch.int64))
            offset += tables[-1].numel()
        else:
            kind = OTHER
        rows.append((kind, order, mul, columns.start, rep.dim))
    blocks = torch.tensor(rows, dtype=torch.int64, device="cpu").reshape(-1, 5)
    return blocks, torch.cat(tables) if tables else torch.zeros(0, dtype=torch.int64, device="cpu")
