"""Parts of shapes: a label for every face of the Princeton meshes, 19 categories, and what is left when meshes change.

    python examples/parts.py                                                      # without data of its own: bodies made here
    python examples/parts.py --data FOLDER                                        # three splits, 8 to 4 meshes a category
    python examples/parts.py --data TRAIN_FOLDER --test TEST_FOLDER --seeds 1     # two folders of the same layout
    python examples/parts.py --data FOLDER --weights examples/weights/parts.safetensors        # a network that is trained
    python examples/parts.py --table

A network takes half a minute of one core on the bodies, 2 to 5 minutes on the Princeton meshes; PyG's EdgeCNN many times
as long (--models leaves networks out).

One network for all categories, which is told the category: its answer is the best among the parts of that category. All
networks have as many parameters and see the same invariants and fields; nothing is chosen on the test meshes. The trained
networks are tested again on the same meshes with other triangles (subdivided, then decimated to as many), with half as many
vertices, and with noise of a hundredth of the square root of the area: "area weights" is the gauge network whose kernels weigh
neighbours by area alone. Neighbours are those within --radius, in units of the square root of the area.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import trimesh

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gaugenet
from examples import stand_ins, surfaces
from examples.common import Runs, ahead, by_model, means, minutes, over_shapes, settings_of, spelled
from examples.surface_nets import FEATURES, MODELS
from examples.surfaces import UNKNOWN, Surface
from gaugenet.data import FeatureScaler, GaugeGraph, Preparation, Princeton, Task
from gaugenet.geometry import ProcessParams

RESULTS = Path("runs") / "parts.json"
CHANGES = ("clean", "remeshed", "halved", "noisy")
#: no learning: the part that most training faces of the category have
MAJORITY = "most frequent part"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with psb_2k.npz and index.json")
    parser.add_argument("--test", type=Path, help="another such folder: train on all of --data, test on all of this one")
    parser.add_argument("--radius", type=float, default=0.08, help="of the neighbourhoods")
    parser.add_argument("--copies", type=int, default=1, help="stretched copies of every training mesh, with other triangles")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file")
    surfaces.add_arguments(parser, epochs=15, batch_size=4, lr=0.02, dropout=0.2)
    args = parser.parse_args()
    if args.data is None and not args.table:
        print("no --data: 24 bodies, made here")
        args.data = stand_ins.parts()
    return args


def load(folder: Path) -> tuple[Princeton, list[Surface], list[int]]:
    """The data set, its meshes with numbers of parts that go on from category to category, and the first of each category."""
    data = Princeton(folder, process=False)
    first = np.cumsum([0, *(len(data.parts[name]) for name in data.classes)]).tolist()
    found = []
    for i, name in enumerate(data.names):
        mesh, kind = data.mesh(i), data.classes.index(name.split("/")[0])
        title = name.replace("/", "-").removesuffix(".ply")
        found.append(Surface(title, mesh.vertices, mesh.faces, data.face_labels(i) + first[kind]))
    return data, found, first


def split(args, seed: int) -> tuple[list[Surface], list[Surface], list[int]]:
    data, found, first = load(args.data)
    if args.test is not None:
        other, held, _ = load(args.test)
        if other.parts != data.parts:
            raise SystemExit(f"{args.test}: its parts are not those of {args.data}")
        return found, held, first
    train, test = data.split_indices("split8", seed)
    return [found[i] for i in train], [found[i] for i in test], first


def changed(surface: Surface, change: str) -> Surface:
    """A test mesh as it is, or changed."""
    if change == "remeshed":
        return surface.remeshed()
    if change == "halved":
        return surface.decimated(len(surface.vertices) // 2)._replace(name=f"{surface.name}-halved")
    if change == "noisy":
        area = trimesh.Trimesh(surface.vertices, surface.faces, process=False).area
        noise = 0.01 * area**0.5 * np.random.default_rng(0).normal(size=surface.vertices.shape)
        return surface._replace(name=f"{surface.name}-noisy", vertices=surface.vertices + noise)
    return surface


def at_faces(logits: torch.Tensor, graph, first: list[int]) -> torch.Tensor:
    """Logits of the faces; those of parts that the category has not are -inf."""
    values = logits[graph.face].mean(0)
    kind = graph.category[graph.batch[graph.face[0]]] if getattr(graph, "batch", None) is not None else graph.category
    part, bounds = torch.arange(values.shape[1], device=values.device), torch.tensor(first, device=values.device)
    mine = (part >= bounds[kind][:, None]) & (part < bounds[kind + 1][:, None])
    return values.masked_fill(~mine, -torch.inf)


def right_faces(model, graph, first: list[int]) -> float:
    """Percent of the faces."""
    with torch.no_grad():
        answer = at_faces(model(graph.x, graph), graph, first).argmax(1)
    return round(100 * float((answer == graph.y).float().mean()), 3)


def prepared(shapes: list[Surface], params: ProcessParams, first: list[int], args) -> tuple[Task, dict[str, GaugeGraph]]:
    """Classes, and the graphs by name with the number of their category: those of shapes that could be used."""
    dataset, graphs = surfaces.graphs_of(shapes, params, args.records / "parts", args.jobs)
    part_of = torch.tensor([int(name) for name in dataset.task.classes])
    for graph in graphs.values():
        known = graph.y != UNKNOWN
        graph.y = torch.where(known, part_of[graph.y.clamp_min(0)], graph.y)
        graph.category = torch.tensor([int(np.searchsorted(first, int(graph.y[known][0]), "right")) - 1])
    return dataset.task, graphs


def variants_of(test: list[Surface]) -> dict[str, list[Surface]]:
    return {change: [changed(s, change) for s in test] for change in CHANGES}


def tested(model, preparation: Preparation, graphs: dict, variants: dict[str, list[Surface]], first: list[int]) -> dict:
    """Accuracies on the variants, and of each mesh; one that cannot be used counts as wrong."""
    found = {}
    for change, part in variants.items():
        right = [right_faces(model, preparation(graphs[s.name]), first) if s.name in graphs else 0.0 for s in part]
        found |= {change: round(float(np.mean(right)), 3), f"{change}, each": right}
    return found


def told(name: str, entry: dict) -> str:
    return f"{name:28s}: {', '.join(f'{c} {entry[c]:.2f} %' for c in CHANGES)}"


def trained(args) -> dict:
    """The scores of the network of --weights on the test meshes of the first split."""
    model = gaugenet.load(args.weights).eval()
    _, test, first = split(args, 0)
    variants = variants_of(test)
    _, graphs = prepared([s for part in variants.values() for s in part], model.preparation.params, first, args)
    if args.picture:
        draw(args.picture, model, graphs, variants, first)
    return tested(model, model.preparation, graphs, variants, first)


@torch.no_grad()
def draw(file: Path, model, graphs: dict, variants: dict[str, list[Surface]], first: list[int]) -> None:
    """The parts of a test mesh, and the answers on it and on its variants."""
    usable = [i for i in range(len(variants["clean"])) if all(v[i].name in graphs for v in variants.values())]
    number = usable[len(usable) // 2]
    panels = {"parts": (variants["clean"][number], variants["clean"][number].labels)}
    for change, part in variants.items():
        graph = model.preparation(graphs[part[number].name])
        answer = at_faces(model(graph.x, graph), graph, first).argmax(1).numpy()
        faces = graph.face.T.numpy()
        panels[f"answer, {change}"] = Surface(f"{change} mesh", graph.pos.numpy(), faces, answer), answer
    surfaces.draw_labels(file, panels)


def run(names: list[str], seed: int, args) -> Iterator[dict]:
    """The entry of each network as it is there."""
    train, test, first = split(args, seed)
    train, variants = train[: args.limit], variants_of(test)
    params = ProcessParams(radius=args.radius, normalize=True, repair=True, features=FEATURES, levels=args.levels)
    copies = [s.varied(1 + k).remeshed()._replace(name=f"{s.name}-copy{k}") for k in range(args.copies) for s in train]
    everything = [*train, *copies, *(s for part in variants.values() for s in part)]
    task, graphs = prepared(everything, params, first, args)
    fit = [graphs[s.name] for s in [*train, *copies] if s.name in graphs]
    preparation = Preparation(params, FeatureScaler(FEATURES).fit(fit), task)
    fit = [preparation(graph) for graph in fit]

    def loss(logits: torch.Tensor, graph) -> torch.Tensor:
        return F.cross_entropy(at_faces(logits, graph, first), graph.y, ignore_index=UNKNOWN)

    for name, model, entry in surfaces.learnt(names, seed, fit, first[-1], loss, args):
        surfaces.keep(model, preparation, f"parts-{name}-{seed}", args)
        entry |= tested(model, preparation, graphs, variants, first)
        print(told(f"{name}, seed {seed}", entry), flush=True)
        yield entry


def majority(args, seed: int) -> dict:
    train, test, first = split(args, seed)
    counts = np.bincount(np.concatenate([s.labels for s in train]), minlength=first[-1])
    right = []
    for s in test:
        kind = int(np.searchsorted(first, s.labels[0], "right")) - 1
        best = first[kind] + counts[first[kind] : first[kind + 1]].argmax()
        right.append(round(100 * float((s.labels == best).mean()), 3))
    entry = {"model": MAJORITY, "seed": seed, "parameters": 0, "minutes": 0.0}
    return {**entry, "clean": round(float(np.mean(right)), 3), "clean, each": right}


def table(results: dict) -> str:
    """Markdown: mean face accuracy by model and change of the mesh; standard errors over seeds, and over meshes of a split."""
    lines = [
        f"# Parts of shapes ({results['data']})",
        "",
        f"`examples/parts.py`. {results['machine']}. Percent of the faces of a test mesh, mean over meshes; mean and standard",
        "error over splits and seeds; 'over meshes': the standard error over those of one split, clean; the last",
        "column compares mesh by mesh, clean.",
        "",
    ]
    columns = {change: means(change) for change in CHANGES} | {
        "over meshes": over_shapes("clean, each"),
        "CPU minutes": minutes,
        "gauge is ahead by": lambda own: ahead(results["runs"], "gauge", own[0]["model"], "clean, each"),
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
    names = "epochs", "batch size", "lr", "weight decay", "dropout", "channels", "levels", "radius", "copies", "limit"
    runs = Runs(args.out, table, args.data.name, settings_of(args, *names))
    for seed in range(args.seeds):
        if not runs.has(model=MAJORITY, seed=seed):
            runs.add(majority(args, seed))
    surfaces.fill(runs, args, lambda missing, seed: run(missing, seed, args))


if __name__ == "__main__":
    main()
