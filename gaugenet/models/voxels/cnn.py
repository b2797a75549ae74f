"""Classifiers of volumes: one architecture, any group of space, field type and kernel family."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ...fields import FieldType
from ...groups import Group, Octahedral
from ..grid_cnn import GridCNN, check_group


class VoxelCNN(GridCNN):
    r"""Group-equivariant CNN on volumes: Worrall & Brostow 2018 (CubeNet, arXiv 1804.04458), Winkels & Cohen 2018 (arXiv
    1804.04656), Weiler, Geiger, Welling, Boomsma & Cohen 2018 (3D Steerable CNNs, arXiv 1807.02547), Cesa, Lang & Weiler 2022
    (any compact group), and the plain 3D CNN for the trivial group.

    :class:`gaugenet.models.PlanarCNN` in space: one convolution, norm and nonlinearity per width, pooling after every second
    convolution except the last, invariants, their mean or maximum over the volume, a linear map. The logits are exactly
    invariant under the elements of the group that map the voxels to each other, and approximately under the others.

    ======================================= ======================================================================
    plain 3D CNN                            ``VoxelCNN(groups.Trivial(3))``
    CubeNet                                 ``groups.Klein()``, ``groups.Tetrahedral()``, ``groups.Octahedral()``
    3D G-CNN                                ``point_group("D4")``, ``("D4h")``, ``("O")``, ``("Oh")``
    3D steerable CNN                        ``groups.SO3(), "1x0 + 1x1 + 1x2", reduce="blur"``
    rotations about the vertical            ``groups.SO2(dim=3)``, or ``point_group("C4", axis)``
    icosahedral                             ``groups.Icosahedral(), basis="band_limited"``
    functions on the sphere                 ``groups.SO3(), nonlinearity="regular"``
    functions on the group                  ``groups.SO3(), "1xregular(1)", nonlinearity="regular"``
    ======================================= ======================================================================

    Args:
        group: structure group G of space, by default the 24 rotations of the cube.
        fields: the fields of a layer of width 1: a field type over G, or a string or list of blocks that defines one. By
            default "1xregular" for finite groups, "1x0 + 1x1 + 1x2" for others.
        num_classes: number of logits.
        in_channels: scalar fields of the input.
        widths: copies of ``fields`` after each convolution.
        kernel_size: voxels a side, odd.
        basis: kernel family of :class:`gaugenet.nn.GridConv`, by default "complete" for finite groups and "band_limited" for
            others; or a function (in_type, out_type) -> layer.
        nonlinearity, activation: see :func:`gaugenet.nn.make_nonlinearity`; by default "norm", which is pointwise,
            for fields whose components the group permutes, otherwise "gated".
        norm: "batch", "layer" or None.
        pool: voxels a side of the blocks that are pooled to one; 1 for none.
        reduce: "max" or "mean" of these blocks, or "blur", a low-pass before subsampling (:class:`gaugenet.nn.GridBlur`).
        readout: "mean" or "max" over the volume.
        dropout: probability of dropping a copy after every nonlinearity.
        spacing: of the voxels along the axes (z, y, x), where it is not the same, see :class:`gaugenet.nn.GridConv`.

    Shapes:
        (B, in_channels, Z, H, W) -> (B, num_classes).

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
        widths: Sequence[int] = (4, 4, 8, 8, 8),
        kernel_size: int = 3,
        basis: str | Callable[[FieldType, FieldType], nn.Module] | None = None,
        nonlinearity: str | Callable[[FieldType], nn.Module] | None = None,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        norm: str | None = "batch",
        pool: int = 2,
        reduce: str = "max",
        readout: str = "mean",
        dropout: float = 0.0,
        spacing: Sequence[float] | None = None,
    ) -> None:
        group = check_group(self, group, 3, "groups.Octahedral()") or Octahedral()
        if basis is None:
            basis = "complete" if group.order is not None else "band_limited"
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
            lattice="square",
            conv_options={} if spacing is None else {"spacing": spacing},
        )
