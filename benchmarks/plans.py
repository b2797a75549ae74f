"""What plans cost: the plain call beside the call with a plan, and their part of a training epoch.

    python -m benchmarks.plans [--rounds 7] [--shapes 60] [--threads 1] [--output benchmarks/results/plans.md]

The second call on one graph finds its plan there. An epoch goes over a PyG DataLoader of records of the embedded shapes,
shuffled, with a MeshClassifier; the plans of the first epoch are made, those of the later ones joined from the graphs of each
batch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch_geometric.loader import DataLoader

from gaugenet import FieldType, geometry, groups
from gaugenet.data import EmbeddedShapes, feature_type
from gaugenet.models import MeshClassifier
from gaugenet.nn import GaugeConv, GaugePool

from .measure import interleaved, machine


def step(layer: torch.nn.Module, x: torch.Tensor, *arguments):
    inputs, cotangent = [x, *layer.parameters()], torch.randn(x.shape[0], layer.out_type.dim)

    def run() -> None:
        torch.autograd.grad(layer(x, *arguments), inputs, cotangent)

    return run


def calls(rounds: int) -> list[tuple[str, float, float]]:
    """Name, ms of the plain call, ms with the plan."""
    rows = []
    hidden = FieldType(groups.SO2(), "16x0 + 16x1 + 16x2")
    for name, geom in (
        ("icosphere 5, one ring", geometry.icosphere(5, rings=1)),
        ("icosphere 5, three rings", geometry.icosphere(5, rings=3)),
    ):
        graph = geom.to_graph(torch.float32)
        for radial in (1, 4):
            conv, x = GaugeConv(hidden, hidden, radial=radial), torch.randn(graph.num_nodes, hidden.dim, requires_grad=True)
            times = interleaved({"plain": step(conv, x, graph), "plan": step(conv, x, graph, conv.plan(graph))}, rounds)
            rows.append((f"{name}, {radial} radial", 1e3 * times["plain"], 1e3 * times["plan"]))
    return rows


class Stopwatch:
    """Seconds spent in the plan methods of layers."""

    def __init__(self) -> None:
        self.seconds = 0.0
        for kind in (GaugeConv, GaugePool):
            kind.plan = self.timed(kind.plan)

    def timed(self, function):
        def run(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return run


def epochs(shapes: int, count: int = 3) -> list[tuple[int, float, float]]:
    """Number, seconds of an epoch, seconds of plans."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = EmbeddedShapes(records=folder)[:shapes]
        graphs = DataLoader(dataset, batch_size=10, shuffle=True)
        in_type = feature_type(dataset[0], "hks")
        net = MeshClassifier(in_type, dataset.num_classes)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        watch, rows = Stopwatch(), []
        batch = next(iter(graphs))
        net(batch.features("hks"), batch).sum().backward()  # compile the loops
        for graph in dataset._graphs.values():
            graph.plans.clear()
        for number in range(1, count + 1):
            watch.seconds, start = 0.0, time.perf_counter()
            for batch in graphs:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(batch.features("hks"), batch), batch.y).backward()
                optimizer.step()
            rows.append((number, time.perf_counter() - start, watch.seconds))
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shapes", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    lines = [
        "# What plans cost",
        "",
        f"`python -m benchmarks.plans --shapes {options.shapes} --threads {options.threads}`, forward and backward, float32.  ",
        f"{machine()}.",
        "",
        "| layer, 16 channels of orders 0 to 2 | plain call, ms | with plan=, ms | ratio |",
        "|---|---|---|---|",
        *(f"| {name} | {plain:.1f} | {plan:.1f} | {plain / plan:.2f} |" for name, plain, plan in calls(options.rounds)),
        "",
        f"MeshClassifier on {options.shapes} embedded shapes in batches of 10:",
        "",
        "| epoch | seconds | of that plans |",
        "|---|---|---|",
        *(f"| {n} | {whole:.1f} | {100 * plans / whole:.1f} % |" for n, whole, plans in epochs(options.shapes)),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
