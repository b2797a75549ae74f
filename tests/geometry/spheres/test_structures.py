"""Structures O(2) and {e} on the sphere, and pooling from points to fewer points."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.errors import GeometryError
from gaugenet.geometry import fibonacci_points, icosphere, latlon, sphere
from gaugenet.geometry.spheres.pooling import pool_to

MIRROR = np.diag([1.0, -1.0])


def rotation_about_z(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def carried(p, q, vector):
    """Tangent vector at q carried to p along the great circle, by Rodrigues' formula."""
    axis, cosine = np.cross(q, p), p @ q
    return vector * cosine + np.cross(axis, vector) + axis * (axis @ vector) / (1 + cosine)


def test_o2_has_the_same_transport_and_admits_frames_of_both_hands():
    points = fibonacci_points(80)
    plain, other = sphere(points, count=8), sphere(points, count=8, structure="O2")
    np.testing.assert_array_equal(plain.transport, other.transport)
    assert (plain.structure, other.structure) == ("SO2", "O2")
    h = np.where((np.arange(80) % 3 == 0)[:, None, None], MIRROR, np.eye(2))
    mixed = sphere(points, count=8, structure="O2", frames=plain.frame @ h)
    expected = plain.gauge_transform(h)
    for name in ("log", "transport", "frame"):
        np.testing.assert_allclose(getattr(mixed, name), getattr(expected, name), atol=1e-14)
    assert set(np.sign(np.linalg.det(mixed.transport))) == {-1, 1}
    with pytest.raises(GeometryError, match="right-handed"):
        sphere(points, count=8, frames=plain.frame @ h)


def test_e_copies_and_keeps_logs_in_the_frames():
    points = fibonacci_points(80)
    plain, copy = sphere(points, count=8), sphere(points, count=8, structure="e").validate()
    np.testing.assert_array_equal(copy.transport, np.tile(np.eye(2), (copy.num_edges, 1, 1)))
    np.testing.assert_array_equal(copy.log, plain.log)
    south = plain.frame @ MIRROR
    np.testing.assert_allclose(sphere(points, count=8, structure="e", frames=south).log, plain.log @ MIRROR, atol=1e-15)


def test_e_is_the_same_at_every_longitude():
    geometry = latlon(8, 15, count=8, structure="e")
    turned = sphere(geometry.positions @ rotation_about_z(0.3).T, count=8, area=geometry.area, structure="e")
    np.testing.assert_allclose(turned.log, geometry.log, atol=1e-13)


def test_frames_of_the_poles():
    geometry = latlon(7, 12, grid="equiangular", structure="e")
    np.testing.assert_array_equal(geometry.frame[0], [[0, -1], [1, 0], [0, 0]])
    np.testing.assert_array_equal(geometry.frame[-1], [[0, 1], [1, 0], [0, 0]])
    # the limit along the meridian of longitude 0
    near = sphere(np.array([[1e-7, 0, 1], [1e-7, 0, -1]]), radius=0.1, area=np.ones(2)).frame
    np.testing.assert_allclose(near, geometry.frame[[0, -1]], atol=1e-6)


def test_pooling_goes_to_the_nearest_with_transport():
    points, few = fibonacci_points(120), fibonacci_points(30)
    coarse = sphere(few, sphere_radius=2.0)
    geometry = sphere(points, sphere_radius=2.0, coarse=coarse).validate()
    cluster = geometry.coarse.cluster
    assert geometry.coarse.geometry is coarse
    np.testing.assert_array_equal(cluster, (points @ few.T).argmax(1))
    for n in range(0, 120, 7):
        e_fine, e_coarse = geometry.frame[n], coarse.frame[cluster[n]]
        expected = e_coarse.T @ np.stack([carried(few[cluster[n]], points[n], v) for v in e_fine.T], 1)
        np.testing.assert_allclose(geometry.coarse.transport[n], expected, atol=1e-12)


def test_pooling_of_equal_points_turns_between_their_frames():
    angle = np.random.default_rng(0).uniform(0, 6, 42)
    h = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], -2)
    fine, few = icosphere(2), icosphere(1, frames=icosphere(1).frame @ h)
    geometry = pool_to(fine, few)
    np.testing.assert_allclose(geometry.coarse.transport[:42], np.swapaxes(h, 1, 2), atol=1e-14)


def test_ties_go_to_the_smallest_number():
    cube = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 3**0.5
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    area = np.ones(6)
    coarse = sphere(octahedron[::-1], radius=1.6, area=area)
    pooled = sphere(np.concatenate([cube, octahedron]), radius=1.0, coarse=coarse).coarse.cluster
    near = (cube @ octahedron[::-1].T > 0.5).argmax(1)
    np.testing.assert_array_equal(pooled, np.concatenate([near, 5 - np.arange(6)]))


def test_pooling_of_e_is_a_copy():
    transport = icosphere(2, levels=1, structure="e").coarse.transport
    np.testing.assert_array_equal(transport, np.tile(np.eye(2), (162, 1, 1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coarse": sphere(fibonacci_points(20), sphere_radius=2.0)}, "sphere_radius"),
        ({"coarse": sphere(fibonacci_points(20), structure="O2")}, "structure"),
        ({"coarse": sphere(fibonacci_points(500))}, "nearest to no fine point"),
    ],
)
def test_levels_that_do_not_fit(options, message):
    with pytest.raises(GeometryError, match=message):
        sphere(fibonacci_points(50), **options)


def test_bad_structures_and_adjacency():
    points = fibonacci_points(50)
    with pytest.raises(ValueError, match="SO2, O2, e"):
        sphere(points, structure="SO3")
    with pytest.raises(TypeError, match="LocalGeometry"):
        sphere(points, coarse=points[:9])
    with pytest.raises(TypeError, match="adjacency"):
        sphere(points, adjacency=np.array([[0, 1]]))
    with pytest.raises(GeometryError, match=r"outside 0\.\.49"):
        sphere(points, rings=1, adjacency=np.array([[0, 50]]))
    chain = np.stack([np.arange(49), np.arange(1, 50)], 1)
    geometry = sphere(points, rings=1, adjacency=chain)
    assert geometry.num_edges == 98 and (np.abs(np.diff(geometry.edge_index, axis=0)) == 1).all()
