"""Regular fields on voxels beside conv3d with as many channels: what equivariance costs in a training step.

    python -m benchmarks.volumes            # one thread, processor time

3 x 3 x 3 kernels between regular fields, forward + backward to volumes and weights; the rest of a step, of both layers, is not
there. Ours has the weights of one conv3d over the order of the group and makes its filters from them at every step. Writes
benchmarks/results/volumes.md.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from benchmarks.measure import interleaved, machine, peak_bytes
from gaugenet import FieldType, groups
from gaugenet.nn import GridConv

OUT = Path(__file__).parent / "results" / "volumes.md"
#: group, copies of its regular representation, volumes of a batch, voxels along an edge
CASES = [
    (groups.Klein(), 4, 8, 16),
    (groups.Tetrahedral(), 2, 8, 16),
    (groups.Octahedral(), 1, 8, 16),
    (groups.Octahedral(), 2, 4, 16),
    (groups.FullOctahedral(), 1, 4, 16),
    (groups.point_group("D4h"), 2, 4, 16),
    (groups.Octahedral(), 1, 1, 8),
]


def steps(group: groups.Group, copies: int, batch: int, edge: int) -> tuple[dict, int]:
    """A step of both layers, and their channels."""
    type = FieldType(group, f"{copies}xregular")
    layers = {"ours": GridConv(type, type, 3, padding=1), "conv3d": nn.Conv3d(type.dim, type.dim, 3, padding=1)}
    x = torch.randn(batch, type.dim, edge, edge, edge, requires_grad=True)
    return {name: lambda layer=layer: layer(x).square().sum().backward() for name, layer in layers.items()}, type.dim


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = [
        "# Regular fields on voxels beside conv3d",
        "",
        f"`python -m benchmarks.volumes`, {machine()}. 3 x 3 x 3 kernels, as many",
        "channels, forward + backward, float32, ms of processor time on one thread, medians of interleaved rounds, and MB that",
        "the process grows by in a step.",
        "",
        "| group | channels | batch | ours, ms | conv3d, ms | ratio | MB | MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for group, copies, batch, edge in CASES:
        made, channels = steps(group, copies, batch, edge)
        ms = {name: 1e3 * t for name, t in interleaved(made, 5, time.process_time).items()}
        grown = [f"{peak_bytes(step) / 1e6:.0f}" for step in made.values()]
        times = [*(f"{t:.1f}" for t in ms.values()), f"{ms['ours'] / ms['conv3d']:.2f}"]
        lines.append(f"| {' | '.join([repr(group), str(channels), f'{batch} x {edge}^3', *times, *grown])} |")
        print(lines[-1], flush=True)
    OUT.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
