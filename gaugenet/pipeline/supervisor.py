"""A small supervisor: calls in worker processes that may crash, hang or run out of memory, without harm to the others.

The standard pools do not survive this: after a segmentation fault ProcessPoolExecutor breaks for good and
multiprocessing.Pool waits forever. Here every worker has a pipe of its own; one that dies or overruns its time or memory costs
the one item it was at, and another takes its place.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Generator, Iterable
from multiprocessing.connection import wait
from typing import Any

from ..errors import GaugenetError
from .worker import Limits, Outcome, Worker

__all__ = ["Limits", "Outcome", "supervise"]

_START_ATTEMPTS = 3
# Seconds between two looks at the memory: a process fills about a gigabyte a second.
_LOOK = 0.1
_NO_MORE = object()


def supervise(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    jobs: int,
    timeout: float | None = None,
    memory: float | None = None,
    warm_up: Callable[[], Any] | None = None,
    after_kill: Callable[[int], Any] | None = None,
    on_part: Callable[[Any, float], Any] | None = None,
    on_start: Callable[[str], Any] | None = None,
) -> Generator[Outcome, None, None]:
    """Call function(item) for every item in worker processes; yield the outcomes as they come.

    Closing the generator, or an exception in it such as KeyboardInterrupt, kills the workers. They also die with this process.

    Args:
        function: picklable, as are the items and what it returns.
        items: taken one by one, as workers become free.
        jobs: number of workers.
        timeout: seconds for each item, or None.
        memory: bytes that a worker process may hold resident, libraries included (about 0.4e9 with numba), or None.
        warm_up: picklable; called once in each new worker before any item's time starts; its errors do not matter.
        after_kill: called with the process id of a worker that was killed or died, to tidy up after it.
        on_part: called now and then with an item that a worker is at and how much of it is done, from 0 to 1; the function then
            gets a second argument, to call with that number.
        on_start: called with "compiling" when the warm-up of the first workers has functions to compile, and with "ready" when
            one of them begins with its item.

    Raises:
        ValueError: for limits that make no sense.
        GaugenetError: when worker processes do not start.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    limits = Limits(timeout, memory)
    pending = iter(items)
    workers: list[Worker] = []
    failed_starts = 0
    told: set[str] = set()

    def tell(state: str) -> None:
        """Once, and nothing of workers that come late."""
        if on_start is not None and not told & {state, "ready"}:
            told.add(state)
            on_start(state)

    def start(item: Any) -> None:
        threads = max(1, (os.cpu_count() or 1) // jobs)
        workers.append(Worker(function, warm_up, item, limits, threads, on_part is not None))

    def remove(worker: Worker) -> None:
        workers.remove(worker)
        worker.kill()
        if after_kill is not None and worker.process.pid is not None:
            after_kill(worker.process.pid)

    def go_on(worker: Worker) -> None:
        """The next item, to this worker or to one in its place."""
        item = next(pending, _NO_MORE)
        if not worker.dead and item is not _NO_MORE and not worker.swollen():
            worker.assign(item)
            return
        if not worker.dead:
            workers.remove(worker)
            worker.finish()
        if item is not _NO_MORE:
            start(item)

    try:
        for item in itertools.islice(pending, jobs):
            start(item)
        while workers:
            ready = wait([worker.connection for worker in workers], _patience(workers, limits))
            for worker in list(workers):
                if worker.connection in ready:
                    outcome = worker.receive()
                    failed_starts = failed_starts if worker.dead else 0
                else:
                    outcome = worker.overrun()
                if outcome is None:
                    if worker.started or worker.compiling:
                        tell("ready" if worker.started else "compiling")
                    if on_part is not None and worker.part:
                        on_part(worker.item, worker.part)
                    continue
                if worker.dead:
                    remove(worker)
                if worker.started:
                    yield outcome
                    go_on(worker)
                    continue
                failed_starts += 1
                if failed_starts >= _START_ATTEMPTS:
                    raise GaugenetError(f"worker processes do not start: {outcome.reason}")
                start(worker.item)
    finally:
        for worker in list(workers):
            remove(worker)


def _patience(workers: list[Worker], limits: Limits) -> float | None:
    """Seconds until someone must be looked after, None for any number."""
    now = time.monotonic()
    waits = [max(0.0, worker.deadline - now) for worker in workers if worker.deadline is not None]
    return min([*waits, *([] if limits.memory is None else [_LOOK])], default=None)
