"""Trained networks on images as plain torch.nn modules: weights expanded, nothing of gaugenet left."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from functools import singledispatch
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...fields import FieldType
from ..fields.bias import FieldBias
from ..fields.invariants import GroupPool, ToScalars
from ..fields.linear import GaugeLinear
from ..fields.nonlinearities import GatedNonlinearity, NormNonlinearity, is_pointwise
from ..fields.norm import FieldDropout, FieldNorm
from ..fields.regular import PolynomialNonlinearity, RegularNonlinearity
from ..fields.restriction import Restrict
from ..fields.tensor_product import TensorNonlinearity
from ..grid.conv import GridConv
from ..grid.layers import GridBlur, GridDropout, GridUpsample, OnGrid, gaussian
from ..grid.masks import GridMask
from ..grid.padding import CLOSED, GridPadding
from ..grid.pooling import GridPool, tie_tolerance
from ..grid.transpose import GridConvTranspose
from . import plain

_MODULES = {"relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU, "softplus": nn.Softplus, "tanh": nn.Tanh}
_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
#: torch's convolutions know these themselves
_NATIVE = ("zeros", "circular", "reflect", "replicate")


class Seen(NamedTuple):
    """An image that a layer was used on."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@torch.no_grad()
def export(network: nn.Module, example: Tensor | None = None) -> nn.Module:
    """A copy of a network in eval mode whose layers of gaugenet are plain torch modules with the same numbers.

    Convolutions become Conv2d with the expanded kernel, norms BatchNorm2d, pointwise nonlinearities ReLU and so on, and what
    torch has no layer for a ``torch.fx.GraphModule`` of torch functions. Containers stay what they are: an nn.Sequential of
    layers becomes one of torch modules alone, which loads where gaugenet is not installed; a class of yours keeps its forward.
    The result goes through ``torch.export`` and ONNX.

    Args:
        network: a layer, or a module that contains layers for images.
        example: an input (B, in_type.dim, H, W). Layers that treat the ends of an image by its size (:class:`GridPool` where
            blocks do not fit, :class:`GridBlur`, :class:`GridMask`) are exported for the size that they get from it, and the
            result is compared with the network.

    Raises:
        TypeError: a layer that has no plain form (layers for graphs).
        ValueError: without an example, for layers that need one; a layer used on images of several sizes.
        RuntimeError: when the exported network gives other numbers for the example.
    """
    seen: dict[str, set[Seen]] = {}
    training = network.training
    network.eval()
    try:
        expected = None if example is None else _record(network, example, seen)
    finally:
        network.train(training)
    tensors = [*network.parameters(), *network.buffers(), *([] if example is None else [example])]
    with torch.device(tensors[0].device if tensors else torch.get_default_device()):  # where new tensors are made
        result = _convert(copy.deepcopy(network).eval(), "", seen).eval()
    if example is not None:
        out = result(example)
        tolerance = 1e-9 if example.dtype == torch.float64 else 1e-3
        if out.shape != expected.shape or (out - expected).abs().max() > tolerance * expected.abs().max().clamp_min(1e-30):
            raise RuntimeError("the exported network gives other numbers than the network (is its forward random?)")
    return result


def _record(network: nn.Module, example: Tensor, seen: dict[str, set[Seen]]) -> Tensor:
    hooks = []
    for name, module in network.named_modules():
        if _has_plain_form(module):
            keep = seen.setdefault(name, set())
            hooks.append(
                module.register_forward_pre_hook(lambda _, x, keep=keep: keep.add(Seen(tuple(x[0].shape[2:]), x[0].dtype)))
            )
    try:
        return network(example)
    finally:
        for hook in hooks:
            hook.remove()


def _convert(module: nn.Module, name: str, seen: dict[str, set[Seen]]) -> nn.Module:
    if _has_plain_form(module):
        return to_plain(module, seen.get(name, set()))
    if type(module).__module__.startswith("gaugenet.nn"):
        raise TypeError(f"{name or 'the network'}: {type(module).__name__} is no layer for images and has no plain form")
    for child, part in module.named_children():
        setattr(module, child, _convert(part, f"{name}.{child}" if name else child, seen))
    return module


def _has_plain_form(module: nn.Module) -> bool:
    return to_plain.dispatch(type(module)) is not to_plain.dispatch(object)


