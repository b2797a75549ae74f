"""Volumes: adrenal glands by their shape (AdrenalMNIST3D), and turned objects (ModelNet10), for the groups of space.

    python examples/adrenal.py --steps 50 --seeds 1                # bodies of balls, made here: about five minutes on two cores
    python examples/adrenal.py --data ADRENALMNIST3D               # AUC on the official validation part: about an hour
    python examples/adrenal.py --data MODELNET10_VOXELS --turn vertical --out vertical.json
    python examples/adrenal.py --data MODELNET10_VOXELS --turn all --out all.json
    python examples/adrenal.py --table                                            # the table of the results that are there

All networks have the same architecture and about as many parameters, and train for the same number of steps. Glands stay as
they are; objects are turned once each, training and test alike, about the vertical or by any rotation, and smoothed and
halved to 16^3 voxels. A run that is in the results file with the same settings is not repeated. "pointwise" has no
neighbours, "order 0" kernels that depend on the distance alone. Beside the score: the largest change of the logits under the 24
rotations of the cube, relative to their spread over volumes. Of ModelNet10 the accuracy is given on all test grids, and
without the defects of the arrays: empty grids, and test grids that occur in the training part.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples import common, stand_ins
from examples.common import Runs, add_training_arguments, by_model, means, settings_of, spelled, with_parameters
from gaugenet import FieldType, groups
from gaugenet.models import GCNN3D, CubeNet, SteerableCNN3D, VoxelCNN
from gaugenet.testing import transform_image

RESULTS = Path("runs") / "adrenal.json"
PATTERN = (1, 1, 2, 2, 2)  # widths of the layers, to one another
CUBE = groups.Octahedral()

#: name: (network of given widths, whether its training volumes are turned by a random rotation of the cube in every step)
MODELS = {
    "pointwise": (partial(VoxelCNN, groups.Trivial(3), kernel_size=1), False),
    "order 0": (partial(VoxelCNN, groups.SO3(), "1x0"), False),
    "CNN": (partial(VoxelCNN, groups.Trivial(3)), False),
    "CNN, augmented": (partial(VoxelCNN, groups.Trivial(3)), True),
    "V": (partial(CubeNet, groups.Klein()), False),
    "S4": (partial(CubeNet, CUBE), False),
    "D4h": (partial(GCNN3D, groups.point_group("D4h")), False),
    "O_h": (partial(GCNN3D, groups.FullOctahedral()), False),
    "SO(2) about z": (partial(VoxelCNN, groups.SO2(dim=3), nonlinearity="regular"), False),
    "SO(3), gated": (partial(SteerableCNN3D, kernel_size=3), False),
    "SO(3), on the sphere": (partial(VoxelCNN, groups.SO3(), nonlinearity="regular", reduce="mean"), False),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of AdrenalMNIST3D (adrenal28_train_val.npz) or of ModelNet10's voxels (default: bodies made here)",
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--turn", choices=("no", "vertical", "all"), default="no", help="about which axes objects are turned")
    parser.add_argument("--seeds", type=int, default=3, help="of the turns, the weights and the order of training")
    parser.add_argument("--steps", type=int, default=400)
    add_training_arguments(parser, weight_decay=0.05, batch_size=24)
    parser.add_argument("--parameters", type=int, default=15_000, help="of every network, about")
    parser.add_argument("--limit", type=int, help="number of training volumes, by default all")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file; benchmarks/results has ours")
    parser.add_argument("--table", action="store_true", help="train nothing")
    return parser.parse_args()


def random_rotations(count: int, about: str, seed: int) -> torch.Tensor:
    """(count, 3, 3): about the z axis ("vertical"), or any."""
    group = groups.SO2(dim=3) if about == "vertical" else groups.SO3()
    return group.sample(count, torch.Generator().manual_seed(seed), dtype=torch.float32)


def turned(volumes: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Volumes (B, 1, n, n, n) moved by rotations (B, 3, 3) about their middle, trilinear, 0 beyond them."""
    # grid_sample counts along (W, H, D) with H downwards: our x, -y, z; it asks for the place that a voxel's value is from.
    flip = torch.diag(torch.tensor([1.0, -1.0, 1.0]))
    matrix = torch.cat([flip @ g.mT @ flip, g.new_zeros(len(g), 3, 1)], 2)
    return F.grid_sample(volumes, F.affine_grid(matrix, list(volumes.shape), align_corners=False), align_corners=False)


def halved(volumes: torch.Tensor) -> torch.Tensor:
    return F.avg_pool3d(volumes, 2)


def prepare(volumes: np.ndarray, turn: str, seed: int) -> torch.Tensor:
    """Arrays (N, n, n, n) of 0 and 1 as volumes (N, 1, n / 2, n / 2, n / 2), turned once each."""
    g = random_rotations(len(volumes), turn, seed)
    parts = []
    for start in range(0, len(volumes), 256):
        part = torch.from_numpy(volumes[start : start + 256]).float()[:, None]
        parts.append(halved(part if turn == "no" else turned(part, g[start : start + 256])))
    return torch.cat(parts)


def load_adrenal(folder: Path) -> dict:
    arrays = np.load(folder / "adrenal28_train_val.npz")
    return {
        "name": "AdrenalMNIST3D",
        "train": (arrays["train_images"] > 0, arrays["train_labels"][:, 0].astype(np.int64)),
        "test": (arrays["val_images"] > 0, arrays["val_labels"][:, 0].astype(np.int64)),
    }


