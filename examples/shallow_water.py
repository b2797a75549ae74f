"""Shallow water on a turning globe: from the state of the fluid to that of an hour later, and on from there for twelve hours.

    pip install 'gaugenet[bench]'                       # torch-harmonics, whose solver makes the data (two minutes, once)
    python examples/shallow_water.py --models gauge --steps 100 --seeds 1        # about two minutes on two cores
    python examples/shallow_water.py --out benchmarks/results/shallow_water.json # all: about three quarters of an hour
    python examples/shallow_water.py --table                                     # the table of the results that are there
    python examples/shallow_water.py --weights examples/weights/shallow_water.safetensors      # a network that is trained

A state is a geopotential and a wind: a scalar and a tangent vector. The Coriolis parameter is a second scalar of the input,
the only place where a network can see the axis of the globe. From 96 states that have nothing to do with each other, networks
of one size learn what changes in an hour; they are tested on 20 others, hour by hour on their own answers ("roll-out"), and on
the same states with the whole globe turned, axis included, by a rotation each. All fields are band limited, so that turning
them and reading them off at other points costs nothing. Networks of torch-harmonics see the wind to the east and to the north
on the grid of their Gauss quadrature, ours on an icosphere of as many points. "order 0" is given the wind in the frames of the
points, and its norm; so is "pointwise". "O(2), mirror-blind" takes the Coriolis parameter for a scalar, which has no sense of
turning; as the pseudoscalar that it is ("O(2)"), mirror images of the globe are one more symmetry. "two potentials" gives the
wind as the gradient of a scalar and the turned gradient of another (Helmholtz).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples import common, sphere_nets
from examples.common import Runs, cell, settings_of, spelled
from gaugenet import FieldType, geometry, groups, load
from gaugenet.data import StaticGraph
from gaugenet.learning import SavedNetwork
from gaugenet.models import SphericalUNet
from gaugenet.spectral import FieldTransform

RESULTS = Path("runs") / "shallow_water.json"
ROWS, LMAX, HOURS = 32, 21, 12  # of the solver's grid, its band limit, of a roll-out
SO2, O2 = groups.SO2(), groups.O2()
STATE = FieldType(SO2, "2x0 + 1x1")  # geopotential, Coriolis parameter; wind
CHANGE = FieldType(SO2, "1x0 + 1x1")
BY_MIRRORS = FieldType(O2, "1x0 + 1x0- + 1x1"), FieldType(O2, "1x0 + 1x1")  # the Coriolis parameter is a pseudoscalar


def unet(state: FieldType, change: FieldType, **options) -> nn.Module:
    """Three residual blocks on the points themselves; no norm, since the size of a field says how fast it changes.

    Gates are products of scalars and vectors, as the Coriolis force is one: of the nonlinearities they did best by far on
    training pairs (docs/sphere_results.md).
    """
    chosen = {"channels": (13,), "order": 1, "blocks": (3,), "norm": None, "nonlinearity": "gated"}
    return SphericalUNet(state, change, **{**chosen, **options})


class OnScalars(nn.Module):
    """A network on the components of the state in the frames of the points, and the norm of the wind."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, sphere: StaticGraph) -> Tensor:
        return self.network(torch.cat([x, x[..., 2:].norm(dim=-1, keepdim=True)], -1), sphere)


MODELS = {
    "gauge": partial(unet, STATE, CHANGE),
    "two potentials": lambda: sphere_nets.FromPotentials(unet(STATE, FieldType(SO2, "3x0"))),
    # A pseudoscalar turns a vector by products of different fields only, which gates are not.
    "O(2)": partial(unet, *BY_MIRRORS, channels=(16,), nonlinearity="tensor"),
    "O(2), gates": partial(unet, *BY_MIRRORS),
    "O(2), mirror-blind": partial(unet, FieldType(O2, "2x0 + 1x1"), FieldType(O2, "1x0 + 1x1"), channels=(17,)),
    "order 0": lambda: OnScalars(
        unet(FieldType(SO2, "5x0"), FieldType(SO2, "3x0"), order=0, channels=(32,), nonlinearity="norm", radial=4)
    ),
    "pointwise": lambda: OnScalars(sphere_nets.PointwiseNet(5, 3)),
    "DISCO": partial(sphere_nets.disco, 4, 3, ROWS, 27_000),
    "SFNO": partial(sphere_nets.spectral, 4, 3, ROWS, 27_000),
}
LEARNING_FREE = ("no change",)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=[*LEARNING_FREE, *MODELS], default=[*LEARNING_FREE, *MODELS])
    parser.add_argument("--seeds", type=int, default=3, help="of the weights and of the order of training")
    parser.add_argument("--train", type=int, default=96, help="pairs of states to train on")
    parser.add_argument("--test", type=int, default=20, help="roll-outs to test on")
    parser.add_argument("--validation", action="store_true", help="test on the last sixth of the training pairs, one hour only")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--level", type=int, default=4, help="of the icosphere: 10 4^level + 2 points")
    common.add_training_arguments(parser, batch_size=4, lr=2e-2)
    parser.add_argument("--data", type=Path, default=Path("runs") / "shallow_water", help="where simulations are kept")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file; benchmarks/results has ours")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--save", type=Path, help="folder for the trained weights of our networks")
    parser.add_argument("--weights", type=Path, help="test the network of this file, and train nothing")
    return parser.parse_args()


