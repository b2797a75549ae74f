"""``gaugenet predict``"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from . import EXIT_FAILED, EXIT_OK, UsageError, describe, fail


def run(arguments: argparse.Namespace) -> int:
    """Answers about meshes; a bad mesh is a line on stderr and status 1, and the others are done."""
    from .. import learning
    from ..errors import GaugenetError
    from ..learning.answers import write_table
    from ..pipeline.sources import find_meshes

    model = learning.load(arguments.model, device=arguments.device)
    if model.preparation is None:
        raise UsageError(f"{arguments.model} has no preparation: it does not say how meshes become its input")
    try:
        meshes = find_meshes(arguments.mesh)
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    if not meshes:
        raise UsageError(f"no mesh files in {', '.join(arguments.mesh)}")
    whole = model.preparation.task.on == "graph"
    out = None if arguments.output is None else Path(arguments.output)
    _check_output(out, whole, len(meshes))
    answers, failed = [], 0
    for name, source in meshes.items():
        try:
            answer = dataclasses.replace(model.predict(_mesh_of(source)), name=str(source))
            if not whole and out is not None:
                answer.save(out if out.suffix else out / Path(name).with_suffix(f".{arguments.format}"))
            answers.append(answer)
        except (GaugenetError, OSError) as error:
            text = describe(error)
            fail(text if str(source) in text else f"{source}: {text}")
            failed += 1
    if whole and out is not None:
        write_table(out, answers)
    if arguments.json:
        print(json.dumps({"answers": [answer.row() for answer in answers], "failed": failed}))
    elif out is None:
        write_table(sys.stdout, answers)
    else:
        print(f"{out}: {len(answers)} answers" + (f", {failed} meshes failed" if failed else ""))
    return EXIT_FAILED if failed else EXIT_OK


def _check_output(out: Path | None, whole: bool, count: int) -> None:
    if whole:
        if out is not None and out.suffix.lower() != ".csv":
            raise UsageError(f"{out}: answers about whole meshes are a table, expected a name that ends in .csv")
        return
    from ..learning.answers import FILES

    endings = ", ".join(FILES)
    if out is None:
        raise UsageError(f"answers at vertices and faces need -o, a folder or of one mesh a file that ends in {endings}")
    if out.suffix and count > 1:
        raise UsageError(f"{out}: one file for {count} meshes, expected a folder")
    if out.suffix.lower() not in ("", *FILES):
        raise UsageError(f"{out}: expected a folder, or a name that ends in {endings}")
    (out.parent if out.suffix else out).mkdir(parents=True, exist_ok=True)


def _mesh_of(source: Any) -> Any:
    """A file by its path; of an archive the mesh."""
    if source.member is None and source.problem is None:
        return source.path
    from ..io.loading import parse_mesh

    return parse_mesh(source.read(), Path(source.member.name if source.member else source.path).suffix.lower(), str(source))
