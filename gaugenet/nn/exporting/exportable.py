"""The method that layers for images have in common."""

from __future__ import annotations

from torch import Tensor, nn


class Exportable(nn.Module):
    """A layer for images with a plain torch form."""

    def export(self, example: Tensor | None = None) -> nn.Module:
        """The layer as plain torch modules, see :func:`gaugenet.nn.export`, which does so with whole networks."""
        from .network import export  # it knows all layers

        return export(self, example)
