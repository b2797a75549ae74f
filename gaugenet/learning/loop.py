"""The plain loop: train, evaluate. docs/data.md has it in the open, to be copied and changed."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed

from ..checks import check_int, check_number
from ..errors import GaugenetError
from ..io.durable import write_atomic
from ..metrics import angle_error

if TYPE_CHECKING:
    from ..data import MeshDataset


def network(dataset: MeshDataset, **options: Any) -> Any:
    """A network for the task of a data set, prepared by it: MeshClassifier for the whole mesh, MeshUNet for vertices and faces.

    Args:
        dataset: the training data.
        options: of the network, such as ``channels=8``.
    """
    import importlib

    from ..data import Preparation

    models = importlib.import_module("gaugenet.models")  # late: models are made of this room
    preparation = Preparation.fit(dataset)
    out_type = dataset.out_type
    if out_type is None:
        net = models.MeshClassifier(dataset.in_type, preparation.task.num_outputs, **options)
    else:
        net = models.MeshUNet(dataset.in_type, out_type, **options)
    net.preparation = preparation
    return net


def train(
    model: Any,
    dataset: MeshDataset,
    *,
    epochs: int = 50,
    rate: float = 3e-3,
    nodes: int = 20000,
    seed: int = 0,
    device: str | torch.device = "cpu",
    checkpoint: str | os.PathLike | None = None,
    progress: Callable[[dict[str, Any]], Any] | None = None,
) -> list[dict[str, Any]]:
    """Adam with a rate that falls as a cosine; stopped and started again, it gives the same numbers as without a stop.

    Args:
        model: a network with a ``preparation``, as :func:`network` makes it.
        dataset: the training data.
        epochs: passes over them.
        rate: of the first step.
        nodes: most nodes of a batch.
        seed: of the order of the meshes and of dropout.
        device: where to train; the network stays there.
        checkpoint: file that is written after every epoch, and from which a run goes on where it is there.
        progress: called after every epoch with epoch, loss and seconds.

    Returns:
        A list of the same, one for every epoch.

    Raises:
        RuntimeError: one of several processes, whose gradients nobody would bring together.
    """
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        raise RuntimeError("learning.train is the loop of one process: of several it is in examples/with_torchrun.py")
    check_int("train", "epochs", epochs, 0)
    check_number("train", "rate", rate, positive=True)
    data = prepared(model, dataset)
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    history = _resumed(checkpoint, model, optimizer)
    loader = data.loader(nodes, shuffle=True, seed=seed)
    task = model.preparation.task
    for epoch in range(len(history), epochs):
        start, losses, count = time.perf_counter(), 0.0, 0
        loader.batch_sampler.set_epoch(epoch)
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
        model.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + epoch)
            for batch in loader:
                batch = batch.to(device)
                loss = task.loss(model(batch.x, batch), batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses, count = losses + float(loss.detach()) * batch.num_graphs, count + batch.num_graphs
        history.append({"epoch": epoch + 1, "loss": losses / count, "seconds": round(time.perf_counter() - start, 3)})
        if not math.isfinite(history[-1]["loss"]):
            raise GaugenetError(f"the loss is {history[-1]['loss']} in epoch {epoch + 1}: take a smaller rate than {rate:g}")
        _keep(checkpoint, model, optimizer, history)
        if progress is not None:
            progress(history[-1])
    model.eval()
    return history


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good the answers about a data set are.

    Attributes:
        kind: of the task. count: meshes. loss: mean over them.
        scores: name -> number: accuracy (and mean_iou) of classes; mean absolute error, root mean square and r2 of every
            number; relative L2 error and mean angle in degrees of vectors.
        classes: names. confusion: (classes, classes) counts, a row for every true class.
    """

    kind: str
    count: int
    loss: float
    scores: dict[str, float]
    classes: tuple[str, ...] = ()
    confusion: list[list[int]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "classes": list(self.classes)}

    def __str__(self) -> str:
        lines = [f"{self.count} meshes, loss {self.loss:.4g}"]
        lines += [f"{name}: {value:.4g}" for name, value in self.scores.items()]
        if self.confusion:
            width = max(4, *(len(name) for name in self.classes), *(len(str(n)) for row in self.confusion for n in row)) + 1
            lines.append("confusion, a row for every true class:")
            lines.append("".join(name.rjust(width) for name in ("", *self.classes)))
            for name, row in zip(self.classes, self.confusion):
                lines.append("".join(str(cell).rjust(width) for cell in (name, *row)))
        return "\n".join(lines)


