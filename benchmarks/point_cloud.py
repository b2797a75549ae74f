"""Log maps and transport of point clouds against great circles, beside the mesh of the same points.

    python benchmarks/point_cloud.py

Writes benchmarks/results/point_cloud.md.
"""

from __future__ import annotations

import datetime
import platform
from pathlib import Path

import numpy as np

from gaugenet import geometry
from gaugenet.geometry.spheres.spherical import great_circle


def errors(geom: geometry.LocalGeometry) -> tuple[float, float]:
    """Mean error of the log maps in spacings, and of transport (radians)."""
    points = geom.positions
    x = geom.frame[:, :, 0] - points * (geom.frame[:, :, 0] * points).sum(1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    log, transport = great_circle(points, np.stack([x, np.cross(points, x)], -1), *geom.edge_index)
    spacing = np.sqrt(8 * np.pi / np.sqrt(3) / len(points))
    change = np.swapaxes(transport, 1, 2) @ geom.transport
    turn = np.abs(np.arctan2(change[:, 1, 0], change[:, 0, 0]))
    return float(np.linalg.norm(geom.log - log, axis=1).mean() / spacing), float(turn.mean())


def main() -> None:
    lines = [
        f"Random points on the unit sphere, about 33 neighbours; {platform.machine()}, {datetime.date.today()}.",
        "",
        "| points | geometry | log, in spacings | transport, rad |",
        "|---|---|---|---|",
    ]
    ways = {
        "point_cloud, exact normals": lambda x: geometry.point_cloud(x, x),
        "point_cloud, estimated normals": geometry.point_cloud,
        "mesh (Delaunay triangles)": lambda x: geometry.mesh(x, geometry.sphere(x).faces),
    }
    for count in (600, 2400, 9600, 38400):
        points = np.random.default_rng(0).normal(size=(count, 3))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        for name, way in ways.items():
            log, turn = errors(way(points))
            lines.append(f"| {count:,} | {name} | {log:.1e} | {turn:.1e} |")
    text = "\n".join(lines) + "\n"
    print(text)
    (Path(__file__).parent / "results" / "point_cloud.md").write_text(text)


if __name__ == "__main__":
    main()
