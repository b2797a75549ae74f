"""Classifiers of images: one architecture, any planar group, field type and kernel family."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ...fields import FieldType
from ...groups import Cyclic, Group
from ...kernels.lattices import Lattice
from ..grid_cnn import GridCNN, check_group


class PlanarCNN(GridCNN):
    r"""Group-equivariant CNN on images: Cohen & Welling 2016 (arXiv 1602.07576), Weiler, Hamprecht & Storath 2018 (arXiv
    1711.07289), Weiler & Cesa 2019 (arXiv 1911.08251), and LeCun's network for the trivial group.

    One convolution, norm and nonlinearity per width, and pooling after every second convolution except the last. The head takes
    the invariants of the last fields (:class:`gaugenet.nn.GroupPool` where the group permutes their components, otherwise
    :class:`gaugenet.nn.ToScalars`), their mean or maximum over the image, and a linear map. The logits are exactly invariant
    under the elements of the group that map the pixel grid to itself, and approximately under the others: sampled kernels,
    pooling and the border are not exactly equivariant under them.

    ========================================== =================================================================
    plain CNN                                  ``PlanarCNN(groups.Trivial())``
    p4-CNN, p4m-CNN                            ``groups.Cyclic(4)``, ``groups.Dihedral(4)``
    p6, p6m (HexaConv)                         ``groups.Cyclic(6), lattice="hexagonal"``, ``groups.Dihedral(6), ...``
    steerable filter CNN                       ``groups.Cyclic(8), basis="band_limited"``
    SE(2,N) with interpolated kernels          ``groups.Cyclic(8), basis="interpolated"``
    E(2)-CNN, irreps                           ``groups.O2(), "1x0 + 1x0- + 1x1 + 1x2", basis="band_limited"``
    E(2)-CNN, quotient fields                  ``group, [(1, group.quotient(groups.Cyclic(2)))]``
    E(2)-CNN, induced fields                   ``groups.O2(), [(1, groups.induced(groups.SO2().irrep(1), groups.O2()))]``
    scale-equivariant SESN                     ``groups.Scaling(), "1xregular", basis=partial(ScaleConv, kernel_size=7, ...)``
    ========================================== =================================================================

    Args:
        group: structure group G of the plane.
        fields: the fields of a layer of width 1: a field type over G, or a string or list of blocks that defines one. By
            default "1xregular" for finite groups, "1x0 + 1x1 + 1x2" for others.
        num_classes: number of logits.
        in_channels: scalar fields of the input.
        widths: copies of ``fields`` after each convolution.
        kernel_size: pixels a side, odd.
        basis: kernel family of :class:`gaugenet.nn.GridConv`, or "interpolated" (:class:`InterpolatedConv`), or a function
            (in_type, out_type) -> layer, such as ``functools.partial(nn.GridConv, kernel_size=7, padding=None)``.
        nonlinearity, activation: see :func:`gaugenet.nn.make_nonlinearity`; by default "norm", which is pointwise,
            for fields whose components the group permutes, otherwise "gated".
        norm: "batch", "layer" or None.
        pool: pixels a side of the blocks that are pooled to one; 1 for none. On hexagons the blocks are hexagons ``pool``
            pixels apart, which have to fit about the middle: two poolings by 2 take images of 8 k + 1 pixels a side.
        reduce: "max" or "mean" of these blocks, or "blur", a low-pass before subsampling (:class:`gaugenet.nn.GridBlur`).
        readout: "mean" or "max" over the image.
        dropout: probability of dropping a copy after every nonlinearity.
        lattice: see :class:`gaugenet.nn.GridConv`; on hexagons features outside of the largest hexagon of the array are zero
            (:class:`gaugenet.nn.GridMask`).

    Shapes:
        (B, in_channels, H, W) -> (B, num_classes).

    Raises:
        ValueError, TypeError: options that do not exist, or do not fit the group.
    """

    def __init__(
        self,
        group: Group | None = None,
        fields: str | FieldType | list | None = None,
        *,
        num_classes: int = 10,
        in_channels: int = 1,
        widths: Sequence[int] = (8, 8, 16, 16, 16),
        kernel_size: int = 5,
        basis: str | Callable[[FieldType, FieldType], nn.Module] = "complete",
        nonlinearity: str | Callable[[FieldType], nn.Module] | None = None,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        norm: str | None = "batch",
        pool: int = 2,
        reduce: str = "max",
        readout: str = "mean",
        dropout: float = 0.0,
        lattice: str | Lattice = "square",
    ) -> None:
        group = check_group(self, group, 2, "groups.Cyclic(4)") or Cyclic(4)
        super().__init__(
            group,
            fields,
            num_classes=num_classes,
            in_channels=in_channels,
            widths=widths,
            kernel_size=kernel_size,
            basis=basis,
            nonlinearity=nonlinearity,
            activation=activation,
            norm=norm,
            pool=pool,
            reduce=reduce,
            readout=readout,
            dropout=dropout,
            lattice=lattice,
        )
