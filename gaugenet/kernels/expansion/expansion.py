"""From weights to kernel matrices: the one linear map that every convolution of the library shares."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ...fields import FieldType, check_field_types
from ...groups import Representation
from ..basis import IntertwinerBasis
from ..constants import ConstantModule
from ..kernel import Columns, Entries, KernelBasis, OrbitKernels
from .reduction import reduction

_ZERO = 1e-12
# Blocks of as many copies are expanded as one up to this dimension: fewer products, and hardly larger ones.
_TOGETHER = 8
# Coefficients above this number are not formed where every kernel lives on one orbit of entries.
_MANY = 2_000_000


class KernelExpansion(ConstantModule):
    r"""Expands a flat weight vector into the J matrices that act on the aggregate.

    .. math:: W_{(b, y)} = \sum_k w_{b,k}\, Q_k[:, :, y], \qquad K(x) = \sum_j \varphi_j(x)\, W_j, \quad J = B\, Y

    with Q the basis of every pair of blocks (Weiler et al. 2021, arXiv 2106.06020, eq. 4.41 ff). The flat vector holds, for
    every pair (in block, out block) in order, an array (B, K, mul_in, mul_out).

    Args:
        in_type, out_type: field types over one group.
        basis: gives Q for a pair of representations: something with ``coefficients`` (K, dim_out, dim_in, Y) of unit norm.
        columns: the functions phi on graphs; None for kernels of arrays and of the centre.
        num_radial: number B of radial functions.
        dense: mix the aggregate with the whole matrices W. Otherwise the combinations that the kernels use are collected first
            (:mod:`gaugenet.kernels.expansion.reduction`), which is less work when Q is sparse.

    Raises:
        TypeError: types of two groups.
    """

    #: no blocks of channels to tell apart, see :class:`gaugenet.kernels.kernel.TapExpansion`
    parts = 1

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        basis: Callable[[Representation, Representation], KernelBasis],
        *,
        columns: Columns | None = None,
        num_radial: int = 1,
        dense: bool = False,
    ) -> None:
        super().__init__()
        check_field_types(self, in_type=in_type, out_type=out_type)
        # Between functions the kernels are those between their irreps.
        self.in_type, self.out_type = in_type, out_type = in_type.irreducible(), out_type.irreducible()
        self.columns, self.num_radial, self.dense = columns, num_radial, dense
        self._bases = {
            (i, o): basis(rep_in, rep_out)
            for i, (_, rep_in) in enumerate(in_type.blocks)
            for o, (_, rep_out) in enumerate(out_type.blocks)
        }
        entries: dict[tuple[int, int], Entries | None] = {p: getattr(b, "entries", None) for p, b in self._bases.items()}
        orbits = {pair: _large_orbits(found) if dense else None for pair, found in self._bases.items()}
        kernels = {pair: b.coefficients for pair, b in self._bases.items() if entries[pair] is None and orbits[pair] is None}
        sizes = {pair: _size(kernels.get(pair), entries[pair], orbits[pair]) for pair in self._bases}
        #: Y, the number of columns per radial function
        self.num_angular = next((columns for _, columns in sizes.values()), 1)
        #: (in block, out block, start, stop) in the flat vector
        self.paths: list[tuple[int, int, int, int]] = []
        counts = {pair: number for pair, (number, _) in sizes.items()}
        self._counts = list(counts.values())
        start = 0
        for (i, o), count in counts.items():
            stop = start + num_radial * count * in_type.blocks[i][0] * out_type.blocks[o][0]
            self.paths.append((i, o, start, stop))
            start = stop
        self.num_weights = start
        self._runs_in, self._runs_out = _runs(in_type), _runs(out_type)
        for a, run_in in enumerate(self._runs_in):
            for b, run_out in enumerate(self._runs_out):
                pairs = [[(i, o) for o in run_out.blocks] for i in run_in.blocks]
                single = [[entries[pair] for pair in row] for row in pairs]
                several = orbits[pairs[0][0]]  # of large representations, whose runs are single blocks
                if several is not None:
                    self._register_orbits(f"{a}_{b}", several)
                elif all(found is not None for row in single for found in row):
                    self._register_entries(f"{a}_{b}", cast("list[list[Entries]]", single))
                else:
                    self._register(f"{a}_{b}", [[self._bases[pair].coefficients for pair in row] for row in pairs])
        #: numbers of weights of one radial function, from every block to every run
        self._sizes = [
            sum(counts[i, o] for o in run.blocks) * mul * run.mul
            for i, (mul, _) in enumerate(in_type.blocks)
            for run in self._runs_out
        ]
        if not dense:
            for i, o, start, stop in self.paths:
                for transposed in (0, 1) if stop > start else ():
                    self.register_constant(f"spread{transposed}_{i}_{o}", self._reduction(i, o, bool(transposed))[1])

    def _register_entries(self, name: str, entries: list[list[Entries]]) -> None:
        """The same as :meth:`_register` of kernels that have no entry in common, without the kernels."""
        places, factors, start = [], [], 0
        for row in entries:
            firsts = list(accumulate((found.number for found in row), initial=start))
            places.append(torch.cat([found.place + first for found, first in zip(row, firsts)]))
            factors.append(torch.cat([found.factor for found in row]))
            start = firsts[-1]
        place, factor = (torch.cat(parts, 1).transpose(1, 2).flatten() for parts in (places, factors))
        self.register_constant(f"factor_{name}", factor.unsqueeze(-1))
        self.register_constant(f"place_{name}", place)

    def _register_orbits(self, name: str, found: OrbitKernels) -> None:
        """The same of kernels that live on one orbit each: a small matrix for every orbit, and where its rows belong."""
        orbits, most = found.slots.shape
        flat = found.orbit.flatten()
        members = torch.bincount(flat, minlength=orbits)
        order = torch.argsort(flat, stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(flat)) - (members.cumsum(0) - members)[flat[order]]
        width = int(members.max())
        blocks = torch.zeros(orbits, width, self.num_angular, most, dtype=torch.float64, device="cpu")
        blocks[flat, rank] = found.values.flatten(0, 1).transpose(1, 2)
        rows, columns = found.orbit.shape
        angular = torch.arange(self.num_angular, device="cpu")
        place = (flat * width + rank).view(rows, 1, columns) * self.num_angular + angular[:, None]
        self.register_constant(f"blocks_{name}", blocks.flatten(1, 2))
        self.register_constant(f"slots_{name}", found.slots.clamp_min(0).flatten())  # of no kernel the values are zero
        self.register_constant(f"place_{name}", place.flatten())

    def _register(self, name: str, kernels: list[list[Tensor]]) -> None:
        """What spreads the weights of two runs over the columns: (dim_out Y dim_in, K), K over all pairs of their blocks."""
        dims_in, dims_out = [row[0].shape[2] for row in kernels], [kernel.shape[1] for kernel in kernels[0]]
        count = sum(len(kernel) for row in kernels for kernel in row)
        spread = torch.zeros(sum(dims_out), self.num_angular, sum(dims_in), count, dtype=torch.float64, device="cpu")
        parts = [part.split(dims_out) for part in spread.split(dims_in, 2)]
        start = 0
        for row, places in zip(kernels, parts):
            for kernel, place in zip(row, places):
                place[..., start : start + len(kernel)] = kernel.permute(1, 3, 2, 0)
                start += len(kernel)
        spread = spread.flatten(0, 2)
        used = spread.abs() > _ZERO
        if count and used.count_nonzero() <= len(used) and (used.sum(-1) <= 1).all():
            # With permutations every entry is one weight.
            place = spread.abs().argmax(-1)
            self.register_constant(f"factor_{name}", spread.gather(-1, place.unsqueeze(-1)))
        else:
            # The symmetries of the taps repeat the entries of regular fields.
            spread, place = _distinct(spread)
            self.register_constant(f"spread_{name}", spread)
        self.register_constant(f"place_{name}", place)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """One flat vector."""
        return {"weight": (self.num_weights,)}

    def initial_parameters(self) -> dict[str, Tensor]:
        """:meth:`initial_weight` by the name of the parameter."""
        return {"weight": self.initial_weight()}

    def flat_weight(self, *parameters: Tensor) -> Tensor:
        """The flat vector (num_weights,) of a layer's parameters, in the order of :attr:`parameter_shapes`: here it is one."""
        return parameters[0]

    def basis(self, i: int, o: int) -> KernelBasis:
        """Q of the pair (in block, out block)."""
        return self._bases[i, o]

    @property
    def num_columns(self) -> int:
        """J."""
        return self.num_radial * self.num_angular

    def initial_weight(self) -> Tensor:
        """Random weights that keep the variance of the output near that of the input: (num_weights,)."""
        fan = [0] * len(self.out_type.blocks)
        for (i, o, *_), count in zip(self.paths, self._counts):
            fan[o] += self.in_type.blocks[i][0] * count
        weight = torch.randn(self.num_weights, device="cpu")
        for _, o, start, stop in self.paths:
            if stop > start:
                # A basis element has unit Frobenius norm: sqrt(dim_out) brings each output component to unit variance.
                weight[start:stop] *= (self.out_type.blocks[o][1].dim / fan[o]) ** 0.5
        return weight

    def forward(self, weight: Tensor) -> Tensor:
        """(num_weights,) -> (J, in_type.dim, out_type.dim); for B = 1 in memory (out, J, in), channels_last for conv2d."""
        if self.num_radial == 1:
            return self._matrices(weight)
        parts = [weight[start:stop].view(self.num_radial, -1) for _, _, start, stop in self.paths]
        rows = torch.cat(parts, 1) if parts else weight.view(self.num_radial, 0)
        return torch.cat([self._matrices(row) for row in rows.unbind(0)])

    def _matrices(self, weight: Tensor) -> Tensor:
        """The matrices (Y, in_type.dim, out_type.dim) of one radial function."""
        pieces, rows, stride = weight.split(self._sizes), [], len(self._runs_out)
        for b, run_out in enumerate(self._runs_out):
            parts = []
            for a, run_in in enumerate(self._runs_in):
                path = _joined([pieces[i * stride + b] for i in run_in.blocks], 0).view(-1, run_in.mul, run_out.mul)
                parts.append(self._expand(f"{a}_{b}", path, run_in, run_out))
            rows.append(_joined(parts, -1))
        return _joined(rows, 0).permute(1, 2, 0)

    def _expand(self, name: str, path: Tensor, run_in: _Run, run_out: _Run) -> Tensor:
        """(K, mul_in, mul_out) -> (out, Y, in) between two runs."""
        # The copies of the input last, as in the result: long runs to copy.
        path = path.transpose(1, 2).flatten(1)
        kinds = "spread", "place", "factor", "blocks"
        spread, place, factor, blocks = (getattr(self, f"{kind}_{name}", None) for kind in kinds)
        entries = path if spread is None else spread @ path
        if blocks is not None:
            weights = path.index_select(0, getattr(self, f"slots_{name}")).unflatten(0, (blocks.shape[0], -1))
            entries = torch.bmm(blocks, weights).flatten(0, 1)
        entries = entries if place is None else entries.index_select(0, place)
        entries = entries if factor is None else entries * factor
        entries = entries.view(run_out.dim, self.num_angular, run_in.dim, run_out.mul, run_in.mul)
        return entries.permute(0, 3, 1, 2, 4).reshape(run_out.dim * run_out.mul, self.num_angular, -1)

    def _reduction(self, i: int, o: int, transposed: bool) -> tuple[Tensor, Tensor]:
        return reduction(self._bases[i, o], transposed)

    def functionals(self, i: int, o: int, transposed: bool) -> Tensor:
        """What the kernels from block i to block o use of the aggregate: (U, d, Y) float64 on the CPU, see `reduction`."""
        return self._reduction(i, o, transposed)[0]

    def spreads(self, transposed: bool, exact: bool = False) -> list[Tensor | None]:
        """What each weight of a path does to its functionals, see `reduction`; None for a path without kernels.

        Args:
            transposed: for the backward pass.
            exact: in float64 on the CPU, instead of the dtype and device of the module.
        """
        names = [f"spread{int(transposed)}_{i}_{o}" for i, o, *_ in self.paths]
        return [self._exact.get(name) if exact else getattr(self, name, None) for name in names]

    def reduced(self, weight: Tensor, transposed: bool, spreads: list[Tensor | None]) -> list[Tensor]:
        """Matrices that act on the reduced aggregate, one for every block of out_type (of in_type when transposed).

        For block o: (sum over in blocks i of B * U_io * mul_i, dim_o * mul_o), rows ordered (i, b, u, copy). Transposed, the
        rows run over the blocks of out_type: the matrices of the backward pass. ``spreads`` as from :meth:`spreads`.
        """
        blocks = self.in_type.blocks if transposed else self.out_type.blocks
        parts: list[list[Tensor]] = [[] for _ in blocks]
        for (i, o, start, stop), spread in zip(self.paths, spreads):
            if stop == start or spread is None:
                continue
            (mul_in, _), (mul_out, _) = self.in_type.blocks[i], self.out_type.blocks[o]
            path = weight[start:stop].view(self.num_radial, spread.shape[1], mul_in, mul_out)
            form = "ukd,bkmn->bundm" if transposed else "ukd,bkmn->bumdn"
            matrix = torch.einsum(form, spread, path)
            width = spread.shape[2] * (mul_in if transposed else mul_out)
            parts[i if transposed else o].append(matrix.reshape(-1, width))
        return [torch.cat(part) if part else weight.new_zeros(0, rep.dim * mul) for part, (mul, rep) in zip(parts, blocks)]

    def extra_repr(self) -> str:
        return f"{self.in_type} -> {self.out_type}, columns={self.num_columns}, num_weights={self.num_weights}"


