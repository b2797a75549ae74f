"""Mesh files, and what lies in a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tests.helpers.corpus import cases

CASES = cases()
MODULE = [sys.executable, "-m", "gaugenet.cli"]


def write(path: Path, mesh) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    v, f = mesh[:2]
    path.write_text(
        "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in np.asarray(v, float).tolist())
        + "".join(f"f {a} {b} {c}\n" for a, b, c in (np.asarray(f) + 1).tolist())
    )
    return path


def visible(folder: Path) -> list[str]:
    """Extensions of what lies in a folder, the lock aside."""
    return sorted(p.suffix for p in folder.iterdir() if p.name != ".index.lock")