@singledispatch
def to_plain(layer: nn.Module, seen: set[Seen]) -> nn.Module:
    """One layer as a plain module, for the images that it has seen where that matters."""
    raise TypeError(f"{type(layer).__name__} is no layer for images and has no plain form")


def _the_only(layer: nn.Module, seen: set[Seen]) -> Seen:
    if len(seen) != 1:
        sizes = f"this one saw {sorted(s.shape for s in seen)}" if seen else "give an example"
        raise ValueError(f"{type(layer).__name__} is exported for images of one size: {sizes}")
    return next(iter(seen))


@to_plain.register
def _(layer: GridConv, seen: set[Seen]) -> nn.Module:
    modes = set(layer.pad.modes)
    native = next(iter(modes)) if len(modes) == 1 and modes <= set(_NATIVE) else None
    conv = _CONV[layer.spatial](
        layer.in_type.dim,
        layer.out_type.dim,
        layer.kernel_size,
        layer.stride,
        layer.zeros if native is None else layer.padding,
        layer.dilation,
        layer.groups,
        layer.bias is not None,
        "zeros" if native is None else native,
    )
    conv = _loaded(conv, layer.kernel(), layer.bias_row())
    if layer.order_in is not None:
        conv = plain.traced(plain.Reorder(conv, layer.order_in, layer.order_out))
    return conv if native or not any(layer.pad.padding) else nn.Sequential(to_plain(layer.pad, set()), conv)


@to_plain.register
def _(layer: GridConvTranspose, seen: set[Seen]) -> nn.Module:
    taken = tuple(pad if mode == "zeros" else 0 for pad, mode in zip(layer.padding, layer.pad.modes))
    conv = _TRANSPOSED[layer.spatial](
        layer.in_type.dim,
        layer.out_type.dim,
        layer.kernel_size,
        layer.stride,
        taken,
        0,
        layer.groups,
        layer.bias is not None,
        layer.dilation,
    )
    conv = _loaded(conv, layer.transposed_kernel(), layer.bias_row())
    if layer.order_in is not None:
        conv = plain.traced(plain.Reorder(conv, layer.order_in, layer.order_out))
    closed = [axis for axis, mode in enumerate(layer.pad.modes) if mode in CLOSED]
    if not closed:
        return conv
    first = {a: layer.pad.padding[a] * layer.stride[a] + layer.padding[a] for a in closed}
    return plain.traced(plain.Crop(to_plain(layer.pad, set()), conv, first, layer.stride))


