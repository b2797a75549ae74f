"""Wall shear stress on blood vessels: a tangent vector at every vertex, from the shape, the flow and the way from the inlet.

    python examples/vessels.py                                       # 12 small and coarse vessels
    python -m datasets.vessels --count 300 --out FOLDER --jobs 2     # once, 75 minutes of one core, or up to four hours
    python examples/vessels.py --data FOLDER
    python examples/vessels.py --data FOLDER --weights examples/weights/vessels.safetensors      # a network that is trained
    python examples/vessels.py --table

A network takes half a minute of one core on the small vessels, 7 to 120 minutes on 300, and 8 GB of memory.

The task is that of Suk et al. 2022, on vessels of datasets/vessels. Inputs at a vertex: geodesic distance from the inlet,
Reynolds number, curvature and second fundamental form. All networks have about as many parameters. Over O(2) a network knows
what it has learnt of a vessel for its mirror image, too, as flows do. "two numbers": the gauge network of order 0, which calls
the two numbers of an arbitrary frame its answer; "gradient": the gradient of its scalar; "point cloud": a Tensor Field Network
on the points in space with normals, whose vectors are put into the tangent planes; "EdgeCNN": that of PyG, in coordinates of
space, trained on turned vessels. The error of a vessel is
|answer - stress| / |stress|, norms over the wall by area. Test vessels are tested again turned in space. Nothing is chosen on
the test part; the validation part is printed for choices.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.loader import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gaugenet
from examples import common, stand_ins
from examples.common import Runs, ahead, by_model, means, minutes, over_shapes, settings_of, spelled
from examples.shape_classification import with_tables
from examples.vessel_nets import DISTANCE, INLET, MODELS, RATES, SO2, SO3, build, with_cloud
from gaugenet import FieldType, geometry, viz
from gaugenet.data import GaugeGraph
from gaugenet.io.records import load_record
from gaugenet.metrics import angle_error, relative_error
from gaugenet.models import MeshUNet
from gaugenet.nn import Gradient, global_mean

RESULTS = Path("runs") / "vessels.json"
FEATURES = "curvature,second_fundamental_form"
PARTS = ("validation", "test", "test, turned")
POISEUILLE = "Poiseuille's flow"  # no learning: the stress of the inlet, along the gradient of the distance


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that datasets.vessels wrote")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3, help="of the weights and the order of training")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--channels", type=int, default=16, help="over SO(2); the others have as many parameters")
    parser.add_argument("--levels", type=int, default=4, help="coarser levels")
    parser.add_argument("--rings", type=int, default=2, help="neighbourhood of the finest level")
    parser.add_argument("--radius", type=float, default=0.8, help="of the neighbourhoods of the point cloud, in mm")
    parser.add_argument("--limit", type=int, help="number of training vessels, by default all")
    parser.add_argument("--records", type=Path, default=Path("runs") / "records", help="folder of the preprocessed meshes")
    parser.add_argument("--save", type=Path, help="folder for the trained weights of the gauge networks")
    parser.add_argument("--weights", type=Path, help="test the network of this file, and train nothing")
    parser.add_argument("--picture", type=Path, help="with --weights: draw the answer on a test vessel to this file")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file")
    parser.add_argument("--table", action="store_true", help="train nothing")
    common.add_training_arguments(parser, batch_size=1, lr=0.02, dropout=0.0)
    args = parser.parse_args()
    if args.data is None and not args.table:
        print("no --data: 12 small and coarse vessels, made here")
        args.data = stand_ins.vessels()
    return args


# ---------------------------------------------------------------------------------------------------- data


def graph_of(file: Path, args, turn: np.ndarray | None = None) -> GaugeGraph:
    """The graph of a vessel: x as INPUTS says, y (N, 2) the stress in the frames, in units of that of Poiseuille's flow."""
    with np.load(file) as vessel:
        turn = np.eye(3) if turn is None else turn
        vertices, stress = (vessel[name].astype(np.float64) @ turn.T for name in ("vertices", "wss"))
        stress, distance, faces = stress / vessel["poiseuille_wss"], vessel["distance"], vessel["faces"]
        reynolds = float(vessel["reynolds"])
    title = f"{file.stem}-{args.rings}-{args.levels}" + ("" if np.allclose(turn, np.eye(3)) else "-turned")
    record = args.records / "vessels" / f"{title}.safetensors"
    if not record.is_file():
        record.parent.mkdir(parents=True, exist_ok=True)
        geometry.mesh(vertices, faces, rings=args.rings, levels=args.levels, features=FEATURES).save(record)
    geom = load_record(record)
    graph = geom.to_graph().float()
    given = torch.tensor(np.stack([distance / DISTANCE, np.full(len(distance), reynolds / 150)], 1), dtype=torch.float32)
    # Curvatures are stored per area of the whole mesh. A stress goes by the radius of the vessel: in radii of the inlet.
    unit = float(graph.area.sum() / (4 * np.pi)) ** 0.5 / INLET
    graph.x = torch.cat([given, graph.features(*FEATURES.split(",")) / unit ** torch.tensor([2, 1, 1, 1, 1])], 1)
    graph.y = torch.from_numpy(geometry.to_frames(stress, geom).values[:, 1:]).float()
    graph.frame3 = torch.from_numpy(geom.frame).float()
    return graph


