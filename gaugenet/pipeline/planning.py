"""What is to be done about each mesh: which are new, done, stale or bad."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MeshError, RecordError
from ..io.archives import ArchiveReader
from ..io.records import read_record_header, record_name
from .process import ProcessParams, content_sha256
from .run_report import read_index
from .sources import Source

__all__ = ["Plan", "available_cores", "plan", "record_facts"]

# Files whose hashes are asked for at a time.
_SLICE = 256


@dataclass(frozen=True)
class Plan:
    """What is to be done about one mesh.

    Attributes:
        name: of the source.
        source: the file.
        state: "new", "done" (its record is there and whole), "stale" (its record is damaged, or there is one of an earlier
            content or of other parameters) or "bad" (the file cannot be read).
        reason: one line, for stale and bad ones.
        sha256: of the content.
        record: file name of the record, whether it is there or not.
        facts: of the record, when done.
    """

    name: str
    source: Source
    state: str
    reason: str | None = None
    sha256: str | None = None
    record: str | None = None
    facts: Mapping[str, Any] | None = None


def plan(meshes: Mapping[str, Source], destination: str | os.PathLike, params: ProcessParams) -> Iterator[Plan]:
    """What preprocess would do with each mesh, in order; reads all the files and all their records, and writes nothing.

    Args:
        meshes: of find_meshes.
        destination: folder of the records; need not be there.
        params: what to make of each mesh.
    """
    folder, reader = Path(destination), ArchiveReader()
    _, known = read_index(folder)
    judge = functools.partial(_judge, folder=folder, params=params, known=known)
    # Members of an archive one after another: the archive is a stream.
    by_kind = itertools.groupby(meshes.items(), key=lambda mesh: mesh[1].member is None)
    with ThreadPoolExecutor(available_cores()) as pool:
        for plain, group in by_kind:
            while some := list(itertools.islice(group, _SLICE)):
                yield from pool.map(judge, some) if plain else (judge(mesh, reader=reader) for mesh in some)
    reader.close()


def record_facts(record: Path) -> dict:
    """Facts of a record that is there and whole; raises OSError or RecordError."""
    header = read_record_header(record, verify=True)
    tensors = header["tensors"]
    if "0.radius" not in tensors or "0.edge_index" not in tensors:
        raise RecordError(f"{record}: no nodes or no edges")
    return {
        "record": record.name,
        "nodes": tensors["0.radius"]["shape"][0],
        "edges": tensors["0.edge_index"]["shape"][1],
        "levels": len(header["levels"]),
        "warnings": header["levels"][0]["metadata"].get("warnings", []),
    }


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _judge(
    mesh: tuple[str, Source],
    folder: Path,
    params: ProcessParams,
    known: Mapping[str, dict],
    reader: ArchiveReader | None = None,
) -> Plan:
    """The plan for one mesh."""
    name, source = mesh
    try:
        plain = source.member is None and source.problem is None
        sha256 = content_sha256(source.path) if plain else hashlib.sha256(source.read(reader)).hexdigest()
    except MeshError as error:
        return Plan(name, source, "bad", str(error))
    except OSError as error:
        return Plan(name, source, "bad", f"{source}: {error.strerror or error}")
    record = record_name(sha256, params)
    found = functools.partial(Plan, name, source, sha256=sha256, record=record)
    try:
        return found("done", facts=record_facts(folder / record))
    except FileNotFoundError:
        old = known.get(name, {}).get("record")
        return found("new" if old in (None, record) else "stale", old and "the file or the parameters have changed")
    except (OSError, RecordError) as error:
        return found("stale", f"its record is damaged: {error}")
