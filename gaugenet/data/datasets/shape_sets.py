"""The data sets that the examples use: the embedded shapes and SHREC'11."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ...pipeline.process import ProcessParams
from ..shape_dataset import ShapeDataset, ShapeKeywords
from ..splits import Split, read_splits
from .archives import unpack

if TYPE_CHECKING:
    from typing_extensions import Unpack


class EmbeddedShapes(ShapeDataset):
    """The 240 generated shapes in 12 families that come with the source (datasets/README.md).

    Splits: "split10" (10 training shapes per family) and "split16", each with index 0, 1, 2.

    Args:
        root: the folder, by default datasets/shapes beside the package in a checkout.
        params, **options: see ShapeDataset.
    """

    def __init__(
        self, root: str | os.PathLike | None = None, params: ProcessParams | None = None, **options: Unpack[ShapeKeywords]
    ) -> None:
        folder = Path(__file__).resolve().parents[3] / "datasets" / "shapes" if root is None else Path(root)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder}: no such folder; the embedded shapes are in datasets/shapes of the source repository"
            )
        super().__init__(folder, params, **options)
        self.splits = read_splits(folder / "splits.json")


class SHREC11(ShapeDataset):
    """SHREC'11 non-rigid shapes, 30 classes of 20, as MeshCNN simplified them (Lian et al. 2011; Hanocka et al. 2019).

    The data are not shipped: give MeshCNN's archive shrec_16.tar.gz or the folder that was unpacked from it. Splits: "split10"
    and "split16" from random_splits.json beside the archive or folder, else drawn in the same way; "folders" is the split into
    train/ and test/ that the archive came with.

    Args:
        path: the archive, the unpacked folder, or a folder that holds one of them.
        params, **options: see ShapeDataset. Without params: DEFAULT_PARAMS.

    Raises:
        FileNotFoundError: none of these is there.
    """

    def __init__(self, path: str | os.PathLike, params: ProcessParams | None = None, **options: Unpack[ShapeKeywords]) -> None:
        path = Path(path)
        if path.is_dir() and (path / "shrec_16.tar.gz").is_file() and not (path / "shrec_16").is_dir():
            path = path / "shrec_16.tar.gz"
        if not path.exists():
            raise FileNotFoundError(f"{path}: expected shrec_16.tar.gz or the folder unpacked from it")
        root = unpack(path) if path.is_file() else path
        root = root / "shrec_16" if (root / "shrec_16").is_dir() else root
        super().__init__(root, params, **options)
        for folder in (path, path.parent):
            if (folder / "random_splits.json").is_file():
                self.splits = read_splits(folder / "random_splits.json")
                break
        if shipped := self._folders():
            self.splits["folders"] = shipped

    def _folders(self) -> Split:
        """class -> its train/ and test/ files; empty when the files do not lie in such folders."""
        split: Split = {label: {"train": [], "test": []} for label in self.classes}
        for name in [*self.names, *self.failed]:
            parts = name.split("/")
            if len(parts) != 3 or parts[1] not in ("train", "test"):
                return {}
            split[parts[0]][parts[1]].append(f"{parts[1]}/{parts[2]}")
        return split
