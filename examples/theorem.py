"""A linear map of fields on a torus is equivariant if and only if it is a convolution with a steerable kernel.

    python examples/theorem.py [--out theorem.png]

For the groups of the square, of the hexagon and of the cube, and maps of functions on the torus T (scalar fields) and on the
group T x H (regular fields): the dimension of the equivariant maps, counted without any network (they are constant on the
orbits of the pairs of an output and an input), beside the number of weights of GridConv with a kernel of the size of the
torus. Then a random matrix is averaged over the group, the weights of a GridConv are read off one row of it, and the layer
is that matrix. Takes about 20 seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gaugenet import FieldType, groups
from gaugenet.kernels import Lattice, Taps
from gaugenet.nn import GridConv

#: name -> group, lattice, pixels a side
TORI = {
    "p3": (groups.Cyclic(3), "hexagonal", 5), "p4": (groups.Cyclic(4), "square", 5), "p4m": (groups.Dihedral(4), "square", 5),
    "p6": (groups.Cyclic(6), "hexagonal", 5), "p6m": (groups.Dihedral(6), "hexagonal", 5),
    "V": (groups.Klein(), "square", 3), "T": (groups.Tetrahedral(), "square", 3),
    "O": (groups.Octahedral(), "square", 3), "O_h": (groups.FullOctahedral(), "square", 3),
}  # fmt: skip
MAPS = {"T -> T": ("1x0", "1x0"), "T -> G": ("1x0", "1xregular"), "G -> G": ("1xregular", "1xregular")}


def permutations(field: FieldType, lattice: Lattice, n: int) -> list[np.ndarray]:
    """Where each generator, translations and then H about pixel 0, takes the numbers of a field: (dim n^d,) each."""
    pixels = np.stack(np.meshgrid(*[np.arange(n)] * lattice.dim, indexing="ij"), -1).reshape(-1, lattice.dim)

    def moved(components: np.ndarray, where: np.ndarray) -> np.ndarray:
        pixel = np.ravel_multi_index(tuple((where % n).T), (n,) * lattice.dim)
        return (components[:, None] * len(pixels) + pixel).ravel()

    found = [moved(np.arange(field.dim), pixels + step) for step in np.eye(lattice.dim, dtype=int)]
    for g in field.group.generators:
        matrix = lattice.matrix(g.numpy()).round().astype(int)
        found.append(moved(field(g).numpy().argmax(0), pixels @ matrix.T))
    return found


def orbits(rows: list[np.ndarray], columns: list[np.ndarray]) -> tuple[int, np.ndarray]:
    """Orbits of the group on the entries of matrices: their number, and which one each entry is in. Equivariant are those
    matrices that have one value on each."""
    shape = len(rows[0]), len(columns[0])
    start = np.tile(np.arange(shape[0] * shape[1]), len(rows))
    end = np.concatenate([(r[:, None] * shape[1] + c).ravel() for r, c in zip(rows, columns)])
    count, orbit = connected_components(coo_array((np.ones(len(start), bool), (start, end)), (len(start) // len(rows),) * 2))
    return count, orbit.reshape(shape)


def layer(in_type: FieldType, out_type: FieldType, lattice: Lattice, n: int) -> GridConv:
    taps = Taps(period=n * np.array(lattice.steps))
    return GridConv(in_type, out_type, n, None, padding_mode="circular", lattice=lattice, kernel=taps, bias=False).double()


def matrix(conv: GridConv, n: int) -> torch.Tensor:
    """What a layer does to all numbers of a field."""
    size = conv.in_type.dim * n**conv.spatial
    fields = torch.eye(size, dtype=torch.float64).view(size, conv.in_type.dim, *(n,) * conv.spatial)
    return conv(fields).flatten(1).t()


@torch.no_grad()
def read_off(conv: GridConv, wanted: torch.Tensor, n: int) -> None:
    """Give a layer the weights for which its first row is that of ``wanted``: every weight occurs in it, once in each orbit.

    With the k-th weight equal to k + 1 the row tells which weight stands where, and with ones what it is multiplied by.
    """
    conv.weight.fill_(1)
    factor = matrix(conv, n)[0]
    conv.weight.copy_(torch.arange(1, conv.weight.numel() + 1))
    number = (matrix(conv, n)[0] / factor).round().long() - 1
    conv.weight.scatter_(0, number, wanted[0] / factor)


def prove(name: str, seed: int = 0) -> list[tuple[str, int, int, float, torch.Tensor]]:
    """For the three kinds of maps: its name, the dimension, the number of weights, the error, the averaged matrix."""
    group, lattice, n = TORI[name]
    lattice, rows = Lattice.of(lattice, group.dim), []
    for kind, types in MAPS.items():
        in_type, out_type = (FieldType(group, text) for text in types)
        count, orbit = orbits(permutations(out_type, lattice, n), permutations(in_type, lattice, n))
        random = np.random.default_rng(seed).standard_normal(orbit.size)
        mean = np.bincount(orbit.ravel(), random) / np.bincount(orbit.ravel())  # over the group
        averaged, conv = torch.from_numpy(mean[orbit]), layer(in_type, out_type, lattice, n)
        read_off(conv, averaged, n)
        error = float((matrix(conv, n) - averaged).abs().max().detach())
        rows.append((kind, count, conv.weight.numel(), error, averaged))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("theorem.png"), help="the picture")
    parser.add_argument("--groups", nargs="+", choices=list(TORI), default=list(TORI))
    args = parser.parse_args()
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(args.groups), figsize=(2.2 * len(args.groups), 2.6), squeeze=False)
    print(f"{'group':6} {'map':8} {'equivariant maps':>17} {'weights':>8} {'error':>9}")
    for name, axis in zip(args.groups, axes[0]):
        for kind, count, weights, error, averaged in prove(name):
            print(f"{name:6} {kind:8} {count:17} {weights:8} {error:9.1e}")
            if kind == "T -> T":
                axis.imshow(averaged, cmap="RdBu")
                axis.set(title=f"{name}: {count} weights", xticks=[], yticks=[])
    figure.suptitle("Random matrices, averaged over the group, are convolutions")
    figure.savefig(args.out, dpi=110, bbox_inches="tight")
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
