"""The hot loop beside other ways to compute the same or the like, in one run.

    python benchmarks/run.py                    # everything but the largest sizes, one and two threads
    python benchmarks/run.py --sections layer   # the table of one layer alone
    python benchmarks/run.py --large            # up to a million nodes
    python benchmarks/run.py --device cuda --sections layer scaling --out benchmarks/results/hot_loop_gpu.md

Times are medians of interleaved runs of forward + backward, float32, SO(2) orders 0..2 with C copies each.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from baselines import DiffusionBlock, GemBackbone, GemConv, NaiveConv, disco_sphere, escnn_plane
from graphs import torus
from measure import interleaved, machine, peak_bytes

from gaugenet import FieldType, groups
from gaugenet.models import MeshClassifier
from gaugenet.nn import GaugeConv, PolynomialNonlinearity
from gaugenet.ops import LevelPlans

RESULTS = Path(__file__).resolve().parent / "results"
# (degree, channels, radial functions)
LAYERS = [(6, 16, 1), (30, 16, 1), (6, 64, 1), (30, 64, 1), (6, 16, 4), (30, 16, 4)]


def field(channels: int, order: int = 2) -> FieldType:
    return FieldType(groups.SO2(), " + ".join(f"{channels}x{k}" for k in range(order + 1)))


def step(function, x: torch.Tensor):
    """Forward and backward to features and weights."""

    def run() -> None:
        x.grad = None
        out = function(x)
        out.backward(out.detach())

    return run


def ours_and_gem(size: int, degree: int, channels: int, radial: int, device: str = "cpu"):
    """Both layers on one graph, as functions of x."""
    type, graph = field(channels), torus(size, degree)
    for name, value in vars(graph).items():
        setattr(graph, name, value.to(device))
    x = torch.randn(graph.radius.numel(), type.dim, device=device, requires_grad=True)
    conv = GaugeConv(type, type, radial=radial, quadrature=None).to(device)
    with torch.no_grad():
        plan = conv.plan(graph)
        rings = conv.radial(graph.log.norm(dim=1)) * graph.weight.unsqueeze(1)
    gem = GemConv(type, type, radial).to(device)
    theta, (source, target) = torch.atan2(graph.log[:, 1], graph.log[:, 0]), graph.edge_index
    return x, graph, conv, plan, lambda y: conv(y, graph, plan), lambda y: gem(y, source, target, theta, graph.turn, rings)


def layer(rounds: int, device: str, sizes=(10_000,)) -> list[dict]:
    rows = []
    for size in sizes:
        for degree, channels, radial in LAYERS:
            x, graph, conv, plan, ours, gem = ours_and_gem(size, degree, channels, radial, device)
            times = interleaved({"ours": step(ours, x), "gem": step(gem, x)}, rounds)
            memory = {name: peak_bytes(step(f, x)) for name, f in (("ours", ours), ("gem", gem))}
            floor = _floor(x, conv, plan, degree)
            row = {"nodes": x.shape[0], "degree": degree, "channels": channels, "radial": radial, "floor_ms": 1e3 * floor}
            row |= {f"{name}_ms": 1e3 * t for name, t in times.items()} | {f"{k}_mb": v / 1e6 for k, v in memory.items()}
            row |= {"ratio": times["gem"] / times["ours"], "memory_ratio": memory["gem"] / max(memory["ours"], 1)}
            rows.append(row)
            print(_line(row), flush=True)
            del x, graph, conv, plan, ours, gem
            gc.collect()
    return rows


def _floor(x: torch.Tensor, conv: GaugeConv, plan, degree: int) -> float:
    """Seconds: twice (forward, backward) the bytes of every edge's features and table at the speed of a copy, and the three
    matrix products of the mixing (output, features, weights) as plain torch products of the same shapes."""
    edges, table = plan.forward.source.numel(), plan.forward.table
    count = edges * (x.shape[1] + table.shape[1] + 5)  # floats read per edge: features, table, cos, sin, det, source
    buffer = torch.empty(min(count, 50_000_000), device=x.device)
    other = torch.empty_like(buffer)
    shapes = conv.layouts[0].shapes
    aggregates = [torch.randn(x.shape[0], rows, device=x.device) for rows, _ in shapes]
    matrices = [torch.randn(shape, device=x.device) for shape in shapes]
    outs = [a @ m for a, m in zip(aggregates, matrices)]

    def copy() -> None:
        other.copy_(buffer)

    def products() -> None:
        for a, m, o in zip(aggregates, matrices, outs):
            torch.mm(a, m, out=o)

    times = interleaved({"copy": copy, "products": products}, 5)
    # A copy reads and writes; the loop only reads.
    return 2 * times["copy"] * count / buffer.numel() / 2 + 3 * times["products"]


def others(rounds: int) -> list[dict]:
    """Per-edge kernels, a DiffusionNet block of the same width, and conv2d on a grid."""
    rows = []
    for channels in (16, 64):
        x, graph, conv, plan, ours, _ = ours_and_gem(10_000, 6, channels, 1)
        act = PolynomialNonlinearity(field(channels))
        functions = {"ours": step(ours, x)}
        if channels == 16:
            naive = NaiveConv(conv)
            functions["per-edge kernels"] = step(lambda y, n=naive, g=graph, p=plan: n(y, g, p.forward.table), x)
        functions["ours + nonlinearity"] = step(lambda y, o=ours, a=act: a(o(y)), x)
        nodes, width = x.shape
        block = DiffusionBlock(width)
        gradient = [torch.sparse_coo_tensor(graph.edge_index.flip(0), torch.randn(nodes * 6), (nodes, nodes)) for _ in "xy"]
        gradient = [g.coalesce().to_sparse_csr() for g in gradient]
        spectrum = torch.ones(nodes), torch.rand(128), torch.randn(nodes, 128)
        functions["DiffusionNet block"] = step(lambda y, b=block, s=spectrum, g=gradient: b(y, *s, *g), x)
        rows.append({"channels": channels, **{k: 1e3 * v for k, v in interleaved(functions, rounds).items()}})
        print(_line(rows[-1]), flush=True)
    side, channels = 100, 16
    x, graph, conv, plan, ours, _ = ours_and_gem(side * side, 24, channels, 1)
    offsets = torch.stack(torch.meshgrid(torch.arange(-2.0, 3), torch.arange(-2.0, 3), indexing="xy"), -1).reshape(-1, 2)
    image = torch.randn(1, x.shape[1], side, side, requires_grad=True)

    def plane(y: torch.Tensor) -> torch.Tensor:
        kernel = conv.kernel(offsets / 3.5).permute(1, 2, 0).reshape(x.shape[1], x.shape[1], 5, 5)
        return torch.nn.functional.conv2d(y, kernel, padding=2)

    functions = {"ours, 24 neighbours": step(ours, x), "conv2d 5 x 5": step(plane, image)}
    for name, other in (("escnn 5 x 5", escnn_plane(channels, side)), ("DISCO", disco_sphere(x.shape[1], side * side, 24))):
        if other is not None:
            functions[name] = step(*other)
    rows.append({"channels": channels, **{k: 1e3 * v for k, v in interleaved(functions, rounds).items()}})
    print(_line(rows[-1]), flush=True)
    return rows


def network(rounds: int) -> list[dict]:
    """A training step of a MeshClassifier, and of the same network on the published layer."""
    rows = []
    for size, degree in [(10_000, 6), (10_000, 18)]:
        graph = torus(size, degree)
        graph.num_levels, graph.level, graph.batch = 1, lambda k, g=graph: g, None
        in_type = FieldType(groups.SO2(), "16x0")
        net, gem = (MeshClassifier(in_type, 10, radial=2, quadrature=None) for _ in range(2))
        for stage in gem.stages:
            for block in stage:
                block.conv1, block.conv2 = GemBackbone(block.conv1), GemBackbone(block.conv2)
        graph.plans = LevelPlans()  # made in the first step, which is not timed
        x = torch.randn(graph.radius.numel(), 16)

        def train(model, x=x, graph=graph):
            def run() -> None:
                model.zero_grad()
                model(x, graph).square().sum().backward()

            return run

        times = interleaved({"ours": train(net), "gem": train(gem)}, rounds)
        rows.append({"nodes": size, "degree": degree, **{f"{k}_ms": 1e3 * v for k, v in times.items()}})
        rows[-1]["ratio"] = times["gem"] / times["ours"]
        print(_line(rows[-1]), flush=True)
    return rows


def scaling(rounds: int, large: bool, device: str) -> list[dict]:
    rows = []
    for degree in (6, 12, 30):
        for size in [1_000, 3_000, 10_000, 30_000, 100_000, *([300_000, 1_000_000] if large else [])]:
            x, graph, conv, plan, ours, _ = ours_and_gem(size, degree, 16, 1, device)
            seconds = interleaved({"ours": step(ours, x)}, rounds)["ours"]
            memory = peak_bytes(step(ours, x)) / 1e6
            rows.append({"nodes": x.shape[0], "degree": degree, "ms": 1e3 * seconds, "us_per_node": 1e6 * seconds / x.shape[0]})
            rows[-1]["peak_mb"] = memory
            print(_line(rows[-1]), flush=True)
            del x, graph, conv, plan, ours
            gc.collect()
    return rows


def first_call() -> list[dict]:
    """Seconds of the first forward + backward of a fresh process with a warm cache, after the imports of torch and PyG."""
    code = (
        "import time, torch, torch_geometric; t = time.perf_counter()\n"
        "from gaugenet.nn import GaugeConv\n"
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from run import ours_and_gem, step\n"
        "x, *_, ours, gem = ours_and_gem(1000, 6, 16, 1); step(ours, x)(); print(time.perf_counter() - t)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    seconds = min(float(run.stdout) for run in runs[1:])
    print(f"first call {seconds:.2f} s", flush=True)
    return [{"first_call_s": seconds}]


def million() -> list[dict]:
    """Peak resident memory of a whole process, in GB: the plan of a million nodes of degree 30, then forward + backward."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import gc, torch; from run import field; from graphs import torus; from measure import peak_bytes, resident_bytes\n"
        "from gaugenet.nn import GaugeConv\n"
        "graph, type = torus(1_000_000, 30), field(16)\n"
        "conv = GaugeConv(type, type, radial=1, quadrature=None)\n"
        "def plan():\n    global p\n    with torch.no_grad(): p = conv.plan(graph)\n"
        "def step():\n    out = conv(x, graph, p); out.backward(out.detach())\n"
        "base = resident_bytes(); print(base + peak_bytes(plan))\n"
        "x = torch.randn(1_000_000, type.dim, requires_grad=True); gc.collect()\n"
        "base = resident_bytes(); print(base + peak_bytes(step))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = [{"1M nodes, degree 30, 16 channels": "process peak, GB"}]
    rows[0] |= dict(zip(("plan", "forward + backward"), (int(line) / 1e9 for line in run.stdout.split())))
    print(_line(rows[0]), flush=True)
    return rows


