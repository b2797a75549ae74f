"""Which point of one body is which of another: descriptors that tell left from right (FAUST, SMAL).

    python examples/correspondence.py                                             # without data of its own: bodies made here
    python examples/correspondence.py --data FAUST_FOLDER --test faust_a_test.npz
    python examples/correspondence.py --data smal_r_train.npz --test TEST.npz
    python examples/correspondence.py --data ANNY_FOLDER                          # generated bodies: the last three are tested
    python examples/correspondence.py --data FAUST_FOLDER --weights examples/weights/correspondence.safetensors  # trained
    python examples/correspondence.py --table

A network takes half a minute of one core on the bodies; on FAUST 4 to 10 minutes, as many to test, and 12 GB of memory;
PyG's EdgeCNN takes many times as long (--models leaves networks out).

A network gives 64 numbers at every vertex. In training they shall be those of the template's point that lies there, one learnt
row for each; a point of one test shape is then matched with the vertex of another that has the nearest ones. No positions go
in: the two halves of a body differ in their handedness alone. Over O(2) half of the descriptors are pseudo-scalars, whose signs
change in the mirror image, from one half to the other, and nothing else does; over SO(2) the network has to learn that; the
mirror-blind one (over O(2), scalars alone) cannot tell the halves apart. "mapped": these matches also give a functional map, of
few eigenfunctions first, so that wrong matches hardly count, then refined by ZoomOut (Melzi et al. 2019), and the nearest
descriptor counts near the place to which it leads. FAUST: shapes 0 to 79 for training, the other 20 to test, as usual; --test
adds its own shapes. Other files: a tenth of the shapes is held out, but with --test. All pairs of test shapes count (the 300
pairs of Ren et al. 2018 mix both parts). There are 10 epochs, or as many as make 1,600 steps.

The geodesic error is that on the target shape, times 100 over the root of its area, at --points points of the template; "either
side" counts the match of the mirrored point as right as well. "swapped": of the points that lie far from their mirror image
(0.2), the share whose match is nearer to the mirrored point. Nothing is chosen on the test shapes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import trimesh
from scipy.spatial import cKDTree
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gaugenet
from examples import stand_ins, surfaces
from examples.common import Runs, ahead, means, minutes, over_shapes, settings_of, spelled
from examples.matching import Described, Shape, by_map, draw, geodesics, nearest, scores
from examples.surface_nets import FEATURES, MODELS, SIDED
from examples.surfaces import Surface
from gaugenet.data import FeatureScaler, GaugeGraph, Preparation, Task
from gaugenet.geometry import ProcessParams

RESULTS = Path("runs") / "correspondence.json"
SCORES = ("error", "either side", "swapped")
DESCRIPTORS = 64
SHARPNESS = 20.0  # of the softmax over template points, whose descriptors have length 1
DRAWN = 2000  # points of the template in a step
EPOCHS, STEPS = 10, 1600  # at least
MAPPED = ", mapped"
#: no learning: the heat kernel signature for descriptors
HEAT = "heat kernel signature"


class Collection(NamedTuple):
    """Training shapes, and test sets by name: shapes, and pairs of their numbers."""

    train: list[Shape]
    tests: dict[str, tuple[list[Shape], list[tuple[int, int]]]]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of faust_remeshed, or a file in the layout of duofm")
    parser.add_argument("--test", type=Path, help="shapes to test on, a file in the layout of duofm with the same template")
    parser.add_argument("--points", type=int, default=400, help="of the template, at which matches are scored")
    parser.add_argument("--radius", type=float, default=0.035, help="of the neighbourhoods, per root of the area")
    parser.add_argument("--copies", type=int, default=1, help="of training shapes, with other triangles, the first mirrored")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file")
    surfaces.add_arguments(parser, epochs=None, models=list(MODELS), levels=4, batch_size=1, lr=0.02, dropout=0.0)
    args = parser.parse_args()
    if args.data is None and not args.table:
        print("no --data: 12 bodies, made here")
        args.data, args.epochs = stand_ins.bodies(), args.epochs or EPOCHS
    return args


def epochs_of(data: Collection, args) -> int:
    """What --epochs says; by default EPOCHS, or as many more as few shapes need for STEPS steps."""
    steps = -(-len(data.train[: args.limit]) * (1 + args.copies) // args.batch_size)
    return args.epochs or max(EPOCHS, -(-STEPS // steps))


def read(file: Path, part: slice | np.ndarray = slice(None)) -> list[Shape]:
    """The shapes of a file, at a part of the template's points."""
    with np.load(file) as a:
        v, f = ([a[k][start:stop] for start, stop in zip(a[p], a[p][1:])] for k, p in (("V", "v_ptr"), ("F", "f_ptr")))
        names = [str(name) for name in a["names"]]
        if "corres" in a:
            match, mirrored = list(a["corres"][:, part]), [None] * len(names)
        else:
            match, mirrored = (np.split(a[name], a["corr_ptr"][1:-1]) for name in ("corr", "corr_sym"))
    t, match = ([np.asarray(one, np.int64) for one in some] for some in (f, match))
    mirrored = [None if one is None else one.astype(np.int64) for one in mirrored]
    return [Shape(*parts) for parts in zip(names, v, t, match, mirrored)]


