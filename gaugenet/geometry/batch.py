"""Many mesh files -> a folder of records with an index."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GaugenetError, RecordError
from .process import ProcessParams, content_sha256, process_one
from .record import read_record_header, record_name, write_atomic
from .supervisor import supervise

__all__ = ["INDEX", "Summary", "find_meshes", "preprocess"]

INDEX = "index.json"
_INDEX_SCHEMA = 1


@dataclass(frozen=True)
class Summary:
    """What preprocess did.

    Attributes:
        done, skipped, failed: numbers of meshes; skipped ones were done before.
        interrupted: stopped by Ctrl-C before the end.
        seconds: wall time.
        meshes: an entry for each mesh seen: source, label, status ("done", "failed", "timeout", "crashed"), record, reason,
            nodes, edges, levels, warnings, seconds.
        index: path of the index.
    """

    done: int
    skipped: int
    failed: int
    interrupted: bool
    seconds: float
    meshes: list[dict]
    index: str


def find_meshes(sources: Sequence[str | os.PathLike]) -> dict[str, Path]:
    """Relative name (with forward slashes) -> file, for mesh files and folders of them, in order of names.

    A file given by itself counts whatever its extension; hidden files and folders do not count. With several sources the
    names start with the last part of each source.

    Raises:
        FileNotFoundError: for a source that is not there.
        ValueError: for two files of one name.
    """
    from .loading import EXTENSIONS

    found: dict[str, Path] = {}
    for source in map(Path, sources):
        if source.is_dir():
            names = []
            for folder, below, files in os.walk(source):
                below[:] = sorted(name for name in below if not name.startswith("."))
                names += [Path(folder, n) for n in files if Path(n).suffix.lower() in EXTENSIONS and not n.startswith(".")]
            names = [path for path in names if path.is_file()]
            prefix = Path(source.resolve().name) if len(sources) > 1 else Path()
            entries = {(prefix / path.relative_to(source)).as_posix(): path for path in sorted(names)}
        elif source.exists():
            entries = {source.name: source}
        else:
            raise FileNotFoundError(f"{source}: no such file or folder")
        twice = found.keys() & entries.keys()
        if twice:
            raise ValueError(f"two files would have the name {sorted(twice)[0]!r} in the index")
        found |= entries
    return found


def preprocess(
    sources: Sequence[str | os.PathLike],
    destination: str | os.PathLike,
    params: ProcessParams,
    *,
    jobs: int | None = None,
    timeout: float | None = None,
    progress: Callable[[dict], Any] | None = None,
) -> Summary:
    """Make a record of every mesh and an index of them, ``index.json``; meshes that have their record already are skipped.

    Bad meshes, crashes and overruns are noted in the index and do not stop the others. After Ctrl-C only whole files are left
    and the index tells what is there. The index maps each source to its record; its ``label`` is the name of the source's
    folder. Entries of earlier runs with the same parameters stay.

    Args:
        sources: files and folders, see find_meshes.
        destination: folder; made when missing.
        params: what to make of each mesh.
        jobs: worker processes, by default one for each core that this process may use.
        timeout: seconds for each mesh.
        progress: called with the entry of each mesh as it is settled.

    Raises:
        OSError, ValueError: for sources or a destination that cannot be used.
    """
    start = time.monotonic()
    meshes = find_meshes(sources)
    folder = Path(destination)
    folder.mkdir(parents=True, exist_ok=True)
    entries: dict[str, dict] = {}
    skipped = 0

    def settle(name: str, **facts: Any) -> None:
        label = Path(name).parent.name or None
        entries[name] = {"source": name, "label": label, **facts}
        if progress is not None:
            progress(entries[name])

    def to_do() -> Iterator[tuple[str, str]]:
        nonlocal skipped
        for name, path in meshes.items():
            try:
                old = _existing(folder / record_name(content_sha256(path), params))
            except OSError as error:
                settle(name, status="failed", record=None, reason=str(error), seconds=0.0)
                continue
            if old is None:
                yield name, os.fspath(path)
            else:
                skipped += 1
                settle(name, status="done", reason=None, seconds=0.0, **old)

    def tidy(pid: int) -> None:
        for left in folder.glob(f".*.{pid}-*.tmp"):
            with contextlib.suppress(OSError):
                left.unlink()

    count = min(jobs or _cores(), max(1, len(meshes)))
    work = functools.partial(_work, params=params, destination=os.fspath(folder), threads=max(1, _cores() // count))
    warm_up = functools.partial(_warm_up, params)
    interrupted = False
    try:
        with contextlib.closing(
            supervise(work, to_do(), jobs=count, timeout=timeout, warm_up=warm_up, after_kill=tidy)
        ) as outcomes:
            for outcome in outcomes:
                facts = outcome.value or {"record": None}
                settle(
                    outcome.item[0], status=outcome.status, reason=outcome.reason, seconds=round(outcome.seconds, 3), **facts
                )
    except KeyboardInterrupt:
        interrupted = True
    _write_index(folder, params, entries)
    done = sum(entry["status"] == "done" for entry in entries.values()) - skipped
    failed = len(entries) - done - skipped
    seconds = time.monotonic() - start
    return Summary(done, skipped, failed, interrupted, seconds, list(entries.values()), os.fspath(folder / INDEX))


def _work(item: tuple[str, str], params: ProcessParams, destination: str, threads: int) -> dict:
    """In a worker: one mesh to its record."""
    done = process_one(item[1], params, destination, threads=threads)
    return {**done._asdict(), "record": Path(done.record).name}


def _warm_up(params: ProcessParams) -> None:
    """In a new worker: compile what the meshes will need, outside of any mesh's time."""
    from .spherical import icosphere_mesh
    from .surface import mesh

    mesh(*icosphere_mesh(2), rings=2, method=params.method, smooth=params.smooth, features=params.features)


def _existing(record: Path) -> dict | None:
    """Facts of a record that is there and whole, else None."""
    try:
        header = read_record_header(record)
    except (OSError, RecordError):
        return None
    tensors = header["tensors"]
    if "0.radius" not in tensors or "0.edge_index" not in tensors:
        return None
    return {
        "record": record.name,
        "nodes": tensors["0.radius"]["shape"][0],
        "edges": tensors["0.edge_index"]["shape"][1],
        "levels": len(header["levels"]),
        "warnings": header["levels"][0]["metadata"].get("warnings", []),
    }


def _write_index(folder: Path, params: ProcessParams, entries: dict[str, dict]) -> None:
    """The entries of this run, and those of earlier ones with the same parameters whose record is still there."""
    from .. import __version__

    path = folder / INDEX
    kept: dict[str, dict] = {}
    # An index that cannot be read is written anew: the records are what counts.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, GaugenetError):
        old = json.loads(path.read_bytes())
        if old["schema"] == _INDEX_SCHEMA and old["parameters"] == params.to_dict():
            kept = {e["source"]: e for e in old["meshes"] if e["record"] and (folder / e["record"]).exists()}
    merged = {**kept, **entries}
    index = {
        "schema": _INDEX_SCHEMA,
        "version": __version__,
        "parameters": params.to_dict(),
        "meshes": [merged[name] for name in sorted(merged)],
    }
    write_atomic(path, json.dumps(index, indent=1, allow_nan=False).encode())


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
