"""Surfaces of RNA molecules: which atom each vertex belongs to, 259 classes (Poulenard et al. 2019).

    python examples/rna.py                                               # without data of its own: bodies made here
    python examples/rna.py --data FOLDER                                 # three splits of the training molecules, 80 to 20
    python examples/rna.py --data FOLDER --models gauge --seeds 1        # FOLDER/train and FOLDER/test where there is one
    python examples/rna.py --data FOLDER --weights examples/weights/rna.safetensors    # a network that is trained
    python examples/rna.py --table

A network takes a minute of one core on the bodies, 5 to 20 minutes on 80 molecules; PyG's EdgeCNN more than an hour
(--models leaves networks out).

Molecules lie anywhere in space and are chiral: no input but the shape of the surface, seen from its own frames. Beside the
accuracy on the test molecules stands that on their mirror images, which a network that knows left from right must not know;
"mirror-blind" is the same network over O(2). All networks have as many parameters and see even meshes of --vertices. The loss
and the accuracy are those at *all* vertices of the file, also those that no face uses (3 %): a network's answers are
interpolated there from the three nearest vertices of the even mesh. Nothing is chosen on the test molecules; the scores are
those of the last epoch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gaugenet
from examples import stand_ins, surfaces
from examples.common import Runs, ahead, by_model, means, minutes, over_shapes, settings_of, spelled
from examples.surface_nets import FEATURES, MODELS
from examples.surfaces import UNKNOWN, Surface
from gaugenet.data import FeatureScaler, GaugeGraph, Preparation, Task
from gaugenet.geometry import ProcessParams

RESULTS = Path("runs") / "rna.json"
#: the majority class, what no learning reaches
MAJORITY = "most frequent class"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train/ID.npz (vertices, faces, labels), perhaps test/ID.npz")
    parser.add_argument("--vertices", type=int, default=5000, help="of the even mesh of a molecule, about")
    parser.add_argument("--rings", type=int, default=2, help="neighbourhood of the finest level")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file")
    surfaces.add_arguments(parser, epochs=40, channels=24, batch_size=1, lr=0.02, dropout=0.0)
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


def prepared(pairs: list[tuple[Surface, Surface]], params: ProcessParams, args) -> tuple[Task, dict[str, GaugeGraph]]:
    """Classes, and the graphs by name, of molecules and their coarser meshes: those that could be used."""
    dataset, graphs = surfaces.graphs_of([coarse for _, coarse in pairs], params, args.records / "rna", args.jobs)
    return dataset.task, {surface.name: graphs[coarse.name] for surface, coarse in pairs if coarse.name in graphs}


def with_labels(graph: GaugeGraph, coarse: Surface, surface: Surface, task: Task) -> None:
    """Keep with the graph of a coarser mesh the classes at the vertices of the surface, -1 for those that are not known."""
    surfaces.interpolate(graph, coarse, surface.vertices)
    number = {int(name): k for k, name in enumerate(task.classes)}
    graph.label = torch.tensor([number.get(label, UNKNOWN) for label in surface.labels.tolist()])


def pairs_of(shapes: list[Surface], args) -> list[tuple[Surface, Surface]]:
    return [(surface, surface.even(args.vertices)) for surface in shapes]


def with_mirrored(test: list[tuple[Surface, Surface]]) -> dict[str, list[tuple[Surface, Surface]]]:
    """What is tested, by the name of its score."""
    return {"accuracy": test, "accuracy, mirrored": [(s.mirrored(), coarse.mirrored()) for s, coarse in test]}


def run(names: list[str], seed: int, args) -> Iterator[dict]:
    """The entry of each network as it is there."""
    train, test = (pairs_of(part, args) for part in split(args.data, seed))
    train, parts = train[: args.limit], with_mirrored(test)
    params = ProcessParams(rings=args.rings, normalize=True, repair=True, features=FEATURES, levels=args.levels)
    everything = [*train, *(pair for part in parts.values() for pair in part)]
    task, graphs = prepared(everything, params, args)
    for surface, coarse in everything:
        if surface.name in graphs:
            with_labels(graphs[surface.name], coarse, surface, task)
    fit = [graphs[s.name] for s, _ in train if s.name in graphs]
    preparation = Preparation(params, FeatureScaler(FEATURES).fit(fit), task)
    fit = [preparation(graph) for graph in fit]
    for name, model, entry in surfaces.learnt(names, seed, fit, len(task.classes), vertex_loss, args):
        surfaces.keep(model, preparation, f"rna-{name}-{seed}", args)
        entry |= tested(model, preparation, graphs, parts)
        print(told(f"{name}, seed {seed}", entry), flush=True)
        yield entry


def told(name: str, entry: dict) -> str:
    return f"{name:28s}: {entry['accuracy']:.2f} %, on mirror images {entry['accuracy, mirrored']:.2f} %"


def tested(model: nn.Module, preparation: Preparation, graphs: dict[str, GaugeGraph], parts: dict) -> dict:
    """Accuracies on the parts, and of each molecule; one whose mesh cannot be used counts as wrong."""
    found = {}
    for key, part in parts.items():
        each = [share_of_right(model, preparation(graphs[s.name])) if s.name in graphs else 0.0 for s, _ in part]
        found |= {f"{key}, each": each, key: weighted(each, [s for s, _ in part])}
    return found


def trained(args) -> dict:
    """The scores of the network of --weights on the test molecules of the first split."""
    model = gaugenet.load(args.weights).eval()
    parts = with_mirrored(pairs_of(split(args.data, 0)[1], args))
    pairs = [pair for part in parts.values() for pair in part]
    _, graphs = prepared(pairs, model.preparation.params, args)
    for surface, coarse in pairs:
        if surface.name in graphs:
            with_labels(graphs[surface.name], coarse, surface, model.preparation.task)
    if args.picture:
        draw(args.picture, model, graphs, *(part[0][0] for part in parts.values()))
    return tested(model, model.preparation, graphs, parts)


def draw(file: Path, model: nn.Module, graphs: dict[str, GaugeGraph], molecule: Surface, mirrored: Surface) -> None:
    """The atoms of a molecule, the answer, where it is wrong, and the answer that its mirror image gets."""
    found = {}
    for surface in (molecule, mirrored):
        graph = model.preparation(graphs[surface.name])
        with torch.no_grad():
            answer = surfaces.at_points(model(graph.x, graph), graph).argmax(1)
        found[surface.name] = answer.numpy(), answer.eq(graph.label).numpy()
    (answer, right), (other, _) = found.values()
    truth = graphs[molecule.name].label.numpy()
    panels = {"atoms": truth, "answer": answer, "wrong": np.where(right, -1, 1), "answer on the mirror image": other}
    surfaces.draw_labels(file, {title: (molecule, labels) for title, labels in panels.items()})


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
        "splits and seeds; 'over molecules': the standard error over those of one split; the last column compares",
        "molecule by molecule.",
        "",
    ]
    columns = {
        "accuracy": means("accuracy"),
        "on mirror images": means("accuracy, mirrored"),
        "over molecules": over_shapes("accuracy, each"),
        "CPU minutes": minutes,
        "gauge is ahead by": lambda own: ahead(results["runs"], "gauge", own[0]["model"], "accuracy, each"),
    }
    lines += by_model(results["runs"], [MAJORITY, *MODELS], columns)
    return "\n".join([*lines, "", spelled(results["settings"]), ""])


def main() -> None:
    args = parse_arguments()
    if args.table:
        Runs(args.out, table, "", {}, keep=True).write_table()
        return
    if args.weights:
        print(told(str(args.weights), trained(args)))
        return
    names = "epochs", "batch size", "lr", "weight decay", "dropout", "channels", "levels", "rings", "vertices", "limit"
    runs = Runs(args.out, table, args.data.name, settings_of(args, *names))
    for seed in range(args.seeds):
        if not runs.has(model=MAJORITY, seed=seed):
            runs.add(majority(seed, args))
    surfaces.fill(runs, args, lambda missing, seed: run(missing, seed, args))


if __name__ == "__main__":
    main()
