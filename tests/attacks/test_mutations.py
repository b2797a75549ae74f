"""Mutated files: only the documented errors come out, and memory stays in proportion. benchmarks/fuzz.py runs many more."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from gaugenet.errors import GaugenetError
from gaugenet.geometry.triangles.checks import check_mesh
from gaugenet.io.loading import parse_mesh
from gaugenet.io.records import load_record
from tests.helpers.mutations import mutated, samples

COUNT = 300


def load(kind: str, data: bytes, path) -> None:
    if kind == "safetensors":
        path.write_bytes(data)
        load_record(path).validate()
    else:
        mesh = parse_mesh(data, f".{kind}", "a")
        check_mesh(mesh.vertices, mesh.faces)


@pytest.mark.parametrize("kind", ["obj", "off", "ply", "stl", "glb", "safetensors"])
def test_mutations(kind, tmp_path):
    files, path = samples(kind), tmp_path / "a"
    load(kind, files[0], path)
    outcomes = {True: 0, False: 0}
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for k in range(COUNT):
            data = mutated(files[k % len(files)], np.random.default_rng([k, 1]))
            try:
                load(kind, data, path)
            except GaugenetError as error:
                assert "\n" not in str(error) and len(str(error)) < 1000
                outcomes[False] += 1
            else:
                outcomes[True] += 1
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20
    assert outcomes[False] > COUNT // 4 and outcomes[True] > 0
