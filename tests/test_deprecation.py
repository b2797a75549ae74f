"""Old forms of calls work for one release, and say what to write."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.deprecation import formerly_positional

POINTS = geometry.fibonacci_points(50)
# maker, its size, and an old call: what came by position after the size, with its names
MAKERS = {
    "icosphere": ((1,), {"radius": None, "rings": 1}),
    "fibonacci_sphere": ((60,), {"radius": None, "count": 6}),
    "healpix": ((2,), {"radius": 0.7, "count": None}),
    "latlon": ((6, 12), {"radius": None, "count": 9}),
    "sphere": ((POINTS,), {"radius": 0.8, "count": None}),
    "icosahedron": ((1,), {"rings": 2}),
}


@pytest.mark.parametrize("name", MAKERS)
def test_sphere_makers_take_all_but_the_size_by_name(name):
    make, (size, options) = getattr(geometry, name), MAKERS[name]
    parameters = list(inspect.signature(make).parameters.values())
    assert [p.kind for p in parameters[: len(size)]] == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * len(size)
    assert {p.kind for p in parameters[len(size) :]} == {inspect.Parameter.KEYWORD_ONLY}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = make(*size, **options)
    with pytest.warns(DeprecationWarning, match=rf"{name}\(\): write {next(iter(options))}=") as caught:
        found = make(*size, *options.values())
    assert caught[0].filename == __file__
    assert np.array_equal(found.edge_index, expected.edge_index) and np.array_equal(found.log, expected.log)


def test_equal_arguments_have_equal_defaults():
    makers = ("mesh", "icosphere", "fibonacci_sphere", "healpix", "latlon", "sphere")
    found = [inspect.signature(getattr(geometry, name)).parameters for name in makers]
    for argument, default in {
        "radius": None,
        "rings": None,
        "count": None,
        "structure": "SO2",
        "levels": 0,
        "frames": None,
    }.items():
        assert {p[argument].default for p in found if argument in p} == {default}, argument
    lattices = [inspect.signature(getattr(geometry, name)).parameters for name in ("icosahedron", "hexagonal")]
    assert {p["rings"].default for p in lattices} == {1}
    grids = ("grid", "cylinder", "flat_torus", "moebius", "klein_bottle")
    found = [inspect.signature(getattr(geometry, name)).parameters for name in grids]
    for argument, default in {"kernel_size": 3, "spacing": 1.0, "levels": 0}.items():
        assert {p[argument].default for p in found} == {default}, argument


@pytest.mark.parametrize("rings", [1, 2])
def test_rings_are_hops(rings):
    """Neighbours within so many rings are those of as many products of the one-ring adjacency."""
    for make in (
        lambda r: geometry.icosphere(2, rings=r),
        lambda r: geometry.fibonacci_sphere(100, rings=r),
        lambda r: geometry.healpix(4, rings=r),
        lambda r: geometry.hexagonal((7, 8), rings=r),
    ):
        geom, near = make(rings), make(1)
        adjacency = np.eye(geom.num_nodes, dtype=int)
        adjacency[near.edge_index[1], near.edge_index[0]] = 1
        reached = np.linalg.matrix_power(adjacency, rings) > 0
        np.fill_diagonal(reached, False)
        found = np.zeros_like(reached)
        found[geom.edge_index[1], geom.edge_index[0]] = True
        assert np.array_equal(found, reached)


def test_the_decorator():
    @formerly_positional("b", "c")
    def f(a, *, b=1, c=2, d=3):
        """Doc."""
        return a, b, c, d

    assert f.__doc__ == "Doc." and f(0, b=5) == (0, 5, 2, 3)
    with pytest.warns(DeprecationWarning, match=r"f\(\): write b=7, c=8; by position"):
        assert f(0, 7, 8, d=9) == (0, 7, 8, 9)
    with pytest.raises(TypeError, match="b by position and by name"):
        f(0, 7, b=7)
    with pytest.raises(TypeError, match="positional argument"):
        f(0, 7, 8, 9)
