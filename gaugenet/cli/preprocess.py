"""``gaugenet preprocess``"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import COMPILING, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError


def run(arguments: argparse.Namespace) -> int:
    """Preprocess; a progress bar and a line for every bad mesh on stderr, the summary on stdout."""
    from ..pipeline.process import ProcessParams
    from ..pipeline.sources import find_meshes, parse_shard, take_shard

    try:
        params = ProcessParams(
            radius=arguments.radius,
            rings=arguments.rings,
            normalize=arguments.normalize,
            repair=arguments.repair,
            min_component=arguments.min_component,
            renumber=arguments.renumber,
            features=named_features(arguments.features),
            levels=arguments.levels,
            structure=arguments.structure,
        )
        shard = None if arguments.shard is None else parse_shard(arguments.shard)
        meshes = find_meshes(arguments.source)
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    if not meshes:
        raise UsageError(f"no mesh files in {', '.join(arguments.source)}")
    if Path(arguments.destination).exists() and not Path(arguments.destination).is_dir():
        raise UsageError(f"{arguments.destination} is not a folder")
    if shard is not None:
        meshes = take_shard(meshes, shard)
    if arguments.dry_run:
        return _dry_run(arguments, meshes, params)
    with terminated_as_interrupted():
        return _preprocess(arguments, meshes, params, shard)


def _preprocess(arguments: argparse.Namespace, meshes: Mapping[str, Any], params: Any, shard: tuple[int, int] | None) -> int:
    from tqdm import tqdm

    from ..pipeline.batch import preprocess

    class Bar(tqdm):
        """A bar that parts of a mesh move, too, and that counts whole ones."""

        @property
        def format_dict(self) -> dict:
            facts = super().format_dict
            return {**facts, "whole": int(facts["n"])}

    # A log file gets a line now and then, a terminal a moving bar.
    pace = 0.1 if sys.stderr.isatty() else 10.0
    look = {"unit": "mesh", "bar_format": "{l_bar}{bar}| {whole}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"}
    with Bar(total=len(meshes), file=sys.stderr, mininterval=pace, disable=arguments.quiet, **look) as bar:
        parts: dict[str, float] = {}
        settled = 0

        def on_part(name: str, part: float) -> None:
            parts[name] = part
            show()

        def progress(entry: dict) -> None:
            nonlocal settled
            if entry["status"] != "done":
                bar.write(_line(entry["source"], entry["status"], entry["reason"]), file=sys.stderr)
            settled += 1
            parts.pop(entry["source"], None)
            show()

        def on_start(state: str) -> None:
            if state == "compiling":
                bar.write(COMPILING, file=sys.stderr)
            else:
                bar.unpause()  # the time before the first mesh is none of the meshes'

        def show() -> None:
            bar.n = round(settled + sum(parts.values()), 2)
            bar.update(0)

        try:
            summary = preprocess(
                meshes,
                arguments.destination,
                params,
                jobs=arguments.jobs,
                timeout=arguments.timeout,
                memory=None if arguments.memory is None else arguments.memory * 1e9,
                retries=arguments.retries,
                # The meshes are those of the shard already; taking its part again changes nothing.
                shard=shard,
                report=arguments.report,
                progress=progress,
                on_part=None if arguments.quiet else on_part,
                on_start=None if arguments.quiet else on_start,
            )
        except NotADirectoryError:
            raise UsageError(f"{arguments.destination} is not a folder") from None
    if arguments.json:
        facts = dataclasses.asdict(summary)
        facts["failures"] = [m for m in facts.pop("meshes") if m["status"] != "done"]
        print(json.dumps(facts))
    else:
        state = "interrupted: " if summary.interrupted else ""
        print(
            f"{state}{summary.done} done, {summary.skipped} skipped, {summary.failed} failed"
            f" in {summary.seconds:.1f} s; index: {summary.index}"
        )
    if summary.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if summary.failed else EXIT_OK


def _dry_run(arguments: argparse.Namespace, meshes: Mapping[str, Any], params: Any) -> int:
    """Tell what would be done; writes nothing."""
    from ..pipeline.planning import plan

    counts = dict.fromkeys(("new", "skipped", "stale", "bad"), 0)
    told = []
    for item in plan(meshes, arguments.destination, params):
        state = "skipped" if item.state == "done" else item.state
        counts[state] += 1
        told.append({"source": item.name, "state": state, "reason": item.reason, "record": item.record})
        if not arguments.json:
            print(_line(state, item.name, item.reason))
    if arguments.json:
        print(json.dumps({**counts, "meshes": told}))
    else:
        print(", ".join(f"{count} {state}" for state, count in counts.items()) + "; nothing was written")
    return EXIT_FAILED if counts["bad"] else EXIT_OK


def _line(*parts: str | None) -> str:
    """One line that any terminal can show: names of files may hold line ends and bytes that are no text."""
    text = ": ".join(part for part in parts if part)
    return " ".join(text.split()).encode(errors="backslashreplace").decode()


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, which schedulers send before they kill, ends the run as Ctrl-C does: workers stopped, the index written."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    # Only the main thread may do this; a caller in another one has its own ways.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def named_features(text: str) -> tuple[str, ...]:
    """Names separated by commas, known ones."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if names:
        from ..geometry.meshes.features import parse_feature_names

        parse_feature_names(names)
    return names
