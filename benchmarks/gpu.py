"""The loops on a GPU: whether they are right, what they cost, and which settings are best.

    python -m benchmarks.gpu [--out benchmarks/results/gpu.md] [--minutes 8]

Every step has a budget of time, leaves out what it does not reach, and writes its result (.md and .json) as soon as it ends,
so that a run that is cut short keeps what it has. Without a GPU the script says so and ends with status 2. To try the script
itself there is ``TRITON_INTERPRET=1 python -m benchmarks.gpu --device cpu --sizes 64 100``.

Layers are SO(2), orders 0..2 with C channels each, on a torus; a step is forward + backward; times are medians in ms.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor

from gaugenet import FieldType, groups
from gaugenet.models import MeshClassifier
from gaugenet.nn import GaugeConv
from gaugenet.ops import Carrier, EdgePlan, LevelPlans, carry_sum, make_sum_plan

from .baselines import GemConv
from .graphs import torus
from .measure import machine, peak_bytes

LOOPS = ("cuda", "cuda-on-chip")
PRECISIONS = ("float32", "tf32", "bfloat16")


class Step:
    """A step of the run: its rows, and the moment when its time is over."""

    def __init__(self, options: argparse.Namespace, seconds: float) -> None:
        self.device, (self.small, self.large) = torch.device(options.device), options.sizes
        self.rows: list[dict] = []
        self.end = time.perf_counter() + seconds

    @property
    def over(self) -> bool:
        """Whether the time is over; every step makes a row at least."""
        return bool(self.rows) and time.perf_counter() > self.end

    def add(self, **row) -> None:
        self.rows.append(row)
        print("   " + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)

    def milliseconds(self, function: Callable[[], object], rounds: int = 7) -> float:
        """Median of a function's time, after one call that compiles; fewer rounds where the step's time is over."""
        function()
        seconds: list[float] = []
        while len(seconds) < rounds and (not seconds or time.perf_counter() < self.end):
            self.finish()
            start = time.perf_counter()
            function()
            self.finish()
            seconds.append(time.perf_counter() - start)
        return 1e3 * statistics.median(seconds)

    def finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def layers(self, size: int, degrees, channels, radials, precisions=PRECISIONS) -> Iterator[tuple[dict, Callable, Tensor]]:
        """(setting, conv as a function of the features and a loop, features) for every setting until the time is over."""
        for degree in degrees:
            graph = on_device(torus(size, degree), self.device)
            for count in channels:
                for radial in radials:
                    type = field(count)
                    conv = GaugeConv(type, type, radial=radial, quadrature=None).to(self.device)
                    with torch.no_grad():
                        plan = conv.plan(graph)
                    for name in precisions:
                        if self.over:
                            return
                        dtype = torch.bfloat16 if name == "bfloat16" else torch.float32

                        x = torch.randn(graph.radius.numel(), type.dim, device=self.device, dtype=dtype, requires_grad=True)
                        setting = {"nodes": len(x), "degree": degree, "channels": count, "radial": radial, "precision": name}
                        with matmul_precision(name):
                            yield setting, partial(on_loop, conv.to(dtype), graph, plan), x
                    conv.float()
                    del plan
                    gc.collect()


def field(channels: int) -> FieldType:
    return FieldType(groups.SO2(), " + ".join(f"{channels}x{k}" for k in range(3)))


def on_loop(conv: GaugeConv, graph: SimpleNamespace, plan: EdgePlan, x: Tensor, loop: str) -> Tensor:
    conv.backend = loop
    return conv(x, graph, plan)


def on_device(graph: SimpleNamespace, device: torch.device) -> SimpleNamespace:
    return SimpleNamespace(**{name: value.to(device) for name, value in vars(graph).items()})


@contextmanager
def matmul_precision(name: str):
    """Products of float32 matrices in TF32 where that is asked for."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def environment(**values: str):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def train(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    def run() -> None:
        x.grad = None
        out = function(x)
        out.backward(out.detach())

    return run


def results(conv: GaugeConv, dtype: torch.dtype, graph, plan: EdgePlan, features: Tensor, upstream: Tensor) -> list[Tensor]:
    """Values, and gradients to the features and to the weight."""
    x = features.to(dtype).requires_grad_()
    out = conv.to(dtype)(x, graph, plan)
    return [out.detach(), *torch.autograd.grad((out * upstream.to(dtype)).sum(), [x, conv.weight])]


