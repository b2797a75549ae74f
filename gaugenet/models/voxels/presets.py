"""The published networks on voxels, as defaults of :class:`VoxelCNN`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...groups import SO3, Group, Octahedral, point_group
from ...options import show_keywords
from .cnn import VoxelCNN


class CubeNet(VoxelCNN):
    """CubeNet (Worrall & Brostow 2018, arXiv 1804.04458): regular fields of V, T4 or S4, the rotations that keep a cube.

    The published networks are deeper, with residual blocks; here it is their group, fields and kernels.

    Args:
        group: ``groups.Klein()``, ``groups.Tetrahedral()`` or ``groups.Octahedral()`` (by default).
        num_classes: number of logits.
        widths: regular fields after every convolution.
        options: as of :class:`VoxelCNN`.

    Shapes:
        (B, in_channels, Z, H, W) -> (B, num_classes).
    """

    def __init__(
        self, group: Group | None = None, num_classes: int = 10, *, widths: Sequence[int] = (4, 4, 8, 8, 8), **options: Any
    ) -> None:
        group = Octahedral() if group is None else group
        super().__init__(group, **{"fields": "1xregular", "num_classes": num_classes, "widths": widths, **options})


class GCNN3D(VoxelCNN):
    """3D G-CNN (Winkels & Cohen 2018, arXiv 1804.04656): regular fields of D4, D4h, O or O_h.

    Made for volumes whose slices may be further apart than their pixels, which D4 and D4h allow for: ``spacing=(2.5, 1, 1)``.

    Args:
        group: by default ``groups.point_group("D4h")``, the 16 symmetries of a box with a square base.
        num_classes: number of logits.
        widths: regular fields after every convolution.
        options: as of :class:`VoxelCNN`.

    Shapes:
        (B, in_channels, Z, H, W) -> (B, num_classes).
    """

    def __init__(
        self, group: Group | None = None, num_classes: int = 2, *, widths: Sequence[int] = (4, 4, 8, 8, 8), **options: Any
    ) -> None:
        group = point_group("D4h") if group is None else group
        super().__init__(group, **{"fields": "1xregular", "num_classes": num_classes, "widths": widths, **options})


class SteerableCNN3D(VoxelCNN):
    """3D steerable CNN (Weiler, Geiger, Welling, Boomsma & Cohen 2018, arXiv 1807.02547): irreps of SO(3), gated.

    Kernels are spherical harmonics on Gaussian rings; a low-pass comes before every subsampling, scalars pass a ReLU and the
    others their gates, and batch norm divides by norms.

    Args:
        fields: irreps of a layer of width 1.
        num_classes: number of logits.
        widths: copies of ``fields`` after every convolution.
        options: as of :class:`VoxelCNN`.

    Shapes:
        (B, in_channels, Z, H, W) -> (B, num_classes).
    """

    def __init__(
        self,
        fields: str = "1x0 + 1x1 + 1x2",
        num_classes: int = 10,
        *,
        widths: Sequence[int] = (4, 4, 8, 8, 8),
        kernel_size: int = 5,
        **options: Any,
    ) -> None:
        own = {"fields": fields, "num_classes": num_classes, "widths": widths, "kernel_size": kernel_size, "reduce": "blur"}
        super().__init__(**{"group": SO3(), **own, **options})


for _preset in (CubeNet, GCNN3D, SteerableCNN3D):
    show_keywords(_preset, VoxelCNN)
