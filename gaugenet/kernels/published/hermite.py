"""Gaussian derivatives sampled at several scales: the family of scale-equivariant steerable networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import torch
import torch.nn.functional as F
from numpy.polynomial.hermite_e import hermeval
from torch import Tensor

from ...checks import check_counts
from ...fields import FieldType
from ...groups import Scaling
from .sampled import SampledExpansion, no_graphs, odd_square, single_block

KINDS = ("A", "B")


def hermite_gaussians(
    size: int,
    scales: Sequence[float],
    effective_size: int,
    kind: str = "A",
    *,
    shrink: float = 1.4,
    max_order: int = 4,
) -> np.ndarray:
    r"""2D Hermite polynomials with a Gaussian envelope, each sampled at every scale (Sosnovik et al. 2020, arXiv 1910.11093).

    .. math:: \psi^{\sigma}_{nm}(x, y) = \sigma^{-2} He_n(x / \sigma)\, He_m(y / \sigma)\, e^{-(x^2 + y^2) / 2 \sigma^2}

    cut off beyond (2 floor(size sigma / (2 max sigma)) + 1) pixels a side, and divided by the norm that the function has at the
    first scale: the factor is one for all scales, so that psi stays one function of x / sigma.

    Args:
        size: pixels a side at the largest scale, odd.
        scales: sigma in pixels.
        effective_size: its square F is the number of functions, that of the weights of an ordinary kernel of this size.
        kind: "A", all orders n, m < effective_size; "B", orders n + m <= max_order with the width sigma, then sigma / shrink,
            and so on (the paper's multi-scale basis) until there are F.
        shrink, max_order: of kind "B".

    Returns:
        (F, S, size, size), rows along x: psi_nm stands at n + m F^(1/2) for kind "A".

    Raises:
        ValueError: an even size, an unknown kind, numbers out of range; a function that vanishes on the pixels of
            the first scale.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if size < 1 or size % 2 == 0 or effective_size < 1 or min(scales) <= 0 or shrink <= 1 or max_order < 0:
        raise ValueError(
            f"expected an odd size, positive scales, effective_size >= 1, shrink > 1 and max_order >= 0, got {size!r}, "
            f"{tuple(scales)}, {effective_size!r}, {shrink!r}, {max_order!r}"
        )
    count, functions = effective_size**2, []
    orders = [(n, m) for m in range(effective_size) for n in range(effective_size)]
    if kind == "B":
        orders = [(n, m) for m in range(max_order + 1) for n in range(max_order + 1 - m)]
    for number in range(count):
        level, place = divmod(number, len(orders))
        functions.append([_sample(size, int(size * s / max(scales)) // 2, s / shrink**level, *orders[place]) for s in scales])
    basis = np.array(functions)
    norm = np.sqrt((basis[:, :1] ** 2).sum((2, 3), keepdims=True))
    if not norm.all():
        half = int(size * scales[0] / max(scales)) // 2
        raise ValueError(
            f"{2 * half + 1} pixels a side at the scale {scales[0]} are too few for {effective_size} orders: take a larger "
            f"size, or fewer orders (size {size} belongs to the largest scale, {max(scales)})"
        )
    return basis / norm


def _sample(size: int, half: int, width: float, n: int, m: int) -> np.ndarray:
    x = np.arange(size) - size // 2
    envelope = np.where(np.abs(x) <= half, np.exp(-(x**2) / (2 * width**2)) / width, 0)
    along = [envelope * hermeval(x / width, [0] * order + [1]) for order in (n, m)]
    return np.outer(*along)


class HermiteExpansion(SampledExpansion):
    """The matrices of :class:`HermiteGaussian` kernels. Its parameter "weight" is (out, in, K, effective_size^2).

    Attributes:
        basis: (effective_size^2, S, size, size), see :func:`hermite_gaussians`.
        parts: between fields on the S scales, S: of the matrices of one scale of the output only the K neighbouring scales of
            the input are not zero.

    Raises:
        TypeError, ValueError: as :meth:`HermiteGaussian.on_taps`.
    """

    basis: Tensor

    def __init__(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray, family: HermiteGaussian) -> None:
        super().__init__(in_type, out_type)
        group = in_type.group
        if not isinstance(group, Scaling) or group.dim != 2 or out_type.group != group:
            raise TypeError(
                f"HermiteGaussian expected fields over one groups.Scaling of the plane, got {group} and {out_type.group}"
            )
        self.copies = single_block(in_type, {"scalar": group.trivial, "regular": group.regular}, "HermiteGaussian")
        copies_out = single_block(out_type, {"regular": group.regular}, "HermiteGaussian")
        size = odd_square(taps, "HermiteGaussian")
        self.lifting, self.count, self.scale_size = in_type.blocks[0][1] == group.trivial, len(group.scales), family.scale_size
        if not 1 <= self.scale_size <= (1 if self.lifting else self.count):
            raise ValueError(f"scale_size must be 1 when lifting, else 1 .. {self.count}, got {self.scale_size!r}")
        self.parts = 1 if self.lifting else self.count
        shrink, max_order = family.shrink, family.max_order
        basis = hermite_gaussians(size, group.scales, family.effective_size, family.kind, shrink=shrink, max_order=max_order)
        self.register_constant("basis", torch.from_numpy(basis))
        self.parameter_shapes = {"weight": (copies_out, self.copies, self.scale_size, len(basis))}

    def initial_parameters(self) -> dict[str, Tensor]:
        """He's law for functions of unit norm."""
        shape = self.parameter_shapes["weight"]
        return {"weight": torch.randn(shape, device="cpu") * float(np.prod(shape[1:])) ** -0.5}

    def profiles(self, weight: Tensor) -> Tensor:
        """kappa at every scale: (S, K, out, T, in)."""
        return torch.einsum("oikb,bst->skoti", weight, self.basis.flatten(2))

    def forward(self, weight: Tensor) -> Tensor:
        profiles = self.profiles(weight)
        if self.lifting:
            return profiles.flatten(0, 2).permute(1, 2, 0)
        nothing = torch.zeros_like(profiles[0, 0])
        rows = [
            torch.cat([profiles[i, j - i] if 0 <= j - i < self.scale_size else nothing for j in range(self.count)], -1)
            for i in range(self.count)
        ]
        return torch.cat(rows).permute(1, 2, 0)

    def blocks(self, weight: Tensor) -> Tensor:
        """The matrices without the zeros, part by part: (T, K in, S out)."""
        return self.profiles(weight).permute(0, 2, 3, 1, 4).flatten(3).flatten(0, 1).permute(1, 2, 0)

    def arrange(self, x: Tensor) -> Tensor:
        """The channels that each part reads, K scales from its own on: (B, S in, ...) -> (B, S K in, ...)."""
        x = F.pad(x, [0, 0] * (x.dim() - 2) + [0, (self.scale_size - 1) * self.copies])
        return torch.cat([x[:, i * self.copies : (i + self.scale_size) * self.copies] for i in range(self.count)], 1)


@dataclass(frozen=True)
class HermiteGaussian:
    r"""Hermite polynomials times a Gaussian, sampled at the scales of a dilation group (Sosnovik, Szmaja & Smeulders 2020,
    arXiv 1910.11093, section 4).

    .. math:: K_i = \kappa_{\sigma_i} \quad (\text{lifting}), \qquad K_{ij} = \kappa_{\sigma_i, j - i} \ \ (0 \le j - i < K),
              \qquad \kappa_\sigma = \sum_b w_b\, \psi_b^\sigma

    with the functions psi of :func:`hermite_gaussians`. :class:`gaugenet.nn.ScaleConv` is
    ``GridConv(in_type, out_type, kernel_size, kernel=HermiteGaussian())``.

    Args:
        effective_size: its square is the number of weights of a pair of channels.
        scale_size: K, the number of neighbouring scales that a convolution reads; 1 when lifting.
        kind, shrink, max_order: the basis, see :func:`hermite_gaussians`.
    """

    effective_size: int = 7
    scale_size: int = 1
    kind: str = field(default="A", kw_only=True)
    shrink: float = field(default=1.4, kw_only=True)
    max_order: int = field(default=4, kw_only=True)

    def __post_init__(self) -> None:
        check_counts(self, effective_size=self.effective_size, scale_size=self.scale_size)

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> NoReturn:
        """Refused with TypeError."""
        raise no_graphs("HermiteGaussian")

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray) -> HermiteExpansion:
        """The kernels on an odd square of taps, that of the largest scale.

        Raises:
            TypeError: an input that is not one block of scalars or regular fields over one ``groups.Scaling``, an output that
                is not one of regular ones.
            ValueError: other taps; a scale_size that does not fit.
        """
        return HermiteExpansion(in_type, out_type, taps, self)
