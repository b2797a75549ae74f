"""What a classifier reaches without learning: one nearest neighbour on the Laplacian spectrum (shape-DNA).

Any trained network should be read beside these numbers::

    python examples/baselines.py embedded
    python examples/baselines.py shrec11 PATH/shrec_16.tar.gz
    python examples/baselines.py princeton FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaugenet.data import SHREC11, EmbeddedShapes, Princeton, ShapeDataset
from gaugenet.geometry.meshes.laplacian import shape_dna


def spectral_descriptor(vertices: np.ndarray, faces: np.ndarray, count: int = 20) -> np.ndarray:
    """(count,) sqrt(A e_k) / sqrt(k): by Weyl's law each entry is about sqrt(4 pi), so that all of them count alike."""
    return np.sqrt(shape_dna(vertices, faces, count) / np.arange(1, count + 1))


def descriptors(dataset: ShapeDataset, count: int = 20) -> np.ndarray:
    """(number of shapes, count) descriptors of the mesh files as they are, before any processing or repair."""
    meshes = (dataset.mesh(i) for i in range(len(dataset.names)))
    return np.stack([spectral_descriptor(mesh.vertices, mesh.faces, count) for mesh in meshes])


def nearest_neighbour_accuracy(x: np.ndarray, labels: np.ndarray, train: list[int], test: list[int]) -> float:
    """Fraction of the test shapes whose nearest training shape is of their class."""
    distance = np.linalg.norm(x[test][:, None] - x[train][None], axis=-1)
    return float((labels[train][distance.argmin(1)] == labels[test]).mean())


def leave_one_out_accuracy(x: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of the shapes whose nearest other shape is of their class."""
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    return float((labels[distance.argmin(1)] == labels).mean())


def spectral_baseline(dataset: ShapeDataset, split: str, indices: tuple[int, ...] = (0, 1, 2), count: int = 20) -> list[float]:
    """Accuracy of one nearest neighbour on the first `count` eigenvalues, for each split."""
    x, labels = descriptors(dataset, count), dataset.targets.numpy()
    return [nearest_neighbour_accuracy(x, labels, *dataset.split_indices(split, index)) for index in indices]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=("embedded", "shrec11", "princeton"))
    parser.add_argument("path", nargs="?", help="where the data are, for shrec11 and princeton")
    parser.add_argument("--count", type=int, default=20, help="number of eigenvalues")
    args = parser.parse_args()
    if args.dataset != "embedded" and args.path is None:
        parser.error(f"{args.dataset} needs a path")
    if args.dataset == "embedded":
        dataset, splits = EmbeddedShapes(args.path, process=False), ("split10", "split16")
    elif args.dataset == "shrec11":
        dataset, splits = SHREC11(args.path, process=False), ("split10", "split16")
    else:
        dataset, splits = Princeton(args.path, process=False), ("split8",)
    x, labels = descriptors(dataset, args.count), dataset.targets.numpy()
    for split in splits:
        values = [100 * nearest_neighbour_accuracy(x, labels, *dataset.split_indices(split, i)) for i in range(3)]
        print(f"{split}: {' '.join(f'{v:.1f}' for v in values)} %, mean {np.mean(values):.1f} %")
    print(f"leave one out: {100 * leave_one_out_accuracy(x, labels):.1f} %")


if __name__ == "__main__":
    main()
