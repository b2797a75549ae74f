"""ShapeDataset: a folder of mesh files as a torch_geometric data set of GaugeGraphs."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict
from warnings import warn

import torch
from torch import Tensor
from torch_geometric.data import Dataset

from ..errors import GaugenetError
from ..geometry import LocalGeometry
from ..geometry.triangles.triangle_mesh import TriangleMesh
from ..io.records import load_record, read_record_header, record_name
from ..options import show_keywords
from ..pipeline.batch import preprocess
from ..pipeline.process import ProcessParams, content_sha256, process_one
from ..pipeline.sources import find_meshes
from .datasets.archives import cache_folder
from .graph import GaugeGraph
from .splits import Split, random_split, split_seed

DEFAULT_PARAMS = ProcessParams(rings=2, normalize=True, features=("hks",))


class ShapeKeywords(TypedDict, total=False):
    """The keywords of :class:`ShapeDataset`, for the type checkers of its subclasses."""

    records: str | os.PathLike | None
    transform: Callable[[GaugeGraph], Any] | None
    dtype: torch.dtype | None
    in_memory: bool
    jobs: int
    timeout: float | None
    on_error: str
    process: bool


class ShapeDataset(Dataset):
    """Mesh files in class folders -> GaugeGraphs with the class in ``y`` and the file in ``name``.

    Every mesh is made into a record once. A record's name is a hash of the mesh file and of the parameters, so changed
    parameters or files never meet stale data. ``dataset[i]``, ``dataset[2:5]``, ``dataset[mask]``, ``shuffle()``, ``transform``
    and PyG's DataLoader work as for every PyG data set.

    Args:
        root: folder; the first folder below it that a file lies in is its class. Files that all lie in root have no class.
        params: what to make of the meshes, by default ``DEFAULT_PARAMS``: two rings, unit area, heat kernel signature.
        records: folder of the records, by default ``cache_folder() / "records"``; data sets may share it.
        transform: called with every graph that is taken out.
        dtype: floating dtype of the graphs; None keeps the records' float32.
        in_memory: keep the graphs once read (before the transform).
        jobs: 0 works in this process; n > 0 in n worker processes, which survive crashing meshes. The main module must then
            be importable (``if __name__ == "__main__":``).
        timeout: seconds for each mesh, with jobs > 0.
        on_error: "raise" when a mesh cannot be used, after the others are done, or "skip" to leave it out (see ``failed``).
        process: False lists the files only; ``mesh(i)`` and ``split`` work, graphs do not until ``make_records()`` was called.

    Attributes:
        names: relative file names, in order. classes: names of the classes, in order. failed: file name -> reason.

    Raises:
        FileNotFoundError: no mesh file under root.
        ValueError: files both in root and in class folders.
        GaugenetError: meshes that cannot be used, all of them named.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        show_keywords(cls, ShapeDataset)

    def __init__(
        self,
        root: str | os.PathLike,
        params: ProcessParams | None = None,
        *,
        records: str | os.PathLike | None = None,
        transform: Callable[[GaugeGraph], Any] | None = None,
        dtype: torch.dtype | None = None,
        in_memory: bool = True,
        jobs: int = 0,
        timeout: float | None = None,
        on_error: str = "raise",
        process: bool = True,
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(f'on_error must be "raise" or "skip", got {on_error!r}')
        if timeout is not None and jobs < 1:
            raise ValueError("a timeout needs worker processes: jobs >= 1")
        self.params = DEFAULT_PARAMS if params is None else params
        if not isinstance(self.params, ProcessParams):
            raise TypeError(f"params must be ProcessParams, got {type(self.params).__name__}")
        root = Path(root)
        files = find_meshes([root]) if root.is_dir() else {}
        if not files:
            raise FileNotFoundError(f"{root}: no folder with mesh files")
        labels = {name: name.split("/")[0] if "/" in name else None for name in files}
        if None in labels.values() and len(set(labels.values())) > 1:
            raise ValueError(f"{root}: mesh files both in class folders and beside them")
        super().__init__(os.fspath(root), transform)
        self.names = list(files)
        self.classes = sorted({label for label in labels.values() if label is not None})
        self.failed: dict[str, str] = {}
        self.splits: dict[str, Split] = {}
        self._folder = cache_folder() / "records" if records is None else Path(records)
        self._dtype, self._in_memory, self._on_error = dtype, in_memory, on_error
        self._graphs: dict[str, GaugeGraph] = {}
        self._records: dict[str, Path] = {}
        self._not_common: list[str] = []
        if process:
            self.make_records(jobs, timeout)

    def make_records(self, jobs: int = 0, timeout: float | None = None) -> None:
        """Process the meshes that have no record yet; arguments and errors as for the class."""
        if jobs:
            run = preprocess([self.root], self._folder, self.params, jobs=jobs, timeout=timeout)
            if run.interrupted:
                raise KeyboardInterrupt
            outcome = {entry["source"]: (entry["record"], entry["reason"]) for entry in run.meshes}
        else:
            outcome = {name: make_record(Path(self.root, name), self.params, self._folder) for name in self.names}
        self._records = {name: self._folder / record for name, (record, _) in outcome.items() if record}
        self.failed = {name: reason for name, (record, reason) in outcome.items() if not record}
        if self.failed and self._on_error == "raise":
            shown = "; ".join(f"{name}: {reason}" for name, reason in list(self.failed.items())[:5])
            raise GaugenetError(
                f'{len(self.failed)} of {len(outcome)} meshes failed (on_error="skip" leaves them out): {shown}'
            )
        self.names = [name for name in self.names if name in self._records]
        self._not_common = uncommon_data({self._records[name] for name in self.names}, os.fspath(self.root))

    def len(self) -> int:
        return len(self.names)

    def get(self, idx: int) -> GaugeGraph:
        name = self.names[idx]
        graph = self._graphs.get(name)
        if graph is None:
            graph = self.graph_of(self.geometry(idx), name)
            if self._in_memory:
                self._graphs[name] = graph
        return copy.copy(graph)

    def geometry(self, idx: int) -> LocalGeometry:
        """The LocalGeometry of shape idx, read from its record (idx counts the whole data set, not a subset)."""
        name = self.names[idx]
        if name not in self._records:
            raise GaugenetError("this data set was made with process=False: call make_records() first")
        return load_record(self._records[name])

    def graph_of(self, geometry: LocalGeometry, name: str) -> GaugeGraph:
        """The graph with its labels; subclasses add to it."""
        graph = GaugeGraph.from_geometry(geometry, dtype=self._dtype)
        for key in self._not_common:
            if key in graph:
                del graph[key]
        graph.name = name
        if self.classes:
            graph.y = torch.tensor([self._class_number(name)], device="cpu")
        return graph

    def _class_number(self, name: str) -> int:
        return self.classes.index(name.split("/")[0])

    def mesh(self, idx: int) -> TriangleMesh:
        """The TriangleMesh of file idx as it is on disk, unchecked (idx counts the whole data set)."""
        from ..geometry import load_mesh

        return load_mesh(Path(self.root, self.names[idx]))

    @property
    def targets(self) -> Tensor:
        """(len(dataset),) int64 class numbers, without reading a mesh.

        Raises:
            ValueError: a data set without classes.
        """
        if not self.classes:
            raise ValueError("this data set has no class folders")
        return torch.tensor([self._class_number(self.names[i]) for i in self.indices()], dtype=torch.long, device="cpu")

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def split_indices(self, name: str, index: int = 0) -> tuple[list[int], list[int]]:
        """Numbers of the training and of the test shapes, see :meth:`split`."""
        split = self._find_split(name, index)
        where = {key: i for i, path in enumerate(self.names) for key in _keys(path)}
        dropped = {key for path in self.failed for key in _keys(path)}
        out = []
        for part in ("train", "test"):
            keys = [(label, file) for label in sorted(split) for file in split[label][part]]
            missing = [key for key in keys if key not in where and key not in dropped]
            if missing:
                raise ValueError(f"split {name}_{index} names {'/'.join(missing[0])}, which is not there ({len(missing)} such)")
            out.append([where[key] for key in keys if key in where])
        return out[0], out[1]

    def split(self, name: str = "split10", index: int = 0) -> tuple[ShapeDataset, ShapeDataset]:
        """(training, test) subsets.

        Args:
            name: a stored split, or "split<n>": n random training shapes of every class, the others to test.
            index: which of the splits of that name.

        Raises:
            ValueError: no such split, too many training shapes, or a stored split that names files that are not there.
        """
        train, test = self.split_indices(name, index)
        return self.index_select(train), self.index_select(test)

    def _find_split(self, name: str, index: int) -> Split:
        for key in (f"{name}_{index}", name if index == 0 else None):
            if key in self.splits:
                return self.splits[key]
        number = name.removeprefix("split")
        if name == number or not number.isdigit() or index < 0:
            known = sorted(self.splits)
            raise ValueError(f'no split {name!r}, {index}: expected "split<n>" or one of {known}')
        return random_split(self._files_of_classes(), int(number), split_seed(int(number), index))

    def _files_of_classes(self) -> Mapping[str, list[str]]:
        """Class -> file names; with those that failed, so that a split does not depend on them."""
        if not self.classes:
            raise ValueError("this data set has no class folders: there is nothing to split by class")
        paths: dict[str, list[str]] = {label: [] for label in self.classes}
        for path in sorted({*self.names, *self.failed}):
            label, _, below = path.partition("/")
            paths[label].append(below)
        # By file alone, as in SHREC'11's splits, which do not depend on the folders; by path where that would be ambiguous.
        short = {label: [path.rsplit("/", 1)[-1] for path in below] for label, below in paths.items()}
        return {label: short[label] if len(set(short[label])) == len(below) else below for label, below in paths.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)}, classes={len(self.classes)})"