def load(args) -> dict[str, list[GaugeGraph]]:
    """Graphs by part; those of the last are turned by random rotations."""
    facts = json.loads((args.data / "manifest.json").read_text(encoding="utf-8"))["vessels"]
    files = {part: [args.data / v["file"] for v in facts if v["split"] == part] for part in ("train", *PARTS[:2])}
    files["train"] = [] if args.weights else files["train"][: args.limit]
    found = {part: [graph_of(file, args) for file in some] for part, some in files.items()}
    turns = SO3.sample(len(files["test"]), torch.Generator().manual_seed(0)).numpy()
    found[PARTS[2]] = [graph_of(file, args, turn) for file, turn in zip(files["test"], turns)]
    return found


# ---------------------------------------------------------------------------------------------------- training


def errors(model: nn.Module, graphs: list[GaugeGraph]) -> tuple[list[float], list[float]]:
    """Relative errors in percent, and mean angles in degrees, by vessel."""
    relative, angle = [], []
    with torch.no_grad():
        for graph in graphs:
            answer = model(graph.x, graph)
            relative.append(round(100 * float(relative_error(answer, graph.y, graph.area)), 3))
            degrees, area = angle_error(answer, graph.y), graph.area
            fine = degrees.isfinite()
            angle.append(round(float((degrees * area)[fine].sum() / area[fine].sum()), 3))
    return relative, angle


