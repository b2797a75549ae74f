"""Lattices of pixels: symmetries as integer matrices, taps, hexagons."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet import groups
from gaugenet.kernels import Lattice, hexagonal_taps, square_taps


@pytest.mark.parametrize(("name", "dim", "group", "count"), [
    ("square", 2, groups.O2(), 8), ("square", 2, groups.SO2(), 4), ("square", 2, groups.Cyclic(8), 4),
    ("square", 3, groups.FullOctahedral(), 48), ("square", 3, groups.O3(), 48),
    ("hexagonal", 2, groups.O2(), 12), ("hexagonal", 2, groups.Cyclic(4), 2), ("hexagonal", 2, groups.Dihedral(3), 6),
])  # fmt: skip
def test_symmetries(name, dim, group, count):
    lattice = Lattice.of(name, dim)
    g, m = lattice.symmetries(group)
    assert len(g) == count
    assert np.allclose(m.swapaxes(1, 2) @ lattice.metric @ m, lattice.metric)
    steps = np.array(lattice.steps)
    assert np.allclose(np.einsum("gij,aj->gai", g, steps), np.einsum("gba,bj->gaj", m, steps))


def test_taps():
    place, taps = Lattice.of("square").taps(4)
    assert place.tolist() == list(range(16)) and np.array_equal(taps, square_taps(4))
    assert np.array_equal(Lattice.of("square", 3).taps(3)[1], square_taps(3, dim=3))
    for rings in (1, 2, 3):
        place, taps = Lattice.of("hexagonal").taps(2 * rings + 1)
        ordered = lambda points: sorted(map(tuple, points.round(9) + 0.0))  # noqa: E731
        assert ordered(taps) == ordered(hexagonal_taps(rings)) and len(place) == len(taps)


def test_moves():
    square, hexagonal = Lattice.of("square"), Lattice.of("hexagonal")
    assert square.moved_axes(groups.Trivial()) == (False, False) and square.moved_axes(groups.Reflection()) == (True, False)
    assert not square.mixes_axes(groups.Cyclic(2)) and square.mixes_axes(groups.SO2())
    assert hexagonal.mixes_axes(groups.Reflection()) and not hexagonal.mixes_axes(groups.Cyclic(2))


@pytest.mark.parametrize(("match", "call"), [
    ("unknown lattice", lambda: Lattice.of("triangular")),
    ("unknown lattice", lambda: Lattice.of("hexagonal", 3)),
    ("independent", lambda: Lattice(((1.0, 0.0), (2.0, 0.0)))),
    ("axes", lambda: Lattice.of(np.eye(3), 2)),
    ("odd size", lambda: Lattice.of("hexagonal").taps(2)),
    ("size", lambda: Lattice.of("square").taps(0)),
    ("dimension", lambda: Lattice.of("square").symmetries(groups.SO3())),
])  # fmt: skip
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
