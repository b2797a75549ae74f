"""Shapes whose matches are known, matches by functional maps, and how good they are: what correspondence.py is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import potpourri3d
import torch
import trimesh
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree
from torch import Tensor

from examples import surfaces
from examples.surfaces import Surface
from gaugenet import nn
from gaugenet.data import GaugeGraph

PAIRS, FIRST, STEP = 90, 30, 60  # eigenfunctions of the functional maps, those to begin with, and more at a time
SAMPLE = 1000  # nodes that the maps are made from, drawn by their areas: many small triangles are no more of the surface
NEAR = 0.1  # of the root of the area: how far descriptors may lead away from the functional map


class Shape(NamedTuple):
    """A mesh, and its vertices (K,) at the points of the template and at their mirror images (None where not known)."""

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    match: np.ndarray
    mirrored: np.ndarray | None

    @property
    def surface(self) -> Surface:
        return Surface(self.name, self.vertices, self.faces, np.zeros(len(self.vertices), np.int64))

    def copy(self, seed: int) -> Shape:
        """Stretched, with triangles that are finer on one side; every other one mirrored, with the points of the other side."""
        surface, points = self.surface.varied(seed), (self.match, self.mirrored)
        if seed % 2 == 0 and self.mirrored is not None:
            surface, points = surface.mirrored(), points[::-1]
        places = (None if of is None else surface.vertices[of] for of in points)
        return Shape.nearest(surface.refined(seed)._replace(name=f"{self.name}-copy{seed}"), *places)

    @classmethod
    def nearest(cls, surface: Surface, points: np.ndarray, mirrored: np.ndarray | None) -> Shape:
        """A surface, the template's points at its vertices that are nearest to places (K, 3)."""
        used = np.unique(surface.faces)
        tree = cKDTree(surface.vertices[used])
        match, other = (None if places is None else used[tree.query(places)[1]] for places in (points, mirrored))
        return cls(surface.name, surface.vertices, surface.faces, match, other)


def geodesics(shape: Shape, chosen: np.ndarray, folder: Path) -> dict[int, np.ndarray]:
    """Distances of all vertices from the vertices at the chosen points and at their mirror images, by the heat method."""
    ends = [shape.match[chosen], *([] if shape.mirrored is None else [shape.mirrored[chosen]])]
    sources = np.unique(np.concatenate(ends).astype(np.int64))
    file = folder / f"{shape.name}-{len(shape.vertices)}-{len(chosen)}.npz"
    if file.is_file():
        with np.load(file) as kept:
            if np.array_equal(kept["sources"], sources):
                return dict(zip(sources.tolist(), kept["distance"]))
    used, number = np.unique(shape.faces, return_inverse=True)  # the solver takes no vertices without faces
    if not np.isin(sources, used).all():
        raise SystemExit(f"{shape.name}: points of the template lie on vertices that no face uses")
    vertices, faces = shape.vertices[used].astype(np.float64), number.reshape(-1, 3)
    solver = potpourri3d.MeshHeatMethodDistanceSolver(vertices, faces)
    size = np.sqrt(trimesh.Trimesh(vertices, faces, process=False).area)
    distance = np.full((len(sources), len(shape.vertices)), np.nan, np.float32)
    for row, place in zip(distance, np.searchsorted(used, sources)):
        row[used] = solver.compute_distance(int(place)) / size
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(file, sources=sources, distance=distance)
    return dict(zip(sources.tolist(), distance))


def scores(found: np.ndarray, shape: Shape, chosen: np.ndarray, distance: dict[int, np.ndarray]) -> tuple[float, float, float]:
    """Error, error of either side (times 100) and share of swapped points (percent), of matches (K',) on a shape."""
    right = np.array([distance[int(v)][w] for v, w in zip(shape.match[chosen], found)])
    if shape.mirrored is None:
        return 100 * float(right.mean()), float("nan"), float("nan")
    wrong = np.array([distance[int(v)][w] for v, w in zip(shape.mirrored[chosen], found)])
    apart = np.array([distance[int(v)][w] for v, w in zip(shape.match[chosen], shape.mirrored[chosen])]) > 0.2
    swapped = 100 * float((wrong < right)[apart].mean())
    return 100 * float(right.mean()), 100 * float(np.minimum(right, wrong).mean()), swapped


class Described(NamedTuple):
    """A shape that a network has seen: descriptors (N, P) and places (N, 3) of the nodes, triangles, eigenfunctions."""

    descriptors: Tensor
    pos: Tensor
    faces: np.ndarray
    basis: Any

    @classmethod
    def of(cls, descriptors: Tensor, graph: GaugeGraph) -> Described:
        return cls(descriptors, graph.pos, graph.face.T.numpy(), nn.laplacian_basis(graph, PAIRS))


def by_map(one: Described, other: Described, at: Tensor) -> Tensor:
    """Nodes of another shape for nodes ``at``: the nearest descriptors near the place to which the functional map leads."""
    here, there = _drawn(one), _drawn(other)
    # A few functions and many matches, both ways: the wrong ones hardly count. Descriptors as functions (nn.functional_map)
    # told less.
    to, back = nearest(one, other, here), nearest(other, one, there)
    few = other.basis.first(FIRST), one.basis.first(FIRST)
    first = nn.map_of_matches(torch.cat([to, there]), *few, torch.cat([here, back]))
    refined = nn.zoom_out(first, other.basis, one.basis, nodes=here, step=STEP)
    place = other.pos[nn.matches_of_map(refined, other.basis, one.basis, at)]
    far = torch.cdist(place, other.pos) > NEAR * other.basis.area.sqrt()
    return (one.descriptors[at] @ other.descriptors.T).masked_fill(far, -torch.inf).argmax(1)


def _drawn(shape: Described) -> Tensor:
    """Nodes, by their areas."""
    share = shape.basis.mass.double()
    return torch.multinomial(share, min(SAMPLE, int((share > 0).sum())), generator=torch.Generator().manual_seed(0))


def nearest(one: Described, other: Described, at: Tensor) -> Tensor:
    """Nodes of another shape for nodes ``at``: the nearest descriptors."""
    return (one.descriptors[at] @ other.descriptors.T).argmax(1)


def draw(file: Path, shapes: Sequence[Described]) -> None:
    """Regions of the first shape, and on the others the regions of what their nodes are matched with."""
    first, *others = shapes
    regions = kmeans2(first.pos.numpy(), 14, seed=0, minit="++")[1]
    panels = {"a body": (Surface("first", first.pos.numpy(), first.faces, regions), regions)}
    for number, other in enumerate(others, 1):
        labels = regions[by_map(other, first, torch.arange(len(other.pos)))]
        panels[f"matched, {number}"] = Surface(str(number), other.pos.numpy(), other.faces, labels), labels
    surfaces.draw_labels(file, panels)
