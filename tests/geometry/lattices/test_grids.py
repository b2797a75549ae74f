"""Grids, cylinder, torus, Moebius strip, Klein bottle: against their universal cover, and what is refused."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.geometry import LocalGeometry

FLIP = np.diag([1.0, -1.0])
SURFACES = {
    "grid": (lambda *a, **k: geometry.grid(a[:2], *a[2:], **k), False, False, False),
    "cylinder": (geometry.cylinder, False, True, False),
    "torus": (geometry.flat_torus, True, True, False),
    "moebius": (geometry.moebius, False, True, True),
    "klein_bottle": (geometry.klein_bottle, True, True, True),
}


def by_universal_cover(shape, kernel_size, closes_y, closes_x, twisted):
    """{(source, target): (log, transport)} from copies of the whole image laid out on the plane."""
    height, width = shape
    reach, edges = kernel_size // 2, {}
    for n, m in product((-1, 0, 1) if closes_x else (0,), (-1, 0, 1) if closes_y else (0,)):
        over = twisted and n % 2 == 1
        for i, j in product(range(height), range(width)):
            row, column = (height - 1 - i if over else i) + m * height, j + n * width  # where this copy of (i, j) lies
            for a, b in product(range(height), range(width)):
                x, y = column - b, a - row
                if max(abs(x), abs(y)) <= reach and (x, y) != (0, 0):
                    assert (i * width + j, a * width + b) not in edges
                    edges[i * width + j, a * width + b] = ((x, y), FLIP if over else np.eye(2))
    return edges


@pytest.mark.parametrize(("shape", "kernel_size"), [((4, 5), 3), ((5, 6), 5), ((3, 3), 3), ((4, 7), 1)], ids=str)
@pytest.mark.parametrize("name", SURFACES)
def test_equals_the_universal_cover(name, shape, kernel_size):
    build, *closes = SURFACES[name]
    if closes[0] and shape[0] < kernel_size:
        pytest.skip("an axis with fewer pixels than the kernel cannot close: that it is refused is tested elsewhere")
    g = build(*shape, kernel_size).validate()
    expected = by_universal_cover(shape, kernel_size, *closes)
    assert g.num_edges == len(expected) and g.num_nodes == shape[0] * shape[1] and g.metadata["manifold"] == name
    for (q, p), log, transport in zip(g.edge_index.T.tolist(), g.log, g.transport):
        assert log.tolist() == list(expected[q, p][0]) and np.array_equal(transport, expected[q, p][1])


@pytest.mark.parametrize("rings", [1, 2])
def test_hexagonal_pixels(rings):
    """Neighbours are the pixels of the hexagonal lattice within the rings, at their distances; a torus has all of them."""
    g = geometry.hexagonal((7, 6), rings, spacing=0.5).validate()
    apart = np.linalg.norm(g.positions[:, None] - g.positions, axis=-1) / 0.5
    within = {1: 1.1, 2: 2.1}[rings]
    expected = {(q, p) for q, p in np.argwhere((apart < within) & (apart > 0.5)).tolist()}
    assert set(map(tuple, g.edge_index.T.tolist())) == expected
    q, p = g.edge_index
    assert np.allclose(g.log, g.positions[q] - g.positions[p]) and np.allclose(g.radius, 0.5 * (rings + 0.5))
    torus = geometry.hexagonal((7, 6), rings, True).validate()
    assert torus.num_edges == 42 * 3 * rings * (rings + 1)
    angles = np.sort(np.degrees(np.arctan2(*torus.log[torus.edge_index[1] == 0].T[::-1])) % 360)
    assert rings > 1 or np.allclose(angles, np.arange(6) * 60)
    assert np.isclose(g.area[0], 0.25 * 0.75**0.5)


@pytest.mark.parametrize(
    ("match", "call"),
    [("H, W", lambda: geometry.hexagonal((3, 3, 3))), ("rings", lambda: geometry.hexagonal((3, 3), 0)),
     ("closes", lambda: geometry.hexagonal((4, 9), 2, True))],
)  # fmt: skip
def test_no_hexagons(match, call):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize(("name", "holonomy"), [("cylinder", np.eye(2)), ("moebius", FLIP), ("klein_bottle", FLIP)])
def test_holonomy_once_round(name, holonomy):
    """A vector carried to the right until it is back in the middle row."""
    g = SURFACES[name][0](5, 6)
    step = {p: (q, t) for (q, p), x, t in zip(g.edge_index.T.tolist(), g.log, g.transport) if x.tolist() == [-1, 0]}
    p, carried = 2 * 6, np.eye(2)
    for _ in range(6):
        p, back = step[p]
        carried = carried @ back  # coordinates at the start of a vector of the pixel to the left
    assert p == 2 * 6 and np.array_equal(carried, holonomy)


def test_layout_and_units():
    g = geometry.grid((3, 4), 3, spacing=0.5)
    assert g.positions[0].tolist() == [-0.75, 0.5] and g.positions[-1].tolist() == [0.75, -0.5]
    source, target = g.edge_index
    assert np.allclose(g.positions[source] - g.positions[target], g.log)
    assert np.allclose(g.area, 0.25) and np.allclose(g.weight, 0.25 / (np.pi * g.radius[target] ** 2))
    assert np.allclose(g.radius, 2**0.5 * 1.5 * 0.5) and np.array_equal(g.frame[0], np.eye(2))
    volume = geometry.grid((2, 3, 4))
    source, target = volume.validate().edge_index
    assert np.allclose(volume.positions[source] - volume.positions[target], volume.log) and volume.dim == 3
    index = np.arange(24).reshape(2, 3, 4)
    above, up, right = (
        volume.positions[index[n]] - volume.positions[index[0, 1, 0]] for n in ((1, 1, 0), (0, 0, 0), (0, 1, 1))
    )
    assert above.tolist() == [0, 0, 1] and up.tolist() == [0, 1, 0] and right.tolist() == [1, 0, 0]
    assert np.allclose(volume.weight, 1 / (4 / 3 * np.pi * (3**0.5 * 1.5) ** 3))


def test_periodic_axes():
    assert geometry.grid((4, 5), periodic=(False, True)).num_edges == geometry.cylinder(4, 5).num_edges
    assert geometry.grid((4, 5), periodic=True).num_edges == 20 * 8
    assert geometry.grid((3, 4, 5), periodic=True).validate().num_edges == 60 * 26
    assert geometry.grid((3, 4, 5), periodic=(True, False, False)).num_edges < 60 * 26


def test_levels_and_records(tmp_path):
    g = geometry.moebius(4, 12, levels=2).validate()
    assert [level.num_nodes for level in g.levels()] == [48, 12, 3] and g.coarse.cluster[:5].tolist() == [0, 0, 1, 1, 2]
    assert g.coarse.geometry.metadata["spacing"] == 2 and np.abs(g.coarse.geometry.log).max() == 2
    assert g.coarse.geometry.area[0] == 4 == np.sum(g.area[g.coarse.cluster == 0])
    g.save(tmp_path / "strip.safetensors")
    again = LocalGeometry.load(tmp_path / "strip.safetensors").validate()
    assert np.array_equal(again.transport, g.transport) and len(again.levels()) == 3
    h = np.eye(2) * np.where(np.arange(48) % 3, 1, [[1], [-1]]).T[:, None, :]
    g.gauge_transform(h).validate()


def test_symmetries_keep_every_edge():
    """log and transport of the moved edge, in the frames of where it has come to."""
    g, (move, change) = geometry.moebius(4, 5), geometry.moebius_symmetries(4, 5)
    assert move.shape == (10, 20) and len(np.unique(move, axis=0)) == 10
    edges = {(q, p): (x, t) for (q, p), x, t in zip(g.edge_index.T.tolist(), g.log, g.transport)}
    for s in range(10):
        for (q, p), (x, t) in edges.items():
            log, transport = edges[move[s, q], move[s, p]]
            assert np.array_equal(log, change[s, p] @ x)
            assert np.array_equal(transport, change[s, p] @ t @ change[s, q].T)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("shape", lambda: geometry.grid((4,))),
        ("shape", lambda: geometry.grid(4)),
        ("shape", lambda: geometry.grid((4, 0))),
        ("shape", lambda: geometry.moebius(4.0, 5)),
        ("kernel_size", lambda: geometry.grid((4, 5), 4)),
        ("kernel_size", lambda: geometry.grid((4, 5), 0)),
        ("kernel_size", lambda: geometry.grid((4, 5), True)),
        ("twice", lambda: geometry.moebius(7, 4, 5)),
        ("twice", lambda: geometry.klein_bottle(4, 7, 5)),
        ("periodic", lambda: geometry.grid((4, 5), periodic=(True, False, True))),
        ("periodic", lambda: geometry.grid((4, 5), periodic=(1, 0))),
        ("spacing", lambda: geometry.grid((4, 5), spacing=0)),
        ("levels", lambda: geometry.grid((4, 5), levels=-1)),
        ("even", lambda: geometry.grid((4, 5), levels=1)),
    ],
)
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
