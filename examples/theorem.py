"""A linear map of fields on a torus is equivariant if and only if it is a convolution with a steerable kernel.

    python examples/theorem.py [theorem.png]

For maps between scalar fields (functions on the torus T) and regular ones (functions on the group G = T x H): the dimension of
the equivariant maps, counted without a network, beside the number of weights of GridConv with a kernel of the size of the
torus. And a random matrix, averaged over the group, is that layer, its weights read off one row. Takes about 20 seconds.
"""

import sys

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gaugenet import FieldType, groups, kernels, nn

HEXAGONAL, SQUARE, CUBIC = (kernels.Lattice.of(*args) for args in (("hexagonal",), ("square",), ("square", 3)))
TORI = {  # H, lattice, pixels a side
    "p3": (groups.Cyclic(3), HEXAGONAL, 5), "p6": (groups.Cyclic(6), HEXAGONAL, 5), "p6m": (groups.Dihedral(6), HEXAGONAL, 5),
    "p4": (groups.Cyclic(4), SQUARE, 5), "p4m": (groups.Dihedral(4), SQUARE, 5), "V": (groups.Klein(), CUBIC, 3),
    "T": (groups.Tetrahedral(), CUBIC, 3), "O": (groups.Octahedral(), CUBIC, 3), "O_h": (groups.FullOctahedral(), CUBIC, 3),
}  # fmt: skip
MAPS = {"T -> T": ("1x0", "1x0"), "T -> G": ("1x0", "1xregular"), "G -> G": ("1xregular", "1xregular")}


def permutations(field, lattice, n):
    """Where each generator, translations and then H about pixel 0, takes the numbers of a field: (dim n^d,) each."""
    shape, pixels = (n,) * lattice.dim, np.stack(np.indices((n,) * lattice.dim), -1).reshape(-1, lattice.dim)
    moves = [(np.arange(field.dim), pixels + step) for step in np.eye(lattice.dim, dtype=int)]
    for g in field.group.generators:
        moves.append((field(g).numpy().argmax(0), pixels @ lattice.matrix(g.numpy()).round().astype(int).T))
    return [(c[:, None] * len(pixels) + np.ravel_multi_index(tuple(where.T % n), shape)).ravel() for c, where in moves]


def orbits(rows, columns):
    """The number of orbits on the entries of matrices, and the orbit of each: equivariant matrices are constant on orbits."""
    entries = np.arange(rows[0].size * columns[0].size).reshape(rows[0].size, -1)
    moved = np.concatenate([entries[np.ix_(r, c)].ravel() for r, c in zip(rows, columns)])
    pairs = np.tile(entries.ravel(), len(rows)), moved
    count, orbit = connected_components(coo_array((np.ones(len(moved), bool), pairs), (entries.size,) * 2))
    return count, orbit.reshape(entries.shape)


def layer(in_type, out_type, lattice, n):
    taps = kernels.Taps(period=n * np.array(lattice.steps))
    return nn.GridConv(in_type, out_type, n, None, padding_mode="circular", lattice=lattice, kernel=taps, bias=False).double()


def matrix(conv, n):
    size, shape = conv.in_type.dim * n**conv.spatial, (conv.in_type.dim, *(n,) * conv.spatial)
    return conv(torch.eye(size, dtype=torch.float64).view(size, *shape)).flatten(1).t()


@torch.no_grad()
def read_off(conv, wanted, n):
    """Take the weights from the first row of a matrix, where each occurs; which and times what, numbered ones tell."""
    conv.weight.fill_(1)
    factor = matrix(conv, n)[0]
    conv.weight.copy_(torch.arange(1, conv.weight.numel() + 1))
    conv.weight.scatter_(0, (matrix(conv, n)[0] / factor).round().long() - 1, wanted[0] / factor)


def prove(name, seed=0):
    """For the three kinds of maps: its name, the dimension, the number of weights, the error, the averaged matrix."""
    group, lattice, n = TORI[name]
    for kind, types in MAPS.items():
        in_type, out_type = (FieldType(group, text) for text in types)
        count, orbit = orbits(permutations(out_type, lattice, n), permutations(in_type, lattice, n))
        random = np.random.default_rng(seed).standard_normal(orbit.size)
        averaged = torch.from_numpy((np.bincount(orbit.ravel(), random) / np.bincount(orbit.ravel()))[orbit])
        conv = layer(in_type, out_type, lattice, n)
        read_off(conv, averaged, n)
        yield kind, count, conv.weight.numel(), (matrix(conv, n) - averaged).abs().max().item(), averaged


if __name__ == "__main__":
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(TORI), figsize=(2.2 * len(TORI), 2.6), subplot_kw={"xticks": [], "yticks": []})
    print("group  map     equivariant maps  weights    error")
    for name, axis in zip(TORI, axes):
        for kind, count, weights, error, averaged in prove(name):
            print(f"{name:6} {kind:8} {count:15} {weights:8} {error:8.1e}")
            if kind == "T -> T":
                axis.imshow(averaged, cmap="RdBu")
                axis.set_title(f"{name}: {weights} weights")
    figure.suptitle("Random matrices, averaged over the group, are convolutions")
    figure.savefig((sys.argv[1:] or ["theorem.png"])[0], dpi=110, bbox_inches="tight")
