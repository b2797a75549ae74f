"""SE(2,N) networks with interpolated kernels (Bekkers et al. 2018, Lafarge et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...fields import FieldType
from ...groups import Cyclic
from ...kernels.published.rotated import rotation_operators
from .filter_conv import FilterConv, single_block


class InterpolatedConv(FilterConv):
    r"""Lifting or group convolution of SE(2,N) with kernels turned by bilinear interpolation (Bekkers et al. 2018,
    arXiv 1804.03393, section 3; Lafarge et al. 2021, arXiv 2002.08725).

    .. math:: out_n(p) = \sum_t K(R_n^{-1} x_t)\, f(p + x_t) \quad (\text{lifting}), \qquad
              out_n(p) = \sum_{m,t} K_{m-n}(R_n^{-1} x_t)\, f_m(p + x_t)

    out_n is the component of the rotation by 2 pi n / N, counter-clockwise (y up), in the order of ``Cyclic(N).elements``.

    Equivariant exactly under turns by 90 degrees, when N is a multiple of 4; under the other elements only as far as turning
    the kernel by interpolation commutes with turning the image. The exactly steerable kernels for the same fields are those of
    :class:`gaugenet.nn.GridConv`. Projection to the plane is ``OnGrid(GroupPool(out_type))``.

    Args:
        in_type: scalar fields ("3x0": lifting) or regular ones over ``groups.Cyclic(N)``, one block.
        out_type: regular fields, one block.
        kernel_size: odd, pixels a side.
        disk: cut the corners of the kernel off, see :func:`gaugenet.kernels.published.rotated.rotation_operators`.
        padding, stride, bias: see :class:`FilterConv`.

    Attributes:
        weight: (kernel_size, kernel_size, out, in) when lifting, (kernel_size, kernel_size, N, out, in) otherwise: the kernel
            that is turned.

    Raises:
        TypeError: other groups and types.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        kernel_size: int = 5,
        padding: int | Sequence[int] | None = None,
        *,
        stride: int | Sequence[int] = 1,
        disk: bool = True,
        bias: bool = True,
    ) -> None:
        group = in_type.group
        if not isinstance(group, Cyclic) or group.dim != 2 or out_type.group != group:
            raise TypeError(f"InterpolatedConv expected fields over one groups.Cyclic(N), got {group} and {out_type.group}")
        copies_in = single_block(in_type, {"scalar": group.trivial, "regular": group.regular}, "InterpolatedConv")
        copies_out = single_block(out_type, {"regular": group.regular}, "InterpolatedConv")
        super().__init__(in_type, out_type, kernel_size, padding, stride=stride, bias=bias)
        # Cyclic(1): regular fields are scalars with one component, and the two forms agree.
        self.lifting, self.disk, self.order = in_type.blocks[0][1] == group.trivial, disk, group.order
        operators = torch.from_numpy(rotation_operators(self.kernel_size, self.order, disk))
        self.register_constant("operators", operators)
        shape = (self.kernel_size, self.kernel_size, *([] if self.lifting else [self.order]), copies_out, copies_in)
        self.weight = nn.Parameter(torch.empty(shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal values that keep the variance: turning by interpolation takes some of it, the disk too."""
        energy = self.operators.square().sum((1, 2)).mean().item()
        nn.init.normal_(self.weight, std=(energy * self.in_type.dim) ** -0.5)
        if self.bias is not None:
            self.bias.reset_parameters()

    def kernel(self) -> Tensor:
        turned = torch.einsum("nts,s...->nt...", self.operators, self.weight.flatten(0, 1))  # (N, T, [N,] out, in)
        if self.lifting:
            kernel = turned.permute(0, 2, 3, 1).flatten(0, 1)
        else:
            kernel = torch.stack([k.roll(n, 1) for n, k in enumerate(turned)])  # (n, T, m, out, in)
            kernel = kernel.permute(0, 3, 2, 4, 1).flatten(2, 3).flatten(0, 1)
        return kernel.unflatten(-1, (self.kernel_size,) * 2)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, disk={self.disk}"
