"""What exported networks are made of where torch.nn has no such layer: modules of plain torch on images (B, channels, ...).

They know no field types, only channels (:func:`blocks_of` a type). :func:`traced` turns one into a ``torch.fx.GraphModule``,
which loads where gaugenet is not installed. A block of ``mul`` copies of n components lies in the channels
``start + (n, mul)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from ...fields import FieldType
from ...groups import Representation

#: by the number of spatial axes
CONV: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM: dict[int, Any] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL: dict[int, Any] = {2: F.max_pool2d, 3: F.max_pool3d}
#: as in the nonlinearities: keeps the square root of a power differentiable at zero
_TINY = 1e-6


def smooth_norm(power: Tensor, eps: float) -> Tensor:
    """sqrt(power + eps^2). ONNX optimisers take the sum with a tiny constant for the power itself, which divides 0 by 0."""
    return (power * eps**-2 + 1).sqrt() * eps if eps else power.sqrt()


class Block(NamedTuple):
    """Channels of ``mul`` copies of a field of n components; whether functions act on each channel for itself.

    The components fall into ``parts`` equal parts with a norm each.
    """

    start: int
    n: int
    mul: int
    pointwise: bool
    parts: int = 1

    def of(self, x: Tensor) -> Tensor:
        """(B, n, mul, ...)."""
        return x[:, self.start : self.start + self.n * self.mul].unflatten(1, (self.n, self.mul))


def blocks_of(type: FieldType, pointwise: Callable[[Representation], bool] | None = None) -> list[Block]:
    """The channels of every block of a type; functions act on each channel of permutation representations by default."""
    return [
        Block(s.start, rep.dim, mul, rep.is_permutation if pointwise is None else pointwise(rep), rep.cosets)
        for s, (mul, rep) in zip(type.slices, type.blocks)
    ]


def loaded(conv: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A convolution with this weight and bias, in their dtype."""
    conv = conv.to(weight)
    conv.weight.data.copy_(weight)
    if bias is not None:
        conv.bias.data.copy_(bias)
    return conv


def traced(module: nn.Module) -> fx.GraphModule:
    graph = fx.symbolic_trace(module)
    for node in graph.graph.nodes:
        node.type = None  # annotations are strings here, which do not pickle
    graph.recompile()
    return graph


