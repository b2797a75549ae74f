"""Which layer when: cost, memory, range and the error under remeshing, of every layer of surfaces: the table of docs/layers.md.

    python -m benchmarks.layers                    # the table into benchmarks/results/layers.md
    python -m benchmarks.layers --points 2500      # smaller

Cost: processor time of forward and backward on one thread, over that of GaugeConv; fields of orders 0..2, 16 copies each, about
10,000 vertices of a sphere, 18 neighbours. Range: how far from a vertex its value has an effect, in the unit of the
neighbourhood's radius ("all": everywhere). Error under remeshing: two meshes of the sphere share 300 vertices; the others are
spread evenly on one and twice as densely on the northern half of the other. Smooth fields go through one layer with the same
weights on both; the difference of the invariants of the answer at the shared vertices, relative to their deviation. Once with
area weights, once with moment matching where the layer has it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from gaugenet import FieldType, geometry, groups, nn
from gaugenet.data import GaugeGraph

from .measure import interleaved, machine, peak_bytes

RESULT = Path(__file__).parent / "results" / "layers.md"
TYPE = FieldType(groups.SO2(), "16x0 + 16x1 + 16x2")

#: name: maker, by the degree of moment matching (None: area weights)
LAYERS: dict[str, Callable[[int | None], torch.nn.Module]] = {
    "GaugeConv": lambda q: nn.GaugeConv(TYPE, TYPE, quadrature=q),
    "GaugeAttention": lambda q: nn.GaugeAttention(TYPE, TYPE, quadrature=q),
    "GaugeMessagePassing": lambda q: nn.GaugeMessagePassing(TYPE, TYPE),
    "HarmonicSurfaceConv": lambda q: nn.HarmonicSurfaceConv(TYPE, TYPE, quadrature=q),
    "FieldConv": lambda q: nn.FieldConv(TYPE, TYPE, quadrature=q),
    "FieldDiffusion, spectral": lambda q: nn.FieldDiffusion(TYPE),
    "FieldDiffusion, implicit": lambda q: nn.FieldDiffusion(TYPE, "implicit"),
    "PoissonSolve": lambda q: nn.PoissonSolve(TYPE),
    "Laplacian": lambda q: nn.Laplacian(TYPE),
}
MATCHED = ("GaugeConv", "GaugeAttention", "HarmonicSurfaceConv", "FieldConv")
SHARED = 300


def spread(count: int, dense: bool, seed: int) -> np.ndarray:
    """Points of the unit sphere with blue noise, the first SHARED of them the same for all: twice as dense in the north."""
    rng, turn = np.random.default_rng(seed), np.arange(SHARED) * np.pi * (3 - 5**0.5)
    height = (2 * np.arange(SHARED) + 1) / SHARED - 1  # Fibonacci's spiral
    fixed = np.column_stack([np.cos(turn) * np.sqrt(1 - height**2), np.sin(turn) * np.sqrt(1 - height**2), height])
    points = np.concatenate([fixed, rng.normal(size=(count - SHARED, 3))])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    if dense:  # two thirds of the free ones in the north
        south = np.flatnonzero(points[SHARED:, 2] < 0) + SHARED
        points[rng.choice(south, len(south) // 3, replace=False), 2] *= -1
    for _ in range(20):  # Lloyd's relaxation on the triangles around a point; the shared ones stay
        faces = ConvexHull(points).simplices
        corners = points[faces]
        areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        sums = np.zeros_like(points)
        # Larger triangles attract, so that the density evens out; in the north they count half where it is to stay dense.
        areas = areas * np.where(dense & (corners[:, :, 2].mean(1) > 0), 2.0, 1.0)
        for k in range(3):
            np.add.at(sums, faces[:, k], areas[:, None] * corners.mean(1))
        moved = points + 0.5 * (sums / np.linalg.norm(sums, axis=1, keepdims=True) - points)
        points[SHARED:] = (moved / np.linalg.norm(moved, axis=1, keepdims=True))[SHARED:]
    return points


def mesh(count: int, dense: bool, seed: int) -> geometry.LocalGeometry:
    points = spread(count, dense, seed)
    faces = ConvexHull(points).simplices
    a, b, c = (points[faces[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * a).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return geometry.mesh(points, faces, radius=float(np.sqrt(18 * 4 / count)))


def smooth_fields(geom: geometry.LocalGeometry) -> Tensor:
    """Fields of TYPE: polynomials of degree up to 3 in the coordinates, and tangential parts of such vectors and tensors."""
    rng, p = np.random.default_rng(1), geom.positions
    basis = np.column_stack([np.ones(len(p)), p, p[:, [0]] * p, p[:, [1]] * p[:, 1:], p[:, 2] ** 2, p.prod(1)])
    scalars = basis @ rng.normal(size=(basis.shape[1], 16))
    parts = [scalars]
    # Tangential to the sphere itself: a normal part would show the normals of the triangles.
    tangent = np.eye(3) - p[:, :, None] * p[:, None]
    vectors, tensors = [], []
    for _ in range(16):
        vector = basis @ rng.normal(size=(basis.shape[1], 3))
        vectors.append(geometry.to_frames(np.einsum("nij,nj->ni", tangent, vector), geom).values[:, 1:])
        matrix = tangent @ np.einsum("nb,bij->nij", basis, rng.normal(size=(basis.shape[1], 3, 3))) @ tangent
        tensors.append(geometry.to_frames(matrix + matrix.transpose(0, 2, 1), geom).values[:, -2:])
    # A block lies component by component, its copies side by side.
    parts += [np.stack(vectors, 2).reshape(len(p), -1), np.stack(tensors, 2).reshape(len(p), -1)]
    return torch.from_numpy(np.concatenate(parts, 1))


def error_under_remeshing(layer: torch.nn.Module, graphs: list[GaugeGraph], fields: list[Tensor]) -> float:
    layer = layer.double().eval()
    with torch.no_grad():
        one, two = (nn.to_scalars(layer(x, graph), layer.out_type)[:SHARED] for graph, x in zip(graphs, fields))
    return float(((one - two).square().mean() / (one - one.mean(0)).square().mean()).sqrt())


def reach(layer: torch.nn.Module, graph: GaugeGraph) -> str:
    """How far the answer at a vertex depends on the input, in radii of the neighbourhood."""
    x = torch.randn(graph.num_nodes, layer.in_type.dim, dtype=torch.float64, requires_grad=True)
    node = SHARED + 5
    (gradient,) = torch.autograd.grad(layer.double()(x, graph)[node].sum(), x)
    far = torch.arccos((graph.pos @ graph.pos[node]).clamp(-1, 1))[gradient.abs().amax(1) > 0].max()
    return "all" if far > 3.0 else f"{float(far / graph.radius[node]):.1f}"


def table(count: int, rounds: int) -> list[str]:
    geoms = [mesh(count, dense, seed) for dense, seed in ((False, 1), (True, 2))]
    graphs, fields = [geom.to_graph() for geom in geoms], [smooth_fields(geom) for geom in geoms]
    small = graphs[0].float()
    x = torch.randn(small.num_nodes, TYPE.dim, requires_grad=True)

    def step(layer: torch.nn.Module) -> Callable[[], None]:
        def run() -> None:
            layer(x, small).square().sum().backward()

        return run

    torch.manual_seed(0)
    layers = {name: make(3) for name, make in LAYERS.items()}
    steps = {name: step(layer.float()) for name, layer in layers.items()}
    first = {}
    for name, run in steps.items():  # what is made once for a mesh
        start = time.process_time()
        run()
        first[name] = time.process_time() - start
    times = interleaved(steps, rounds, time.process_time)
    memory = {name: peak_bytes(run) for name, run in steps.items()}
    rows = []
    for name, make in LAYERS.items():
        errors = []
        for quadrature in (None, 3) if name in MATCHED else (None,):
            torch.manual_seed(0)
            errors.append(f"{100 * error_under_remeshing(make(quadrature), graphs, fields):.2g} %")
        if len(errors) == 1:  # derivatives are always of matched moments
            errors.insert(0 if name == "Laplacian" else 1, "-")
        torch.manual_seed(0)
        cells = [name, f"{1e3 * times[name]:.0f}", f"{times[name] / times['GaugeConv']:.1f}", f"{first[name]:.1f}"]
        cells += [f"{memory[name] / 1e6:.0f}", reach(make(3), graphs[0]), *errors]
        rows.append("| " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = table(args.points, args.rounds)
    head = [
        "# Layers of surfaces: cost, memory, range, remeshing",
        "",
        f"`python -m benchmarks.layers --points {args.points}`, {machine()}.",
        "",
        "Forward + backward on one thread, float32, processor time; orders 0..2, 16 copies each, about 18 "
        "neighbours; the first call also makes what is kept with the mesh. Error under remeshing: area weights, and moment "
        "matching where the layer has it.",
        "",
        "| layer | ms | of GaugeConv | first call, s | peak MB | range, radii | remeshed, area weights | remeshed, matched |",
        "|---|---|---|---|---|---|---|---|",
    ]
    args.out.write_text("\n".join([*head, *rows, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
