"""Weighted Frechet means on the sphere, of rotations, and of positive definite matrices."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gaugenet import groups, nn

ORACLE = Path("oracles/seeds/manifoldnet/manifoldnet_wfm.npz")
SPACES = [nn.UnitSphere(), nn.Rotations(), nn.PositiveDefinite(3), nn.PositiveDefinite(1)]
every = pytest.mark.parametrize("space", SPACES, ids=repr)


def points(space, *shape: int, spread: float = 0.4, seed: int = 0) -> Tensor:
    """Near a random point: all of a batch near one."""
    generator = torch.Generator().manual_seed(seed)
    size = space.logs(*_pair(space)).shape[-1]
    m = _random(space, generator).expand(*shape, *space.shape)
    return space.move(m, spread * torch.randn(*shape, size, generator=generator, dtype=torch.float64).clamp(-2, 2))


def _pair(space) -> tuple[Tensor, Tensor]:
    m = _random(space, torch.Generator().manual_seed(1))
    return m, m[None]


def _random(space, generator: torch.Generator) -> Tensor:
    if isinstance(space, nn.UnitSphere):
        return torch.nn.functional.normalize(torch.randn(3, generator=generator, dtype=torch.float64), dim=0)
    if isinstance(space, nn.Rotations):
        return groups.SO3().sample(1, generator=generator)[0]
    a = torch.randn(space.n, space.n + 2, generator=generator, dtype=torch.float64)
    return a @ a.T


def moved(space, x: Tensor, seed: int = 3) -> Tensor:
    """By an isometry."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(space, nn.UnitSphere):
        return x @ groups.O3().sample(1, generator=generator)[0].T
    if isinstance(space, nn.Rotations):
        a, b = groups.SO3().sample(2, generator=generator)
        return a @ x @ b
    g = torch.randn(space.n, space.n, generator=generator, dtype=torch.float64) + 2 * torch.eye(space.n, dtype=torch.float64)
    return g @ x @ g.T


@every
def test_the_mean_is_where_the_logs_add_up_to_nothing(space):
    x, weight = points(space, 4, 7), torch.rand(4, 7, dtype=torch.float64)
    m = nn.frechet_mean(x, weight, space)
    assert space.contains(m).all() and space.contains(x).all()
    assert (weight.unsqueeze(-1) * space.logs(m, x)).sum(1).abs().max() < 1e-12
    # and the cost is least there
    cost = lambda p: (weight * space.distance(p, x).square()).sum(1)  # noqa: E731
    for seed in range(3):
        step = 0.05 * torch.randn(4, space.logs(m, x).shape[-1], generator=torch.Generator().manual_seed(seed)).double()
        assert (cost(space.move(m, step)) > cost(m)).all()


@every
def test_isometries_move_the_mean_along(space):
    x, weight = points(space, 5, 6), torch.rand(6, dtype=torch.float64)
    m, other = (nn.frechet_mean(p, weight, space) for p in (x, moved(space, x)))
    assert (other - moved(space, m)).abs().max() < 1e-10 * m.abs().max()
    assert (other - m).abs().max() > 1e-2


def test_the_oracle(shared):
    if not (shared / ORACLE).exists():
        pytest.skip("shared/oracles/seeds/manifoldnet is not there")
    data = {k: torch.from_numpy(v) for k, v in np.load(shared / ORACLE).items()}
    sphere, spd = nn.UnitSphere(), nn.PositiveDefinite(3)
    q, g = data["s2_Q"], data["spd_g"]
    assert (nn.frechet_mean(data["s2_x"], data["s2_w"], sphere) - data["s2_m"]).abs().max() < 1e-10
    assert (nn.frechet_mean(data["s2_x"] @ q.T, data["s2_w"], sphere) - q @ data["s2_m"]).abs().max() < 1e-10
    assert (nn.frechet_mean(data["spd_x"], data["spd_w"], spd) - data["spd_m"]).abs().max() < 1e-10
    wanted = g @ data["spd_m"] @ g.T
    assert (nn.frechet_mean(g @ data["spd_x"] @ g.T, data["spd_w"], spd) - wanted).abs().max() < 1e-10 * wanted.abs().max()


def test_means_in_closed_form():
    """Two points: the middle of their geodesic. One parameter: numbers. Commuting matrices: geometric means."""
    a, b = torch.tensor([1.0, 0, 0]).double(), torch.tensor([0, 1.0, 0]).double()
    m = nn.frechet_mean(torch.stack([a, b]), torch.tensor([1.0, 2.0]).double(), nn.UnitSphere())
    angle = torch.tensor(torch.pi / 3).double()
    assert torch.allclose(m, torch.stack([angle.cos(), angle.sin(), 0 * angle]), atol=1e-14)
    spd = torch.diag_embed(torch.tensor([[1.0, 8.0], [4.0, 2.0]]).double())
    m = nn.frechet_mean(spd, torch.tensor([1.0, 1.0]).double(), nn.PositiveDefinite(2))
    assert torch.allclose(m, torch.diag(torch.tensor([2.0, 4.0]).double()), atol=1e-13)
    turn = lambda t: torch.tensor([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]]).double()  # noqa: E731
    m = nn.frechet_mean(torch.stack([turn(0.2), turn(1.1)]), torch.tensor([3.0, 1.0]).double(), nn.Rotations())
    assert torch.allclose(m, turn((3 * 0.2 + 1.1) / 4), atol=1e-14)


