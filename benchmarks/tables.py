"""What the moment-matched table costs, compiled and in plain torch, beside the layer that it serves.

    python -m benchmarks.tables [--rounds 5] [--nside 64] [--threads 1] [--output benchmarks/results/tables.md]

CPU time on one thread, wall time on more. The layer has 16 channels of orders 0 to 2, float32, forward and backward.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch_geometric.data import Batch

from gaugenet import FieldType, geometry, groups
from gaugenet.kernels.quadrature import builder
from gaugenet.nn import GaugeConv

from .measure import interleaved, machine
from .plans import step


def ellipsoid(seed: int, size: int = 250):
    """Random points on an ellipsoid, triangulated."""
    points = np.random.default_rng(seed).normal(size=(size, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    faces = ConvexHull(points).simplices
    inward = (np.linalg.det(points[faces]) < 0)[:, None]
    return points * [1, 0.8, 0.6], np.where(inward, faces[:, ::-1], faces)


def plain_table(conv: GaugeConv, graph):
    """The table in plain torch."""
    compiled, builder.supported = builder.supported, lambda *_: False
    try:
        conv.table(graph)
    finally:
        builder.supported = compiled


def rows(nside: int, rounds: int, clock):
    hidden = FieldType(groups.SO2(), "16x0 + 16x1 + 16x2")
    batch = Batch.from_data_list([geometry.mesh(*ellipsoid(seed)).to_graph(torch.float32) for seed in range(10)])
    sphere = geometry.healpix(nside).to_graph(torch.float32)
    for name, graph, count in (("ten meshes of 250 vertices", batch, rounds), (f"HEALPix {nside}", sphere, 1)):
        for radial in (4, 2):
            conv, x = (
                GaugeConv(hidden, hidden, radial=radial),
                torch.randn(graph.radius.shape[0], hidden.dim, requires_grad=True),
            )
            table = conv.table(graph)
            functions = {
                "layer": step(conv, x, graph, conv.plan(graph, table)),
                "table": lambda conv=conv, graph=graph: conv.table(graph),
                "plain": lambda conv=conv, graph=graph: plain_table(conv, graph),
                "plan": lambda conv=conv, graph=graph, table=table: conv.plan(graph, table),
            }
            yield f"{name}, {radial} radial", interleaved(functions, count, clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nside", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    lines = [
        "# What the moment-matched table costs",
        "",
        f"`python -m benchmarks.tables --nside {options.nside} --threads {options.threads}`, ms.  ",
        f"{machine()}.",
        "",
        "| graph, layer | layer, forward + backward | table, plain torch | table, compiled | of the layer | rest of the plan |",
        "|---|---|---|---|---|---|",
    ]
    for name, t in rows(options.nside, options.rounds, clock):
        layer, table, plain, plan = (1e3 * t[key] for key in ("layer", "table", "plain", "plan"))
        lines.append(f"| {name} | {layer:.1f} | {plain:.0f} | {table:.1f} | {table / layer:.2f} | {plan:.1f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
