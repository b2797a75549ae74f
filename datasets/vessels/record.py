"""One vessel of the data set: drawn, meshed, solved and written; the list of those that are there."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import potpourri3d

from .flow import solve
from .mesh import vessel_mesh
from .shapes import random_vessel
from .wall import wall_shear_stress

# Blood as a Newtonian fluid in a coronary artery: Pa s, kg / m^3, and the radius of the inlet in m.
VISCOSITY, DENSITY, RADIUS = 3.5e-3, 1060.0, 1.5e-3


@dataclass(frozen=True)
class Settings:
    """What a data set is made of; a folder holds vessels of one choice.

    Args:
        seed: of the whole set. segments, spacing: of the meshes (:func:`datasets.vessels.mesh.vessel_mesh`).
        reynolds: least and largest Reynolds number.
    """

    seed: int = 0
    segments: int = 20
    spacing: float = 0.4
    reynolds: tuple[float, float] = (10.0, 300.0)


def split_of(number: int) -> str:
    """Two thirds to train on, a twelfth to choose by, a quarter to test; a vessel's share does not depend on their count."""
    return "train" if number % 12 < 8 else "validation" if number % 12 == 8 else "test"


def make(number: int, settings: Settings, folder: Path) -> dict:
    """Write ``vessel_<number>.npz``; returns its facts. A vessel that cannot be meshed or solved is drawn again."""
    begin, attempt = time.perf_counter(), 0
    while True:
        rng = np.random.default_rng([settings.seed, number, attempt])
        vessel, reynolds = random_vessel(rng), float(rng.uniform(*settings.reynolds))
        try:
            flow = solve(vessel_mesh(vessel, settings.segments, settings.spacing, seed=number), reynolds)
            break
        except (ValueError, ArithmeticError):
            attempt += 1
            if attempt == 20:
                raise
    wall = wall_shear_stress(flow)
    speed = reynolds * VISCOSITY / (2 * DENSITY * RADIUS)
    unit = VISCOSITY * speed / RADIUS
    solver = potpourri3d.MeshHeatMethodDistanceSolver(wall.vertices, wall.faces)
    distance = solver.compute_distance_multisource(wall.rim)
    facts = {
        "file": f"vessel_{number:04d}.npz",
        "split": split_of(number),
        "kind": vessel.kind,
        **vessel.facts,
        "reynolds": round(reynolds, 2),
        "flow_ml_s": round(speed * np.pi * RADIUS**2 * 1e6, 4),
        "vertices": len(wall.vertices),
        "tetrahedra": int(flow.mesh.volume.t.shape[1]),
        "steps": flow.iterations,
        "krylov_steps": flow.krylov,
        "residual": float(f"{flow.residual:.1e}"),
        "redrawn": attempt,
        "seconds": round(time.perf_counter() - begin, 1),
        "cpu_seconds": round(flow.seconds, 1),
    }
    arrays = {
        "vertices": (wall.vertices * RADIUS * 1e3).astype(np.float32),
        "faces": wall.faces.astype(np.int32),
        "distance": (np.maximum(distance, 0) * RADIUS * 1e3).astype(np.float32),
        "wss": (wall.wss * unit).astype(np.float32),
        "pressure": (wall.pressure * unit).astype(np.float32),
        "reynolds": np.float64(reynolds),
        "poiseuille_wss": np.float64(4 * unit),
        "facts": np.array(json.dumps(facts)),
    }
    part = folder / f"part_{number:04d}.npz"
    np.savez_compressed(part, **arrays)
    part.replace(folder / facts["file"])
    return facts


def write_manifest(folder: Path, settings: Settings) -> list[dict]:
    """``manifest.json``: the settings and the facts of every vessel of the folder, in order."""
    facts = [facts_of(file) for file in sorted(folder.glob("vessel_*.npz"))]
    units = {"vertices": "mm", "distance": "mm", "wss": "Pa", "pressure": "Pa", "poiseuille_wss": "Pa"}
    fluid = {"viscosity_Pa_s": VISCOSITY, "density_kg_m3": DENSITY, "inlet_radius_mm": RADIUS * 1e3}
    content = {"settings": asdict(settings), "units": units, "fluid": fluid, "vessels": facts}
    part = folder / "manifest.part"
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / "manifest.json")
    return facts


def facts_of(file: Path) -> dict:
    with np.load(file) as arrays:
        return json.loads(str(arrays["facts"]))
