"""The plain loop for many fields on one geometry: weather on a globe, loads on one part."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..checks import check_int, check_number
from ..errors import GaugenetError

if TYPE_CHECKING:
    from ..data import GaugeGraph, StaticGraph


def fit(
    model: torch.nn.Module,
    graph: GaugeGraph | StaticGraph,
    x: Tensor | np.ndarray,
    y: Tensor | np.ndarray,
    *,
    weight: Tensor | np.ndarray | None = None,
    epochs: int = 50,
    rate: float = 3e-3,
    batch_size: int = 16,
    seed: int = 0,
    progress: Callable[[dict[str, Any]], Any] | None = None,
) -> list[dict[str, Any]]:
    """Mean squares, by Adam with a rate that falls as a cosine, where the parameters are; many fields on one geometry.

    Args:
        model: of (x, graph).
        graph: of the geometry, such as ``data.StaticGraph(globe.to_graph())``.
        x: (B, N, dim) inputs, in units in which they are about one.
        y: (B, N, dim) targets, likewise; NaN where they are unknown.
        weight: (N,) of the nodes, such as the areas; by default all alike.
        epochs: passes over the B fields.
        rate: of the first step.
        batch_size: fields of a step.
        seed: of their order and of dropout.
        progress: called after every epoch with epoch, loss and seconds.

    Returns:
        A list of the same, one for every epoch.

    Raises:
        ValueError: shapes that do not fit. GaugenetError: a loss that is not finite.
    """
    from ..data import GaugeGraph, StaticGraph

    check_int("fit", "epochs", epochs, 0)
    check_int("fit", "batch_size", batch_size)
    check_number("fit", "rate", rate, positive=True)
    parameter = next(model.parameters())
    x, y = (torch.as_tensor(values).to(parameter) for values in (x, y))
    if x.ndim != 3 or y.ndim != 3 or x.shape[:2] != y.shape[:2] or x.shape[1] != graph.num_nodes:
        text = f"fit expected x and y (B, {graph.num_nodes}, dim) with a field of y for each of x"
        raise ValueError(f"{text}, got {tuple(x.shape)} and {tuple(y.shape)}")
    if weight is not None:
        weight = torch.as_tensor(weight).to(parameter)
        if weight.shape != x.shape[1:2]:
            raise ValueError(f"fit expected weight ({graph.num_nodes},), got {tuple(weight.shape)}")
        weight = (weight / weight.mean())[:, None]
    static = StaticGraph(graph) if isinstance(graph, GaugeGraph) else graph
    static = static.to(parameter.device).type(parameter.dtype)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    history: list[dict[str, Any]] = []
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(epochs):
            start, total = time.perf_counter(), 0.0
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
            for chosen in torch.randperm(len(x), device="cpu").split(batch_size):
                target = y[chosen]
                known = target.isfinite()
                square = torch.where(known, model(x[chosen], static) - torch.where(known, target, 0.0), 0.0).square()
                loss = (square if weight is None else square * weight).sum() / known.sum().clamp_min(1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(chosen)
            history.append({"epoch": epoch + 1, "loss": total / len(x), "seconds": round(time.perf_counter() - start, 3)})
            if not math.isfinite(total):
                raise GaugenetError(f"the loss is {total} in epoch {epoch + 1}: take a smaller rate than {rate:g}")
            if progress is not None:
                progress(history[-1])
    model.eval()
    return history
