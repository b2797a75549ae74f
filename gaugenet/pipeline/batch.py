"""Many mesh files -> a folder of records with a report and an index."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import RecordError
from ..io.archives import ArchiveReader, archive_extension
from ..io.durable import sweep_temporary
from .planning import Plan, available_cores, plan, record_facts
from .process import Processed, ProcessParams, process_one
from .run_report import INDEX, Report, read_index, write_index
from .sources import Source, find_meshes, take_shard
from .supervisor import Outcome, supervise

__all__ = ["Summary", "preprocess"]

# What another attempt may cure: causes outside of the mesh. An error of the mesh would only repeat.
_WORTH_ANOTHER = ("crashed", "timeout", "memory")


@dataclass(frozen=True)
class Summary:
    """What preprocess did.

    Attributes:
        done, skipped, failed: numbers of meshes; skipped ones were done before.
        interrupted: stopped by Ctrl-C before the end.
        seconds: wall time.
        meshes: an entry for each mesh that was settled: source, label, status ("done", "failed", "timeout", "memory",
            "crashed"), record, reason, kind and ids of what is wrong with the mesh, sha256, nodes, edges, levels, warnings,
            seconds, attempts (0 for skipped ones), time (seconds since 1970).
        index, report: their paths.
    """

    done: int
    skipped: int
    failed: int
    interrupted: bool
    seconds: float
    meshes: list[dict]
    index: str
    report: str


def preprocess(
    sources: Sequence[str | os.PathLike] | Mapping[str, Source],
    destination: str | os.PathLike,
    params: ProcessParams,
    *,
    jobs: int | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    retries: int = 0,
    shard: tuple[int, int] | None = None,
    report: str | os.PathLike | None = None,
    progress: Callable[[dict], Any] | None = None,
    on_part: Callable[[str, float], Any] | None = None,
    on_start: Callable[[str], Any] | None = None,
) -> Summary:
    """Make a record of every mesh, a report of the run and an index, ``index.json``; meshes with a whole record are skipped.

    Bad meshes, crashes and overruns are noted and do not stop the others. After Ctrl-C only whole files are left and the index
    tells what is there; after kill -9 the next run completes the work, and the index. Runs may share a folder at the same time.
    The index maps each source to its record; its ``label`` is the name of the source's folder. Entries of other runs with the
    same parameters stay.

    Args:
        sources: files, folders, patterns and archives, see find_meshes; or what that returned.
        destination: folder; made when missing.
        params: what to make of each mesh.
        jobs: worker processes, by default one for each core that this process may use.
        timeout: seconds for each mesh.
        memory: bytes that a worker process may hold resident, see supervise.
        retries: how often a mesh is tried again that crashed its worker or overran a limit: at the end, one at a time.
        shard: (i, n), see take_shard; the n runs may share the folder.
        report: file to which a line is appended as a mesh is settled. By default ``report.jsonl`` in the destination, of a
            shard ``report-i-of-n.jsonl``, without lines for meshes that are skipped and in the index already.
        progress: called with the entry of each mesh as it is settled.
        on_part: called now and then with the name of a mesh that is worked on and how much of it is done, from 0 to 1.
        on_start: called with "compiling" when functions must be compiled first, and with "ready" when the first mesh begins.

    Raises:
        OSError, ValueError: for sources or a destination that cannot be used.
    """
    start = time.monotonic()
    meshes = sources if isinstance(sources, Mapping) else find_meshes(sources)
    if shard is not None:
        meshes = take_shard(meshes, shard)
    folder = Path(destination)
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporary(folder)
    of = "" if shard is None else f"-{shard[0]}-of-{shard[1]}"
    parameters, earlier = read_index(folder)
    if report is not None or parameters != params.to_dict():
        earlier = {}
    run = _Run(Report(folder / f"report{of}.jsonl" if report is None else report, params, shard=shard), progress, earlier)
    interrupted = False
    try:
        to_do = run.skip(plan(meshes, folder, params))
        part = None if on_part is None else lambda item, done: on_part(item.name, done)
        limits: dict[str, Any] = {
            "on_part": part,
            "on_start": on_start,
            "timeout": timeout,
            "memory": memory,
            "after_kill": functools.partial(sweep_temporary, folder),
        }
        for attempt in range(1, retries + 2):
            if not to_do:
                break
            count = min(jobs or available_cores(), len(to_do)) if attempt == 1 else 1
            work = _Work(params, folder, max(1, available_cores() // count))
            items = run.skip_late(to_do, folder)
            to_do = []
            with contextlib.closing(supervise(work, items, jobs=count, warm_up=work.warm_up, **limits)) as outcomes:
                for outcome in outcomes:
                    if outcome.status in _WORTH_ANOTHER and attempt <= retries:
                        to_do.append(outcome.item)
                    else:
                        run.settle_outcome(outcome, attempt)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        run.report.close()
    write_index(folder, params, run.entries)
    done = sum(entry["status"] == "done" for entry in run.entries.values())
    return Summary(
        done=done - run.skipped,
        skipped=run.skipped,
        failed=len(run.entries) - done,
        interrupted=interrupted,
        seconds=time.monotonic() - start,
        meshes=list(run.entries.values()),
        index=os.fspath(folder / INDEX),
        report=os.fspath(run.report.path),
    )


class _Run:
    """The entries of a run, as they are settled."""

    def __init__(self, report: Report, progress: Callable[[dict], Any] | None, earlier: Mapping[str, dict]) -> None:
        self.report, self.progress, self.earlier = report, progress, earlier
        self.entries: dict[str, dict] = {}
        self.skipped = 0

    def settle(self, name: str, sha256: str | None, *, status: str, **facts: Any) -> None:
        entry: dict[str, Any] = {
            "source": name,
            "label": _label(name),
            "status": status,
            "record": None,
            "reason": None,
            "sha256": sha256,
        }
        entry |= {"seconds": 0.0, "attempts": 0, "time": round(time.time(), 3), **facts}
        self.entries[name] = entry
        if entry["attempts"] or entry["record"] is None or self.earlier.get(name, {}).get("record") != entry["record"]:
            self.report.add(entry)
        if self.progress is not None:
            self.progress(entry)

    def settle_outcome(self, outcome: Outcome, attempts: int) -> None:
        wrong = {} if outcome.kind is None else {"kind": outcome.kind, "ids": list(outcome.ids)}
        facts = {"reason": outcome.reason, "seconds": round(outcome.seconds, 3), "attempts": attempts, **wrong}
        self.settle(outcome.item.name, outcome.item.sha256, status=outcome.status, **facts, **(outcome.value or {}))

    def skip(self, plans: Iterable[Plan]) -> list[Plan]:
        """Settle those that are done or cannot be read; the others."""
        to_do = []
        for item in plans:
            if item.state == "bad":
                self.settle(item.name, item.sha256, status="failed", reason=item.reason)
            elif item.state == "done":
                self.skipped += 1
                self.settle(item.name, item.sha256, status="done", **(item.facts or {}))
            else:
                to_do.append(item)
        return to_do

    def skip_late(self, items: list[Plan], folder: Path) -> Iterator[Plan]:
        """The items, but for those whose record has come since: from a run beside this one, or from a file of equal content."""
        for item in items:
            try:
                facts = record_facts(folder / str(item.record))
            except (OSError, RecordError):
                yield item
            else:
                self.skipped += 1
                self.settle(item.name, item.sha256, status="done", **facts)


class _Work:
    """In a worker: one mesh to its record."""

    def __init__(self, params: ProcessParams, folder: Path, threads: int) -> None:
        self.params, self.folder, self.threads = params, folder, threads
        self.reader = ArchiveReader()

    def __call__(self, item: Plan, tell: Callable[[float], Any] | None = None) -> dict:
        source = item.source
        data = None if source.member is None else source.read(self.reader)
        progress = None if tell is None else lambda done, total: tell(done / total)
        done = process_one(str(source), self.params, self.folder, threads=self.threads, data=data, progress=progress)
        assert isinstance(done, Processed)  # a folder was given
        return {**done._asdict(), "record": Path(done.record).name}

    def warm_up(self) -> None:
        """Compile what the meshes will need, outside of any mesh's time."""
        from ..geometry.meshes.surface import mesh
        from ..geometry.spheres.icospheres import icosphere_mesh

        params = self.params
        mesh(*icosphere_mesh(2), rings=2, method=params.method, smooth=params.smooth, features=params.features)


def _label(name: str) -> str | None:
    """The folder that a mesh lies in; of an archive without its extension."""
    folder = PurePosixPath(name).parent.name
    extension = archive_extension(PurePosixPath(folder))
    return folder[: -len(extension)] if extension else folder or None
