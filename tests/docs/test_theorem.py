"""examples/theorem.py: equivariant maps on tori are convolutions; the numbers of shared/oracles/seeds/theorem."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.kernels import Lattice, Rings, TapBasis, Taps
from gaugenet.nn import GaugeConv, GridConv

ROOT = Path(__file__).resolve().parents[2]
ORACLE = Path("oracles/seeds/theorem/theorem.npz")


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("theorem_example", ROOT / "examples" / "theorem.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def oracle(shared):
    if not (shared / ORACLE).exists():
        pytest.skip("shared/oracles/seeds/theorem is not there")
    return np.load(shared / ORACLE)


NAMES = ("p3", "p4", "p4m", "p6", "p6m", "V", "T", "O", "O_h")


@pytest.mark.parametrize("name", NAMES)
def test_equivariant_maps_are_our_convolutions(example, name):
    for kind, count, weights, error, averaged in example.prove(name, seed=1):
        assert count == weights, kind
        assert error < 1e-12 and averaged.abs().max() > 1e-2, kind


@pytest.mark.parametrize("name", NAMES)
def test_dimensions_of_the_oracle(example, oracle, name):
    key = name.replace("_", "")
    assert int(oracle[f"{key}_n"]) == example.TORI[name][2]
    assert [count for _, count, *_ in example.prove(name)] == oracle[f"{key}_dims"].tolist()


@pytest.mark.parametrize("name", ["p4", "p4m", "p6"])
def test_averaged_matrices_of_the_oracle(example, oracle, name):
    """Their random matrix, their average over the group, and our layer with weights read off it."""
    group, lattice, n = example.TORI[name]
    lattice = Lattice.of(lattice)
    matrices = lattice.matrix(group.elements.numpy()).round().astype(int)
    # our element with the matrix of each of theirs
    ours = [int(np.flatnonzero((matrices == h).all((1, 2)))[0]) for h in oracle[f"{name}_H"]]
    in_type, out_type = FieldType(group, "1x0"), FieldType(group, "1xregular")

    def reordered(theirs: np.ndarray) -> np.ndarray:
        """Theirs go through the pixels, and at each through the elements."""
        rows = np.empty((len(ours), n * n, theirs.shape[1]))
        rows[ours] = theirs.reshape(n * n, len(ours), -1).swapaxes(0, 1)
        return rows.reshape(theirs.shape)

    random, projected = (reordered(oracle[f"{name}_{what}"]) for what in ("random", "projected"))
    _, orbit = example.orbits(*(example.permutations(type, lattice, n) for type in (out_type, in_type)))
    mean = np.bincount(orbit.ravel(), random.ravel()) / np.bincount(orbit.ravel())
    assert np.abs(mean[orbit] - projected).max() < 1e-12
    conv = example.layer(in_type, out_type, lattice, n)
    example.read_off(conv, torch.from_numpy(projected), n)
    assert (example.matrix(conv, n) - torch.from_numpy(projected)).abs().max() < 1e-12


def test_it_is_short():
    """60 lines, not counting what it says about itself, imports and empty lines."""
    source = (ROOT / "examples" / "theorem.py").read_text().split('"""', 2)[2]
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 60


def test_orbits_count_what_the_null_space_has(example):
    """On a small torus: matrices that commute with the generators, by linear algebra."""
    group, lattice, n = example.TORI["p4m"][0], Lattice.of("square"), 3
    field = FieldType(group, "1x0")
    generators = example.permutations(field, lattice, n)
    count, _ = example.orbits(generators, generators)
    size = n * n
    rows = []
    for g in generators:
        p = np.eye(size)[:, g].T
        rows.append(np.kron(p, np.eye(size)) - np.kron(np.eye(size), p.T))
    assert size**2 - np.linalg.matrix_rank(np.concatenate(rows)) == count


def test_kernels_on_a_torus_are_complete_for_every_type(example):
    """Irreps, whose kernels are no permutations: as many weights as invariant vectors, and exact symmetry."""
    group, name, n = example.TORI["p6"]
    lattice = Lattice.of(name)
    types = FieldType(group, "1x1 + 1x2"), FieldType(group, "1x3 + 1x1")
    conv = example.layer(*types, lattice, n)
    torch.nn.init.normal_(conv.weight)
    x = torch.randn(1, types[0].dim, n, n, dtype=torch.float64)
    pixels = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2)

    def turned(x: torch.Tensor, type: FieldType, g: torch.Tensor) -> torch.Tensor:
        source = pixels @ np.linalg.inv(lattice.matrix(g.numpy()).round()).round().astype(int).T % n
        return torch.einsum("ij,bjn->bin", type(g), x.flatten(2)[:, :, source @ [n, 1]]).view(x.shape)

    for g in group.generators:
        assert torch.allclose(conv(turned(x, types[0], g)), turned(conv(x), types[1], g), rtol=1e-12, atol=1e-12)
    # characters: the dimension of Hom is the mean over the group of the traces
    characters = [
        np.trace(types[0](g).numpy()) * np.trace(types[1](g).numpy())
        * (pixels == pixels @ lattice.matrix(g.numpy()).round().astype(int).T % n).all(1).sum() for g in group.elements
    ]  # fmt: skip
    assert conv.weight.numel() == round(np.mean(characters))


def test_taps_with_a_period():
    period = 5 * np.array(Lattice.of("square").steps)
    assert Taps(period=period) == Taps(period=period.copy()) != Taps() and hash(Taps(period=period)) == hash(
        Taps(period=period)
    )
    with pytest.raises(ValueError, match="takes no rings"):
        Taps(rings=Rings.of(5), period=period)
    type = FieldType(groups.Cyclic(4), "1x0")
    with pytest.raises(ValueError, match="is for arrays"):
        GaugeConv(type, type, kernel=Taps(period=period))
    with pytest.raises(ValueError, match="one of them twice"):
        TapBasis(*[type.blocks[0][1]] * 2, np.array([[0.0, 0.0], [5.0, 0.0]]), period)
    plain, closed = (GridConv(type, type, 5, 2, padding_mode="circular", kernel=k) for k in (Taps(), Taps(period=period)))
    assert plain.weight.numel() == closed.weight.numel() == 7
