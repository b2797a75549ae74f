"""Errors of the differential operators on the sphere. Writes benchmarks/results/derivatives.md.

    python benchmarks/derivatives.py [--counts 642 2562 10242]

f = (a x)^2 on the unit sphere, whose derivatives are known; points of the Fibonacci sphere, which are irregular at the poles,
and random points, spread a little; relative L2 errors.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine
from gaugenet import FieldType, geometry, groups, metrics, nn

OUT = Path(__file__).parent / "results" / "derivatives.md"
SO2 = groups.SO2()
AXIS = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)


def spread(count: int, steps: int = 10) -> np.ndarray:
    """Random points, moved away from their six nearest a few times."""
    points = np.random.default_rng(0).standard_normal((count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    for _ in range(steps):
        distance, near = cKDTree(points).query(points, 7)
        away = (points[:, None] - points[near[:, 1:]]) / distance[:, 1:, None] ** 2
        points = points + 0.3 / count * away.sum(1)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def t(blocks: str) -> FieldType:
    return FieldType(SO2, blocks)


def errors(points: np.ndarray, degree: int) -> list[float]:
    graph = geometry.sphere(points).to_graph()
    p, along = graph.pos, graph.pos @ AXIS
    f = along[:, None] ** 2
    gradient = torch.einsum("nai,na->ni", graph.frame, 2 * along[:, None] * (AXIS - along[:, None] * p))
    laplacian = 2 * AXIS @ AXIS - 6 * f
    tensor = nn.Gradient(t("1x1"), degree=degree)(gradient, graph)
    pairs = [
        (nn.Gradient(t("1x0"), degree=degree)(f, graph), gradient),
        (nn.Divergence(t("1x1"), degree=degree)(gradient, graph), laplacian),
        (nn.Curl(t("1x1"), degree=degree)(torch.stack([-gradient[:, 1], gradient[:, 0]], 1), graph), laplacian),
        (nn.Laplacian(t("1x0"), degree=degree)(f, graph), laplacian),
        (nn.Laplacian(t("1x1"), degree=degree)(gradient, graph), -5 * gradient),
        (nn.Laplacian(t("1x2"), degree=degree)(tensor, graph), -2 * tensor),
    ]
    return [float(metrics.relative_error(got, wanted, graph.area)) for got, wanted in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[642, 2562, 10242])
    args = parser.parse_args()
    head = ["points", "N", "degree", "gradient", "divergence", "curl", "Laplacian, order 0", "order 1", "order 2"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, make in (("Fibonacci", geometry.fibonacci_points), ("random, spread", spread)):
        for degree in (2, 3):
            for count in args.counts:
                cells = [f"{e:.1e}" for e in errors(make(count), degree)]
                lines.append(f"| {name} | {count} | {degree} | {' | '.join(cells)} |")
    title = [
        "# Differential operators on the sphere",
        "",
        f"`python benchmarks/derivatives.py`, {machine()}. Relative L2 errors.",
    ]
    OUT.write_text("\n".join([*title, "", *lines, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
