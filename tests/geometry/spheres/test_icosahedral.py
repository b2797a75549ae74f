from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.errors import GeometryError
from gaugenet.geometry.spheres.icospheres import icosphere_mesh

TURN = 2 * np.pi / 6


def rotation(angle) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


@pytest.fixture(scope="module", params=[(0, 1), (1, 1), (2, 1), (3, 1), (3, 2), (3, 3)], ids=str)
def geom(request):
    level, rings = request.param
    return geometry.icosahedron(level, rings=rings)


def test_points_and_faces(geom):
    level = geom.metadata["level"]
    points, faces = icosphere_mesh(level)
    assert geom.num_nodes == 10 * 4**level + 2 and np.array_equal(geom.faces, faces)
    flat = geom.positions / np.linalg.norm(geom.positions, axis=1, keepdims=True)
    assert np.linalg.norm(flat - points, axis=1).max() < 0.1
    sides = geom.positions[geom.faces] - geom.positions[np.roll(geom.faces, 1, axis=1)]
    assert np.ptp(np.linalg.norm(sides, axis=-1)) < 1e-13  # one length everywhere
    side = np.linalg.norm(sides[0, 0]) * 2**level
    assert geom.area.sum() == pytest.approx(20 * np.sqrt(3) / 4 * side**2, rel=1e-12)
    assert (2 * np.pi - geom.cone_angle).sum() == pytest.approx(4 * np.pi, rel=1e-12)  # Gauss-Bonnet
    geom.validate()


def test_structure_is_c6(geom):
    spacing = np.linalg.norm(geom.log, axis=1).min()
    angle = np.arctan2(geom.transport[:, 1, 0], geom.transport[:, 0, 0])
    assert np.abs(angle / TURN - np.rint(angle / TURN)).max() < 1e-12
    b = geom.log[:, 1] / (spacing * np.sqrt(0.75))
    a = geom.log[:, 0] / spacing - b / 2
    assert np.abs(np.stack([a, b]) - np.rint([a, b])).max() < 1e-12
    count = np.bincount(geom.edge_index[1])
    if geom.metadata["rings"] == 1:
        assert (count[:12] == 5).all() and (count[12:] == 6).all()
    frame = geom.frame
    assert np.abs(np.swapaxes(frame, 1, 2) @ frame - np.eye(2)).max() < 1e-13


def test_log_maps_within_a_face_are_chords():
    """Both ends in the plane of one face: the log map is the difference of the positions, and transport compares the frames."""
    geom = geometry.icosahedron(3, rings=2)
    normal = np.cross(geom.frame[..., 0], geom.frame[..., 1])
    source, target = geom.edge_index
    chord = geom.positions[source] - geom.positions[target]
    flat = (np.einsum("ei,ei->e", normal[source], normal[target]) > 1 - 1e-12) & (
        np.abs(np.einsum("ei,ei->e", chord, normal[target])) < 1e-12
    )
    assert flat.sum() > 1000
    expected = np.einsum("eid,ei->ed", geom.frame[target], chord)[flat]
    assert np.abs(expected - geom.log[flat]).max() < 1e-12
    change = np.swapaxes(geom.frame[target], 1, 2) @ geom.frame[source]
    assert np.abs(change - geom.transport)[flat].max() < 1e-12


def test_log_maps_are_exact_geodesics():
    """Against window propagation over the faces, where the geodesic is unique."""
    flat = geometry.icosahedron(2, rings=2)
    spacing = np.linalg.norm(flat.log, axis=1).min()
    mesh = geometry.mesh(flat.positions, flat.faces, radius=2.1 * spacing, smooth=False)
    n = flat.num_nodes
    place = np.searchsorted(mesh.edge_index[1] * n + mesh.edge_index[0], flat.edge_index[1] * n + flat.edge_index[0])
    assert np.array_equal(mesh.edge_index[:, place], flat.edge_index)
    assert np.abs(np.linalg.norm(mesh.log[place], axis=1) - np.linalg.norm(flat.log, axis=1)).max() < 1e-10


@pytest.mark.parametrize("level", [1, 2])
def test_holonomy(level):
    """Round the six neighbours of a point nothing happens; round the five of a corner a frame turns by 60 degrees."""
    geom = geometry.icosahedron(level)
    n = geom.num_nodes
    key = geom.edge_index[1] * n + geom.edge_index[0]
    following = {(p, q): r for t in geom.faces.tolist() for p, q, r in (t, t[1:] + t[:1], t[2:] + t[:2])}
    for centre in range(n):
        ring = geom.edge_index[0][geom.edge_index[1] == centre]
        if ring.min() < 12:
            continue  # a loop through a corner could pass it on either side
        first = q = int(ring[0])
        loop = np.eye(2)
        while True:
            r = following[centre, q]
            loop = geom.transport[np.searchsorted(key, r * n + q)] @ loop
            q = r
            if q == first:
                break
        assert np.abs(loop - rotation(TURN if centre < 12 else 0.0)).max() < 1e-12


