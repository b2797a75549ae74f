"""After ten steps a network answers in evaluation as well as in training."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from gaugenet import models
from gaugenet.data import StaticGraph
from gaugenet.nn import FieldNorm

from .recipes import IMAGES, Recipe, graph_of, takes_graph
from .registry import NETWORKS

STEPS, SAMPLES = 10, 24


class Problem:
    """Small fields of three kinds of noise: a network tells the kind, or, where it answers by node, the square."""

    def __init__(self, recipe: Recipe, net: torch.nn.Module) -> None:
        in_type, out_type = recipe.types(net)
        self.graph = StaticGraph(graph_of(recipe.on, torch.float32)) if recipe.on_graph else None
        pixels = IMAGES.get(recipe.on, ()) if recipe.on != "nodes" else ()  # of a net without a manifold, a row is an example
        places = (self.graph.num_nodes, in_type.dim) if self.graph else (in_type.dim, *pixels)
        self.shape, self.out_dim = (SAMPLES, *places), None if out_type is None else out_type.dim

    def batch(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise, kind = torch.randn(self.shape, generator=torch.Generator().manual_seed(seed)), torch.arange(SAMPLES) % 3
        each = (SAMPLES, *[1] * (noise.dim() - 1))
        x = noise.sign() * noise.abs() ** torch.tensor([0.1, 1.0, 5.0])[kind].view(each)
        x = 0.05 * x / x.flatten(1).square().mean(1).sqrt().view(each)
        return x, kind if self.out_dim is None else 100 * x[..., :1].square().expand(*x.shape[:-1], self.out_dim)

    def loss(self, net: torch.nn.Module, seed: int) -> torch.Tensor:
        x, target = self.batch(seed)
        out = net(x, self.graph) if self.graph and takes_graph(net) else net(x)
        return F.cross_entropy(out, target) if self.out_dim is None else F.mse_loss(out, target)


def losses(recipe: Recipe, net: torch.nn.Module, rate: float) -> tuple[float, float]:
    """In training and in evaluation, on data that were not trained on, after ten steps."""
    problem = Problem(recipe, net)
    for module in net.modules():
        if "Dropout" in type(module).__name__:
            module.p = 0.0
    optimiser = torch.optim.AdamW(net.train().parameters(), rate)
    for step in range(STEPS):
        optimiser.zero_grad()
        problem.loss(net, step).backward()
        optimiser.step()
    with torch.no_grad():
        evaluated = problem.loss(copy.deepcopy(net).eval(), STEPS)
        return float(problem.loss(net, STEPS)), float(evaluated)


@pytest.mark.parametrize("recipe", NETWORKS, ids=str)
def test_evaluates_as_it_trains(recipe: Recipe):
    # On images norms keep the statistics of batches, and follow smaller steps.
    rate, factor = (2e-2, 1.15) if recipe.on_graph else (3e-3, 1.3)
    training, evaluated = losses(recipe, recipe.layer(), rate)
    assert evaluated < factor * training


@pytest.mark.parametrize("model", [models.MeshClassifier, models.SphericalCNN, models.ClebschGordanCNN])
def test_averages_that_lag_are_noticed(model):
    """The former default: batch norms whose averages begin at 0 and 1."""
    recipe = next(r for r in NETWORKS if r.cls is model)
    torch.manual_seed(0)
    net = model(*recipe.args, **recipe.options, norm="batch")
    for module in net.modules():
        if isinstance(module, FieldNorm):
            module.num_batches_tracked.fill_(10**6)
    training, evaluated = losses(recipe, net, 2e-2)
    assert evaluated > 1.15 * training
