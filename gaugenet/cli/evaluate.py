"""``gaugenet evaluate``"""

from __future__ import annotations

import argparse
import json

from . import EXIT_OK, UsageError
from .train import table


def run(arguments: argparse.Namespace) -> int:
    """Print the scores of a saved network on a table."""
    from .. import learning
    from ..data.tables.reading import TableError

    model = learning.load(arguments.model, device=arguments.device)
    if model.preparation is None:
        raise UsageError(f"{arguments.model} has no preparation: it does not say how meshes become its input")
    task = model.preparation.task
    try:
        options = {} if arguments.target else {"target": task.sources or task.names}
        shapes = table(arguments, model.preparation.params, task=task.kind, **options)
        if arguments.split is not None:
            shapes = shapes.subset(arguments.split)
        found = learning.evaluate(model, shapes, nodes=arguments.nodes)
    except (TableError, ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    print(json.dumps({"model": arguments.model, **found.to_dict()}) if arguments.json else found)
    return EXIT_OK
