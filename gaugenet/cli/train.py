"""``gaugenet train``"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import EXIT_INTERRUPTED, EXIT_OK, UsageError
from .preprocess import named_features, terminated_as_interrupted


def run(arguments: argparse.Namespace) -> int:
    """Train; progress on stderr, the evaluation on the test meshes on stdout."""
    if arguments.test >= 1:
        raise UsageError(f"--test is a part of the meshes, below 1, got {arguments.test:g}")
    output = Path(arguments.output)
    if output.exists() and not output.is_dir() and output.suffix != ".safetensors":
        raise UsageError(f"{output}: expected a folder, or a name that ends in .safetensors")
    from ..data.tables.reading import TableError
    from ..pipeline.process import ProcessParams

    levels = arguments.levels
    if levels is None:
        levels = 1 if arguments.task in ("segment", "vectors") else 0
    try:
        params = ProcessParams(
            radius=arguments.radius,
            rings=2 if arguments.radius is None and arguments.rings is None else arguments.rings,
            normalize=not arguments.no_normalize,
            features=named_features(arguments.features),
            levels=levels,
            structure=arguments.structure,
            repair=arguments.repair,
        )
        if not params.features:
            raise ValueError("--features: a network needs at least one, such as hks")
        shapes = table(arguments, params, task=arguments.task)
        train, test = shapes.split(arguments.test, seed=arguments.seed)
    except (TableError, ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    with terminated_as_interrupted():
        return _train(arguments, train, test)


def _train(arguments: argparse.Namespace, train: Any, test: Any) -> int:
    import torch
    from tqdm import tqdm

    from .. import learning

    checkpoint = Path(f"{arguments.output}.checkpoint")
    if not arguments.resume:
        checkpoint.unlink(missing_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arguments.seed)
        depth = train.params.levels + 1
        options = {"blocks": (1,) * depth} if depth > 1 else {}
        model = learning.network(train, channels=arguments.channels, **options)
    options = {name: getattr(arguments, name) for name in ("epochs", "rate", "nodes", "seed", "device")}
    with tqdm(total=arguments.epochs, unit="epoch", file=sys.stderr, disable=arguments.quiet) as bar:

        def progress(entry: dict[str, Any]) -> None:
            bar.n = entry["epoch"]
            bar.set_postfix(loss=f"{entry['loss']:.4g}")

        try:
            history = learning.train(model, train, checkpoint=checkpoint, progress=progress, **options)
        except KeyboardInterrupt:
            print(f"gaugenet: stopped; --resume goes on from {checkpoint}", file=sys.stderr)
            return EXIT_INTERRUPTED
    model.save(arguments.output)
    checkpoint.unlink(missing_ok=True)
    found = learning.evaluate(model, test, nodes=arguments.nodes)
    if arguments.json:
        facts = {"model": arguments.output, "train": len(train), "test": found.to_dict(), "history": history}
        print(json.dumps(facts))
    else:
        print(f"{arguments.output}: trained on {len(train)} meshes; on the others:\n{found}")
    return EXIT_OK


def table(arguments: argparse.Namespace, params: Any, **options: Any) -> Any:
    """The data set of a command's table."""
    from ..data import MeshDataset

    target = arguments.target
    if target is not None:
        names = tuple(name.strip() for name in target.split(",") if name.strip())
        options["target"] = names[0] if len(names) == 1 else names
    return MeshDataset.from_table(
        arguments.table,
        params,
        path=arguments.path,
        records=arguments.records,
        jobs=arguments.jobs,
        on_error="skip" if arguments.skip_bad else "raise",
        **options,
    )
