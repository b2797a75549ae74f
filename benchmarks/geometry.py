"""Log maps of whole meshes: vertices per second, peak memory, and accuracy beside potpourri3d's three strategies.

    python benchmarks/geometry.py                 # up to 100 thousand vertices
    python benchmarks/geometry.py --large         # up to a million

Meshes: tori of revolution with jittered vertices, random diagonals and vertices in random order, 35 neighbours each; for the
accuracy spheres of random points, where the log map is known. Every size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from measure import machine, peak_bytes, resident_bytes

from gaugenet import geometry

RESULTS = Path(__file__).resolve().parent / "results"
NEIGHBOURS = 35
STRATEGIES = ("VectorHeat", "AffineLocal", "AffineAdaptive")


def torus_mesh(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
    """Vertices and faces of a torus of radii 2 and 1, and the radius within which ``NEIGHBOURS`` lie on average."""
    rng = np.random.default_rng(seed)
    side = round(size**0.5)
    u, v = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")

    def number(a, b):
        return (a % side) * side + b % side

    a, b, c, d = number(u, v), number(u + 1, v), number(u + 1, v + 1), number(u, v + 1)
    one, other = ([np.stack(t, -1) for t in pair] for pair in (((a, b, c), (a, c, d)), ((a, b, d), (b, c, d))))
    first = rng.random((side, side, 1, 1)) < 0.5
    faces = np.where(first, np.stack(one, -2), np.stack(other, -2)).reshape(-1, 3)
    s, t = ((w + 0.25 * rng.standard_normal(w.shape).clip(-1, 1)) / side * 2 * np.pi for w in (u, v))
    points = np.stack([(2 + np.cos(t)) * np.cos(s), (2 + np.cos(t)) * np.sin(s), np.sin(t)], -1).reshape(-1, 3)
    order = rng.permutation(len(points))
    place = np.empty_like(order)
    place[order] = np.arange(len(points))
    # The area 8 pi^2 shared out; the factor, found by trial, is for the uneven density of the vertices.
    radius = 0.945 * (8 * np.pi * NEIGHBOURS / len(points)) ** 0.5
    return points[order], place[faces][rng.permutation(len(faces))], radius


def sphere_mesh(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random points of a sphere, no two too close, and their convex hull."""
    from scipy.spatial import ConvexHull

    rng = np.random.default_rng(seed)
    k = np.arange(size) + 0.5
    z, angle = 1 - 2 * k / size, np.pi * (1 + 5**0.5) * k
    points = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], -1)
    points += 0.3 * (4 * np.pi / size) ** 0.5 * rng.uniform(-1, 1, points.shape)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    hull = ConvexHull(points)
    corners = points[hull.simplices]
    outward = np.einsum("fi,fi->f", np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), corners[:, 0]) > 0
    return points, np.where(outward[:, None], hull.simplices, hull.simplices[:, [0, 2, 1]]).astype(np.int64)


def one_size(size: int) -> dict:
    """Seconds and peak memory of one mesh, after numba's cache is warm."""
    geometry.mesh(*torus_mesh(400)[:2], rings=2)
    points, faces, radius = torus_mesh(size)
    result = {}
    base = resident_bytes()
    start, cpu = time.perf_counter(), time.process_time()

    def run() -> None:
        result["geometry"] = geometry.mesh(points, faces, radius=radius, renumber=True, dtype=np.float32)

    peak = base + peak_bytes(run)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    found = result["geometry"]
    row = {"vertices": len(points), "neighbours": found.num_edges / len(points), "seconds": seconds, "cpu_seconds": cpu}
    return row | {"vertices_per_second": len(points) / seconds, "process_peak_gb": peak / 1e9}


def accuracy(size: int, sources: int) -> list[dict]:
    """Position error of log maps on the unit sphere in edge lengths, within 35 neighbours, and sources per second."""
    import potpourri3d as pp3d

    points, faces = sphere_mesh(size)
    radius = (4 * NEIGHBOURS / size) ** 0.5
    edge = float(np.linalg.norm(points[faces] - np.roll(points[faces], 1, axis=1), axis=2).mean())
    chosen = np.random.default_rng(0).choice(size, sources, replace=False)
    distance = np.arccos(np.clip(points[chosen] @ points.T, -1, 1))
    near = distance <= 0.95 * radius
    near[np.arange(sources), chosen] = False
    rows = []

    def add(name: str, seconds: float, log: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
        errors = []
        for i, p in enumerate(chosen):
            q = np.flatnonzero(near[i])
            basis, coordinates = log[p]
            exact = points[q] - (points[q] @ points[p])[:, None] * points[p]
            exact = exact @ basis
            exact *= (distance[i, q] / np.linalg.norm(exact, axis=1))[:, None]
            errors.append(np.linalg.norm(coordinates[q] - exact, axis=1) / edge)
        error = np.concatenate(errors)
        rows.append({"vertices": size, "method": name, "mean_error": float(error.mean()), "max_error": float(error.max())})
        rows[-1]["sources_per_second"] = 1 / seconds
        print(rows[-1], flush=True)

    geometry.mesh(*torus_mesh(400)[:2], rings=2)  # compiled code
    for smooth in (True, False):
        start = time.perf_counter()
        found = geometry.mesh(points, faces, radius=radius, smooth=smooth)
        seconds = (time.perf_counter() - start) / size
        log = {}
        for p in chosen:
            coordinates = np.full((size, 2), np.nan)
            edges = found.edge_index[1] == p
            coordinates[found.edge_index[0, edges]] = found.log[edges]
            log[p] = found.frame[p], coordinates
        add("gaugenet" if smooth else "gaugenet, smooth=False", seconds, log)
    for strategy in STRATEGIES:
        solver = pp3d.MeshVectorHeatSolver(points, faces)
        x, y, _ = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in solver.get_tangent_frames())
        solver.compute_log_map(0, strategy=strategy)
        start = time.perf_counter()
        maps = {p: solver.compute_log_map(int(p), strategy=strategy) for p in chosen}
        seconds = (time.perf_counter() - start) / sources
        add(f"potpourri3d {strategy}", seconds, {p: (np.stack([x[p], y[p]], -1), maps[p]) for p in chosen})
    return rows


def table(rows: list[dict]) -> str:
    cells = [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    head = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join([*head, *("| " + " | ".join(row) + " |" for row in cells)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="up to a million vertices")
    parser.add_argument("--size", type=int, help="this size alone, as JSON")
    parser.add_argument("--out", type=Path, default=RESULTS / "geometry.md")
    args = parser.parse_args()
    if args.size:
        print(json.dumps(one_size(args.size)))
        return
    sizes = []
    for size in (1_000, 3_000, 10_000, 30_000, 100_000, *((300_000, 1_000_000) if args.large else ())):
        run = subprocess.run([sys.executable, __file__, "--size", str(size)], capture_output=True, text=True, check=True)
        sizes.append(json.loads(run.stdout))
        print(sizes[-1], flush=True)
    exact = [row for size, sources in ((2_500, 100), (10_000, 50)) for row in accuracy(size, sources)]
    command = " ".join(["python benchmarks/geometry.py", *sys.argv[1:]])
    text = f"# Log maps of whole meshes\n\n`{command}`, {machine()}, all cores.\n\n"
    text += "## Whole meshes, 35 neighbours, vertices in random order and renumbered\n\n" + table(sizes)
    text += "\n## Accuracy on the unit sphere (irregular mesh), errors in mean edge lengths\n\n" + table(exact)
    args.out.write_text(text, encoding="utf-8")
    args.out.with_suffix(".json").write_text(json.dumps({"sizes": sizes, "accuracy": exact}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
