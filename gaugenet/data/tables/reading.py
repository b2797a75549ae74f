"""Tables of meshes and what is known of them: a CSV file, folders of classes, or a list."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import GaugenetError
from ...pipeline.sources import find_meshes

# Names under which tables have the mesh file and the part of a split, in this order.
PATHS = ("path", "file", "filename", "mesh", "shape")
SPLIT = "split"


class TableError(GaugenetError, ValueError):
    """A table that cannot be used, or whose files do not fit."""


@dataclass(frozen=True)
class Row:
    """A mesh file and what the table says of it.

    Attributes:
        name: as the table gives it, relative. path: of the mesh file. values: column -> cell. folder: files in cells are
            relative to it.
    """

    name: str
    path: Path
    values: Mapping[str, Any]
    folder: Path

    @property
    def split(self) -> str:
        return str(self.values.get(SPLIT, "")).strip()


def read_rows(source: Any, path: str | None = None) -> list[Row]:
    """The rows of a table.

    Args:
        source: a .csv or .tsv file with a header; a folder, whose own folders are classes (a column "label"); or a list of
            folders (each a class), of rows (mappings), of pairs (mesh file, label), or of mesh files.
        path: the column of the mesh files, by default the first of "path", "file", "filename", "mesh" and "shape".

    Raises:
        TableError: no such column, an empty table, mesh files that are not there.
        OSError: a table that cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        given = Path(source)
        rows = _folder(given) if given.is_dir() else _csv(given, path)
        where = os.fspath(given)
    elif isinstance(source, Iterable):
        rows, where = [row for item in source for row in _item(item, path)], "the list"
    else:
        raise TypeError(f"expected a table: a .csv file, a folder or a list, got {type(source).__name__}")
    if not rows:
        raise TableError(f"{where}: no meshes")
    missing = [row.name for row in rows if not row.path.exists()]
    if missing:
        raise TableError(f"{where}: {len(missing)} of {len(rows)} mesh files are not there: {', '.join(missing[:5])}")
    return rows


def read_numbers(path: Path) -> np.ndarray:
    """An array of numbers: .npy, or text with a row for every vertex or face, separated by commas or blanks.

    Raises:
        TableError: a file that is not there or holds something else.
    """
    try:
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            text = path.read_text(encoding="utf-8-sig")
            values = np.loadtxt(text.splitlines(), delimiter="," if "," in text else None, ndmin=1)
    except (OSError, ValueError, EOFError) as error:
        raise TableError(f"{path}: expected numbers, as .npy or text: {error}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or values.ndim < 1:
        raise TableError(f"{path}: expected an array of numbers")
    return values


def _csv(path: Path, column: str | None) -> list[Row]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", skipinitialspace=True)
            names = [name for name in reader.fieldnames or () if name]
            lines = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: not a table of text: {error}") from None
    where = _path_column(names, column, os.fspath(path))
    rows = []
    for number, line in enumerate(lines, 2):
        if None in line or any(value is None for value in line.values()):
            raise TableError(f"{path}, line {number}: expected {len(names)} cells, as in the first line")
        values = {name: line[name].strip() for name in names}
        rows.append(Row(values[where], path.parent / values[where], values, path.parent))
    return rows


def _path_column(names: list[str], column: str | None, where: str) -> str:
    by_name = {name.strip().lower(): name for name in names}
    if column is not None:
        if column not in names:
            raise TableError(f"{where}: no column {column!r}: its columns are {', '.join(names)}")
        return column
    for name in PATHS:
        if name in by_name:
            return by_name[name]
    raise TableError(
        f"{where}: no column of mesh files: expected one of {', '.join(PATHS)} (or path=...) among {', '.join(names) or 'none'}"
    )


def _folder(path: Path, label: str | None = None) -> list[Row]:
    rows = []
    for name, source in find_meshes([path]).items():
        values = {"label": label if label is not None else name.split("/")[0]} if label is not None or "/" in name else {}
        shown = name if label is None else f"{path.name}/{name}"
        rows.append(Row(shown, source.path, {"path": name, **values}, path))
    with_label = sum("label" in row.values for row in rows)
    if 0 < with_label < len(rows):
        raise TableError(f"{path}: mesh files both in class folders and beside them")
    return rows


def _item(item: Any, column: str | None) -> list[Row]:
    here = Path()
    if isinstance(item, Mapping):
        values = dict(item)
        name = _path_column(list(map(str, values)), column, "a row of the list")
        return [Row(os.fspath(values[name]), Path(values[name]), values, here)]
    if isinstance(item, str | os.PathLike):
        path = Path(item)
        return _folder(path, label=path.resolve().name) if path.is_dir() else [Row(os.fspath(item), path, {}, here)]
    if isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], str | os.PathLike):
        return [Row(os.fspath(item[0]), Path(item[0]), {"path": item[0], "label": item[1]}, here)]
    raise TypeError(f"a row of the list is a mapping, a mesh file, a folder, or a pair (file, label), got {item!r}")
