"""What views are put together from: cameras, colours, evenly spaced vertices, sheets and bodies."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.viz.colors import ColorScale, adjacent_colors, table
from gaugenet.viz.glyphs import ribbons
from gaugenet.viz.placing import evenly_spaced
from gaugenet.viz.scene import Camera, is_closed, is_oriented
from tests.helpers.corpus import moebius, octahedron, plate, sphere, torus


def test_camera_sees_everything_upright():
    v, f = torus(32, 20)
    g = geometry.mesh(v * [1.0, 3.0, 1.0], f, rings=1)
    camera = Camera.of(g)
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1.0)
    seen = camera.project(g.positions)
    assert 0.9 < np.abs(seen[:, :2]).max() <= 1.0
    assert camera.rotation[1, 1] > 0 and abs(camera.rotation[0, 1]) < 1e-12
    turned = Camera.of(g, direction=[0.0, 0.0, 1.0], up=[1.0, 0.0, 0.0])
    np.testing.assert_allclose(turned.rotation, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    # Straight along the vertical there is no upright, but a picture.
    assert np.isfinite(Camera.of(g, direction=[0.0, 1.0, 0.0]).rotation).all()
    close = camera.towards(g.positions[:4], np.array([0.0, 0.0, 1.0]))
    assert close.extent < camera.extent


def test_evenly_spaced(ball):
    few, spacing = evenly_spaced(ball, 40)
    many, _ = evenly_spaced(ball, 160)
    assert 25 < len(few) < 60 and 100 < len(many) < 220
    distance = np.linalg.norm(ball.positions[few][:, None] - ball.positions[few], axis=2)
    assert distance[~np.eye(len(few), dtype=bool)].min() > spacing


def test_color_scales():
    scale = ColorScale("x", "diverging", -2.0, 2.0)
    np.testing.assert_array_equal(scale(np.array([-5.0, -2.0, 5.0])), table("diverging")[[0, 0, -1]])
    assert scale(np.array(0.0)).min() > 0.95
    # Perceptually ordered: viridis only gets lighter.
    light = ColorScale("x", "viridis", 0.0, 1.0)(np.linspace(0, 1, 30)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()
    _, f = octahedron()
    colors = adjacent_colors(np.arange(6), f)
    assert all(len(np.unique(colors[face], axis=0)) == 3 for face in f)


def test_closed_and_oriented():
    assert is_closed(sphere(1)[1]) and is_oriented(sphere(1)[1])
    assert not is_closed(plate()[1]) and is_oriented(plate()[1])
    assert not is_closed(moebius()[1]) and not is_oriented(moebius()[1])
    assert ribbons([np.zeros((1, 3))], [np.zeros((1, 3))], np.zeros(3), 1.0, 0.0) is None
