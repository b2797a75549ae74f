"""Wind from geopotential: a tangent vector field from scalars on the sphere (ERA-Interim monthly means).

    python examples/wind.py                                     # winds made here: about five minutes on two cores
    python examples/wind.py --data FOLDER                       # FOLDER: eraint_uvz.nc
    python examples/wind.py --data FOLDER --seeds 0 1 2 --splits level=500 month=7

Networks of the same size predict the wind as one tangent vector ("1x1"), as the gradient and the turned gradient of two
scalars ("two potentials"), or as two scalars ("2x0"), its components to the east and north at every point; so do those of
torch-harmonics (DISCO, SFNO; pip install 'gaugenet[bench]'). They are tested on the held-out fields as they are, and on globes
turned by random rotations, where east and north of the points are no longer those of the globe. There are six fields in all, so
read the differences between the rows, not the numbers alone. The settings were chosen on the split level=500, nothing on the
others. A run that is in OUT/results.json with the same settings is not repeated; --table writes the table of the runs
that are there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine
from examples import common, sphere_nets, stand_ins
from gaugenet import FieldType, geometry, groups
from gaugenet.data import GeopotentialWind, StaticGraph
from gaugenet.models import SphericalUNet

ROWS = 36  # of the grid of torch-harmonics' networks, which has about as many points as the icosphere
SO2, O2 = groups.SO2(), groups.O2()
INPUTS = FieldType(SO2, GeopotentialWind.in_type)


def unet(outputs: FieldType, inputs: FieldType = INPUTS, **options) -> nn.Module:
    """Three residual blocks on the points themselves: the balance of wind and pressure is local, and pooling would blur it.

    No norm: a batch of four fields says little about the fields to come.
    """
    return SphericalUNet(inputs, outputs, **{"channels": (16,), "order": 1, "blocks": (3,), "norm": None, **options})


MODELS = {
    "tangent vector": lambda: unet(FieldType(SO2, "1x1")),
    # The sine of the latitude changes its sign in a mirror, so mirror images of the globe are one more symmetry; such a number
    # turns a vector by products of different fields only.
    "tangent vector, O(2)": lambda: unet(FieldType(O2, "1x1"), FieldType(O2, "1x0 + 1x0-"), nonlinearity="tensor"),
    "tangent vector, O(2), mirror-blind": lambda: unet(FieldType(O2, "1x1"), FieldType(O2, "2x0"), channels=(21,)),
    "two potentials": lambda: sphere_nets.FromPotentials(unet(FieldType(SO2, "2x0"))),
    "two scalars": lambda: unet(FieldType(SO2, "2x0")),
    # Order 0 only, wider for as many numbers at a point.
    "two scalars, isotropic": lambda: unet(FieldType(SO2, "2x0"), order=0, channels=(48,), nonlinearity="norm", radial=4),
    "pointwise": lambda: sphere_nets.PointwiseNet(2, 2),
    "DISCO": lambda: sphere_nets.disco(2, 2, ROWS, 27_000),
    "SFNO": lambda: sphere_nets.spectral(2, 2, ROWS, 27_000),
}
ON_GRID = ("DISCO", "SFNO")
LEARNING_FREE = ("geostrophic", "mean of the training fields", "no wind")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of eraint_uvz.nc (default: winds made here)")
    parser.add_argument("--models", nargs="+", choices=[*MODELS, *LEARNING_FREE], default=[*MODELS, *LEARNING_FREE])
    parser.add_argument("--splits", nargs="+", default=["level=500", "month=7", "month=1"], help="what is held out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--level", type=int, default=4, help="of the icosphere: 10 4^level + 2 points")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--fields", type=int, default=4, help="fields in a step")
    parser.add_argument("--shifts", type=int, default=16, help="turns about the globe's axis of every training field")
    parser.add_argument("--no-mirror", dest="mirror", action="store_false", help="train without mirror images of the globe")
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--rotations", type=int, default=3, help="turned globes to test on")
    text = "folder of the results (default: runs/wind; without --data runs/wind_made)"
    parser.add_argument("--out", type=Path, help=text)
    parser.add_argument("--table", action="store_true", help="print the table of OUT/results.json and stop")
    return parser.parse_args()


# ---------------------------------------------------------------------------------------------------- training


def train(model: nn.Module, where: Experiment, name: str) -> list:
    """One cycle of AdamW on the squared error by area; returns the loss of every step."""
    args, inputs, winds, sphere = where.args, where.inputs, where.winds, where.sphere
    share = torch.from_numpy(where.area / where.area.sum()).float()[:, None]

    def loss_of(net: nn.Module, some: Tensor) -> Tensor:
        return ((net(inputs[some], sphere) - winds[some]).square() * share).sum((1, 2)).mean()

    def batches(step: int) -> list[Tensor]:
        return [torch.randint(len(inputs), (args.fields,))]

    options = {"lr": sphere_nets.rate_of(name, args.lr), "weight_decay": 1e-3, "clip": 1.0}
    losses = common.train(model, batches, loss_of, args.steps, 1, title=name, **options)
    return [round(loss, 4) for loss in losses]


def rmse(answer: np.ndarray, truth: np.ndarray, area: np.ndarray) -> float:
    """Root of the mean of |(u, v) - (u, v)'|^2 over the fields and the sphere."""
    return float(np.sqrt((((answer - truth) ** 2).sum(-1) * (area / area.sum())).sum(-1).mean()))


