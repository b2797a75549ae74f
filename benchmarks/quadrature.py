"""How near the coefficient tables come to the integral, and how little the answer changes when a mesh is remeshed.

    python benchmarks/quadrature.py [--level 5] [--nodes 1000] [--no-remesh]

Writes benchmarks/results/quadrature.md. The second table uses the meshes of $GAUGENET_SHARED/data/odedstein_meshes
(default: ../shared beside the checkout) where they are, else two generated ones.
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from gaugenet import geometry
from gaugenet.kernels import GaussianRings, harmonic_frequencies, harmonics
from gaugenet.kernels.quadrature import match_moments

MAX_FREQUENCY = 3
RULES = {"area weights": None, "moment-matched, degree 1": 1, "moment-matched, degree 2": 2, "moment-matched, degree 3": 3}


def table_of(local, profile, degree):
    """Quadrature of a LocalGeometry, and the seconds it took."""
    start = time.perf_counter()
    arrays = [torch.as_tensor(t) for t in (local.log, local.weight, local.radius, local.edge_index)]
    curvature = None if local.curvature is None else torch.as_tensor(local.curvature)
    found = match_moments(*arrays, profile, MAX_FREQUENCY, area=torch.as_tensor(local.area), curvature=curvature, degree=degree)
    return found, time.perf_counter() - start


def respond(found, local, signals):
    """(N, S) -> (N, J, S)."""
    source, target = torch.as_tensor(local.edge_index)
    out = found.node[:, :, None] * signals[:, None]
    return out.index_add(0, target, found.edge[:, :, None] * signals[source][:, None])


# --- the sphere: exact integrals -------------------------------------------------------------------------------------


def exact_responses(local, profile, nodes, coefficients):
    """(n, J, S): the integrals over the geodesic discs around some nodes, by Gauss points in r and equal steps in angle."""
    position, frame = torch.as_tensor(local.positions)[nodes], torch.as_tensor(local.frame)[nodes]
    reach = torch.as_tensor(local.radius)[nodes][:, None, None]
    r, w = (torch.tensor(t) for t in np.polynomial.legendre.leggauss(32))
    angle = torch.arange(24, dtype=torch.double) * (2 * math.pi / 24)
    direction = torch.stack([angle.cos(), angle.sin()], -1)
    tangent = torch.einsum("nid,ad->nai", frame, direction)
    exact = 0
    for t, weight, radial in zip((r + 1) / 2, w / 2, profile((r + 1) / 2)):
        signal = harmonics(position[:, None] * torch.cos(reach * t) + tangent * torch.sin(reach * t), 8) @ coefficients
        angular = torch.einsum("nas,ay->nys", signal, harmonics(direction, MAX_FREQUENCY)) * (2 / 24)
        exact = exact + weight * torch.sin(reach * t)[:, :, None] / reach[:, :, None] * torch.einsum(
            "b,nys->nbys", radial, angular
        )
    return exact.flatten(1, 2)


def sphere_rows(level, num_nodes, profile):
    ico = geometry.icosphere(level)
    edge = np.linalg.norm(ico.positions[ico.faces[:, 0]] - ico.positions[ico.faces[:, 1]], axis=1).mean()
    rng = np.random.default_rng(0)
    points = rng.normal(size=(ico.num_nodes, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    coefficients = torch.tensor(rng.normal(size=(81, 5)))  # the harmonics have sum_m Y^2 = 1: equal power in every degree
    nodes = torch.tensor(rng.choice(ico.num_nodes, min(num_nodes, ico.num_nodes), replace=False))
    frequency = harmonic_frequencies(2, MAX_FREQUENCY).repeat(profile.num)
    for name, local in (
        ("icosphere", geometry.icosphere(level, radius=3 * edge)),
        ("random", geometry.sphere(points, radius=3 * edge)),
    ):
        signals = harmonics(torch.as_tensor(local.positions), 8) @ coefficients
        exact = exact_responses(local, profile, nodes, coefficients)
        for rule, degree in RULES.items():
            found, seconds = table_of(local, profile, degree)
            error = respond(found, local, signals)[nodes] - exact
            shares = [
                float(error[:, frequency == m].norm() / exact[:, frequency == m].norm()) for m in range(MAX_FREQUENCY + 1)
            ]
            matched = "" if degree is None else f"{float((found.degree == degree).double().mean()):.1%}"
            yield [name, rule, *map(percent, shares), matched, f"{float(found.amplification.max()):.2f}", f"{seconds:.2f} s"]


# --- meshes: the answer before and after remeshing --------------------------------------------------------------------


def load_meshes(shared):
    """Name -> (vertices, faces), scaled to a unit box."""
    archive = shared / "data" / "odedstein_meshes" / "meshes.npz"
    if archive.is_file():
        data = np.load(archive)
        wanted = ("spot_low_resolution", "goathead", "penguin")
        found = {name: (data[f"{name}_V"], data[f"{name}_F"]) for name in wanted if f"{name}_V" in data}
    else:
        import trimesh

        torus = trimesh.creation.torus(1.0, 0.4, major_sections=72, minor_sections=36)
        ball = geometry.icosphere(4)
        bumps = 1 + 0.15 * np.cos(4 * ball.positions[:, 2:]) * ball.positions[:, :1]
        found = {"torus": (torus.vertices, torus.faces), "bumpy ball": (ball.positions * bumps, ball.faces)}
    return {name: ((v - v.mean(0)) / np.ptp(v, axis=0).max(), np.asarray(f, np.int64)) for name, (v, f) in found.items()}


def remeshings(vertices, faces):
    """Name -> another triangulation of (nearly) the same surface."""
    import fast_simplification
    import trimesh

    fine = trimesh.remesh.subdivide(vertices, faces)
    finer = trimesh.remesh.subdivide(*fine)
    yield "subdivided (4x)", fine
    same = fast_simplification.simplify(finer[0].astype(np.float64), finer[1], 1 - len(faces) / len(finer[1]))
    yield "retriangulated (1x)", same
    yield "decimated (0.5x)", fast_simplification.simplify(vertices.astype(np.float64), faces, 0.5)


def smooth_signals(points, rng_seed=1):
    """(N, 5) random sums of plane waves with wavelengths of 0.8 and more of the bounding box."""
    rng = np.random.default_rng(rng_seed)
    waves = rng.normal(size=(3, 12, 5))
    waves *= rng.uniform(np.pi, 2 * np.pi / 0.8, size=(12, 5)) / np.linalg.norm(waves, axis=0)
    phase = rng.uniform(0, 2 * np.pi, size=(12, 5))
    return torch.tensor(np.cos(np.einsum("ni,iks->nks", points, waves) + phase).sum(1))


def magnitudes(local, profile, degree):
    """(N, F + 1, S, 8) sizes of the responses of each frequency for 8 random mixtures of radial functions: no frame in them."""
    found, _ = table_of(local, profile, degree)
    response = respond(found, local, smooth_signals(local.positions)).unflatten(1, (profile.num, -1))
    mixture = torch.tensor(np.random.default_rng(2).normal(size=(profile.num, 8)))
    response = torch.einsum("nbys,bk->nysk", response, mixture)
    frequency = harmonic_frequencies(2, MAX_FREQUENCY)
    return torch.stack([response[:, frequency == m].square().sum(1).sqrt() for m in range(MAX_FREQUENCY + 1)], 1), found


def interpolate(local, values, points, steps=6):
    """Values at the points of a mesh nearest to the given ones, linear in each face (on a lattice of `steps` per edge)."""
    from scipy.spatial import cKDTree

    lattice = np.array([(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]) / steps
    samples = np.einsum("lk,fki->fli", lattice, local.positions[local.faces]).reshape(-1, 3)
    _, nearest = cKDTree(samples).query(points)
    corner, weight = local.faces[nearest // len(lattice)], torch.tensor(lattice[nearest % len(lattice)])
    return torch.einsum("pk,pk...->p...", weight, values[corner])


def remesh_rows(shared):
    profile = GaussianRings(4)
    for name, (vertices, faces) in load_meshes(shared).items():
        edge = np.linalg.norm(vertices[faces[:, 0]] - vertices[faces[:, 1]], axis=1).mean()
        radius = 4 * edge
        original = geometry.mesh(vertices, faces, radius=radius)
        area = torch.as_tensor(original.area)[:, None, None, None]
        for change, (v, f) in remeshings(vertices, faces):
            other = geometry.mesh(np.asarray(v, np.float64), np.asarray(f, np.int64), radius=radius)
            signal = smooth_signals(original.positions)
            floor = interpolate(other, smooth_signals(other.positions), original.positions) - signal
            floor = float((floor.square() * area[:, :, 0, 0]).sum().sqrt() / (signal.square() * area[:, :, 0, 0]).sum().sqrt())
            for rule in ("area weights", "moment-matched, degree 2", "moment-matched, degree 3"):
                before, _ = magnitudes(original, profile, RULES[rule])
                after, found = magnitudes(other, profile, RULES[rule])
                difference = (interpolate(other, after, original.positions) - before) ** 2 * area
                shares = [float((difference[:, m].sum() / (before[:, m] ** 2 * area[:, 0]).sum()).sqrt()) for m in range(4)]
                lowered = "" if RULES[rule] is None else f"{float((found.degree < RULES[rule]).double().mean()):.1%}"
                yield [
                    f"{name} ({len(vertices):,})",
                    f"{change}: {len(v):,}",
                    rule,
                    percent(floor),
                    *map(percent, shares),
                    lowered,
                ]


# --- output -----------------------------------------------------------------------------------------------------------


def percent(share):
    value = 100 * share
    digits = 0 if value >= 10 else 1 if value >= 1 else 2 if value >= 0.1 else 3 if value >= 0.01 else 4
    return f"{value:,.{digits}f} %"


def markdown(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--level", type=int, default=5, help="level of the icosphere; as many random points")
    parser.add_argument("--nodes", type=int, default=1000, help="nodes at which the exact integrals are taken")
    parser.add_argument("--no-remesh", action="store_true", help="leave out the second table")
    options = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    shared = Path(os.environ.get("GAUGENET_SHARED", root.parent / "shared"))

    out = [
        "# Quadrature: the sum against the integral",
        f"`python benchmarks/quadrature.py`, {datetime.date.today().isoformat()}; {platform.machine()} CPU, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__.split('+')[0]}, float64.",
        "Relative error of the responses of frequency m against the exact integral: sphere with "
        f"{10 * 4**options.level + 2:,} points, "
        "five random signals of degree <= 8 with equal power in every degree, discs of 3 edge lengths. `matched`: nodes that "
        "reach the degree asked for; `growth`: largest amplification of the coefficients; `time`: to make the table.",
    ]
    for profile in (GaussianRings(1), GaussianRings(4)):
        header = ["points", "quadrature", "m=0", "m=1", "m=2", "m=3", "matched", "growth", "time"]
        out += [f"## {profile.num} radial function(s)", markdown(header, sphere_rows(options.level, options.nodes, profile))]
    if not options.no_remesh:
        header = ["mesh (vertices)", "compared with", "quadrature", "signal", "m=0", "m=1", "m=2", "m=3", "lower degree"]
        out += [
            "## Remeshing",
            "Relative change of the size of the response (a number that no frame enters) to five smooth scalar signals, mixed "
            "over 4 radial functions by random weights, when the mesh is replaced by another of the same surface; discs of 4 "
            "mean edges of the original. `signal`: the change of the signals themselves, interpolated between the vertices.",
            markdown(header, remesh_rows(shared)),
        ]
    text = "\n\n".join(out) + "\n"
    print(text)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "quadrature.md").write_text(text)


if __name__ == "__main__":
    main()
