"""Layers for nodes on images; antialiased subsampling, upsampling and dropout of fields on images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import check_choice, check_int, check_number, check_probability
from ...fields import FieldType, check_field_types
from ..exporting.exportable import Exportable, Pixelwise, Seen
from ..exporting.plain import CONV, Crop, traced
from ..tensor_checks import check_features, check_same_type
from .padding import CLOSED, GridPadding, check_modes, spatial_axes

UPSAMPLING = ("nearest", "linear")


class OnGrid(Exportable):
    """Applies a layer for nodes (N, dim) to every pixel of an image: nonlinearities, norms, dropout, linear maps, GroupPool.

    The pixels of the whole batch are the nodes, so that ``OnGrid(FieldNorm(type))`` takes its statistics over them, as
    BatchNorm2d does. With images in ``torch.channels_last`` no data is moved.

    Args:
        layer: a module (N, in_type.dim) -> (N, out_type.dim), or an nn.Sequential of such.

    Shapes:
        (B, in_type.dim, H, W) -> (B, out_type.dim, H, W); volumes likewise.

    Raises:
        TypeError: a module without field types (nn.ReLU and the like, which take images as they are).
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        parts: list[Any] = list(layer) if isinstance(layer, nn.Sequential) else [layer]
        for part in parts or [layer]:
            if not isinstance(getattr(part, "in_type", None), FieldType) or not hasattr(part, "out_type"):
                raise TypeError(f"OnGrid expected a layer for nodes with an in_type and an out_type, got {type(part).__name__}")
        for a, b in pairwise(parts):
            check_same_type(b.in_type, a.out_type, f"OnGrid: {type(b).__name__} behind {type(a).__name__}")
        self.layer = layer
        self.in_type, self.out_type = parts[0].in_type, parts[-1].out_type

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 4 or x.shape[1] != self.in_type.dim:
            raise ValueError(f"OnGrid expected an image of shape (B, {self.in_type.dim}, H, W), got {tuple(x.shape)}")
        pixels = x.movedim(1, -1)
        return self.layer(pixels.flatten(0, -2)).unflatten(0, pixels.shape[:-1]).movedim(-1, 1)

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        if isinstance(self.layer, nn.Sequential):
            return nn.Sequential(*[_pixelwise(part) for part in self.layer])
        return _pixelwise(self.layer)


def _pixelwise(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.Identity):
        return layer
    if not isinstance(layer, Pixelwise):
        raise TypeError(f"OnGrid({type(layer).__name__}) has no plain form")
    return layer.pixelwise()


