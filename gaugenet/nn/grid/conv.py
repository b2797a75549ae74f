"""The GM-convolution on images: conv2d with the steerable kernel sampled at the taps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from ...fields import FieldType
from ...kernels.kernel import KernelFamily
from ...kernels.lattices import Lattice
from ..exporting.exportable import Seen
from ..exporting.plain import CONV, Reorder, loaded, traced
from ..precision import autocast
from ..tensor_checks import check_features
from .kernel import GridKernel, grid_family, spaced
from .padding import CLOSED, GridPadding, check_closed, check_modes, per_axis

_CONV = {2: F.conv2d, 3: F.conv3d}
#: modes that torch's convolutions know themselves
_NATIVE = ("zeros", "circular", "reflect", "replicate")


class GridConv(GridKernel):
    r"""Gauge-equivariant convolution of an image (Cohen & Welling 2016; Weiler & Cesa 2019; Weiler et al. 2021, section 5).

    .. math:: out(p) = \sum_t K(x_t)\, f(p + x_t) + b, \qquad K(g x) = \rho_{out}(g)\, K(x)\, \rho_{in}(g)^{-1}

    with one matrix K(x_t) at every tap x_t of a square kernel (x to the right, y up), run by conv2d. It gives the numbers of
    message passing with these taps on :func:`gaugenet.geometry.grid`, :func:`~gaugenet.geometry.cylinder`,
    :func:`~gaugenet.geometry.moebius` and :func:`~gaugenet.geometry.hexagonal`. On images the frames are those of the pixel
    grid: gauge changes show as the symmetries of the grid (mirror images, quarter turns) and of the seam.

    The kernel is a value of a family (:mod:`gaugenet.kernels`), ``kernel=``. Two families serve all field types; they have a
    short form, ``basis=``:

    - "complete" (:class:`gaugenet.kernels.Taps`): a free weight at every tap, tied by the group alone. For finite groups
      that map taps to taps: {e} (then this is Conv2d), reflections, C_2, C_4, D_4 on squares (p4, p4m), C_3, C_6, D_6 on
      hexagons (p6, p6m). It has every equivariant kernel, and nothing makes it smooth: take it for exact symmetry of the grid.
    - "band_limited" (:class:`gaugenet.kernels.Rings`): circular harmonics on Gaussian rings, cut off below aliasing. For
      every group; the only one for SO(2), O(2), C_8, C_16 and other groups that the grid does not have. Exact for the elements
      that map taps to taps, and for the others as exact as sampling allows: take it for rotations by any angle.

    The families of published layers, :class:`gaugenet.kernels.Interpolated`, :class:`~gaugenet.kernels.HermiteGaussian` and
    :class:`~gaugenet.kernels.CircularHarmonic`, each serve the types of their publication.

    Args:
        in_type, out_type: field types over one group of the plane, or of space.
        kernel_size: pixels a side, odd or even.
        stride, padding, dilation: as in conv2d, one number or one per axis. ``padding=None`` keeps the size of the image
            (odd kernels, stride 1).
        padding_mode: "zeros", "reflect", "replicate", "circular" or "moebius", or one per axis; see :class:`GridPadding`.
        basis: "complete" or "band_limited".
        bias: learn a bias on the invariant part of the output.
        groups: as in conv2d: the copies of every block in as many parts, the j-th parts of the output see those of the input.
        lattice: "square", "hexagonal" (axial coordinates: columns to the right, rows down and half a pixel to the right), or
            :class:`gaugenet.kernels.Lattice`. Taps whose images under the symmetries of the lattice leave the array of the
            kernel are left out: of a hexagonal kernel the hexagon is used.
        spacing: of the pixels along every axis, (z, y, x) or (y, x), where it is not the same, instead of ``lattice``. Kernels
            are sampled where the pixels are; the unit of the rings is that of the spacing, with rings one unit apart out to the
            farthest tap on an axis. Finite groups that turn such axes into each other are refused.
        rings, sigma, max_frequency: of the band-limited basis, see :meth:`gaugenet.kernels.Rings.of`.
        kernel: a kernel family, instead of its short form ``basis``, ``rings``, ``sigma``, ``max_frequency``:
            ``kernel=Taps()`` or ``kernel=Rings.of(kernel_size, rings, sigma, max_frequency)``. A layer has the parameters that
            its family asks for; those of Taps and Rings are one vector ``weight``.

    Shapes:
        (B, in_type.dim, H, W) -> (B, out_type.dim, H', W'), as conv2d; (B, in_type.dim, Z, H, W) over groups of space.

    Raises:
        TypeError: for features of another dtype, types of two groups, infinite groups with the complete basis, families that do
            not serve arrays or these types.
        ValueError: for arguments and shapes that do not fit; for closed axes that the kernel does not go round evenly, see
            :func:`~gaugenet.nn.grid.padding.check_closed`, or that are no multiple of the stride; at the first call, which
            knows the size, for a strided axis that is sampled off its middle, which breaks the symmetry (an even size, an odd
            kernel and stride 2).
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        kernel_size: int,
        padding: int | Sequence[int] | None = 0,
        *,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        padding_mode: str | Sequence[str] = "zeros",
        basis: str = "complete",
        bias: bool = True,
        groups: int = 1,
        lattice: str | Lattice | np.ndarray = "square",
        spacing: Sequence[float] | None = None,
        rings: Sequence[float] | None = None,
        sigma: float | Sequence[float] | None = None,
        max_frequency: int | Sequence[int] | Callable[[float], int] | None = None,
        kernel: KernelFamily | None = None,
    ) -> None:
        if spacing is not None:
            lattice, rings = spaced(type(self).__name__, in_type, lattice, spacing, kernel_size, basis, kernel, rings)
        family = grid_family(kernel, kernel_size, basis, rings, sigma, max_frequency, type(self).__name__)
        options: dict[str, Any] = {"bias": bias, "groups": groups, "lattice": lattice}
        super().__init__(in_type, out_type, kernel_size, family, stride=stride, dilation=dilation, **options)
        if padding is None:
            if self.kernel_size % 2 == 0 or any(s != 1 for s in self.stride):
                raise ValueError("padding=None keeps the size of the image: it needs an odd kernel_size and stride 1")
            padding = tuple(d * (self.kernel_size // 2) for d in self.dilation)
        self.spacing = None if spacing is None else tuple(float(s) for s in spacing)
        padding, modes = per_axis("padding", padding, self.spatial, least=0), check_modes(padding_mode, in_type)
        self.check_lattice(modes)
        check_closed(type(self).__name__, in_type, self.lattice, modes, self.extent, padding, self.stride)
        # conv2d pads with zeros by itself, without a copy of the image.
        self.zeros = tuple(pad if mode == "zeros" else 0 for pad, mode in zip(padding, modes))
        self.pad = GridPadding(in_type, tuple(pad - z for pad, z in zip(padding, self.zeros)), modes)

    @property
    def padding(self) -> tuple[int, ...]:  # type: ignore[override]  # made of two parts
        return tuple(a + b for a, b in zip(self.zeros, self.pad.padding))

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise ValueError when images of this shape (H, W) are sampled in a way that the group does not keep, or too small."""
        if any(n + 2 * pad < size for n, pad, size in zip(shape, self.padding, self.extent)):
            raise ValueError(
                f"{type(self).__name__} with a kernel of {list(self.extent)} pixels and padding {self.padding} got "
                f"{tuple(shape)} pixels"
            )
        if all(s == 1 for s in self.stride):
            return
        for axis, (mode, step) in enumerate(zip(self.pad.modes, self.stride)):
            if mode in CLOSED and shape[axis] % step:
                raise ValueError(
                    f"{type(self).__name__} closes axis {axis} of {shape[axis]} pixels, no multiple of its stride {step}"
                )
        open_stride = [1 if mode in CLOSED else s for mode, s in zip(self.pad.modes, self.stride)]
        self.check_sampling(shape, self.padding, open_stride)

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.kernel_parameters()[0], type(self).__name__, 2 + self.spatial)
        self.check_shape(x.shape[2:])
        x = self.pad(autocast(x))
        if self.expansion.parts > 1 and self.groups == 1:
            # Most of the kernel is zero: groups of channels for the rest.
            x, weight = self.expansion.arrange(x), self._as_weight(self.expansion.blocks(*self.kernel_parameters()))
            groups = self.expansion.parts
        else:
            x = x if self.order_in is None else x[:, self.order_in]
            weight, groups = self.kernel(), self.groups
        out = _CONV[self.spatial](x, weight, self.bias_row(), self.stride, self.zeros, self.dilation, groups)
        return out if self.order_out is None else out[:, self.order_out]

    def plain(self, seen: Collection[Seen]) -> nn.Module:
        modes = set(self.pad.modes)
        native = next(iter(modes)) if len(modes) == 1 and modes <= set(_NATIVE) else None
        conv = CONV[self.spatial](
            self.in_type.dim,
            self.out_type.dim,
            self.kernel_size,
            self.stride,
            self.zeros if native is None else self.padding,
            self.dilation,
            self.groups,
            self.bias is not None,
            "zeros" if native is None else native,
        )
        conv = loaded(conv, self.kernel(), self.bias_row())
        if self.order_in is not None:
            conv = traced(Reorder(conv, self.order_in, self.order_out))
        return conv if native or not any(self.pad.padding) else nn.Sequential(self.pad.plain(()), conv)
