"""Cost of the complete kernels on the icosahedron, beside the floor, conv2d on charts, and the SO(2) layer.

    python -m benchmarks.lattice [--level 5] [--channels 96] [--rounds 7] [--threads 1] [--output benchmarks/results/lattice.md]

One step is a forward and a backward pass (gradients to the features and to the weights) in float32, all in turn in every round.
The floor gathers the neighbours of all nodes as they are (no transport, no corners) into one array and multiplies; its backward
pass gathers the gradients and multiplies twice. conv2d runs the 3 x 3 kernels on five charts that are already padded, and
leaves the padding, the expansion of the kernel and the corners out: less than any layer on charts has to do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from gaugenet import FieldType, geometry, groups
from gaugenet.nn import GaugeConv, LatticeConv

from .measure import interleaved, machine, peak_bytes


def step(layer: torch.nn.Module, x: torch.Tensor, *arguments) -> Callable[[], None]:
    inputs, cotangent = [x, *layer.parameters()], torch.randn(x.shape[0], layer.out_type.dim)

    def run() -> None:
        torch.autograd.grad(layer(x, *arguments), inputs, cotangent)

    return run


def floor(x: torch.Tensor, plan, taps: int, width: int) -> Callable[[], None]:
    nodes = x.shape[0]
    forth, back = (_neighbours(edges, taps) for edges in (plan.forward, plan.backward))
    weight, grad = torch.randn(taps * x.shape[1], width), torch.randn(nodes, width)
    transposed = weight.view(taps, -1, width).transpose(1, 2).reshape(taps * width, -1).contiguous()
    x = x.detach()

    def run() -> None:
        x.index_select(0, forth).view(nodes, -1) @ weight
        rows = grad.index_select(0, back).view(nodes, -1)
        rows @ transposed
        rows.t() @ x

    return run


def _neighbours(edges, taps: int) -> torch.Tensor:
    """The node at every tap of every node, (N T,); node 0 where there is none."""
    nodes = edges.rowptr.numel() - 1
    target = torch.repeat_interleave(torch.arange(nodes), edges.rowptr.diff())
    place = torch.zeros(nodes, taps, dtype=torch.int64)
    place[target, edges.column] = edges.source.long()
    return place.flatten()


def charts(level: int, width_in: int, width_out: int) -> Callable[[], None]:
    side = 2**level
    x = torch.randn(1, width_in, 5 * (side + 2), 2 * side + 2).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    weight = torch.randn(width_out, width_in, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    cotangent = torch.randn_like(torch.nn.functional.conv2d(x, weight).detach())

    def run() -> None:
        torch.autograd.grad(torch.nn.functional.conv2d(x, weight), [x, weight], cotangent)

    return run


def measure(level: int, channels: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Name -> (seconds, peak MB)."""
    geom = geometry.icosahedron(level)
    graph, copies = geom.to_graph().float(), channels // 6
    regular = FieldType(groups.Cyclic(6), f"{copies}xregular")
    irreps = FieldType(groups.SO2(), f"{channels // 3}x0 + {channels // 3}x1")
    x = torch.randn(graph.num_nodes, channels, requires_grad=True)
    lattice = LatticeConv(regular, regular)
    plan = lattice.plan(graph)
    steps = {
        "gather + product (floor)": floor(x, plan, len(lattice.taps), channels),
        "LatticeConv, C_6 regular": step(lattice, x, graph, plan),
        "LatticeConv, C_6 irreps": None,
        "conv2d on padded charts": charts(level, channels, channels),
    }
    mixed = LatticeConv(*[FieldType(groups.Cyclic(6), f"{copies}x0 + {copies}x1 + {copies}x2 + {copies}x3")] * 2)
    steps["LatticeConv, C_6 irreps"] = step(mixed, x, graph, plan)
    ball = geometry.icosphere(level, rings=1).to_graph().float()
    wide = geometry.icosphere(level).to_graph().float()
    for name, on, options in (
        ("GaugeConv, SO(2), one ring, 1 radial function", ball, {"radial": 1}),
        ("GaugeConv, SO(2), one ring, 4 radial functions", ball, {"radial": 4}),
        ("GaugeConv, SO(2), default radius, 4 radial functions", wide, {"radial": 4}),
    ):
        conv = GaugeConv(irreps, irreps, **options)
        steps[name] = step(conv, x, on, conv.plan(on))
    seconds = interleaved(steps, rounds)
    return {name: (seconds[name], peak_bytes(run) / 1e6) for name, run in steps.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--level", type=int, default=5)
    parser.add_argument("--channels", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    results = measure(options.level, options.channels, options.rounds)
    least = next(iter(results.values()))[0]
    nodes = 10 * 4**options.level + 2
    lines = [
        "# Convolution on the icosahedron",
        "",
        f"`python -m benchmarks.lattice --level {options.level} --channels {options.channels} --threads {options.threads}`: "
        f"{nodes:,} points, {options.channels} -> {options.channels} channels, forward and backward, float32, "
        f"threads: {options.threads}.  ",
        f"{machine()}.",
        "",
        "| step | ms | of the floor | peak MB |",
        "|---|---|---|---|",
    ]
    for name, (seconds, peak) in results.items():
        lines.append(f"| {name} | {1e3 * seconds:.1f} | {seconds / least:.2f} | {peak:.0f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
