"""Meshes that crash, hang or swell whoever reads them, and helpers of the tests that use them.

A sitecustomize.py, which every Python process imports that has its folder in PYTHONPATH, puts a hook before parse_mesh: an OBJ
file with the comment ``# do X`` does X.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "gaugenet.cli", "preprocess"]

HOOK = """
import ctypes, os, time
import numpy
from gaugenet.io import loading

plain = loading.parse_mesh


def parse_mesh(data, extension, path=None):
    words = data.split(b"# do ", 1)[1].split(b"\\n", 1)[0].decode().split() if b"# do " in data else [""]
    if words[0] == "segv":
        ctypes.string_at(0)
    if words[0] == "segv_once" and not os.path.exists(words[1]):
        open(words[1], "w").close()
        ctypes.string_at(0)
    if words[0] == "hang":
        time.sleep(1000)
    if words[0] == "swell":
        kept = []
        while True:
            kept.append(b"x" * 20_000_000)
            time.sleep(0.01)
    if words[0] == "reserve":
        numpy.zeros(10**13)
    if words[0] == "leap":
        return numpy.ones(10**9).sum()
    return plain(data, extension, path)


loading.parse_mesh = parse_mesh
"""


def environment(folder: Path) -> dict[str, str]:
    """What a process needs to have the hook."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(HOOK)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def obj(path: Path, mesh, do: str = "", scale: float = 1.0) -> Path:
    """Write a mesh; the scale makes the content differ from others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    v, f = mesh[:2]
    lines = [f"# do {do}"] if do else []
    lines += [f"v {x!r} {y!r} {z!r}" for x, y, z in (np.asarray(v, float) * scale).tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (np.asarray(f) + 1).tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
