"""preprocess under kill -9, damaged outputs, full and read-only disks, runs beside each other: a rerun makes it whole."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gaugenet.cli import main
from gaugenet.geometry import LocalGeometry
from gaugenet.pipeline import run_report
from gaugenet.pipeline.batch import preprocess
from gaugenet.pipeline.process import ProcessParams
from gaugenet.pipeline.run_report import read_index, read_report
from gaugenet.pipeline.sources import find_meshes
from tests.helpers.corpus import cases, sphere
from tests.helpers.pathological import COMMAND, ROOT, environment, obj, tree

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="stops process groups, mounts small disks and sets limits as only Linux allows"
)
PARAMS = ProcessParams(rings=2)
OPTIONS = ["--rings", "2", "--quiet", "--json"]


def start(*arguments, **options) -> subprocess.Popen:
    """The command, in a process group of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("environ", {})}
    command = [*COMMAND, *map(str, arguments), *OPTIONS]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, env=environ, **pipes, **options)


def finish(run: subprocess.Popen) -> tuple[int, dict]:
    """(status, summary); nothing may have gone wrong in ways that we do not tell of."""
    out, err = run.communicate(timeout=240)
    assert "Traceback" not in err, err
    return run.returncode, json.loads(out) if out else {"error": err}


def facts(folder: Path) -> dict[str, dict]:
    """The index without what differs from run to run."""
    varying = ("seconds", "time", "attempts")
    return {name: {k: v for k, v in e.items() if k not in varying} for name, e in read_index(folder)[1].items()}


def records(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(folder).items() if name.endswith(".safetensors")}


