"""Views: what they show is what the geometry says."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry, viz
from gaugenet.viz.neighbourhood import neighbourhood
from gaugenet.viz.placing import default_radius, default_vertex
from gaugenet.viz.raster import render
from gaugenet.viz.scene import Camera
from gaugenet.viz.selection import principal_directions
from gaugenet.viz.views import cross_field_view, levels_view, representative_angle, transport_view
from tests.helpers.corpus import moebius, tetrahedron

FRONT = Camera(np.eye(3), np.zeros(3), 1.0)


def test_records_are_enough(ball, tmp_path):
    ball.save(tmp_path / "ball.safetensors")
    again = geometry.LocalGeometry.load(tmp_path / "ball.safetensors")
    views = viz.select_views(again, vertex=5, radius=0.8)
    assert [v.title for v in views] == [v.title for v in viz.select_views(ball, vertex=5, radius=0.8)]
    np.testing.assert_allclose(views[1].layers[1].positions, viz.select_views(ball, vertex=5)[1].layers[1].positions, atol=1e-6)


def test_transport_arrows_are_carried_vectors(ball):
    around = neighbourhood(ball, 5)
    view = transport_view(ball, 5, count=1000)
    body = view.layers[2]  # the surface, the arrows' rims, the arrows, ...
    points = body.positions.reshape(-1, 7, 3)
    tip, base = points[:, 5], 0.5 * (points[:, 0] + points[:, 1])
    direction = (tip - base) / np.linalg.norm(tip - base, axis=1, keepdims=True)
    expected = np.einsum("kij,kj->ki", ball.frame[around.nodes], around.transport @ [1.0, 0.0])
    nearest = np.linalg.norm(base[:, None] - ball.positions[around.nodes], axis=2).argmin(axis=1)
    assert len(np.unique(nearest)) == len(nearest) > 4
    np.testing.assert_allclose(direction, expected[nearest], atol=1e-9)


def test_field_forms_say_the_same(ring):
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, ring.num_nodes)
    power = 2.5 * np.exp(4j * angle)
    space = np.einsum("nij,nj->ni", ring.frame, np.stack([np.cos(angle), np.sin(angle)], -1))
    for form in (angle, power, np.stack([power.real, power.imag], -1), space):
        found = representative_angle(ring, form, 4)
        np.testing.assert_allclose(np.exp(4j * found), np.exp(4j * angle), atol=1e-9)
    assert np.isnan(representative_angle(ring, np.zeros((ring.num_nodes, 2)), 4)).all()
    for wrong in (np.zeros(3), np.zeros((ring.num_nodes, 4))):
        with pytest.raises(ValueError, match="shape"):
            representative_angle(ring, wrong, 4)
    with pytest.raises(ValueError, match="symmetry"):
        representative_angle(ring, angle, 0)
    # A turn by 2 pi / n is the same field; n is the number of arms.
    shown = [cross_field_view(ring, a, 4, camera=FRONT).layers[1] for a in (angle, angle + np.pi / 2)]
    first, second = (np.sort(layer.positions.reshape(-1, 4, 3).mean(axis=1), axis=0) for layer in shown)
    np.testing.assert_allclose(first, second, atol=1e-9)
    assert len(cross_field_view(ring, angle, 6, camera=FRONT).layers[1].positions) == 1.5 * len(shown[0].positions)


def test_principal_directions_of_a_torus(ring):
    angle = principal_directions(ring)
    direction = np.einsum("nij,nj->ni", ring.frame, np.stack([np.cos(angle), np.sin(angle)], -1))
    x, y, _ = ring.positions.T
    along = np.stack([-y, x, 0 * x], -1) / np.hypot(x, y)[:, None]
    # The tube bends most across: never along the big circle.
    assert np.abs((direction * along).sum(-1)).max() < 0.05


def test_levels_color_the_clusters(ball):
    cluster = ball.coarse.cluster
    view = levels_view(ball, 1)
    colors = view.layers[0].colors
    for k in np.unique(cluster):
        assert len(np.unique(colors[cluster == k], axis=0)) == 1
    second = ball.coarse.geometry.coarse.cluster[cluster]
    deeper = levels_view(ball, 2).layers[0].colors
    assert all(len(np.unique(deeper[second == k], axis=0)) == 1 for k in np.unique(second))
    edges = np.concatenate([ball.faces[:, [0, 1]], ball.faces[:, [1, 2]], ball.faces[:, [2, 0]]])
    edges = edges[cluster[edges[:, 0]] != cluster[edges[:, 1]]]
    assert (colors[edges[:, 0]] != colors[edges[:, 1]]).any(axis=1).mean() > 0.99
    assert f"{ball.coarse.geometry.num_nodes} of {ball.num_nodes}" in view.title
    with pytest.raises(ValueError, match="level"):
        levels_view(ball, 3)


def test_strips_without_orientation_and_tiny_meshes_are_drawn():
    strip = geometry.mesh(*moebius(24, 4), rings=1, structure="O2", levels=1)
    views = viz.select_views(strip, vertex=default_vertex(strip, Camera.of(strip)), radius=0.3)
    assert len(views) == 5 and all((render(v, 60)[..., 3] > 0).any() for v in views)
    for make in (tetrahedron, lambda: (np.eye(3), np.array([[0, 1, 2]]))):
        small = geometry.mesh(*make(), rings=1, levels=1)
        for view in viz.select_views(small, viz.VIEWS, vertex=1, radius=default_radius(small, 1)):
            assert (render(view, 60)[..., 3] > 0).any()
