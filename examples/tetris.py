"""Shapes of four blocks, learnt in one orientation and recognised in any: tensor field networks on tetris pieces.

    python examples/tetris.py        # about ten seconds

The task of Thomas et al. 2018 (arXiv 1802.08219, section 5.1): eight pieces, two of which are mirror images of each other. The
network sees each in one orientation only and is asked about random rotations (and shifts) of them, all from the same scalar 1
at every block. Beside it the same network with scalars alone, whose kernels see distances: it cannot tell the mirror images
apart; and over O(3), which must not tell them apart. Prints the accuracies, and the time.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor
from torch_geometric.loader import DataLoader

from gaugenet import FieldType, geometry, groups
from gaugenet.data import GaugeGraph
from gaugenet.models import TensorFieldNetwork

PIECES = {
    "chiral 1": [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 1, 0)],
    "chiral 2": [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, -1, 0)],
    "square": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)],
    "line": [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)],
    "corner": [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)],
    "L": [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0)],
    "T": [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 1)],
    "zigzag": [(0, 0, 0), (1, 0, 0), (1, 1, 0), (2, 1, 0)],
}
STEPS, ROTATIONS = 100, 25


def graph_of(points: np.ndarray, label: int) -> GaugeGraph:
    """A piece, every block joined to all others; a sum over them, so that their number counts."""
    graph = geometry.points(points, radius=3.5, weight="sum").to_graph(torch.float32)
    graph.y = torch.tensor([label])
    return graph


def pieces(rotation: np.ndarray | None = None, shift: float = 0.0) -> list[GaugeGraph]:
    turn = np.eye(3) if rotation is None else rotation
    return [graph_of(np.array(blocks) @ turn.T + shift, label) for label, blocks in enumerate(PIECES.values())]


def network(group: groups.Group, order: int) -> TensorFieldNetwork:
    """Two layers of 8 copies of orders 0 to ``order``, and a third to a scalar for every piece."""
    hidden = FieldType(group, [(8, str(l)) for l in range(order + 1)])
    scalars = FieldType(group, [(1, group.trivial)]), FieldType(group, [(len(PIECES), group.trivial)])
    # On 32 blocks plain torch is fast enough, and no code has to be compiled.
    return TensorFieldNetwork(*scalars, hidden=[hidden, hidden], pool="mean", backend="reference")


def logits(net: TensorFieldNetwork, batch: GaugeGraph) -> Tensor:
    return net(torch.ones(batch.num_nodes, 1), batch)


def train(net: TensorFieldNetwork) -> float:
    """On the pieces as they are above: the last loss."""
    batch = next(iter(DataLoader(pieces(), batch_size=len(PIECES))))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(logits(net, batch), batch.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(net: TensorFieldNetwork) -> float:
    """On random rotations and shifts of the pieces."""
    rotations = groups.SO3().sample(ROTATIONS, generator=torch.Generator().manual_seed(1)).numpy()
    turned = [graph for g in rotations for graph in pieces(g, shift=2.0)]
    batch = next(iter(DataLoader(turned, batch_size=len(turned))))
    return (logits(net, batch).argmax(1) == batch.y).double().mean().item()


def main() -> dict[str, float]:
    torch.set_num_threads(1)
    start, found = time.perf_counter(), {}
    cases = {
        "SO(3), orders 0 to 1": (groups.SO3(), 1),
        "SO(3), order 0": (groups.SO3(), 0),
        "O(3), orders 0 to 1": (groups.O3(), 1),
    }
    for name, case in cases.items():
        torch.manual_seed(0)
        net = network(*case)
        loss = train(net)
        found[name] = accuracy(net)
        weights = sum(p.numel() for p in net.parameters())
        print(
            f"{name:21s} {weights:6d} weights  loss {loss:.4f}  random rotations: {100 * found[name]:.1f} % right", flush=True
        )
    print(f"{time.perf_counter() - start:.1f} s on one thread")
    return found


if __name__ == "__main__":
    main()
