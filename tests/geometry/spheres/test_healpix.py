"""HEALPix pixels and the geometry on them, against healpy's values and the definitions."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from gaugenet.geometry import healpix, healpix_centers, healpix_neighbours, healpix_parents, nest_to_ring, ring_to_nest


@pytest.mark.parametrize("nside", [1, 2, 4])
def test_pixels_agree_with_healpy(shared, nside):
    data = np.load(shared / "oracles" / "sphere" / "healpix.npz")
    np.testing.assert_allclose(healpix_centers(nside), data[f"vec_nest_{nside}"], atol=1e-12)
    np.testing.assert_allclose(healpix_centers(nside, nest=False), data[f"vec_ring_{nside}"], atol=1e-12)
    np.testing.assert_array_equal(healpix_neighbours(nside), data[f"neigh_nest_{nside}"])
    ring = nest_to_ring(nside, np.arange(12 * nside**2))
    np.testing.assert_array_equal(ring, data[f"nest2ring_{nside}"])
    np.testing.assert_array_equal(ring_to_nest(nside, ring), np.arange(12 * nside**2))


@pytest.mark.parametrize("nside", [1, 3, 8, 10])
def test_ring_order_goes_south_then_east(nside):
    points = healpix_centers(nside, nest=False)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-15)
    z, longitude = points[:, 2], np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    same = np.abs(np.diff(z)) < 1e-12
    assert (np.diff(z)[~same] < 0).all()
    assert (np.diff(longitude)[same] > 0).all()
    assert (~same).sum() + 1 == 4 * nside - 1  # rings
    np.testing.assert_allclose(points.sum(0), 0, atol=1e-11)


@pytest.mark.parametrize("nside", [2, 5, 16])
def test_neighbours_are_mutual_and_near(nside):
    around = healpix_neighbours(nside, nest=False)
    points = healpix_centers(nside, nest=False)
    i, j = np.repeat(np.arange(len(points)), 8), around.ravel()
    i, j = i[j >= 0], j[j >= 0]
    pairs = set(zip(i.tolist(), j.tolist()))
    assert len(pairs) == len(i) == 8 * len(points) - 24
    assert all((b, a) in pairs for a, b in pairs)
    assert np.linalg.norm(points[i] - points[j], axis=1).max() < 2.2 / nside
    east = np.cross([0, 0, 1], points[i])
    direction = np.einsum("ni,ni->n", points[j], east)
    compass = np.tile(np.arange(8), (len(points), 1)).ravel()[around.ravel() >= 0]
    belt = np.abs(points[i, 2]) < 0.6
    assert (direction[belt & np.isin(compass, [4, 5, 6])] > 0).all()
    assert (direction[belt & np.isin(compass, [0, 1, 2])] < 0).all()


def test_orders_at_large_nside():
    nside = 1 << 20
    pixel = np.random.default_rng(0).integers(0, 12 * nside**2, 2000)
    pixel[:4] = [0, 3, 12 * nside**2 - 1, 12 * nside**2 - 4]
    np.testing.assert_array_equal(nest_to_ring(nside, ring_to_nest(nside, pixel)), pixel)


def test_children_lie_about_their_parent():
    np.testing.assert_array_equal(healpix_parents(4), np.arange(192) // 4)
    for nest in (True, False):
        parents = healpix_parents(8, nest=nest)
        assert (np.bincount(parents) == 4).all()
        mean = np.stack([np.bincount(parents, p) for p in healpix_centers(8, nest=nest).T], 1) / 4
        assert np.linalg.norm(mean - healpix_centers(4, nest=nest), axis=1).max() < 0.1
    assert (np.bincount(healpix_parents(6, nest=False)) == 4).all()


def test_geometry_orders_areas_rings_and_levels():
    geometry = healpix(4, levels=2, sphere_radius=2.0, radius=0.7).validate()
    assert [g.num_nodes for g in geometry.levels()] == [192, 48, 12]
    np.testing.assert_allclose([g.radius[0] for g in geometry.levels()], [0.7, 1.4, 2.8])
    np.testing.assert_allclose(geometry.area, 16 * np.pi / 192)
    np.testing.assert_allclose(geometry.positions, 2 * healpix_centers(4))
    np.testing.assert_array_equal(geometry.coarse.cluster, np.arange(192) // 4)
    ring = healpix(4, nest=False, levels=1, sphere_radius=2.0, radius=0.7)
    order = ring_to_nest(4, np.arange(192))
    np.testing.assert_allclose(ring.positions, geometry.positions[order])
    np.testing.assert_array_equal(ring.coarse.cluster, nest_to_ring(2, geometry.coarse.cluster[order]))
    one = healpix(4, rings=1)
    around = [sorted(row[row >= 0]) for row in healpix_neighbours(4)]
    assert [one.edge_index[0, one.edge_index[1] == p].tolist() for p in range(192)] == around
    assert healpix(4, count=6).metadata["count"] == 6
    assert np.bincount(healpix(4).edge_index[1]).mean() > 25


def test_bad_arguments():
    for arguments, message in [
        ({"nside": 3}, "power of two"),
        ({"nside": 0}, "nside"),
        ({"nside": 2.0}, "nside"),
        ({"nside": 4, "levels": 3}, "multiple of 8"),
        ({"nside": 4, "levels": -1}, "levels"),
        ({"nside": 4, "rings": 0}, "rings"),
        ({"nside": 4, "structure": "SO3"}, "SO2, O2, e"),
    ]:
        with pytest.raises(ValueError, match=message):
            healpix(**arguments)
    with pytest.raises(ValueError, match="0 to 47"):
        nest_to_ring(2, [48])
    with pytest.raises(ValueError, match="0 to 47"):
        ring_to_nest(2, [1.5])
    with pytest.raises(ValueError, match="even"):
        healpix_parents(1)


def test_memory_is_that_of_the_result_and_little_more():
    """At nside 256, 0.25 degrees, the arrays of the edges take 1.8 GB: their making may not take several times that."""
    tracemalloc.start()
    try:
        geom = healpix(64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * sum(getattr(geom, name).nbytes for name in ("edge_index", "log", "transport", "weight"))
