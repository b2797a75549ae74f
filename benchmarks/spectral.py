"""How exact and how fast the spherical harmonic transform is on every kind of sampling.

    python benchmarks/spectral.py [--channels 16] [--threads 1]

Writes benchmarks/results/spectral.md. Errors are the largest over all coefficients (random, of size 1): from coefficients to
values and back, in double and single precision; and of turned values against the sum of the turned coefficients and the
harmonics at 200 of the points, relative to the largest.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import platform
import time
from pathlib import Path

import numpy as np
import torch

from gaugenet import geometry
from gaugenet.geometry.spheres.healpix_pixels import healpix_centers
from gaugenet.groups import SO3
from gaugenet.spectral import LatLonGrid, SphericalTransform, rotate_coefficients, tangent_harmonics
from gaugenet.spectral.sampling import Sampling


def random_points(n: int) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def cases():
    icosphere = {level: geometry.icosphere(level, rings=1) for level in (4, 5)}
    for lmax in (32, 64, 128):
        yield f"Gauss-Legendre {lmax + 1} x {2 * lmax + 1}", LatLonGrid.gauss_legendre(lmax + 1, 2 * lmax + 1), lmax
    yield "equiangular 65 x 129", LatLonGrid.equiangular(65, 129), 64
    yield "equiangular 66 x 129, poles", LatLonGrid.equiangular(66, 129, poles=True), 64
    yield "HEALPix nside 16", healpix_centers(16), 32
    yield "HEALPix nside 16", healpix_centers(16), 47
    yield "HEALPix nside 32", healpix_centers(32), 64
    yield "icosphere 4, its areas", icosphere[4], 24
    yield "icosphere 4, its areas", icosphere[4], 40
    yield "icosphere 5, its areas", icosphere[5], 32
    yield "random, equal weights", random_points(2562), 16
    yield "random, equal weights", random_points(2562), 24


def timed(function, x, repeats: int = 5) -> float:
    function(x)
    return min(_seconds(function, x) for _ in range(repeats))


def _seconds(function, x) -> float:
    start = time.perf_counter()
    function(x)
    return time.perf_counter() - start


@torch.no_grad()
def measure(sampling, lmax: int, spin: int, channels: int) -> list[str]:
    start = time.perf_counter()
    transform = SphericalTransform(sampling, lmax, spin).double()
    built = time.perf_counter() - start
    generator = torch.Generator().manual_seed(0)
    shape = (channels, (lmax + 1) ** 2, 2) if spin else (channels, (lmax + 1) ** 2)
    c = torch.randn(shape, generator=generator, dtype=torch.float64)
    c[:, : spin * spin] = 0
    values = transform.synthesis(c)
    error = (transform.analysis(values) - c).abs().max()
    single = copy.deepcopy(transform).float()
    single_error = (single.analysis(values.float()).double() - c).abs().max()
    turn = SO3().sample(1, generator)[0]
    turned = transform.synthesis(rotate_coefficients(transform.analysis(values), turn, spin))
    samples = Sampling.of(sampling)
    some = np.arange(0, len(samples.unit), max(1, len(samples.unit) // 200))
    exact = directly(samples.unit[some], samples.frames[some], rotate_coefficients(c, turn, spin), lmax, spin)
    turn_error = (turned[:, some] - exact).abs().max() / exact.abs().max()
    seconds = [timed(single.synthesis, c.float()), timed(single.analysis, values.float())]
    condition = f"{transform.condition:.1f}"
    errors = [f"{float(e):.0e}" for e in (error, turn_error, single_error)]
    return [
        str(transform.num_points),
        str(lmax),
        str(spin),
        condition,
        *errors,
        f"{built:.1f}",
        *(f"{1e3 * s:.1f}" for s in seconds),
    ]


def directly(points: np.ndarray, frames: np.ndarray, c: torch.Tensor, lmax: int, spin: int) -> torch.Tensor:
    """The definition: coefficients times harmonics, added up."""
    y = tangent_harmonics(points, lmax, spin, frames)
    if not spin:
        return c @ y.T
    return torch.view_as_real(torch.view_as_complex(c) @ torch.view_as_complex(y).T)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    head = ["sampling", "N", "lmax", "spin", "condition", "there and back", "rotation", "there and back, float32"]
    head += ["build s", "synthesis ms", "analysis ms"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, sampling, lmax in cases():
        for spin in (0, 1):
            lines.append("| " + " | ".join([name, *measure(sampling, lmax, spin, options.channels)]) + " |")
            print(lines[-1], flush=True)
    machine = f"{platform.processor() or platform.machine()}, {options.threads} thread(s), torch {torch.__version__}"
    text = f"# Spherical harmonic transforms\n\n`python benchmarks/spectral.py`, {datetime.date.today()}, {machine}. "
    text += f"Times are for {options.channels} fields in float32.\n\n" + "\n".join(lines) + "\n"
    (Path(__file__).parent / "results" / "spectral.md").write_text(text)


if __name__ == "__main__":
    main()
