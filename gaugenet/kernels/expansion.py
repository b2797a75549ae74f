"""From weights to kernel matrices: the linear map that every convolution of the library shares."""

from __future__ import annotations

import torch
from torch import Tensor

from ..fields import FieldType
from .basis import SteerableBasis, self_basis
from .constants import ConstantModule
from .reduction import reduction


class KernelExpansion(ConstantModule):
    r"""Expands a flat weight vector into the matrices that act on the aggregate.

    .. math:: W_{b,y} = \sum_k w_{b,k}\, Q_k[:, :, y], \qquad K(x) = \sum_{b,y} R_b(|x|)\, Y_y(x/|x|)\, W_{b,y}

    with :math:`Q_k` the steerable basis of every pair of blocks (Weiler et al. 2021, arXiv 2106.06020, eq. 4.41 ff).
    The flat vector holds, for every pair (in block, out block) in order, an array (B, K, mul_in, mul_out).

    Args:
        in_type, out_type: field types over one group.
        max_frequency: angular cut-off, or None for the self kernel (the centre alone: intertwiners).
        num_radial: number B of radial functions.
    """

    def __init__(self, in_type: FieldType, out_type: FieldType, max_frequency: int | None, num_radial: int = 1) -> None:
        super().__init__()
        if in_type.group != out_type.group:
            raise TypeError(f"in_type and out_type must have one group, got {in_type.group} and {out_type.group}")
        self.in_type, self.out_type = in_type, out_type
        self.max_frequency, self.num_radial = max_frequency, num_radial
        #: (in block, out block, start, stop) in the flat vector
        self.paths: list[tuple[int, int, int, int]] = []
        start = 0
        for i, (mul_in, rep_in) in enumerate(in_type.blocks):
            for o, (mul_out, rep_out) in enumerate(out_type.blocks):
                basis = _basis(rep_in, rep_out, max_frequency)
                count = num_radial * basis.shape[0] * mul_in * mul_out
                self.paths.append((i, o, start, start + count))
                if count:
                    self.register_constant(f"basis_{i}_{o}", basis)
                    for transposed in (0, 1):
                        spread = reduction(rep_in, rep_out, max_frequency, bool(transposed))[1]
                        self.register_constant(f"spread{transposed}_{i}_{o}", spread)
                start += count
        self.num_weights = start
        #: number of harmonics Y: columns per radial function
        self.num_harmonics = 1 if max_frequency is None else _num_harmonics(in_type.group.dim, max_frequency)

    def initial_weight(self) -> Tensor:
        """Random weights that keep the variance of the output near that of the input: (num_weights,)."""
        fan = [0] * len(self.out_type.blocks)
        for i, o, start, stop in self.paths:
            if stop > start:
                fan[o] += self.in_type.blocks[i][0] * getattr(self, f"basis_{i}_{o}").shape[0]
        weight = torch.randn(self.num_weights, device="cpu")
        for _, o, start, stop in self.paths:
            if stop > start:
                # A basis element has unit Frobenius norm: sqrt(dim_out) brings each output component to unit variance.
                weight[start:stop] *= (self.out_type.blocks[o][1].dim / fan[o]) ** 0.5
        return weight

    def forward(self, weight: Tensor) -> Tensor:
        """(num_weights,) -> (B, Y, in_type.dim, out_type.dim)."""
        rows: list[list[Tensor]] = [[] for _ in self.in_type.blocks]
        for i, o, start, stop in self.paths:
            (mul_in, rep_in), (mul_out, rep_out) = self.in_type.blocks[i], self.out_type.blocks[o]
            shape = (self.num_radial, self.num_harmonics, rep_in.dim * mul_in, rep_out.dim * mul_out)
            if stop == start:
                rows[i].append(weight.new_zeros(shape))
                continue
            basis = getattr(self, f"basis_{i}_{o}")
            path = weight[start:stop].view(self.num_radial, basis.shape[0], mul_in, mul_out)
            rows[i].append(torch.einsum("koiy,bkmn->byimon", basis, path).reshape(shape))
        return torch.cat([torch.cat(row, -1) for row in rows], -2)

    def functionals(self, i: int, o: int, transposed: bool) -> Tensor:
        """What the kernels from block i to block o use of the aggregate: (U, d, Y) float64 on the CPU, see `reduction`."""
        return reduction(self.in_type.blocks[i][1], self.out_type.blocks[o][1], self.max_frequency, transposed)[0]

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
            if stop == start:
                continue
            (mul_in, _), (mul_out, _) = self.in_type.blocks[i], self.out_type.blocks[o]
            path = weight[start:stop].view(self.num_radial, spread.shape[1], mul_in, mul_out)
            form = "ukd,bkmn->bundm" if transposed else "ukd,bkmn->bumdn"
            matrix = torch.einsum(form, spread, path)
            width = spread.shape[2] * (mul_in if transposed else mul_out)
            parts[i if transposed else o].append(matrix.reshape(-1, width))
        return [torch.cat(part) if part else weight.new_zeros(0, rep.dim * mul) for part, (mul, rep) in zip(parts, blocks)]

    def extra_repr(self) -> str:
        return f"{self.in_type} -> {self.out_type}, num_weights={self.num_weights}"


def _basis(rep_in, rep_out, max_frequency: int | None) -> Tensor:
    """(K, dim_out, dim_in, Y)."""
    if max_frequency is None:
        return self_basis(rep_in, rep_out).unsqueeze(-1)
    return SteerableBasis(rep_in, rep_out, max_frequency).coefficients


def _num_harmonics(dim: int, max_frequency: int) -> int:
    return 2 * max_frequency + 1 if dim == 2 else (max_frequency + 1) ** 2
