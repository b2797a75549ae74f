"""Mechanics of point masses, learnt by one layer: gravity, centre of mass, moment of inertia.

    python examples/points.py        # about twenty seconds

After Thomas et al. 2018 (arXiv 1802.08219, section 5.2 ff), on generated data: clouds of masses, and at every point of a cloud
the acceleration by gravity (a vector), the way to the centre of mass (a vector) and the tensor of inertia about the point (a
scalar and a field of degree 2). All three are one convolution, sum over q of R(|x|) C(Y(x), m_q), and what is learnt is the
radial functions R. Trained on clouds that lie nearly in one plane; asked about others of that kind, and about turned ones.
Beside it the same sum with a perceptron of (x, m_q) in the place of the kernel, which has to learn from examples what a
rotation is, and the mean of the training data. Prints relative errors of held-out clouds, and the learnt law of gravity.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.loader import DataLoader

from gaugenet import FieldType, geometry, groups
from gaugenet.data import GaugeGraph
from gaugenet.kernels import RadialMLP, clebsch_gordan
from gaugenet.models import TensorFieldNetwork

SO3 = groups.SO3()
MASS, TARGETS = FieldType(SO3, "1x0"), FieldType(SO3, "1x1 + 1x1 + 1x0 + 1x2")
TASKS = {"gravity": slice(0, 3), "centre of mass": slice(3, 6), "inertia": slice(6, 15)}
CLOUDS, POINTS, STEPS, RADIUS, SOFT = 100, 8, 400, 4.0, 0.3


def mechanics(x: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """What is to be learnt, by Newton: (N, 3 + 3 + 9). Close masses attract as if they were ``SOFT`` apart."""
    r = x[None] - x[:, None]  # from p to q
    square = (r**2).sum(-1)
    gravity = (mass[None, :, None] * r / (square + SOFT**2)[..., None] ** 1.5).sum(1)
    centre = (mass[None, :, None] * r).sum(1)  # the masses of a cloud add up to 1
    inertia = np.einsum("q,pq,ij->pij", mass, square, np.eye(3)) - np.einsum("q,pqi,pqj->pij", mass, r, r)
    return np.concatenate([gravity, centre, inertia.reshape(-1, 9)], 1)


def cloud(rng: np.random.Generator, turn: bool) -> GaugeGraph:
    x = rng.uniform(-1, 1, (POINTS, 3)) * [1.0, 1.0, 0.1]
    if turn:
        x = x @ SO3.sample(1, torch.Generator().manual_seed(int(rng.integers(2**31))))[0].numpy().T
    mass = rng.dirichlet(np.ones(POINTS))
    graph = geometry.points(x, RADIUS, weight="sum").to_graph(torch.float32)
    graph.mass = torch.from_numpy(mass[:, None]).float()
    graph.y = torch.from_numpy(mechanics(x, mass)).float()
    return graph


def batch(seed: int, turn: bool = False) -> GaugeGraph:
    rng = np.random.default_rng(seed)
    return next(iter(DataLoader([cloud(rng, turn) for _ in range(CLOUDS)], batch_size=CLOUDS)))


class Steerable(nn.Module):
    """One convolution; its field of degree 2 as a tensor by the Clebsch-Gordan coefficients."""

    def __init__(self) -> None:
        super().__init__()
        profile = RadialMLP(16, 32, 12, cutoff=False)  # forces have no end
        self.net = TensorFieldNetwork(MASS, TARGETS, hidden=(), radial=profile, backend="reference")
        vector, tensor = SO3.irrep(1), SO3.irrep(2)
        self.register_buffer("traceless", clebsch_gordan(tensor, vector, vector)[0].permute(1, 0, 2).float())

    def forward(self, graph: GaugeGraph) -> Tensor:
        gravity, centre, trace, rest = (part.flatten(1) for part in TARGETS.split(self.net(graph.mass, graph)))
        inertia = torch.einsum("nm,mij->nij", rest, self.traceless) + trace[..., None] * torch.eye(3)
        return torch.cat([gravity, centre, inertia.flatten(1)], 1)

    @torch.no_grad()
    def force(self, r: Tensor) -> Tensor:
        """The learnt kernel of gravity at distances r along the x axis."""
        kernel = self.net.convolutions[0].kernel(torch.stack([r, 0 * r, 0 * r], 1) / RADIUS)
        return kernel[:, 0, 0]


class Plain(nn.Module):
    """The same sum with a perceptron of the way and the mass."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.message = nn.Sequential(
            nn.Linear(4, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 15)
        )  # fmt: skip

    def forward(self, graph: GaugeGraph) -> Tensor:
        source, target = graph.edge_index
        messages = self.message(torch.cat([graph.log, graph.mass[source]], 1)) * graph.mass[source]
        return messages.new_zeros(graph.num_nodes, 15).index_add(0, target, messages)


def train(net: nn.Module, data: GaugeGraph) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    scale = torch.cat([data.y[:, part].square().mean().sqrt().expand(data.y[:, part].shape[1]) for part in TASKS.values()])
    for _ in range(STEPS):
        loss = ((net(data) - data.y) / scale).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def errors(predicted: Tensor, data: GaugeGraph) -> dict[str, float]:
    """Root mean squares of the errors over those of the targets."""
    return {task: float((predicted[:, part] - data.y[:, part]).norm() / data.y[:, part].norm()) for task, part in TASKS.items()}


def main() -> dict[str, dict[str, dict[str, float]]]:
    torch.set_num_threads(1)
    start, found = time.perf_counter(), {}
    data, held_out, turned = batch(0), batch(1), batch(2, turn=True)
    for name, make in {"steerable": Steerable, "plain": Plain}.items():
        torch.manual_seed(0)
        net = make()
        train(net, data)
        with torch.no_grad():
            found[name] = {"flat": errors(net(held_out), held_out), "turned": errors(net(turned), turned)}
        if name == "steerable":
            r = torch.linspace(0.25, 2.0, 8)
            learnt, law = net.force(r), r / (r**2 + SOFT**2) ** 1.5
    mean = data.y.mean(0, keepdim=True)
    found["mean of the data"] = {"flat": errors(mean, held_out), "turned": errors(mean, turned)}
    for name, cases in found.items():
        for case, by_task in cases.items():
            row = "  ".join(f"{task} {100 * error:6.2f} %" for task, error in by_task.items())
            print(f"{name:16s} {case:6s}  {row}")
    print("distance      ", " ".join(f"{value:6.2f}" for value in r.tolist()))
    print("learnt force  ", " ".join(f"{value:6.3f}" for value in learnt.tolist()))
    print("law of gravity", " ".join(f"{value:6.3f}" for value in law.tolist()))
    print(f"{time.perf_counter() - start:.1f} s on one thread")
    return found


if __name__ == "__main__":
    main()
