"""Fields on images set to zero outside of a region that the group keeps: a hexagon, a disc."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ...checks import check_choice, check_number
from ...fields import FieldType, check_field_types
from ...kernels.lattices import Lattice
from ..exporting.exportable import Exportable, Seen
from ..exporting.plain import Mask, traced
from ..tensor_checks import check_features
from .padding import spatial_axes

REGIONS = ("polygon", "disc")


class GridMask(Exportable):
    r"""Multiplies a field with a function of the place that the group keeps, 1 inside a region about the middle of the image.

    .. math:: f(p) \mapsto m(p)\, f(p), \qquad m(g p) = m(p)

    An array of hexagons is a rhombus: turned by 60 degrees it leaves itself, and what a convolution reads beyond the border
    differs from what it reads at the turned place inside. With the features outside of the hexagon at zero both read zeros: a
    network with this layer before every convolution with zero padding is exact for the symmetries of the hexagon, however deep
    (Hoogeboom et al. 2018, arXiv 1803.02108, section 5.1). On square pixels a disc takes off the corners, which images turned
    by any angle do not have (Weiler & Cesa 2019, arXiv 1911.08251, appendix).

    Args:
        type: field type of input and output.
        region: "polygon", the pixels whose images under all symmetries of the lattice in the group lie in the array (the
            hexagon in an array of hexagons; all of a square), or "disc", the largest one in the array.
        margin: by how many pixels the region is smaller.
        sigma: width in pixels of the Gaussian edge of a disc, outside of it; 0 for none.
        lattice: see :class:`GridConv`.

    Shapes:
        (B, type.dim, H, W) -> (B, type.dim, H, W); volumes likewise.

    Raises:
        ValueError: arguments that do not fit; hexagonal arrays that have no pixel in the middle, when the group turns by 60 or
            120 degrees.
    """

    def __init__(
        self,
        type: FieldType,
        region: str = "polygon",
        *,
        margin: float = 0.0,
        sigma: float = 0.0,
        lattice: str | Lattice | np.ndarray = "square",
    ) -> None:
        super().__init__()
        check_field_types(self, type=type)
        check_choice(self, "region", region, REGIONS)
        check_number(self, "margin", margin)
        check_number(self, "sigma", sigma)
        if sigma and region != "disc":
            raise ValueError("only a disc has an edge of width sigma")
        self.in_type = self.out_type = type
        self.region, self.margin, self.sigma = region, float(margin), float(sigma)
        self.spatial = spatial_axes(type)
        self.lattice = Lattice.of(lattice, self.spatial)
        self._on_boxes = self.lattice.is_box  # asked here: a compiler takes numpy's numbers for symbols
        self._moves = self.lattice.symmetries(type.group)[1].tolist()
        self._metric, self._heights = self.lattice.metric.tolist(), self.lattice.heights.tolist()

    def mask(self, shape: Sequence[int], device: torch.device | None = None) -> Tensor:
        """m of images of a shape (H, W): float64."""
        if not self._on_boxes:
            self._check_middle(shape)
        half = [(n - 1) / 2 for n in shape]
        axes = [torch.arange(n, dtype=torch.float64, device=device) - h for n, h in zip(shape, half)]
        place = torch.meshgrid(*axes, indexing="ij")
        if self.region == "polygon":
            mask = torch.ones(tuple(shape), dtype=torch.bool, device=device)
            for move in self._moves:
                for row, h in zip(move, half):
                    mask &= sum(m * p for m, p in zip(row, place)).abs() <= h - self.margin + 1e-6
            return mask.double()
        radius = min(h * height for h, height in zip(half, self._heights)) - self.margin
        square = sum(g * p * q for row, p in zip(self._metric, place) for g, q in zip(row, place))
        beyond = (square.clamp_min(0).sqrt() - radius).clamp_min(0)
        if self.sigma:
            return torch.exp(-0.5 * (beyond / self.sigma) ** 2)
        return (beyond <= 1e-6).double()

    def _check_middle(self, shape: Sequence[int]) -> None:
        """A symmetry about the middle moves pixels to pixels when (1 - M) times the middle is a whole number."""
        for move in self._moves:
            if any(sum(((i == j) - m) * (shape[j] - 1) for j, m in enumerate(row)) % 2 for i, row in enumerate(move)):
                raise ValueError(
                    f"{self.in_type.group} does not map the pixels of an array of shape {tuple(shape)} to each other about its "
                    "middle: take odd sizes"
                )

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "GridMask", 2 + self.spatial)
        return x * self.mask(x.shape[2:], x.device).to(x.dtype)

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        shape, dtype = self.only(seen)
        return traced(Mask(self.mask(shape).to(dtype)))

    def extra_repr(self) -> str:
        parts = [f"{self.in_type}, region={self.region!r}", f"margin={self.margin:g}"]
        parts += [f"sigma={self.sigma:g}"] if self.sigma else []
        parts += [] if self.lattice.is_square else [f"lattice={self.lattice.steps}"]
        return ", ".join(parts)