def assert_only_whole_files(folder: Path) -> None:
    for path in folder.iterdir():
        assert path.name == ".index.lock" or path.suffix in (".safetensors", ".json", ".jsonl"), path
        if path.suffix == ".safetensors":
            LocalGeometry.load(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Twenty-one sound meshes and one that is not, and what an undisturbed run makes of them."""
    root = tmp_path_factory.mktemp("data")
    for k in range(21):
        obj(root / "in" / f"class{k % 3}" / f"{k:02d}.obj", sphere(3), scale=1.0 + k)
    obj(root / "in" / "class0" / "bad.obj", cases()["nan"])
    preprocess([root / "in"], root / "out", PARAMS, jobs=2)
    return root


def killed_again_and_again(data: Path, out: Path, times: int) -> None:
    """At random moments, the first before and the others after a run has written a record of its own."""
    rng = random.Random(os.getpid())
    for k in range(times):
        before = sorted(out.glob("*.safetensors"))
        if len(before) > 14:  # or soon nothing would be left to do
            for path in rng.sample(before, 7):
                path.unlink()
        known = set(out.glob("*.safetensors"))
        run, end = start(data / "in", out, "--jobs", "2"), time.monotonic() + 240
        while k and run.poll() is None and not set(out.glob("*.safetensors")) - known and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.4) if k else rng.uniform(0.3, 4.0))
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        for path in out.glob("*.safetensors"):
            LocalGeometry.load(path)
        if (out / "index.json").exists():
            json.loads((out / "index.json").read_text())
    status, summary = finish(start(data / "in", out, "--jobs", "2"))
    assert status == 1 and summary["done"] + summary["skipped"] == 21
    assert records(out) == records(data / "out") and facts(out) == facts(data / "out")
    assert_only_whole_files(out)


def test_kill_9_of_the_whole_group(data, tmp_path):
    killed_again_and_again(data, tmp_path / "out", 3)


@pytest.mark.slow
def test_kill_9_many_times(data, tmp_path):
    killed_again_and_again(data, tmp_path / "out", 21)


def processes_of(group: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session = path.read_text().rsplit(")", 1)[1].split()[:4]
            if int(session) == group and state != "Z":
                found.append(int(path.parent.name))
    return found


def test_workers_die_with_the_supervisor(tmp_path):
    """Even one that hangs, when kill -9 leaves the supervisor no time to end it."""
    obj(tmp_path / "in" / "a.obj", sphere(1))
    obj(tmp_path / "in" / "b.obj", sphere(1), do="hang")
    run = start(tmp_path / "in", tmp_path / "out", "--jobs", "1", environ=environment(tmp_path / "hook"))
    end = time.monotonic() + 120
    while not list((tmp_path / "out").glob("*.safetensors")) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(processes_of(run.pid)) >= 2
    run.kill()
    run.communicate()
    while processes_of(run.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not processes_of(run.pid)


def test_damaged_outputs_are_made_again(data, tmp_path):
    names = ["class0/00.obj", "class1/01.obj", "class2/02.obj", "class0/03.obj", "class1/04.obj"]
    meshes = {name: source for name, source in find_meshes([data / "in"]).items() if name in names}
    preprocess(meshes, tmp_path, PARAMS, jobs=1)
    whole, index = tree(tmp_path), read_index(tmp_path)[1]
    paths = [tmp_path / index[name]["record"] for name in names]
    flipped = bytearray(paths[0].read_bytes())
    flipped[-1] ^= 1  # the sign or the size of one number: it looks sound
    paths[0].write_bytes(flipped)
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    paths[2].write_bytes(b"")
    paths[3].unlink()
    summary = preprocess(meshes, tmp_path, PARAMS, jobs=1)
    assert (summary.done, summary.skipped) == (4, 1)
    assert records(tmp_path) == {name: bytes_ for name, bytes_ in whole.items() if name.endswith(".safetensors")}
    assert preprocess(meshes, tmp_path, PARAMS, jobs=1).skipped == 5


def mount(*arguments) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a full disk is played by a small one, and mounting that is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1500k", "tmpfs", folder)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk(data, small_disk):
    status, summary = finish(start(data / "in", small_disk, "--jobs", "1"))
    assert status == 1 and summary["failed"] > 1 and summary["done"] > 0
    full = [e for e in summary["failures"] if e["source"] != "class0/bad.obj"]
    assert all("No space left on device" in e["reason"] and ".safetensors" in e["reason"] for e in full)
    assert_only_whole_files(small_disk)
    mount("-o", "remount,size=100m", small_disk)
    status, summary = finish(start(data / "in", small_disk, "--jobs", "1"))
    assert summary["done"] + summary["skipped"] == 21 and summary["skipped"] > 0
    assert records(small_disk) == records(data / "out") and facts(small_disk) == facts(data / "out")


def test_disk_without_room_for_the_report(data, small_disk):
    """Not even a line: the run ends with one line of its own, and the next one goes on."""
    with contextlib.suppress(OSError), open(small_disk / "ballast", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    status, summary = finish(start(data / "in" / "class1", small_disk, "--jobs", "1"))
    assert status == 1 and "report.jsonl" in summary["error"] and "No space left" in summary["error"]
    (small_disk / "ballast").unlink()
    mount("-o", "remount,size=100m", small_disk)
    assert finish(start(data / "in" / "class1", small_disk, "--jobs", "1"))[0] == 0


def test_files_that_may_not_grow(data, tmp_path):
    """RLIMIT_FSIZE: every write of a record fails, in the middle of it."""
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, 2**15))

    status, summary = finish(start(data / "in" / "class2", tmp_path / "out", "--jobs", "1", preexec_fn=limit))
    assert status == 1 and summary["failed"] == 7
    assert all("File too large" in entry["reason"] for entry in summary["failures"])
    assert_only_whole_files(tmp_path / "out") and not records(tmp_path / "out")
    assert finish(start(data / "in" / "class2", tmp_path / "out", "--jobs", "1"))[1]["done"] == 7


def test_read_only_destination(data, tmp_path, capsys):
    out = tmp_path / "out"
    preprocess([data / "in" / "class1" / "01.obj"], out, PARAMS, jobs=1)
    before = tree(out)
    mount("--bind", out, out)
    try:
        mount("-o", "remount,ro,bind", out)
        assert main(["preprocess", str(data / "in"), str(out), *OPTIONS]) == 1
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)
    captured = capsys.readouterr()
    assert "Read-only file system" in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert tree(out) == before


def test_destination_without_permission(data, tmp_path, capsys, monkeypatch):
    """The same where nothing can be mounted."""
    plain = os.open

    def refusing(path, flags, *rest, **more):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EACCES, "Permission denied", os.fspath(path))
        return plain(path, flags, *rest, **more)

    monkeypatch.setattr(run_report.os, "open", refusing)
    assert main(["preprocess", str(data / "in"), str(tmp_path), *OPTIONS]) == 1
    captured = capsys.readouterr()
    assert "report.jsonl: Permission denied" in captured.err and captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_runs_beside_each_other(data, tmp_path):
    """Two of the same meshes and two of others, at once in one folder: nothing is lost, nothing torn."""
    both = [data / "in" / "class0", data / "in" / "class1"]
    sources = [[data / "in"], [data / "in"], both, [data / "in" / "class2"]]
    runs = [start(*source, tmp_path, "--jobs", "1") for source in sources]
    done = [finish(run) for run in runs]
    assert [status for status, _ in done] == [1, 1, 1, 0]
    expected = set()
    for source in sources:
        expected |= find_meshes(source).keys()
    assert read_index(tmp_path)[1].keys() == expected
    assert {entry["source"] for entry in read_report(tmp_path / "report.jsonl")} == expected
    assert records(tmp_path) == records(data / "out")
    assert_only_whole_files(tmp_path)


def test_index_under_contention(data, tmp_path):
    """Many runs that end at the same moment and leave the report elsewhere: the lock alone keeps their entries."""
    for record in (data / "out").glob("*.safetensors"):
        (tmp_path / record.name).write_bytes(record.read_bytes())
    files = sorted((data / "in").rglob("[0-9]*.obj"))[:6]
    runs = [start(path, tmp_path, "--jobs", "1", "--report", tmp_path / f"{path.stem}.lines") for path in files]
    assert [finish(run)[0] for run in runs] == [0] * 6
    assert read_index(tmp_path)[1].keys() == {path.name for path in files}
