"""The networks of vessels.py: ours, and those that stand beside it, with about as many parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples import common
from examples.shape_classification import ScalarNet, scalar_type
from examples.surface_nets import Pointwise, edge_cnn, mesh_edges
from gaugenet import FieldType, geometry, groups
from gaugenet.data import GaugeGraph
from gaugenet.models import MeshUNet, TensorFieldNetwork
from gaugenet.nn import Gradient, global_mean, to_scalars

SO2, O2, SO3 = groups.SO2(), groups.O2(), groups.SO3()
INLET = 1.5  # radius of the inlet, mm
DISTANCE = 20.0  # unit of the distance among the inputs, mm
INPUTS = FieldType(SO2, "2x0 + 2x0 + 1x0 + 1x2")  # distance and Reynolds number, curvature, second fundamental form


def gauge(width: int, args, group=SO2, outputs: str = "1x1", order: int = 2, inputs: FieldType | None = None) -> nn.Module:
    in_type = FieldType(group, str(INPUTS)) if inputs is None else inputs
    options = {"channels": width, "order": order, "blocks": (1,) * (args.levels + 1), "dropout": args.dropout}
    return MeshUNet(in_type, FieldType(group, outputs), **options)


def two_numbers(width: int, args) -> nn.Module:
    """The gauge network of order 0, whose two numbers are taken for components in frames that it does not see."""
    return ScalarNet(INPUTS, gauge(width, args, outputs="2x0", order=0, inputs=scalar_type(INPUTS)))


class GradientNet(nn.Module):
    """The gradient of a scalar of the network of order 0, in units of 1 / mm."""

    def __init__(self, width: int, args) -> None:
        super().__init__()
        self.net = ScalarNet(INPUTS, gauge(width, args, outputs="1x0", order=0, inputs=scalar_type(INPUTS)))
        self.gradient = Gradient(FieldType(SO2, "1x0"))

    def forward(self, x: Tensor, graph) -> Tensor:
        return self.gradient(self.net(x, graph), graph)


def normals_of(graph) -> Tensor:
    return torch.linalg.cross(*graph.frame3.unbind(2))


class PointCloud(nn.Module):
    """A Tensor Field Network on the vertices as points of space, with invariants and normals for input."""

    def __init__(self, width: int, args) -> None:
        super().__init__()
        hidden = [FieldType(SO3, f"{width}x0 + {width}x1")] * 3
        in_type = FieldType(SO3, f"{scalar_type(INPUTS).dim}x0 + 1x1")
        self.net = TensorFieldNetwork(in_type, FieldType(SO3, "1x1"), hidden=hidden, embedding=hidden[0])

    def forward(self, x: Tensor, graph) -> Tensor:
        found = self.net(torch.cat([to_scalars(x, INPUTS), normals_of(graph)], 1), graph.cloud)
        return torch.einsum("nxc,nx->nc", graph.frame3, found)


def with_cloud(graph: GaugeGraph, radius: float) -> GaugeGraph:
    graph.cloud = geometry.points(graph.pos.numpy(), radius=radius).to_graph().float()
    return graph


class EdgeNet(nn.Module):
    """EdgeCNN in the coordinates of space: invariants, places and normals in, vectors out.

    It is not equivariant: in training every vessel is turned at random. Lengths are in radii of the inlet, so that they
    differ between neighbours by as much as other inputs do; with all of them near zero it does not learn directions.
    """

    def __init__(self, width: int, args) -> None:
        super().__init__()
        self.net = edge_cnn(scalar_type(INPUTS).dim + 7, width, 3, args)

    def forward(self, x: Tensor, graph) -> Tensor:
        turn = SO3.sample(1)[0].to(graph.pos) if self.training else torch.eye(3).to(graph.pos)
        centre = global_mean(graph.pos, graph)
        place = (graph.pos - (centre[graph.batch] if len(centre) > 1 else centre)) / INLET
        distance = x[:, :1] * DISTANCE / INLET
        seen = [to_scalars(x, INPUTS), distance, place @ turn.T, normals_of(graph) @ turn.T]
        return torch.einsum("nxc,nx->nc", graph.frame3, self.net(torch.cat(seen, 1), mesh_edges(graph)) @ turn)


MODELS = {
    "gauge, O(2)": lambda width, args: gauge(width, args, O2),
    "gauge, SO(2)": gauge,
    "gradient": GradientNet,
    "point cloud": PointCloud,
    "EdgeCNN": EdgeNet,
    "two numbers": two_numbers,
    "pointwise": lambda width, args: Pointwise(INPUTS, 2, width, args),
}

#: name: the learning rate that was chosen for a network of another kind, in parts of --lr, which was chosen for ours
RATES = {"EdgeCNN": 0.1}


def build(name: str, args) -> nn.Module:
    if name == "gauge, SO(2)":
        return gauge(args.channels, args)
    wanted = sum(p.numel() for p in gauge(args.channels, args).parameters())
    return common.with_parameters(lambda widths: MODELS[name](widths[0], args), wanted, (4,))
