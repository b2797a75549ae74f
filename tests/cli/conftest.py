"""A folder of meshes, and its records."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.files import CASES, MODULE, write
from tests.helpers.corpus import sphere, torus


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A data set of two classes with some bad files."""
    root = tmp_path_factory.mktemp("data")
    write(root / "round" / "ball.obj", sphere(2))
    write(root / "round" / "small.obj", (sphere(2)[0] * 1e-3, sphere(2)[1]))
    write(root / "holed" / "torus.obj", torus())
    write(root / "bad" / "bow_tie.obj", CASES["bow_tie"])
    write(root / "bad" / "nan.obj", CASES["nan"])
    (root / "bad" / "empty.stl").write_bytes(b"")
    (root / "notes.txt").write_text("not a mesh")
    return root


@pytest.fixture(scope="session")
def processed(folder, tmp_path_factory):
    """The data set preprocessed once, by the command, from a process of its own."""
    out = tmp_path_factory.mktemp("records")
    command = [*MODULE, "preprocess", str(folder), str(out), "--rings", "2", "--normalize", "--jobs", "2", "--json"]
    return out, subprocess.run(command, capture_output=True, text=True, timeout=300)
