"""Classifiers of images: one architecture, any planar group, field type and kernel family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

from torch import Tensor, nn

from ...checks import check_choice, check_counts, check_instance, check_ints, check_probability
from ...fields import FieldType
from ...groups import Cyclic, Group
from ...kernels.lattices import Lattice
from ...nn import (
    FieldDropout,
    FieldNorm,
    GridConv,
    GridMask,
    GridPool,
    GroupPool,
    InterpolatedConv,
    OnGrid,
    ToScalars,
    export,
    make_nonlinearity,
)
from ...settings import KeepsSettings

READOUTS = {"mean": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}


class PlanarCNN(KeepsSettings):
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
        reduce: "max" or "mean", of these blocks.
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
        check_instance(self, "group", group, (Group, type(None)), "a structure group, such as groups.Cyclic(4)")
        check_counts(self, num_classes=num_classes, in_channels=in_channels, kernel_size=kernel_size, pool=pool)
        check_ints(self, "widths", widths)
        check_choice(self, "norm", norm, ("batch", "layer", None))
        check_choice(self, "readout", readout, tuple(READOUTS))
        check_probability(self, "dropout", dropout)
        super().__init__()
        group = Cyclic(4) if group is None else group
        if group.dim != 2:
            raise ValueError(
                f"PlanarCNN expected a group of the plane, such as groups.Cyclic(4), got {group}, which acts on {group.dim} "
                "coordinates: build networks on volumes from nn.GridConv and nn.OnGrid"
            )
        if fields is None:
            fields = "1x0 + 1x1 + 1x2" if group.order is None else "1xregular"
        unit = fields if isinstance(fields, FieldType) else FieldType(group, fields)
        if unit.group != group:
            raise TypeError(f"PlanarCNN expected fields over {group}, got {unit!r}")
        if nonlinearity is None:
            nonlinearity = "norm" if all(rep.is_permutation for _, rep in unit.blocks) else "gated"
        lattice = Lattice.of(lattice)
        options: dict[str, Any] = {} if lattice.is_square else {"lattice": lattice}
        if options and basis == "interpolated":
            raise ValueError('basis="interpolated" is for square pixels')
        window: dict[str, Any] = {} if lattice.is_square else {"stride": pool, "padding": pool // 2, **options}
        self.in_type = FieldType(group, [(in_channels, group.trivial)])
        types = [self.in_type, *(FieldType(group, [(mul * w, rep) for mul, rep in unit.blocks]) for w in widths)]
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(pairwise(types), start=1):
            act = make_nonlinearity(b, nonlinearity, activation)
            inner = cast(FieldType, act.in_type)
            layers += [GridMask(a, **options)] if options else []
            layers.append(_convolution(basis, a, inner, kernel_size, options))
            if norm is not None:
                layers.append(_norm(inner, norm, options))
            layers.append(OnGrid(act))
            if dropout:
                layers.append(OnGrid(FieldDropout(b, dropout)))
            if number % 2 == 0 and number < len(widths) and pool > 1:
                layers += [GridMask(b, **options)] if options else []
                layers.append(GridPool(b, pool if lattice.is_square else 2 * (pool // 2) + 1, reduce, **window))
        layers += [GridMask(types[-1], **options)] if options else []
        self.body = nn.Sequential(*layers)
        self.hidden_type = types[-1]
        permuted = all(rep.is_permutation for _, rep in self.hidden_type.blocks)
        invariants = GroupPool(self.hidden_type) if permuted else ToScalars(self.hidden_type)
        self.invariants = OnGrid(invariants)
        self.readout = nn.Sequential(READOUTS[readout](1), nn.Flatten())
        self.head = nn.Linear(invariants.out_type.dim, num_classes)
        self._pooled = readout

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"readout": self._pooled}

    def features(self, x: Tensor) -> Tensor:
        """The invariants at every pixel after the last pooling: (B, in_channels, H, W) -> (B, copies, H', W')."""
        return self.invariants(self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.readout(self.features(x)))

    def export(self, example: Tensor | None = None) -> nn.Module:
        """The network as a Sequential of plain torch modules, see :func:`gaugenet.nn.export`."""
        return export(nn.Sequential(self.body, self.invariants, self.readout, self.head).train(self.training), example)


class _MaskedBatchNorm(OnGrid):
    """A batch norm whose statistics, in training, are those of the features with zeros outside of the hexagon.

    Those of the whole array, a rhombus, change when the image is turned. In evaluation the mask would change nothing: what
    lies outside is masked before it is read.
    """

    def __init__(self, norm: FieldNorm, lattice: Lattice) -> None:
        super().__init__(norm)
        self.mask = GridMask(norm.in_type, lattice=lattice)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.mask(x) if self.training else x)


def _norm(type: FieldType, mode: str, options: dict) -> OnGrid:
    norm = FieldNorm(type, mode)
    return _MaskedBatchNorm(norm, **options) if options and mode == "batch" else OnGrid(norm)


def _convolution(basis: str | Callable, in_type: FieldType, out_type: FieldType, kernel_size: int, options: dict) -> nn.Module:
    """A convolution that keeps the size of the image."""
    if callable(basis):
        return basis(in_type, out_type)
    if basis == "interpolated":
        return InterpolatedConv(in_type, out_type, kernel_size)
    return GridConv(in_type, out_type, kernel_size, padding=None, basis=basis, **options)
