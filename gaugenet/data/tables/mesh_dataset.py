"""MeshDataset: a table of meshes and answers as a torch_geometric data set of GaugeGraphs."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Dataset
from torch_geometric.loader import DataLoader

from ...checks import check_choice, check_instance
from ...errors import GaugenetError
from ...fields import FieldType
from ...geometry import LocalGeometry
from ...geometry.ambient import to_frames
from ...groups import O2, SO2
from ...io.records import load_record, read_record_header
from ...pipeline.batch import preprocess
from ...pipeline.process import ProcessParams
from ...pipeline.sources import Source
from ..datasets.archives import cache_folder
from ..features import feature_type
from ..graph import GaugeGraph
from ..shape_dataset import DEFAULT_PARAMS, make_record, uncommon_data
from .budget import NodeBudget
from .reading import PATHS, SPLIT, Row, TableError, read_numbers, read_rows
from .tasks import KINDS, UNKNOWN, Task


class MeshDataset(Dataset):
    """A table of meshes and answers -> GaugeGraphs with the target in ``y`` and the name in ``name``.

    Every mesh is made into a record once, under a name that is a hash of its file and of the parameters; those that
    ``gaugenet preprocess`` made with the same parameters are taken (give their folder as ``records``). ``dataset[i]``,
    ``dataset[2:5]``, ``dataset[mask]``, ``shuffle()`` and ``transform`` work as for every PyG data set. Targets of vertices and
    faces follow them through repair and renumbering. Made by :meth:`from_table`.

    Attributes:
        rows: of the table, in order. task: the kind of answer with its classes, see :class:`Task`. params: of the records.
        failed: name -> reason, of the meshes that were left out.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        task: Task,
        params: ProcessParams,
        *,
        records: str | os.PathLike | None = None,
        transform: Callable[[GaugeGraph], Any] | None = None,
        dtype: torch.dtype | None = None,
        in_memory: bool = True,
        jobs: int = 0,
        timeout: float | None = None,
        on_error: str = "raise",
    ) -> None:
        check_choice("MeshDataset", "on_error", on_error, ("raise", "skip"))
        check_instance("MeshDataset", "params", params, ProcessParams, "ProcessParams, such as ProcessParams(rings=2)")
        if timeout is not None and jobs < 1:
            raise ValueError("a timeout needs worker processes: jobs >= 1")
        super().__init__(None, transform)
        self.rows, self.task, self.params = list(rows), task, params
        self._sources = task.sources or task.names
        self._folder = cache_folder() / "records" if records is None else Path(records)
        self._dtype, self._in_memory = dtype, in_memory
        self._graphs: dict[int, GaugeGraph] = {}
        self._records, self.failed = self._make_records(jobs, timeout)
        if self.failed and on_error == "raise":
            shown = "; ".join(f"{name}: {reason}" for name, reason in list(self.failed.items())[:5])
            raise GaugenetError(f'{len(self.failed)} meshes failed (on_error="skip" leaves them out): {shown}')
        self.rows = [row for row in self.rows if row.path in self._records]
        if not self.rows:
            raise GaugenetError("all meshes failed")
        self._not_common = uncommon_data(set(self._records.values()), "MeshDataset")
        self.task = self._settled()

    @classmethod
    def from_table(
        cls,
        source: Any,
        params: ProcessParams | None = None,
        *,
        task: str = "classify",
        target: str | Sequence[str] | None = None,
        path: str | None = None,
        records: str | os.PathLike | None = None,
        transform: Callable[[GaugeGraph], Any] | None = None,
        dtype: torch.dtype | None = None,
        in_memory: bool = True,
        jobs: int = 0,
        timeout: float | None = None,
        on_error: str = "raise",
    ) -> MeshDataset:
        """The data set of a table.

        Args:
            source: a .csv or .tsv file with a header, whose mesh files are relative to it; a folder, whose own folders are
                classes; or a list of folders (each a class), of mappings (rows), or of pairs (mesh file, label).
            params: what to make of the meshes, by default two rings, unit area and the heat kernel signature, with one coarser
                level where the answer is at vertices or faces.
            task: "classify", "segment", "regress" or "vectors", see :class:`Task`.
            target: the column of the answer, or several for "regress"; by default "label" or "class", or what is left beside
                the mesh files and ``split``. Cells of "segment", "vectors" and of "regress" at vertices are files of numbers
                (.npy, or text) with a row for every vertex, or for "segment" every face, of the mesh file. A target that is no
                column is an array in the mesh files (a property of a PLY file; vectors are three of them).
            path: the column of the mesh files, by default "path", "file", "filename", "mesh" or "shape".
            records: folder of the records, by default ``cache_folder() / "records"``; data sets may share it.
            transform: called with every graph that is taken out, see :class:`Preparation`.
            dtype: floating dtype of the graphs; None keeps the records' float32.
            in_memory: keep the graphs once read (before the transform).
            jobs: 0 works in this process; n > 0 in n worker processes, which survive crashing meshes. The main module must
                then be importable (``if __name__ == "__main__":``).
            timeout: seconds for each mesh, with jobs > 0.
            on_error: "raise" when a mesh cannot be used, after the others are done, or "skip" to leave it out (see ``failed``).

        Raises:
            TableError: columns and files that are not there or do not fit. GaugenetError: meshes that cannot be used.
        """
        check_choice("MeshDataset", "task", task, KINDS)
        rows = read_rows(source, path)
        names = _targets(rows, task, target, path)
        numbers = task == "regress" and all(name in rows[0].values and _is_number(rows[0].values[name]) for name in names)
        on = "graph" if task == "classify" or numbers else "vertices"
        if params is None:
            params = ProcessParams.from_dict({**DEFAULT_PARAMS.to_dict(), "levels": 0 if on == "graph" else 1})
        return cls(
            rows,
            Task(task, names, on=on),
            params,
            records=records,
            transform=transform,
            dtype=dtype,
            in_memory=in_memory,
            jobs=jobs,
            timeout=timeout,
            on_error=on_error,
        )

    def _make_records(self, jobs: int, timeout: float | None) -> tuple[dict[Path, Path], dict[str, str]]:
        """Mesh file -> record, and name -> reason of those that failed."""
        paths = {row.path: row.name for row in self.rows}
        if jobs:
            sources = {name: Source(path) for path, name in paths.items()}
            run = preprocess(sources, self._folder, self.params, jobs=jobs, timeout=timeout)
            if run.interrupted:
                raise KeyboardInterrupt
            found = {entry["source"]: (entry["record"], entry["reason"]) for entry in run.meshes}
            outcome = {path: found[name] for path, name in paths.items()}
        else:
            outcome = {path: make_record(path, self.params, self._folder) for path in paths}
        records = {path: self._folder / record for path, (record, _) in outcome.items() if record}
        return records, {paths[path]: reason or "" for path, (record, reason) in outcome.items() if not record}

    def _settled(self) -> Task:
        """The task with its classes, and faces where its labels are on faces. Bad targets are found now, not in an epoch."""
        task = self.task
        if task.kind == "classify":
            labels = sorted({_label(row, self._sources[0]) for row in self.rows}, key=_natural)
            return Task(task.kind, task.names, tuple(labels), sources=self._sources)
        if task.on == "graph":
            for row in self.rows:
                self._numbers_of(row)
            return Task(task.kind, task.names, sources=self._sources)
        places, found = set(), set()
        for i in range(len(self.rows)):
            values, place = self._at_places(i, self.geometry(i))
            places.add(place)
            if task.kind == "segment":
                found |= set(np.unique(values[values != UNKNOWN]).tolist())
        if len(places) > 1:
            raise TableError(f"{task.names[0]}: some meshes have a row for every vertex, others for every face")
        classes = tuple(str(c) for c in sorted(found)) if task.kind == "segment" else ()
        width = task.names if task.kind != "regress" or len(task.names) > 1 else self._columns(task.names[0])
        return Task(task.kind, width, classes, places.pop(), sources=self._sources)

    def _columns(self, name: str) -> tuple[str, ...]:
        values, _ = self._at_places(0, self.geometry(0))
        return (name,) if values.shape[1] == 1 else tuple(f"{name}_{k}" for k in range(values.shape[1]))

    def _numbers_of(self, row: Row) -> list[float]:
        """The cells of numbers of the whole mesh; an empty one is NaN."""
        cells = [row.values.get(name, "") for name in self._sources]
        try:
            return [float("nan") if cell in ("", None) else float(cell) for cell in cells]
        except (TypeError, ValueError):
            raise TableError(f"{row.name}: expected numbers in {', '.join(self._sources)}, got {cells}") from None

    def _at_places(self, idx: int, geometry: LocalGeometry) -> tuple[np.ndarray, str]:
        """Targets at the nodes, or at the faces that are left, and where they are."""
        row, kind = self.rows[idx], self.task.kind
        values = self._given(row, geometry)
        ids = {"vertices": geometry.vertex_data.get("ids"), "faces": geometry.face_data.get("ids")}
        if isinstance(values, tuple):  # arrays of the mesh file are at the nodes already
            values, place = values
        else:
            vertices = geometry.num_nodes if geometry.vertex_nodes is None else len(geometry.vertex_nodes)
            place = "faces" if kind == "segment" and len(values) != vertices else "vertices"
            rows = ids[place]
            few = vertices if place == "vertices" else (0 if rows is None else int(rows.max(initial=-1)) + 1)
            if rows is None or len(values) < few or (place == "vertices" and len(values) != vertices):
                wanted = f"{vertices} vertices" + (f" or {few} or more faces" if kind == "segment" else "")
                raise TableError(f"{row.name}: expected a row for each of {wanted}, got {len(values)}")
            values = values[rows]
        return self._checked(row, values), place

    def _given(self, row: Row, geometry: LocalGeometry) -> Any:
        """What a cell's file has for the input's vertices or faces; of arrays in the mesh file (values, place)."""
        names = self._sources
        if names[0] in row.values:
            return read_numbers(row.folder / str(row.values[names[0]]))
        for place, data in (("vertices", geometry.vertex_data), ("faces", geometry.face_data)):
            if all(name in data for name in names):
                return np.concatenate([np.asarray(data[name]).reshape(len(data[name]), -1) for name in names], 1), place
        known = sorted({*row.values, *geometry.vertex_data, *geometry.face_data} - {"ids"})
        raise TableError(
            f"{row.name}: neither the table nor the mesh file has {', '.join(names)}: there are {', '.join(known)}"
        )

    def _checked(self, row: Row, values: np.ndarray) -> np.ndarray:
        kind = self.task.kind
        values = np.asarray(values)
        values = values.reshape(len(values), -1)
        if kind == "vectors" and values.shape[1] != 3:
            raise TableError(f"{row.name}: expected vectors of 3 components, got {values.shape[1]}")
        if kind != "segment":
            return values.astype(np.float64)
        if values.shape[1] != 1 or (values.dtype.kind == "f" and not np.array_equal(values, np.round(values))):
            raise TableError(f"{row.name}: expected one integer label a row, got {values.dtype} of shape {values.shape}")
        return values[:, 0].astype(np.int64)

    def len(self) -> int:
        return len(self.rows)

    def get(self, idx: int) -> GaugeGraph:
        graph = self._graphs.get(idx)
        if graph is None:
            graph = self._graph_of(idx)
            if self._in_memory:
                self._graphs[idx] = graph
        return copy.copy(graph)

    def geometry(self, idx: int) -> LocalGeometry:
        """The LocalGeometry of a row, read from its record (idx counts the whole data set, not a subset)."""
        return load_record(self._records[self.rows[idx].path])

    def _graph_of(self, idx: int) -> GaugeGraph:
        geometry = self.geometry(idx)
        graph = GaugeGraph.from_geometry(geometry, dtype=self._dtype)
        for key in self._not_common:
            if key in graph:
                del graph[key]
        graph.name, graph.y = self.rows[idx].name, self._target(idx, geometry).to(device="cpu")
        if graph.y.is_floating_point():
            graph.y = graph.y.to(graph.log.dtype)
        return graph

    def _target(self, idx: int, geometry: LocalGeometry) -> Tensor:
        row, task = self.rows[idx], self.task
        if task.kind == "classify":
            return torch.tensor([task.classes.index(_label(row, self._sources[0]))])
        if task.on == "graph":
            return torch.tensor([self._numbers_of(row)], dtype=torch.float64)
        values, _ = self._at_places(idx, geometry)
        if task.kind == "segment":
            numbers = np.array([int(c) for c in task.classes])
            return torch.from_numpy(np.where(values == UNKNOWN, UNKNOWN, np.searchsorted(numbers, values)))
        if task.kind == "vectors":
            known = np.isfinite(values).all(1)
            values = to_frames(np.where(known[:, None], values, 0.0), geometry).values
            values[~known] = np.nan
        return torch.from_numpy(np.ascontiguousarray(values))

    @property
    def names(self) -> list[str]:
        """Of the meshes of this (sub)set."""
        return [self.rows[i].name for i in self.indices()]

    @property
    def classes(self) -> list[str]:
        return list(self.task.classes)

    @property
    def num_classes(self) -> int:
        return len(self.task.classes)

    @property
    def in_type(self) -> FieldType:
        """Field type of the input features, ``params.features`` side by side."""
        group = O2() if self.params.structure == "O2" else SO2()
        return feature_type(self.get(self.indices()[0]), *self.params.features, group=group)

    @property
    def out_type(self) -> FieldType | None:
        """Field type of the answer at the nodes; None where it is one of the whole mesh."""
        return self.task.out_type(O2() if self.params.structure == "O2" else SO2())

    @property
    def sizes(self) -> list[int]:
        """Nodes of the meshes of this (sub)set, without reading them."""
        found = []
        for i in self.indices():
            tensors = read_record_header(self._records[self.rows[i].path])["tensors"]
            found.append(int(tensors["0.radius"]["shape"][0]))
        return found

    def subset(self, name: str) -> MeshDataset:
        """The rows with this word in the column "split".

        Raises:
            ValueError: there are none.
        """
        chosen = [k for k, i in enumerate(self.indices()) if self.rows[i].split == name]
        if not chosen:
            known = sorted({self.rows[i].split for i in self.indices()} - {""})
            raise ValueError(f"no rows with {SPLIT} {name!r}: there are {', '.join(known) or 'none'}")
        return self.index_select(chosen)

    def split(self, test: float = 0.25, *, seed: int = 0) -> tuple[MeshDataset, MeshDataset]:
        """(training, test): by the column "split" where the table has one, or else at random, of every class alike.

        Args:
            test: part of the meshes to test on.
            seed: of the draw.

        Raises:
            ValueError: nothing would be left to train or to test on.
        """
        if any(self.rows[i].split for i in self.indices()):
            return self.subset("train"), self.subset("test")
        if not 0 < test < 1:
            raise ValueError(f"split expected a part of the meshes to test on, 0 < test < 1, got {test}")
        kinds: dict[str, list[int]] = {}
        for k, i in enumerate(self.indices()):
            label = _label(self.rows[i], self._sources[0]) if self.task.kind == "classify" else ""
            kinds.setdefault(label, []).append(k)
        rng, chosen = np.random.default_rng(seed), []
        for label in sorted(kinds):
            members = kinds[label]
            count = min(round(test * len(members)), len(members) - 1)
            chosen += [members[j] for j in rng.permutation(len(members))[:count]]
        if not chosen:
            raise ValueError(f"{len(self)} meshes leave none to test on with test={test}")
        rest = sorted(set(range(len(self))) - set(chosen))
        return self.index_select(rest), self.index_select(sorted(chosen))

    def loader(
        self, nodes: int = 20000, *, shuffle: bool = False, seed: int = 0, rank: int | None = None, ranks: int | None = None
    ) -> DataLoader:
        """Batches of at most so many nodes; the arguments are those of :class:`NodeBudget`."""
        sampler = NodeBudget(self.sizes, nodes, shuffle=shuffle, seed=seed, rank=rank, ranks=ranks)
        return DataLoader(self, batch_sampler=sampler)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)}, task={self.task.kind!r}, classes={self.num_classes})"


