"""A small case of a layer or network: how it is made, what it runs on, and which checks do not apply, with the reason."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaugenet import FieldType, geometry
from gaugenet.data import GaugeGraph
from tests.helpers.networks import randomise, with_statistics

OWN = "own"  # the type that the layer states itself

GRAPHS: dict[str, Callable[[], geometry.LocalGeometry]] = {
    "sphere": lambda: geometry.icosphere(1, rings=1, levels=1),
    "three spheres": lambda: geometry.icosphere(2, rings=1, levels=2),
    "framed spheres": lambda: geometry.icosphere(2, rings=1, levels=2, structure="e"),
    "icosahedron": lambda: geometry.icosahedron(1, levels=1),
    "strip": lambda: geometry.moebius(3, 4),
    "plane": lambda: geometry.grid((3, 4), 3),
    "space": lambda: geometry.grid((3, 3, 3), 3),
    "motions": lambda: geometry.lie_group(
        "SE2", geometry.lift_image("SE2", (3, 3), 3, region="square"), neighbours=8, alpha=0.2, levels=2, ratio=0.5
    ),
    "circle": lambda: geometry.lie_group("SO2", geometry.LieGroup.of("SO2").exp(np.arange(12.0)[:, None] ** 0.7), 1.5),
    "rotations": lambda: geometry.lie_group(
        "SO3", geometry.lift_points("SO3", geometry.fibonacci_points(12) * np.linspace(1, 2, 12)[:, None], 2), 2.0
    ),
}
IMAGES: dict[str, tuple[int, ...]] = {
    "image": (7, 7), "even image": (6, 6), "large image": (9, 9), "rectangle": (4, 6), "volume": (4, 4, 4), "nodes": (),
}  # fmt: skip


@functools.cache
def graph_of(name: str, dtype: torch.dtype = torch.float64) -> GaugeGraph:
    return GRAPHS[name]().to_graph(dtype)


@dataclass(frozen=True)
class Recipe:
    """A small case of a public class.

    Attributes:
        cls, args, options: ``cls(*args, **options)``.
        on: a name of GRAPHS, or of IMAGES ("nodes": rows of features without a graph).
        in_type, out_type: field types of the input and output, by default those of the layer; out_type None: invariant.
        wrap: makes of the layer what is called with one field, where that is another thing.
        lattice, periodic: of the pixels.
        out_level: level of the output's nodes.
        symmetric: why frames do not matter to it only up to this relative error, or that they do: (tolerance, reason).
        train_symmetric: the same in training, where that differs.
        no_meta, no_compile, no_export: why a check does not apply.
        known: defects to be mended, by the name of the check, which is expected to fail until then.
        note: tells cases of one class apart.
    """

    cls: type
    args: tuple = ()
    on: str = "nodes"
    options: dict[str, Any] = field(default_factory=dict)
    in_type: Any = OWN
    out_type: Any = OWN
    wrap: Callable[[torch.nn.Module], torch.nn.Module] | None = None
    lattice: str = "square"
    out_level: int = 0
    symmetric: tuple[float, str] = (1e-10, "")
    train_symmetric: tuple[float, str] | None = None
    no_meta: str = ""
    no_compile: str = ""
    no_export: str = ""
    known: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def __str__(self) -> str:
        return f"{self.cls.__name__}-{self.note}" if self.note else self.cls.__name__

    @property
    def on_graph(self) -> bool:
        return self.on in GRAPHS

    def layer(self) -> torch.nn.Module:
        torch.manual_seed(0)
        args = copy.deepcopy(self.args)  # modules among them must not be shared
        return self.cls(*args, **self.options)

    def make(self) -> torch.nn.Module:
        """The layer with random weights, biases and running averages."""
        net = with_statistics(randomise(self.layer()))
        return net if self.wrap is None else self.wrap(net)

    def types(self, net: torch.nn.Module) -> tuple[FieldType, FieldType | None]:
        in_type = net.in_type if self.in_type == OWN else self.in_type
        return in_type, (getattr(net, "out_type", None) if self.out_type == OWN else self.out_type)

    def x(self, net: torch.nn.Module, dtype: torch.dtype = torch.float64) -> Tensor:
        dim = self.types(net)[0].dim
        generator = torch.Generator().manual_seed(3)
        if self.on_graph:
            shape = (graph_of(self.on).num_nodes, dim)
        else:
            shape = (2, dim, *IMAGES[self.on]) if IMAGES[self.on] else (9, dim)
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    def inputs(self, net: torch.nn.Module, dtype: torch.dtype = torch.float64) -> tuple:
        x = self.x(net, dtype)
        if not self.on_graph or not takes_graph(net):
            return (x,)
        return x, graph_of(self.on, dtype)


def takes_graph(net: torch.nn.Module) -> bool:
    return "graph" in inspect.signature(net.forward).parameters


class TwoFields(torch.nn.Module):
    """A product of two fields, on both side by side."""

    def __init__(self, product: torch.nn.Module, first: FieldType, second: FieldType, out_type: FieldType) -> None:
        super().__init__()
        self.product, self.first = product, first.dim
        self.in_type, self.out_type = first + second, out_type

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x[:, : self.first], x[:, self.first :])


class DownAndUp(torch.nn.Module):
    """An unpooling behind a pooling, so that input and output live on one level."""

    def __init__(self, up: torch.nn.Module) -> None:
        from gaugenet.nn import GaugePool

        super().__init__()
        self.down, self.up = GaugePool(up.in_type), up
        self.in_type, self.out_type = up.in_type, up.out_type

    def forward(self, x: Tensor, graph) -> Tensor:
        return self.up(self.down(x, graph), graph)


class InTraining(torch.nn.Module):
    """A network that stays in training mode, with the same random numbers at every call.

    Statistics are those of the batch, and no call sees what another left behind.
    """

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net.train()

    def train(self, mode: bool = True) -> InTraining:
        return self

    def forward(self, x: Tensor, *graph) -> Tensor:
        torch.manual_seed(7)
        assert self.net.training
        return self.net(x, *graph)


class InTrainingOnGraph(InTraining):
    def forward(self, x: Tensor, graph) -> Tensor:
        return super().forward(x, graph)


class InTrainingOnFields(InTraining):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def in_training(net: torch.nn.Module) -> InTraining:
    return (InTrainingOnGraph if takes_graph(net) else InTrainingOnFields)(net)
