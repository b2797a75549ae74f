"""How layers say what they are in plain torch: the methods that :func:`gaugenet.nn.export` calls."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...settings import KeepsSettings


class Seen(NamedTuple):
    """An image that a layer was used on: its spatial shape and its dtype."""

    shape: tuple[int, ...]
    dtype: torch.dtype


class Exportable(KeepsSettings):
    """A layer for images with a plain torch form, :meth:`plain`, which a class of yours may have as well."""

    def export(self, example: Tensor | None = None) -> nn.Module:
        """The layer as plain torch modules, see :func:`gaugenet.nn.export`, which does so with whole networks."""
        from .network import export  # it knows networks, and they this

        return export(self, example)

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        """The layer in evaluation as modules of torch.nn and torch.fx alone, which loads where gaugenet is not installed.

        :func:`gaugenet.nn.export` calls it on a copy of the layer, without gradients.

        Args:
            seen: the images that it was used on, for layers that depend on their size; empty when there was no example.

        Shapes:
            The result maps (B, in_type.dim, H, W) to (B, out_type.dim, H', W'), as the layer does.

        Raises:
            TypeError: for a layer that has no such form. ValueError: without an example, for layers that depend on the size.
        """
        raise TypeError(f"{type(self).__name__} has no plain form: give it a method plain(seen) that returns modules of torch")

    def only(self, seen: Collection[Seen]) -> Seen:
        """The one image of a layer whose plain form depends on the size. ValueError when there is none, or several sizes."""
        if len(seen) != 1:
            sizes = f"this one saw {sorted(s.shape for s in seen)}" if seen else "give an example"
            raise ValueError(f"{type(self).__name__} is exported for images of one size: {sizes}")
        return next(iter(seen))


class Pixelwise(KeepsSettings):
    """A layer for nodes (N, dim), which images take through :class:`gaugenet.nn.OnGrid`."""

    def pixelwise(self) -> nn.Module:
        """The layer in evaluation as plain torch modules on images (B, dim, H, W), or volumes for a group of space.

        Raises:
            TypeError: for a layer that has no such form.
        """
        raise TypeError(f"OnGrid({type(self).__name__}) has no plain form")
