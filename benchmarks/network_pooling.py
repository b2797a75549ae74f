"""What pooling costs a classifier of its invariance to rotations. Writes benchmarks/results/network_pooling.md.

    python benchmarks/network_pooling.py [--seeds 3]

Untrained SphericalCNNs with random weights see random band-limited scalar fields, upright and turned by random rotations, at
the same points. Printed is |logits(turned) - logits| / |logits - their mean over the fields|, 0 for an invariant network.
"mean" and "max" are those of gaugenet.nn.GaugePool, "none" stays on the fine level.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from scipy.spatial.transform import Rotation
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine
from examples.spherical_digits import SmoothPool
from gaugenet import FieldType, geometry, groups
from gaugenet.data import StaticGraph
from gaugenet.models import SphericalCNN
from gaugenet.spectral import tangent_harmonics

LEVEL, DEGREE, FIELDS = 3, 8, 32
OUT = Path(__file__).parent / "results" / "network_pooling.md"


def fields(points) -> tuple[torch.Tensor, torch.Tensor]:
    """Random fields (FIELDS, N, 1) of degree <= DEGREE at the points, and the same ones turned, each by its own rotation."""
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn(FIELDS, (DEGREE + 1) ** 2, generator=generator, dtype=torch.float64)
    turns = Rotation.random(FIELDS, random_state=0).as_matrix()
    turned = [tangent_harmonics(points @ turn, DEGREE) @ c for turn, c in zip(turns, coefficients)]
    plain = coefficients @ tangent_harmonics(points, DEGREE).T
    return plain[..., None].float(), torch.stack(turned)[..., None].float()


def network(pool: str) -> SphericalCNN:
    if pool == "none":
        options = {"channels": (8,), "blocks": (3,)}
    else:
        options = {"pool": pool if pool in ("mean", "max") else "mean"}
    net = SphericalCNN(FieldType(groups.SO2(), "1x0"), 10, norm="batch", **options)
    if pool == "spectral, Gaussian":
        net.pools = nn.ModuleList(SmoothPool(type, LEVEL - k) for k, type in enumerate(net.types[:-1]))
    return net


@torch.no_grad()
def error(net: SphericalCNN, plain: torch.Tensor, turned: torch.Tensor, sphere: StaticGraph) -> float:
    for _ in range(20):  # the statistics of the norms, from both
        net(torch.cat([plain, turned]), sphere)
    net.eval()
    a, b = net(plain, sphere), net(turned, sphere)
    return float((a - b).norm() / (a - a.mean(0)).norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    geom = geometry.icosphere(LEVEL, levels=2)
    sphere = StaticGraph(geom.to_graph().float())
    plain, turned = fields(geom.positions)
    lines = [f"| pooling | {' | '.join(f'seed {seed}' for seed in range(args.seeds))} |", "|---" * (args.seeds + 1) + "|"]
    for pool in ("mean", "max", "spectral, Gaussian", "none"):
        errors = []
        for seed in range(args.seeds):
            torch.manual_seed(seed)
            errors.append(error(network(pool), plain, turned, sphere))
        lines.append(f"| {pool} | {' | '.join(f'{e:.3f}' for e in errors)} |")
        print(lines[-1], flush=True)
    title = f"# Change of the logits under rotations, untrained SphericalCNN, fields of degree {DEGREE}, icosphere {LEVEL}"
    OUT.write_text("\n".join([title, "", f"`python benchmarks/network_pooling.py`, {machine()}.", "", *lines, ""]))


if __name__ == "__main__":
    main()
