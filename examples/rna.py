"""Surfaces of RNA molecules: which atom each vertex belongs to, 259 classes (Poulenard et al. 2019).

    python examples/rna.py                                               # without data of its own: bodies made here
    python examples/rna.py --data FOLDER                                 # three splits of the training molecules, 80 to 20
    python examples/rna.py --data FOLDER --models gauge --seeds 1        # FOLDER/train and FOLDER/test where there is one
    python examples/rna.py --table

Molecules lie anywhere in space and are chiral: no input but the shape of the surface, seen from its own frames. Beside the
accuracy on the test molecules stands that on their mirror images, which a network that knows left from right must not know;
"mirror-blind" is the same network over O(2). All networks have as many parameters. Meshes are decimated to --vertices; the
loss and the accuracy are those at *all* vertices of the file, also those that no face uses (3 %): a network's answers are
interpolated there from the three nearest vertices of the coarser mesh. Nothing is chosen on the test molecules; the scores are
those of the last epoch.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples import stand_ins, surfaces
from examples.common import Runs, cell, settings_of, spelled
from examples.surfaces import FEATURES, UNKNOWN, Surface
from gaugenet.data import FeatureScaler, Preparation
from gaugenet.geometry import ProcessParams
from gaugenet.learning import SavedNetwork

RESULTS = Path("runs") / "rna.json"
#: the majority class, what no learning reaches
MAJORITY = "most frequent class"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train/ID.npz (vertices, faces, labels), perhaps test/ID.npz")
    parser.add_argument("--vertices", type=int, default=4000, help="of a mesh, to which it is decimated")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file")
    surfaces.add_arguments(parser)
    args = parser.parse_args()
    if args.data is None and not args.table:
        print("no --data: 12 bodies to train on, 4 to test, made here")
        args.data = stand_ins.molecules()
    return args


def load(folder: Path) -> list[Surface]:
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            found.append(Surface(path.stem, *(arrays[name] for name in ("vertices", "faces", "labels"))))
    if not found:
        raise SystemExit(f"{folder}: no .npz files with vertices, faces and labels")
    # Their class -1 is one like the others; ours says that a label is not known.
    return [surface._replace(labels=surface.labels.astype(np.int64) + 1) for surface in found]


def split(folder: Path, seed: int) -> tuple[list[Surface], list[Surface]]:
    known = load(folder / "train")
    if (folder / "test").is_dir():
        return known, load(folder / "test")
    order = np.random.default_rng(seed).permutation(len(known))
    test = len(known) // 5
    return [known[i] for i in order[test:]], [known[i] for i in order[:test]]


def run(names: list[str], seed: int, args) -> list[dict]:
    train, test = split(args.data, seed)
    train, mirrored = train[: args.limit], [surface.mirrored() for surface in test]
    params = ProcessParams(rings=args.rings, normalize=True, repair=True, features=FEATURES, levels=args.levels)
    coarse = {s.name: s.decimated(args.vertices) for s in [*train, *test]}
    coarse |= {mirror.name: coarse[s.name].mirrored() for s, mirror in zip(test, mirrored)}
    dataset, graphs = surfaces.graphs_of(list(coarse.values()), params, args.records / "rna", args.jobs)
    found = {name: graphs[surface.name] for name, surface in coarse.items() if surface.name in graphs}
    classes = np.array([int(name) for name in dataset.task.classes])
    for s in (*train, *test, *mirrored):
        if s.name in found:
            with_labels(found[s.name], coarse[s.name], s, classes)
    fit = [found[s.name] for s in train if s.name in found]
    preparation = Preparation(params, FeatureScaler(FEATURES).fit(fit), dataset.task)
    fit, entries = [preparation(graph) for graph in fit], []
    for name in names:
        torch.manual_seed(seed)
        model = surfaces.build(name, fit[0], len(classes), args).to(args.device)
        start = time.process_time()
        surfaces.train(model, fit, vertex_loss, args, seed, f"{name}, seed {seed}")
        entry = {"model": name, "seed": seed, "parameters": sum(p.numel() for p in model.parameters())}
        entry["minutes"] = round((time.process_time() - start) / 60, 1)
        for key, part in (("accuracy", test), ("accuracy, mirrored", mirrored)):
            # A molecule whose mesh cannot be used counts as wrong.
            entry[f"{key}, each"] = [
                share_of_right(model.cpu(), preparation(found[s.name])) if s.name in found else 0.0 for s in part
            ]
            entry[key] = weighted(entry[f"{key}, each"], part)
        entries.append(entry)
        print(f"{name:28s} seed {seed}: {entry['accuracy']:.2f} %, mirrored {entry['accuracy, mirrored']:.2f} %", flush=True)
        if args.save and isinstance(model, SavedNetwork):
            model.preparation = preparation
            model.save(args.save / f"rna-{name.replace(' ', '-')}-{seed}.safetensors")
    return entries


def with_labels(graph, coarse: Surface, surface: Surface, classes: np.ndarray) -> None:
    """Keep with the graph of a coarser mesh the classes at the vertices of the surface, -1 for those that are not known."""
    surfaces.interpolate(graph, coarse, surface.vertices)
    place = np.searchsorted(classes, surface.labels).clip(max=len(classes) - 1)
    graph.label = torch.from_numpy(np.where(classes[place] == surface.labels, place, UNKNOWN))


def vertex_loss(logits: Tensor, graph) -> Tensor:
    return F.cross_entropy(surfaces.at_points(logits, graph), graph.label, ignore_index=UNKNOWN, label_smoothing=0.1)


@torch.no_grad()
def share_of_right(model: nn.Module, graph) -> float:
    """Percent of the vertices of the file that the graph was made of."""
    answer = surfaces.at_points(model(graph.x, graph), graph).argmax(1)
    return round(100 * float((answer == graph.label).float().mean()), 3)


def weighted(values: list[float], surfaces_of: list[Surface]) -> float:
    """Of all vertices together."""
    return round(float(np.average(values, weights=[len(s.vertices) for s in surfaces_of])), 3)


def majority(seed: int, args) -> dict:
    train, test = split(args.data, seed)
    best = np.bincount(np.concatenate([s.labels for s in train])).argmax()
    shapes = [round(100 * float((s.labels == best).mean()), 3) for s in test]
    entry = {"model": MAJORITY, "seed": seed, "parameters": 0, "minutes": 0.0}
    return {**entry, "accuracy, each": shapes, "accuracy": weighted(shapes, test)}


def table(results: dict) -> str:
    """Markdown: accuracies by model, mean and standard error over seeds; and the standard error over molecules of a split."""
    lines = [
        f"# Atoms on surfaces of RNA ({results['data']})",
        "",
        f"`examples/rna.py`. {results['machine']}. Percent of all vertices of the test molecules, mean and standard error over",
        "splits and seeds; the last column is the standard error over the molecules of one split.",
        "",
        "| model | parameters | accuracy | on mirror images | over molecules | CPU minutes |",
        "|---|---|---|---|---|---|",
    ]
    for name in [MAJORITY, *surfaces.MODELS]:
        runs = [r for r in results["runs"] if r["model"] == name]
        if not runs:
            continue
        mirrored = cell([r["accuracy, mirrored"] for r in runs if "accuracy, mirrored" in r])
        over = np.mean([surfaces.standard_error(r["accuracy, each"]) for r in runs])
        minutes = np.mean([r["minutes"] for r in runs])
        accuracy = cell([r["accuracy"] for r in runs])
        lines.append(f"| {name} | {runs[0]['parameters']} | {accuracy} | {mirrored} | {over:.2g} | {minutes:.1f} |")
    return "\n".join([*lines, "", spelled(results["settings"]), ""])


def main() -> None:
    args = parse_arguments()
    if args.table:
        Runs(args.out, table, "", {}, keep=True).write_table()
        return
    names = "epochs", "batch size", "lr", "weight decay", "dropout", "channels", "levels", "rings", "vertices", "limit"
    runs = Runs(args.out, table, args.data.name, settings_of(args, *names))
    for seed in range(args.seeds):
        if not runs.has(model=MAJORITY, seed=seed):
            runs.add(majority(seed, args))
        missing = [name for name in args.models if not runs.has(model=name, seed=seed)]
        for entry in run(missing, seed, args) if missing else []:
            runs.add(entry)


if __name__ == "__main__":
    main()
