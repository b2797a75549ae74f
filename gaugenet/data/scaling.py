"""Input features on a common scale, without breaking their types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from ..errors import GaugenetError
from ..fields import FieldType
from .features import feature_type


class FeatureScaler(BaseTransform):
    r"""Sets ``x`` to the named features, compressed and standardised by what :meth:`fit` saw.

    Every copy v of an irrep becomes :math:`v \log(1 + |v|) / |v|`, because heat kernels and curvatures have long tails (a crumb
    beside a body, a spike); then scalars lose their mean and have unit standard deviation, and copies of order 1 and up have
    unit root mean square. Lengths and factors do not depend on the frame, so the field types hold.

    Args:
        names: stored features, joined in this order.
        compress: False leaves the logarithm out.

    Attributes:
        mean, std: (dim,) after fit.

    Raises:
        GaugenetError: a transform before fit, or graphs without the feature.
    """

    def __init__(self, names: Sequence[str], compress: bool = True) -> None:
        self.names, self.compress = tuple(names), compress
        self.mean: Tensor | None = None
        self.std: Tensor | None = None

    def fit(self, graphs: Iterable[Data]) -> FeatureScaler:
        """Take mean and scale from (training) graphs; every node counts alike."""
        graphs = list(graphs)
        if not graphs:
            raise GaugenetError("FeatureScaler.fit got no graphs")
        values = torch.cat([self._joined(graph) for graph in graphs])
        means, stds = [], []
        for (_, rep), block in zip(self._type(graphs[0]).blocks, self._type(graphs[0]).split(values)):
            mean = block.mean(0) if rep.dim == 1 else torch.zeros_like(block[0])
            std = (block - mean).square().sum(1, keepdim=True).mean(0).sqrt()  # (1, copies): one factor for a vector
            means.append(mean.flatten())
            stds.append(std.expand_as(mean).clamp_min(1e-8).flatten())
        self.mean, self.std = torch.cat(means), torch.cat(stds)
        return self

    def forward(self, data: Data) -> Data:
        if self.mean is None or self.std is None:
            raise GaugenetError("FeatureScaler has not seen any graphs yet: call fit(graphs) first")
        x = self._joined(data)
        data.x = (x - self.mean.to(x)) / self.std.to(x)
        return data

    def _type(self, data: Data) -> FieldType:
        return feature_type(data, *self.names)

    def _joined(self, data: Data) -> Tensor:
        type = self._type(data)
        x = data.features(*self.names)
        if not self.compress:
            return x
        blocks = []
        for block in type.split(x):
            length = block.norm(dim=1, keepdim=True)
            blocks.append((block * (torch.log1p(length) / length.clamp_min(1e-30))).flatten(1))
        return torch.cat(blocks, 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.names)}, compress={self.compress})"
