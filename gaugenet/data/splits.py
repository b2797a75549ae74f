"""Random splits into training and test shapes that anyone can draw again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Split = dict[str, dict[str, list[str]]]

# MeshCNN's split sizes on SHREC'11; any other number n of training shapes has the seeds 100 n, 100 n + 1, ...
_SEEDS = {10: 1000, 16: 2000}


def natural_key(name: str) -> list:
    """Sorts "T9.obj" before "T18.obj"."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|\D+", name)]


def split_seed(num_train: int, index: int) -> int:
    """The seed of the index-th split with num_train training shapes per class."""
    return _SEEDS.get(num_train, 100 * num_train) + index


def random_split(names: Mapping[str, Sequence[str]], num_train: int, seed: int) -> Split:
    """The same number of training shapes from every class, the others to test.

    One generator goes through the classes in order of their names; within a class the files are in natural order.

    Args:
        names: class -> names of its shapes.
        num_train: training shapes per class.
        seed: of numpy's default_rng.

    Returns:
        class -> {"train": [name], "test": [name]}, in natural order.

    Raises:
        ValueError: a class that would be left without a training or a test shape.
    """
    rng = np.random.default_rng(seed)
    out: Split = {}
    for label in sorted(names):
        ordered = sorted(names[label], key=natural_key)
        if not 0 < num_train < len(ordered):
            raise ValueError(
                f"class {label!r} has {len(ordered)} shapes: {num_train} to train on leave nothing to train or test"
            )
        chosen = set(rng.permutation(len(ordered))[:num_train].tolist())
        out[label] = {
            "train": [name for i, name in enumerate(ordered) if i in chosen],
            "test": [name for i, name in enumerate(ordered) if i not in chosen],
        }
    return out


def read_splits(path: str | os.PathLike) -> dict[str, Split]:
    """``{split: {class: {"train": [file], "test": [file]}}}`` from a JSON file.

    Raises:
        ValueError: a file of another layout.
    """
    try:
        splits = json.loads(Path(path).read_text(encoding="utf-8"))
        well = all(
            isinstance(part, dict) and all(isinstance(name, str) for key in ("train", "test") for name in part[key])
            for split in splits.values()
            for part in split.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected JSON {{split: {{class: {{train: [...], test: [...]}}}}}}: {error}") from None
    if not well:
        raise ValueError(f"{path}: expected JSON {{split: {{class: {{train: [file], test: [file]}}}}}}")
    return splits