def self_expansion(in_type: FieldType, out_type: FieldType) -> KernelExpansion:
    """The expansion of the centre's own weight: intertwiners, one matrix."""
    return KernelExpansion(in_type, out_type, IntertwinerBasis)


class _Run(NamedTuple):
    """Consecutive blocks of ``mul`` copies each, which lie in memory like ``mul`` copies of their sum of dimension ``dim``."""

    blocks: tuple[int, ...]
    mul: int
    dim: int


def _runs(type: FieldType) -> list[_Run]:
    runs: list[_Run] = []
    for b, (mul, rep) in enumerate(type.blocks):
        last = runs[-1] if runs else None
        if last and last.mul == mul and last.dim + rep.dim <= _TOGETHER:
            runs[-1] = _Run((*last.blocks, b), mul, last.dim + rep.dim)
        else:
            runs.append(_Run((b,), mul, rep.dim))
    return runs


def _large_orbits(basis: KernelBasis) -> OrbitKernels | None:
    """The kernels orbit by orbit, where there are many coefficients."""
    found: OrbitKernels | None = getattr(basis, "orbits", None)
    if found is None or min(found.orbit.shape) <= _TOGETHER:  # smaller ones may share a run
        return None
    return found if found.number * found.orbit.numel() * found.values.shape[-1] > _MANY else None


def _size(kernels: Tensor | None, entries: Entries | None, orbits: OrbitKernels | None) -> tuple[int, int]:
    """K and Y."""
    if orbits is not None:
        return orbits.number, orbits.values.shape[-1]
    if entries is not None:
        return entries.number, entries.place.shape[-1]
    assert kernels is not None
    return len(kernels), kernels.shape[-1]


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """The different rows of a matrix and the place of every row among them; all rows and None where few are equal."""
    if not rows.numel():
        return rows, None
    # Equal rows have equal products with a vector; that others have not is looked at in the end.
    generic = torch.arange(1.0, rows.shape[1] + 1, dtype=rows.dtype, device=rows.device).sqrt().cos()
    _, place = torch.unique((rows @ generic).round(decimals=10), return_inverse=True)
    number = int(place.max()) + 1
    distinct = rows.new_zeros(number, rows.shape[1]).index_copy(0, place, rows)
    if 2 * number > len(rows) or (distinct[place] - rows).abs().max() > _ZERO:
        return rows, None
    return distinct, place


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)
