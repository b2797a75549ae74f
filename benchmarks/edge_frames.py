"""The convolution of space in frames along the edges (EdgeFrameConv) beside that by harmonics (GaugeConv), by degree.

    python benchmarks/edge_frames.py            # one thread, processor time

The same graph, weights and numbers; forward + backward to features and weights. Writes benchmarks/results/edge_frames.md.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from measure import interleaved, machine, peak_bytes

from gaugenet import FieldType, geometry, groups
from gaugenet.nn import EdgeFrameConv, GaugeConv

NODES, DEGREE = 500, 16
# Largest degree, copies, radial functions; plans and bases of degree 6 take a minute to make.
CASES = ((2, 8, 1), (3, 8, 1), (4, 8, 1), (6, 8, 1), (2, 8, 4), (3, 8, 4), (4, 8, 4))


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    graph = geometry.points(torch.randn(NODES, 3).numpy(), neighbours=DEGREE).to_graph(torch.float32)
    lines = [
        machine(),
        "",
        f"{NODES:,} points, {graph.edge_index.shape[1]:,} edges, degrees 0..L of SO(3), forward + backward, ms of processor",
        "time on one thread, medians of interleaved rounds, and MB that the process grows by in a step.",
        "",
        "| L | copies | radial functions | GaugeConv | EdgeFrameConv | ratio | MB | MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for degree, copies, radial in CASES:
        type = FieldType(groups.SO3(), " + ".join(f"{copies}x{l}" for l in range(degree + 1)))
        layers = {"harmonics": GaugeConv(type, type, radial, quadrature=None), "frames": EdgeFrameConv(type, type, radial)}
        x = type.randn(NODES).requires_grad_()

        def step(layer: torch.nn.Module, x: torch.Tensor = x):
            return lambda: layer(x, graph).square().sum().backward()

        steps = {name: step(layer) for name, layer in layers.items()}
        times = interleaved(steps, 3, time.process_time)
        memory = [peak_bytes(run) / 1e6 for run in steps.values()]
        first, second = (1e3 * t for t in times.values())
        row = f"| {degree} | {copies} | {radial} | {first:.0f} | {second:.0f} | {first / second:.2f} "
        lines.append(f"{row}| {memory[0]:.0f} | {memory[1]:.0f} |")
        print(lines[-1], flush=True)
    (Path(__file__).parent / "results" / "edge_frames.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