def moved(values: np.ndarray, points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Ambient vectors (F, N, 3) at points, read off at other places by quadratic least squares over 12 neighbours."""
    _, near = cKDTree(points).query(places, k=12)
    frame = np.stack([np.cross(places, np.roll(places, 1, 1)), np.cross(places, np.cross(places, np.roll(places, 1, 1)))], -1)
    frame /= np.linalg.norm(frame, axis=1, keepdims=True)
    a, b = np.moveaxis(np.einsum("pkx,pxc->pkc", points[near] - places[:, None], frame), -1, 0) * 10
    polynomials = np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], -1)
    return np.einsum("pk,fpkx->fpx", np.linalg.pinv(polynomials)[:, 0], values[:, near])


class Experiment:
    """One split: fields in units of the training fields, and the turned globes to test on."""

    def __init__(self, wind: GeopotentialWind, split: str, on_grid: bool, args: argparse.Namespace) -> None:
        name, _, value = split.partition("=")
        if name not in ("level", "month") or not value.isdigit():
            raise SystemExit(f"--splits expected level=<hPa> or month=<number>, got {split!r}")
        self.wind, self.args = wind, args
        self.fit, self.held = wind.split(**{name: int(value)})
        self.scale = wind.scale(self.fit)
        geom = geometry.latlon(ROWS, 2 * ROWS) if on_grid else geometry.icosphere(args.level)
        self.points, self.frame, self.area = geom.positions, geom.frame, geom.area
        self.sphere = None if on_grid else StaticGraph(geom.to_graph().float())
        turns = Rotation.from_euler("z", np.arange(args.shifts)[:, None] * 360 / args.shifts, degrees=True).as_matrix()
        if args.mirror:  # north and south exchanged: as good a globe as ours, with the seasons exchanged too
            turns = [turn @ np.diag([1, 1, sign]) for turn in turns for sign in (1, -1)]
        self.inputs, self.winds = (torch.cat(part) for part in zip(*(self.fields(turn, self.fit) for turn in turns)))
        self.globes = [np.eye(3), *Rotation.random(args.rotations, random_state=0).as_matrix()]

    def fields(self, turn: np.ndarray, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Inputs and winds of the chosen fields on a turned globe, at the points of the icosphere in their frames."""
        inputs = self.wind.inputs(self.points, self.scale, turn)[chosen]
        winds = self.wind.winds(self.points, self.frame, self.scale, turn)[chosen]
        return torch.from_numpy(inputs), torch.from_numpy(winds)

    def predictor(self, name: str, seed: int):
        """(function from a turn to winds in the unit of the training fields, facts to report)."""
        if name == "geostrophic":
            return lambda turn: self.wind.geostrophic(self.points, self.frame, self.scale, turn)[self.held], {}
        if name == "mean of the training fields":
            mean = self.fields(np.eye(3), self.fit)[1].mean(0).numpy()  # it knows of no turn
            return lambda turn: np.broadcast_to(mean, (len(self.held), *mean.shape)), {}
        if name == "no wind":
            return lambda turn: np.zeros((len(self.held), len(self.points), 2), np.float32), {}
        torch.manual_seed(seed)
        model = MODELS[name]()
        start, cpu = time.perf_counter(), time.process_time()
        losses = train(model, self, name)
        model.eval()

        @torch.no_grad()
        def predict(turn: np.ndarray) -> np.ndarray:
            return model(self.fields(turn, self.held)[0], self.sphere).numpy()

        facts = {"parameters": sum(p.numel() for p in model.parameters()), "losses": losses[:: max(1, len(losses) // 20)]}
        facts |= {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu, "final_loss": losses[-1]}
        return predict, facts

    def run(self, name: str, seed: int) -> dict:
        """RMSE in m/s on the globe as it is and on turned ones, and by how much a turned answer is not the turned answer."""
        predict, facts = self.predictor(name, seed)
        answers = [predict(turn) for turn in self.globes]
        truths = [self.fields(turn, self.held)[1].numpy() for turn in self.globes]
        errors = [self.scale.wind * rmse(a, t, self.area) for a, t in zip(answers, truths)]
        result = {"rmse": errors[0], "rmse_turned": float(np.sqrt(np.mean(np.square(errors[1:]))))}
        return {**result, "equivariance_error": self.error(answers), "of_interpolation": self.error(truths), **facts}

    def error(self, answers: list[np.ndarray]) -> float:
        """RMS of (answer on the turned globe - turned answer), relative to the answer; the latter is interpolated."""
        plain, *turned = (np.einsum("nxc,fnc->fnx", self.frame, answer) for answer in answers)
        size = np.sqrt((plain**2).sum(-1).mean())
        if size == 0:
            return 0.0
        errors = []
        for turn, answer in zip(self.globes[1:], turned):
            expected = moved(plain, self.points, self.points @ turn) @ turn.T
            errors.append(((answer - expected) ** 2).sum(-1).mean())
        return float(np.sqrt(np.mean(errors)) / size)


# ---------------------------------------------------------------------------------------------------- report


def table(runs: list[dict]) -> str:
    """Markdown: RMSE in m/s by split, mean and range over the seeds; plain / turned."""
    splits = list(dict.fromkeys(r["split"] for r in runs))
    lines = [f"| output | parameters | {' | '.join(f'{s}, turned' for s in splits)} | equivariance error |"]
    lines.append("|---" * (len(splits) + 3) + "|")
    learnt = [r for r in runs if "final_loss" in r or r["mirror"]]
    for name, mirror in dict.fromkeys((r["model"], r["mirror"]) for r in learnt):
        own = [r for r in runs if (r["model"], r["mirror"]) == (name, mirror)]
        cells = []
        for split in splits:
            scores = [r for r in own if r["split"] == split]
            plain = [r["rmse"] for r in scores]
            spread = f" ({min(plain):.2f}-{max(plain):.2f})" if len(plain) > 1 else ""
            turned = np.mean([r["rmse_turned"] for r in scores]) if scores else 0
            cells.append(f"{np.mean(plain):.2f}{spread}, {turned:.2f}" if scores else "")
        error = np.mean([r["equivariance_error"] for r in own])
        title = name if mirror else f"{name}, no mirror images"
        lines.append(f"| {title} | {own[0].get('parameters', 0)} | {' | '.join(cells)} | {error:.3f} |")
    return "\n".join(lines)


def main() -> None:
    args = parse_arguments()
    args.out = args.out or Path("runs") / ("wind_made" if args.data is None else "wind")
    if args.data is None and not args.table:
        args.data = stand_ins.winds()
        print("no --data: random winds, in balance; what is learnt from them says nothing about the weather", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "results.json"
    runs = json.loads(file.read_text())["runs"] if file.exists() else []
    if args.table:
        print(table(runs))
        return
    skipped = ("data", "out", "table", "models", "splits", "seeds")
    settings = {key: value for key, value in vars(args).items() if key not in skipped}
    wind = GeopotentialWind(args.data)
    for split in args.splits:
        experiment = cache(partial(Experiment, wind, split, args=args))
        fit, held = experiment(False).fit, experiment(False).held
        print(f"{split} held out: {len(fit)} fields to train on, {len(held)} to test", flush=True)
        for name in args.models:
            for seed in args.seeds if name in MODELS else args.seeds[:1]:
                entry = {"model": name, "split": split, "seed": seed, **settings}
                if any(entry.items() <= old.items() for old in runs):
                    continue
                entry |= {**experiment(name in ON_GRID).run(name, seed), "machine": machine()}
                runs.append(entry)
                file.write_text(json.dumps({"runs": runs}, indent=1))
                scores = f"RMSE {entry['rmse']:.2f} m/s, turned {entry['rmse_turned']:.2f} m/s"
                interpolation = f"interpolation alone {entry['of_interpolation']:.3f}"
                print(f"{name}, seed {seed}: {scores}, equivariance error {entry['equivariance_error']:.3f} ({interpolation})")
    print(table(runs))


if __name__ == "__main__":
    main()
