"""Equivariance error of the nonlinearities against the number of samples: the table of docs/nonlinearities.md."""

from __future__ import annotations

import argparse
import datetime
import platform
from pathlib import Path

import torch

from gaugenet import FieldType, groups
from gaugenet.nn import GatedNonlinearity, NormNonlinearity, PolynomialNonlinearity, RegularNonlinearity

ROOT = Path(__file__).resolve().parents[1]


@torch.no_grad()
def error(act: torch.nn.Module, seed: int = 0, nodes: int = 4000) -> float:
    """Relative error max |L(h f) - h L(f)| / max |L(f)| for normal features and a random rotation at every node."""
    act = act.double()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, act.in_type.dim, generator=generator, dtype=torch.float64)
    h = act.in_type.group.sample(nodes, generator=generator)
    before = act(x)
    after = act(act.in_type.transform(h, x))
    return float((after - act.out_type.transform(h, before)).abs().max() / before.abs().max())


def table() -> str:
    rows = []
    for order in (1, 2, 3):
        ft = FieldType(groups.SO2(), " + ".join(f"8x{l}" for l in range(order + 1)))
        for activation in ("relu", "elu", "silu", "tanh"):
            cells = [
                f"{error(RegularNonlinearity(ft, activation, samples)):.1e}" for samples in (5, 7, 11, 21, 31, 51, 101, 201)
            ]
            default = RegularNonlinearity(ft, activation)
            cells.append(f"{error(default):.1e} ({default.samples})")
            rows.append(f"| {order} | {activation} | " + " | ".join(cells) + " |")
    exact = FieldType(groups.SO2(), "8x0 + 8x1 + 8x2")
    others = [
        ("PolynomialNonlinearity, degree 2", PolynomialNonlinearity(exact)),
        ("PolynomialNonlinearity, degree 4", PolynomialNonlinearity(exact, degree=4)),
        ("NormNonlinearity", NormNonlinearity(exact)),
        ("GatedNonlinearity", GatedNonlinearity(exact)),
    ]
    lines = [
        "| largest order | activation | S = 5 | 7 | 11 | 21 | 31 | 51 | 101 | 201 | default (S) |",
        "|" + "---|" * 11,
        *rows,
        "",
        "| exact nonlinearities, orders 0..2 | error |",
        "|---|---|",
        *(f"| {name} | {error(act):.1e} |" for name, act in others),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks" / "results" / "nonlinearity.md")
    args = parser.parse_args()
    text = (
        "# Equivariance error of the nonlinearities (SO(2), float64, random rotation at every node)\n\n"
        f"Made by benchmarks/nonlinearity.py on {datetime.date.today()}, {platform.machine()}, torch {torch.__version__}.\n\n"
        + table()
        + "\n"
    )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
