"""Field types: which representation of the structure group each channel of a feature belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from numbers import Integral

import torch

from .groups import Group, Representation
from .groups.representation import block_diagonal


class FieldType:
    """A direct sum of blocks, each `mul` copies of one representation of a group: ``FieldType(SO2(), "16x0 + 16x1 + 16x2")``.

    Features are (..., dim). A block of `mul` copies of a representation of dimension n is stored component-major, (n, mul)
    flattened: channels last and contiguous. Hence ``ft(g)`` is block-diagonal with blocks rho(g) x 1_mul. Under a gauge
        change by h a feature f
    becomes ``ft.transform(h^-1, f)``. Immutable, hashable, comparable, picklable.

    Args:
        group: G.
        blocks: a string of terms ``[mul x] name`` joined by "+", names as in ``group.representation`` ("0", "1", "0-",
            "regular", "trivial", "standard", ...); or pairs (mul, representation or name); or one representation.

    Attributes:
        group, blocks (tuple of (mul, Representation)), dim, slices (one slice of the last axis per block).

    Raises:
        ValueError: a term that cannot be read, a name the group does not have, mul < 1, a representation of another group.
        TypeError: arguments of another type.
    """

    __slots__ = ("blocks", "dim", "group", "slices")

    def __init__(self, group: Group, blocks: str | Representation | Iterable[tuple[int, Representation | str | int]]):
        if not isinstance(group, Group):
            raise TypeError(f"FieldType takes a group first, such as groups.SO2(), got {group!r}")
        if isinstance(blocks, str):
            pairs = _parse(blocks)
        elif isinstance(blocks, Representation):
            pairs = [(1, blocks)]
        elif isinstance(blocks, Iterable):
            pairs = list(blocks)
        else:
            raise TypeError(f'blocks are a string such as "16x0 + 16x1" or pairs (mul, representation), got {blocks!r}')
        checked = tuple(_check_block(group, pair) for pair in pairs)
        slices, start = [], 0
        for mul, rep in checked:
            slices.append(slice(start, start + mul * rep.dim))
            start += mul * rep.dim
        for name, value in (("group", group), ("blocks", checked), ("dim", start), ("slices", tuple(slices))):
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        raise AttributeError("a FieldType is immutable")

    __delattr__ = __setattr__

    def __reduce__(self):
        return FieldType, (self.group, self.blocks)

    def __call__(self, g: torch.Tensor) -> torch.Tensor:
        """The whole matrix (..., dim, dim) at g (..., d, d). Large: `transform` applies it without forming it."""
        blocks = []
        for mul, rep in self.blocks:
            matrix = rep(g)
            eye = torch.eye(mul, dtype=g.dtype, device=g.device)
            product = torch.einsum("...ij,ab->...iajb", matrix, eye)
            blocks.append(product.reshape(*g.shape[:-2], mul * rep.dim, mul * rep.dim))
        return block_diagonal(blocks) if blocks else g.new_zeros(*g.shape[:-2], 0, 0)

    def transform(self, g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """ft(g) x for g (..., d, d) and x (..., dim), block by block; batch shapes broadcast."""
        parts = []
        for (_, rep), part in zip(self.blocks, self.split(x)):
            moved = torch.einsum("...ij,...jc->...ic", rep(g), part)
            parts.append(moved)
        return self.join(parts) if parts else x

    def split(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The blocks of x (..., dim) as views (..., n, mul). As with torch.split, autograd lets none be changed in place."""
        if x.shape[-1:] != (self.dim,):
            raise ValueError(f"a feature of type {self} has last dimension {self.dim}, got shape {tuple(x.shape)}")
        parts = x.split([part.stop - part.start for part in self.slices], -1)
        return [part.unflatten(-1, (rep.dim, mul)) for part, (mul, rep) in zip(parts, self.blocks)]

    def join(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """The inverse of `split`: blocks (..., n, mul) to (..., dim)."""
        shapes = [tuple(part.shape[-2:]) for part in parts]
        wanted = [(rep.dim, mul) for mul, rep in self.blocks]
        if shapes != wanted:
            raise ValueError(f"blocks of {self} end in {wanted}, got {shapes}")
        return torch.cat([part.flatten(-2) for part in parts], -1)

    def __add__(self, other: FieldType) -> FieldType:
        """The blocks of both, in order. ValueError for different groups."""
        if not isinstance(other, FieldType):
            return NotImplemented
        if self.group != other.group:
            raise ValueError(f"field types of different groups cannot be added: {self.group} and {other.group}")
        return FieldType(self.group, self.blocks + other.blocks)

    def restrict(self, subgroup: Group) -> FieldType:
        """The same features seen by a subgroup of G. ValueError when it is none."""
        return FieldType(subgroup, [(mul, rep.restrict(subgroup)) for mul, rep in self.blocks])

    def __eq__(self, other) -> bool:
        if not isinstance(other, FieldType):
            return NotImplemented
        return self.group == other.group and self.blocks == other.blocks

    def __hash__(self) -> int:
        return hash((self.group, self.blocks))

    def __str__(self) -> str:
        return " + ".join(f"{mul}x{rep.name}" for mul, rep in self.blocks)

    def __repr__(self) -> str:
        return f'FieldType({self.group}, "{self}")'


def _parse(text: str) -> list[tuple[int, str]]:
    pairs = []
    for term in text.split("+"):
        match = re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?([^\s].*?)\s*", term)
        if match is None:
            raise ValueError(
                f'cannot read {term.strip()!r} in the field type "{text}": expected terms like 16x1, joined by "+"'
            )
        pairs.append((int(match[1] or 1), match[2]))
    return pairs


def _check_block(group: Group, pair) -> tuple[int, Representation]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TypeError(f"a block is a pair (mul, representation), got {pair!r}")
    mul, rep = pair
    if isinstance(mul, bool) or not isinstance(mul, Integral):
        raise TypeError(f"a multiplicity is an integer, got {mul!r}")
    if mul < 1:
        raise ValueError(f"a multiplicity is at least 1, got {mul}")
    if not isinstance(rep, Representation):
        rep = group.representation(rep)
    if rep.group != group:
        raise ValueError(f"{rep!r} is not a representation of {group}")
    return int(mul), rep