def correctness(step: Step) -> None:
    """Relative errors of the loops against plain torch in float64: values, gradients to features and to weights."""
    kinds = {
        "SO(2) irreps": (groups.SO2(), "16x0 + 16x1 + 16x2"),
        "65 channels": (groups.SO2(), "65x0 + 65x1"),
        "O(2) irreps": (groups.O2(), "8x0 + 8x0- + 8x1"),
        "C4 regular": (groups.Cyclic(4), "8xregular"),
    }
    graph = on_device(torus(step.small, 6), step.device)
    for name, value in vars(graph).items():
        setattr(graph, name, value.double() if value.is_floating_point() else value)
    for name, (group, text) in kinds.items():
        graph.transport = group.sample(graph.transport.shape[0]).to(graph.log)
        type = FieldType(group, text)
        exact = GaugeConv(type, type, quadrature=None, backend="reference").to(step.device).double()
        plan = exact.plan(graph)
        features, upstream = torch.randn(2, graph.radius.numel(), type.dim, device=step.device, dtype=torch.float64)

        given = graph, plan, features, upstream
        wanted = results(exact, torch.float64, *given)
        for loop in LOOPS:
            for dtype in (torch.float64, torch.float32, torch.bfloat16):
                if step.over or (loop == "cuda-on-chip" and (dtype == torch.float64 or "regular" in text)):
                    continue
                exact.backend = loop
                errors = [((r - w).norm() / w.norm()).item() for r, w in zip(results(exact, dtype, *given), wanted)]
                bound = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
                row = dict(zip(("values", "to features", "to weights"), errors))
                step.add(fields=name, loop=loop, dtype=str(dtype), **row, right=max(errors) <= bound)
            exact.double()


def timings(step: Step, size: int, degrees=(6, 30), channels=(16, 64), radials=(1, 2, 4)) -> None:
    """Both loops, forward and forward + backward."""
    for setting, apply, x in step.layers(size, degrees, channels, radials):
        for loop in LOOPS:
            if step.over:
                break
            try:
                forward = step.milliseconds(torch.no_grad()(partial(apply, x, loop)))
                both = step.milliseconds(train(partial(apply, loop=loop), x))
            except torch.OutOfMemoryError:
                forward = both = float("nan")
            step.add(**setting, loop=loop, forward_ms=forward, step_ms=both)


def _last_arguments(function: Callable, arguments: tuple, x: Tensor) -> Tensor:
    return function(x, *arguments)


def published(step: Step) -> None:
    """Beside the algorithm of the published layer and plain torch."""
    for degree in (6, 30):
        for channels in (16, 64):
            if step.over:
                return
            graph, type = on_device(torus(step.small, degree), step.device), field(channels)
            conv, gem = GaugeConv(type, type, radial=1, quadrature=None), GemConv(type, type, 1)
            conv, gem = conv.to(step.device), gem.to(step.device)
            with torch.no_grad():
                plan = conv.plan(graph)
                rings = conv.radial(graph.log.norm(dim=1)) * graph.weight.unsqueeze(1)
            theta, (source, target) = torch.atan2(graph.log[:, 1], graph.log[:, 0]), graph.edge_index
            x = torch.randn(graph.radius.numel(), type.dim, device=step.device, requires_grad=True)
            ours, edges = partial(on_loop, conv, graph, plan), (source, target, theta, graph.turn, rings)
            row = {loop: step.milliseconds(train(partial(ours, loop=loop), x)) for loop in ("cuda", "reference")}
            row["published"] = step.milliseconds(train(partial(_last_arguments, gem, edges), x))
            step.add(degree=degree, channels=channels, **{f"{k}_ms": v for k, v in row.items()})


def chunks(step: Step) -> None:
    """Bytes of the sums that are held at a time."""
    for setting, apply, x in step.layers(step.large, (30,), (64,), (2,), ("float32",)):
        for power in (25, 27, 29, 31, 33):
            if not step.over:
                with environment(GAUGENET_CHUNK_BYTES=str(1 << power)):
                    both = step.milliseconds(train(partial(apply, loop="cuda"), x), 3)
                step.add(**setting, chunk_mb=(1 << power) >> 20, step_ms=both)


def autotuning(step: Step) -> None:
    """The number of warps by rule, and by trial (GAUGENET_AUTOTUNE=1)."""
    for setting, apply, x in step.layers(step.small, (30,), (16, 64), (1, 2, 4), ("float32",)):
        row = {}
        for name, value in (("rule_ms", "0"), ("trial_ms", "1")):
            with environment(GAUGENET_AUTOTUNE=value):
                row[name] = step.milliseconds(train(partial(apply, loop="cuda"), x))
        step.add(**setting, **row)


def profile(step: Step) -> None:
    """What a step is made of: launches and time of every kernel, copies between host and device, waits."""
    from torch.profiler import ProfilerActivity

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if step.device.type == "cuda" else [])]
    for size in (step.small, step.large):
        for setting, apply, x in step.layers(size, (30,), (64,), (2,), ("float32",)):
            run = train(partial(apply, loop="cuda"), x)
            run()
            step.finish()
            with torch.profiler.profile(activities=activities) as trace:
                run()
                step.finish()
            for event in sorted(trace.key_averages(), key=lambda e: -e.self_device_time_total)[:14]:
                milliseconds = event.self_device_time_total / 1e3
                host = event.self_cpu_time_total / 1e3
                step.add(nodes=setting["nodes"], event=event.key[:60], count=event.count, device_ms=milliseconds, host_ms=host)