def generated(folder: Path) -> list[Shape]:
    """Bodies of one topology, each its own mirror image: the largest component, each decimated in its own way."""
    bodies, faces = np.load(folder / "bodies.npz")["vertices"], np.load(folder / "topology.npz")["faces"].astype(np.int64)
    body = max(trimesh.graph.connected_components(trimesh.geometry.faces_to_edges(faces), min_len=1), key=len)
    faces, found = faces[np.isin(faces[:, 0], body)], []
    points = np.random.default_rng(0).choice(np.sort(body), 5000, replace=False)
    for i, vertices in enumerate(bodies):
        surface = Surface(f"body{i}", vertices, faces, np.zeros(len(vertices), np.int64))
        other = surface.varied(i, stretch=0.0, noise=0.1).decimated(5000, careful=True)._replace(name=surface.name)
        found.append(Shape.nearest(other, vertices[points], vertices[points] * [-1, 1, 1]))
    return found


def load(args) -> Collection:
    if (args.data / "topology.npz").is_file():
        if args.test is not None:
            raise SystemExit(f"--test {args.test}: generated bodies are tested on three of their own; leave --test out")
        shapes = generated(args.data)
        return Collection(shapes[:-3], {"generated": (shapes[-3:], _all_pairs(3))})
    if args.data.is_dir():
        file = args.data / "faust_remeshed_5k.npz"
        shapes, template = read(file), np.load(file)["template_vertex"].astype(np.int64)
        train, tests = shapes[:80], {"FAUST_r": (shapes[80:], _all_pairs(20))}
        if args.test is not None:
            # The mirrored point of the template: where a shape has it, the point that lies on the same vertex.
            one = shapes[0]
            other = cKDTree(one.vertices[one.match]).query(one.vertices[one.mirrored])[1]
            more = [s._replace(mirrored=s.match[other]) for s in read(args.test, template)]
            tests[args.test.stem] = more, _all_pairs(len(more))
        return Collection(train, tests)
    shapes = read(args.data)
    held = 0 if args.test is not None else max(2, len(shapes) // 10)
    test = read(args.test) if args.test is not None else shapes[len(shapes) - held :]
    name = args.test.stem if args.test is not None else "held out"
    return Collection(shapes[: len(shapes) - held], {name: (test, _all_pairs(len(test)))})


def _all_pairs(count: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(count) for j in range(count) if i != j]


def describe(net: nn.Module, x: Tensor, graph) -> Tensor:
    """Descriptors of length 1 at the vertices."""
    return F.normalize(net(x, graph), dim=1)


class Matcher(nn.Module):
    """Descriptors of length 1 at the vertices, and those of the template's points."""

    def __init__(self, net: nn.Module, points: int) -> None:
        super().__init__()
        self.net, self.template = net, nn.Parameter(torch.randn(points, DESCRIPTORS))

    def forward(self, x: Tensor, graph) -> Tensor:
        return describe(self.net, x, graph)

    def loss(self, descriptors: Tensor, graph) -> Tensor:
        """Cross entropy of the template's points, drawn anew, among themselves, by the descriptors where they lie."""
        drawn = torch.randperm(len(self.template), device=descriptors.device)[:DRAWN]
        wanted = F.normalize(self.template[drawn], dim=1)
        logits = SHARPNESS * descriptors[graph.match_index[drawn]] @ wanted.T
        return F.cross_entropy(logits, torch.arange(len(drawn), device=logits.device), label_smoothing=0.1)


def graphs_of(data: Collection, train: list[Shape], params: ProcessParams, args) -> dict[str, GaugeGraph]:
    """Graphs by part and name, with the nodes at the template's points."""
    shapes = {f"{part}-{s.name}": s for part, (some, _) in {"train": (train, None), **data.tests}.items() for s in some}
    named = [shape._replace(name=name).surface for name, shape in shapes.items()]
    _, graphs = surfaces.graphs_of(named, params, args.records / "correspondence", args.jobs)
    for name, graph in graphs.items():
        nodes = torch.from_numpy(surfaces.nodes_of(graph, shapes[name].vertices))
        graph.match_index = nodes[torch.from_numpy(shapes[name].match)]
        # The vertex at every node; repair may have made two nodes of one vertex.
        used, pos = torch.from_numpy(np.unique(shapes[name].faces)), graph.pos.numpy()
        graph.vertex_of = used[torch.from_numpy(cKDTree(pos[nodes[used]]).query(pos)[1])]
    return graphs


def points_of(shape: Shape, args) -> np.ndarray:
    """Numbers of the template's points at which matches are scored."""
    return np.random.default_rng(0).permutation(len(shape.match))[: args.points]


def told(name: str, entry: dict) -> str:
    means = ({score: round(float(np.mean(v)), 2) for score, v in of.items()} for of in entry.values() if isinstance(of, dict))
    return f"{name:28s}: {'; '.join(map(str, means))}"


def trained(data: Collection, args) -> dict:
    """The scores of the network of --weights."""
    net = gaugenet.load(args.weights).eval()
    graphs = graphs_of(data, [], net.preparation.params, args)
    model = partial(describe, net)
    if args.picture:
        test, (shapes, _) = next(iter(data.tests.items()))
        some = (graphs[f"{test}-{shape.name}"] for shape in (shapes[0], shapes[len(shapes) // 2], shapes[-1]))
        draw(args.picture, [described(model, graph, net.preparation) for graph in some])
    return tested(model, data, graphs, net.preparation, args)


def params_of(args) -> ProcessParams:
    options = {"normalize": True, "repair": True, "min_component": 0.01, "features": FEATURES}
    return ProcessParams(radius=args.radius, levels=args.levels, **options)


def heat_kernel(data: Collection, args) -> dict:
    """The entry of the heat kernel signature, which nobody trains."""

    def signature(x: Tensor, graph) -> Tensor:
        return F.normalize(graph.features("hks"), dim=1)

    entry = {"model": HEAT, "seed": 0, "parameters": 0, "minutes": 0.0}
    return entry | tested(signature, data, graphs_of(data, [], params_of(args), args), lambda graph: graph, args)


@torch.no_grad()
def described(model: Callable, graph: GaugeGraph, preparation: Callable) -> Described:
    seen = preparation(graph)
    return Described.of(model(seen.x, seen), graph)


def run(names: list[str], seed: int, data: Collection, args) -> Iterator[dict]:
    """The entry of each network as it is there."""
    train, params = data.train[: args.limit], params_of(args)
    train = [*train, *(s.copy(k) for k in range(args.copies) for s in train)]
    graphs = graphs_of(data, train, params, args)
    fit = [graphs[f"train-{s.name}"] for s in train if f"train-{s.name}" in graphs]
    task = Task("regress", tuple(f"descriptor {k}" for k in range(DESCRIPTORS)), on="vertices")
    preparation = Preparation(params, FeatureScaler(FEATURES).fit(fit), task)
    fit, points = [preparation(graph) for graph in fit], len(train[0].match)
    wrap = partial(Matcher, points=points)
    for name, model, entry in surfaces.learnt(names, seed, fit, DESCRIPTORS, Matcher.loss, args, wrap):
        surfaces.keep(model.net, preparation, f"correspondence-{name}-{seed}", args)
        entry |= tested(model, data, graphs, preparation, args)
        print(told(f"{name}, seed {seed}", entry), flush=True)
        yield entry


def tested(model: Callable, data: Collection, graphs: dict, preparation: Callable, args) -> dict[str, dict]:
    """The scores by test set and way of matching, each by target shape: the mean over its pairs."""
    found = {}
    for test in data.tests:
        for way, columns in zip(("", MAPPED), matched(model, data, test, graphs, preparation, args)):
            found[test + way] = dict(zip(SCORES, columns))
    return found


@torch.no_grad()
def matched(model: Callable, data: Collection, test: str, graphs: dict, preparation: Callable, args) -> list[list]:
    """The scores of one test set, each by target shape: of the nearest descriptors, and of their functional map."""
    shapes, pairs = data.tests[test]
    chosen = points_of(shapes[0], args)
    known, tables = {}, {}
    for i, shape in enumerate(shapes):
        graph = graphs[f"{test}-{shape.name}"]
        known[i] = described(model, graph, preparation), graph.match_index[torch.from_numpy(chosen)], graph.vertex_of
        tables[i] = geodesics(shape, chosen, args.records / "geodesics" / test)
    by_target: dict[int, list] = {}
    for i, j in pairs:
        (source, at, _), (target, _, vertex_of) = known[i], known[j]
        ways = nearest(source, target, at), by_map(source, target, at)
        found = [scores(vertex_of[nodes].numpy(), shapes[j], chosen, tables[j]) for nodes in ways]
        by_target.setdefault(j, []).append(found)
    means = np.array([np.mean(by_target[j], axis=0) for j in sorted(by_target)])
    return [[[round(float(v), 3) for v in column] for column in way.T] for way in means.swapaxes(0, 1)]


def table(results: dict) -> str:
    """Markdown: errors by test set and model; mean and standard error over seeds, and over shapes of one seed."""
    tests = list(dict.fromkeys(key for r in results["runs"] for key, value in r.items() if isinstance(value, dict)))
    lead = f"{SIDED} is ahead by"
    lines = [
        f"# Correspondence ({results['data']})",
        "",
        f"`examples/correspondence.py`. {results['machine']}. Geodesic error times 100 over the root of the area; mean and",
        "standard error over seeds; 'over shapes': the standard error of the error over the target shapes of one seed; the",
        "last column compares the error shape by shape.",
        "",
        f"| test set | model | error | either side | swapped % | over shapes | parameters | CPU minutes | {lead} |",
        "|---" * 9 + "|",
    ]
    columns = [*(means(score, ".3g") for score in SCORES), over_shapes("error")]
    for test in tests:
        # Scores of the mirrored points are nan where those are not known.
        runs = [r | {score: of for score, of in r[test].items() if not np.isnan(of).any()} for r in results["runs"]]
        for name in [HEAT, *MODELS]:
            own = [r for r in runs if r["model"] == name]
            if own:
                cells = [test, name, *(column(own) for column in columns), str(own[0]["parameters"]), minutes(own)]
                lines.append(f"| {' | '.join(cells)} | {ahead(runs, SIDED, name, 'error', -1)} |")
    return "\n".join([*lines, "", spelled(results["settings"]), ""])


def main() -> None:
    args = parse_arguments()
    if args.table:
        Runs(args.out, table, "", {}, keep=True).write_table()
        return
    if args.weights:
        print(told(str(args.weights), trained(load(args), args)))
        return
    names = "epochs", "lr", "weight decay", "dropout", "channels", "levels", "radius", "points", "copies", "limit"
    title = " + ".join(path.stem for path in (args.data, args.test) if path is not None)
    data = load(args)
    args.epochs = epochs_of(data, args)
    runs = Runs(args.out, table, title, settings_of(args, *names))
    if not runs.has(model=HEAT):
        runs.add(heat_kernel(data, args))
    surfaces.fill(runs, args, lambda missing, seed: run(missing, seed, data, args))


if __name__ == "__main__":
    main()
