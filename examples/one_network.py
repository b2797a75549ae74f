"""One network on every manifold: the same fields, blocks and read-out, with another geometry as the one thing that changes.

    python examples/one_network.py [--out one_network.png]

For each manifold the network is built for its structure group, which the geometry brings, and its equivariance is measured:
frames are turned at random at every node, and the answer must stay (`gaugenet.testing.equivariance_error`, float64). Where the
space has motions that keep the neighbourhoods, everything is moved as well: on SE(2), whose structure group is {e}, that is
the whole of it. One line each, and a picture of the manifolds, coloured by a scalar that the hidden fields have there. Takes
about half a minute.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gaugenet import FieldType, geometry, groups
from gaugenet.models import GaugeClassifier
from gaugenet.nn import to_scalars
from gaugenet.testing import equivariance_error


def torus() -> geometry.LocalGeometry:
    u, v = np.meshgrid(*[2 * np.pi * np.arange(n) / n for n in (24, 14)], indexing="ij")
    vertices = np.stack([(2 + np.cos(v)) * np.cos(u), (2 + np.cos(v)) * np.sin(u), np.sin(v)], -1).reshape(-1, 3)
    number = np.arange(24 * 14).reshape(24, 14)
    a, b, c, d = number, np.roll(number, -1, 0), np.roll(number, (-1, -1), (0, 1)), np.roll(number, -1, 1)
    return geometry.mesh(vertices, np.concatenate([np.stack(f, -1).reshape(-1, 3) for f in ((a, b, c), (a, c, d))]), rings=2)


def cloud(move: bool = False) -> geometry.LocalGeometry:
    """Random points of space; moved by a random motion."""
    points = np.random.default_rng(0).random((300, 3))
    turn = groups.SO3().sample(1, generator=torch.Generator().manual_seed(0))[0].numpy()
    return geometry.points(points @ turn.T + [3, -1, 2] if move else points, neighbours=16)


def poses(move: bool = False) -> geometry.LocalGeometry:
    """Random positions and directions in the plane, elements of SE(2); multiplied by one of them from the left."""
    x, y, angle = np.random.default_rng(0).uniform([0, 0, -np.pi], [3, 3, np.pi], (240, 3)).T
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros(240), np.ones(240)
    elements = np.stack([cos, -sin, x, sin, cos, y, zero, zero, one], -1).reshape(-1, 3, 3)
    return geometry.lie_group("SE2", elements[7] @ elements if move else elements, neighbours=12)


def disc(move: bool = False) -> geometry.LocalGeometry:
    """The hyperbolic plane; moved by a Moebius map of the disc."""
    points = geometry.hyperbolic_points(300, 2.5)
    w = points @ [1, 1j]
    w = (w - 0.3 - 0.2j) / (1 - (0.3 - 0.2j) * w)
    return geometry.hyperbolic_plane(np.stack([w.real, w.imag], -1) if move else points, area=np.full(300, 0.1))


#: name -> (geometry, structure group); of those that can be moved it takes ``move``
MANIFOLDS: dict[str, tuple[Callable[..., geometry.LocalGeometry], groups.Group]] = {
    "plane": (lambda: geometry.grid((15, 15), 5), groups.O2()),
    "hexagons": (lambda: geometry.hexagonal((13, 13)), groups.Dihedral(6)),
    "sphere": (lambda: geometry.icosphere(3), groups.SO2()),
    "icosahedron": (lambda: geometry.icosahedron(3), groups.Cyclic(6)),
    "mesh": (torus, groups.SO2()),
    "Moebius strip": (lambda: geometry.moebius(7, 40), groups.Reflection()),
    "points in R^3": (cloud, groups.SO3()),
    "voxels": (lambda: geometry.grid((6, 6, 6), 3), groups.Octahedral()),
    "SE(2)": (poses, groups.Trivial(3)),
    "hyperbolic": (disc, groups.SO2()),
}


def network(group: groups.Group, seed: int = 0) -> GaugeClassifier:
    """Two residual blocks of scalars and vectors on scalar inputs, invariants, their mean over the manifold, three logits."""
    torch.manual_seed(seed)
    return GaugeClassifier(FieldType(group, "1x0"), num_classes=3, channels=8, order=1, blocks=(2,)).double()


def place(geom: geometry.LocalGeometry, name: str) -> np.ndarray:
    """(N, 3) where to draw the nodes."""
    at = geom.positions
    if name == "Moebius strip":
        u, v = 2 * np.pi * at[:, 0] / 40, at[:, 1] / 7
        r = 1 + v * np.cos(u / 2)
        return np.stack([r * np.cos(u), r * np.sin(u), v * np.sin(u / 2)], -1)
    return at if at.shape[1] == 3 else np.column_stack([at, np.zeros(len(at))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("one_network.png"), help="the picture")
    args = parser.parse_args()
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(14, 6.5))
    print(f"{'manifold':15} {'nodes':>6} {'edges':>7}  {'hidden fields':14} {'weights':>8} {'frames turn':>12} {'moved':>8}")
    for k, (name, (make, group)) in enumerate(MANIFOLDS.items()):
        geom = make()
        graph, net = geom.to_graph(), network(group)
        error = equivariance_error(net, graph, net.in_type)
        weights = sum(p.numel() for p in net.parameters())
        print(f"{name:15} {geom.num_nodes:6} {geom.num_edges:7}  {net.types[0]!s:14} {weights:8} {error:12.1e}", end=" ")
        at = place(geom, name)
        signal = torch.from_numpy(np.sin(3 * at[:, :1]) * np.cos(2 * at[:, 1:2]))
        with torch.no_grad():
            if inspect.signature(make).parameters:
                here, there = net(signal, graph), net(signal, make(move=True).to_graph())
                print(f"{float((there - here).norm() / here.norm()):8.1e}")
            else:
                print(f"{'-':>8}")
            colour = to_scalars(net.encode(signal, graph)[-1][0], net.types[-1])[:, -1]
        axis = figure.add_subplot(2, 5, k + 1, projection="3d")
        axis.scatter(*at.T, c=colour, cmap="viridis", s=12)
        axis.set(title=f"{name}\n{group}", box_aspect=np.maximum(np.ptp(at, 0), 1e-3 + 0.1 * np.ptp(at)))
        axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(args.out, dpi=90)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
