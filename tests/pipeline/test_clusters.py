"""The recipes of docs/clusters.md, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gaugenet.errors import MeshError
from gaugenet.pipeline.batch import preprocess
from gaugenet.pipeline.process import Processed, ProcessParams
from gaugenet.pipeline.run_report import read_index
from tests.helpers.corpus import cases, sphere
from tests.helpers.pathological import ROOT, environment, obj, tree

TEXT = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return found


@pytest.fixture(scope="module")
def meshes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("meshes")
    for k in range(8):
        obj(root / f"class{k % 2}" / f"{k}.obj", sphere(1), scale=1.0 + k)
    return root


def records(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(folder).items() if name.endswith(".safetensors")}


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell script, for Slurm clusters")
def test_slurm_array(meshes, tmp_path):
    """The script of every task; srun and gaugenet are found in the PATH, as on a cluster."""
    script = tmp_path / "preprocess.sh"
    script.write_text(block("bash"))
    first, last = map(int, re.search(r"--array=(\d+)-(\d+)", script.read_text()).groups())
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, body in (("srun", 'exec "$@"'), ("gaugenet", f'exec "{sys.executable}" -m gaugenet.cli "$@"')):
        (commands / name).write_text(f"#!/bin/sh\n{body}\n")
        (commands / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environ |= {"MESHES": str(meshes), "RECORDS": str(tmp_path / "records"), "SLURM_CPUS_PER_TASK": "1"}

    def task(number: int) -> subprocess.Popen:
        return subprocess.Popen(["bash", str(script)], env={**environ, "SLURM_ARRAY_TASK_ID": str(number)})

    # Two at a time, in one folder.
    numbers = list(range(first, last + 1))
    for pair in zip(numbers[::2], numbers[1::2]):
        assert [run.wait(240) for run in [task(number) for number in pair]] == [0, 0]
    preprocess([meshes], tmp_path / "alone", ProcessParams(rings=2, normalize=True), jobs=1)
    assert records(tmp_path / "records") == records(tmp_path / "alone") != {}
    assert read_index(tmp_path / "records")[1].keys() == read_index(tmp_path / "alone")[1].keys()
    assert len(list((tmp_path / "records").glob("report-*.jsonl"))) == len(numbers) == 8


def test_dask(meshes, tmp_path, monkeypatch):
    """One bad mesh and one that kills its worker: each costs itself only."""
    distributed = pytest.importorskip("distributed", reason="the recipe is for Dask: pip install 'gaugenet[dask]'")
    import dask
    from distributed.scheduler import NoWorkerError

    for name, value in environment(tmp_path / "hook").items():
        monkeypatch.setenv(name, value)
    obj(tmp_path / "more" / "bad.obj", cases()["nan"])
    obj(tmp_path / "more" / "deadly.obj", sphere(1), do="segv")
    recipe: dict = {}
    exec(compile(block("python"), "clusters.md", "exec"), recipe)
    params = ProcessParams(rings=1)
    # A worker that crashes while Dask still starts it is not started again (seen on a busy machine): then no worker is left.
    with (
        dask.config.set({"distributed.scheduler.no-workers-timeout": "60s"}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        done, failed = recipe["preprocess_with_dask"](client, [meshes, tmp_path / "more"], tmp_path / "records", params)
    assert len(done) == 8 and all(isinstance(value, Processed) for value in done.values())
    assert isinstance(failed.pop("more/bad.obj"), MeshError)
    assert isinstance(failed.pop("more/deadly.obj"), (distributed.KilledWorker, NoWorkerError)) and not failed
    # The command makes the index of what is there.
    assert preprocess([meshes], tmp_path / "records", params, jobs=1).skipped == 8
    assert len(read_index(tmp_path / "records")[1]) == 8
