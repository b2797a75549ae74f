"""Mesh convergence of datasets/vessels: Poiseuille's flow, and a bifurcation against a finer mesh of itself.

python -m benchmarks.vessels                                 # writes benchmarks/results/vessels.md
python -m benchmarks.vessels --finest 28 0.28                # a finer reference: minutes, and gigabytes
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from datasets.vessels.flow import Flow, solve
from datasets.vessels.mesh import vessel_mesh
from datasets.vessels.shapes import Vessel, random_vessel, straight_tube
from datasets.vessels.wall import Wall, wall_shear_stress

MESHES = ((8, 1.0), (12, 0.67), (16, 0.5))
LENGTH, REYNOLDS = 8.0, 150.0


def solved(vessel: Vessel, segments: int, spacing: float) -> tuple[Flow, Wall]:
    flow = solve(vessel_mesh(vessel, segments, spacing), REYNOLDS)
    return flow, wall_shear_stress(flow)


def size(flow: Flow, wall: Wall, segments: int, spacing: float) -> str:
    return (
        f"{segments}, {spacing} | {flow.mesh.volume.t.shape[1]} | {len(wall.vertices)} | {flow.iterations} | {flow.seconds:.0f}"
    )


def straight(meshes: list[tuple[int, float]]) -> list[str]:
    rows = [
        "| segments, spacing | tetrahedra | wall vertices | steps | CPU s | velocity | pressure drop | WSS, L2 | WSS, largest |"
    ]
    rows.append("|---" * 9 + "|")
    for segments, spacing in meshes:
        flow, wall = solved(straight_tube(LENGTH), segments, spacing)
        x = flow.basis.doflocs
        exact = 2 * (1 - x[0] ** 2 - x[1] ** 2)
        velocity = np.sqrt(((flow.velocity - exact[:, None] * [0, 0, 1]) ** 2).sum() / (exact**2).sum())
        drop = abs(np.ptp(flow.pressure) / (8 * LENGTH) - 1)
        off = np.linalg.norm(wall.wss - [0, 0, 4], axis=1) / 4
        errors = (velocity, drop, np.sqrt((off**2).mean()), off.max())
        rows.append(f"| {size(flow, wall, segments, spacing)} | {' | '.join(f'{100 * e:.2f} %' for e in errors)} |")
    return rows


def fork(seed: int, meshes: list[tuple[int, float]], finest: tuple[int, float]) -> list[str]:
    vessel = random_vessel(np.random.default_rng(seed))
    best, reference = solved(vessel, *finest)
    tree = cKDTree(reference.vertices)
    rows = ["| segments, spacing | tetrahedra | wall vertices | steps | CPU s | pressure drop | WSS, L2 |", "|---" * 7 + "|"]
    for segments, spacing in meshes:
        flow, wall = solved(vessel, segments, spacing)
        drop = abs(np.ptp(wall.pressure) / np.ptp(reference.pressure) - 1)
        # The reference at the vertices of the coarser mesh: inverse distances of the three nearest.
        far, near = tree.query(wall.vertices, k=3)
        weight = 1 / np.maximum(far, 1e-9)
        truth = (reference.wss[near] * (weight / weight.sum(1, keepdims=True))[..., None]).sum(1)
        error = np.linalg.norm(wall.wss - truth) / np.linalg.norm(truth)
        rows.append(f"| {size(flow, wall, segments, spacing)} | {100 * drop:.2f} % | {100 * error:.1f} % |")
    rows.append(f"| {size(best, reference, *finest)} | reference | reference |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finest", nargs=2, default=["20", "0.4"], metavar=("SEGMENTS", "SPACING"))
    parser.add_argument("--seed", type=int, default=3, help="of the bifurcation")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/vessels.md")
    args = parser.parse_args()
    finest = int(args.finest[0]), float(args.finest[1])
    lines = [
        "# Mesh convergence of datasets/vessels",
        "",
        f"A straight tube, Re {REYNOLDS:.0f}: errors against Poiseuille's flow.",
    ]
    lines += ["", *straight([*MESHES, finest]), ""]
    lines += [f"A bifurcation (seed {args.seed}), Re {REYNOLDS:.0f}: differences from the finest mesh, interpolation included."]
    lines += [
        "",
        *fork(args.seed, list(MESHES[1:]), finest),
        "",
        "`python -m benchmarks.vessels`; CPU seconds of the solver, one thread.",
    ]
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
