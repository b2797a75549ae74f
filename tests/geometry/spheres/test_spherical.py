"""Point sets on the sphere against closed forms and third-party values."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.errors import GeometryError
from gaugenet.geometry import icosphere, sphere
from gaugenet.geometry.spheres.spherical import great_circle


def random_points(n, seed=0):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def random_rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def gauges(n, seed=1):
    a = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)
    return np.stack([np.stack([np.cos(a), -np.sin(a)], -1), np.stack([np.sin(a), np.cos(a)], -1)], -2)


def all_pairs(p, q):
    """A geometry in which every two of the points are neighbours, and the edge q[i] -> p[i] for each i."""
    geometry = sphere(np.concatenate([p, q]), radius=3.1415, area=np.ones(2 * len(p)))
    edge = {(s, t): e for e, (s, t) in enumerate(geometry.edge_index.T)}
    return geometry, np.array([edge[len(p) + i, i] for i in range(len(p))])


def test_log_and_transport_agree_with_geomstats(shared):
    data = np.load(shared / "oracles" / "sphere" / "sphere_transport_geomstats.npz")
    p, q = data["p"], data["q"]
    geometry, edges = all_pairs(p, q)
    n = np.arange(len(p))
    log = np.einsum("nij,nj->ni", geometry.frame[n], geometry.log[edges])
    np.testing.assert_allclose(log, data["log_pq"], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(geometry.log[edges], axis=1), data["dist_pq"], atol=1e-12)
    # transport from q to p is the inverse of the oracle's, from p to q
    at_q = np.einsum("nij,ni->nj", geometry.frame[n + len(p)], data["transported_pq"])
    at_p = np.einsum("nij,nj->ni", geometry.frame[n], np.einsum("nij,nj->ni", geometry.transport[edges], at_q))
    np.testing.assert_allclose(at_p, data["v"], atol=1e-12)


def test_holonomy_of_a_triangle_is_its_solid_angle(shared):
    data = np.load(shared / "oracles" / "sphere" / "sphere_transport_geomstats.npz")
    n = len(data["p"])
    points = np.concatenate([data["p"], data["q"], data["r"]])
    frame = sphere(points, radius=1.0, area=np.ones(3 * n)).frame
    i = np.arange(n)
    turn = np.broadcast_to(np.eye(2), (n, 2, 2))
    for a, b in ((0, 1), (1, 2), (2, 0)):  # carry from corner a to corner b
        turn = great_circle(points, frame, i + a * n, i + b * n)[1] @ turn
    angle = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
    difference = np.angle(np.exp(1j * (angle - data["solid_angle"])))
    np.testing.assert_allclose(difference, 0, atol=1e-12)


def test_transport_agrees_with_gem(shared):
    data = np.load(shared / "oracles" / "gem" / "sphere_transport.npz")
    geometry, edges = all_pairs(data["p_to"], data["p_from"])
    n = np.arange(len(edges))
    local = np.einsum("nij,ni->nj", geometry.frame[n + len(n)], data["v"])
    carried = np.einsum("nij,njk,nk->ni", geometry.frame[n], geometry.transport[edges], local)
    np.testing.assert_allclose(carried, data["v_out"], atol=1e-12)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("angle", [1e-1, 1e-4, 1e-8])
def test_accuracy_at_tiny_and_nearly_antipodal_distances(angle, far):
    b = np.linspace(0.1, 6.2, 7)
    axis = np.stack([0 * b, -np.sin(b), np.cos(b)], -1)  # of the rotation that takes p = (1, 0, 0) to q
    q = np.stack([np.full_like(b, np.cos(angle)), np.sin(angle) * np.cos(b), np.sin(angle) * np.sin(b)], -1)
    length = np.full_like(b, np.pi - angle if far else angle)
    q *= [-1 if far else 1, 1, 1]
    points = np.concatenate([[[1.0, 0, 0]], q])
    frame = sphere(points, radius=0.1, area=np.ones(8)).frame
    log, transport = great_circle(points, frame, np.arange(1, 8), np.zeros(7, int))
    np.testing.assert_allclose(log, length[:, None] * np.stack([np.cos(b), np.sin(b)], -1), rtol=1e-12)
    # Rodrigues with the known axis and angle, q -> p
    cross = np.stack([np.stack([np.cross(a, e) for e in np.eye(3)], -1) for a in axis])
    rotation = np.eye(3) - np.sin(length)[:, None, None] * cross + (1 - np.cos(length))[:, None, None] * cross @ cross
    expected = np.einsum("ia,nij,njb->nab", frame[0], rotation, frame[1:])
    np.testing.assert_allclose(transport, expected, atol=1e-12)


def test_icosphere_counts_orientation_and_nesting(shared):
    oracle = np.load(shared / "oracles" / "sphere" / "graphcast_icosphere.npz")
    coarser = None
    for level in range(4):
        geometry = icosphere(level)
        p, f = geometry.positions, geometry.faces
        assert [len(p), len(f)] == oracle["counts"][level].tolist()
        assert (np.einsum("fi,fi->f", np.cross(p[f[:, 1]] - p[f[:, 0]], p[f[:, 2]] - p[f[:, 0]]), p[f].sum(1)) > 0).all()
        v = oracle[f"v{level}"].astype(float)  # the same polyhedron up to a rotation: all distances agree
        distances = [np.sort(np.linalg.norm(x[:, None] - x[None], axis=-1).ravel()) for x in (p, v)]
        np.testing.assert_allclose(*distances, atol=1e-6)
        if coarser is not None:
            np.testing.assert_array_equal(p[: len(coarser)], coarser)
        coarser = p


def test_areas_curvature_weights_and_units():
    unit = icosphere(3, radius=0.3)
    big = icosphere(3, radius=0.6, sphere_radius=2.0)
    np.testing.assert_allclose(unit.area.sum(), 4 * np.pi, rtol=1e-13)
    np.testing.assert_allclose(big.area, 4 * unit.area, rtol=1e-13)
    np.testing.assert_allclose(big.curvature, 0.25)
    np.testing.assert_allclose(big.log, 2 * unit.log, atol=1e-13)
    np.testing.assert_allclose(big.weight, unit.weight, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(big.positions, axis=1), 2, rtol=1e-14)
    source, target = unit.edge_index
    np.testing.assert_allclose(unit.weight, unit.area[source] / (np.pi * unit.radius[target] ** 2), rtol=1e-14)
    octahedron = sphere(np.concatenate([np.eye(3), -np.eye(3)]), radius=1.6)
    np.testing.assert_allclose(octahedron.area, 4 * np.pi / 6, rtol=1e-13)


def test_sphere_radius_is_read_off_the_points_or_set():
    points = random_points(50)
    assert sphere(3 * points).curvature[0] == pytest.approx(1 / 9)
    assert sphere(points.astype(np.float32)).metadata["sphere_radius"] == 1.0
    scaled = sphere(points, radius=0.8, sphere_radius=2.0)
    np.testing.assert_allclose(np.linalg.norm(scaled.positions, axis=1), 2)
    np.testing.assert_array_equal(scaled.edge_index, sphere(points, radius=0.4).edge_index)


def test_radius_neighbourhoods_are_complete():
    points = random_points(200)
    radii = np.linspace(0.2, 1.0, 200)
    geometry = sphere(points, radius=radii)
    angle = np.arctan2(np.linalg.norm(np.cross(points[:, None], points[None]), axis=-1), points @ points.T)
    expected = np.argwhere((angle <= radii[:, None]) & ~np.eye(200, dtype=bool))  # rows (target, source), sorted
    np.testing.assert_array_equal(geometry.edge_index, expected[:, ::-1].T)
    np.testing.assert_array_equal(geometry.radius, radii)


def test_a_radius_of_exactly_one_edge_keeps_all_ties():
    edge = np.arctan(2.0)  # of the icosahedron
    for seed in range(3):
        points = icosphere(0).positions @ random_rotation(seed)
        assert sphere(points, radius=edge).num_edges == 60


def test_count_neighbourhoods():
    points = random_points(300)
    geometry = sphere(points, count=7)
    assert (np.bincount(geometry.edge_index[1], minlength=300) == 7).all()
    angle = np.sort(np.arccos(np.clip(points @ points.T, -1, 1)), axis=1)
    np.testing.assert_allclose(geometry.radius, (angle[:, 7] + angle[:, 8]) / 2, rtol=1e-6)
    # the five nearest of the icosahedron tie: three of them cannot be picked
    assert sphere(icosphere(0).positions, count=3).num_edges == 60
    with pytest.raises(ValueError, match="smaller count"):
        sphere(np.concatenate([np.eye(3), -np.eye(3)[:1]]), count=2)


def test_rings_follow_the_faces():
    geometry = icosphere(2, rings=2)
    one = icosphere(2, rings=1)
    valence = np.bincount(geometry.faces.ravel())
    np.testing.assert_array_equal(np.bincount(one.edge_index[1]), valence)
    step = np.zeros((162, 162), bool)
    step[one.edge_index[1], one.edge_index[0]] = True
    two = (step @ step | step) & ~np.eye(162, dtype=bool)
    np.testing.assert_array_equal(geometry.edge_index, np.argwhere(two)[:, ::-1].T)
    farthest = np.zeros(162)
    np.maximum.at(farthest, geometry.edge_index[1], np.linalg.norm(geometry.log, axis=1))
    np.testing.assert_allclose(geometry.radius, 1.25 * farthest, rtol=1e-14)
    with pytest.raises(GeometryError, match="antipodal"):
        icosphere(0, rings=3)


def test_given_faces_and_areas_are_used():
    points = random_points(40)
    faces = np.array([[0, 1, 2], [2, 3, 4]])
    chain = sphere(points[:5], rings=1, faces=faces, area=np.arange(1.0, 6))
    assert sorted(map(tuple, chain.edge_index.T)) == sorted(
        (i, j) for f in faces for i in map(int, f) for j in map(int, f) if i != j
    )
    np.testing.assert_array_equal(chain.area, np.arange(1.0, 6))
    np.testing.assert_array_equal(chain.faces, faces)
    assert sphere(points, area=np.ones(40)).faces is None
    delaunay = sphere(points, rings=1)
    assert len(delaunay.faces) == 2 * 40 - 4
    np.testing.assert_array_equal(sphere(points, rings=1, area=np.ones(40)).edge_index, delaunay.edge_index)
    with pytest.raises(GeometryError, match="ids 5, 6"):
        sphere(points, rings=1, faces=faces)


def test_default_neighbourhood_has_about_33_neighbours():
    degree = np.bincount(icosphere(4).edge_index[1])
    assert 30 <= degree.mean() <= 36
    assert icosphere(0).radius[0] == np.pi / 2  # never beyond the hemisphere


def test_frames_are_east_and_north_and_can_be_given():
    geometry = sphere(np.concatenate([np.eye(3), -np.eye(3), random_points(20)]), radius=1.0)
    p, frame = geometry.positions, geometry.frame
    np.testing.assert_allclose(np.cross(frame[:, :, 0], frame[:, :, 1]), p, atol=1e-15)
    np.testing.assert_allclose(frame[:, 2, 0], 0, atol=0)  # east is horizontal
    assert (frame[6:, 2, 1] > 0).all()  # north points up
    np.testing.assert_array_equal(frame[[2, 5], :, 0], [[0, 1, 0], [0, 1, 0]])
    h = gauges(26)
    given = sphere(p, radius=1.0, frames=frame @ h)
    expected = geometry.gauge_transform(h)
    for name in ("log", "transport", "frame"):
        np.testing.assert_allclose(getattr(given, name), getattr(expected, name), atol=1e-14)
    with pytest.raises(GeometryError, match="right-handed"):
        sphere(p, radius=1.0, frames=frame[:, :, ::-1])
    with pytest.raises(GeometryError, match="ids 3 "):
        sphere(p, radius=1.0, frames=np.where(np.arange(26)[:, None, None] == 3, 1.1, 1.0) * frame)
    ico = icosphere(1, frames=icosphere(1).frame @ gauges(42))
    np.testing.assert_allclose(ico.transport, icosphere(1).gauge_transform(gauges(42)).transport, atol=1e-14)


def test_rotating_points_and_frames_changes_no_local_quantity():
    points, turn = random_points(100), random_rotation(5)
    geometry = sphere(points, count=12)
    turned = sphere(points @ turn.T, count=12, frames=np.einsum("ij,njd->nid", turn, geometry.frame))
    np.testing.assert_array_equal(turned.edge_index, geometry.edge_index)
    for name in ("log", "transport", "weight", "radius"):
        np.testing.assert_allclose(getattr(turned, name), getattr(geometry, name), atol=1e-13)


def test_transport_there_and_back_is_the_identity_and_results_validate():
    geometry = sphere(random_points(60), radius=1.2).validate()
    edge = {(s, t): e for e, (s, t) in enumerate(geometry.edge_index.T)}
    back = np.array([edge[t, s] for s, t in geometry.edge_index.T])
    np.testing.assert_allclose(geometry.transport @ geometry.transport[back], np.tile(np.eye(2), (len(back), 1, 1)), atol=1e-14)


@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        (np.zeros((0, 3)), ValueError, r"\(N, 3\)"),
        (np.ones((4, 2)), ValueError, r"\(N, 3\)"),
        (np.where(np.arange(30).reshape(10, 3) == 4, np.nan, random_points(10)), GeometryError, "ids 1 "),
        (random_points(10) * np.where(np.arange(10) == 7, 1.01, 1)[:, None], GeometryError, "ids .*7"),
        (np.concatenate([random_points(10), random_points(10)[3:4]]), GeometryError, "repeated points: ids 3, 10"),
        (random_points(3), GeometryError, "area="),
        (np.stack([np.cos(np.arange(6.0)), np.sin(np.arange(6.0)), np.zeros(6)], -1), GeometryError, "area="),
    ],
)
def test_bad_points(points, error, message):
    with pytest.raises(error, match=message):
        sphere(points, radius=0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"radius": 0.5, "count": 3}, TypeError, "at most one"),
        ({"radius": -1.0}, ValueError, "radius"),
        ({"radius": 3.2}, ValueError, "antipodes"),
        ({"radius": np.ones(3)}, ValueError, "shape"),
        ({"count": 0}, ValueError, "count"),
        ({"count": 19}, ValueError, "at least 21 points"),
        ({"rings": 1.5}, ValueError, "rings"),
        ({"sphere_radius": -1.0}, ValueError, "sphere_radius"),
        ({"frames": np.zeros((20, 3, 3))}, ValueError, "frames"),
        ({"area": np.ones(3)}, ValueError, "area"),
        ({"area": -np.ones(20)}, GeometryError, "positive"),
        ({"faces": np.zeros((2, 3))}, ValueError, "integers"),
        ({"faces": np.array([[0, 1, 20]])}, GeometryError, "outside 0..19"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        sphere(random_points(20), **arguments)


@pytest.mark.parametrize("level", [-1, 1.0, True, 10])
def test_bad_level(level):
    with pytest.raises(ValueError, match="level"):
        icosphere(level)