def memory(step: Step) -> None:
    """Growth of the allocated memory in a step, MB; that of the features is theirs alone."""
    for size in (step.small, step.large):
        for setting, apply, x in step.layers(size, (30,), (64,), (1, 4), ("float32", "bfloat16")):
            for loop in LOOPS:
                peak = peak_bytes(train(partial(apply, loop=loop), x)) / 1e6
                step.add(**setting, loop=loop, peak_mb=peak, features_mb=x.numel() * x.itemsize / 1e6)


def pooling(step: Step) -> None:
    """Sums over clusters of four nodes: the kernel without atomic additions, and plain torch."""
    for size in (step.small, step.large):
        if step.over:
            return
        group, type = groups.SO2(), field(64)
        cluster = torch.arange(size, device=step.device) // 4
        turn = group.sample(size).float().to(step.device)
        ends, sizes = (torch.arange(size, device=step.device), cluster), (size, int(cluster[-1]) + 1)
        plan = make_sum_plan(*ends, turn, torch.full_like(turn[:, 0, 0], 0.25), sizes, group)
        carrier, x = Carrier.of(type), torch.randn(size, type.dim, device=step.device, requires_grad=True)
        row = {}
        for loop in ("cuda", "reference"):
            with environment(GAUGENET_BACKEND=loop):
                row[f"{loop}_ms"] = step.milliseconds(train(partial(_last_arguments, carry_sum, (carrier, plan)), x))
        step.add(nodes=size, channels=64, **row)


def network(step: Step) -> None:
    """A training step of a MeshClassifier."""
    for degree in (6, 18):
        if step.over:
            return
        graph = on_device(torus(step.small, degree), step.device)
        graph.num_levels, graph.level, graph.batch, graph.plans = 1, lambda k, g=graph: g, None, LevelPlans()
        net = MeshClassifier(FieldType(groups.SO2(), "16x0"), 10, radial=2, quadrature=None).to(step.device)
        x = torch.randn(graph.radius.numel(), 16, device=step.device)
        run = train(partial(_last_arguments, net, (graph,)), x.requires_grad_())
        with environment(GAUGENET_BACKEND="cuda"):
            step.add(nodes=len(x), degree=degree, step_ms=step.milliseconds(run))


# Name, part of the whole time, function.
STEPS: list[tuple[str, float, Callable[[Step], None]]] = [
    ("correctness", 0.12, correctness),
    ("timings, small", 0.16, lambda step: timings(step, step.small)),
    ("timings, large", 0.30, lambda step: timings(step, step.large, (30,), (64,))),
    ("published layer", 0.07, published),
    ("profile", 0.07, profile),
    ("chunk sizes", 0.08, chunks),
    ("memory", 0.07, memory),
    ("pooling", 0.04, pooling),
    ("network", 0.04, network),
    ("autotuning", 0.05, autotuning),
]


def table(rows: list[dict]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[f"{row[k]:.4g}" if isinstance(row.get(k), float) else str(row.get(k, "")) for k in keys] for row in rows]
    return "\n".join(["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys), *("| " + " | ".join(c) + " |" for c in cells)])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "results" / "gpu.md")
    parser.add_argument("--minutes", type=float, default=7.5, help="of the whole run")
    parser.add_argument("--sizes", type=int, nargs=2, default=[10_000, 1_000_000], help="nodes, small and large")
    parser.add_argument("--steps", nargs="+", choices=[name for name, *_ in STEPS], default=[name for name, *_ in STEPS])
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args(arguments)
    interpreted = options.device == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    if not interpreted and not (options.device.startswith("cuda") and torch.cuda.is_available()):
        print(f"benchmarks.gpu expected a CUDA device, and torch {torch.__version__} finds none here", file=sys.stderr)
        return 2
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    parts, data = [f"# The loops on a GPU\n\n`python -m benchmarks.gpu`, {machine()}.\n"], {}
    left, start = sum(share for name, share, _ in STEPS if name in options.steps), time.perf_counter()
    for name, share, function in STEPS:
        if name not in options.steps:
            continue
        # What a step does not use, the later ones may.
        begin, rest = time.perf_counter(), 60 * options.minutes - (time.perf_counter() - start)
        step = Step(options, rest * share / left)
        left -= share
        print(f"-- {name}, at most {step.end - begin:.0f} s", flush=True)
        note = ""
        try:
            function(step)
        except Exception:  # the other steps still run
            note = f"\n```\n{traceback.format_exc()}```\n"
            print(note, file=sys.stderr, flush=True)
        seconds = time.perf_counter() - begin
        note += "\nThe time was over before the end.\n" if step.over else ""
        data[name] = {"seconds": seconds, "rows": step.rows, "note": note}
        text = (function.__doc__ or "").split("\n")[0]
        parts.append(f"## {name}\n\n{text} {seconds:.0f} s.\n\n{table(step.rows) if step.rows else ''}\n{note}")
        options.out.write_text("\n".join(parts), encoding="utf-8")
        options.out.with_suffix(".json").write_text(json.dumps(data, indent=1), encoding="utf-8")
        gc.collect()
        if options.device.startswith("cuda"):
            torch.cuda.empty_cache()
    print(f"{options.out}, {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
