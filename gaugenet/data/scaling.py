"""Input features on a common scale, without breaking their types."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from warnings import warn

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from ..errors import GaugenetError
from ..fields import FieldType
from .features import feature_type

# Of the range of the training data: so far outside, values are warned about.
_MARGIN = 0.5


class FeatureScaler(BaseTransform):
    r"""Sets ``x`` to the named features, compressed and standardised by what :meth:`fit` saw.

    Every copy v of an irrep becomes :math:`v \log(1 + |v|) / |v|`, because heat kernels and curvatures have long tails (a crumb
    beside a body, a spike); then scalars lose their mean and have unit standard deviation, and copies of order 1 and up have
    unit root mean square. Lengths and factors do not depend on the frame, so the field types hold.

    Values far outside of what fit saw, of a crumb, a spike or another kind of shape, are warned about: no network can be right
    about what it has never seen.

    Args:
        names: stored features, joined in this order.
        compress: False leaves the logarithm out.

    Attributes:
        mean, std: (dim,) after fit.
        low, high: (dim,) after fit, the range of the compressed values; of order 1 and up that of their lengths.

    Raises:
        GaugenetError: a transform before fit, or graphs without the feature.
    """

    # Of scalers that were pickled before there were these: no warnings.
    low: Tensor | None = None
    high: Tensor | None = None

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
        sizes = self._sizes(graphs[0], values)
        self.low, self.high = sizes.amin(0), sizes.amax(0)
        return self

    def forward(self, data: Data) -> Data:
        if self.mean is None or self.std is None:
            raise GaugenetError("FeatureScaler has not seen any graphs yet: call fit(graphs) first")
        x = self._joined(data)
        self._warn_outside(data, x)
        data = copy.copy(data)
        data.x = (x - self.mean.to(x)) / self.std.to(x)
        return data

    def _warn_outside(self, data: Data, x: Tensor) -> None:
        """A warning of values beyond the range of the training data by more than half of it."""
        if self.low is None or self.high is None or not x.shape[0]:
            return
        low, high, sizes = self.low.to(x), self.high.to(x), self._sizes(data, x)
        margin = _MARGIN * (high - low) + 1e-6 * torch.maximum(low.abs(), high.abs())
        outside = ~((sizes >= low - margin) & (sizes <= high + margin))
        if not outside.any():
            return
        columns = outside.any(0).nonzero().flatten().tolist()
        worst = max(columns, key=lambda k: float(outside[:, k].sum()))
        node = int(torch.where(outside[:, worst], (sizes[:, worst] - (low + high)[worst] / 2).abs(), -1.0).argmax())
        owner = [name for name in self.names for _ in range(feature_type(data, name).dim)]
        name = getattr(data, "name", None)
        warn(
            f"{name + ': ' if isinstance(name, str) else ''}features of {int(outside.any(1).sum())} of {len(x)} nodes are far"
            f" outside of the training data: {', '.join(dict.fromkeys(owner[k] for k in columns))}; at node {node} a value of"
            f" {float(sizes[node, worst]):.4g} where training had {float(low[worst]):.4g} to {float(high[worst]):.4g}"
            f"{' (after compression)' if self.compress else ''}. Look for tiny components, spikes and holes (gaugenet inspect)",
            stacklevel=4,
        )

    def _sizes(self, data: Data, values: Tensor) -> Tensor:
        """(N, dim) scalars as they are, and for every component of a vector its length."""
        parts = []
        for (_, rep), block in zip(self._type(data).blocks, self._type(data).split(values)):
            parts.append((block if rep.dim == 1 else block.norm(dim=1, keepdim=True).expand_as(block)).flatten(1))
        return torch.cat(parts, 1)

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