def test_no_geodesic_passes_a_corner():
    geom = geometry.icosahedron(3, rings=2)
    source, target = geom.edge_index
    spacing = np.linalg.norm(geom.log, axis=1).min()
    reached = np.zeros((geom.num_nodes, geom.num_nodes), bool)
    reached[target, source] = True
    ring = np.linalg.norm(geom.log, axis=1) < 1.1 * spacing
    for corner in range(12):
        around = source[ring & (target == corner)]
        assert all(reached[p, q] for p in around for q in around if p != q)  # at most 120 degrees apart as seen from the corner
        for p in around:
            straight = (target == p) & (np.linalg.norm(geom.log, axis=1) > 1.9 * spacing)
            assert straight.sum() == 5  # of the six vectors of two steps, the one through the corner has no end


def test_levels():
    geom = geometry.icosahedron(3, levels=2).validate()
    fine, middle, last = geom.levels()
    assert [g.num_nodes for g in (fine, middle, last)] == [642, 162, 42]
    for a, b in ((fine, middle), (middle, last)):
        few = b.num_nodes
        assert np.array_equal(a.positions[:few], b.positions) and np.array_equal(a.coarse.cluster[:few], np.arange(few))
        assert np.array_equal(a.coarse.transport[:few], np.broadcast_to(np.eye(2), (few, 2, 2)))
        assert np.array_equal(a.frame[12:few], b.frame[12:])  # frames agree on all levels
        away = np.linalg.norm(a.positions - b.positions[a.coarse.cluster], axis=1)
        assert away.max() < 1.001 * np.linalg.norm(a.log, axis=1).min()
        # transport to the coarse node is that along the edge
        halfway = np.arange(few, a.num_nodes)
        place = np.searchsorted(a.edge_index[1] * a.num_nodes + a.edge_index[0], a.coarse.cluster[few:] * a.num_nodes + halfway)
        assert np.array_equal(a.transport[place], a.coarse.transport[few:])


def test_symmetries(geom):
    permutation, change = geometry.icosahedron_symmetries(geom)
    n = geom.num_nodes
    assert permutation.shape == (60, n) and change.shape == (60, n, 2, 2)
    assert len({tuple(p) for p in permutation}) == 60 and np.array_equal(permutation[0], np.arange(n))
    composed = {tuple(a[b]) for a in permutation for b in permutation}
    assert composed == {tuple(p) for p in permutation}
    source, target = geom.edge_index
    smooth = (target >= 12) & (source >= 12)
    for p, g in zip(permutation, change):
        there = np.searchsorted(target * n + source, p[target] * n + p[source])
        assert np.array_equal(geom.edge_index[:, there], p[geom.edge_index])
        moved = np.einsum("eij,ej->ei", g[target], geom.log)
        assert np.abs(moved - geom.log[there])[target >= 12].max(initial=0) < 1e-12
        carried = g[target] @ geom.transport @ np.swapaxes(g[source], 1, 2)
        assert np.abs(carried - geom.transport[there])[smooth].max(initial=0) < 1e-12


def test_symmetries_in_other_frames():
    geom = geometry.icosahedron(1)
    h = rotation(TURN * np.random.default_rng(0).integers(6, size=geom.num_nodes))
    plain, turned = (geometry.icosahedron_symmetries(g) for g in (geom, geom.gauge_transform(h)))
    assert np.array_equal(plain[0], turned[0])
    expected = np.swapaxes(h, 1, 2)[plain[0]] @ plain[1] @ h
    assert np.abs(expected - turned[1])[:, 12:].max() < 1e-12


def test_records_keep_the_cone_points(tmp_path):
    geom = geometry.icosahedron(2, levels=1)
    geom.save(tmp_path / "a.safetensors")
    back = geometry.LocalGeometry.load(tmp_path / "a.safetensors")
    assert np.allclose(back.cone_angle, geom.cone_angle, rtol=1e-6) and back.coarse.geometry.cone_angle.shape == (42,)
    assert geometry.icosahedron_symmetries(back)[0].shape == (60, 162)


@pytest.mark.parametrize("options", [{"level": -1}, {"level": 10}, {"level": 1.5}, {"level": True}, {"level": 1, "rings": 0}])
def test_bad_arguments(options):
    with pytest.raises(ValueError, match=r"expected (level|rings)"):
        geometry.icosahedron(**options)
    with pytest.raises(ValueError, match="levels"):
        geometry.icosahedron(1, levels=2)


def test_symmetries_of_something_else():
    with pytest.raises(GeometryError, match="icosahedron"):
        geometry.icosahedron_symmetries(geometry.icosphere(1))
    moved = geometry.icosahedron(1)
    moved = moved.replace(positions=moved.positions * np.linspace(1, 1.5, 42)[:, None])
    with pytest.raises(GeometryError, match="point"):
        geometry.icosahedron_symmetries(moved)
