"""supervise: workers may fail, hang, crash or be killed; the rest goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gaugenet.errors import GaugenetError, MeshError
from gaugenet.pipeline.supervisor import supervise

KEPT: list[bytes] = []


def work(item):
    """What the workers do in these tests."""
    what, value = item
    if what == "square":
        return value * value
    if what == "mesh":
        raise MeshError("bad mesh", kind="empty", path="a.obj", ids=range(value))
    if what == "bug":
        raise KeyError("two\nlines")
    if what == "sleep":
        time.sleep(value)
    if what == "kill":
        os.kill(os.getpid(), value)
    if what == "exit":
        os._exit(value)
    if what == "pid":
        return os.getpid()
    if what == "touch":
        Path(value).write_text(str(os.getpid()))
        time.sleep(60)
    if what == "keep":
        KEPT.append(b"x" * value)
        return os.getpid()
    if what == "need":
        return len([b"x" * 10_000_000 for _ in range(value)])
    if what == "oom":
        return int(Path("/proc/self/oom_score_adj").read_text())
    if what == "environment":
        return os.environ.get("OMP_NUM_THREADS")
    return what


def slow_start():
    time.sleep(1.0)


def failing_start():
    raise RuntimeError("no matter")


def deadly_start():
    os._exit(3)


def halves(item, tell):
    """Tells as often as it likes; the parent hears now and then."""
    for part in (0.25, 0.5, 1.0):
        tell(part)
        tell(part)
        time.sleep(0.25)
    return item


def outcomes(items, **options):
    return {o.item: o for o in supervise(work, items, **options)}


def test_everything_at_once():
    items = [("square", k) for k in range(6)]
    items[2:2] = [("mesh", 0), ("kill", signal.SIGSEGV), ("sleep", 60), ("bug", 0), ("exit", 7)]
    found = outcomes(items, jobs=2, timeout=1.5)
    assert found.keys() == set(items)
    assert [found["square", k].value for k in range(6)] == [0, 1, 4, 9, 16, 25]
    assert (found["mesh", 0].status, found["mesh", 0].reason) == ("failed", "a.obj: bad mesh")
    assert (found["bug", 0].status, found["bug", 0].reason) == ("failed", r"KeyError: 'two\nlines'")
    crashed = found["kill", signal.SIGSEGV]
    assert (crashed.status, crashed.reason) == ("crashed", "the worker process died of SIGSEGV")
    assert found["exit", 7].status == "crashed" and "status 7" in found["exit", 7].reason
    late = found["sleep", 60]
    assert late.status == "timeout" and late.reason == "took longer than 1.5 s" and 1.5 <= late.seconds < 10


def test_workers_live_on():
    pids = [o.value for o in supervise(work, [("pid", k) for k in range(8)], jobs=1)]
    assert len(set(pids)) == 1 and pids[0] != os.getpid()


def test_jobs_run_side_by_side():
    start = time.monotonic()
    found = outcomes([("sleep", 1.0 + k / 100) for k in range(4)], jobs=4)
    assert len(found) == 4 and max(o.seconds for o in found.values()) < 3
    assert time.monotonic() - start < 60


def test_start_does_not_count_and_may_fail():
    assert outcomes([("square", 3)], jobs=1, timeout=0.5, warm_up=slow_start)["square", 3].value == 9
    assert outcomes([("square", 3)], jobs=1, warm_up=failing_start)["square", 3].value == 9


def test_workers_that_never_start():
    with pytest.raises(GaugenetError, match=r"do not start.*status 3"):
        outcomes([("square", 3)], jobs=1, warm_up=deadly_start)


def test_items_are_taken_as_workers_become_free():
    taken = []

    def items():
        for k in range(5):
            taken.append(k)
            yield ("square", k)

    running = supervise(work, items(), jobs=1)
    next(running)
    assert len(taken) <= 2
    running.close()


def test_no_items():
    assert not outcomes([], jobs=3)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_closing_kills_and_tidies_up(tmp_path):
    killed = []
    running = supervise(work, [("square", 1), ("touch", str(tmp_path / "a"))], jobs=2, after_kill=killed.append)
    next(running)
    while not (tmp_path / "a").exists() or not (tmp_path / "a").read_text():
        time.sleep(0.02)
    pid = int((tmp_path / "a").read_text())
    assert alive(pid)
    running.close()
    assert not alive(pid) and pid in killed


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert outcomes([("environment", 0)], jobs=64)["environment", 0].value == "1"
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert outcomes([("environment", 0)], jobs=64)["environment", 0].value == "5"


@pytest.mark.parametrize(
    "options", [{"jobs": 0}, {"jobs": 1, "timeout": 0}, {"jobs": 1, "timeout": -1.0}, {"jobs": 1, "memory": 0}]
)
def test_wrong_options(options):
    with pytest.raises(ValueError, match="must be"):
        outcomes([("square", 1)], **{"jobs": 1, **options})


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send SIGINT to one process")
def test_interrupt_is_the_parents_affair():
    """SIGINT sent to a worker, as Ctrl-C does to the whole group, does not disturb it."""
    assert outcomes([("kill", signal.SIGINT)], jobs=1)["kill", signal.SIGINT].value == "kill"


def test_parts_are_told():
    heard = []
    found = list(supervise(halves, ["a", "b"], jobs=1, on_part=lambda item, part: heard.append((item, part))))
    assert [o.value for o in found] == ["a", "b"]
    assert heard == [(item, part) for item in "ab" for part in (0.25, 0.5, 1.0)]


def test_elements_of_a_mesh_error():
    found = outcomes([("mesh", 2), ("mesh", 1000), ("bug", 0)], jobs=1)
    assert (found["mesh", 2].kind, found["mesh", 2].ids) == ("empty", (0, 1))
    assert found["mesh", 1000].ids == tuple(range(100)) and "1000 in all" in found["mesh", 1000].reason
    assert (found["bug", 0].kind, found["bug", 0].ids) == (None, ())


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="watches the workers in /proc, which only Linux has")


@linux
def test_memory_is_an_items_own():
    """One item over the limit is stopped; what a worker keeps of an item is not held against the next."""
    items = [("keep", 1_000_000), ("pid", 0), ("keep", 350_000_000), ("pid", 1), ("need", 100), ("need", 30)]
    found = outcomes(items, jobs=1, memory=0.6e9)
    assert found["keep", 1_000_000].value == found["pid", 0].value == found["keep", 350_000_000].value
    assert found["pid", 1].value != found["pid", 0].value
    assert found["need", 100].status == "memory" and "0.6 GB" in found["need", 100].reason
    assert found["need", 30].value == 30


@linux
def test_the_system_takes_a_worker_first():
    assert outcomes([("oom", 0)], jobs=1)["oom", 0].value > int(Path("/proc/self/oom_score_adj").read_text())


@linux
def test_resident_bytes(monkeypatch):
    from gaugenet.pipeline import worker

    before = worker.resident_bytes(os.getpid())
    kept = b"x" * 200_000_000
    assert 0.9 * len(kept) < worker.resident_bytes(os.getpid()) - before < 1.5 * len(kept)
    assert worker.resident_bytes(2**30) == 0
    # Elsewhere ps tells, or nobody.
    monkeypatch.setattr(worker.Path, "exists", lambda self: False)
    told = [lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=" 1234\n")]
    monkeypatch.setattr(worker.subprocess, "run", lambda *a, **k: told[0](*a, **k))
    assert worker.resident_bytes(os.getpid()) == 1234 * 1024

    def missing(*_, **__):
        raise FileNotFoundError("ps")

    told[0] = missing
    assert worker.resident_bytes(os.getpid()) is None
    with pytest.raises(GaugenetError, match="no memory limit here"):
        worker.Limits(memory=1e9)