# ---------------------------------------------------------------------------------------------------- data


def simulate(first: int, count: int, hours: int, folder: Path) -> Tensor:
    """(count, hours + 1, N, 4) states on the solver's grid, by the numbers of their random beginnings, after six hours."""
    file = folder / f"states_{first}_{count}_{hours}.npy"
    if file.is_file():
        return torch.from_numpy(np.load(file))
    made = sphere_nets.torch_harmonics("examples").ShallowWaterSolver
    options = {"lmax": LMAX, "mmax": LMAX, "grid": "legendre-gauss", "hamp": 600.0}
    solver = made(ROWS, 2 * ROWS, 150.0, **options).double()
    coriolis = (solver.coriolis / (2 * solver.omega)).expand(ROWS, 2 * ROWS)
    states = []
    for number in tqdm(range(first, first + count), desc="simulations", mininterval=1):
        torch.manual_seed(number)
        state, history = solver.timestep(solver.random_initial_condition(mach=2.5), 6 * 24), []
        for hour in range(hours + 1):
            state = solver.timestep(state, 24) if hour else state
            geopotential, *wind = solver.gethuv(state)
            history.append(torch.stack([geopotential - solver.gravity * solver.havg, coriolis, *wind], -1).flatten(0, 1))
        states.append(torch.stack(history))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(file, torch.stack(states).float().numpy())
    return torch.stack(states).float()


class Sphere:
    """The points that a network works on, with the fields there."""

    def __init__(self, on_grid: bool, level: int) -> None:
        geom = geometry.latlon(ROWS, 2 * ROWS) if on_grid else geometry.icosphere(level)
        self.graph = None if on_grid else StaticGraph(geom.to_graph().float())
        self.share = torch.from_numpy(geom.area / geom.area.sum()).float()[:, None]
        self.state, self.change = (FieldTransform(geom, LMAX, kind).float() for kind in (STATE, CHANGE))

    def mean_square(self, x: Tensor) -> Tensor:
        """(..., N, C) to (...): over the sphere, summed over components."""
        return (x.square() * self.share).sum((-2, -1))

    def sizes(self, *fields: Tensor) -> list[Tensor]:
        """The root mean square of each."""
        return [self.mean_square(x).mean().sqrt() for x in fields]


