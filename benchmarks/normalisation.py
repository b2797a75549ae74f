"""Which normalisation, nonlinearity, and how many radial functions, serve small data.

    python benchmarks/normalisation.py                       # writes benchmarks/results/normalisation.md
    python benchmarks/normalisation.py --what nonlinearity   # writes benchmarks/results/nonlinearity_training.md
    python benchmarks/normalisation.py [--what norm radial] [--tasks shapes digits parts wind] [--seeds 3]

Four small tasks, each with held-out data: the class of the embedded shapes (10 of each class to train on), digits on the
sphere, parts of the Princeton meshes of one category (8 meshes to train on), and the wind on the globe. Networks are small,
without dropout, and differ in one option at a time; the seed sets weights and batches. After a training of 10 steps, and after
one of 60 to 160, the held-out data are answered in training mode, where batch norms use the statistics of the batch, and in
evaluation mode.
Nothing is chosen on them but the options that are compared. A run that is in OUT/runs.json is not repeated.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.loader import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine
from gaugenet import FieldType, geometry, groups
from gaugenet.data import (
    EmbeddedShapes,
    FeatureScaler,
    GeopotentialWind,
    Princeton,
    SphericalDigits,
    StaticGraph,
    feature_type,
)
from gaugenet.geometry import ProcessParams, process_one
from gaugenet.models import MeshClassifier, MeshUNet, SphericalCNN, SphericalUNet
from gaugenet.nn import FieldNorm

RESULTS = Path(__file__).parent / "results"
FEATURES = ("hks", "curvature", "second_fundamental_form")
CATEGORY = "Human"
EARLY = 10
#: name in the table: (option of the networks, averages free of their initial values)
NORMS = {
    "per node": ("layer", True), "per graph": ("graph", True), "batch": ("batch", True), "batch, uncorrected": ("batch", False),
}  # fmt: skip
RADIAL = (1, 2, 3, 4)
NONLINEARITIES = ("polynomial", "gated", "regular", "norm")


class Task(NamedTuple):
    """A problem, with what is measured on one held-out batch.

    Attributes:
        make: a network from its options. batches: training batches for a seed, without end. held: batches held out.
        answer: the output of a network on a batch. loss: of an output and its batch. score: (right, of), added over batches.
        error: the score is an error, sqrt(right / of), instead of a percentage. steps, lr: of the training.
    """

    make: Callable[..., nn.Module]
    batches: Callable[[int], Iterator[Any]]
    held: list
    answer: Callable[[nn.Module, Any], Tensor]
    loss: Callable[[Tensor, Any], Tensor]
    score: Callable[[Tensor, Any], tuple[float, float]]
    error: bool
    steps: int
    lr: float


def loaded(graphs: list, size: int) -> Callable[[int], Iterator[Any]]:
    def batches(seed: int) -> Iterator[Any]:
        torch.manual_seed(seed + 1)
        while True:
            yield from DataLoader(graphs, size, shuffle=True, drop_last=True)

    return batches


def drawn(inputs: Tensor, targets: Tensor, size: int) -> Callable[[int], Iterator[Any]]:
    def batches(seed: int) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(seed + 1)
        while True:
            some = torch.randint(len(inputs), (size,), generator=generator)
            yield inputs[some], targets[some]

    return batches


def right(output: Tensor, labels: Tensor) -> tuple[float, float]:
    return float((output.argmax(-1) == labels).sum()), float(labels.numel())


def shapes(args: argparse.Namespace) -> Task:
    params = ProcessParams(rings=2, normalize=True, features=FEATURES)
    dataset = EmbeddedShapes(params=params)
    fit, held = (list(part) for part in dataset.split("split10", 0))
    scaler = FeatureScaler(list(FEATURES)).fit(fit)
    fit, held = [scaler(g) for g in fit], [scaler(g) for g in held]
    in_type = feature_type(fit[0], *FEATURES)
    return Task(
        lambda **options: MeshClassifier(in_type, dataset.num_classes, channels=8, blocks=(1,), **options),
        loaded(fit, 8), list(DataLoader(held, 8, shuffle=True, generator=torch.Generator().manual_seed(0))),
        lambda net, batch: net(batch.x, batch), lambda out, batch: F.cross_entropy(out, batch.y),
        lambda out, batch: right(out, batch.y), False, 160, 1e-2,
    )  # fmt: skip


def few_shapes(args: argparse.Namespace) -> Task:
    """Four classes, five shapes of each to train on and ten held out, ten epochs, and the defaults of MeshClassifier."""
    params = ProcessParams(rings=2, normalize=True, features=FEATURES)
    dataset = EmbeddedShapes(params=params)
    fit, held = (list(part) for part in dataset.split("split10", 0))
    chosen = ("cup", "dog", "giraffe", "hand")
    fit, held = ([[g for g in part if dataset.classes[int(g.y)] == name] for name in chosen] for part in (fit, held))
    scaler = FeatureScaler(list(FEATURES)).fit([g for own in fit for g in own[:5]])
    fit = [scaler(g) for own in fit for g in own[:5]]
    held = [scaler(g) for own in held for g in own]
    in_type = feature_type(fit[0], *FEATURES)
    return Task(
        lambda **options: MeshClassifier(in_type, dataset.num_classes, **options),
        loaded(fit, 4), list(DataLoader(held, 4, shuffle=True, generator=torch.Generator().manual_seed(0))),
        lambda net, batch: net(batch.x, batch), lambda out, batch: F.cross_entropy(out, batch.y),
        lambda out, batch: right(out, batch.y), False, 50, 1e-2,
    )  # fmt: skip


def digits(args: argparse.Namespace) -> Task:
    geom = geometry.icosphere(3, levels=2)
    sphere = StaticGraph(geom.to_graph().float())
    folder = args.data / "mnist"
    parts = []
    for file, count in (("mnist_train10k.npz", 1000), ("mnist_t10k_even.npz", 256)):
        data = SphericalDigits(folder / file, blur=4.0)
        some = np.random.default_rng(0).permutation(len(data))[:count]  # the files are in the order of the classes
        parts += [torch.from_numpy(data.signals(geom.positions, indices=some))[..., None], torch.from_numpy(data.labels[some])]
    x, y, held_x, held_y = parts
    return Task(
        lambda **options: SphericalCNN(FieldType(groups.SO2(), "1x0"), 10, channels=(4, 8, 8), **options),
        drawn(x, y, 16), list(zip(held_x.split(16), held_y.split(16))),
        lambda net, batch: net(batch[0], sphere), lambda out, batch: F.cross_entropy(out, batch[1]),
        lambda out, batch: right(out, batch[1]), False, 160, 1e-2,
    )  # fmt: skip


def parts(args: argparse.Namespace) -> Task:
    params = ProcessParams(rings=2, normalize=True, features=FEATURES, repair=True, levels=1)
    dataset = Princeton(args.data / "psb_labeled", params, process=False)
    names = [name for name in dataset.names if name.startswith(CATEGORY + "/")]
    graphs = [dataset.graph_of(process_one(Path(dataset.root, name), params), name).float() for name in names]
    fit, held = graphs[:8], graphs[8:]
    scaler = FeatureScaler(list(FEATURES)).fit(fit)
    fit, held = [scaler(g) for g in fit], [scaler(g) for g in held]
    in_type, count = feature_type(fit[0], *FEATURES), len(dataset.parts[CATEGORY])
    out_type = FieldType(groups.SO2(), f"{count}x0")
    return Task(
        lambda **options: MeshUNet(in_type, out_type, channels=8, blocks=(1, 1), **options),
        loaded(fit, 2), list(DataLoader(held, 2)),
        lambda net, batch: net(batch.x, batch), lambda out, batch: F.cross_entropy(out, batch.vertex_label),
        lambda out, batch: right(out, batch.vertex_label), False, 60, 1e-2,
    )  # fmt: skip


def wind(args: argparse.Namespace) -> Task:
    data = GeopotentialWind(args.data / "wind_erainterim")
    fit, held = data.split(level=500)
    scale, geom = data.scale(fit), geometry.icosphere(3, levels=2)
    sphere = StaticGraph(geom.to_graph().float())
    share = (sphere.area / sphere.area.sum())[:, None]
    inputs = torch.as_tensor(data.inputs(geom.positions, scale)).float()
    winds = torch.as_tensor(data.winds(geom.positions, geom.frame, scale)).float()
    so2 = groups.SO2()

    def square(out: Tensor, batch: Any) -> Tensor:
        return ((out - batch[1]).square() * share).sum((1, 2)).mean()

    return Task(
        lambda **options: SphericalUNet(
            FieldType(so2, data.in_type), FieldType(so2, data.out_type), channels=(8, 8, 8), order=1, **options
        ),
        drawn(inputs[fit], winds[fit], 4), [(inputs[held], winds[held])],
        lambda net, batch: net(batch[0], sphere), square,
        lambda out, batch: (float(square(out, batch)), float(square(torch.zeros_like(out), batch))), True, 60, 1e-2,
    )  # fmt: skip


TASKS = {"shapes": shapes, "few shapes": few_shapes, "digits": digits, "parts": parts, "wind": wind}


def uncorrected(net: nn.Module) -> nn.Module:
    """Running averages as of torch's batch norm, in which the initial values count."""
    for module in net.modules():
        if isinstance(module, FieldNorm) and module.mode == "batch":
            module.num_batches_tracked.fill_(10**6)
    return net


