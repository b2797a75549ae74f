"""gaugenet preprocess: what is done stays done, and no mesh stops the others."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from gaugenet.cli import main
from gaugenet.geometry import LocalGeometry
from tests.cli.files import CASES, MODULE, visible, write
from tests.helpers.corpus import sphere


def test_preprocess_goes_past_bad_files(processed):
    out, run = processed
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    summary = json.loads(run.stdout)
    assert (summary["done"], summary["skipped"], summary["failed"], summary["interrupted"]) == (3, 0, 3, False)
    reasons = {m["source"]: m["reason"] for m in summary["failures"]}
    assert set(reasons) == {"bad/bow_tie.obj", "bad/nan.obj", "bad/empty.stl"}
    assert "non-manifold" in reasons["bad/bow_tie.obj"] and "empty" in reasons["bad/empty.stl"]
    assert "bad/nan.obj: failed" in run.stderr and "mesh" in run.stderr
    assert visible(out) == [".json", ".jsonl", ".safetensors", ".safetensors", ".safetensors"]


def test_index(processed):
    out, _ = processed
    index = json.loads((out / "index.json").read_text())
    assert index["parameters"]["rings"] == 2 and index["parameters"]["normalize"] is True
    entries = {m["source"]: m for m in index["meshes"]}
    assert list(entries) == sorted(entries) and len(entries) == 6
    ball = entries["round/ball.obj"]
    assert (ball["label"], ball["status"], ball["reason"], ball["nodes"]) == ("round", "done", None, 66)
    geometry = LocalGeometry.load(out / ball["record"])
    assert geometry.num_nodes == 66 and geometry.num_edges == ball["edges"]
    assert geometry.metadata["source"] == "ball.obj"
    # Normalized: the scale of the input does not matter.
    small = LocalGeometry.load(out / entries["round/small.obj"]["record"])
    np.testing.assert_allclose(np.linalg.norm(small.log, axis=1), np.linalg.norm(geometry.log, axis=1), rtol=1e-5)
    assert entries["bad/nan.obj"]["record"] is None and entries["bad/nan.obj"]["label"] == "bad"


def test_what_is_done_is_skipped(processed, folder, capsys):
    out, _ = processed
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.safetensors")}
    arguments = ["preprocess", str(folder / "round"), str(folder / "holed"), str(out), "--normalize", "--rings"]
    assert main([*arguments, "2"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("0 done, 3 skipped, 0 failed")
    assert before == {p.name: p.stat().st_mtime_ns for p in out.glob("*.safetensors")}
    # A damaged record is made again.
    victim = sorted(out.glob("*.safetensors"))[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-5])
    assert main([*arguments, "2", "--quiet", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["done"] == 1 and captured.err == ""
    assert victim.read_bytes() == whole
    # Other parameters, other records; the index tells of the last parameters only.
    assert main([*arguments, "1", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("3 done, 0 skipped")
    assert len(list(out.glob("*.safetensors"))) == 6
    assert len(json.loads((out / "index.json").read_text())["meshes"]) == 3


def test_options_reach_the_records(folder, tmp_path, capsys):
    arguments = [
        "preprocess",
        str(folder / "bad" / "bow_tie.obj"),
        str(tmp_path / "a"),
        "--radius",
        "1.5",
        "--repair",
        "--quiet",
    ]
    assert main([*arguments, "--jobs", "1"]) == 0
    geometry = LocalGeometry.load(next((tmp_path / "a").glob("*.safetensors")))
    assert geometry.num_nodes == 8 and geometry.metadata["record"]["parameters"]["radius"] == 1.5
    arguments = ["preprocess", str(folder / "round" / "ball.obj"), str(tmp_path / "b"), "--rings", "2", "--quiet"]
    assert main([*arguments, "--features", "hks:4,curvature", "--levels", "1"]) == 0
    geometry = LocalGeometry.load(next((tmp_path / "b").glob("*.safetensors")))
    assert geometry.features["hks"].values.shape == (66, 4) and "curvature" in geometry.features
    assert len(geometry.levels()) == 2
    capsys.readouterr()


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(p) for p in text.split()]


def spawn_workers(pid: int) -> list[int]:
    """Worker processes of a preprocess command (the resource tracker aside)."""
    found = []
    for child in children(pid):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            found.append(child)
    return found


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="watches the workers in /proc, which only Linux has")


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Path:
    """A quick mesh, a bad one, and one that takes minutes."""
    root = tmp_path_factory.mktemp("slow")
    write(root / "a_quick.obj", sphere(2))
    write(root / "b_bad.obj", CASES["nan"])
    write(root / "c_slow.obj", sphere(6))
    return root


SLOW = ["--rings", "40", "--jobs", "1", "--json"]


def start(slow: Path, out: Path) -> subprocess.Popen:
    """The command, caught when the first two meshes are settled and the slow one is up."""
    command = [*MODULE, "preprocess", str(slow), str(out), *SLOW]
    # A shell starts what it runs in the background, these tests perhaps, with SIGINT ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    watchdog = threading.Timer(240, run.kill)
    watchdog.start()
    for line in run.stderr:
        if "b_bad.obj: failed" in line:
            break
    watchdog.cancel()
    assert run.poll() is None
    return run


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_whole_files(slow, tmp_path, number):
    run = start(slow, tmp_path)
    workers = spawn_workers(run.pid)
    host = socket.gethostname().replace(".", "_")
    (tmp_path / f".half.safetensors.{host}-{workers[0]}-0123abcd.tmp").write_bytes(b"as if killed while writing")
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130 and "Traceback" not in err
    summary = json.loads(out)
    assert summary["interrupted"] and (summary["done"], summary["failed"]) == (1, 1)
    assert visible(tmp_path) == [".json", ".jsonl", ".safetensors"] and not list(tmp_path.glob(".*.tmp"))
    index = json.loads((tmp_path / "index.json").read_text())
    assert [m["source"] for m in index["meshes"]] == ["a_quick.obj", "b_bad.obj"]
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


@linux
def test_a_killed_worker_costs_one_mesh(slow, tmp_path):
    run = start(slow, tmp_path)
    os.kill(spawn_workers(run.pid)[0], signal.SIGKILL)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 1 and "Traceback" not in err
    bad, killed = json.loads(out)["failures"]
    assert (bad["source"], bad["status"]) == ("b_bad.obj", "failed")
    assert (killed["source"], killed["status"]) == ("c_slow.obj", "crashed") and "SIGKILL" in killed["reason"]


def test_timeout_costs_one_mesh(slow, tmp_path, capsys):
    assert main(["preprocess", str(slow), str(tmp_path), *SLOW, "--timeout", "4", "--quiet"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary["done"] == 1
    late = summary["failures"][1]
    assert (late["source"], late["status"], late["reason"]) == ("c_slow.obj", "timeout", "took longer than 4 s")
