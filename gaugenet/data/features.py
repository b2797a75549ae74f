"""Stored feature fields as typed tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ..fields import FieldType
from ..groups import O2, SO2, Group

if TYPE_CHECKING:
    from .graph import GaugeGraph


def stored_type(type_string: str | list[str], group: Group | None = None) -> FieldType:
    """The field type of a stored feature over a group that has the irreps "0", "1", ... (by default SO(2)).

    In a batch PyG makes a list of every string; its entries are equal.
    """
    if isinstance(type_string, list):
        type_string = type_string[0]
    return FieldType(SO2() if group is None else group, type_string)


def feature_type(graph: GaugeGraph, *names: str, group: Group | None = None) -> FieldType:
    """Field type of ``graph.features(*names)``, over SO(2) unless another group is given."""
    group = SO2() if group is None else group
    out = FieldType(group, [])
    for name in names:
        if name not in graph.feature_types:
            raise ValueError(f"this graph has no feature {name!r}: it has {sorted(graph.feature_types)}")
        out = out + stored_type(graph.feature_types[name], group)
    return out


def transform_feature(values: Tensor, type_string: str | list[str], g: Tensor, group: Group | None = None) -> Tensor:
    """rho(g_n) applied at every node: (N, C) -> (N, C). O(2) acts as SO(2) does on rotations, so it is the default."""
    return stored_type(type_string, O2() if group is None else group).transform(g, values)
