"""One small network on images, built from gaugenet and from escnn: the same fields, widths, kernels and layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gaugenet import FieldType, groups
from gaugenet.nn import FieldNorm, GatedNonlinearity, GridConv, GridPool, GroupPool, NormNonlinearity, OnGrid, ToScalars

KERNEL = 5


@dataclass(frozen=True)
class Case:
    """A group, the fields of a layer of ``copies`` copies, and what follows a convolution.

    Attributes:
        group: "C", "D" (with ``order`` rotations), "SO2" or "O2". fields: the regular one, or irreps as gaugenet names them.
        nonlinearity: "relu", "gated" or "norm" (the last two on the fields that are not trivial; ReLU on those that are).
        basis: of gaugenet; escnn's kernels, and so as many weights, are those of "band_limited".
    """

    name: str
    group: str
    order: int
    copies: int
    fields: tuple[str, ...] = ("regular",)
    nonlinearity: str = "relu"
    basis: str = "band_limited"

    def ours(self) -> groups.Group:
        return groups.group_of(f"{self.group}{self.order}" if self.group in ("C", "D") else self.group)

    def theirs(self):
        """escnn's space, and its representations of ``fields``."""
        from escnn import gspaces

        reflects = self.group in ("D", "O2")
        make = gspaces.flipRot2dOnR2 if reflects else gspaces.rot2dOnR2
        space = make(N=self.order) if self.order > 0 else make(N=-1, maximum_frequency=4)
        names = {"regular": lambda: space.regular_repr, "0": lambda: space.trivial_repr, "0-": lambda: space.irrep(1, 0)}
        irrep = (lambda k: space.irrep(1, k)) if reflects else space.irrep
        return space, [names[f]() if f in names else irrep(int(f)) for f in self.fields]


_SO2, _O2 = ("0", "1", "2"), ("0", "0-", "1", "2")
CASES = (
    Case("C_4 regular", "C", 4, 16),
    Case("C_8 regular", "C", 8, 8),
    Case("D_4 regular", "D", 4, 8),
    Case("C_4 regular, complete", "C", 4, 16, basis="complete"),
    Case("D_4 regular, complete", "D", 4, 8, basis="complete"),
    Case("SO(2) irreps, gated", "SO2", -1, 12, _SO2, "gated"),
    Case("SO(2) irreps, norm", "SO2", -1, 12, _SO2, "norm"),
    Case("O(2) irreps, gated", "O2", -1, 10, _O2, "gated"),
    Case("O(2) irreps, norm", "O2", -1, 10, _O2, "norm"),
)


def our_layers(case: Case, copies: list[int], pool_after: int | None = None, first_kernel: int = KERNEL) -> list[nn.Module]:
    """Convolution, norm and nonlinearity for every width; pooling after the layer of that number; then invariants."""
    group, layers, kernel = case.ours(), [], first_kernel
    x = FieldType(group, [(1, group.trivial)])
    for number, mul in enumerate(copies, start=1):
        y = FieldType(group, [(mul, name) for name in case.fields])
        act = GatedNonlinearity(y, "relu") if case.nonlinearity == "gated" else NormNonlinearity(y)
        layers.append(GridConv(x, act.in_type, kernel, padding=kernel // 2, basis=case.basis))
        layers += [OnGrid(FieldNorm(act.in_type)), OnGrid(act)]
        if number == pool_after:
            layers.append(GridPool(y, 2, "max" if case.nonlinearity == "relu" else "mean"))
        x, kernel = y, KERNEL
    return [*layers, OnGrid(GroupPool(x) if case.nonlinearity == "relu" else ToScalars(x))]


def their_layers(case: Case, copies: list[int], pool_after: int | None = None, first_kernel: int = KERNEL) -> list[nn.Module]:
    """The same from escnn, with its defaults."""
    from escnn import nn as enn

    (space, reps), layers, kernel = case.theirs(), [], first_kernel
    x = enn.FieldType(space, [space.trivial_repr])
    for number, mul in enumerate(copies, start=1):
        y = enn.FieldType(space, [rep for rep in reps for _ in range(mul)])
        act = enn.ReLU(y) if case.nonlinearity == "relu" else _their_nonlinearity(y, case.nonlinearity)
        norm = enn.InnerBatchNorm if case.nonlinearity == "relu" else enn.IIDBatchNorm2d
        layers += [enn.R2Conv(x, act.in_type, kernel, padding=kernel // 2), norm(act.in_type), act]
        if number == pool_after:
            layers.append((enn.PointwiseMaxPool2D if case.nonlinearity == "relu" else enn.PointwiseAvgPool2D)(y, 2, 2))
        x, kernel = y, KERNEL
    return [*layers, (enn.GroupPooling if case.nonlinearity == "relu" else enn.NormPool)(x)]


def _their_nonlinearity(y, kind: str) -> nn.Module:
    """ReLU on trivial fields, norms or gates on others, as in escnn's own examples."""
    from escnn import nn as enn

    scalars = y.index_select([i for i, rep in enumerate(y.representations) if rep.is_trivial()])
    others = y.index_select([i for i, rep in enumerate(y.representations) if not rep.is_trivial()])
    gates = enn.FieldType(y.gspace, len(others) * [y.gspace.trivial_repr]) if kind == "gated" else None
    acted = others if gates is None else gates + others
    act = enn.NormNonLinearity(acted) if gates is None else enn.GatedNonLinearity1(acted)
    labels = ["scalar"] * len(scalars) + ["other"] * len(acted)
    return enn.MultipleModule(scalars + acted, labels, [(enn.ReLU(scalars), "scalar"), (act, "other")])


class OurNetwork(nn.Module):
    """(B, 1, H, W) -> (B, num_classes): the layers, the mean of the invariants over the image, a linear map."""

    def __init__(self, case: Case, depth: int = 4, num_classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(*our_layers(case, [case.copies] * depth, depth // 2))
        self.head = nn.Linear(self.body[-1].out_type.dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))

    def convolutions(self) -> list[nn.Module]:
        return [layer for layer in self.body if isinstance(layer, GridConv)]


class TheirNetwork(nn.Module):
    """The same of escnn."""

    def __init__(self, case: Case, depth: int = 4, num_classes: int = 10) -> None:
        super().__init__()
        from escnn import nn as enn

        self.body = enn.SequentialModule(*their_layers(case, [case.copies] * depth, depth // 2))
        self.head = nn.Linear(self.body.out_type.size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.body.in_type(x)).tensor.mean((2, 3)))

    def convolutions(self) -> list[nn.Module]:
        return [layer for layer in self.body if hasattr(layer, "basisexpansion")]


def expanded(layer: nn.Module) -> Tensor:
    """The dense kernel of a convolution of either library, from its weights."""
    return layer.kernel() if isinstance(layer, GridConv) else layer.expand_parameters()[0]


def number_of_weights(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def train_step(network: nn.Module, images: Tensor, labels: Tensor):
    """One step of training as a function without arguments."""
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)

    def run() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()

    return run
