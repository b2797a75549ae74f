"""SE(2,N) networks with interpolated kernels (Bekkers et al. 2018, Lafarge et al. 2021)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from ...checks import check_counts
from ...fields import FieldType, check_field_types
from ...kernels.published.rotated import Interpolated
from .conv import GridConv


class InterpolatedConv(GridConv):
    r"""Lifting or group convolution of SE(2,N) with kernels turned by bilinear interpolation (Bekkers et al. 2018,
    arXiv 1804.03393, section 3; Lafarge et al. 2021, arXiv 2002.08725).

    .. math:: out_n(p) = \sum_t K(R_n^{-1} x_t)\, f(p + x_t) \quad (\text{lifting}), \qquad
              out_n(p) = \sum_{m,t} K_{m-n}(R_n^{-1} x_t)\, f_m(p + x_t)

    out_n is the component of the rotation by 2 pi n / N, counter-clockwise (y up), in the order of ``Cyclic(N).elements``.

    Equivariant exactly under turns by 90 degrees, when N is a multiple of 4; under the other elements only as far as turning
    the kernel by interpolation commutes with turning the image. The exactly steerable kernels for the same fields are those of
    :class:`gaugenet.nn.GridConv` by default; this layer is GridConv with ``kernel=kernels.Interpolated()``. Projection to the
    plane is ``OnGrid(GroupPool(out_type))``.

    Args:
        in_type: scalar fields ("3x0": lifting) or regular ones over ``groups.Cyclic(N)``, one block.
        out_type: regular fields, one block.
        kernel_size: odd, pixels a side.
        disk: cut the corners of the kernel off, see :func:`gaugenet.kernels.published.rotated.rotation_operators`.
        padding: as in conv2d, with zeros; None for kernel_size // 2.
        stride, bias: see :class:`gaugenet.nn.GridConv`.

    Attributes:
        weight: (kernel_size, kernel_size, out, in) when lifting, (kernel_size, kernel_size, N, out, in) otherwise: the kernel
            that is turned.

    Raises:
        TypeError: other groups and types; features of another dtype.
        ValueError: an even kernel_size; as :class:`gaugenet.nn.GridConv`.
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
        check_field_types(self, in_type=in_type, out_type=out_type)
        check_counts(self, kernel_size=kernel_size)
        padding = kernel_size // 2 if padding is None else padding
        family = Interpolated(disk=disk)
        super().__init__(in_type, out_type, kernel_size, padding, stride=stride, bias=bias, kernel=family)
        self.lifting, self.disk, self.order = self.expansion.lifting, disk, in_type.group.order

    def _off_middle(self, message: str) -> None:
        warnings.warn(f"{message}; an error from the next release on", DeprecationWarning, stacklevel=5)