class GridBlur(Exportable):
    r"""Antialiased subsampling of square pixels: a Gaussian low-pass, then every ``stride``-th (Zhang 2019, arXiv 1904.11486).

    Linear and the same for every component, so it is equivariant for every group. The sampled pixels lie in the middle of the
    image whatever its size: an axis whose middle would be missed (an even size with stride 2) is sampled half-way between its
    pixels, with a kernel of even size. Put it after :class:`GridPool` of stride 1 or a nonlinearity for antialiased
    pooling. (On hexagons take :class:`GridPool` with overlapping windows, "mean".)

    Args:
        type: field type of input and output.
        stride: s.
        sigma: of the Gaussian in pixels, by default s / 3.
        padding_mode: beyond the border, by default "replicate"; see :class:`GridPadding`.

    Shapes:
        (B, type.dim, H, W) -> (B, type.dim, ceil(H / s), ceil(W / s)); volumes (B, type.dim, Z, H, W) likewise.

    Raises:
        ValueError: arguments that do not fit; a closed axis that is no multiple of the stride.
    """

    def __init__(
        self, type: FieldType, stride: int = 2, sigma: float | None = None, *, padding_mode: str | Sequence[str] = "replicate"
    ) -> None:
        super().__init__()
        check_field_types(self, type=type)
        check_int(self, "stride", stride)
        check_number(self, "sigma", 1.0 if sigma is None else sigma, positive=True)
        self.in_type = self.out_type = type
        self.stride, self.sigma = int(stride), float(stride / 3 if sigma is None else sigma)
        self.pad = GridPadding(type, 0, padding_mode)
        self.spatial = spatial_axes(type)
        #: pixels on either side of the middle of the kernel
        self.reach = max(int(-(-4 * self.sigma // 1)), self.stride // 2 + 1)

    def window(self, size: int) -> tuple[int, int]:
        """(pixels of the kernel, pixels of padding on either side) along an axis of ``size`` pixels."""
        sampled = self.stride * (-(-size // self.stride) - 1) + 1
        taps = 2 * self.reach
        taps += (sampled - 1 + taps - size) % 2
        return taps, (sampled - 1 + taps - size) // 2

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "GridBlur", 2 + self.spatial)
        for axis, mode in enumerate(self.pad.modes):
            if mode in CLOSED and x.shape[2 + axis] % self.stride:
                raise ValueError(f"GridBlur closes axis {axis} of {x.shape[2 + axis]} pixels, no multiple of {self.stride}")
        windows = [self.window(n) for n in x.shape[2:]]
        x = self.pad.extend(x, [pad for _, pad in windows])
        batch = x.shape[:2]
        x = x.flatten(0, 1).unsqueeze(1)
        kernel = gaussian([taps for taps, _ in windows], self.sigma).to(x)
        out = (F.conv2d if self.spatial == 2 else F.conv3d)(x, kernel[None, None], stride=self.stride)
        return out.squeeze(1).unflatten(0, batch)

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        shape, dtype = self.only(seen)
        windows = [self.window(n) for n in shape]
        size, pads, dim = [taps for taps, _ in windows], [pad for _, pad in windows], self.in_type.dim
        conv = CONV[self.spatial](dim, dim, size, self.stride, groups=dim, bias=False, dtype=dtype)
        conv.weight.data.copy_(gaussian(size, self.sigma).expand_as(conv.weight))
        pad = GridPadding(self.in_type, pads, self.pad.modes).to(dtype)
        return nn.Sequential(pad.plain(()), conv)

    def extra_repr(self) -> str:
        return f"{self.in_type}, stride={self.stride}, sigma={self.sigma:.3g}, padding_mode={self.pad.modes}"


def gaussian(shape: Sequence[int], sigma: float) -> Tensor:
    """Product of Gaussians about the middle of an array, of sum 1, float64."""
    kernel = torch.ones((), dtype=torch.float64, device="cpu")
    for n in shape:
        axis = torch.exp(-0.5 * ((torch.arange(n, dtype=torch.float64, device="cpu") - (n - 1) / 2) / sigma) ** 2)
        kernel = kernel[..., None] * (axis / axis.sum())
    return kernel


class GridUpsample(Exportable):
    """Makes every pixel ``scale`` x ``scale`` pixels, by repetition or by linear interpolation about the middle of pixels.

    The same for every component, so it is equivariant for every group. (On hexagons: :class:`GridConvTranspose`.)

    Args:
        type: field type of input and output.
        scale: an integer.
        mode: "nearest" or "linear" (bilinear, trilinear).
        padding_mode: of closed axes, "circular" or "moebius": interpolation goes across the seam; see :class:`GridPadding`.

    Shapes:
        (B, type.dim, H, W) -> (B, type.dim, scale H, scale W); volumes likewise.
    """

    def __init__(
        self, type: FieldType, scale: int = 2, mode: str = "linear", *, padding_mode: str | Sequence[str] = "zeros"
    ) -> None:
        super().__init__()
        check_field_types(self, type=type)
        check_int(self, "scale", scale)
        check_choice(self, "mode", mode, UPSAMPLING)
        self.in_type = self.out_type = type
        self.scale, self.mode, self.spatial = int(scale), mode, spatial_axes(type)
        modes = check_modes(padding_mode, type)
        self.pad = GridPadding(type, [int(m in CLOSED and mode == "linear") for m in modes], modes)

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "GridUpsample", 2 + self.spatial)
        shape = x.shape[2:]
        mode = "nearest" if self.mode == "nearest" else {2: "bilinear", 3: "trilinear"}[self.spatial]
        x = F.interpolate(self.pad(x), scale_factor=float(self.scale), mode=mode)
        for axis, pad in enumerate(self.pad.padding):
            if pad:
                x = x.narrow(2 + axis, self.scale, self.scale * shape[axis])
        return x

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        mode = "nearest" if self.mode == "nearest" else {2: "bilinear", 3: "trilinear"}[self.spatial]
        upsample = nn.Upsample(scale_factor=float(self.scale), mode=mode)
        padded = [axis for axis, pad in enumerate(self.pad.padding) if pad]
        if not padded:
            return upsample
        scale = [self.scale] * self.spatial
        return traced(Crop(self.pad.plain(()), upsample, dict.fromkeys(padded, self.scale), scale))

    def extra_repr(self) -> str:
        return f"{self.in_type}, scale={self.scale}, mode={self.mode!r}, padding_mode={self.pad.modes}"


class GridDropout(Exportable):
    """Drops whole copies of a field, on the whole image, as Dropout2d drops channels (Tompson et al. 2015).

    ``OnGrid(FieldDropout(type))`` drops them pixel by pixel.

    Args:
        type: field type of input and output.
        p: probability of dropping a copy; the others are scaled by 1 / (1 - p).

    Shapes:
        (B, type.dim, H, W) -> (B, type.dim, H, W); volumes likewise.
    """

    def __init__(self, type: FieldType, p: float = 0.5) -> None:
        super().__init__()
        check_field_types(self, type=type)
        p = check_probability(self, "p", p)
        self.in_type = self.out_type = type
        self.p, self.spatial = p, spatial_axes(type)

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "GridDropout", 2 + self.spatial)
        if not self.training or self.p == 0.0:
            return x
        keep = []
        for mul, rep in self.in_type.blocks:
            keep.append((torch.rand(x.shape[0], 1, mul, device=x.device) >= self.p).expand(-1, rep.dim, -1).flatten(1))
        mask = torch.cat(keep, 1).to(x.dtype) / (1.0 - self.p)
        return x * mask.reshape(*mask.shape, *[1] * self.spatial)

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        return nn.Identity()

    def extra_repr(self) -> str:
        return f"{self.in_type}, p={self.p}"
