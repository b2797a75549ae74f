"""Scale-equivariant steerable networks (Sosnovik, Szmaja & Smeulders 2020, arXiv 1910.11093)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...fields import FieldType
from ...groups import Scaling
from ...kernels.published.hermite import hermite_gaussians
from ..checks import autocast, check_features
from .filter_conv import FilterConv, single_block


class ScaleConv(FilterConv):
    r"""Lifting or convolution of fields on the sampled scales (Sosnovik et al. 2020, arXiv 1910.11093, section 4).

    .. math:: out_i(p) = \sum_t \kappa_{\sigma_i}(x_t)\, f(p + x_t) \quad (\text{lifting}), \qquad
              out_i(p) = \sum_{k < K} \sum_t \kappa_{\sigma_i, k}(x_t)\, f_{i + k}(p + x_t), \qquad
              \kappa_\sigma = \sum_b w_b\, \psi_b^\sigma

    with the functions psi of :func:`gaugenet.kernels.published.hermite.hermite_gaussians` and f_j = 0 beyond the last scale.
    Equivariant up to the sampling of the kernels on pixels and to this truncation, see :class:`gaugenet.groups.Scaling`.
    Projection to the plane is ``OnGrid(GroupPool(out_type))``.

    Args:
        in_type: scalar fields ("3x0": lifting) or regular ones over one ``groups.Scaling(scales)``, one block.
        out_type: regular fields, one block.
        kernel_size: odd, pixels a side at the largest scale.
        effective_size: its square is the number of weights of a pair of channels.
        scale_size: K, the number of neighbouring scales that a convolution reads; 1 when lifting.
        kind, shrink, max_order: the basis, see :func:`hermite_gaussians`.
        padding, stride, bias: see :class:`FilterConv`.

    Attributes:
        weight: (out, in, K, effective_size^2).

    Raises:
        TypeError: other groups and types.
        ValueError: a scale_size that does not fit.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        kernel_size: int = 15,
        padding: int | Sequence[int] | None = None,
        *,
        effective_size: int = 7,
        scale_size: int = 1,
        kind: str = "A",
        shrink: float = 1.4,
        max_order: int = 4,
        stride: int | Sequence[int] = 1,
        bias: bool = True,
    ) -> None:
        group = in_type.group
        if not isinstance(group, Scaling) or group.dim != 2 or out_type.group != group:
            raise TypeError(f"ScaleConv expected fields over one groups.Scaling of the plane, got {group}, {out_type.group}")
        copies_in = single_block(in_type, {"scalar": group.trivial, "regular": group.regular}, "ScaleConv")
        copies_out = single_block(out_type, {"regular": group.regular}, "ScaleConv")
        super().__init__(in_type, out_type, kernel_size, padding, stride=stride, bias=bias)
        self.lifting, self.count = in_type.blocks[0][1] == group.trivial, len(group.scales)
        if not 1 <= scale_size <= (1 if self.lifting else self.count):
            raise ValueError(f"scale_size must be 1 when lifting, else 1 .. {self.count}, got {scale_size!r}")
        self.effective_size, self.scale_size, self.kind = effective_size, scale_size, kind
        basis = hermite_gaussians(self.kernel_size, group.scales, effective_size, kind, shrink=shrink, max_order=max_order)
        self.register_constant("basis", torch.from_numpy(basis))
        self.weight = nn.Parameter(torch.empty(copies_out, copies_in, scale_size, len(basis)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """He's law for functions of unit norm."""
        nn.init.normal_(self.weight, std=(self.weight[0].numel()) ** -0.5)
        if self.bias is not None:
            self.bias.reset_parameters()

    def profiles(self) -> Tensor:
        """kappa at every scale: (S, K, out, in, kernel_size, kernel_size)."""
        return torch.einsum("oikb,bsxy->skoixy", self.weight, self.basis)

    def kernel(self) -> Tensor:
        profiles = self.profiles()
        if self.lifting:
            return profiles.flatten(0, 2)
        nothing = torch.zeros_like(profiles[0, 0])
        rows = [
            torch.cat([profiles[i, j - i] if 0 <= j - i < self.scale_size else nothing for j in range(self.count)], 1)
            for i in range(self.count)
        ]
        return torch.cat(rows)

    def forward(self, x: Tensor) -> Tensor:
        if self.lifting:
            return super().forward(x)
        # Most of the kernel is zero: one group of channels for every scale of the output instead.
        check_features(x, self.in_type, self.weight, "ScaleConv", 4)
        copies = self.weight.shape[1]
        x = F.pad(autocast(x), (0, 0, 0, 0, 0, (self.scale_size - 1) * copies))
        x = torch.cat([x[:, i * copies : (i + self.scale_size) * copies] for i in range(self.count)], 1)
        weight = self.profiles().transpose(1, 2).flatten(2, 3).flatten(0, 1)  # (S out, K in, k, k)
        return F.conv2d(x, weight, self._bias_row(), self.stride, self.padding, groups=self.count)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, effective_size={self.effective_size}, scale_size={self.scale_size}, kind={self.kind!r}, "
            f"scales={self.in_type.group.scales}"
        )