@torch.no_grad()
def evaluate(model: Any, dataset: MeshDataset, *, nodes: int = 20000, device: str | torch.device | None = None) -> Evaluation:
    """Compare the answers of a network with those of a table.

    Args:
        model: a network with a ``preparation``.
        dataset: with the same task.
        nodes: most nodes of a batch.
        device: where to compute, by default where the network is.

    Raises:
        ValueError: classes that the network does not know.
    """
    data = prepared(model, dataset)
    task = model.preparation.task
    device = next(model.parameters()).device if device is None else device
    training = model.training
    model.to(device).eval()
    outputs, targets, losses = [], [], 0.0
    for batch in data.loader(nodes, rank=0, ranks=1):
        batch = batch.to(device)
        output = model(batch.x, batch)
        losses += float(task.loss(output, batch)) * batch.num_graphs
        outputs.append(task.at_places(output, batch).double().cpu())
        targets.append(batch.y.cpu())
    model.train(training)
    output, target = torch.cat(outputs), torch.cat(targets)
    scores, confusion = _scores(task, output, target)
    classes = task.classes if confusion else ()
    return Evaluation(task.kind, len(data), losses / len(data), scores, classes, confusion)


def prepared(model: Any, dataset: MeshDataset) -> MeshDataset:
    """The data set with the input that a network wants, and its numbers of classes.

    Raises:
        ValueError: no preparation; another task; classes that the network does not know.
    """
    preparation = getattr(model, "preparation", None)
    if preparation is None:
        raise ValueError(f"{type(model).__name__} needs a preparation: model.preparation = data.Preparation.fit(train)")
    task, own = preparation.task, dataset.task
    names = task.names == own.names or task.kind != "regress"  # labels and vectors may be in another column
    if (task.kind, task.on) != (own.kind, own.on) or not names:
        raise ValueError(f"a network for {task.kind} of {task.names} and a data set for {own.kind} of {own.names}")
    strangers = [name for name in own.classes if name not in task.classes]
    if strangers:
        raise ValueError(f"classes that the network has not learnt: {', '.join(strangers)}; it knows {', '.join(task.classes)}")
    numbers = torch.tensor([*(task.classes.index(name) for name in own.classes), -1], device="cpu")
    data = copy.copy(dataset)

    def transform(graph: Any) -> Any:
        graph = preparation(graph)
        if own.classes:
            graph.y = numbers[graph.y]
        return graph

    data.transform = transform
    return data


def _scores(task: Any, output: Tensor, target: Tensor) -> tuple[dict[str, float], list[list[int]]]:
    if task.kind in ("classify", "segment"):
        count = len(task.classes)
        known = target >= 0
        pairs = target[known] * count + output.argmax(-1)[known]
        table = torch.bincount(pairs, minlength=count * count).reshape(count, count)
        hits, union = table.diagonal(), table.sum(0) + table.sum(1) - table.diagonal()
        scores = {"accuracy": float(hits.sum() / table.sum().clamp_min(1))}
        if task.kind == "segment":
            scores["mean_iou"] = float((hits / union.clamp_min(1))[union > 0].mean())
        return scores, table.tolist()
    found, target = task.in_units(output), target.double()
    if task.kind == "vectors":
        known = target.isfinite().all(1)
        found, target = found[known], target[known]
        size = target.square().sum()
        angles = angle_error(found, target)  # the normal and the frame are orthonormal axes
        return {
            "relative_error": float(((found - target).square().sum() / size).sqrt()),
            "angle": float(torch.nanmean(angles)),
        }, []
    scores = {}
    for name, a, b in zip(task.names, found.T, target.T):
        known = b.isfinite()
        difference, spread = a[known] - b[known], b[known] - b[known].mean()
        scores[f"{name}: mean absolute error"] = float(difference.abs().mean())
        scores[f"{name}: root mean square"] = float(difference.square().mean().sqrt())
        scores[f"{name}: r2"] = float(1 - difference.square().sum() / spread.square().sum())
    return scores, []


def _keep(path: str | os.PathLike | None, model: Any, optimizer: torch.optim.Optimizer, history: list[dict]) -> None:
    if path is None:
        return
    import io

    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}, buffer)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def _resumed(path: str | os.PathLike | None, model: Any, optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The history of a run that was stopped, its weights and the state of its optimizer put back."""
    if path is None or not Path(path).exists():
        return []
    try:
        state = torch.load(path, map_location=next(model.parameters()).device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return list(state["history"])
    except Exception as error:
        raise GaugenetError(f"{path}: not a checkpoint of this network: {' '.join(str(error).split())[:300]}") from None
