"""``gaugenet preprocess``"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from . import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError


def run(arguments: argparse.Namespace) -> int:
    """Preprocess; a progress bar and a line for every bad mesh on stderr, the summary on stdout."""
    from tqdm import tqdm

    from ..geometry.batch import find_meshes, preprocess
    from ..geometry.process import ProcessParams

    try:
        params = ProcessParams(
            radius=arguments.radius,
            rings=arguments.rings,
            normalize=arguments.normalize,
            repair=arguments.repair,
            renumber=arguments.renumber,
            features=_features(arguments.features),
            levels=arguments.levels,
            structure=arguments.structure,
        )
        count = len(find_meshes(arguments.source))
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    if count == 0:
        raise UsageError(f"no mesh files in {', '.join(arguments.source)}")
    # A log file gets a line now and then, a terminal a moving bar.
    pace = 0.1 if sys.stderr.isatty() else 10.0
    with tqdm(total=count, unit="mesh", file=sys.stderr, mininterval=pace, disable=arguments.quiet) as bar:

        def progress(entry: dict) -> None:
            if entry["status"] != "done":
                bar.write(f"{entry['source']}: {entry['status']}: {entry['reason']}", file=sys.stderr)
            bar.update()

        try:
            summary = preprocess(
                arguments.source,
                arguments.destination,
                params,
                jobs=arguments.jobs,
                timeout=arguments.timeout,
                progress=progress,
            )
        except (FileExistsError, NotADirectoryError):
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


def _features(text: str) -> tuple[str, ...]:
    """Names separated by commas, known ones."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if names:
        from ..geometry.features import parse_feature_names

        parse_feature_names(names)
    return names
