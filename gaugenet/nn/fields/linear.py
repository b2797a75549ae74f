"""Equivariant linear map at every node."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...fields import FieldType, check_field_types
from ...kernels.expansion import self_expansion
from ..exporting.exportable import Pixelwise
from ..exporting.plain import CONV, loaded
from ..tensor_checks import check_features
from .bias import FieldBias


class GaugeLinear(Pixelwise):
    r"""Linear map of the features of one node that commutes with the group (the self kernel of a convolution).

    .. math:: out(p) = W f(p) + b, \qquad W \rho_{in}(h) = \rho_{out}(h) W, \quad \rho_{out}(h)\, b = b

    Args:
        in_type, out_type: field types.
        bias: learn a bias on the invariant subspace of the output.

    Shapes:
        input (N, in_type.dim), output (N, out_type.dim).
    """

    def __init__(self, in_type: FieldType, out_type: FieldType, bias: bool = True) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        super().__init__()
        self.in_type, self.out_type = in_type, out_type
        self.expansion = self_expansion(in_type, out_type)
        self.weight = nn.Parameter(torch.empty(self.expansion.num_weights))
        self.bias = FieldBias(out_type) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.copy_(self.expansion.initial_weight())
        if self.bias is not None:
            self.bias.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.weight, "GaugeLinear")
        # Intertwiners join few pairs of blocks: products of those, not with a matrix that is mostly zeros.
        matrix, blocks = self.expansion(self.weight)[0], []
        inputs, outputs = self.expansion.in_type.slices, self.expansion.out_type.slices
        for o, columns in enumerate(outputs):
            rows = [inputs[i] for i, other, start, stop in self.expansion.paths if other == o and stop > start]
            parts = [x[:, r] @ matrix[r, columns] for r in rows]
            blocks.append(sum(parts[1:], parts[0]) if parts else x.new_zeros(x.shape[0], columns.stop - columns.start))
        out = torch.cat(blocks, 1)
        return out if self.bias is None else self.bias(out)

    def pixelwise(self) -> nn.Module:
        matrix, axes = self.expansion(self.weight)[0].t(), self.in_type.group.dim
        conv = CONV[axes](self.in_type.dim, self.out_type.dim, 1, bias=self.bias is not None)
        return loaded(conv, matrix.reshape(*matrix.shape, *[1] * axes), None if self.bias is None else self.bias.row())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_type}, {self.out_type}, bias={self.bias is not None})"