def _line(row: dict) -> str:
    return "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())


def markdown(name: str, rows: list[dict]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[f"{row[k]:.4g}" if isinstance(row.get(k), float) else str(row.get(k, "")) for k in keys] for row in rows]
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys), *("| " + " | ".join(c) + " |" for c in cells)]
    return f"## {name}\n\n" + "\n".join(lines) + "\n"


def draw(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    for degree in sorted({row["degree"] for row in rows}):
        points = [(row["nodes"], row["ms"]) for row in rows if row["degree"] == degree]
        axes.loglog(*zip(*points), marker="o", markersize=4, label=f"degree {degree}")
    axes.set(xlabel="nodes", ylabel="forward + backward (ms)", title="GaugeConv, orders 0..2, 16 channels, one radial function")
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    sections = ["layer", "others", "network", "scaling", "first_call", "million"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", choices=sections, default=sections)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="scaling up to a million nodes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "hot_loop.md")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    parts, data, start = (
        [f"# The hot loop\n\n`{' '.join(['python benchmarks/run.py', *sys.argv[1:]])}`, {machine()}.\n"],
        {},
        time.perf_counter(),
    )
    for threads in args.threads:
        torch.set_num_threads(threads)
        for name in args.sections:
            if name in ("first_call", "scaling", "million") and threads != args.threads[-1]:
                continue
            if name == "million" and not args.large:
                continue
            print(f"-- {name}, {threads} threads", flush=True)
            rows = {
                "layer": lambda: layer(args.rounds, args.device),
                "others": lambda: others(args.rounds),
                "network": lambda: network(args.rounds),
                "scaling": lambda: scaling(max(3, args.rounds // 2), args.large, args.device),
                "first_call": first_call,
                "million": million,
            }[name]()
            data[f"{name}, {threads} threads"] = rows
            parts.append(markdown(f"{name}, {threads} threads", rows))
            if name == "scaling":
                draw(rows, args.out.with_suffix(".png"))
                parts.append(f"![scaling]({args.out.with_suffix('.png').name})\n")
            # After every section: a run that is stopped keeps what it has.
            args.out.write_text("\n".join(parts), encoding="utf-8")
            args.out.with_suffix(".json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    print(f"{args.out}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