@torch.no_grad()
def score(net: nn.Module, task: Task, training: bool) -> float:
    """On the held-out data: a percentage, or a relative error."""
    net = copy.deepcopy(net).train(training)  # running averages stay as they are
    some, of = np.sum([task.score(task.answer(net, batch), batch) for batch in task.held], 0)
    return float(np.sqrt(some / of) if task.error else 100 * some / of)


def train(task: Task, seed: int, norm: str, steps: int, **options: Any) -> tuple[nn.Module, float]:
    """A network after one cycle of AdamW, and the CPU seconds of a step."""
    mode, corrected = NORMS[norm]
    torch.manual_seed(seed)
    net = task.make(norm=mode, **options).train()
    net = net if corrected else uncorrected(net)
    optimiser = torch.optim.AdamW(net.parameters(), task.lr, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, task.lr, total_steps=steps, pct_start=0.2)
    seconds = []
    for _, batch in zip(range(steps), task.batches(seed)):
        start = time.process_time()
        loss = task.loss(task.answer(net, batch), batch)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        seconds.append(time.process_time() - start)
    return net, float(np.median(seconds))


def run(task: Task, seed: int, norm: str, **options: Any) -> dict:
    result: dict[str, float] = {}
    for when, steps in (("early", EARLY), ("end", task.steps)):
        net, seconds = train(task, seed, norm, steps, **options)
        evaluated = score(net, task, False)
        both = NORMS[norm][0] == "layer"  # which is the same in both modes
        result |= {f"{when} train": evaluated if both else score(net, task, True), f"{when} eval": evaluated}
    return {**result, "ms": 1000 * seconds, "parameters": sum(p.numel() for p in net.parameters())}


