"""Labels on surfaces: the meshes, training and scores that rna.py, parts.py and correspondence.py share."""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch_geometric.loader import DataLoader

from examples import common
from examples.shape_classification import with_tables
from examples.surface_nets import LABELLING, RATES, build
from gaugenet import geometry, viz
from gaugenet.data import GaugeGraph, MeshDataset, Preparation
from gaugenet.geometry import ProcessParams
from gaugenet.learning import SavedNetwork

UNKNOWN = -1


class Surface(NamedTuple):
    """A mesh with a class at every vertex, or at every face: vertices (V, 3), faces (F, 3), labels, -1 where unknown."""

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    labels: np.ndarray

    def labels_at(self, points: np.ndarray) -> np.ndarray:
        """Those of the nearest vertices that faces use, or of the nearest centroids of faces."""
        if len(self.labels) == len(self.vertices):
            used = np.unique(self.faces)
            return self.labels[used][cKDTree(self.vertices[used]).query(points)[1]]
        return self.labels[cKDTree(self.vertices[self.faces].mean(1)).query(points)[1]]

    def labels_on(self, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Those of another mesh of the same shape, at its vertices or its faces, as here."""
        return self.labels_at(vertices if len(self.labels) == len(self.vertices) else vertices[faces].mean(1))

    def mirrored(self) -> Surface:
        """The mirror image, its faces turned, so that normals stay outside."""
        flip = np.array([-1.0, 1.0, 1.0], self.vertices.dtype)
        return self._replace(name=f"{self.name}-mirrored", vertices=self.vertices * flip, faces=self.faces[:, ::-1].copy())

    def varied(self, seed: int, stretch: float = 0.1, noise: float = 0.0) -> Surface:
        """Stretched along random axes by factors of 1 - stretch to 1 + stretch; noise in parts of the mean edge."""
        random = np.random.default_rng(seed)
        axes = np.linalg.qr(random.normal(size=(3, 3)))[0]
        vertices = self.vertices @ (axes * random.uniform(1 - stretch, 1 + stretch, 3)) @ axes.T
        edges = np.linalg.norm(self.vertices[self.faces[:, 0]] - self.vertices[self.faces[:, 1]], axis=1).mean()
        vertices = vertices + noise * edges * random.normal(size=vertices.shape)
        return self._replace(name=f"{self.name}-varied{seed}", vertices=vertices)

    def decimated(self, count: int, careful: bool = False) -> Surface:
        """About ``count`` vertices by quadric decimation, with the nearest labels; ``careful``: of better triangles."""
        from fast_simplification import simplify

        if len(self.vertices) <= count:
            return self
        used, number = np.unique(self.faces, return_inverse=True)
        given = self.vertices[used].astype(np.float32), number.reshape(-1, 3).astype(np.int32)
        for aggressiveness in (3, 5, 7) if careful else (7,):  # a careful one may stop too early
            points, faces = simplify(*given, target_reduction=max(0.0, 1 - count / len(used)), agg=aggressiveness)
            if len(points) < 1.1 * count:
                break
        return Surface(f"{self.name}-{count}", points, faces, self.labels_on(points, faces))

    def even(self, count: int) -> Surface:
        """About ``count`` vertices and edges of one length (Botsch and Kobbelt 2004), with the nearest labels."""
        from gpytoolbox import remesh_botsch

        mesh, _ = geometry.repair_mesh(self.vertices, self.faces, min_component=0.01)  # the remesher takes manifolds only
        area = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).area
        edge = float(np.sqrt(2 / np.sqrt(3) * area / count))  # of equilateral triangles, two for every vertex
        points, faces = remesh_botsch(mesh.vertices.astype(np.float64), mesh.faces.astype(np.int32), 5, edge, True)
        return Surface(f"{self.name}-even{count}", points, faces, self.labels_on(points, faces))

    def remeshed(self) -> Surface:
        """As many vertices, and other triangles: every triangle in four, then decimated."""
        vertices, faces = trimesh.remesh.subdivide(self.vertices, self.faces)
        fine = self._replace(vertices=vertices, faces=faces, labels=self.labels_on(vertices, faces))
        return fine.varied(0, stretch=0.0, noise=0.02).decimated(len(self.vertices))._replace(name=f"{self.name}-remeshed")

    def refined(self, seed: int) -> Surface:
        """About as many vertices, four times as dense on a random side as on the other: decimated, then refined there."""
        coarse, random = self.decimated(int(0.4 * len(self.vertices)), careful=True), np.random.default_rng(seed)
        place = (coarse.vertices - coarse.vertices.mean(0)) @ random.normal(size=3)
        vertices, faces = split_edges(coarse.vertices, coarse.faces, np.flatnonzero(place[coarse.faces].mean(1) > 0))
        return Surface(f"{self.name}-refined{seed}", vertices, faces, self.labels_on(vertices, faces))


def split_edges(vertices: np.ndarray, faces: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with the chosen triangles in four, and their neighbours in two or three, so that no vertex lies on an edge."""
    pairs = np.sort(np.stack([faces, np.roll(faces, -1, 1)], 2), 2)  # (F, 3, 2): edge k goes from corner k to the next
    edges, number = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    number, split = number.reshape(-1, 3), np.zeros(len(edges), bool)
    split[number[chosen]] = True
    middle = np.where(split, len(vertices) + np.cumsum(split) - 1, -1)[number]
    count = (middle >= 0).sum(1)
    # Corners turned so that with one edge to split it is the first, and with two the last is the one to keep.
    first = np.where(count == 1, (middle >= 0).argmax(1), np.where(count == 2, ((middle < 0).argmax(1) + 1) % 3, 0))
    turned = (first[:, None] + np.arange(3)) % 3
    (a, b, c), (m, n, o) = (np.take_along_axis(of, turned, 1).T for of in (faces, middle))
    parts = {
        0: [(a, b, c)],
        1: [(a, m, c), (m, b, c)],
        2: [(m, b, n), (a, m, n), (a, n, c)],
        3: [(a, m, o), (m, b, n), (o, n, c), (m, n, o)],
    }
    new = [np.stack(part, 1)[count == k] for k, some in parts.items() for part in some]
    return np.concatenate([vertices, vertices[edges[split]].mean(1)]), np.concatenate(new)


def graphs_of(
    surfaces: Sequence[Surface], params: ProcessParams, folder: Path, jobs: int = 0
) -> tuple[MeshDataset, dict[str, GaugeGraph]]:
    """The data set of the surfaces, and their graphs by name: those that could not be used are not there.

    Meshes and records are kept in a folder, under names that go by what is in them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for surface in surfaces:
        content = b"".join(np.ascontiguousarray(part).tobytes() for part in surface[1:])
        mesh = folder / f"{surface.name}-{hashlib.sha256(content).hexdigest()[:12]}.ply"
        labels = mesh.with_suffix(".npy")
        if not labels.is_file():
            trimesh.Trimesh(surface.vertices, surface.faces, process=False).export(mesh)
            np.save(labels, surface.labels.astype(np.int64))
        files[mesh] = surface.name
    rows = [{"path": str(mesh), "label": str(mesh.with_suffix(".npy"))} for mesh in files]
    options = {"records": folder / "records", "jobs": jobs, "on_error": "skip"}
    dataset = MeshDataset.from_table(rows, params, task="segment", target="label", **options)
    for name, reason in dataset.failed.items():
        print(f"left out {name}: {reason}", flush=True)
    return dataset, {files[row.path]: graph for row, graph in zip(dataset.rows, dataset)}


# ---------------------------------------------------------------------------------------------------- training


def train(model: nn.Module, graphs: list, loss_of: Callable, args, seed: int, title: str, rate: float = 1.0) -> None:
    torch.manual_seed(seed)
    loader = DataLoader(with_tables(model, graphs), args.batch_size, shuffle=True)

    def loss(net: nn.Module, batch) -> Tensor:
        batch = batch.to(args.device)
        return loss_of(net(batch.x, batch), batch)

    options = {"clip": 1.0, **common.cycle_of(args, rate)}
    common.train(model, lambda epoch: loader, loss, args.epochs, len(loader), title=title, **options)
    model.eval()


def learnt(
    names: Sequence[str], seed: int, graphs: list, outputs: int, loss_of: Callable, args, wrap: Callable | None = None
) -> Iterator[tuple[str, nn.Module, dict]]:
    """Networks of MODELS by name, trained, each with what is known of its run; ``wrap`` makes another module of a network."""
    for name in names:
        torch.manual_seed(seed)
        net = build(name, graphs[0], outputs, args)
        entry = {"model": name, "seed": seed, "parameters": sum(p.numel() for p in net.parameters())}
        rate, title = RATES.get(name, 1.0), f"{name}, seed {seed}"
        model = (net if wrap is None else wrap(net)).to(args.device)
        start = time.process_time()
        train(model, graphs, partial(loss_of, model) if wrap is not None else loss_of, args, seed, title, rate)
        entry["minutes"] = round((time.process_time() - start) / 60, 1)
        yield name, model.cpu(), entry


def keep(net: nn.Module, preparation: Preparation, title: str, args) -> None:
    """The weights of a network of ours in the folder of --save."""
    if args.save and isinstance(net, SavedNetwork):
        net.preparation = preparation
        net.save(args.save / f"{title.replace(' ', '-')}.safetensors")


def fill(runs: common.Runs, args, run: Callable[[list[str], int], Iterator[dict]]) -> None:
    """Run what is missing, and keep each as it ends."""
    for seed in range(args.seeds):
        missing = [name for name in args.models if not runs.has(model=name, seed=seed)]
        for entry in run(missing, seed) if missing else ():
            runs.add(entry)


def nodes_of(graph, vertices: np.ndarray) -> np.ndarray:
    """(V,) the node of every vertex of the mesh that the graph was made of; of those that no face uses the nearest one's."""
    nodes = graph.vertex_nodes.numpy() if "vertex_nodes" in graph else np.arange(len(vertices))
    used = np.flatnonzero(nodes >= 0)
    return nodes[used][cKDTree(vertices[used]).query(vertices)[1]] if len(used) < len(nodes) else nodes


def interpolate(graph, coarse: Surface, vertices: np.ndarray) -> None:
    """Keep with a graph where points (V, 3) lie among its nodes: the three nearest, by the inverse squares of distances.

    ``coarse`` is the mesh that the graph was made of. :func:`at_points` takes values there.
    """
    used = np.unique(coarse.faces)
    distance, nearest = cKDTree(coarse.vertices[used]).query(vertices, 3)
    weight = 1 / (distance**2 + 1e-12 * distance.max() ** 2)
    nodes = nodes_of(graph, coarse.vertices)[used[nearest]]
    # Flat, since the indices of a batch are joined along the last axis.
    graph.near_index = torch.from_numpy(nodes.reshape(-1))
    graph.near_weight = torch.from_numpy((weight / weight.sum(1, keepdims=True)).reshape(-1)).to(graph.pos.dtype)


def at_points(values: Tensor, graph) -> Tensor:
    """(V, C) of values (N, C) at the nodes."""
    return (values[graph.near_index] * graph.near_weight[:, None]).unflatten(0, (-1, 3)).sum(1)


def draw_labels(file: Path, panels: dict[str, tuple[Surface, np.ndarray]]) -> None:
    """Surfaces side by side: title -> a surface and the classes of its vertices or of its faces, a colour for each."""
    from matplotlib.figure import Figure

    shapes = {}
    for surface in {surface.name: surface for surface, _ in panels.values()}.values():
        mine = {title: labels for title, (other, labels) in panels.items() if other.name == surface.name}
        data = {"vertex_data": {}, "face_data": {}}
        for title, labels in mine.items():
            data["vertex_data" if len(labels) == len(surface.vertices) else "face_data"][title] = labels
        shapes[surface.name] = geometry.mesh(surface.vertices, surface.faces, rings=1, repair=True, **data)
    figure = Figure(figsize=(3.2 * len(panels), 3.2), layout="constrained", dpi=110)
    for axes, (title, (surface, _)) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        shape = shapes[surface.name]
        viz.plot_labels(shape, (shape.vertex_data | shape.face_data)[title], axes, title=title)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def add_arguments(
    parser: argparse.ArgumentParser, epochs: int | None, models: Sequence[str] = LABELLING, **defaults: float
) -> None:
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--seeds", type=int, default=3, help="each has a split and weights of its own")
    parser.add_argument("--epochs", type=int, default=epochs)
    channels = int(defaults.pop("channels", 16))
    parser.add_argument(
        "--channels", type=int, default=channels, help="of the gauge network; the others have as many parameters"
    )
    parser.add_argument("--levels", type=int, default=int(defaults.pop("levels", 2)), help="coarser levels")
    parser.add_argument("--limit", type=int, help="number of training surfaces, by default all")
    parser.add_argument("--jobs", type=int, default=2, help="processes that preprocess meshes")
    parser.add_argument("--records", type=Path, default=Path("runs") / "records", help="folder of the preprocessed meshes")
    parser.add_argument("--save", type=Path, help="folder for the trained weights")
    parser.add_argument("--weights", type=Path, help="test the network of this file on the first split, and train nothing")
    parser.add_argument("--picture", type=Path, help="with --weights: draw the answer on a test surface to this file")
    parser.add_argument("--table", action="store_true", help="train nothing, write the table of the results that are there")
    common.add_training_arguments(parser, **{"batch_size": 2, **defaults})
