"""Biases only where the type allows: on the invariant subspace."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..fields import FieldType
from ..kernels.constants import ConstantModule


class FieldBias(ConstantModule):
    r"""Adds a learnt invariant vector: :math:`f \mapsto f + b` with :math:`\rho(h)\, b = b` for every h in G.

    For irreps only the trivial one has such vectors (a bias on a vector field is what makes published blocks not
    equivariant); a regular representation has one per copy.

    Args:
        type: field type of the features.
    """

    def __init__(self, type: FieldType) -> None:
        super().__init__()
        self.type = type
        count = 0
        self._spans: list[tuple[int, int, int]] = []
        for b, (mul, rep) in enumerate(type.blocks):
            vectors = rep.invariant_vectors()
            if vectors.shape[0]:
                self.register_constant(f"invariant_{b}", vectors)
                self._spans.append((b, count, count + mul * vectors.shape[0]))
                count += mul * vectors.shape[0]
        self.value = nn.Parameter(torch.empty(count))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.value)

    def forward(self, x: Tensor) -> Tensor:
        """(N, dim) -> (N, dim)."""
        if not self._spans:
            return x
        spans = {b: (start, stop) for b, start, stop in self._spans}
        parts = []
        for b, (mul, rep) in enumerate(self.type.blocks):
            if b in spans:
                start, stop = spans[b]
                vectors = getattr(self, f"invariant_{b}")
                parts.append((vectors.t() @ self.value[start:stop].view(vectors.shape[0], mul)).reshape(-1))
            else:
                parts.append(x.new_zeros(mul * rep.dim))
        return x + torch.cat(parts)

    def extra_repr(self) -> str:
        return str(self.type)
