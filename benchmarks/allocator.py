"""A training step with the memory allocator of glibc as it is, and told to keep what is freed. Writes allocator.md.

    python -m benchmarks.allocator [--level 5] [--steps 8] [--rounds 3]

Linux only. A step on a large mesh makes arrays of many megabytes and frees them again. By default glibc asks the system for
each, gives it back, and the system clears every page anew. Each case runs in a process of its own, on one thread, the two
settings in turn in every round; processor time of a step (forward, backward, Adam), and pages that the system handed out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine
from gaugenet import FieldType, geometry, groups
from gaugenet.models import DiffusionNet, MeshUNet

OUT = Path(__file__).parent / "results" / "allocator.md"
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "20000000000", "MALLOC_TOP_PAD_": "500000000"}
SO2 = groups.SO2()


def unet(channels: int, order: int) -> nn.Module:
    return MeshUNet(FieldType(SO2, "16x0"), FieldType(SO2, "64x0"), channels=channels, order=order, blocks=(1, 1, 1))


CASES = {
    "MeshUNet, 16 channels of orders 0 to 2": lambda: unet(16, 2),
    "MeshUNet, 32 channels of orders 0 to 2": lambda: unet(32, 2),
    "MeshUNet, 64 channels of order 0": lambda: unet(64, 0),
    "DiffusionNet, width 128": lambda: DiffusionNet(16, 64, width=128),
}


def measure(name: str, level: int, steps: int) -> dict[str, float]:
    """Seconds of processor time and thousands of pages of a step, in this process."""
    torch.manual_seed(0)
    net, graph = CASES[name](), geometry.icosphere(level, rings=2, levels=2).to_graph().float()
    x, optimiser = torch.randn(graph.num_nodes, 16), torch.optim.Adam(net.parameters())

    def step() -> Tensor:
        optimiser.zero_grad()
        loss = net(x, graph).square().mean()
        loss.backward()
        optimiser.step()
        return loss

    for _ in range(2):  # makes plans, compiles
        step()
    start, pages = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        step()
    more = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - pages
    return {"seconds": (time.process_time() - start) / steps, "pages": more / 1000 / steps}


def in_a_process(name: str, level: int, steps: int, more: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.allocator", "--case", name, "--level", str(level), "--steps", str(steps)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    return json.loads(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", help="measure this one, in this process")
    parser.add_argument("--level", type=int, default=5, help="of the icosphere")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.case:
        print(json.dumps(measure(args.case, args.level, args.steps)))
        return
    command = f"python -m benchmarks.allocator --level {args.level} --steps {args.steps} --rounds {args.rounds}"
    lines = [
        "# The memory allocator",
        "",
        f"`{command}`, one thread, float32.  ",
        f"{machine()}.",
        "",
        "| training step | as it is, ms | kept, ms | ratio | pages, thousands | kept |",
        "|---|---|---|---|---|---|",
    ]
    for name in CASES:
        runs = [[in_a_process(name, args.level, args.steps, env) for env in ({}, KEEP)] for _ in range(args.rounds)]
        plain, kept = (
            {key: statistics.median(run[way][key] for run in runs) for key in ("seconds", "pages")} for way in range(2)
        )
        times = [1000 * of["seconds"] for of in (plain, kept)]
        ratio = statistics.median(run[0]["seconds"] / run[1]["seconds"] for run in runs)
        lines.append(f"| {name} | {times[0]:.0f} | {times[1]:.0f} | {ratio:.2f} | {plain['pages']:.0f} | {kept['pages']:.1f} |")
        print(lines[-1], flush=True)
    OUT.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
