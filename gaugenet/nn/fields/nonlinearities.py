"""Equivariant nonlinearities that act on norms and gates: exact for every group."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import check_number
from ...fields import FieldType, check_field_types
from ...groups import Representation
from ..exporting.exportable import Pixelwise
from ..exporting.plain import Gates, Norms, Pointwise, blocks_of, traced
from ..precision import room_for_squares
from ..tensor_checks import check_features


def _shifted_softplus(x: Tensor) -> Tensor:
    """log((e^x + 1) / 2), 0 at 0 (Schuett et al. 2017, SchNet, arXiv 1706.08566)."""
    return F.softplus(x) - math.log(2.0)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "elu": F.elu,
    "silu": F.silu,
    "gelu": F.gelu,
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "ssp": _shifted_softplus,
}

_MODULES = {"relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU, "softplus": nn.Softplus, "tanh": nn.Tanh}


def activation_function(activation: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The pointwise function of a name (relu, elu, silu, gelu, softplus, tanh, ssp), or the callable itself."""
    if callable(activation):
        return activation
    if activation not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}: expected one of {', '.join(_ACTIVATIONS)} or a callable")
    return _ACTIVATIONS[activation]


def activation_module(activation: str | Callable[[Tensor], Tensor]) -> nn.Module:
    """The same as a plain torch module."""
    if activation in _MODULES:
        return _MODULES[activation]()
    activation = activation_function(activation)
    return copy.deepcopy(activation) if isinstance(activation, nn.Module) else traced(Pointwise(activation))


def is_pointwise(rep: Representation) -> bool:
    """Whether any pointwise function commutes with a representation (permutations, the trivial one included)."""
    return rep.is_permutation


class NormNonlinearity(Pixelwise):
    r"""Acts on the norm of every copy and keeps its direction (Worrall et al. 2017, Harmonic Networks, eq. 11).

    .. math:: f \mapsto \frac{\sigma(|f| + b)}{|f|}\, f

    with a learnt b per copy, at first -0.1 (at 0 a ReLU would do nothing, norms being positive). Representations that
    permute their components (trivial, regular, quotient) get the activation pointwise; induced ones, which permute parts, the
    norm of every part (Weiler & Cesa 2019, arXiv 1911.08251, appendix G); band-limited functions
    (:class:`gaugenet.groups.BandLimited`) the norm of each of their irreps, with a b for it.

    Args:
        type: field type of input and output.
        activation: name or callable.
        bias: learn b; without it b = 0.
        eps: the norm is sqrt(sum f^2 + eps^2), smooth at zero.
        smooth: False takes the norm as it is and f / (|f| + eps) for the direction, which jumps at f = 0 where
            sigma(b) is not 0 (the published form for sign fields: Weiler et al. 2021, arXiv 2106.06020, section 5.3.2).

    Shapes:
        (N, type.dim) -> (N, type.dim).
    """

    def __init__(
        self,
        type: FieldType,
        activation: str | Callable = "relu",
        bias: bool = True,
        *,
        eps: float = 1e-4,
        smooth: bool = True,
    ) -> None:
        check_field_types(self, type=type)
        check_number(self, "eps", eps)
        super().__init__()
        self.in_type = self.out_type = type
        self._type = type = type.irreducible()
        self.activation, self.act, self.eps, self.smooth = activation, activation_function(activation), eps, smooth
        self._pointwise = [is_pointwise(rep) for _, rep in type.blocks]
        count = sum(mul for (mul, _), pointwise in zip(type.blocks, self._pointwise) if not pointwise)
        self.bias = nn.Parameter(torch.empty(count)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.bias is not None:
            nn.init.constant_(self.bias, -0.1)

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.bias, "NormNonlinearity")
        if all(self._pointwise):
            return self.act(x)
        dtype, x = x.dtype, room_for_squares(x)
        parts, start = [], 0
        for (mul, rep), pointwise, block in zip(self._type.blocks, self._pointwise, self._type.split(x)):
            if pointwise:
                parts.append(self.act(block))
                continue
            block = block.unflatten(1, (rep.cosets, -1))  # (N, parts, components, mul)
            if self.smooth:
                norm = floor = (block.square().sum(2, keepdim=True) + self.eps**2).sqrt()
            else:
                norm = torch.linalg.vector_norm(block, dim=2, keepdim=True)
                floor = norm + self.eps
            shifted = norm if self.bias is None else norm + self.bias[start : start + mul]
            parts.append((self.act(shifted) / floor * block).flatten(1, 2))
            start += mul
        out = self._type.join(parts)
        return out.to(dtype) if dtype == torch.float16 else out

    def pixelwise(self) -> nn.Module:
        act = activation_module(self.activation)
        if all(self._pointwise):
            return act
        bias = None if self.bias is None else self.bias.detach().clone()
        return traced(Norms(blocks_of(self._type), act, bias, self.eps, self.smooth, self.in_type.group.dim))

    def extra_repr(self) -> str:
        return f"{self.in_type}, activation={self.activation!r}, bias={self.bias is not None}, smooth={self.smooth}"


class GatedNonlinearity(Pixelwise):
    r"""Multiplies every copy with a gate made from an extra scalar (Weiler et al. 2018, 3D Steerable CNNs, section 4.2).

    .. math:: f_c \mapsto \mathrm{sigmoid}(s_c)\, f_c

    Representations that permute their components get the activation instead and need no gate. The layer before must
    produce :attr:`in_type` = ``type`` plus one trivial field per gate.

    Args:
        type: field type of the output.
        activation: for the blocks that need no gate.
        gate: for the gates.

    Shapes:
        (N, in_type.dim) -> (N, type.dim).
    """

    def __init__(self, type: FieldType, activation: str | Callable = "silu", gate: str | Callable = torch.sigmoid) -> None:
        check_field_types(self, type=type)
        super().__init__()
        self.out_type = type
        self._pointwise = [is_pointwise(rep) for _, rep in type.blocks]
        self.num_gates = sum(mul for (mul, _), pointwise in zip(type.blocks, self._pointwise) if not pointwise)
        gates = FieldType(type.group, [(self.num_gates, type.group.trivial)] if self.num_gates else [])
        self.in_type = type + gates
        self.activation, self.act, self.gate = activation, activation_function(activation), activation_function(gate)

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "GatedNonlinearity")
        if not self.num_gates:
            return self.act(x)
        *blocks, gates = self.in_type.split(x)
        gated = [mul for (mul, _), pointwise in zip(self.out_type.blocks, self._pointwise) if not pointwise]
        gates = iter(self.gate(gates).split(gated, -1))  # (N, 1, mul) each
        parts = [self.act(b) if pointwise else b * next(gates) for b, pointwise in zip(blocks, self._pointwise)]
        return self.out_type.join(parts)

    def pixelwise(self) -> nn.Module:
        act = activation_module(self.activation)
        return traced(Gates(blocks_of(self.out_type), self.out_type.dim, act, self.gate)) if self.num_gates else act

    def extra_repr(self) -> str:
        return f"{self.out_type}, activation={self.activation!r}"
