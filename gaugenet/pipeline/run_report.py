"""What runs leave beside the records: report.jsonl, a line for every mesh as it is settled, and index.json, made from them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..io.durable import append_line, locked, write_atomic
from .process import ProcessParams

__all__ = ["INDEX", "Report", "read_index", "read_report", "write_index"]

INDEX = "index.json"
_LOCK = ".index.lock"
_SCHEMA = 1


class Report:
    """Appends to a report: a line about the run before the first mesh, then one for each. A line is one write, there at once.

    Args:
        path: the file; it is made when missing, and the lines of earlier and simultaneous runs stay.
        params: of the run.
        facts: more about the run, JSON-able.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: str | os.PathLike, params: ProcessParams, **facts: Any) -> None:
        from .. import __version__

        self.path = Path(path)
        self._run = secrets.token_hex(6)
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._head = [{"started": started, "version": __version__, "parameters": params.to_dict(), **facts}]
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)

    def add(self, entry: dict) -> None:
        lines = [json.dumps({"run": self._run, **part}, allow_nan=False) for part in (*self._head, entry)]
        self._head = []
        try:
            append_line(self._file, "\n".join(lines).encode())
        except OSError as error:
            error.filename = os.fspath(self.path)
            raise

    def close(self) -> None:
        os.close(self._file)


def read_report(path: str | os.PathLike, params: ProcessParams | None = None) -> Iterator[dict]:
    """The entries of a report in order, those of runs with these parameters; lines that are not whole are passed over."""
    wanted: set[str] = set()
    with open(path, "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                facts = json.loads(line)
                run = facts.pop("run")
                if "source" not in facts:
                    if params is None or facts["parameters"] == params.to_dict():
                        wanted.add(run)
                elif run in wanted and _is_entry(facts):
                    yield facts


def read_index(folder: Path) -> tuple[dict | None, dict[str, dict]]:
    """(parameters, source -> entry) of the index of a folder; (None, {}) when there is none that can be read."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
        if index["schema"] != _SCHEMA:
            return None, {}
        return dict(index["parameters"]), {entry["source"]: entry for entry in index["meshes"] if _is_entry(entry)}
    # The index is made anew from the reports and the records, which are what counts.
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, {}


def write_index(folder: Path, params: ProcessParams, entries: dict[str, dict]) -> None:
    """Bring the index up to date: what it had, what the reports in the folder say, the entries of this run, all of one params.

    Runs that end at the same time do so one after another, under a lock.

    Args:
        folder: of the records.
        params: entries of other parameters are left to their reports.
        entries: source -> entry, of this run.

    Raises:
        OSError: it cannot be written.
    """
    from .. import __version__

    with locked(folder / _LOCK):
        parameters, before = read_index(folder)
        earlier = list(before.values()) if parameters == params.to_dict() else []
        for path in sorted(folder.glob("report*.jsonl")):
            with contextlib.suppress(OSError):
                earlier += read_report(path, params)
        there = {name for name in os.listdir(folder) if name.endswith(".safetensors")}
        merged: dict[str, dict] = {}
        for entry in (*earlier, *entries.values()):
            if entry["record"] is None or entry["record"] in there:
                name = entry["source"]
                merged[name] = _later(merged.get(name), entry)
        index = {
            "schema": _SCHEMA,
            "version": __version__,
            "parameters": params.to_dict(),
            "meshes": [merged[name] for name in sorted(merged)],
        }
        write_atomic(folder / INDEX, json.dumps(index, indent=1, allow_nan=False).encode())


def _later(old: dict | None, new: dict) -> dict:
    """The entry that counts: the later one, but not a failure of a file that another run has made its record of."""
    if old is None:
        return new
    same_file = old.get("sha256") == new.get("sha256")
    earlier = new.get("time", 0.0) < old.get("time", 0.0)
    return old if earlier or (same_file and old["record"] and not new["record"]) else new


def _is_entry(entry: Any) -> bool:
    """Whether the parts are there that we read; the rest is passed on as it is."""
    record = entry["record"]
    return isinstance(entry["source"], str) and (record is None or (isinstance(record, str) and "/" not in record))
