"""Rotated digits: the error against the number of training images, for the groups and kernel families of the plane.

    python examples/rotated_digits.py                                     # scikit-learn's digits: an hour and a half
    python examples/rotated_digits.py --data MNIST --sizes 10000 --test 5000 --seeds 1 --out mnist.json
    python examples/rotated_digits.py --table --plot                      # table and pictures of the results that are there

Every image is turned once, by an angle of its own; all networks have the same architecture and about as many parameters, and
train for the same number of steps. Augmented ones turn their images by new angles in every step. The error is that of the
last step; docs/planar.md tells how the settings were chosen. A run that is in the results file with the same settings is not
repeated. Beside the error: the largest change of the logits under a quarter turn, and their change under any angle.
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
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples import common
from examples.common import Runs, add_training_arguments, by_model, cell, settings_of, spelled, with_parameters
from gaugenet import groups
from gaugenet.data import RotatedDigits
from gaugenet.models import PlanarCNN

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("runs") / "rotated_digits.json"
ANGLES = np.arange(0, 91, 7.5)
PATTERN = (1, 1, 2, 2, 2)  # widths of the layers, to one another

_CNN = partial(PlanarCNN, reduce="mean")
# Regular fields, and functions on the rotations modulo half turns (lines) and quarter turns (Weiler & Cesa 2019, table 3).
QUOTIENTS = [(2, groups.Cyclic(8).regular)] + [(1, groups.Cyclic(8).quotient(groups.Cyclic(n))) for n in (2, 4)]

# No learning.
NEAREST = "nearest image"

#: name: (network of given widths, whether its training images are turned anew in every step)
MODELS = {
    NEAREST: (None, False),
    "pointwise": (partial(_CNN, groups.Trivial(), kernel_size=1), False),  # no convolution
    "isotropic": (partial(_CNN, groups.SO2(), "1x0", basis="band_limited"), False),  # order 0 alone
    "CNN": (partial(_CNN, groups.Trivial()), False),
    "CNN, augmented": (partial(_CNN, groups.Trivial()), True),
    "CNN, augmented, no dropout": (partial(PlanarCNN, groups.Trivial(), reduce="max", dropout=0.0), True),
    "p4": (partial(_CNN, groups.Cyclic(4)), False),
    "p4, augmented": (partial(_CNN, groups.Cyclic(4)), True),
    "p4m": (partial(_CNN, groups.Dihedral(4)), False),
    "C_8": (partial(_CNN, groups.Cyclic(8), basis="band_limited"), False),
    "C_8, augmented": (partial(_CNN, groups.Cyclic(8), basis="band_limited"), True),
    "C_8, interpolated": (partial(_CNN, groups.Cyclic(8), basis="interpolated"), False),
    "C_8, quotients": (partial(_CNN, groups.Cyclic(8), QUOTIENTS, basis="band_limited"), False),
    "SO(2) irreps": (partial(_CNN, groups.SO2(), "1x0 + 1x1 + 1x2", basis="band_limited"), False),
    "O(2) irreps": (partial(_CNN, groups.O2(), "1x0 + 1x0- + 1x1 + 1x2", basis="band_limited"), False),
}


def parse_arguments(names: list[str], text: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=names)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 300, 1000], help="numbers of training images")
    parser.add_argument("--seeds", type=int, default=2, help="of the angles, the choice of images and the weights")
    parser.add_argument("--test", type=int, default=797, help="number of test images")
    parser.add_argument("--steps", type=int, default=1500)
    add_training_arguments(parser, batch_size=64, lr=5e-3, weight_decay=0.05, dropout=0.2)
    parser.add_argument("--parameters", type=int, default=15_000, help="of every network, about")
    parser.add_argument("--data", type=Path, help="folder of the MNIST files; by default scikit-learn's digits")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file; benchmarks/results has ours")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--plot", type=Path, nargs="?", const=Path("runs"), help="folder of the pictures")
    return parser.parse_args()


def load_arrays(folder: Path | None) -> tuple[str, dict, tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Name, options of RotatedDigits, (training images, labels), (test images, labels)."""
    if folder is not None:
        train, test = np.load(folder / "mnist_train10k.npz"), np.load(folder / "mnist_t10k_even.npz")
        order = np.random.default_rng(0).permutation(len(test["y"]))  # the files are ordered by class
        return "MNIST", {}, (train["x"], train["y"]), (test["x"][order], test["y"][order])
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = (digits.images / 16)[order], digits.target[order]
    # Twice as large, so that there is something to turn; 20 pixels hold all of an upright image and most of its corners.
    return "scikit-learn's digits", {"scale": 2.0, "size": 20}, (x[:1000], y[:1000]), (x[1000:], y[1000:])


