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
        return together(x, self)[0]

    def pixelwise(self) -> nn.Module:
        matrix, axes = self.expansion(self.weight)[0].t(), self.in_type.group.dim
        conv = CONV[axes](self.in_type.dim, self.out_type.dim, 1, bias=self.bias is not None)
        return loaded(conv, matrix.reshape(*matrix.shape, *[1] * axes), None if self.bias is None else self.bias.row())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_type}, {self.out_type}, bias={self.bias is not None})"


def together(x: Tensor, *layers: GaugeLinear) -> list[Tensor]:
    """What several layers make of the same features.

    Intertwiners join few pairs of blocks: there is one product for each block of the input, not one with a matrix that is
    mostly zeros, and not one for each layer.
    """
    type = layers[0].expansion.in_type
    sizes = [rows.stop - rows.start for rows in type.slices]
    matrices = [layer.expansion(layer.weight)[0].split(sizes) for layer in layers]
    sums: dict[tuple[int, int], Tensor] = {}
    for i, block in enumerate(x.split(sizes, 1)):  # whose backward pass is one copy
        pairs, parts = [], []
        for k, layer in enumerate(layers):
            for j, o, start, stop in layer.expansion.paths:
                if j == i and stop > start:
                    pairs.append((k, o))
                    parts.append(matrices[k][i][:, layer.expansion.out_type.slices[o]])
        if not pairs:
            continue
        product = block @ (torch.cat(parts, 1) if len(parts) > 1 else parts[0])
        for pair, part in zip(pairs, product.split([part.shape[1] for part in parts], 1)):
            sums[pair] = sums[pair] + part if pair in sums else part
    found = []
    for k, layer in enumerate(layers):
        slices = layer.expansion.out_type.slices
        blocks = [sums[k, o] if (k, o) in sums else x.new_zeros(x.shape[0], c.stop - c.start) for o, c in enumerate(slices)]
        out = torch.cat(blocks, 1)
        found.append(out if layer.bias is None else layer.bias(out))
    return found
