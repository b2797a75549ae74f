"""Scale-equivariant steerable networks (Sosnovik, Szmaja & Smeulders 2020, arXiv 1910.11093)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...checks import check_counts
from ...fields import FieldType, check_field_types
from ...kernels.published.hermite import HermiteGaussian
from .conv import GridConv


class ScaleConv(GridConv):
    r"""Lifting or convolution of fields on the sampled scales (Sosnovik et al. 2020, arXiv 1910.11093, section 4).

    .. math:: out_i(p) = \sum_t \kappa_{\sigma_i}(x_t)\, f(p + x_t) \quad (\text{lifting}), \qquad
              out_i(p) = \sum_{k < K} \sum_t \kappa_{\sigma_i, k}(x_t)\, f_{i + k}(p + x_t), \qquad
              \kappa_\sigma = \sum_b w_b\, \psi_b^\sigma

    with the functions psi of :func:`gaugenet.kernels.published.hermite.hermite_gaussians` and f_j = 0 beyond the last scale.
    Equivariant up to the sampling of the kernels on pixels and to this truncation, see :class:`gaugenet.groups.Scaling`.
    Projection to the plane is ``OnGrid(GroupPool(out_type))``. This layer is :class:`gaugenet.nn.GridConv` with
    ``kernel=kernels.HermiteGaussian()``.

    Args:
        in_type: scalar fields ("3x0": lifting) or regular ones over one ``groups.Scaling(scales)``, one block.
        out_type: regular fields, one block.
        kernel_size: odd, pixels a side at the largest scale.
        effective_size: its square is the number of weights of a pair of channels.
        scale_size: K, the number of neighbouring scales that a convolution reads; 1 when lifting.
        kind, shrink, max_order: the basis, see :func:`hermite_gaussians`.
        padding: as in conv2d, with zeros; None for kernel_size // 2.
        stride, bias: see :class:`gaugenet.nn.GridConv`.

    Attributes:
        weight: (out, in, K, effective_size^2).

    Raises:
        TypeError: other groups and types; features of another dtype.
        ValueError: an even kernel_size; a scale_size that does not fit; as :class:`gaugenet.nn.GridConv`.
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
        check_field_types(self, in_type=in_type, out_type=out_type)
        check_counts(self, effective_size=effective_size, scale_size=scale_size, kernel_size=kernel_size)
        padding = kernel_size // 2 if padding is None else padding
        family = HermiteGaussian(effective_size, scale_size, kind=kind, shrink=shrink, max_order=max_order)
        super().__init__(in_type, out_type, kernel_size, padding, stride=stride, bias=bias, kernel=family)
        self.lifting, self.count = self.expansion.lifting, self.expansion.count
        self.effective_size, self.scale_size, self.kind = effective_size, scale_size, kind

    @property
    def basis(self) -> Tensor:  # type: ignore[override]  # the name in the paper
        """The sampled functions: (effective_size^2, S, kernel_size, kernel_size)."""
        return self.expansion.basis

    def check_sampling(self, shape: Sequence[int], padding: Sequence[int], stride: Sequence[int]) -> None:
        """Nothing to check: no dilation maps pixels to pixels, whichever of them are sampled."""
