"""Biases only where the type allows: on the invariant subspace."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...fields import FieldType, check_field_types
from ...kernels.constants import ConstantModule
from ..exporting.exportable import Pixelwise
from ..exporting.plain import CONV, loaded
from ..tensor_checks import check_features


class FieldBias(ConstantModule, Pixelwise):
    r"""Adds a learnt invariant vector: :math:`f \mapsto f + b` with :math:`\rho(h)\, b = b` for every h in G.

    For irreps only the trivial one has such vectors (a bias on a vector field is what makes published blocks not
    equivariant); a regular representation has one per copy.

    Args:
        type: field type of the features.
    """

    def __init__(self, type: FieldType) -> None:
        check_field_types(self, type=type)
        super().__init__()
        self.in_type = self.out_type = type
        place, factor, count = invariant_places(type)
        self.register_constant("place", place)
        self.register_constant("factor", factor)
        self.value = nn.Parameter(torch.empty(count))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.value)

    def forward(self, x: Tensor) -> Tensor:
        """(N, dim) -> (N, dim)."""
        check_features(x, self.in_type, self.value, "FieldBias")
        return x + self.row() if self.value.numel() else x

    def row(self) -> Tensor:
        """(dim,): what is added to every node."""
        return (self.value[self.place] * self.factor).sum(0)

    def pixelwise(self) -> nn.Module:
        row = self.row()
        conv = CONV[self.in_type.group.dim](len(row), len(row), 1, groups=len(row))
        return loaded(conv, torch.ones_like(conv.weight).to(row), row)

    def extra_repr(self) -> str:
        return str(self.in_type)


def invariant_places(type: FieldType) -> tuple[Tensor, Tensor, int]:
    """How the invariant part of a field lies in its columns: row = sum over k of factor[k] value[place[k]].

    Returns:
        place, factor (K, type.dim), K the largest number of invariant vectors of a representation; the number of values, of
        every block (k, mul) flattened.
    """
    count, most = 0, max((rep.invariant_vectors().shape[0] for _, rep in type.blocks), default=0)
    place, factor = torch.zeros(most, type.dim, dtype=torch.int64), torch.zeros(most, type.dim, dtype=torch.float64)
    for (mul, rep), columns in zip(type.blocks, type.slices):
        for k, vector in enumerate(rep.invariant_vectors()):
            place[k, columns] = (count + torch.arange(mul)).repeat(rep.dim)
            factor[k, columns] = vector.to("cpu", torch.float64).repeat_interleave(mul)
            count += mul
    return place, factor, count