def build(name: str, parameters: int, **options) -> nn.Module:
    """The network of that name with about so many parameters. Options that the name itself fixes are left as they are."""
    make = MODELS[name][0]
    options = {key: value for key, value in options.items() if key not in make.keywords}
    return with_parameters(make, parameters, PATTERN, **options)


def turned(images: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Images (B, 1, n, n) turned counter-clockwise by angles (B,), bicubic, 0 beyond them."""
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # In the coordinates of grid_sample (y down) the inverse of a counter-clockwise turn.
    matrix = torch.stack([torch.stack([cos, -sin, zero], -1), torch.stack([sin, cos, zero], -1)], -2)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bicubic", align_corners=False)


def train(model: nn.Module, data: RotatedDigits, args, seed: int, augmented: bool, title: str) -> None:
    generator = torch.Generator().manual_seed(seed)

    def batches(epoch: int):
        for _ in range(args.steps):
            batch = torch.randint(len(data), (args.batch_size,), generator=generator)
            angles = 2 * torch.pi * torch.rand(args.batch_size, generator=generator)
            images, labels = data[batch]
            images = turned(images, angles) if augmented else images
            yield images.to(args.device), labels.to(args.device)

    common.train(
        model,
        batches,
        lambda net, batch: F.cross_entropy(net(batch[0]), batch[1]),
        1,
        args.steps,
        title=title,
        **common.cycle_of(args),
    )


@torch.no_grad()
def nearest(images: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, turns: int = 36) -> torch.Tensor:
    """The label of the training image that a test image, turned by any multiple of 360 / turns degrees, comes nearest to."""
    known, best, found = images.flatten(1), torch.full((len(test),), torch.inf), torch.empty(len(test), dtype=labels.dtype)
    for angle in torch.arange(turns) * (2 * torch.pi / turns):
        distance, index = torch.cdist(turned(test, angle.expand(len(test))).flatten(1), known).min(1)
        found[distance < best] = labels[index[distance < best]]
        best = torch.minimum(best, distance)
    return found


@torch.no_grad()
def logits(model: nn.Module, images: torch.Tensor, args) -> torch.Tensor:
    model.eval()
    return torch.cat([model(part.to(args.device)).cpu() for part in images.split(250)])


def changes(model: nn.Module, arrays, seed: int, args) -> tuple[float, list[float]]:
    """Largest change of the logits under a quarter turn; their change under ANGLES, relative to their spread over images."""
    _, options, _, (x, y) = arrays
    start = np.random.default_rng(seed).uniform(0, 2 * np.pi, min(200, len(y)))
    out = []
    for angle in np.radians(ANGLES):
        images = RotatedDigits(x[: len(start)], y[: len(start)], angles=start + angle, **options).images
        out.append(logits(model, images, args))
        if not angle:
            quarter = (logits(model, torch.rot90(images, 1, (2, 3)), args) - out[0]).abs().max()
    spread = (out[0] - out[0].mean(0)).square().mean().sqrt()
    return float(quarter), [float((o - out[0]).square().mean().sqrt() / spread) for o in out]


def run(name: str, size: int, seed: int, arrays, args) -> dict:
    _, options, (x, y), (test_x, test_y) = arrays
    chosen = np.random.default_rng(seed).permutation(len(y))[:size]
    data = RotatedDigits(x[chosen], y[chosen], seed=seed, **options)
    test = RotatedDigits(test_x[: args.test], test_y[: args.test], seed=1000 + seed, **options)
    if name == NEAREST:
        start = time.perf_counter()
        wrong = nearest(data.images, data.labels, test.images) != test.labels
        seconds = round(time.perf_counter() - start, 1)
        return {"parameters": 0, "seconds": seconds, "test error": round(100 * float(wrong.double().mean()), 3)}
    torch.manual_seed(seed)
    model = build(name, args.parameters, dropout=args.dropout).to(args.device)
    start = time.perf_counter()
    train(model, data, args, seed, MODELS[name][1], f"{name}, {size} images, seed {seed}")
    seconds = time.perf_counter() - start
    wrong = logits(model, test.images, args).argmax(1) != test.labels
    quarter, angles = changes(model, arrays, seed, args)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds, 1),
        "test error": round(100 * float(wrong.double().mean()), 3),
        "change under 90 degrees": quarter,
        "change under angles": [round(a, 5) for a in angles],
    }


def table(results: dict) -> str:
    """Markdown: test errors by model and number of images, mean and standard error of the seeds, and each of them."""
    sizes = sorted({r["size"] for r in results["runs"]})
    lines = [
        f"# Rotated digits ({results['data']})",
        "",
        f"`examples/rotated_digits.py`. {results['machine']}.",
        "",
        "Test error in percent by number of training images, and the largest change of the logits under a quarter turn.",
        "",
    ]

    def of_size(size: int) -> Callable[[list[dict]], str]:
        return lambda own: cell([r["test error"] for r in own if r["size"] == size], ".2f")

    def change(own: list[dict]) -> str:
        changed = [r["change under 90 degrees"] for r in own if "change under 90 degrees" in r]
        return f"{max(changed):.1e}" if changed else ""

    columns = {str(size): of_size(size) for size in sizes} | {"under 90 degrees": change}
    lines += by_model(results["runs"], MODELS, columns)
    return "\n".join([*lines, "", spelled(results["settings"]), ""])


def plot(results: dict, folder: Path) -> None:
    """Two pictures: test error against training images; change of the logits against the angle, at the most images."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in MODELS if any(r["model"] == name for r in results["runs"])]
    most = max(r["size"] for r in results["runs"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    colours = dict(zip(names, plt.colormaps["tab20"].colors))
    for name in names:
        runs = [r for r in results["runs"] if r["model"] == name]
        sizes = sorted({r["size"] for r in runs})
        left.plot(
            sizes,
            [np.mean([r["test error"] for r in runs if r["size"] == s]) for s in sizes],
            "o-",
            color=colours[name],
            label=name,
        )
        curves = [r["change under angles"] for r in runs if r["size"] == most and "change under angles" in r]
        if curves:
            right.plot(ANGLES, np.mean(curves, 0), color=colours[name])
    left.set(xscale="log", yscale="log", xlabel="training images", ylabel="test error, %")
    right.set(ylim=(0, None), xlabel="angle, degrees", ylabel="change of the logits / their spread")
    figure.legend(loc="outside right upper", fontsize=8)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "rotated_digits.png", dpi=110)
    plt.close(figure)


def main(names: list[str] | None = None, text: str | None = __doc__) -> None:
    """Train the models of these names, by default all."""
    args = parse_arguments(list(MODELS) if names is None else names, text)
    arrays = load_arrays(args.data)
    settings = settings_of(args, "steps", "batch size", "lr", "weight decay", "dropout", "parameters", "test")
    runs = Runs(args.out, table, arrays[0], settings, keep=args.table)
    plan = [(n, s, seed) for seed in range(args.seeds) for s in args.sizes for n in args.models] if not args.table else []
    for name, size, seed in plan:
        if runs.has(model=name, size=size, seed=seed):
            continue
        entry = {"model": name, "size": size, "seed": seed, **run(name, size, seed, arrays, args)}
        print(f"{name:18s} {size:6d} images, seed {seed}: {entry['test error']:.2f} %, {entry['seconds']} s", flush=True)
        runs.add(entry)
    if args.table:
        runs.write_table()
    if args.plot is not None and runs.results["runs"]:
        plot(runs.results, args.plot)


if __name__ == "__main__":
    main()
