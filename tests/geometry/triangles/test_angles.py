from __future__ import annotations

import numpy as np
import pytest

from gaugenet.errors import GeometryError
from gaugenet.geometry.triangles import angles as module
from gaugenet.geometry.triangles.topology import Topology
from tests.helpers.meshes import bumpy, cube, plate, random_rotation, torus


def build(vertices, faces):
    topology = Topology.of(faces, len(vertices))
    lengths = module.edge_lengths(vertices, topology.faces)
    return topology, lengths, module.ring_angles(topology, lengths)


@pytest.mark.parametrize("make", [plate, torus, cube, bumpy])
def test_gauss_bonnet(make):
    topology, _, angles = build(*make())
    flat = np.where(topology.is_boundary, np.pi, 2 * np.pi)
    assert abs((flat - angles.total).sum() - 2 * np.pi * topology.euler) < 1e-10


def test_angles_equal_the_cross_product():
    vertices, faces = bumpy()
    topology, lengths, angles = build(vertices, faces)
    p = vertices[topology.faces]
    e, f = np.roll(p, -1, 1) - p, np.roll(p, -2, 1) - p
    expected = np.arctan2(np.linalg.norm(np.cross(e, f), axis=2), (e * f).sum(2))
    assert np.abs(angles.corner.reshape(-1, 3) - expected).max() < 1e-13
    area = np.linalg.norm(np.cross(e[:, 0], f[:, 0]), axis=1) / 2
    assert np.abs(module.face_areas(lengths) - area).max() < 1e-15
    assert abs(module.vertex_areas(topology, lengths).sum() - area.sum()) < 1e-12


def test_angles_of_a_sliver():
    """A needle of height 1e-9: the law of cosines would return zero."""
    lengths = np.array([[1.0, 1e-9, 1.0]])
    corner = module.corner_angles(lengths)[0]
    assert abs(corner[0] / 1e-9 - 1) < 1e-6 and abs(corner.sum() - np.pi) < 1e-12


def test_ring_angles_are_scaled_inside_only():
    vertices, faces = plate()
    topology, _, angles = build(vertices, faces)
    assert np.allclose(angles.scale[topology.is_boundary], 1.0)
    assert np.allclose(angles.total[~topology.is_boundary], 2 * np.pi)
    corner = np.flatnonzero((vertices[:, :2] == 0).all(1))[0]
    assert abs(angles.total[corner] - np.pi / 2) < 1e-12
    _, _, box = build(*cube(2))
    assert np.isclose(np.sort(box.total)[:8], 1.5 * np.pi).all() and np.isclose(box.scale.max(), 4 / 3)


@pytest.mark.parametrize("make", [plate, torus, cube, bumpy])
def test_frames_are_right_handed(make):
    vertices, faces = make()
    topology, _, angles = build(vertices, faces)
    frame, offset = module.ambient_frames(vertices, topology, angles)
    normal = module.vertex_normals(vertices, topology, angles.corner)
    assert np.abs(np.swapaxes(frame, 1, 2) @ frame - np.eye(2)).max() < 1e-14
    assert np.abs(np.cross(frame[:, :, 0], frame[:, :, 1]) - normal).max() < 1e-13
    assert (offset == 0).all()


def test_given_frames_are_kept_and_measured():
    vertices, faces = bumpy()
    topology, _, angles = build(vertices, faces)
    frame, _ = module.ambient_frames(vertices, topology, angles)
    turn = np.random.default_rng(0).uniform(0, 2 * np.pi, len(vertices))
    c, s = np.cos(turn), np.sin(turn)
    given = frame @ np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    kept, offset = module.ambient_frames(vertices, topology, angles, given)
    assert np.array_equal(kept, given)
    assert np.abs(np.exp(1j * (offset + turn)) - 1).max() < 1e-12


def test_flat_frames_are_exact():
    """On a plate the intrinsic directions are the ambient ones."""
    vertices, faces = plate()
    topology, _, angles = build(vertices, faces)
    _, offset = module.ambient_frames(vertices, topology, angles, np.broadcast_to(np.eye(3)[:, :2], (len(vertices), 3, 2)))
    edge = vertices[topology.head] - vertices[topology.tail]
    expected = np.arctan2(edge[:, 1], edge[:, 0])
    ours = angles.departure(topology.tail) + offset[topology.tail]
    assert np.abs(np.exp(1j * (ours - expected)) - 1).max() < 1e-13


def test_frames_turn_with_the_mesh():
    vertices, faces = bumpy()
    rotation = random_rotation()
    topology, _, angles = build(vertices, faces)
    frame, _ = module.ambient_frames(vertices, topology, angles)
    moved, _ = module.ambient_frames(vertices @ rotation.T, topology, angles)
    assert np.abs(moved - rotation @ frame).max() < 1e-12


def test_bad_frames_are_refused():
    vertices, faces = plate(3)
    topology, _, angles = build(vertices, faces)
    frame, _ = module.ambient_frames(vertices, topology, angles)
    with pytest.raises(GeometryError, match=r"\(9, 3, 2\)"):
        module.ambient_frames(vertices, topology, angles, frame[:5])
    frame[4, :, 1] *= 1.1
    with pytest.raises(GeometryError, match="vertex 4"):
        module.ambient_frames(vertices, topology, angles, frame)


def test_normals_of_degenerate_vertices():
    """A face folded on itself has no mean normal; a vertex without faces has none at all. Both get a unit vector."""
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]])
    topology = Topology.of(np.array([[0, 1, 2], [0, 2, 1]]), 4)
    normal = module.vertex_normals(vertices, topology, np.full(6, np.pi / 3))
    assert np.allclose(np.linalg.norm(normal, axis=1), 1.0)