class Task:
    """States in units of their own standard deviation, and changes in an hour in units of theirs."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        pairs = simulate(1000, args.train, 1, args.data)
        tests = simulate(0, args.test, HOURS, args.data)
        if args.validation:
            tests, pairs = pairs[-len(pairs) // 6 :], pairs[: -len(pairs) // 6]
        grid = Sphere(True, args.level)
        geopotential, wind = grid.sizes(pairs[..., :1], pairs[..., 2:])
        self.unit = torch.tensor([geopotential, 1, wind, wind])
        change = (pairs[:, 1] - pairs[:, 0]) / self.unit
        geopotential, wind = grid.sizes(change[..., :1], change[..., 2:])
        self.step = torch.tensor([geopotential, wind, wind])
        self.pairs, self.tests = ([c.contiguous() for c in grid.state.analysis(x / self.unit)] for x in (pairs, tests))
        turns = Rotation.random(len(tests), random_state=0).as_matrix()
        self.turns = torch.from_numpy(turns).float()[:, None]
        self.turned = grid.state.rotate(self.tests, self.turns)

    def train(self, model: nn.Module, sphere: Sphere, name: str) -> None:
        states = sphere.state.synthesis(self.pairs)
        inputs, targets = states[:, 0], (states[:, 1] - states[:, 0])[..., [0, 2, 3]] / self.step

        def loss_of(net: nn.Module, some: Tensor) -> Tensor:
            return sphere.mean_square(net(inputs[some], sphere.graph) - targets[some]).mean()

        def batches(epoch: int) -> list[Tensor]:
            return [torch.randperm(len(inputs))[: self.args.batch_size]]

        options = {"lr": sphere_nets.rate_of(name, self.args.lr), "weight_decay": self.args.weight_decay, "clip": 1.0}
        common.train(model, batches, loss_of, self.args.steps, 1, title=name, **options)
        model.eval()

    @torch.no_grad()
    def rolled(self, model: nn.Module | None, sphere: Sphere, coefficients: list[Tensor]) -> tuple[dict, Tensor]:
        """Relative errors of geopotential and wind after hours, of each field; and the first changes."""
        truth = sphere.state.synthesis(coefficients)
        state, errors, first = truth[:, 0], {}, torch.zeros(())
        for hour in range(1, truth.shape[1]):
            if model is not None:
                change = torch.cat([model(part, sphere.graph) for part in state.split(4)])
                first = change if hour == 1 else first
                change = change * self.step
                state = state + torch.cat([change[..., :1], torch.zeros_like(change[..., :1]), change[..., 1:]], -1)
            for name, part in (("geopotential", slice(0, 1)), ("wind", slice(2, 4))):
                wrong, size = (sphere.mean_square(x[..., part]) for x in (state - truth[:, hour], truth[:, hour]))
                errors[f"{name} {hour} h"] = (100 * (wrong / size).sqrt()).tolist()
        return errors, first

    def run(self, name: str, seed: int) -> dict:
        torch.manual_seed(seed)
        model = MODELS[name]() if name in MODELS else None
        sphere, start = Sphere(getattr(model, "on_grid", False), self.args.level), time.process_time()
        if model is not None:
            self.train(model, sphere, name)
        minutes = round((time.process_time() - start) / 60, 2)
        if self.args.save and isinstance(model, SavedNetwork):
            model.save(self.args.save / f"shallow_water-{name}-{seed}.safetensors")
        return {"model": name, "seed": seed, "minutes": minutes, **self.tested(model, sphere)}

    def tested(self, model: nn.Module | None, sphere: Sphere) -> dict:
        errors, answer = self.rolled(model, sphere, self.tests)
        turned, turned_answer = self.rolled(model, sphere, self.turned)
        entry = {"parameters": sum(p.numel() for p in model.parameters()) if model else 0}
        entry |= {"errors": errors, "errors, turned": turned, "change under rotations": 0.0}
        if model is not None:
            there, back = sphere.change.analysis(answer[:, None]), sphere.change.analysis(turned_answer[:, None])
            wrong = sum((a - b).square().sum() for a, b in zip(sphere.change.rotate(there, self.turns), back))
            entry["change under rotations"] = 100 * float((wrong / sum(a.square().sum() for a in there)).sqrt())
        return entry


# ---------------------------------------------------------------------------------------------------- report


def table(results: dict) -> str:
    """Relative errors in percent: mean and standard error over the seeds, and over the fields."""
    keys = [key for key in ("wind 1 h", "wind 6 h", "wind 12 h", "geopotential 12 h") if key in results["runs"][0]["errors"]]
    lines = ["# Shallow water: an hour ahead, and roll-outs", "", f"`examples/shallow_water.py`. {results['machine']}.", ""]
    lines += [
        "Relative errors in percent over the sphere, of states that were not trained on, means over the fields: mean, standard",
        "error and each of the seeds. Then the standard error over the fields (one seed), the error on turned globes, and by",
        "how much the answer on the turned globe is not the turned answer.",
        "",
    ]
    first = keys[0]

    def error(key: str) -> Callable[[list[dict]], str]:
        return lambda own: cell([float(np.mean(r["errors"][key])) for r in own], ".3g")

    columns = {key: error(key) for key in keys} | {
        f"{first}, over fields": lambda own: f"{common.standard_error(own[0]['errors'][first]):.2g}",
        f"{first}, turned": lambda own: f"{np.mean([np.mean(r['errors, turned'][first]) for r in own]):.3g}",
        "change under rotations": lambda own: f"{np.mean([r['change under rotations'] for r in own]):.2g}",
        "CPU minutes": common.minutes,
    }
    lines += common.by_model(results["runs"], [*LEARNING_FREE, *MODELS], columns)
    return "\n".join([*lines, "", spelled(results["settings"]), ""])


def told(name: str, entry: dict) -> str:
    keys = "wind 1 h", list(entry["errors"])[-1]
    errors = ", ".join(f"{key} {np.mean(entry['errors'][key]):.3g} %" for key in keys)
    return f"{name}: {errors}; change under rotations {entry['change under rotations']:.2g} %"


def main() -> None:
    args = parse_arguments()
    if args.weights:
        task, sphere = Task(args), Sphere(False, args.level)
        print(told(str(args.weights), task.tested(load(args.weights), sphere)))
        return
    names = ("train", "test", "validation", "steps", "level", "lr", "weight decay", "batch size")
    runs = Runs(args.out, table, "shallow water", settings_of(args, *names), keep=args.table)
    if not args.table:
        task = Task(args)
        for seed in range(args.seeds):
            for name in args.models:
                if runs.has(model=name, seed=seed) or (name in LEARNING_FREE and seed):
                    continue
                entry = task.run(name, seed)
                runs.add(entry)
                print(told(f"{name}, seed {seed}", entry), flush=True)
    if runs.results["runs"]:
        print(table(runs.results))


if __name__ == "__main__":
    main()
