"""What classifiers of images and of volumes share: their layers, from the arguments of the networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

from torch import Tensor, nn

from ..checks import check_choice, check_counts, check_instance, check_ints, check_probability
from ..fields import FieldType
from ..groups import Group
from ..kernels.lattices import Lattice
from ..learning import SavedNetwork
from ..nn import (
    FieldDropout,
    FieldNorm,
    GridBlur,
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

READOUTS: dict[str, dict[int, Any]] = {
    "mean": {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d},
    "max": {2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d},
}


class GridCNN(SavedNetwork):
    """Base of :class:`PlanarCNN` and :class:`VoxelCNN`, which say what the arguments are."""

    def __init__(
        self,
        group: Group,
        fields: str | FieldType | list | None,
        *,
        num_classes: int,
        in_channels: int,
        widths: Sequence[int],
        kernel_size: int,
        basis: str | Callable[[FieldType, FieldType], nn.Module],
        nonlinearity: str | Callable[[FieldType], nn.Module] | None,
        activation: str | Callable[[Tensor], Tensor],
        norm: str | None,
        pool: int,
        reduce: str,
        readout: str,
        dropout: float,
        lattice: str | Lattice,
        conv_options: dict[str, Any] | None = None,
    ) -> None:
        check_counts(self, num_classes=num_classes, in_channels=in_channels, kernel_size=kernel_size, pool=pool)
        check_ints(self, "widths", widths)
        check_choice(self, "norm", norm, ("batch", "layer", None))
        check_choice(self, "readout", readout, tuple(READOUTS))
        check_probability(self, "dropout", dropout)
        super().__init__()
        unit = _unit(type(self).__name__, group, fields)
        if nonlinearity is None:
            nonlinearity = "norm" if all(rep.is_permutation for _, rep in unit.blocks) else "gated"
        lattice = Lattice.of(lattice, group.dim)
        masked: dict[str, Any] = {} if lattice.is_box else {"lattice": lattice}
        if masked and basis == "interpolated":
            raise ValueError('basis="interpolated" is for square pixels')
        options = {**masked, **(conv_options or {})}
        self.in_type = FieldType(group, [(in_channels, group.trivial)])
        types = [self.in_type, *(FieldType(group, [(mul * w, rep) for mul, rep in unit.blocks]) for w in widths)]
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(pairwise(types), start=1):
            act = make_nonlinearity(b, nonlinearity, activation)
            inner = cast(FieldType, act.in_type)
            layers += [GridMask(a, **masked)] if masked else []
            layers.append(_convolution(basis, a, inner, kernel_size, options))
            if norm is not None:
                layers.append(_norm(inner, norm, masked))
            layers.append(OnGrid(act))
            if dropout:
                layers.append(OnGrid(FieldDropout(b, dropout)))
            if number % 2 == 0 and number < len(widths) and pool > 1:
                layers += [GridMask(b, **masked)] if masked else []
                layers.append(_pooling(b, pool, reduce, masked))
        layers += [GridMask(types[-1], **masked)] if masked else []
        self.body = nn.Sequential(*layers)
        self.hidden_type = types[-1]
        permuted = all(rep.is_permutation for _, rep in self.hidden_type.blocks)
        invariants = GroupPool(self.hidden_type) if permuted else ToScalars(self.hidden_type)
        self.invariants = OnGrid(invariants)
        self.readout = nn.Sequential(READOUTS[readout][group.dim](1), nn.Flatten())
        self.head = nn.Linear(invariants.out_type.dim, num_classes)
        self._pooled = readout

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"readout": self._pooled}

    def features(self, x: Tensor) -> Tensor:
        """The invariants at every pixel after the last pooling: (B, in_channels, ...) -> (B, copies, ...)."""
        return self.invariants(self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.readout(self.features(x)))

    def export(self, example: Tensor | None = None) -> nn.Module:
        """The network as a Sequential of plain torch modules, see :func:`gaugenet.nn.export`."""
        return export(nn.Sequential(self.body, self.invariants, self.readout, self.head).train(self.training), example)


def check_group(owner: object, group: object, dim: int, example: str) -> Group | None:
    """The group of a network, of the plane or of space. TypeError and ValueError for others."""
    checked = check_instance(owner, "group", group, (Group, type(None)), f"a structure group, such as {example}")
    if checked is not None and checked.dim != dim:
        where, other = ("the plane", "models.VoxelCNN") if dim == 2 else ("space", "models.PlanarCNN")
        raise ValueError(
            f"{type(owner).__name__} expected a group of {where}, such as {example}, got {checked}, which acts on "
            f"{checked.dim} coordinates: take {other}"
        )
    return checked


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


def _unit(owner: str, group: Group, fields: str | FieldType | list | None) -> FieldType:
    """The fields of a layer of width 1."""
    if fields is None:
        irreps = " + ".join(f"1x{order}" for order in range(3))
        fields = irreps if group.order is None else "1xregular"
    unit = fields if isinstance(fields, FieldType) else FieldType(group, fields)
    if unit.group != group:
        raise TypeError(f"{owner} expected fields over {group}, got {unit!r}")
    return unit


def _norm(type: FieldType, mode: str, masked: dict) -> OnGrid:
    norm = FieldNorm(type, mode)
    return _MaskedBatchNorm(norm, **masked) if masked and mode == "batch" else OnGrid(norm)


def _pooling(type: FieldType, pool: int, reduce: str, masked: dict) -> nn.Module:
    if reduce == "blur":
        if masked:
            raise ValueError('reduce="blur" is for square pixels')
        return GridBlur(type, pool)
    if masked:
        return GridPool(type, 2 * (pool // 2) + 1, reduce, stride=pool, padding=pool // 2, **masked)
    return GridPool(type, pool, reduce)


def _convolution(basis: str | Callable, in_type: FieldType, out_type: FieldType, kernel_size: int, options: dict) -> nn.Module:
    """A convolution that keeps the size of the image."""
    if callable(basis):
        return basis(in_type, out_type)
    if basis == "interpolated":
        return InterpolatedConv(in_type, out_type, kernel_size)
    return GridConv(in_type, out_type, kernel_size, padding=None, basis=basis, **options)
