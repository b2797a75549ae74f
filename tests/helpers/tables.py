"""Folders of small meshes with tables of what is known of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers.corpus import sphere

#: how long the ellipsoids are, and the class that this makes them
STRETCHES = np.linspace(0.8, 2.0, 12)


def write_obj(path: Path, vertices: np.ndarray, faces: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in np.asarray(vertices, float).tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (np.asarray(faces) + 1).tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


def ellipsoids(folder: Path, level: int = 1) -> Path:
    """Twelve ellipsoids and labels.csv: a class, numbers, and files for vertices and faces; returns the table."""
    v, f = sphere(level)
    lines = ["path,label,length,volume,height,side,wind"]
    for k, stretch in enumerate(STRETCHES):
        points = v * np.array([1.0, 1.0, stretch])
        write_obj(folder / "meshes" / f"e{k}.obj", points, f)
        np.save(folder / f"top{k}.npy", (points[:, 2] > 0).astype(np.int64) * 4 + 3)
        (folder / f"side{k}.txt").write_text("\n".join(str(int(s)) for s in points[f].mean(1)[:, 0] > 0))
        normals = v * np.array([1.0, 1.0, 1 / stretch])
        np.save(folder / f"wind{k}.npy", normals / np.linalg.norm(normals, axis=1, keepdims=True) * 2.0)
        label = "long" if stretch > 1.4 else "short"
        volume = 4.19 * stretch
        lines.append(f"meshes/e{k}.obj,{label},{stretch:.4f},{volume:.4f},top{k}.npy,side{k}.txt,wind{k}.npy")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    return table
