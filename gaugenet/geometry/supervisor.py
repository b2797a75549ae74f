"""A small supervisor: calls in worker processes that may crash or hang, without the others noticing.

The standard pools do not survive this: after a segmentation fault ProcessPoolExecutor breaks for good and
multiprocessing.Pool waits forever. Here every worker has a pipe of its own; one that dies or overruns its time costs the one
item it was at, and another takes its place.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import GaugenetError

__all__ = ["Outcome", "supervise"]

# Importing numba and loading its compiled code takes seconds, on a busy machine many; an item's time starts after it.
_START_LIMIT = 600.0
_START_ATTEMPTS = 3
_READY = "ready"


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Attributes:
        item: as given.
        status: "done", "failed" (an exception), "timeout" or "crashed" (the worker died).
        value: what the function returned, when done.
        reason: one line, when not done.
        seconds: wall time.
    """

    item: Any
    status: str
    value: Any = None
    reason: str | None = None
    seconds: float = 0.0


def supervise(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    jobs: int,
    timeout: float | None = None,
    warm_up: Callable[[], Any] | None = None,
    after_kill: Callable[[int], Any] | None = None,
) -> Iterator[Outcome]:
    """Call function(item) for every item in worker processes; yield the outcomes as they come.

    Closing the generator, or an exception in it such as KeyboardInterrupt, kills the workers.

    Args:
        function: picklable, as are the items and what it returns.
        items: taken one by one, as workers become free.
        jobs: number of workers.
        timeout: seconds for each item, or None.
        warm_up: picklable; called once in each new worker before any item's time starts; its errors do not matter.
        after_kill: called with the process id of a worker that was killed or died, to tidy up after it.

    Raises:
        GaugenetError: when worker processes do not start.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be positive, got {timeout}")
    pending = iter(items)
    workers: list[_Worker] = []
    failed_starts = 0

    def start(item: Any) -> None:
        workers.append(_Worker(function, warm_up, item, timeout, jobs))

    def remove(worker: _Worker) -> None:
        workers.remove(worker)
        worker.kill()
        if after_kill is not None:
            after_kill(worker.process.pid)

    try:
        for _ in range(jobs):
            for item in pending:
                start(item)
                break
        while workers:
            ends = [w.deadline for w in workers if w.deadline is not None]
            limit = max(0.0, min(ends) - time.monotonic()) if ends else None
            ready = wait([w.connection for w in workers], limit)
            for worker in [w for w in workers if w.connection in ready]:
                outcome = worker.receive()
                if outcome is None:
                    failed_starts = 0
                    continue
                if outcome.status == "crashed":
                    remove(worker)
                    if not worker.started:
                        failed_starts += 1
                        if failed_starts >= _START_ATTEMPTS:
                            raise GaugenetError(f"worker processes do not start: {outcome.reason}")
                        start(worker.item)
                        continue
                yield outcome
                for item in pending:
                    if worker in workers:
                        worker.assign(item)
                    else:
                        start(item)
                    break
                else:
                    if worker in workers:
                        workers.remove(worker)
                        worker.finish()
            for worker in [w for w in workers if w.deadline is not None and w.deadline <= time.monotonic()]:
                remove(worker)
                if not worker.started:
                    raise GaugenetError(f"a worker process did not start within {_START_LIMIT:g} s")
                yield Outcome(worker.item, "timeout", reason=f"took longer than {timeout:g} s", seconds=worker.elapsed())
                for item in pending:
                    start(item)
                    break
    finally:
        for worker in list(workers):
            remove(worker)


class _Worker:
    """A process, the parent's end of its pipe and the item it is at."""

    def __init__(self, function: Callable, warm_up: Callable | None, item: Any, timeout: float | None, jobs: int):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function, warm_up), daemon=True)
        with _quiet_start(max(1, (os.cpu_count() or 1) // jobs)):
            self.process.start()
        theirs.close()
        self.timeout, self.started = timeout, False
        self.assign(item)
        self.deadline = time.monotonic() + _START_LIMIT

    def assign(self, item: Any) -> None:
        self.item, self.since = item, time.monotonic()
        self.deadline = None if self.timeout is None else self.since + self.timeout
        # A worker that has just died is noticed at the next receive.
        with contextlib.suppress(OSError):
            self.connection.send(item)

    def receive(self) -> Outcome | None:
        """The outcome that has come, or None when the worker has only told that it is ready."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5.0)
            return Outcome(self.item, "crashed", reason=_cause(self.process.exitcode), seconds=self.elapsed())
        if message == _READY:
            self.started, self.since = True, time.monotonic()
            self.deadline = None if self.timeout is None else self.since + self.timeout
            return None
        status, value, reason = message
        return Outcome(self.item, status, value, reason, self.elapsed())

    def elapsed(self) -> float:
        return time.monotonic() - self.since

    def finish(self) -> None:
        """Let the process end by itself."""
        self.connection.close()
        self.process.join(5.0)
        self.kill()

    def kill(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


def _serve(connection: Connection, function: Callable, warm_up: Callable | None) -> None:
    """The life of a worker: items in, outcomes out, until the pipe closes."""
    warnings.simplefilter("ignore")
    if warm_up is not None:
        with contextlib.suppress(Exception):
            warm_up()
    try:
        connection.send(_READY)
        while True:
            item = connection.recv()
            try:
                answer = ("done", function(item), None)
            except (GaugenetError, OSError) as error:
                answer = ("failed", None, _one_line(str(error)))
            except Exception as error:
                answer = ("failed", None, _one_line(f"{type(error).__name__}: {error}"))
            connection.send(answer)
    # The parent has closed the pipe, or is gone.
    except (EOFError, OSError):
        return


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1000]


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            return f"the worker process died of {signal.Signals(-exitcode).name}"
    return f"the worker process ended with status {exitcode}"


@contextlib.contextmanager
def _quiet_start(threads: int) -> Iterator[None]:
    """What a new process inherits: Ctrl-C blocked (it goes to the whole group, and the parent decides), and in the environment
    the threads of its numeric libraries, where the user has not said."""
    names = [n for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS") if n not in os.environ]
    os.environ.update(dict.fromkeys(names, str(threads)))
    blocked = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocked else None
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        if blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
