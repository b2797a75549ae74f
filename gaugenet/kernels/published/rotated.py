"""Kernels turned by bilinear interpolation: the family of SE(2,N) networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from ...fields import FieldType
from ...groups import Cyclic
from ..taps import square_taps
from .sampled import SampledExpansion, no_graphs, odd_square, single_block


def rotation_operators(size: int, count: int, disk: bool = True) -> np.ndarray:
    r"""Matrices that turn a kernel by the angles 2 pi n / count: (count, T, T), T = size^2 taps in the order of conv2d.

    .. math:: K_n(x_t) = \sum_s M_{n,ts}\, K(x_s) \approx K(R_n^{-1} x_t)

    by bilinear interpolation between the taps and 0 beyond them (Bekkers et al. 2018, arXiv 1804.03393, section 3.2). Turns
    by 90 degrees are permutations of the taps; others are not, and composing them blurs.

    Args:
        size: taps a side.
        count: number of rotations, counter-clockwise from none.
        disk: cut out the taps farther than size / 2 from the middle, which rotations carry out of the square.
    """
    taps = square_taps(size)
    angle = 2 * np.pi * np.arange(count) / count
    cos, sin = np.cos(angle), np.sin(angle)
    # R_n^-1 x; multiples of 90 degrees must not miss a tap by rounding.
    source = np.einsum("nij,tj->nti", np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1), taps).round(12)
    hat = np.maximum(1 - np.abs(source[:, :, None] - taps), 0)  # (count, T, T, 2)
    operators = hat.prod(-1)
    if disk:
        operators *= (np.linalg.norm(taps, axis=1) <= size / 2)[:, None]
    return operators


class InterpolatedExpansion(SampledExpansion):
    """The matrices of :class:`Interpolated` kernels. Its parameter "weight" is the kernel that is turned.

    Raises:
        TypeError, ValueError: as :meth:`Interpolated.on_taps`.
    """

    operators: Tensor

    def __init__(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray, disk: bool) -> None:
        super().__init__(in_type, out_type)
        group = in_type.group
        if not isinstance(group, Cyclic) or group.dim != 2 or out_type.group != group:
            raise TypeError(f"Interpolated expected fields over one groups.Cyclic(N), got {group} and {out_type.group}")
        copies_in = single_block(in_type, {"scalar": group.trivial, "regular": group.regular}, "Interpolated")
        copies_out = single_block(out_type, {"regular": group.regular}, "Interpolated")
        size = odd_square(taps, "Interpolated")
        # Cyclic(1): regular fields are scalars with one component, and the two forms agree.
        self.lifting = in_type.blocks[0][1] == group.trivial
        operators = rotation_operators(size, group.order, disk)
        self.register_constant("operators", torch.from_numpy(operators))
        components = () if self.lifting else (group.order,)
        self.parameter_shapes = {"weight": (size, size, *components, copies_out, copies_in)}
        # Turning by interpolation takes some of the variance, the disk too.
        self._std = float((operators**2).sum((1, 2)).mean() * in_type.dim) ** -0.5

    def initial_parameters(self) -> dict[str, Tensor]:
        return {"weight": torch.randn(self.parameter_shapes["weight"], device="cpu") * self._std}

    def forward(self, weight: Tensor) -> Tensor:
        turned = torch.einsum("nts,s...->nt...", self.operators, weight.flatten(0, 1))  # (N, T, [N,] out, in)
        if self.lifting:
            rows = turned.transpose(1, 2)  # (n, out, T, in)
        else:
            turned = turned.permute(0, 3, 1, 2, 4)  # (n, out, T, m, in)
            rows = torch.stack([k.roll(n, 2) for n, k in enumerate(turned)]).flatten(3)
        return rows.flatten(0, 1).permute(1, 2, 0)


@dataclass(frozen=True)
class Interpolated:
    r"""Kernels turned by bilinear interpolation, for regular fields of C_N (Bekkers et al. 2018, arXiv 1804.03393, section 3).

    .. math:: K_n(x) = K(R_n^{-1} x) \quad (\text{lifting}), \qquad K_{nm}(x) = K_{m-n}(R_n^{-1} x)

    K_n makes the component n of the output, from scalars or from the component m of the input.
    :class:`gaugenet.nn.InterpolatedConv` is ``GridConv(in_type, out_type, kernel_size, kernel=Interpolated())``.

    Args:
        disk: cut the corners of the kernel off, see :func:`rotation_operators`.
    """

    disk: bool = True

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> NoReturn:
        """Refused with TypeError."""
        raise no_graphs("Interpolated")

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray) -> InterpolatedExpansion:
        """The kernels on an odd square of taps.

        Raises:
            TypeError: an input that is not one block of scalars or regular fields over one ``groups.Cyclic(N)``, an output that
                is not one of regular ones.
            ValueError: other taps.
        """
        return InterpolatedExpansion(in_type, out_type, taps, self.disk)
