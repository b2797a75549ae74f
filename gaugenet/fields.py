"""Field types: which representation of the structure group each channel of a feature belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from .checks import check_instance, check_int, owner_name
from .groups import BandLimited, Group, Representation
from .groups.representation import block_diagonal


@dataclass(frozen=True, init=False, repr=False)
class FieldType:
    """A direct sum of blocks, each `mul` copies of one representation of a group: ``FieldType(SO2(), "16x0 + 16x1 + 16x2")``.

    Features are (..., dim). A block of `mul` copies of a representation of dimension n is stored component-major, (n, mul)
    flattened: channels last and contiguous. Hence ``ft(g)`` is block-diagonal with blocks rho(g) x 1_mul. Under a gauge change
    by h a feature f becomes ``ft.transform(h^-1, f)``. Immutable, hashable, comparable, picklable; iteration gives the pairs
    (mul, representation), ``len(ft)`` their number.

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

    group: Group
    blocks: tuple[tuple[int, Representation], ...]
    dim: int
    slices: tuple[slice, ...]

    def __init__(self, group: Group, blocks: str | Representation | Iterable[tuple[int, Representation | str | int]]):
        if not isinstance(group, Group):
            raise TypeError(f"FieldType takes a group first, such as groups.SO2(), got {group!r}")
        pairs: Iterable[object]
        if isinstance(blocks, str):
            pairs = _parse(blocks)
        elif isinstance(blocks, Representation):
            pairs = [(1, blocks)]
        elif isinstance(blocks, Iterable):
            pairs = blocks
        else:
            raise TypeError(f'blocks are a string such as "16x0 + 16x1" or pairs (mul, representation), got {blocks!r}')
        checked = tuple(_check_block(group, pair) for pair in pairs)
        slices, start = [], 0
        for mul, rep in checked:
            slices.append(slice(start, start + mul * rep.dim))
            start += mul * rep.dim
        for name, value in (("group", group), ("blocks", checked), ("dim", start), ("slices", tuple(slices))):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple:
        return FieldType, (self.group, self.blocks)

    def __hash__(self) -> int:
        return hash((self.group, self.blocks))

    def __iter__(self) -> Iterator[tuple[int, Representation]]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __bool__(self) -> bool:
        return True

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

    def randn(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> torch.Tensor:
        """Features (*batch, dim) of independent standard normal numbers, whose distribution no frame change alters."""
        return torch.randn(*batch, self.dim, generator=generator, dtype=dtype, device=device)

    def simplify(self) -> FieldType:
        """One block for every representation, in the order of first appearance, with all its copies.

        The layout of features changes: also where equal blocks follow each other, since (n, mul1) and (n, mul2) flattened one
        after the other are not (n, mul1 + mul2) unless n = 1. ``x[..., ft.permutation(ft.simplify())]`` moves features over.
        """
        copies: dict[Representation, int] = {}
        for mul, rep in self.blocks:
            copies[rep] = copies.get(rep, 0) + mul
        return FieldType(self.group, [(mul, rep) for rep, mul in copies.items()])

    def irreducible(self) -> FieldType:
        """The same features with a block for every irrep of the band-limited functions among the fields; the layout stays."""
        parts: list[tuple[int, Representation]] = []
        for mul, rep in self.blocks:
            parts += [(mul, part) for part in rep.parts] if isinstance(rep, BandLimited) else [(mul, rep)]
        return FieldType(self.group, parts)

    def permutation(self, other: FieldType) -> torch.Tensor:
        """Index (dim,) that brings features of this type into the layout of another with the same fields in other blocks.

        ``y = x[..., ft.permutation(other)]`` is of type ``other``. The copies of a representation keep their order.

        Raises:
            ValueError: the other type has other fields.
        """
        if not isinstance(other, FieldType) or set(self.simplify()) != set(other.simplify()):
            raise ValueError(f"expected a type with the fields of {self} over {self.group}, in any order, got {other!r}")
        columns: dict[Representation, list[torch.Tensor]] = {}
        for (_, rep), block in zip(self.blocks, self.split(torch.arange(self.dim, device="cpu"))):
            columns.setdefault(rep, []).append(block)
        copies = {rep: torch.cat(blocks, -1) for rep, blocks in columns.items()}  # (n, copies)
        taken = dict.fromkeys(copies, 0)
        parts = [torch.zeros(0, dtype=torch.int64, device="cpu")]
        for mul, rep in other.blocks:
            parts.append(copies[rep][:, taken[rep] : taken[rep] + mul].flatten())
            taken[rep] += mul
        return torch.cat(parts)

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

    def __str__(self) -> str:
        return " + ".join(f"{mul}x{rep.name}" for mul, rep in self.blocks)

    def __repr__(self) -> str:
        return f'FieldType({self.group}, "{self}")'


def check_field_types(owner: object, **types: object) -> None:
    """TypeError, naming the ``owner`` (a name or an object) and the argument, unless all are field types over one group."""
    wanted = 'a field type, such as FieldType(groups.SO2(), "16x0 + 16x1")'
    checked = [check_instance(owner, name, value, FieldType, wanted) for name, value in types.items()]
    groups = list(dict.fromkeys(type.group for type in checked))
    if len(groups) > 1:
        names, found = " and ".join(types), " and ".join(map(str, groups))
        raise TypeError(f"{owner_name(owner)} expected {names} over one group, got {found}: restrict one of them")


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


def _check_block(group: Group, pair: object) -> tuple[int, Representation]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TypeError(f"a block is a pair (mul, representation), got {pair!r}")
    mul, rep = pair
    mul = check_int("FieldType", "a multiplicity", mul)
    if not isinstance(rep, Representation):
        rep = group.representation(rep)
    if rep.group != group:
        raise ValueError(f"{rep!r} is not a representation of {group}")
    return mul, rep