def scores(model: nn.Module, data: dict[str, list[GaugeGraph]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for part in PARTS:
        found[part], found[f"{part}, angle"] = errors(model, data[part])
    return found


def told(name: str, entry: dict) -> str:
    return f"{name:24s}: " + ", ".join(f"{part} {np.mean(entry[part]):.2f} %" for part in PARTS)


def loss_of(model: nn.Module, graph) -> Tensor:
    """Mean over vessels of the square of the relative error."""
    square = global_mean((model(graph.x, graph) - graph.y).square().sum(1, keepdim=True), graph)
    return (square / global_mean(graph.y.square().sum(1, keepdim=True), graph)).mean()


def run(name: str, seed: int, data: dict[str, list[GaugeGraph]], args) -> dict:
    torch.manual_seed(seed)
    model, parts = build(name, args).to(args.device), data
    if name == "point cloud":
        parts = {part: [with_cloud(graph, args.radius) for graph in graphs] for part, graphs in data.items()}
    # A batch joins graphs of the surface, but not the clouds that they carry, whose kernels learn their radial functions.
    whole = name != "point cloud"
    fit = with_tables(model, parts["train"]) if whole else parts["train"]
    start, steps = time.process_time(), -(-len(fit) // args.batch_size) if whole else len(fit)

    def batches(epoch: int):
        if whole:
            yield from (batch.to(args.device) for batch in DataLoader(fit, args.batch_size, shuffle=True))
        else:
            yield from (fit[i].to(args.device) for i in torch.randperm(len(fit)).tolist())

    options = {"clip": 1.0, "title": f"{name}, seed {seed}", **common.cycle_of(args, RATES.get(name, 1.0))}
    common.train(model, batches, loss_of, args.epochs, steps, **options)
    model.eval().cpu()
    entry = {"model": name, "seed": seed, "parameters": sum(p.numel() for p in model.parameters())}
    entry["minutes"] = round((time.process_time() - start) / 60, 1)
    if args.save and isinstance(model, MeshUNet):
        model.save(args.save / f"vessels-{name.removeprefix('gauge, ')}-{seed}.safetensors")
    return entry | scores(model, parts)


def poiseuille(data: dict[str, list[GaugeGraph]]) -> dict:
    gradient = Gradient(FieldType(SO2, "1x0"))

    class Along(nn.Module):
        def forward(self, x: Tensor, graph) -> Tensor:
            return nn.functional.normalize(gradient(x[:, :1], graph), dim=1)

    entry = {"model": POISEUILLE, "seed": 0, "parameters": 0, "minutes": 0.0}
    return entry | scores(Along(), data)


def table(results: dict) -> str:
    """Markdown: relative errors and angles by model; mean and standard error over seeds, and over vessels of one seed."""
    lines = [
        f"# Wall shear stress ({results['data']})",
        "",
        f"`examples/vessels.py`. {results['machine']}. Relative errors in percent, mean over vessels; mean and standard",
        "error over seeds; 'over vessels': the standard error over the test vessels of one seed; angles in degrees; the last",
        "column compares vessel by vessel.",
        "",
    ]
    columns = {
        "validation": means("validation"),
        "test": means("test"),
        "over vessels": over_shapes("test"),
        "angle": means("test, angle"),
        "test, turned": means("test, turned"),
        "CPU minutes": minutes,
        "O(2) is ahead by": lambda own: ahead(results["runs"], "gauge, O(2)", own[0]["model"], "test", sign=-1),
    }
    lines += by_model(results["runs"], [POISEUILLE, *MODELS], columns)
    return "\n".join([*lines, "", spelled(results["settings"]), ""])


def draw(file: Path, model: nn.Module, graph: GaugeGraph) -> None:
    """The stress on a vessel, the answer, and their difference, in units of Poiseuille's."""
    from matplotlib.figure import Figure

    geom = geometry.mesh(graph.pos.numpy(), graph.face.T.numpy(), rings=1)
    with torch.no_grad():
        answer = model(graph.x, graph)
    figure = Figure(figsize=(12, 4), layout="constrained", dpi=110)
    fields = {"simulated": graph.y, "answer": answer, "difference": answer - graph.y}
    for axes, (title, field) in zip(figure.subplots(1, 3), fields.items()):
        viz.plot_field(geom, torch.einsum("nxc,nc->nx", graph.frame3, field).numpy(), axes, label="stress / Poiseuille's")
        axes.set_title(title)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def main() -> None:
    args = parse_arguments()
    if args.table:
        Runs(args.out, table, "", {}, keep=True).write_table()
        return
    if args.weights:
        net, data = gaugenet.load(args.weights).eval(), load(args)
        if args.picture:
            draw(args.picture, net, data["test"][-1])
        print(told(str(args.weights), scores(net, data)))
        return
    names = "epochs", "batch size", "lr", "weight decay", "dropout", "channels", "levels", "rings", "radius", "limit"
    runs, data = Runs(args.out, table, args.data.name, settings_of(args, *names)), load(args)
    print(", ".join(f"{len(graphs)} {part}" for part, graphs in data.items()), flush=True)
    if not runs.has(model=POISEUILLE):
        runs.add(poiseuille(data))
    for name, seed in [(name, seed) for seed in range(args.seeds) for name in args.models]:
        if not runs.has(model=name, seed=seed):
            runs.add(run(name, seed, data, args))
            print(told(f"{name}, seed {seed}", runs.results["runs"][-1]), flush=True)


if __name__ == "__main__":
    main()
