"""How nearly do layers on points of the sphere commute with rotations of the sphere? No sampling has that symmetry itself.

    python benchmarks/sphere_equivariance.py [--only icosphere random] [--no-write]

Writes benchmarks/results/sphere_equivariance.md.

A band-limited field f (real harmonics up to degree 8, equal power in every degree) and its rotation by a generic R are sampled
at the same points P. A convolution keeps the degree, so the exact output is a field of spin-weighted harmonics of degree <= 8.
The output for f is put on them by least squares, rotated there, and compared with the output for the rotated field:

    error = |L_P(R f) - R fit(L_P f)| / |R fit(L_P f)|    (area-weighted root mean squares).

The bias and the self-interaction are off: they commute exactly, and would only make the error look smaller.
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from gaugenet import FieldType, geometry, groups
from gaugenet.geometry.spheres.great_circle import east_north
from gaugenet.nn import GaugeConv

DEGREE = 8
COPIES = 4
SO2 = groups.SO2()


# --- spin-weighted harmonics --------------------------------------------------------------------------------------------


def spin_harmonics(points: np.ndarray, spin: int) -> np.ndarray:
    """(N, K) complex: fields of spin weight `spin` of degree |spin|..DEGREE in the (east, north) frames, unit mean power.

    d^l_{m,-s} e^{i m phi} by the sum over k (Goldberg et al. 1967, doi:10.1063/1.1705135, eq. 3.1); only the span matters here.
    """
    theta = np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2])
    phi = np.arctan2(points[:, 1], points[:, 0])
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    columns = []
    for l in range(abs(spin), DEGREE + 1):
        for m in range(-l, l + 1):
            n = -spin
            front = math.sqrt(math.factorial(l + m) * math.factorial(l - m) * math.factorial(l + n) * math.factorial(l - n))
            value = np.zeros(len(points))
            for k in range(max(0, n - m), min(l + n, l - m) + 1):
                down = math.factorial(l + n - k) * math.factorial(k) * math.factorial(m - n + k) * math.factorial(l - m - k)
                value += (-1) ** (m - n + k) * front / down * c ** (2 * l + n - m - 2 * k) * s ** (m - n + 2 * k)
            columns.append(math.sqrt(2 * l + 1) * value * np.exp(1j * m * phi))
    return np.stack(columns, 1)


def real_basis(points: np.ndarray, order: int) -> np.ndarray:
    """(N, n, K): a real basis of the fields of an SO(2) order up to DEGREE, in the (east, north) frames, n components."""
    basis = spin_harmonics(points, order)
    if order == 0:
        return np.concatenate([basis.real, basis.imag], 1)[:, None]
    return np.concatenate([np.stack([t.real, t.imag], 1) for t in (basis, 1j * basis)], 2)


def random_coefficients(order: int, seed: int) -> np.ndarray:
    """(K, COPIES): equal power in every degree."""
    degrees = np.concatenate([np.full(2 * l + 1, l) for l in range(order, DEGREE + 1)])
    values = np.random.default_rng(seed).normal(size=(2 * len(degrees), COPIES))
    return values / np.sqrt(np.tile(2 * degrees + 1, 2))[:, None]


class Stage:
    """Points P of a geometry, a rotation R, and the bases at P and, in the frames R^-1 E_p, at R^-1 P."""

    def __init__(self, local, seed: int = 3) -> None:
        q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
        q = q * np.sign(np.diag(r))
        self.matrix = q * np.sign(np.linalg.det(q))
        self.graph, self.points = local.to_graph(), local.positions
        self.weight = local.area / local.area.sum()
        self.back = local.positions @ self.matrix  # R^-1 p
        there = east_north(self.back)
        turn = np.einsum("nid,nie->nde", there, np.einsum("ij,nid->njd", self.matrix, local.frame))
        self.angle = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])

    @lru_cache(maxsize=8)  # noqa: B019 (one stage at a time)
    def basis(self, order: int, rotated: bool) -> np.ndarray:
        if not rotated:
            return real_basis(self.points, order)
        basis = real_basis(self.back, order)
        if order == 0:
            return basis
        c, s = np.cos(order * self.angle)[:, None], np.sin(order * self.angle)[:, None]
        return np.stack([c * basis[:, 0] + s * basis[:, 1], -s * basis[:, 0] + c * basis[:, 1]], 1)

    def field(self, coefficients: np.ndarray, order: int, rotated: bool) -> np.ndarray:
        """(N, n COPIES) features of the field, or of the rotated field, at P."""
        return (self.basis(order, rotated) @ coefficients).reshape(len(self.points), -1)

    def fit(self, values: np.ndarray, order: int) -> np.ndarray:
        """(K, COPIES) of the field of degree <= 8 that is nearest to the features."""
        basis = self.basis(order, False)
        flat = basis.reshape(-1, basis.shape[2])
        heavy = (basis * self.weight[:, None, None]).reshape(flat.shape)
        gram, moments = heavy.T @ flat, heavy.T @ values.reshape(len(flat), -1)
        return np.linalg.pinv(gram, rcond=1e-9, hermitian=True) @ moments

    def norm(self, values: np.ndarray) -> float:
        return float(np.sqrt((values**2).sum(1) @ self.weight))


# --- layers ---------------------------------------------------------------------------------------------------------------


def layer(orders_in: tuple[int, ...], orders_out: tuple[int, ...], quadrature: dict) -> GaugeConv:
    torch.manual_seed(0)
    types = (FieldType(SO2, " + ".join(f"{COPIES}x{order}" for order in orders)) for orders in (orders_in, orders_out))
    return GaugeConv(*types, 4, bias=False, self_interaction=False, **quadrature).double()


class TwoLayers(torch.nn.Module):
    """Scalars to vectors to scalars."""

    def __init__(self, quadrature) -> None:
        super().__init__()
        self.first, self.second = layer((0,), (1,), quadrature), layer((1,), (0,), quadrature)

    def forward(self, x, graph):
        return self.second(self.first(x, graph), graph)


# Orders of the blocks of input and output; the last one is two layers.
LAYERS = {
    "0 → 0": ((0,), (0,)),
    "0 → 1": ((0,), (1,)),
    "0 → 2": ((0,), (2,)),
    "1 → 0": ((1,), (0,)),
    "1 → 1": ((1,), (1,)),
    "1 → 2": ((1,), (2,)),
    "2 → 2": ((2,), (2,)),
    "0+1+2 → 0+1+2": ((0, 1, 2), (0, 1, 2)),
    "0 → 1 → 0": None,
}


@torch.no_grad()
def errors(stage: Stage, quadrature: dict) -> list[float]:
    result = []
    for orders in LAYERS.values():
        module = TwoLayers(quadrature) if orders is None else layer(*orders, quadrature)
        orders_in, orders_out = orders or ((0,), (0,))
        fields = [(random_coefficients(order, order), order) for order in orders_in]
        plain, turned = (
            module(torch.tensor(np.concatenate([stage.field(*f, rotated) for f in fields], 1)), stage.graph).numpy()
            for rotated in (False, True)
        )
        expected, start = [], 0
        for order in orders_out:
            stop = start + COPIES * (1 if order == 0 else 2)
            expected.append(stage.field(stage.fit(plain[:, start:stop], order), order, True))
            start = stop
        expected = np.concatenate(expected, 1)
        result.append(stage.norm(turned - expected) / stage.norm(expected))
    return result


# --- samplings ------------------------------------------------------------------------------------------------------------


@lru_cache
def random_points(n: int) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


SAMPLINGS = {
    "icosphere, level 4": lambda: geometry.icosphere(4),
    "icosphere, level 5": lambda: geometry.icosphere(5),
    "icosphere, level 6": lambda: geometry.icosphere(6),
    "HEALPix, nside 29": lambda: geometry.healpix(29, nest=False),
    "Fibonacci": lambda: geometry.fibonacci_sphere(10_242),
    "Gauss-Legendre 72 x 144": lambda: geometry.latlon(72, 144),
    "random, coarse": lambda: geometry.sphere(random_points(2_562)),
    "random": lambda: geometry.sphere(random_points(10_242)),
}
RULES = {"area weights": {"quadrature": None}, "degree 2": {"quadrature": 2}, "default (degree 3)": {}}


def percent(share: float) -> str:
    value = 100 * share
    return f"{value:,.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 1 else f"{value:.2g} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="samplings whose names start so")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    rows = []
    for name, make in SAMPLINGS.items():
        if options.only and not name.startswith(tuple(options.only)):
            continue
        local = make()
        stage = Stage(local)
        for rule, quadrature in RULES.items():
            found = errors(stage, quadrature)
            rows.append([name, f"{local.num_nodes:,}", rule, *map(percent, found)])
            print(rows[-1], flush=True)
    header = ["points", "number", "quadrature", *LAYERS]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])
    text = "\n\n".join(
        [
            "# Layers on the sphere against rotations of the sphere",
            f"`python benchmarks/sphere_equivariance.py`, {datetime.date.today().isoformat()}; {platform.machine()} CPU, "
            f"{torch.get_num_threads()} threads, torch {torch.__version__.split('+')[0]}, float64.",
            *__doc__.strip().split("\n\n")[3:],
            "Columns: orders of the input and output fields of an SO(2) layer with default arguments but for the quadrature; "
            f"{COPIES} copies of each; the last column is two layers.",
            table,
        ]
    )
    if not options.no_write:
        (Path(__file__).parent / "results" / "sphere_equivariance.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
