"""The networks of rna.py, parts.py and correspondence.py: ours, and those that stand beside it, with as many parameters."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch_geometric.nn.models import EdgeCNN
from torch_geometric.utils import to_undirected

from examples import common
from examples.shape_classification import ScalarNet, scalar_type
from gaugenet import FieldType
from gaugenet.data import feature_type
from gaugenet.groups import O2
from gaugenet.models import DiffusionNet, MeshUNet
from gaugenet.nn import to_scalars

#: the gauge network of which half of the outputs change their signs in the mirror image
SIDED = "gauge, O(2)"
FEATURES = ("hks", "curvature", "second_fundamental_form")


def gauge(in_type: FieldType, classes: int, width: int, args, order: int = 2, quadrature: int | None = 3) -> nn.Module:
    return unet(in_type, f"{classes}xtrivial", width, args, order, quadrature)


def sided(in_type: FieldType, classes: int, width: int, args) -> nn.Module:
    """Half of the outputs are pseudo-scalars: over O(2) their signs change in the mirror image, and nothing else does."""
    return unet(in_type, f"{classes - classes // 2}x0 + {classes // 2}x0-", width, args)


def unet(in_type: FieldType, outputs: str, width: int, args, order: int = 2, quadrature: int | None = 3) -> MeshUNet:
    options = {"dropout": args.dropout, "quadrature": quadrature, "blocks": (1,) * (args.levels + 1)}
    return MeshUNet(in_type, FieldType(in_type.group, outputs), channels=width, order=order, **options)


class HeatKernel(nn.Module):
    """The gauge network on the first of its inputs alone: the heat kernel signature, which other triangles hardly change."""

    def __init__(self, in_type: FieldType, classes: int, width: int, args) -> None:
        super().__init__()
        first = FieldType(in_type.group, list(in_type.blocks[:1]))
        self.columns, self.net = first.dim, gauge(first, classes, width, args)

    def forward(self, x: Tensor, graph) -> Tensor:
        return self.net(x[:, : self.columns], graph)


def isotropic(in_type: FieldType, classes: int, width: int, args) -> nn.Module:
    """Order 0: no directions."""
    return ScalarNet(in_type, gauge(scalar_type(in_type), classes, width, args, order=0))


def diffusion(in_type: FieldType, classes: int, width: int, args, rotations: bool = True) -> nn.Module:
    options = {"width": width, "dropout": args.dropout, "gradient_rotations": rotations}
    return ScalarNet(in_type, DiffusionNet(scalar_type(in_type).dim, classes, **options))


class Pointwise(nn.Module):
    """No neighbours: a perceptron of the invariants of every vertex."""

    def __init__(self, in_type: FieldType, classes: int, width: int, args) -> None:
        super().__init__()
        self.in_type = in_type
        sizes = [scalar_type(in_type).dim, width, width, width]
        layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU())]
        self.net = nn.Sequential(*layers, nn.Dropout(args.dropout), nn.Linear(width, classes))

    def forward(self, x: Tensor, graph) -> Tensor:
        return self.net(to_scalars(x, self.in_type))


def mesh_edges(graph) -> Tensor:
    """(2, E) the edges of the triangles, both ways."""
    a, b, c = graph.face
    return to_undirected(torch.stack([torch.cat([a, b, c]), torch.cat([b, c, a])]), num_nodes=graph.num_nodes)


def edge_cnn(inputs: int, width: int, outputs: int, args) -> EdgeCNN:
    """That of PyG (Wang et al. 2019), as it comes: four layers that take the largest message of the neighbours."""
    norm = {"norm": "layer_norm", "norm_kwargs": {"mode": "node"}}
    return EdgeCNN(inputs, width, num_layers=4, out_channels=outputs, dropout=args.dropout, **norm)


class EdgeNet(nn.Module):
    """EdgeCNN on the invariants, along the edges of the mesh."""

    def __init__(self, in_type: FieldType, classes: int, width: int, args) -> None:
        super().__init__()
        self.in_type = in_type
        self.net = edge_cnn(scalar_type(in_type).dim, width, classes, args)

    def forward(self, x: Tensor, graph) -> Tensor:
        return self.net(to_scalars(x, self.in_type), mesh_edges(graph))


#: name: (network by in_type, classes, width and arguments; whether its structure group is O(2), which sees no mirroring)
MODELS: dict[str, tuple[Callable, bool]] = {
    "gauge": (gauge, False),
    "gauge, heat kernel": (HeatKernel, False),
    "gauge, area weights": (partial(gauge, quadrature=None), False),
    SIDED: (sided, True),
    "mirror-blind": (gauge, True),
    "order 0": (isotropic, False),
    "DiffusionNet": (diffusion, False),
    "DiffusionNet, no rotations": (partial(diffusion, rotations=False), False),
    "EdgeCNN": (EdgeNet, False),
    "pointwise": (Pointwise, False),
}

#: those whose outputs stay the same in the mirror image, as labels do that have no side
LABELLING = [name for name in MODELS if name != SIDED]

#: name: the learning rate that was chosen for a network of another kind, in parts of --lr, which was chosen for ours
RATES = {"DiffusionNet": 0.15, "DiffusionNet, no rotations": 0.15, "EdgeCNN": 0.2}


def build(name: str, graph, classes: int, args) -> nn.Module:
    """A network with about as many parameters as the gauge network of ``args.channels`` channels has."""
    make, blind = MODELS[name]
    in_type = feature_type(graph, *FEATURES, group=O2() if blind else None)
    if name == "gauge":
        return make(in_type, classes, args.channels, args)
    wanted = sum(p.numel() for p in gauge(feature_type(graph, *FEATURES), classes, args.channels, args).parameters())
    return common.with_parameters(lambda widths: make(in_type, classes, widths[0], args), wanted, (4,))
