"""Invariants of fields: pooling over the group, norms, and the mean over a manifold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_choice, check_number
from ...fields import FieldType, check_field_types
from ...ops.rows import sum_rows
from ..exporting.exportable import Pixelwise
from ..exporting.plain import Invariants, blocks_of, traced
from ..precision import room_for_squares
from ..tensor_checks import check_features


class GroupPool(Pixelwise):
    """Pools the components of regular and quotient fields to one scalar a copy (Cohen & Welling 2016, section 6.3).

    Args:
        type: field type whose representations permute their components.
        reduce: "max" or "mean".

    Shapes:
        (N, type.dim) -> (N, out_type.dim), out_type a trivial field per copy.
    """

    def __init__(self, type: FieldType, reduce: str = "max") -> None:
        check_field_types(self, type=type)
        super().__init__()
        check_choice(self, "reduce", reduce, ("max", "mean"))
        for _, rep in type.blocks:
            if not rep.is_permutation:
                raise TypeError(f"GroupPool expected a type of regular, quotient or trivial fields, got {rep}: use to_scalars")
        self.in_type, self.reduce = type, reduce
        self.out_type = FieldType(type.group, [(mul, type.group.trivial) for mul, _ in type.blocks])

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "GroupPool")
        blocks = self.in_type.split(x)
        return torch.cat([b.amax(1) if self.reduce == "max" else b.mean(1) for b in blocks], -1)

    def pixelwise(self) -> nn.Module:
        return traced(Invariants(blocks_of(self.in_type), self.reduce))

    def extra_repr(self) -> str:
        return f"{self.in_type}, reduce={self.reduce!r}"


def to_scalars(x: Tensor, type: FieldType, eps: float = 1e-6) -> Tensor:
    """Invariants of every copy: a trivial field is itself, any other gives its norm sqrt(|f|^2 + eps^2) - eps.

    Args:
        x: (N, type.dim).
        type: field type of x.
        eps: smooths the norm at zero.

    Returns:
        (N, number of copies).
    """
    check_features(x, type, None, "to_scalars")
    parts = []
    for (_, rep), block in zip(type.blocks, type.split(x)):
        if rep.is_trivial:
            parts.append(block[:, 0])
        else:
            power = room_for_squares(block).square().sum(1)
            parts.append(((power + eps**2).sqrt() - eps).to(x.dtype))
    return torch.cat(parts, -1)


class ToScalars(Pixelwise):
    """:func:`to_scalars` as a layer, the invariant end of a network with fields of any type.

    Args:
        type: field type of the input; ``out_type`` has a trivial field per copy.
        eps: smooths the norm at zero.

    Shapes:
        (N, type.dim) -> (N, number of copies).
    """

    def __init__(self, type: FieldType, eps: float = 1e-6) -> None:
        check_field_types(self, type=type)
        check_number(self, "eps", eps)
        super().__init__()
        self.in_type, self.eps = type, eps
        self.out_type = FieldType(type.group, [(mul, type.group.trivial) for mul, _ in type.blocks])

    def forward(self, x: Tensor) -> Tensor:
        return to_scalars(x, self.in_type, self.eps)

    def pixelwise(self) -> nn.Module:
        return traced(Invariants(blocks_of(self.in_type, lambda rep: rep.is_trivial), "norm", self.eps))

    def extra_repr(self) -> str:
        return str(self.in_type)


def global_mean(x: Tensor, graph: Any) -> Tensor:
    """Mean of (N, C) scalars over every mesh of a batch, weighted by cell area where the graph has it: (number of meshes, C).

    On a static graph the mean of every field: (B N, C) to (B, C).

    The weights make the mean an integral over the surface, which does not change when the mesh is refined.
    """
    area = getattr(graph, "area", None)
    num_nodes = graph.num_nodes if getattr(graph, "static", False) else x.shape[0]
    weight = x.new_ones(num_nodes) if area is None else area.to(x.dtype)
    batch = getattr(graph, "batch", None)
    if batch is None:
        return weight @ x.unflatten(0, (-1, num_nodes)) / weight.sum()
    num_graphs = graph.num_graphs
    total = sum_rows(weight, batch, num_graphs)
    return sum_rows(x * weight[:, None], batch, num_graphs) / total[:, None]


def global_sum(x: Tensor, graph: Any) -> Tensor:
    """Sum of (N, C) features over the nodes of every graph of a batch: (number of graphs, C); on a static graph (B, C).

    Unlike :func:`global_mean` it knows how many nodes there are: masses, charges and energies add up.
    """
    num_nodes = graph.num_nodes if getattr(graph, "static", False) else x.shape[0]
    batch = getattr(graph, "batch", None)
    if batch is None:
        return x.unflatten(0, (-1, num_nodes)).sum(1)
    return sum_rows(x, batch, graph.num_graphs)
