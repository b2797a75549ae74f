"""Spherical MNIST (Cohen et al. 2018): train on upright (NR) or turned (R) digits, test on both.

    python examples/spherical_digits.py                              # scikit-learn's digits: about ten minutes on two cores
    python examples/spherical_digits.py --data FOLDER                # FOLDER: mnist_train10k.npz, mnist_t10k_even.npz; an hour
    python examples/spherical_digits.py --data FOLDER --models spherical isotropic --train NR R --seeds 0 1 2

A network that is equivariant to rotations scores the same on both, whichever it was trained on. Nothing is chosen on the test
set: choose with --validation N, which tests on N of the training images instead. A run that is in OUT/results.json with the
same settings is not repeated; --table writes the table of the runs that are there.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine
from examples import common, stand_ins
from gaugenet import FieldType, geometry, groups
from gaugenet.data import SphericalDigits, StaticGraph
from gaugenet.models import GaugeClassifier, IcosahedralCNN, SphericalCNN, SpinCNN, ZonalCNN
from gaugenet.spectral import SpectralPool, SphericalTransform

# Pooling from one icosphere to the next: band limit, degrees told apart, width of the Gaussian (radians).
BANDS = {3: (10, 14, 0.05), 2: (5, 8, 0.1)}

FINE = {"spread": 2.0, "channels": (8, 16, 32, 64)}


class PointwiseNet(nn.Module):
    """No neighbourhoods at all: a perceptron at every point, the mean over the sphere by area, a perceptron."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a in (1, width, width):
            layers += [nn.Linear(a, width), nn.BatchNorm1d(width), nn.ReLU()]
        self.point = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, x: Tensor, sphere: StaticGraph) -> Tensor:
        values = self.point(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.head((values * (sphere.area / sphere.area.sum())[:, None]).sum(1))


class NearestSpectrum:
    """No learning: the nearest training image in the power of every degree l, which rotations leave alone."""

    def __init__(self, images: Tensor, labels: Tensor, sphere: StaticGraph, degree: int = 14) -> None:
        self.transform, self.labels = SphericalTransform(sphere.pos, degree), labels
        self.known = self.descriptor(images)

    def descriptor(self, images: Tensor) -> Tensor:
        coefficients = self.transform.to(images).analysis(images[..., 0])
        degrees = coefficients.split([2 * l + 1 for l in range(self.transform.lmax + 1)], -1)
        return torch.stack([own.norm(dim=-1) for own in degrees], -1)

    def __call__(self, images: Tensor, sphere: StaticGraph) -> Tensor:
        nearest = [torch.cdist(part, self.known).argmin(1) for part in self.descriptor(images).split(500)]
        return F.one_hot(self.labels[torch.cat(nearest)], 10).float()


class SmoothPool(nn.Module):
    """SpectralPool for fields one under the other, (B N, dim) -> (B M, dim), in the place of GaugePool.

    The cluster of a coarse point lies on one side of it or another, and the mean over it moves with it: that costs most
    of the equivariance to rotations. A band limit has no sides.
    """

    def __init__(self, type: FieldType, level: int, spread: float = 1.0) -> None:
        super().__init__()
        fine, coarse = geometry.icosphere(level), geometry.icosphere(level - 1)
        lmax, source_lmax, width = BANDS[level]
        width *= spread
        l = torch.arange(lmax + 1)
        gain = torch.exp(-l * (l + 1) * width**2 / 2)
        self.num_nodes, self.pool = fine.num_nodes, SpectralPool(type, fine, coarse, lmax, source_lmax=source_lmax, gain=gain)

    def forward(self, x: Tensor, level) -> Tensor:
        return self.pool(x.unflatten(0, (-1, self.num_nodes))).flatten(0, 1)


class OnIcosahedron(nn.Module):
    """IcosahedralCNN on images (B, N, 1): its layers take batches of equal graphs."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.net = IcosahedralCNN(1, 10, channels=((8,), (16, 16), (24,)), norm="batch")
        self.graph = geometry.icosahedron(level, levels=2).to_graph().float()
        self.batches: dict[int, Batch] = {}

    def forward(self, x: Tensor, sphere: StaticGraph) -> Tensor:
        if len(x) not in self.batches:
            self.batches[len(x)] = Batch.from_data_list([self.graph] * len(x))
        return self.net(x.flatten(0, 1), self.batches[len(x)])


def network(
    kind: type[GaugeClassifier], args: argparse.Namespace, smooth: bool = True, spread: float = 1.0, **options
) -> GaugeClassifier:
    # The committed results were made with batch norms, the default of their day.
    options = {"blocks": (1, 2, 1), "dropout": args.dropout, "norm": "batch", **options}
    net = kind(FieldType(groups.SO2(), SphericalDigits.type), 10, **options)
    if smooth:  # on finer spheres than those of BANDS, clusters are small beside the strokes of a digit
        levels = range(args.level, 0, -1)
        smoothed = [SmoothPool(type, k, spread) if k in BANDS else pool for k, type, pool in zip(levels, net.types, net.pools)]
        net.pools = nn.ModuleList(smoothed)
    return net


MODELS = {
    "spherical": lambda args: network(SphericalCNN, args, channels=(12, 24, 32)),
    "spherical, pooled in clusters": lambda args: network(SphericalCNN, args, smooth=False, channels=(12, 24, 32), pool="mean"),
    # For --level 4: four levels, the first of them narrow.
    "spherical, fine": lambda args: network(SphericalCNN, args, **FINE, blocks=(1, 1, 2, 1)),
    "spherical, fine, order 3": lambda args: network(SphericalCNN, args, **FINE, blocks=(1, 1, 2, 2), order=3),
    "spin": lambda args: network(SpinCNN, args),
    # Order 0 only: the same network without directions.
    "isotropic": lambda args: network(ZonalCNN, args, channels=(24, 48, 96)),
    "isotropic, fine": lambda args: network(ZonalCNN, args, spread=2.0, channels=(16, 32, 64, 128), blocks=(1, 1, 2, 2)),
    "icosahedral": lambda args: OnIcosahedron(args.level),
    "pointwise": lambda args: PointwiseNet(),
}
LEARNING_FREE = "nearest spectrum"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the MNIST files (default: scikit-learn's digits)")
    parser.add_argument("--models", nargs="+", choices=[*MODELS, LEARNING_FREE], default=["spherical"])
    parser.add_argument("--train", nargs="+", choices=["NR", "R"], default=["NR", "R"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--level", type=int, choices=[3, 4], default=3, help="of the icosphere: 10 4^level + 2 points")
    parser.add_argument("--extent", type=float, default=115.0, help="degrees from the centre of the image to its sides")
    parser.add_argument("--blur", type=float, default=5.0, help="degrees; about half the spacing of the points")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument(
        "--deform",
        type=float,
        default=0.0,
        help="standard deviation of the entries of a random linear map of every image, in every epoch",
    )
    parser.add_argument("--images", type=int, help="train on this many (default: all)")
    parser.add_argument("--validation", type=int, default=0, help="test on this many of the training images")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--weight-decay", type=float, default=1e-3)
    parser.add_argument("--smoothing", type=float, default=0.1, help="label smoothing")
    text = "folder of the results (default: runs/spherical_digits; without --data runs/spherical_digits_sklearn)"
    parser.add_argument("--out", type=Path, help=text)
    parser.add_argument("--table", action="store_true", help="print the table of OUT/results.json and stop")
    return parser.parse_args()


# ---------------------------------------------------------------------------------------------------- data


def where(name: str) -> str:
    """The points that a model works on."""
    return "icosahedron" if name == "icosahedral" else "sphere"


def points_of(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """The points of the models asked for, and those of the icosphere; the flat icosahedron's are projected by the loader."""
    makers = {"sphere": geometry.icosphere, "icosahedron": geometry.icosahedron}
    return {kind: makers[kind](args.level).positions for kind in {"sphere": 0} | dict.fromkeys(map(where, args.models))}


def deformed(images: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """Images (n, h, w) under linear maps I + deviation * normal, each its own, about the centre; bilinear, uint8."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.eye(2, 3) + deviation * torch.randn(len(images), 2, 3, generator=generator) * torch.tensor([1.0, 1.0, 0.0])
    grid = F.affine_grid(maps, [len(images), 1, *images.shape[1:]], align_corners=False)
    values = F.grid_sample(torch.from_numpy(images)[:, None].float(), grid, align_corners=False)
    return values[:, 0].round().byte().numpy()


class Signals:
    """The signals of a data set at points of the sphere, standardised: (n, N, 1), by protocol."""

    def __init__(self, digits: SphericalDigits, points: np.ndarray, indices: np.ndarray) -> None:
        self.digits, self.points, self.indices, self.mean, self.deviation = digits, points, indices, 0.0, 1.0
        self.labels = torch.from_numpy(digits.labels[indices])
        self.fixed = {name: self(name) for name in ("NR", "R")}

    def __call__(self, protocol: str, deform: float = 0.0, seed: int = 0) -> Tensor:
        """Drawn anew, the images deformed; the rotations of R are always those of the data set."""
        digits = copy.copy(self.digits)
        if deform:
            digits.images = deformed(digits.images, deform, seed)
        values = digits.signals(self.points, rotated=protocol == "R", indices=self.indices)
        return torch.from_numpy(values)[..., None].sub_(self.mean).div_(self.deviation)

    def standardise(self, mean: float, deviation: float) -> None:
        self.mean, self.deviation = mean, deviation
        self.fixed = {name: values.sub_(mean).div_(deviation) for name, values in self.fixed.items()}


def load(args: argparse.Namespace, points: np.ndarray) -> tuple[Signals, Signals]:
    """Training and test signals."""
    options = {"extent": args.extent, "blur": args.blur}
    known = SphericalDigits(args.data / "mnist_train10k.npz", **options, seed=1)
    fit, held = known.split(args.validation)
    if args.validation:
        unseen, seen = known, held
    else:
        unseen = SphericalDigits(args.data / "mnist_t10k_even.npz", **options, seed=2)
        seen = np.arange(len(unseen))
    train, test = Signals(known, points, fit[: args.images]), Signals(unseen, points, seen)
    mean, deviation = float(train.fixed["NR"].mean()), float(train.fixed["NR"].std())
    for part in (train, test):
        part.standardise(mean, deviation)
    return train, test


# ---------------------------------------------------------------------------------------------------- training


def train(model: nn.Module, data: Signals, protocol: str, sphere: StaticGraph, args: argparse.Namespace, seed: int) -> list:
    """One cycle of AdamW; returns the loss of every epoch."""
    steps = len(data.labels) // args.batch_size

    def batches(epoch: int):
        images = data(protocol, args.deform, 1000 * seed + epoch) if args.deform else data.fixed[protocol]
        for part in torch.randperm(len(images))[: steps * args.batch_size].split(args.batch_size):
            yield images[part], data.labels[part]

    def loss_of(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(net(batch[0], sphere), batch[1], label_smoothing=args.smoothing)

    losses = common.train(model, batches, loss_of, args.epochs, steps, title=f"{protocol} {seed}", **common.cycle_of(args))
    return [round(loss, 4) for loss in losses]


@torch.no_grad()
def predict(model, images: Tensor, sphere: StaticGraph) -> Tensor:
    if isinstance(model, nn.Module):
        model.eval()
    return torch.cat([model(part, sphere).argmax(1) for part in images.split(50)])


def run(name: str, protocol: str, seed: int, data: tuple[Signals, Signals], sphere: StaticGraph, args) -> dict:
    """Train one model on one protocol and test it on both."""
    known, test = data
    torch.manual_seed(seed)
    start, cpu = time.perf_counter(), time.process_time()
    if name == LEARNING_FREE:
        model, losses, parameters = NearestSpectrum(known.fixed[protocol], known.labels, sphere), [], 0
    else:
        model = MODELS[name](args)
        losses = train(model, known, protocol, sphere, args, seed)
        parameters = sum(p.numel() for p in model.parameters())
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    answers = {other: predict(model, test.fixed[other], sphere) for other in ("NR", "R")}
    result = {f"accuracy_{other}": 100 * float((answers[other] == test.labels).float().mean()) for other in ("NR", "R")}
    agree = 100 * float((answers["NR"] == answers["R"]).float().mean())
    return {**result, "same_answer": agree, "parameters": parameters, "seconds": seconds, "cpu_seconds": cpu, "losses": losses}


# ---------------------------------------------------------------------------------------------------- report


def table(runs: list[dict]) -> str:
    """Markdown: mean (and range over the seeds) of the accuracy for every model and protocol."""
    lines = ["| network | parameters | NR/NR | NR/R | R/R | seeds |", "|---|---|---|---|---|---|"]
    for name in dict.fromkeys(r["model"] for r in runs):
        own = [r for r in runs if r["model"] == name]
        cells = []
        for fit, other in (("NR", "NR"), ("NR", "R"), ("R", "R")):
            scores = [r[f"accuracy_{other}"] for r in own if r["train"] == fit]
            spread = f" ({min(scores):.2f}-{max(scores):.2f})" if len(scores) > 1 else ""
            cells.append(f"{np.mean(scores):.2f}{spread}" if scores else "")
        lines.append(f"| {name} | {own[0]['parameters']} | {' | '.join(cells)} | {len({r['seed'] for r in own})} |")
    return "\n".join(lines)


def main() -> None:
    args = parse_arguments()
    args.out = args.out or Path("runs") / ("spherical_digits_sklearn" if args.data is None else "spherical_digits")
    if args.data is None and not args.table:
        args.data = stand_ins.digits()
        print("no --data: scikit-learn's digits of 8 x 8 pixels, not MNIST", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "results.json"
    runs = json.loads(file.read_text())["runs"] if file.exists() else []
    if args.table:
        print(table(runs))
        return
    skipped = ("data", "out", "table", "models", "train", "seeds")
    settings = {key: value for key, value in vars(args).items() if key not in skipped} | {"bands": repr(BANDS)}
    sphere = StaticGraph(geometry.icosphere(args.level, levels=args.level - 1).to_graph().float())
    data = {name: load(args, points) for name, points in points_of(args).items()}
    known, test = (len(part.labels) for part in data["sphere"])
    print(f"{known} training and {test} test images on {sphere.num_nodes} points", flush=True)
    for seed in args.seeds:
        for name in args.models:
            for protocol in args.train:
                entry = {"model": name, "train": protocol, "seed": seed, **settings}
                if any(entry.items() <= old.items() for old in runs):
                    continue
                entry |= {**run(name, protocol, seed, data[where(name)], sphere, args), "machine": machine()}
                runs.append(entry)
                file.write_text(json.dumps({"runs": runs}, indent=1))
                scores = f"NR {entry['accuracy_NR']:.2f} %, R {entry['accuracy_R']:.2f} %"
                print(f"{name}, trained on {protocol}, seed {seed}: {scores}, {entry['seconds']:.0f} s", flush=True)
    print(table(runs))


if __name__ == "__main__":
    main()
