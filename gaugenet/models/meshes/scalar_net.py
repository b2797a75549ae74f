"""What the networks of scalar channels at the vertices share: their types, the perceptron, the read-out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from ...checks import check_choice, check_counts, check_probability
from ...fields import FieldType
from ...groups import Group
from ...learning import SavedNetwork
from ...nn import global_mean
from ...nn.tensor_checks import GraphLike, check_features


class ScalarNet(SavedNetwork):
    """Scalars to scalars at every vertex, or, with ``pool="mean"``, to one row a mesh (the area-weighted mean)."""

    def __init__(
        self, group: Group, in_channels: int, out_channels: int, pool: str | None, dropout: float, **counts: int
    ) -> None:
        check_counts(self, in_channels=in_channels, out_channels=out_channels, **counts)
        check_choice(self, "pool", pool, (None, "mean"))
        check_probability(self, "dropout", dropout)
        super().__init__()
        self.in_channels, self.out_channels, self.pool, self.dropout = in_channels, out_channels, pool, dropout
        self.in_type = FieldType(group, [(in_channels, group.trivial)])
        self.out_type = None if pool else FieldType(group, [(out_channels, group.trivial)])

    def features(self, x: Tensor, graph: GraphLike) -> Tensor:
        """(N, in_channels) -> (N, out_channels)."""
        raise NotImplementedError

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        rows = x.flatten(0, -2)
        check_features(rows, self.in_type, next(self.parameters()), type(self).__name__)
        out = self.features(rows, graph)
        return out.unflatten(0, x.shape[:-1]) if self.pool is None else global_mean(out, graph)

    def reset_parameters(self) -> None:
        module: Any
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()


def perceptron(
    sizes: Sequence[int], dropout: float = 0.0, name: str = "layer", activation: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Linear maps with an activation between them and dropout before all but the first; ``name_000``, ``name_001``, ..."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (a, b) in enumerate(pairwise(sizes)):
        if i:
            parts[f"act_{i:03d}"] = activation()
            if dropout:
                parts[f"dropout_{i:03d}"] = nn.Dropout(dropout)
        parts[f"{name}_{i:03d}"] = nn.Linear(a, b)
    return nn.Sequential(parts)
