"""Whole files, appended lines, the lock, and what killed writers leave."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from gaugenet.io import durable
from gaugenet.io.durable import append_line, locked, sweep_temporary, write_atomic


def left_by(folder: Path, monkeypatch, host: str, pid: int) -> Path:
    """What a writer leaves that is killed before it renames."""
    with monkeypatch.context() as patch:
        patch.setattr(durable.socket, "gethostname", lambda: host)
        patch.setattr(durable.os, "getpid", lambda: pid)
        patch.setattr(durable.os, "replace", lambda *_: None)
        write_atomic(folder / "a.safetensors", b"x")
    (path,) = (p for p in folder.iterdir() if f"-{pid}-" in p.name)
    return path


def test_leftovers(tmp_path, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(durable.socket, "gethostname", lambda: "node.one")
    dead = left_by(tmp_path, monkeypatch, "node.one", ended.pid)
    ours = left_by(tmp_path, monkeypatch, "node.one", os.getpid())
    fresh = left_by(tmp_path, monkeypatch, "node.two", ended.pid + 1)
    old = left_by(tmp_path, monkeypatch, "node.two", ended.pid + 2)
    os.utime(old, (time.time() - 10**6,) * 2)
    others = [tmp_path / ".swap.tmp", tmp_path / "b.tmp"]
    for path in others:
        path.write_bytes(b"not ours")
    sweep_temporary(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([ours, fresh, *others]) and not dead.exists()
    # Of a worker that is known to be dead.
    sweep_temporary(tmp_path, os.getpid())
    assert sorted(tmp_path.iterdir()) == sorted([fresh, *others])


def test_lines_of_many_writers(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"torn")

    def write(letter: bytes) -> None:
        file = os.open(path, os.O_RDWR | os.O_APPEND)
        for _ in range(50):
            append_line(file, letter * 5000)
        os.close(file)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_bytes().splitlines()
    assert lines[0] == b"torn" and len(lines) == 151
    assert all(re.fullmatch(rb"(a+|b+|c+)", line) and len(line) == 5000 for line in lines[1:])


def test_the_lock_ends_with_its_process(tmp_path):
    code = (
        "import sys, time; from gaugenet.io.durable import locked\n"
        "with locked(sys.argv[1]): print('held', flush=True); time.sleep(100)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    got = threading.Event()

    def wait() -> None:
        with locked(tmp_path / "lock"):
            got.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not got.wait(0.3)
    holder.kill()
    holder.communicate()
    assert got.wait(30)
    waiter.join()
