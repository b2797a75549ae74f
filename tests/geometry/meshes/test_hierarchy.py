"""Pooling hierarchies of meshes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.errors import GeometryError
from gaugenet.geometry import Feature, build_hierarchy
from gaugenet.geometry.local_geometry import irrep_matrices
from gaugenet.geometry.meshes import hierarchy
from gaugenet.geometry.triangles.angles import ambient_frames, edge_lengths, ring_angles
from gaugenet.geometry.triangles.topology import Topology
from tests.helpers.corpus import joined, sphere, tetrahedron, torus
from tests.helpers.meshes import open_cylinder


def flat_plate(rows=20, columns=25, seed=0):
    """A triangulated rectangle with jittered vertices inside."""
    y, x = np.meshgrid(np.arange(rows, dtype=float), np.arange(columns, dtype=float), indexing="ij")
    inside = (x > 0) & (x < columns - 1) & (y > 0) & (y < rows - 1)
    shift = np.random.default_rng(seed).uniform(-0.3, 0.3, (2, rows, columns)) * inside
    vertices = np.stack([x + shift[0], y + shift[1], 0 * x], -1).reshape(-1, 3)
    i = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    return vertices, np.concatenate([np.stack([i, i + 1, i + columns + 1], 1), np.stack([i, i + columns + 1, i + columns], 1)])


def bumpy(level=3):
    """A closed surface without any symmetry."""
    vertices, faces = sphere(level)
    x, y, z = vertices.T
    radius = 1 + 0.2 * np.sin(3 * x + 1) + 0.1 * np.sin(2 * y + 0.5) + 0.07 * np.sin(2 * z + y)
    return vertices * radius[:, None] * [1, 1.3, 0.8], faces


def rotations(count, seed=0):
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)


def fine_index(level, finest):
    """Vertex of each coarse node."""
    match = (level.positions[:, None] == finest.positions[None]).all(-1)
    assert (match.sum(axis=1) == 1).all()
    return match.argmax(axis=1)


def test_structure_of_three_levels():
    vertices, faces = bumpy()
    geom = geometry.mesh(vertices, faces, rings=2, levels=3).validate()
    levels = geom.levels()
    assert [g.num_nodes for g in levels] == [len(vertices), 64, 16, 4]
    for depth, (fine, coarse) in enumerate(pairwise(levels), 1):
        pooling = fine.coarse
        nodes, own = fine_index(coarse, geom), fine_index(coarse, fine)
        assert (np.diff(nodes) > 0).all()
        np.testing.assert_array_equal(pooling.cluster[own], np.arange(coarse.num_nodes))
        np.testing.assert_array_equal(pooling.transport[own], np.broadcast_to(np.eye(2), (coarse.num_nodes, 2, 2)))
        np.testing.assert_allclose(coarse.area, np.bincount(pooling.cluster, fine.area))
        source, target = coarse.edge_index
        np.testing.assert_allclose(coarse.weight, coarse.area[source] / (np.pi * coarse.radius[target] ** 2))
        np.testing.assert_array_equal(coarse.frame, geom.frame[nodes])
        np.testing.assert_array_equal(coarse.curvature, geom.curvature[nodes])
        size = np.bincount(geom.edge_index[1]) + 1
        even = 2**depth * np.sqrt(geom.area @ size / (np.pi * len(vertices)))
        assert (coarse.radius >= even * (1 - 1e-12)).all() and (coarse.radius < 1.5 * even).all()
        assert (np.bincount(target, minlength=coarse.num_nodes) > 0).all()
    assert levels[-1].coarse is None


def test_number_of_neighbours_and_quadrature_carry_over():
    geom = geometry.mesh(*sphere(4), levels=2)  # 1,026 nodes, radius 3 edges
    for level in geom.levels()[:2]:
        target = level.edge_index[1]
        inside = np.bincount(target, level.weight, minlength=level.num_nodes) + level.area / (np.pi * level.radius**2)
        np.testing.assert_allclose(inside.mean(), 1, atol=0.1)
        assert 20 < np.bincount(target).mean() < 40
    np.testing.assert_allclose(geom.coarse.geometry.radius, 2 * geom.radius[0])


def test_flat_plate_is_exact():
    vertices, faces = flat_plate()
    frame = np.zeros((len(vertices), 3, 2))
    frame[:, :2] = rotations(len(vertices))
    fine = geometry.mesh(vertices, faces, radius=2.5, frames=frame, levels=3)
    while fine.coarse is not None:
        pooling, coarse = fine.coarse, fine.coarse.geometry
        source, target = coarse.edge_index
        ambient = np.einsum("eai,ei->ea", coarse.frame[target], coarse.log)
        np.testing.assert_allclose(ambient, coarse.positions[source] - coarse.positions[target], atol=1e-11)
        np.testing.assert_allclose(coarse.frame[target] @ coarse.transport, coarse.frame[source], atol=1e-11)
        np.testing.assert_allclose(coarse.frame[pooling.cluster] @ pooling.transport, fine.frame, atol=1e-11)
        distance = np.linalg.norm(fine.positions[:, None] - coarse.positions[None], axis=-1)
        np.testing.assert_allclose(distance[np.arange(fine.num_nodes), pooling.cluster], distance.min(axis=1), atol=1e-12)
        pairs = (distance[fine_index(coarse, fine)] <= coarse.radius[:, None]).sum() - coarse.num_nodes
        assert coarse.num_edges == pairs
        fine = coarse


def test_cylinder_is_exact_in_the_unrolled_chart():
    count, rows, radius = 40, 21, 0.5
    vertices, faces = open_cylinder(count, rows, radius)
    circumference = count * 2 * radius * np.sin(np.pi / count)  # of the prism
    i, j = np.divmod(np.arange(len(vertices)), rows)
    chart = np.stack([circumference * i / count, 2.0 * j / (rows - 1)], -1)
    geom = geometry.mesh(vertices, faces, radius=0.15, levels=2)

    def unrolled(level, nodes):
        source, target = level.edge_index
        difference = chart[nodes[source]] - chart[nodes[target]]
        difference[:, 0] -= circumference * np.rint(difference[:, 0] / circumference)
        return difference[:, 0] + 1j * difference[:, 1]

    def angle(matrices):
        return matrices[..., 0, 0] + 1j * matrices[..., 1, 0]

    # Direction of the frames in the chart, from the edges of the finest level.
    target = geom.edge_index[1]
    turn = unrolled(geom, np.arange(len(vertices))) / (geom.log[:, 0] + 1j * geom.log[:, 1])
    frame = np.empty(len(vertices), complex)
    frame[target] = turn
    np.testing.assert_allclose(turn, frame[target], atol=1e-11)
    fine, fine_nodes = geom, np.arange(len(vertices))
    for level in geom.levels()[1:]:
        nodes = fine_index(level, geom)
        source, target = level.edge_index
        straight = np.abs(unrolled(level, nodes).real) < 0.45 * circumference  # short of the cut locus
        assert straight.any()
        log = frame[nodes[target]] * (level.log[:, 0] + 1j * level.log[:, 1])
        np.testing.assert_allclose(log[straight], unrolled(level, nodes)[straight], atol=1e-11)
        np.testing.assert_allclose(frame[nodes[target]] * angle(level.transport), frame[nodes[source]], atol=1e-10)
        pooled = frame[nodes[fine.coarse.cluster]] * angle(fine.coarse.transport)
        np.testing.assert_allclose(pooled, frame[fine_nodes], atol=1e-10)
        fine, fine_nodes = level, nodes


def test_gauge_covariance_on_both_sides_of_every_step():
    vertices, faces = bumpy()
    base = geometry.mesh(vertices, faces, rings=1, levels=2, features="second_fundamental_form,position")
    h = rotations(len(vertices), seed=3)
    moved = geometry.mesh(
        vertices, faces, rings=1, levels=2, frames=base.frame @ h, features="second_fundamental_form,position"
    )
    change = h
    for fine, other in zip(base.levels(), moved.levels()):
        expected = fine.gauge_transform(change)
        np.testing.assert_allclose(other.log, expected.log, atol=1e-11)
        np.testing.assert_allclose(other.transport, expected.transport, atol=1e-11)
        for name in fine.features:
            np.testing.assert_allclose(other.features[name].values, expected.features[name].values, atol=1e-11)
        if fine.coarse is None:
            break
        np.testing.assert_array_equal(other.coarse.cluster, fine.coarse.cluster)
        change = h[fine_index(fine.coarse.geometry, base)]
        inverse = np.swapaxes(change, 1, 2)[fine.coarse.cluster]
        np.testing.assert_allclose(other.coarse.transport, inverse @ expected.coarse.transport, atol=1e-11)


def setup(vertices, faces, **changes):
    """What build_hierarchy takes, frames being the ring frames unless changed."""
    geom = geometry.mesh(vertices, faces, rings=2)
    topology, lengths = Topology.of(geom.faces, len(vertices)), edge_lengths(vertices, geom.faces)
    return geom.replace(**changes), topology, lengths


def test_reflected_frames_through_ring_to_frame():
    geom, topology, lengths = setup(*bumpy())
    offset = ambient_frames(geom.positions, topology, ring_angles(topology, lengths), geom.frame)[1]
    np.testing.assert_allclose(offset, 0, atol=1e-12)  # the default of ring_to_frame goes with the default frames
    h = rotations(geom.num_nodes)
    h[::2, :, 1] *= -1
    base = build_hierarchy(geom, topology, lengths, 1)
    moved = build_hierarchy(geom.gauge_transform(h), topology, lengths, 1, ring_to_frame=np.swapaxes(h, 1, 2))
    nodes = fine_index(base.coarse.geometry, base)
    expected = base.coarse.geometry.gauge_transform(h[nodes])
    np.testing.assert_allclose(moved.coarse.geometry.log, expected.log, atol=1e-12)
    np.testing.assert_allclose(moved.coarse.geometry.transport, expected.transport, atol=1e-12)
    inverse = np.swapaxes(h, 1, 2)[nodes][base.coarse.cluster]
    np.testing.assert_allclose(moved.coarse.transport, inverse @ base.coarse.transport @ h, atol=1e-12)


def test_invariance_to_rigid_motion_scale_and_labels():
    vertices, faces = bumpy()
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    order = np.random.default_rng(1).permutation(len(vertices))
    new = np.empty_like(order)
    new[order] = np.arange(len(order))
    base = geometry.mesh(vertices, faces, rings=2, levels=2)
    moved = geometry.mesh(50 * vertices[order] @ rotation.T + 3, new[faces], rings=2, levels=2)
    a, b = base.coarse, moved.coarse
    for _ in range(2):
        back = (
            np.abs(b.geometry.positions @ rotation - 3 * rotation.sum(axis=0) - 50 * a.geometry.positions[:, None])
            .sum(-1)
            .argmin(1)
        )
        assert sorted(back) == list(range(a.geometry.num_nodes))
        np.testing.assert_allclose(b.geometry.area[back], 2500 * a.geometry.area)
        np.testing.assert_allclose(b.geometry.radius[back], 50 * a.geometry.radius)
        assert a.geometry.num_edges == b.geometry.num_edges
        np.testing.assert_allclose(
            np.sort(np.linalg.norm(b.geometry.log, axis=1)), 50 * np.sort(np.linalg.norm(a.geometry.log, axis=1))
        )
        if a.geometry.coarse:
            a, b = a.geometry.coarse, b.geometry.coarse


def test_pooling_keeps_constants_and_integrals():
    geom, topology, lengths = setup(*bumpy())
    rng = np.random.default_rng(0)
    fields = {
        "one": Feature(np.ones((geom.num_nodes, 1)), "1x0"),
        "mixed": Feature(rng.standard_normal((geom.num_nodes, 2 + 2 + 4)), "2x0 + 1x1 + 2x2"),
    }
    geom = build_hierarchy(geom.replace(features=fields), topology, lengths, 2)
    for fine in geom.levels()[:2]:
        pooling, coarse = fine.coarse, fine.coarse.geometry
        np.testing.assert_allclose(coarse.features["one"].values, 1, rtol=1e-14)
        np.testing.assert_allclose(
            coarse.area @ coarse.features["mixed"].values[:, :2], fine.area @ fine.features["mixed"].values[:, :2], atol=1e-12
        )
        # Orders 1 and 2 by hand, cluster by cluster.
        for node in range(0, coarse.num_nodes, 7):
            members = np.flatnonzero(pooling.cluster == node)
            share = fine.area[members] / fine.area[members].sum()
            values, carry = fine.features["mixed"].values[members], pooling.transport[members]
            vector = np.einsum("n,nij,nj->i", share, carry, values[:, 2:4])
            tensor = np.einsum("n,nij,njc->ic", share, irrep_matrices(carry, 2), values[:, 4:].reshape(-1, 2, 2))
            np.testing.assert_allclose(coarse.features["mixed"].values[node, 2:], np.r_[vector, tensor.ravel()], atol=1e-13)


def test_every_component_keeps_a_node():
    vertices, faces = joined(bumpy(), (tetrahedron()[0] + 9, tetrahedron()[1]), (torus()[0] - 9, torus()[1]))
    component = np.repeat([0, 1, 2], [len(bumpy()[0]), 4, len(torus()[0])])
    geom = geometry.mesh(vertices, faces, rings=2, levels=4, ratio=0.1)
    assert [g.num_nodes for g in geom.levels()] == [len(vertices), 36, 4, 3, 3]
    part = component
    for fine in geom.levels()[:-1]:
        coarse = component[fine_index(fine.coarse.geometry, geom)]
        assert set(coarse) == {0, 1, 2}
        np.testing.assert_array_equal(coarse[fine.coarse.cluster], part)
        part = coarse
    geom.validate()


def test_uneven_meshes_keep_the_number_of_neighbours():
    """Samples are evenly spaced however uneven the mesh: edges from 1 to 1/30."""
    vertices, faces = flat_plate(24, 24)
    vertices = np.where(vertices > 12, 12 + (vertices - 12) / 30, vertices)
    geom = geometry.mesh(vertices, faces, rings=1, levels=2)
    for level in geom.levels()[1:]:
        degree = np.bincount(level.edge_index[1], minlength=level.num_nodes)
        assert degree.min() >= 2 and degree.max() <= 20


def test_ratio_and_smooth_matter():
    geom, topology, lengths = setup(*bumpy())
    half = build_hierarchy(geom, topology, lengths, 2, ratio=0.5)
    assert [g.num_nodes for g in half.levels()] == [258, 129, 64]
    raw = build_hierarchy(geom, topology, lengths, 1, smooth=False).coarse
    smooth = build_hierarchy(geom, topology, lengths, 1).coarse
    assert np.abs(raw.geometry.transport - smooth.geometry.transport).max() > 1e-4
    assert build_hierarchy(half, topology, lengths, 0).coarse is None


def test_a_surface_without_positions():
    geom, topology, lengths = setup(*bumpy(), positions=None, frame=None, curvature=None)
    coarse = build_hierarchy(geom, topology, lengths, 1).coarse.geometry
    assert coarse.positions is None and coarse.frame is None and coarse.curvature is None
    assert coarse.num_nodes == 64 and coarse.num_edges > 500


def test_nodes_out_of_reach_follow_the_path(monkeypatch):
    """Where no geodesic reaches a node, the transporters along its shortest edge path are multiplied."""
    vertices, faces = flat_plate()
    exact = hierarchy.local_geodesics

    def short_sighted(topology, lengths, sources, radius, **options):
        return exact(topology, lengths, sources, np.minimum(radius, 2.5), **options)

    monkeypatch.setattr(hierarchy, "local_geodesics", short_sighted)
    geom, topology, lengths = setup(vertices, faces)
    geom = build_hierarchy(geom, topology, lengths, 1, ratio=0.01)
    pooling = geom.coarse
    reached = np.linalg.norm(geom.positions - pooling.geometry.positions[pooling.cluster], axis=1)
    assert pooling.geometry.num_nodes == 5 and (reached > 5).sum() > 100
    np.testing.assert_allclose(pooling.geometry.frame[pooling.cluster] @ pooling.transport, geom.frame, atol=1e-11)


def test_threads_are_passed_on(monkeypatch):
    exact, seen = hierarchy.local_geodesics, []

    def spy(*arguments, threads, **options):
        seen.append(threads)
        return exact(*arguments, threads=threads, **options)

    monkeypatch.setattr(hierarchy, "local_geodesics", spy)
    geometry.mesh(*bumpy(), rings=1, levels=2, threads=1)
    assert seen == [1, 1]


def test_wrong_arguments():
    geom, topology, lengths = setup(*bumpy(1))
    for levels in (-1, 1.5, True):
        with pytest.raises(ValueError, match="levels"):
            build_hierarchy(geom, topology, lengths, levels)
    for ratio in (0, 1, 2.0):
        with pytest.raises(ValueError, match="ratio"):
            build_hierarchy(geom, topology, lengths, 1, ratio)
    with pytest.raises(GeometryError, match="area"):
        build_hierarchy(geom.replace(area=None), topology, lengths, 1)
    with pytest.raises(GeometryError, match="topology"):
        build_hierarchy(geometry.mesh(*bumpy(2), rings=1), topology, lengths, 1)
