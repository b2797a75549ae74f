"""What the examples share: the training loop, networks of a given size, runs that are kept, and cells of their tables."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine


def add_training_arguments(parser: argparse.ArgumentParser, **defaults: float) -> None:
    """--lr, --weight-decay, --dropout, --batch-size and --device; defaults by name."""
    chosen = {"lr": 1e-2, "weight_decay": 1e-3, "dropout": 0.1, "batch_size": 32} | defaults
    parser.add_argument("--lr", type=float, default=chosen["lr"], help="largest learning rate of the cycle")
    parser.add_argument("--weight-decay", type=float, default=chosen["weight_decay"])
    parser.add_argument("--dropout", type=float, default=chosen["dropout"], help="of copies of fields")
    parser.add_argument("--batch-size", type=int, default=chosen["batch_size"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def train(
    model: nn.Module,
    batches: Callable[[int], Iterable],
    loss_of: Callable[[nn.Module, object], Tensor],
    epochs: int,
    steps: int,
    *,
    lr: float,
    weight_decay: float,
    title: str = "",
    optimiser: type[torch.optim.Optimizer] = torch.optim.AdamW,
    clip: float | None = None,
    checkpoint: Path | None = None,
) -> list[float]:
    """One cycle of the learning rate (warm-up over a fifth, then a cosine); returns the mean loss of every epoch.

    Args:
        batches: the batches of an epoch, by its number; ``steps`` of them.
        loss_of: (model, batch) -> loss.
        lr: the largest.
        clip: largest norm of the gradient.
        checkpoint: file that is written after every epoch, and from which a training that was stopped goes on.
    """
    steps_of = optimiser(model.parameters(), lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(steps_of, lr, total_steps=epochs * steps, pct_start=0.2)
    parts, losses = {"model": model, "optimiser": steps_of, "schedule": schedule}, []
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        losses = state["losses"]
    progress = tqdm(total=epochs * steps, initial=len(losses) * steps, desc=title, leave=False, mininterval=1)
    for epoch in range(len(losses), epochs):
        model.train()
        total = 0.0
        for batch in batches(epoch):
            loss = loss_of(model, batch)
            steps_of.zero_grad()
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            steps_of.step()
            schedule.step()
            progress.update()
            total += float(loss.detach())
        losses.append(total / steps)
        if checkpoint is not None:
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save({**state, "random": torch.get_rng_state(), "losses": losses}, checkpoint)
    progress.close()
    return losses


def cycle_of(args: argparse.Namespace, rate: float = 1.0) -> dict[str, float]:
    """The options of :func:`train` that :func:`add_training_arguments` asks for; ``rate`` times the learning rate."""
    return {"lr": rate * args.lr, "weight_decay": args.weight_decay}


def with_parameters(make: Callable[..., nn.Module], parameters: int, pattern: tuple[int, ...], **options) -> nn.Module:
    """``make(widths=...)`` whose widths, in the proportions of a pattern, bring it nearest to a number of parameters."""
    tried: dict[tuple[int, ...], int] = {}
    for step in range(4, 2000):
        widths = tuple(max(1, round(step / 4 * share)) for share in pattern)
        if widths in tried:
            continue
        count = sum(p.numel() for p in make(widths=widths, **options).parameters())
        tried[widths] = abs(count - parameters)
        if count > parameters:
            break
    return make(widths=min(tried, key=tried.__getitem__), **options)


class Runs:
    """The runs of an example, kept in a JSON file with its settings, and beside it their table.

    A file of other settings or data is begun anew: its results would not compare.

    Args:
        path: of the file. table: what makes Markdown of the results.
        data: name of the data set. settings: of all runs; ``keep`` takes the file as it is, whatever its settings.
    """

    def __init__(self, path: Path, table: Callable[[dict], str], data: str, settings: dict, keep: bool = False) -> None:
        self.path, self.table = path, table
        self.results: dict = {"data": data, "machine": machine(), "settings": settings, "runs": []}
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            if keep or (before["settings"] == settings and before["data"] == data):
                self.results = before

    def has(self, **keys: object) -> bool:
        return any(keys.items() <= run.items() for run in self.results["runs"])

    def add(self, entry: dict) -> None:
        """Keep a run; the file and the table are written anew."""
        self.results["runs"].append(entry)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")
        self.write_table()

    def write_table(self) -> None:
        self.path.with_suffix(".md").write_text(self.table(self.results), encoding="utf-8")


def settings_of(args: argparse.Namespace, *names: str) -> dict:
    """The arguments of these names ("batch size" for --batch-size)."""
    return {name: getattr(args, name.replace(" ", "_")) for name in names}


def spelled(settings: dict) -> str:
    """The last line of a table."""
    return f"Settings: {', '.join(f'{key} {value}' for key, value in settings.items())}."


def standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def cell(values: list[float], digits: str = ".4g") -> str:
    """Mean and standard error over the seeds, and each of them."""
    if not values:
        return "-"
    mean = f"{np.mean(values):{digits}}"
    if len(values) > 1:
        mean += f" ± {standard_error(values):.2g}"
    return f"{mean} ({', '.join(f'{v:{digits}}' for v in values)})"


def by_model(runs: Sequence[dict], names: Iterable[str], columns: dict[str, Callable[[list[dict]], str]]) -> list[str]:
    """Lines of a Markdown table: the models that ran, their parameters, and what each column says of the runs of one."""
    lines = [f"| model | parameters | {' | '.join(columns)} |", "|---" * (2 + len(columns)) + "|"]
    for name in names:
        own = [run for run in runs if run["model"] == name]
        if own:
            cells = [name, str(own[0]["parameters"]), *(column(own) for column in columns.values())]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def means(key: str, digits: str = ".4g") -> Callable[[list[dict]], str]:
    """A column of :func:`by_model`: a score of the runs, or of a run's shapes their mean, by :func:`cell`."""
    return lambda own: cell([float(np.mean(run[key])) for run in own if key in run], digits)


def over_shapes(key: str) -> Callable[[list[dict]], str]:
    """A column of :func:`by_model`: the standard error of a score over the test shapes of one run."""
    return lambda own: f"{np.mean([standard_error(run[key]) for run in own]):.2g}"


def minutes(own: list[dict]) -> str:
    """A column of :func:`by_model`."""
    return f"{np.mean([run['minutes'] for run in own]):.1f}"


def ahead(runs: Sequence[dict], first: str, other: str, key: str, sign: int = 1) -> str:
    """By how much a model is ahead of another on the same shapes, with standard errors over seeds and over shapes.

    Args:
        runs: of all models, ``key`` the scores of their test shapes. Seeds that one of the two has not do not count.
        sign: -1 where less is better.
    """
    scores = {name: {r["seed"]: np.array(r[key]) for r in runs if r["model"] == name} for name in (first, other)}
    gaps = [sign * (scores[first][seed] - scores[other][seed]) for seed in scores[first] if seed in scores[other]]
    if first == other or not gaps:
        return "-"
    over = {"seeds": [float(np.mean(gap)) for gap in gaps], "shapes": np.concatenate(gaps).tolist()}
    errors = (f"± {standard_error(values):.2g} ({name})" for name, values in over.items() if len(values) > 1)
    return " ".join([f"{np.mean(over['seeds']):.2f}", *errors])
