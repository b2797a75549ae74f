"""The numbers that the hot loop mixes with, gathered from the weights of a layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..constants import ConstantModule
from .expansion import KernelExpansion

_ZERO = 1e-12


def make_mixing(expansion: KernelExpansion, own: KernelExpansion | None) -> MixingWeight | DenseMixing:
    """What gathers the matrices of a layer from its weights, as the layouts of :func:`gaugenet.ops.make_layout` want them."""
    return DenseMixing(expansion, own) if expansion.dense else MixingWeight(expansion, own)


class DenseMixing:
    r"""The matrices :math:`W_j`, that of the centre last, row by row in one vector; each transposed for the backward pass."""

    def __init__(self, expansion: KernelExpansion, own: KernelExpansion | None) -> None:
        self._expansions = (expansion,) if own is None else (expansion, own)

    def of(self, weights: list[Tensor]) -> Callable[[bool], Tensor]:
        """Weights of the expansions, in order: what gives the vector, plain or transposed."""
        parts = [expansion(weight) for expansion, weight in zip(self._expansions, weights)]
        matrices = parts[0] if len(parts) == 1 else torch.cat(parts)
        return lambda transposed: (matrices.transpose(1, 2) if transposed else matrices).reshape(-1)


class MixingWeight(ConstantModule):
    r"""The matrices that mix the combinations of the aggregate (and of the centre), one after the other in one vector.

    For block o of out_type (of in_type when transposed: for the backward pass) the matrix has the rows of
    :meth:`KernelExpansion.reduced`, the centre's own last.

    Args:
        expansion: of the neighbours.
        own: of the centre's own weight, or None.
    """

    def __init__(self, expansion: KernelExpansion, own: KernelExpansion | None) -> None:
        super().__init__()
        # In a tuple: they are modules of the layer, not of this one.
        self._expansions = (expansion,) if own is None else (expansion, own)
        self._gathered = [self._register_gather(transposed) for transposed in (False, True)]

    def of(self, weights: list[Tensor]) -> Callable[[bool], Tensor]:
        """As of :class:`DenseMixing`."""
        return lambda transposed: self(weights, transposed)

    def forward(self, weights: list[Tensor], transposed: bool) -> Tensor:
        """Weights of the expansions, in order: the vector."""
        if not self._gathered[transposed]:
            return self._mixed(weights, transposed, [e.spreads(transposed) for e in self._expansions])
        weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        return weight[getattr(self, f"place{int(transposed)}")] * getattr(self, f"factor{int(transposed)}")

    def _register_gather(self, transposed: bool) -> bool:
        """Irreps put each weight alone at some places of the matrices: one gather instead of a product for every pair.

        Returns whether that is so; otherwise entries are sums of weights.
        """
        spreads = [e.spreads(transposed, exact=True) for e in self._expansions]
        masks = [[None if s is None else (s.abs() > _ZERO).double() for s in part] for part in spreads]
        if any(m.sum(1).max() > 1 for part in masks for m in part if m is not None and m.numel()):
            return False
        counts = [e.num_weights for e in self._expansions]
        if not sum(counts):
            return False
        numbers = torch.arange(1, sum(counts) + 1, dtype=torch.float64)
        place = self._mixed(list(numbers.split(counts)), transposed, masks).round().long()
        factor = self._mixed(list(torch.ones_like(numbers).split(counts)), transposed, spreads)
        self.register_constant(f"place{int(transposed)}", (place - 1).clamp_min(0))
        self.register_constant(f"factor{int(transposed)}", factor * (place > 0))
        return True

    def _mixed(self, weights: list[Tensor], transposed: bool, spreads: list[list[Tensor | None]]) -> Tensor:
        parts = [e.reduced(w, transposed, s) for e, w, s in zip(self._expansions, weights, spreads)]
        return torch.cat([matrix.reshape(-1) for block in zip(*parts) for matrix in block])