def load_modelnet(folder: Path) -> dict:
    """With the numbers of the test grids that are no defects."""
    bits = {part: np.load(folder / f"{part}.npz") for part in ("train", "test_even")}
    data: dict = {"name": "ModelNet10"}
    for part, name in (("train", "train"), ("test_even", "test")):
        # Their last axis is the vertical one; ours is the first.
        volumes = np.unpackbits(bits[part]["bits"], axis=1).reshape(-1, 32, 32, 32).transpose(0, 3, 1, 2)
        data[name] = np.ascontiguousarray(volumes), bits[part]["y"].astype(np.int64)
    known = {grid.tobytes() for grid in bits["train"]["bits"]}
    fine = [bool(grid.any()) and grid.tobytes() not in known for grid in bits["test_even"]["bits"]]
    return {**data, "fine": np.flatnonzero(fine)}


def load(folder: Path | None) -> dict:
    if folder is None:
        return {**load_adrenal(stand_ins.volumes()), "name": "bodies of balls"}
    return load_adrenal(folder) if (folder / "adrenal28_train_val.npz").is_file() else load_modelnet(folder)


def build(name: str, parameters: int, **options) -> nn.Module:
    return with_parameters(MODELS[name][0], parameters, PATTERN, **options)


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, args, seed: int, augmented: bool, title: str) -> None:
    generator, scalars = torch.Generator().manual_seed(seed), FieldType(CUBE, "1xA1")

    def batches(epoch: int):
        for _ in range(args.steps):
            batch = torch.randint(len(y), (args.batch_size,), generator=generator)
            volumes = x[batch]
            if augmented:
                which = int(torch.randint(CUBE.order, (1,), generator=generator))
                volumes = transform_image(volumes, scalars, CUBE.elements[which])
            yield volumes.to(args.device), y[batch].to(args.device)

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
def logits(model: nn.Module, x: torch.Tensor, args) -> torch.Tensor:
    model.eval()
    return torch.cat([model(part.to(args.device)).cpu() for part in x.split(64)])


def area_under_curve(score: np.ndarray, label: np.ndarray) -> float:
    """The probability that a volume of class 1 has a higher score than one of class 0, ties counted half."""
    ones, zeros = score[label == 1], score[label == 0]
    return float((ones[:, None] > zeros).mean() + 0.5 * (ones[:, None] == zeros).mean())


def change_under_the_cube(model: nn.Module, x: torch.Tensor, args) -> float:
    """Largest change of the logits of some volumes under the rotations of the cube, relative to their spread."""
    x, scalars = x[:24], FieldType(CUBE, "1xA1")
    before = logits(model, x, args)
    spread = (before - before.mean(0)).square().mean().sqrt()
    return float(
        max((logits(model, transform_image(x, scalars, g), args) - before).abs().max() for g in CUBE.elements) / spread
    )


def run(name: str, seed: int, data: dict, args) -> dict:
    (train_x, train_y), (test_x, test_y) = data["train"], data["test"]
    chosen = np.random.default_rng(seed).permutation(len(train_y))[: args.limit]
    x, y = prepare(train_x[chosen], args.turn, seed), torch.from_numpy(train_y[chosen])
    test = prepare(test_x, args.turn, 1000 + seed)
    torch.manual_seed(seed)
    classes = int(max(train_y.max(), test_y.max())) + 1
    model = build(name, args.parameters, dropout=args.dropout, num_classes=classes).to(args.device)
    start = time.process_time()
    train(model, x, y, args, seed, MODELS[name][1], f"{name}, seed {seed}")
    entry = {"parameters": sum(p.numel() for p in model.parameters()), "seconds": round(time.process_time() - start, 1)}
    out = logits(model, test, args)
    right = (out.argmax(1).numpy() == test_y).astype(float)
    entry["accuracy"] = round(100 * right.mean(), 2)
    if classes == 2:
        entry["AUC"] = round(area_under_curve((out[:, 1] - out[:, 0]).numpy(), test_y), 4)
    if "fine" in data:
        entry["accuracy without defects"] = round(100 * right[data["fine"]].mean(), 2)
    return {**entry, "change under the cube": change_under_the_cube(model, test, args)}


SCORES = ("AUC", "accuracy", "accuracy without defects")


def table(results: dict) -> str:
    """Markdown: the scores by model, mean and standard error of the seeds, and each of them."""
    scores = [s for s in SCORES if any(s in r for r in results["runs"])]
    lines = [
        f"# Volumes ({results['data']}, turned: {results['settings']['turn']})",
        "",
        f"`examples/adrenal.py`. {results['machine']}.",
        "",
    ]
    columns = {score: means(score) for score in scores} | {
        "change under the cube": lambda own: f"{max(r['change under the cube'] for r in own):.1e}",
        "CPU s": lambda own: f"{np.mean([r['seconds'] for r in own]):.0f}",
    }
    lines += by_model(results["runs"], MODELS, columns)
    return "\n".join([*lines, "", spelled(results["settings"]), ""])


def main() -> None:
    args = parse_arguments()
    if args.table:
        Runs(args.out, table, "", {}, keep=True).write_table()
        return
    data = load(args.data)
    settings = settings_of(args, "turn", "steps", "batch size", "lr", "weight decay", "dropout", "parameters", "limit")
    runs = Runs(args.out, table, data["name"], settings)
    for name, seed in [(name, seed) for seed in range(args.seeds) for name in args.models]:
        if runs.has(model=name, seed=seed):
            continue
        entry = {"model": name, "seed": seed, **run(name, seed, data, args)}
        shown = ", ".join(f"{s} {entry[s]}" for s in SCORES if s in entry)
        print(f"{name:20s} seed {seed}: {shown}, {entry['seconds']} s", flush=True)
        runs.add(entry)


if __name__ == "__main__":
    main()
