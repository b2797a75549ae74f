"""How nearly does pooling on the sphere commute with rotations? What every reduction makes of the clusters of every sampling.

    python benchmarks/sphere_pooling.py

Writes benchmarks/results/sphere_pooling.md. As benchmarks/sphere_equivariance.py does for layers: a field of degree <= 8 and
the same field rotated are pooled to the next level; the answer to the first is put on the harmonics of degree <= 8, rotated,
and compared with the other.
"""

from __future__ import annotations

import datetime
import platform
from pathlib import Path

import torch
from sphere_equivariance import COPIES, SO2, Stage, percent, random_coefficients

from gaugenet import FieldType, geometry
from gaugenet.nn import GaugePool

SAMPLINGS = {
    "icosphere, level 4": lambda: geometry.icosphere(4, levels=1),
    "icosphere, level 5": lambda: geometry.icosphere(5, levels=1),
    "HEALPix, nside 16": lambda: geometry.healpix(16, levels=1),
    "HEALPix, nside 32": lambda: geometry.healpix(32, levels=1),
    "Gauss-Legendre 36 x 72": lambda: geometry.latlon(36, 72, levels=1),
    "Gauss-Legendre 72 x 144": lambda: geometry.latlon(72, 144, levels=1),
    "equiangular 37 x 72": lambda: geometry.latlon(37, 72, grid="equiangular", levels=1),
    "Fibonacci, 2,560": lambda: geometry.fibonacci_sphere(2_560, levels=1),
    "Fibonacci, 10,240": lambda: geometry.fibonacci_sphere(10_240, levels=1),
}


def error(fine: Stage, coarse: Stage, order: int, reduce: str) -> float:
    pool = GaugePool(FieldType(SO2, f"{COPIES}x{order}"), reduce)
    field = random_coefficients(order, order)
    plain, turned = (pool(torch.tensor(fine.field(field, order, r)), fine.graph).numpy() for r in (False, True))
    expected = coarse.field(coarse.fit(plain, order), order, True)
    return coarse.norm(turned - expected) / coarse.norm(expected)


def main() -> None:
    rows = []
    for name, make in SAMPLINGS.items():
        local = make()
        fine, coarse = Stage(local), Stage(local.coarse.geometry)
        sizes = f"{local.num_nodes:,} → {local.coarse.geometry.num_nodes:,}"
        errors = [percent(error(fine, coarse, order, reduce)) for reduce in ("mean", "max") for order in (0, 1, 2)]
        rows.append([name, sizes, *errors])
        print(rows[-1], flush=True)
    header = ["points", "number", *(f"{reduce}, order {order}" for reduce in ("mean", "max") for order in (0, 1, 2))]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])
    text = [
        "# Pooling on the sphere against rotations of the sphere",
        f"`python benchmarks/sphere_pooling.py`, {datetime.date.today().isoformat()}; {platform.machine()} CPU, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__.split('+')[0]}, float64.",
        "Relative error of `nn.GaugePool` under a generic rotation of a field of degree <= 8, by reduction and order.",
        table,
    ]
    (Path(__file__).parent / "results" / "sphere_pooling.md").write_text("\n\n".join(text) + "\n")


if __name__ == "__main__":
    main()
