"""``gaugenet warmup``, and what a first run says while it compiles."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from gaugenet.geometry.spheres.icospheres import icosphere_mesh


def command(cache, *words):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.run(
        [sys.executable, "-m", "gaugenet.cli", *map(str, words)], capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meshes")
    for level in (1, 2):
        vertices, faces = icosphere_mesh(level)
        rows = "".join("v {} {} {}\n".format(*v) for v in np.round(vertices, 6))
        (folder / f"{level}.obj").write_text(rows + "".join("f {} {} {}\n".format(*f) for f in faces + 1))
    return folder


def test_a_first_run_says_that_it_compiles_and_counts_whole_meshes(cache, meshes, tmp_path):
    first = command(cache, "preprocess", meshes, tmp_path / "a", "--rings", 2, "--jobs", 2)
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("compiling once") == 1
    counts = re.findall(r"\| (\S+)/2 \[", first.stderr)
    assert counts and set(counts) <= {"0", "1", "2"} and counts[-1] == "2"
    again = command(cache, "preprocess", meshes, tmp_path / "b", "--rings", 2, "--jobs", 2)
    assert again.returncode == 0 and "compiling" not in again.stderr


def leaves_nothing_to_compile(cache, *options):
    first = command(cache, "warmup", "--json", *options)
    assert first.returncode == 0, first.stderr
    facts = json.loads(first.stdout)
    assert facts["compiled"] > 3 and facts["seconds"] > 0
    assert first.stderr.count("compiling once") == 1
    again = command(cache, "warmup", *options)
    assert again.returncode == 0 and again.stdout.startswith("nothing left to compile") and not again.stderr


def test_warmup_leaves_nothing_to_compile(cache, meshes, tmp_path):
    leaves_nothing_to_compile(cache, "--no-layers")
    work = command(cache, "preprocess", meshes, tmp_path / "c", "--radius", 0.8, "--levels", 1, "--features", "hks")
    assert work.returncode == 0 and "compiling" not in work.stderr


@pytest.mark.slow
def test_warmup_of_the_layers(cache):
    leaves_nothing_to_compile(cache)