def _targets(rows: list[Row], task: str, target: str | Sequence[str] | None, path: str | None) -> tuple[str, ...]:
    """The columns or arrays of the answer."""
    columns = list(rows[0].values)
    if target is not None:
        names = (target,) if isinstance(target, str) else tuple(target)
        if not names or (task in ("classify", "segment") and len(names) > 1):
            raise TableError(f'task "{task}" expected one target, got {names}')
        if task == "classify" and names[0] not in columns:
            raise TableError(f"no column {names[0]!r}: the columns are {', '.join(map(str, columns)) or 'none'}")
        return names
    left = [name for name in columns if name != path and name.lower() not in (*PATHS, SPLIT)]
    preferred = [name for name in left if name.lower() in ("label", "class")]
    if task == "regress" and left:
        files = [name for name in left if not _is_number(rows[0].values[name])]
        numbers = [name for name in left if name not in files]
        return tuple(numbers or files[:1])
    if preferred and task != "vectors":
        return (preferred[0],)
    if len(left) != 1:
        raise TableError(f'task "{task}" expected target=..., one of the columns {", ".join(left) or "(there are none)"}')
    return (left[0],)


def _label(row: Row, name: str) -> str:
    label = str(row.values.get(name, "")).strip()
    if not label:
        raise TableError(f"{row.name}: no label in {name!r}")
    return label


def _natural(label: str) -> tuple[bool, float, str]:
    """Numbers by their size, then words."""
    return (False, float(label), label) if _is_number(label) else (True, 0.0, label)


def _is_number(cell: Any) -> bool:
    try:
        return str(cell).strip() == "" or np.isfinite(float(cell))
    except (TypeError, ValueError):
        return False
