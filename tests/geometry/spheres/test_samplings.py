"""Fibonacci points, lat-lon grids and the icosphere as geometries."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.geometry import fibonacci_points, fibonacci_sphere, icosphere, latlon, latlon_nodes, latlon_rings
from gaugenet.geometry.spheres.icospheres import icosphere_mesh

# Highest degree in cos theta that n rings integrate.
EXACT = {"gauss-legendre": lambda n: 2 * n - 1, "lobatto": lambda n: 2 * n - 3}
GRIDS = ("gauss-legendre", "equiangular", "lobatto", "cell-centred")


@pytest.mark.parametrize("name", ["equiangular", "legendre-gauss", "lobatto"])
def test_rings_agree_with_torch_harmonics(shared, name):
    data = np.load(shared / "oracles" / "sphere" / "torch_harmonics.npz")
    theta, weight = latlon_rings(16, "gauss-legendre" if name == "legendre-gauss" else name)
    np.testing.assert_allclose(theta, data[f"lat_{name}"], atol=1e-12)
    np.testing.assert_allclose(weight, data[f"quad_{name}"], atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("nlat", [3, 8, 91])
def test_rings_integrate_polynomials(grid, nlat):
    theta, weight = latlon_rings(nlat, grid)
    assert (np.diff(theta) > 0).all() and (weight > 0).all()
    np.testing.assert_allclose(theta + theta[::-1], np.pi, rtol=1e-14)
    for degree in range(EXACT.get(grid, lambda n: n - 1)(nlat) + 1):
        exact = 2 / (degree + 1) if degree % 2 == 0 else 0
        np.testing.assert_allclose(weight @ np.cos(theta) ** degree, exact, atol=1e-13)


@pytest.mark.parametrize("grid", GRIDS)
def test_latlon_nodes_and_areas(grid):
    geometry = latlon(9, 16, grid=grid, sphere_radius=3.0).validate()
    theta, _ = latlon_rings(9, grid)
    np.testing.assert_allclose(geometry.area.sum(), 36 * np.pi)
    nodes = latlon_nodes(9, 16, grid)
    at = geometry.positions[nodes] / 3
    angle = 2 * np.pi * np.arange(16) / 16
    expected = np.stack(
        np.broadcast_arrays(
            np.sin(theta)[:, None] * np.cos(angle), np.sin(theta)[:, None] * np.sin(angle), np.cos(theta)[:, None]
        ),
        -1,
    )
    np.testing.assert_allclose(at, expected, atol=1e-15)
    poles = grid in ("equiangular", "lobatto")
    assert geometry.num_nodes == (7 * 16 + 2 if poles else 9 * 16)
    assert len(np.unique(nodes)) == geometry.num_nodes == nodes.max() + 1
    assert len(geometry.faces) == 2 * geometry.num_nodes - 4
    # zonal harmonics integrate to zero by the areas
    z = geometry.positions[:, 2] / 3
    for degree in (1, 2, 4, 6):
        values = np.polynomial.legendre.Legendre.basis(degree)(z)
        np.testing.assert_allclose(geometry.area @ values, 0, atol=1e-12)


def test_latlon_levels_halve_the_grid():
    geometry = latlon(12, 24, radius=0.4, levels=2, grid="equiangular").validate()
    assert [(g.metadata["nlat"], g.metadata["nlon"]) for g in geometry.levels()] == [(12, 24), (6, 12), (3, 6)]
    np.testing.assert_allclose([g.radius[0] for g in geometry.levels()], [0.4, 0.8, np.pi / 2])
    for g in latlon(8, 16, levels=2).levels()[:2]:  # blocks of 2 x 2 about their mean longitude
        blocks = np.arange(g.num_nodes).reshape(g.metadata["nlat"] // 2, 2, g.metadata["nlon"] // 2, 2)
        np.testing.assert_array_equal(g.coarse.cluster[blocks].min((1, 3)), g.coarse.cluster[blocks].max((1, 3)))
        mean = np.stack([np.bincount(g.coarse.cluster, p) for p in g.positions.T], 1)
        turn = np.cross(mean, g.coarse.geometry.positions)[:, 2]
        np.testing.assert_allclose(turn, 0, atol=1e-12)
    assert latlon(6, 12, count=9).metadata["count"] == 9


def test_fibonacci_points_are_even():
    points = fibonacci_points(1000)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-15)
    assert (np.diff(points[:, 2]) < 0).all()
    geometry = fibonacci_sphere(1000, levels=2, sphere_radius=2.0, radius=0.3).validate()
    np.testing.assert_allclose(geometry.positions, 2 * points)
    inner = geometry.area[50:-50] * 1000 / (16 * np.pi)
    assert np.abs(inner - 1).max() < 0.02
    assert [g.num_nodes for g in geometry.levels()] == [1000, 250, 62]
    np.testing.assert_allclose([g.radius[0] for g in geometry.levels()], [0.3, 0.6, 1.2])
    assert fibonacci_sphere(100, rings=1).metadata["rings"] == 1


def test_icosphere_faces_agree_with_graphcast(shared):
    oracle = np.load(shared / "oracles" / "sphere" / "graphcast_icosphere.npz")
    # the rotation that brings our first face to their first one
    corners, faces = icosphere_mesh(0)
    ours, theirs = corners[faces[0]], oracle["v0"][oracle["f0"][0]].astype(float)
    u, _, v = np.linalg.svd(theirs.T @ ours)
    turn = u @ v
    assert np.linalg.det(turn) > 0
    for level in range(4):
        (v, f), w = icosphere_mesh(level), oracle[f"v{level}"].astype(float)
        far = np.linalg.norm(w[:, None] - (v @ turn.T)[None], axis=-1)
        match = far.argmin(1)
        assert far.min(1).max() < 1e-6 and len(np.unique(match)) == len(v)
        same = {tuple(np.roll(face, -face.argmin())) for face in f}
        assert same == {tuple(np.roll(face, -face.argmin())) for face in match[oracle[f"f{level}"]]}


def test_icosphere_levels_are_nested():
    geometry = icosphere(4, levels=4).validate()
    assert [g.num_nodes for g in geometry.levels()] == [2562, 642, 162, 42, 12]
    for fine in geometry.levels()[:-1]:
        few, cluster = fine.coarse.geometry, fine.coarse.cluster
        m = few.num_nodes
        np.testing.assert_array_equal(few.positions, fine.positions[:m])
        np.testing.assert_array_equal(cluster[:m], np.arange(m))
        chord = np.linalg.norm(fine.positions[:, None] - few.positions[None], axis=-1)
        np.testing.assert_allclose(chord[np.arange(len(cluster)), cluster], chord.min(1), atol=1e-12)
        size = np.bincount(cluster)
        assert set(size[:12]) == ({1} if m > 12 else {3, 4}) and set(size[12:]) <= {3, 4, 5}


@pytest.mark.parametrize("level", [2, 3, 4])
def test_icosphere_clusters_are_centred_and_have_the_symmetry_of_the_icosahedron(level):
    geometry = icosphere(level, levels=1)
    points, cluster, few = geometry.positions, geometry.coarse.cluster, geometry.coarse.geometry.num_nodes
    corners, faces = icosphere_mesh(0)
    start = np.linalg.inv(corners[faces[0]])
    for face in faces[[0, 7, 19]]:
        for corner in range(3):
            turn = start @ corners[np.roll(face, corner)]  # points @ turn takes face 0 to this one
            image = np.linalg.norm(points[:, None] - (points @ turn)[None], axis=-1).argmin(0)
            np.testing.assert_array_equal(cluster[image], image[:few][cluster])
    mean = np.stack([np.bincount(cluster, p) for p in points.T], 1) / np.bincount(cluster)[:, None]
    offset = np.linalg.norm(np.cross(points[:few], mean), axis=1)
    edge = np.linalg.norm(points[geometry.faces[:, 0]] - points[geometry.faces[:, 1]], axis=1).min()
    assert offset.max() < 0.1 * edge


def test_icosphere_radius_and_frames_go_down_the_levels():
    h = np.linalg.qr(np.random.default_rng(0).normal(size=(162, 2, 2)))[0]
    h[np.linalg.det(h) < 0, :, 1] *= -1
    plain = icosphere(2, radius=0.5, levels=1)
    turned = icosphere(2, radius=np.full(162, 0.5), levels=1, frames=plain.frame @ h)
    assert plain.coarse.geometry.radius[0] == 1.0
    expected = plain.gauge_transform(h)
    np.testing.assert_allclose(turned.transport, expected.transport, atol=1e-13)
    np.testing.assert_allclose(turned.coarse.geometry.frame, turned.frame[:42])
    assert icosphere(2, rings=1, levels=1).coarse.geometry.metadata["rings"] == 1
    assert icosphere(3, count=6).metadata["count"] == 6


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: latlon(8, 2), ValueError, "nlon"),
        (lambda: latlon(2, 8, grid="lobatto"), ValueError, "nlat"),
        (lambda: latlon(8, 8, grid="gaussian"), ValueError, "gauss-legendre"),
        (lambda: latlon_nodes(1, 8), ValueError, "nlat"),
        (lambda: fibonacci_points(0), ValueError, "n must"),
        (lambda: fibonacci_sphere(3), ValueError, "at least 4"),
        (lambda: fibonacci_sphere(50, radius=np.full(50, 0.5), levels=1), ValueError, "coarse="),
        (lambda: fibonacci_sphere(50, structure="e", frames=fibonacci_sphere(50).frame, levels=1), ValueError, "coarse="),
        (lambda: icosphere(2, levels=3), ValueError, "levels"),
        (lambda: fibonacci_sphere(20, levels=2), ValueError, "fewer than 4 of 20"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