@every
def test_gradients_are_those_of_the_solution(space):
    """Along the manifold: the points move with coordinates, so that differences stay on it."""
    m, size = points(space, 3), space.logs(*_pair(space)).shape[-1]
    steps = 0.3 * torch.randn(3, size, dtype=torch.float64)
    weight = torch.rand(3, dtype=torch.float64) + 0.1

    def mean(steps: Tensor, weight: Tensor) -> Tensor:
        return nn.frechet_mean(space.move(m, steps), weight, space)

    assert torch.autograd.gradcheck(mean, (steps.requires_grad_(), weight.requires_grad_()), atol=1e-7)
    distances = nn.FrechetDistances(space)
    assert torch.autograd.gradcheck(lambda s: distances(space.move(m, s)), (steps,), atol=1e-7)


@every
def test_equal_points_have_finite_gradients(space):
    x = points(space, 1).expand(4, *space.shape).clone().requires_grad_()
    weight = torch.ones(4, dtype=torch.float64, requires_grad=True)
    m = nn.frechet_mean(x, weight, space)
    assert torch.allclose(m, x[0], atol=1e-12)
    m.sum().backward()
    assert x.grad.isfinite().all() and weight.grad.isfinite().all()


@every
def test_layers(space):
    torch.manual_seed(0)
    layer, last = nn.FrechetMean(space, 6, 4).double(), nn.FrechetDistances(space)
    x = points(space, 5, 6)
    out = layer(x)
    assert out.shape == (5, 4, *space.shape)
    for o in range(4):
        one = nn.frechet_mean(x, layer.weight[o].softmax(0), space)
        assert torch.allclose(out[:, o], one, atol=1e-12)
    for module in (layer.train(), layer.eval()):
        error = module(moved(space, x)) - moved(space, out)
        assert error.abs().max() < 1e-10 * out.abs().max()
    assert torch.allclose(last(moved(space, out)), last(out), rtol=1e-9, atol=1e-12) and last(out).shape == (5, 4)
    assert last(out).max() > 1e-3
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), out)
    other = nn.FrechetMean(space, 6, 4).double()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), out)
    assert torch.allclose(layer.float()(x.float()), out.float(), atol=2e-4 * float(out.detach().abs().max()))
    assert repr(space) in repr(layer) and repr(space) in repr(last)


@every
def test_layers_compile_whole_and_map_over_batches(space):
    layer, x = nn.FrechetMean(space, 3, 2).double(), points(space, 4, 3)
    out = layer(x)
    assert torch.allclose(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), out, atol=1e-12)
    torch._dynamo.reset()
    alone = torch.stack([layer(part) for part in x])
    assert torch.allclose(alone, out, atol=1e-12)


def test_settings_are_compared():
    states = nn.FrechetMean(nn.PositiveDefinite(3), 3, 2).state_dict()
    with pytest.raises(RuntimeError, match="Rotations"):
        nn.FrechetMean(nn.Rotations(), 3, 2).load_state_dict(states)


def test_what_is_refused():
    sphere = nn.UnitSphere()
    with pytest.raises(ValueError, match=r"\(..., M, 3\)"):
        nn.frechet_mean(torch.randn(3), torch.ones(1), sphere)
    with pytest.raises(ValueError, match="one for each point"):
        nn.frechet_mean(torch.randn(4, 3), torch.ones(3), sphere)
    with pytest.raises(ValueError, match="does not settle"):
        nn.frechet_mean(torch.tensor([[0, 0, 1.0], [0, 0, -1.0]]), torch.ones(2), sphere)
    with pytest.raises(TypeError, match="a space of values"):
        nn.FrechetMean("S2", 3, 2)
    with pytest.raises(ValueError, match="in_points"):
        nn.FrechetMean(sphere, 0, 2)
    with pytest.raises(ValueError, match="n "):
        nn.PositiveDefinite(0)
    with pytest.raises(ValueError, match=r"FrechetMean expected points \(..., 3, 3\)"):
        nn.FrechetMean(sphere, 3, 2)(torch.randn(5, 4, 3))
    with pytest.raises(TypeError, match="float64 points"):
        nn.FrechetMean(sphere, 3, 2)(torch.randn(5, 3, 3).double())
