"""One worker process of the supervisor: the parent's handle on it, and its own life."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..errors import GaugenetError

__all__ = ["Limits", "Outcome", "Worker", "resident_bytes"]

# Importing numba and loading its compiled code takes seconds, on a busy machine many; an item's time starts after it.
_START_LIMIT = 600.0
_READY = "ready"
# Said before that, at most once: functions have to be compiled, for a cache has been empty.
_COMPILING = "compiling"
# Seconds between two words about the part of an item that is done.
_PACE = 0.2
# Of the elements that an error names; its message says how many there are.
_MOST_IDS = 100


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Attributes:
        item: as given.
        status: "done", "failed" (an exception), "timeout", "memory" (more than its limit) or "crashed" (the worker died).
        value: what the function returned, when done.
        reason: one line, when not done.
        kind, ids: of a MeshError: the sort of problem, and the first of the elements that have it.
        seconds: wall time.
    """

    item: Any
    status: str
    value: Any = None
    reason: str | None = None
    kind: str | None = None
    ids: tuple[int, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What one item may take: seconds of wall time, and bytes that the worker process holds resident; None is no limit."""

    timeout: float | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        for name in ("timeout", "memory"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if self.memory is not None and resident_bytes(os.getpid()) is None:
            raise GaugenetError("this platform does not say how much memory a process holds: no memory limit here")


class Worker:
    """A process, the parent's end of its pipe and the item it is at.

    Attributes:
        started: it has reported that it is ready; until then its item has not begun.
        compiling: it has reported that it compiles, before it is ready.
        dead: it has died, or overrun a limit and must be killed.
        part: how much of its item is done, from 0 to 1, as far as it has reported.
    """

    def __init__(
        self, function: Callable, warm_up: Callable | None, item: Any, limits: Limits, threads: int, tells: bool = False
    ):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function, warm_up, limits.memory, tells), daemon=True)
        with _quiet_start(threads):
            self.process.start()
        theirs.close()
        self.limits, self.started, self.compiling, self.dead = limits, False, False, False
        self._at_start, self.part = 0, 0.0
        self.assign(item)
        self.deadline: float | None = time.monotonic() + _START_LIMIT

    def assign(self, item: Any) -> None:
        self.item, self.part = item, 0.0
        self._begin()
        # A worker that has just died is noticed at the next receive.
        with contextlib.suppress(OSError):
            self.connection.send(item)

    def _begin(self) -> None:
        self.since = time.monotonic()
        self.deadline = None if self.limits.timeout is None else self.since + self.limits.timeout

    def receive(self) -> Outcome | None:
        """The outcome that has come, or None when the worker has only reported that it is ready, or its progress."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5.0)
            self.dead = True
            return self._outcome("crashed", reason=_cause(self.process.exitcode))
        if message == _READY:
            self.started, self._at_start = True, self._resident()
            self._begin()
            return None
        if message == _COMPILING:
            self.compiling = True
            return None
        if "part" in message:
            self.part = message["part"]
            return None
        return self._outcome(**message)

    def overrun(self) -> Outcome | None:
        """The outcome of a worker that is over a limit, or None.

        Raises:
            GaugenetError: it has not even started.
        """
        if self.deadline is not None and self.deadline <= time.monotonic():
            if not self.started:
                raise GaugenetError(f"a worker process did not start within {_START_LIMIT:g} s")
            self.dead = True
            return self._outcome("timeout", reason=f"took longer than {self.limits.timeout:g} s")
        held = self._resident()
        if self.limits.memory is not None and held > self.limits.memory:
            took = f"{held / 1e9:.2f} GB resident, the limit is {self.limits.memory / 1e9:g} GB"
            if not self.started:
                raise GaugenetError(f"a worker process needs more than the memory limit before any mesh: {took}")
            self.dead = True
            return self._outcome("memory", reason=f"took too much memory: {took}")
        return None

    def swollen(self) -> bool:
        """Whether earlier items have left so much memory in use that too little would remain for the next one."""
        limit = self.limits.memory
        return limit is not None and self._resident() - self._at_start > (limit - self._at_start) / 2

    def _resident(self) -> int:
        pid = self.process.pid
        return 0 if self.limits.memory is None or pid is None else resident_bytes(pid) or 0

    def _outcome(self, status: str, **facts: Any) -> Outcome:
        return Outcome(self.item, status, seconds=time.monotonic() - self.since, **facts)

    def finish(self) -> None:
        """Let the process end by itself."""
        self.connection.close()
        self.process.join(5.0)
        self.kill()

    def kill(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


def resident_bytes(pid: int) -> int | None:
    """Bytes of a process that are in memory now, 0 when it has ended; None where the platform does not say."""
    if Path("/proc/self/statm").exists():
        try:
            return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0
    try:
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True).stdout.split()
    except OSError:
        return None
    return int(told[0]) * 1024 if told else 0


def _serve(connection: Connection, function: Callable, warm_up: Callable | None, memory: float | None, tells: bool) -> None:
    """The life of a worker: items in, outcomes out, until the pipe closes."""
    told = 0.0

    def tell(part: float) -> None:
        nonlocal told
        if time.monotonic() - told >= _PACE:
            told = time.monotonic()
            connection.send({"part": part})

    warnings.simplefilter("ignore")
    threading.Thread(target=_follow_parent, daemon=True).start()
    # When the machine runs out of memory the system is to take a worker, not the supervisor.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    if warm_up is not None:
        with contextlib.suppress(Exception):
            _tell_of_compiling(connection)
            warm_up()
    if memory is not None:
        _limit_data(memory)
    try:
        connection.send(_READY)
        while True:
            item = connection.recv()
            try:
                answer = {"status": "done", "value": function(item, tell) if tells else function(item)}
            except MemoryError as error:
                answer = {"status": "memory", "reason": _one_line(f"out of memory: {error}")}
            except (GaugenetError, OSError) as error:
                ids = tuple(getattr(error, "ids", ())[:_MOST_IDS])
                answer = {"status": "failed", "reason": _one_line(str(error)), "kind": getattr(error, "kind", None), "ids": ids}
            except Exception as error:
                answer = {"status": "failed", "reason": _one_line(f"{type(error).__name__}: {error}")}
            connection.send(answer)
    # The parent has closed the pipe, or is gone.
    except (EOFError, OSError):
        return


def _tell_of_compiling(connection: Connection) -> None:
    """Say so when the first function is compiled: one that comes from the cache is not."""
    from numba.core import event

    class First(event.Listener):
        def on_start(self, _: Any) -> None:
            event.unregister("numba:compile", self)
            with contextlib.suppress(OSError):
                connection.send(_COMPILING)

        def on_end(self, _: Any) -> None: ...

    event.register("numba:compile", First())


def _follow_parent() -> None:
    """End with the parent, also in the middle of an item: one that hangs would stay for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _limit_data(memory: float) -> None:
    """A backstop to the watch of the resident set, which looks now and then: the data may grow by twice the limit.

    RLIMIT_AS would count libraries and address space that is reserved and never touched as well: of a worker that has
    compiled the geometry 0.77 GB, where 0.35 GB are resident and 0.45 GB count as data.
    """
    with contextlib.suppress(ImportError, OSError, ValueError, StopIteration):
        import resource

        lines = Path("/proc/self/status").read_text().splitlines()
        reserved = 1024 * int(next(line for line in lines if line.startswith("VmData:")).split()[1])
        resource.setrlimit(resource.RLIMIT_DATA, (int(reserved + 2 * memory), resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1000]


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-exitcode).name
            return f"the worker process died of {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"the worker process ended with status {exitcode}"


@contextlib.contextmanager
def _quiet_start(threads: int) -> Iterator[None]:
    """What a new process inherits: Ctrl-C blocked (it goes to the whole group, and the parent decides), and in the environment
    the threads of its numeric libraries, where the user has not said."""
    names = [n for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS") if n not in os.environ]
    os.environ.update(dict.fromkeys(names, str(threads)))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