def _loaded(conv: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    conv = conv.to(weight)
    conv.weight.data.copy_(weight)
    if bias is not None:
        conv.bias.data.copy_(bias)
    return conv


@to_plain.register
def _(layer: GridPadding, seen: set[Seen]) -> nn.Module:
    turn = None
    if layer.twisted:
        blocks = [getattr(layer, f"reflection_{b}") for b in range(len(layer.in_type.blocks))]
        eyes = [torch.eye(mul).to(m) for (mul, _), m in zip(layer.in_type.blocks, blocks)]
        turn = torch.block_diag(*[torch.kron(m, eye) for m, eye in zip(blocks, eyes)])
    return plain.traced(plain.Pad(layer.padding, layer.modes, turn))


@to_plain.register
def _(layer: GridPool, seen: set[Seen]) -> nn.Module:
    native = _native_pool(layer, seen)
    if native is not None:
        return native
    shape, dtype = _the_only(layer, seen)
    (_, rows, tops), (_, columns, lefts) = (layer.windows(axis, n) for axis, n in enumerate(shape))
    ends = [[*left, *top] for top, left in itertools.product(tops, lefts)]
    taps = list(itertools.product(range(layer.size), repeat=2)) if layer.taps is None else layer.taps
    windows = layer.size, taps, layer.stride, ends
    if layer.reduce == "mean":
        inside = (
            torch.ones(1, 1, *(n + sum(closed) for n, closed in zip(shape, (rows, columns)))) if layer.taps is None else None
        )
        pool = plain.MeanPool(*windows, inside=inside)
    else:
        pool = plain.LargestPool(*windows, blocks=_blocks(layer.in_type), eps=tie_tolerance(dtype))
    pool = plain.traced(pool.to(dtype))
    if not any((*rows, *columns)):
        return pool
    most = [max(closed) for closed in (rows, columns)]
    parts = [(m - closed[0], closed[0] + n + closed[1]) for m, closed, n in zip(most, (rows, columns), shape)]
    pad = to_plain(GridPadding(layer.in_type, most, layer.pad.modes).to(dtype), set())
    return nn.Sequential(pad, plain.traced(plain.Narrow(parts)), pool)


def _native_pool(layer: GridPool, seen: set[Seen]) -> nn.Module | None:
    """torch's own layer, where it does the same for all images seen."""
    if not seen or layer.taps is not None or any(2 * pad > layer.size for pad in layer.padding):
        return None
    for image in seen:
        for axis, n in enumerate(image.shape):
            _, closed, ends = layer.windows(axis, n)
            if any(closed) or ends != [(0, 0) if layer.pad.modes[axis] in CLOSED else (layer.padding[axis],) * 2]:
                return None
    padding = tuple(0 if mode in CLOSED else pad for pad, mode in zip(layer.padding, layer.pad.modes))
    if layer.reduce == "mean":
        return nn.AvgPool2d(layer.size, layer.stride, padding, count_include_pad=False)
    return nn.MaxPool2d(layer.size, layer.stride, padding) if all(layer.pointwise) else None


@to_plain.register
def _(layer: GridBlur, seen: set[Seen]) -> nn.Module:
    shape, dtype = _the_only(layer, seen)
    windows = [layer.window(n) for n in shape]
    size, pads, dim = [taps for taps, _ in windows], [pad for _, pad in windows], layer.in_type.dim
    conv = _CONV[layer.spatial](dim, dim, size, layer.stride, groups=dim, bias=False, dtype=dtype)
    conv.weight.data.copy_(gaussian(size, layer.sigma).expand_as(conv.weight))
    pad = GridPadding(layer.in_type, pads, layer.pad.modes).to(dtype)
    return nn.Sequential(to_plain(pad, set()), conv)


@to_plain.register
def _(layer: GridMask, seen: set[Seen]) -> nn.Module:
    shape, dtype = _the_only(layer, seen)
    return plain.traced(plain.Mask(layer.mask(shape).to(dtype)))


@to_plain.register
def _(layer: GridUpsample, seen: set[Seen]) -> nn.Module:
    mode = "nearest" if layer.mode == "nearest" else {2: "bilinear", 3: "trilinear"}[layer.spatial]
    upsample = nn.Upsample(scale_factor=float(layer.scale), mode=mode)
    padded = [axis for axis, pad in enumerate(layer.pad.padding) if pad]
    if not padded:
        return upsample
    crop = plain.Crop(to_plain(layer.pad, set()), upsample, dict.fromkeys(padded, layer.scale), [layer.scale] * layer.spatial)
    return plain.traced(crop)


@to_plain.register(GridDropout)
@to_plain.register(Restrict)
def _(layer: nn.Module, seen: set[Seen]) -> nn.Module:
    return nn.Identity()


@to_plain.register
def _(layer: OnGrid, seen: set[Seen]) -> nn.Module:
    axes = layer.in_type.group.dim
    if isinstance(layer.layer, nn.Sequential):
        return nn.Sequential(*[pixelwise(part, axes) for part in layer.layer])
    return pixelwise(layer.layer, axes)


@singledispatch
def pixelwise(layer: nn.Module, axes: int) -> nn.Module:
    """A layer for nodes as a plain module on images of 2 or 3 axes."""
    raise TypeError(f"OnGrid({type(layer).__name__}) has no plain form")


@pixelwise.register(FieldDropout)
@pixelwise.register(Restrict)
@pixelwise.register(nn.Identity)
def _(layer: nn.Module, axes: int) -> nn.Module:
    return nn.Identity()


@pixelwise.register
def _(layer: FieldNorm, axes: int) -> nn.Module:
    type, dim = layer.in_type, layer.in_type.dim
    beta = torch.zeros(dim) if layer.beta is None else layer.beta.row()
    gammas, means, variances, projectors = [], [], [], []
    for b, _, mean, copies in layer._spans():
        mul, rep = type.blocks[b]
        vectors = getattr(layer, f"invariant_{b}") if layer._invariant_dims[b] else torch.zeros(0, rep.dim).to(beta)
        projectors.append(vectors.t() @ vectors)
        gammas.append(torch.ones(mul) if layer.gamma is None else layer.gamma[copies])
        if layer.mode == "batch":
            means.append((vectors.t() @ layer.running_mean[mean].view(len(vectors), mul).to(vectors)).flatten())
            variances.append(layer.running_var[copies].repeat(rep.dim))
        gammas[-1] = gammas[-1].repeat(rep.dim)
    if layer.mode == "layer":
        return plain.traced(plain.LayerNorm(_blocks(type), projectors, torch.cat(gammas), beta, layer.eps, axes))
    norm = _BATCH_NORM[axes](dim, layer.eps, layer.momentum).to(layer.running_var)
    for target, value in ((norm.weight, gammas), (norm.running_mean, means), (norm.running_var, variances)):
        target.data.copy_(torch.cat(value))
    norm.bias.data.copy_(beta)
    return norm.eval()


@pixelwise.register
def _(layer: GaugeLinear, axes: int) -> nn.Module:
    matrix = layer.expansion(layer.weight)[0, 0].t()
    conv = _CONV[axes](layer.in_type.dim, layer.out_type.dim, 1, bias=layer.bias is not None)
    return _loaded(conv, matrix.reshape(*matrix.shape, *[1] * axes), None if layer.bias is None else layer.bias.row())


@pixelwise.register
def _(layer: FieldBias, axes: int) -> nn.Module:
    row = layer.row()
    conv = _CONV[axes](len(row), len(row), 1, groups=len(row))
    return _loaded(conv, torch.ones_like(conv.weight).to(row), row)


@pixelwise.register
def _(layer: NormNonlinearity, axes: int) -> nn.Module:
    if all(is_pointwise(rep) for _, rep in layer.in_type.blocks):
        return _activation(layer)
    bias = None if layer.bias is None else layer.bias.detach().clone()
    return plain.traced(plain.Norms(_blocks(layer.in_type), _activation(layer), bias, layer.eps, layer.smooth, axes))


@pixelwise.register
def _(layer: GatedNonlinearity, axes: int) -> nn.Module:
    if not layer.num_gates:
        return _activation(layer)
    return plain.traced(plain.Gates(_blocks(layer.out_type), layer.out_type.dim, _activation(layer), layer.gate))


@pixelwise.register(RegularNonlinearity)
@pixelwise.register(PolynomialNonlinearity)
def _(layer: nn.Module, axes: int) -> nn.Module:
    if not layer._width:
        return _activation(layer)
    type, dim, width = layer.in_type, layer.in_type.dim, layer._width
    columns = [torch.arange(s.start, s.stop).view(rep.dim, mul) for s, (mul, rep) in zip(type.slices, type.blocks)]
    rows = []
    for _, merged in layer._irreps:
        row = torch.cat([columns[b] for b, _ in merged], 1)
        rows.append(nn.functional.pad(row, (0, width - row.shape[1]), value=dim))
    place = torch.cat(rows)
    back = place.numel() + torch.arange(dim)  # where nothing else is said: what the activation made of the channel
    there = place.flatten() < dim
    back[place.flatten()[there]] = torch.arange(place.numel())[there]
    polynomial = isinstance(layer, PolynomialNonlinearity)
    act = plain.Polynomial(layer.polynomial) if polynomial else _activation(layer)
    return plain.traced(plain.Circle(place, back, layer.synthesis, act, _activation(layer), polynomial))


@pixelwise.register
def _(layer: TensorNonlinearity, axes: int) -> nn.Module:
    product = layer.product
    maps = torch.einsum("koq,km->moq", product.coefficients, product.weight.view(-1, layer.copies))
    return plain.traced(plain.Products(maps, product.pairs, layer.gain, layer.eps))


@pixelwise.register
def _(layer: GroupPool, axes: int) -> nn.Module:
    return plain.traced(plain.Invariants(_blocks(layer.in_type), layer.reduce))


@pixelwise.register
def _(layer: ToScalars, axes: int) -> nn.Module:
    trivial = layer.in_type.group.trivial
    return plain.traced(plain.Invariants(_blocks(layer.in_type, lambda rep: rep == trivial), "norm", layer.eps))


def _blocks(type: FieldType, pointwise: Callable = is_pointwise) -> list[plain.Block]:
    return [plain.Block(s.start, rep.dim, mul, pointwise(rep), rep.cosets) for s, (mul, rep) in zip(type.slices, type.blocks)]


def _activation(layer: nn.Module) -> nn.Module:
    """The pointwise function of a nonlinearity as a module."""
    if isinstance(layer.activation, str):
        return _MODULES[layer.activation]()
    return copy.deepcopy(layer.act) if isinstance(layer.act, nn.Module) else plain.traced(_Function(layer.act))


class _Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
