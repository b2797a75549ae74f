"""Weights of the published tensor field networks, by their names there (github.com/tensorfieldnetworks/tensorfieldnetworks)."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ...fields import FieldType
from ...groups import SO3, Group
from ...kernels import Polar, RadialProfile, SteerableBasis
from ...nn import GaugeConv, NormNonlinearity

if TYPE_CHECKING:
    from .tensor_field_network import TensorFieldNetwork

# Distances and norms are at least this, the square root of 1e-8: that of a point from itself too.
_LEAST = 1e-4
_ACTIVATION = "ssp"


class RadialUnits(RadialProfile):
    """Hidden units of one or several networks of the distance, and a constant: what published radial functions are made of.

    .. math:: relu(W_1 e + b_1), \\qquad e_k = \\exp(-\\gamma (r - c_k)^2)

    Args:
        weights, biases: W_1 (H, K) and b_1 (H,) of all networks one under the other. The functions are H + 1.
        centres: c (K,). gamma: both in units of the radius.
        least: the smallest distance that is told from zero.
    """

    key = None

    def __init__(self, weights: Tensor, biases: Tensor, centres: Tensor, gamma: float, least: float) -> None:
        super().__init__(len(biases) + 1, cutoff=False)
        self.gamma, self.least = float(gamma), float(least)
        self.weights, self.biases = nn.Parameter(weights.clone()), nn.Parameter(biases.clone())
        self.register_buffer("centres", centres.clone())

    def functions(self, r: Tensor) -> Tensor:
        rings = torch.exp(-self.gamma * (r.clamp_min(self.least)[..., None] - self.get_buffer("centres")) ** 2)
        units = torch.relu(rings @ self.weights.t() + self.biases)
        return torch.cat([units, torch.ones_like(units[..., :1])], -1)


class Path(NamedTuple):
    """A filter of the published code: the degree of its input and output, and its kernel (K, out, in) at unit log maps."""

    source: int
    result: int
    kernel: Callable[[Tensor], Tensor]


# The published filters see the vector from the neighbour to the centre, minus the log map.
_CROSS = torch.tensor(
    [[[0, 0, 0], [0, 0, 1], [0, -1, 0]], [[0, 0, -1], [0, 0, 0], [1, 0, 0]], [[0, 1, 0], [-1, 0, 0], [0, 0, 0]]]
)
_FILTERS: dict[tuple[str, int], Path] = {
    ("F0_to_L/F_0", 0): Path(0, 0, lambda u: torch.ones_like(u[:, :1, None])),
    ("F0_to_L/F_0", 1): Path(1, 1, lambda u: torch.eye(3).to(u).expand(len(u), 3, 3)),
    ("F1_to_0/F_1", 1): Path(1, 0, lambda u: -u[:, None, :]),
    ("F1_to_1/F_1", 0): Path(0, 1, lambda u: -u[:, :, None]),
    ("F1_to_1/F_1", 1): Path(1, 1, lambda u: -torch.einsum("ijk,nj->nik", _CROSS.to(u), u)),
}
# In this order the published convolution makes its outputs, which are then joined.
_ORDER = ("F0_to_L/F_0", "F1_to_0/F_1", "F1_to_1/F_1")


def read_weights(
    network: type[TensorFieldNetwork],
    weights: Mapping[str, Any],
    centres: Any,
    gamma: float,
    radius: float,
    group: Group | None = None,
) -> TensorFieldNetwork:
    """A :class:`TensorFieldNetwork` that gives the numbers of the published code.

    Understood are ``self_interaction_k``, ``convolution_k`` and ``nonlinearity_k`` of fields of degree 0 and 1, in the order of
    the published examples: an embedding of scalars at first (if there is one), then convolution, self-interaction and
    nonlinearity, and a convolution at the end, with or without self-interaction. On points whose weights are sums:
    ``geometry.points(x, radius, weight="sum")``.

    Args:
        network: the class.
        weights: arrays by their names, with or without ":0" at the end.
        centres, gamma: of the Gaussians that a distance is expanded in.
        radius: of the neighbourhoods, which has to reach all points that the published network sums over.
        group: SO(3), or O(3).

    Raises:
        ValueError: names that make no such network.
    """
    found = {name.removesuffix(":0"): torch.as_tensor(value, dtype=torch.float64) for name, value in weights.items()}
    group = SO3() if group is None else group
    count = 1 + max((_number(name) for name in found if name.startswith("convolution")), default=-1)
    if not count:
        raise ValueError(
            f"expected weights of a published network, with names like convolution/L0/..., got {sorted(found)[:5]}"
        )
    mixes = [
        _mix(found, k) for k in range(2 + max((_number(n) for n in found if n.startswith("self_interaction")), default=-1))
    ]
    embedding = mixes.pop(0) if mixes and 0 in mixes[0] and 1 not in mixes[0] else None
    rings = torch.as_tensor(centres, dtype=torch.float64) / radius, gamma * radius**2, _LEAST / radius
    parts = [
        _Convolution(found, f"convolution{f'_{k}' if k else ''}", mixes[k] if k < len(mixes) else {}) for k in range(count)
    ]
    layers = [part.types(group) for part in parts]
    if any(f"nonlinearity{f'_{count - 1}' if count > 1 else ''}/L{l}/tensor_0/biases" in found for l in (0, 1)):
        raise ValueError("a nonlinearity behind the last convolution has no place in a TensorFieldNetwork")
    act = functools.partial(NormNonlinearity, activation=_ACTIVATION, eps=1e-2 * _LEAST**2)
    in_type = layers[0][0] if embedding is None else FieldType(group, [(embedding[0][0].shape[1], group.trivial)])
    net = network(
        in_type,
        layers[-1][1],
        hidden=[out for _, out in layers[:-1]],
        embedding=None if embedding is None else layers[0][0],
        nonlinearity=act,
        radial=1,
    ).double()
    convolutions = nn.ModuleList(part.layer(a, b, rings) for part, (a, b) in zip(parts, layers))
    net.convolutions = convolutions
    with torch.no_grad():
        if embedding is not None:
            _fill(net.embed, embedding)
        for k, layer in enumerate(net.nonlinearities):
            biases, own = found.get(f"nonlinearity{f'_{k}' if k else ''}/L1/tensor_0/biases"), getattr(layer, "bias", None)
            if own is not None and biases is not None:
                own.copy_(biases)
    return net


Mix = dict[int, tuple[Tensor, Tensor | None]]


def _number(name: str) -> int:
    """k of "convolution_k/...", 0 without."""
    return int((re.match(r"[a-z_]*[a-z]_(\d+)/", name) or [0, 0])[1])


def _mix(found: Mapping[str, Tensor], k: int) -> Mix:
    """Weights (out, in) and biases of a self-interaction, by degree."""
    scope = f"self_interaction{f'_{k}' if k else ''}/L{{}}/tensor_0/self_interaction_layer/"
    pairs = {l: (found.get(scope.format(l) + "weights"), found.get(scope.format(l) + "biases")) for l in (0, 1)}
    return {l: (weights, biases) for l, (weights, biases) in pairs.items() if weights is not None}


class _Convolution:
    """A published convolution, and the self-interaction behind it ({} for none)."""

    def __init__(self, found: Mapping[str, Tensor], scope: str, mix: Mix) -> None:
        self.mix, self.paths = mix, []
        if any(re.match(rf"{scope}/L\d/tensor_[1-9]", name) for name in found):
            raise ValueError(f"{scope} has several tensors of one degree: join them (layers.concatenation) before")
        for l in (0, 1):
            for name in _ORDER:
                radial = f"{scope}/L{l}/tensor_0/{name}/radial_function/"
                if radial + "weights1" in found:
                    self.paths.append(
                        (_FILTERS[name, l], [found[radial + p] for p in ("weights1", "biases1", "weights2", "biases2")])
                    )

    def types(self, group: Group) -> tuple[FieldType, FieldType]:
        """Field types of input and output."""
        sources = {path.source: len(units[3]) for path, units in self.paths}
        results: dict[int, int] = {}
        for path, units in self.paths:
            results[path.result] = results.get(path.result, 0) + len(units[3])
        results |= {l: len(weights) for l, (weights, _) in self.mix.items()}
        source, result = ([(mul, str(l)) for l, mul in sorted(part.items())] for part in (sources, results))
        return FieldType(group, source), FieldType(group, result)

    def layer(self, in_type: FieldType, out_type: FieldType, rings: tuple) -> GaugeConv:
        """The layer with its weights: those of the last layer of every radial network, mixed by the self-interaction."""
        first, shift = (torch.cat([units[i] for _, units in self.paths]) for i in (0, 1))
        profile = RadialUnits(first, shift, *rings)
        conv = GaugeConv(in_type, out_type, kernel=Polar(profile, quadrature=None), self_interaction=False).double()
        degrees = [[rep.degree for _, rep in type.blocks] for type in (in_type, out_type)]
        begun, unit = {0: 0, 1: 0}, 0
        with torch.no_grad():
            conv.weight.zero_()
            for path, (_, _, last, constant) in self.paths:
                mul, units = last.shape
                i, o = (d.index(l) for d, l in zip(degrees, (path.source, path.result)))
                start, stop = next(p[2:] for p in conv.expansion.paths if p[:2] == (i, o))
                room = conv.weight[start:stop].view(profile.num, -1, mul, out_type.blocks[o][0])
                mixed = torch.eye(room.shape[3]).to(last) if path.result not in self.mix else self.mix[path.result][0]
                mixed = mixed[:, begun[path.result] : begun[path.result] + mul]  # (out, in)
                basis = _coordinates(path, conv, i, o)
                room[unit : unit + units] += torch.einsum("k,cb,oc->bkco", basis, last, mixed)
                room[-1] += torch.einsum("k,c,oc->kco", basis, constant, mixed)
                begun[path.result] += mul
                unit += units
            _fill_bias(conv, self.mix)
        return conv


def _coordinates(path: Path, conv: GaugeConv, i: int, o: int) -> Tensor:
    """A published filter in our basis of kernels: (K,)."""
    basis = SteerableBasis(conv.in_type.blocks[i][1], conv.out_type.blocks[o][1], max_frequency=conv.max_frequency or 0)
    u = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = u / u.norm(dim=1, keepdim=True)
    ours, wanted = basis(u).transpose(0, 1).flatten(1).t(), path.kernel(u).reshape(-1, 1)
    found = torch.linalg.lstsq(ours, wanted).solution
    if (ours @ found - wanted).abs().max() > 1e-10:
        raise ValueError(f"{conv.in_type.group} has no filter from degree {path.source} to {path.result} as the published one")
    return found[:, 0]


def _fill(linear: Any, mix: Mix) -> None:
    """The weights of a self-interaction of scalars."""
    linear.weight.copy_(mix[0][0].t().reshape(-1))
    _fill_bias(linear, mix)


def _fill_bias(layer: Any, mix: Mix) -> None:
    layer.bias.value.zero_()
    if 0 in mix and mix[0][1] is not None:
        layer.bias.value.copy_(mix[0][1])