class Reorder(nn.Module):
    """A layer between two permutations of channels."""

    before: Tensor
    after: Tensor

    def __init__(self, layer: nn.Module, before: Tensor, after: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("before", before.clone())
        self.register_buffer("after", after.clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.index_select(1, self.before)).index_select(1, self.after)


class Pad(nn.Module):
    """Continues every axis by its mode; ``turn`` (C, C) acts on what lies beyond the seam of a Moebius strip."""

    turn: Any  # (C, C), or None without such an axis

    def __init__(self, padding: Sequence[int], modes: Sequence[str], turn: Tensor | None) -> None:
        super().__init__()
        self.padding, self.modes = tuple(padding), tuple(modes)
        self.register_buffer("turn", turn)

    def forward(self, x: Tensor) -> Tensor:
        ends: list[int] = []
        for axis, (pad, mode) in enumerate(zip(self.padding, self.modes)):
            ends = [pad, pad, *ends] if mode == "zeros" else [0, 0, *ends]
            if not pad or mode == "zeros":
                continue
            size = x.shape[2 + axis]
            if mode == "circular" or mode == "moebius":
                before, after = x.narrow(2 + axis, size - pad, pad), x.narrow(2 + axis, 0, pad)
                if mode == "moebius":
                    before, after = (F.conv2d(t.flip(2), self.turn[:, :, None, None]) for t in (before, after))
            elif mode == "reflect":
                before, after = (
                    x.narrow(2 + axis, 1, pad).flip(2 + axis),
                    x.narrow(2 + axis, size - 1 - pad, pad).flip(2 + axis),
                )
            else:
                before, after = (torch.cat([x.narrow(2 + axis, at, 1)] * pad, 2 + axis) for at in (0, size - 1))
            x = torch.cat([before, x, after], 2 + axis)
        return F.pad(x, ends) if any(ends) else x


class Mask(nn.Module):
    """Times a function of the place (H, W)."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


class Crop(nn.Module):
    """``layer(pad(x))`` cut to ``scale`` times the size of x along some axes: {axis: first pixel}."""

    def __init__(self, pad: nn.Module, layer: nn.Module, first: dict[int, int], scale: Sequence[int]) -> None:
        super().__init__()
        self.pad, self.layer, self.first, self.scale = pad, layer, first, tuple(scale)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(self.pad(x))
        for axis, first in self.first.items():
            out = out.narrow(2 + axis, first, x.shape[2 + axis] * self.scale[axis])
        return out


class Narrow(nn.Module):
    """Part of every axis: (first pixel, number of pixels)."""

    def __init__(self, parts: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.parts = list(parts)

    def forward(self, x: Tensor) -> Tensor:
        for axis, (first, count) in enumerate(self.parts):
            x = x.narrow(2 + axis, first, count)
        return x


class _Pool(nn.Module):
    """Windows of pixels to one: every ``stride`` pixels, the pixels ``taps`` (place on every axis) of ``size`` a side, all ways
    to lay them (``ends``, as for F.pad) averaged."""

    select: Tensor

    def __init__(self, size: int, taps: Sequence[tuple[int, ...]], stride: int, ends: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.size, self.stride, self.ends, self.axes = size, stride, [list(e) for e in ends], len(taps[0])
        self.whole = len(taps) == size**self.axes
        self.register_buffer("select", torch.zeros(len(taps), 1, *[size] * self.axes))
        for n, tap in enumerate(taps):
            self.select[n, 0][tap] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.pooled(x, ends) for ends in self.ends]
        return sum(parts[1:], parts[0]) / len(parts) if len(parts) > 1 else parts[0]

    def pooled(self, x: Tensor, ends: list[int]) -> Tensor:
        raise NotImplementedError

    def seen(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, T, H', W'): one operation, so that graphs stay small."""
        conv = F.conv2d if self.axes == 2 else F.conv3d
        return conv(x.flatten(0, 1).unsqueeze(1), self.select, stride=self.stride).unflatten(0, (-1, x.shape[1]))


class MeanPool(_Pool):
    """The mean of the pixels of a window that ``inside`` (1, 1, H, W) has, or of all of them."""

    inside: Tensor | None

    def __init__(self, *windows: Any, inside: Tensor | None) -> None:
        super().__init__(*windows)
        self.register_buffer("inside", inside)

    def pooled(self, x: Tensor, ends: list[int]) -> Tensor:
        seen = self.seen(F.pad(x, ends))
        return seen.mean(2) if self.inside is None else seen.sum(2) / self.seen(F.pad(self.inside, ends)).sum(2)


class LargestPool(_Pool):
    """The largest value of each channel, or of every copy the member of largest norm (the mean of ties)."""

    def __init__(self, *windows: Any, blocks: Sequence[Block], eps: float) -> None:
        super().__init__(*windows)
        self.blocks, self.eps = list(blocks), eps

    def pooled(self, x: Tensor, ends: list[int]) -> Tensor:
        parts = []
        for block in self.blocks:
            part = block.of(x).flatten(1, 2)
            if block.pointwise and self.whole:
                parts.append(MAX_POOL[self.axes](F.pad(part, ends, value=-torch.inf), self.size, self.stride))
                continue
            part = F.pad(part, ends)
            members = self.seen(part)
            if block.pointwise:
                parts.append(members.amax(2))
                continue
            members = members.unflatten(1, (block.n, block.mul))
            power = self.seen(part.unflatten(1, (block.n, block.mul)).square().sum(1)).unsqueeze(1)
            most = power.amax(3, keepdim=True)
            chosen = (most - power <= most * self.eps).to(x.dtype)
            parts.append(((members * chosen).sum(3) / chosen.sum(3)).flatten(1, 2))
        return torch.cat(parts, 1)


class Pointwise(nn.Module):
    """Any function of torch on every channel."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Norms(nn.Module):
    """:class:`NormNonlinearity`."""

    bias: Tensor | None

    def __init__(
        self, blocks: Sequence[Block], act: Callable, bias: Tensor | None, eps: float, smooth: bool, axes: int
    ) -> None:
        super().__init__()
        self.blocks, self.act, self.eps, self.smooth = list(blocks), act, eps, smooth
        self.register_buffer("bias", None if bias is None else bias.reshape(1, -1, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        parts, start = [], 0
        for block in self.blocks:
            part = block.of(x)
            if block.pointwise:
                parts.append(self.act(part).flatten(1, 2))
                continue
            part = part.unflatten(1, (block.parts, block.n // block.parts))
            power = part.square().sum(2)  # (B, parts, mul, ...)
            norm = smooth_norm(power, self.eps) if self.smooth else power.sqrt()
            shifted = norm if self.bias is None else norm + self.bias[:, start : start + block.mul].unsqueeze(1)
            scale = self.act(shifted)
            if self.smooth or not self.eps:
                scale = scale / norm
            else:  # over norm + eps, which would lose a tiny eps in ONNX
                scale = scale / self.eps / (norm / self.eps + 1)
            parts.append((scale.unsqueeze(2) * part).flatten(1, 3))
            start += block.mul
        return torch.cat(parts, 1)


class Gates(nn.Module):
    """:class:`GatedNonlinearity`: the gates are the channels from ``channels`` on."""

    def __init__(self, blocks: Sequence[Block], channels: int, act: Callable, gate: Callable) -> None:
        super().__init__()
        self.blocks, self.channels, self.act, self.gate = list(blocks), channels, act, gate

    def forward(self, x: Tensor) -> Tensor:
        parts, start = [], self.channels
        for block in self.blocks:
            part = block.of(x)
            if block.pointwise:
                parts.append(self.act(part).flatten(1, 2))
            else:
                parts.append((part * self.gate(x[:, start : start + block.mul]).unsqueeze(1)).flatten(1, 2))
                start += block.mul
        return torch.cat(parts, 1)


class Functions(nn.Module):
    """:class:`RegularNonlinearity`, or with ``scaled`` :class:`PolynomialNonlinearity`.

    ``places`` have for every function space (n, width) the channel of every coefficient, ``channels`` where there is none;
    ``back`` (channels,) where each channel lies among the n * width results of all of them, followed by the channels that are
    acted on pointwise. ``transforms``: (S, n) and (n, S), to the samples and back.
    """

    back: Tensor

    def __init__(
        self,
        places: Sequence[Tensor],
        back: Tensor,
        transforms: Sequence[tuple[Tensor, Tensor]],
        act: Callable,
        pointwise: Callable,
        scaled: bool,
    ) -> None:
        super().__init__()
        self.sizes = [(int(n), int(width)) for n, width in (place.shape for place in places)]
        self.act, self.pointwise, self.scaled = act, pointwise, scaled
        self.register_buffer("back", back)
        for k, (place, (synthesis, analysis)) in enumerate(zip(places, transforms)):
            self.register_buffer(f"place_{k}", place.flatten())
            self.register_buffer(f"synthesis_{k}", synthesis.clone())
            self.register_buffer(f"analysis_{k}", analysis.clone())

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)  # (B, channels, pixels)
        padded, results = torch.cat([flat, torch.zeros_like(flat[:, :1])], 1), []
        for k, (n, width) in enumerate(self.sizes):
            f = padded.index_select(1, getattr(self, f"place_{k}")).unflatten(1, (n, width)).flatten(2)
            synthesis, analysis = getattr(self, f"synthesis_{k}"), getattr(self, f"analysis_{k}")
            if self.scaled:
                norm = smooth_norm(f.square().sum(1, keepdim=True), _TINY)
                values = self.act(torch.matmul(synthesis, f / norm)) * norm
            else:
                values = self.act(torch.matmul(synthesis, f))
            results.append(torch.matmul(analysis, values).reshape(x.shape[0], n * width, -1))
        return torch.cat([*results, self.pointwise(flat)], 1).index_select(1, self.back).reshape(x.shape)


class Polynomial(nn.Module):
    """A polynomial with coefficients from the constant one on."""

    def __init__(self, coefficients: Tensor) -> None:
        super().__init__()
        self.coefficients = [float(c) for c in coefficients]

    def forward(self, x: Tensor) -> Tensor:
        out = x * self.coefficients[-1]
        for c in self.coefficients[-2:0:-1]:
            out = (out + c) * x
        return out + self.coefficients[0]


class LayerNorm(nn.Module):
    """:class:`FieldNorm` in the mode "layer": one projector (n, n) on invariants a block, gamma and beta by channel."""

    gamma: Tensor
    beta: Tensor

    def __init__(
        self, blocks: Sequence[Block], projectors: Sequence[Tensor], gamma: Tensor, beta: Tensor, eps: float, axes: int
    ) -> None:
        super().__init__()
        self.blocks, self.eps = list(blocks), eps
        for b, projector in enumerate(projectors):
            self.register_buffer(f"projector_{b}", projector.clone())
        self.register_buffer("gamma", gamma.reshape(1, -1, *[1] * axes))
        self.register_buffer("beta", beta.reshape(1, -1, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for b, block in enumerate(self.blocks):
            part = block.of(x)
            mean = part.mean(2)  # (B, n, ...)
            mean = torch.matmul(getattr(self, f"projector_{b}"), mean.flatten(2)).reshape(mean.shape)
            part = part - mean.unsqueeze(2)
            parts.append((part / smooth_norm(part.square().mean((1, 2), keepdim=True), self.eps**0.5)).flatten(1, 2))
        return torch.cat(parts, 1) * self.gamma + self.beta


class Products(nn.Module):
    """:class:`TensorNonlinearity`: maps (mul, n, Q) of the products of the components ``pairs`` (2, Q)."""

    maps: Tensor
    first: Tensor
    second: Tensor
    gain: Tensor

    def __init__(self, maps: Tensor, pairs: Tensor, gain: Tensor, eps: float) -> None:
        super().__init__()
        self.mul, self.n = maps.shape[:2]
        self.eps = eps
        for name, value in (("maps", maps), ("first", pairs[0]), ("second", pairs[1]), ("gain", gain.reshape(1, 1, -1, 1))):
            self.register_buffer(name, value.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        f = x.unflatten(1, (self.n, self.mul)).flatten(3)  # (B, n, mul, pixels)
        size = smooth_norm(f.square().mean(1, keepdim=True), self.eps)
        products = (f / size).index_select(1, self.first) * f.index_select(1, self.second)
        products = torch.matmul(self.maps, products.transpose(1, 2)).transpose(1, 2)
        return (products + f * self.gain).reshape(x.shape)


class Invariants(nn.Module):
    """One channel a copy: the "max", "mean", or (of blocks that are not pointwise) smoothed "norm" of its components."""

    def __init__(self, blocks: Sequence[Block], reduce: str, eps: float = 0.0) -> None:
        super().__init__()
        self.blocks, self.reduce, self.eps = list(blocks), reduce, eps

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for block in self.blocks:
            part = block.of(x)
            if self.reduce == "max":
                parts.append(part.amax(1))
            elif self.reduce == "mean" or block.pointwise:
                parts.append(part.mean(1))
            else:
                parts.append(smooth_norm(part.square().sum(1), self.eps) - self.eps)
        return torch.cat(parts, 1)