def make_record(path: Path, params: ProcessParams, folder: Path) -> tuple[str | None, str | None]:
    """(name of the record of a mesh, None), or (None, reason); one that is whole is taken as it is."""
    try:
        name = record_name(content_sha256(path), params)
        try:
            read_record_header(folder / name, verify=True)
        except (OSError, GaugenetError):
            process_one(path, params, folder)
        return name, None
    except (GaugenetError, OSError) as error:
        return None, str(error)


def uncommon_data(records: set[Path], where: str) -> list[str]:
    """Attributes that only some of the meshes bring (a colour, groups): a batch of graphs cannot have them."""
    found = [_data_shapes(record) for record in records]
    every = set.intersection(*found) if found else set()
    names = sorted({name for shapes in found for name, _ in shapes - every})
    if names:
        warn(f"{where}: left out of the graphs, since not all meshes have them alike: {', '.join(names)}", stacklevel=4)
    return names


def _data_shapes(record: Path) -> set[tuple[str, tuple]]:
    """Names that arrays of vertices and faces have in the graph of a record, and the shapes and kinds of their rows."""
    out = set()
    for name, facts in read_record_header(record)["tensors"].items():
        level, _, own = name.partition(".")
        kind, _, own = own.partition(".")
        if level == "0" and kind in ("vertex", "face"):
            out.add((f"{kind}_{own}", (facts["dtype"][0], *facts["shape"][1:])))
    return out


def _keys(path: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """ "class/train/a.ply" -> ("class", "a.ply") and ("class", "train/a.ply"), the two ways in which a split may name it."""
    label, _, below = path.partition("/")
    return (label, below.rsplit("/", 1)[-1]), (label, below)