# After EARLY steps or all of them, in training mode or evaluation.
COLUMNS = ("early train", "early eval", "end train", "end eval")


def table(runs: list[dict], what: str) -> list[str]:
    """Mean and range over the seeds."""
    more = [] if what == "norm" else ["ms a step", "parameters"]
    head = ["task", what, *COLUMNS, *more]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, value in dict.fromkeys((r["task"], r["value"]) for r in runs if r["what"] == what):
        own = [r for r in runs if (r["what"], r["task"], r["value"]) == (what, name, value)]
        form = "{:.2f}" if name == "wind" else "{:.1f}"
        cells = []
        for column in COLUMNS:
            scores = [r[column] for r in own]
            cells.append(f"{form.format(np.mean(scores))} ({form.format(min(scores))} to {form.format(max(scores))})")
        if more:
            cells += [f"{np.median([r['ms'] for r in own]):.0f}", str(own[0]["parameters"])]
        lines.append(f"| {name} | {value} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--what", nargs="+", choices=["norm", "radial", "nonlinearity"], default=["norm", "radial"])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--norm", choices=list(NORMS), default="per graph", help="of the networks that differ in something else"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/normalisation"))
    parser.add_argument("--table", action="store_true", help="write the table of the runs that are there, and stop")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "runs.json"
    runs = json.loads(file.read_text()) if file.exists() else []
    values: dict[str, list] = {"norm": list(NORMS), "radial": list(RADIAL), "nonlinearity": list(NONLINEARITIES)}
    for name in () if args.table else args.tasks:
        task = None
        for what in args.what:
            for value in values[what]:
                for seed in range(args.seeds):
                    key = {"task": name, "what": what, "value": value, "seed": seed}
                    if any(key.items() <= old.items() for old in runs):
                        continue
                    if what == "radial" and value == 2:  # one of the others
                        same = {"task": name, "what": "norm", "value": args.norm, "seed": seed}
                        found = next((r for r in runs if same.items() <= r.items()), None)
                        if found is not None:
                            runs.append({**found, **key})
                            continue
                    task = TASKS[name](args) if task is None else task
                    options = {"norm": args.norm, "radial": 2} | {what: value}
                    runs.append({**key, **run(task, seed, **options)})
                    file.write_text(json.dumps(runs, indent=1))
                    print(runs[-1], flush=True)
    order = list(TASKS)
    runs.sort(key=lambda r: (order.index(r["task"]), values[r["what"]].index(r["value"]), r["seed"]))
    for title, file, columns in (
        ("Normalisation and radial functions on small data", "normalisation.md", ("norm", "radial")),
        ("Nonlinearities on small data", "nonlinearity_training.md", ("nonlinearity",)),
    ):
        if not set(columns) & set(args.what):
            continue
        lines = [f"# {title}", "", f"`python benchmarks/normalisation.py --what {' '.join(columns)}`, {machine()}.", ""]
        lines += ["Held-out accuracy in %, of wind the relative error; mean of the seeds and their range.", ""]
        for what in columns:
            own = table(runs, what)
            lines += [*own, ""] if len(own) > 2 else []
        (RESULTS / file).write_text("\n".join(lines))
        print("\n".join(lines))


if __name__ == "__main__":
    main()
