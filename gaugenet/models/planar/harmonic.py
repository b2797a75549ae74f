"""Harmonic Networks (Worrall, Garbin, Turmukhambetov & Brostow 2017, arXiv 1612.04642)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn

from ...checks import check_choice, check_counts, check_int, check_ints
from ...learning import SavedNetwork
from ...nn import FieldNorm, GridPool, HarmonicConv, MagnitudeNonlinearity, OnGrid, export
from ...nn.exporting.exportable import Exportable, Seen
from ...nn.exporting.plain import traced


class HarmonicNetwork(SavedNetwork):
    """A Harmonic Network: convolutions, norms, magnitude nonlinearities, the modulus of order 0, its mean over the image.

    Args:
        num_classes: number of logits.
        in_channels: scalar fields of the input.
        channels: of each order after every convolution.
        max_order: of the streams between the layers.
        kernel_size, rings: of every convolution.
        norm: "batch", "layer" or None, see :class:`gaugenet.nn.FieldNorm`.
        pool: pixels a side of the blocks averaged after every second convolution but the last, 1 for none.

    Shapes:
        (B, in_channels, H, W) -> (B, num_classes).
    """

    def __init__(
        self,
        num_classes: int = 10,
        *,
        in_channels: int = 1,
        channels: Sequence[int] = (8, 8, 16, 16),
        max_order: int = 1,
        kernel_size: int = 5,
        rings: int | None = None,
        norm: str | None = "batch",
        pool: int = 2,
    ) -> None:
        check_counts(self, num_classes=num_classes, in_channels=in_channels, kernel_size=kernel_size, pool=pool)
        check_ints(self, "channels", channels)
        check_int(self, "max_order", max_order, 0)
        check_choice(self, "norm", norm, ("batch", "layer", None))
        super().__init__()
        layers: list[nn.Module] = []
        before, order = in_channels, None
        for number, width in enumerate(channels, start=1):
            last = number == len(channels)
            after = 0 if last else max_order
            conv = HarmonicConv(before, width, kernel_size, in_order=order, out_order=after, rings=rings)
            layers.append(conv)
            if norm is not None:
                layers.append(OnGrid(FieldNorm(conv.out_type, norm)))
            magnitude = MagnitudeNonlinearity(width, after)
            layers.append(magnitude)
            if number % 2 == 0 and not last and pool > 1:
                layers.append(GridPool(magnitude.out_type, pool, "mean"))
            before, order = width, after
        self.in_type = layers[0].in_type
        self.body = nn.Sequential(*layers)
        self.modulus = _Modulus()
        self.readout = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.readout(self.modulus(self.body(x))))

    def export(self, example: Tensor | None = None) -> nn.Module:
        """The network as a Sequential of plain torch modules, see :func:`gaugenet.nn.export`."""
        whole = nn.Sequential(self.body, self.modulus, self.readout, self.head)
        return export(whole.train(self.training), example)


class _Modulus(Exportable):
    """Of complex scalar fields, real parts before imaginary ones: (B, 2 C, H, W) -> (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        real, imaginary = x.chunk(2, 1)
        return (real.square() + imaginary.square() + 1e-12).sqrt()

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        return traced(self)
