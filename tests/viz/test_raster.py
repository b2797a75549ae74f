"""The renderer: what is near hides what is far, areas, borders and edges are where they should be."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.viz.raster import locate, render
from gaugenet.viz.scene import Camera, Layer, View

FRONT = Camera(np.eye(3), np.zeros(3), 1.0)


def quad(depth: float, color, size: float = 0.5, **options) -> Layer:
    corners = np.array([[-size, -size, depth], [size, -size, depth], [size, size, depth], [-size, size, depth]])
    normals = np.broadcast_to([0.0, 0.0, 1.0], (4, 3))
    return Layer(
        corners, normals, np.broadcast_to(color, (4, 3)), np.array([[0, 1, 2], [0, 2, 3]]), **{"lit": False, **options}
    )


def test_what_is_nearer_hides_what_is_behind():
    far, near = quad(0.0, (1.0, 0.0, 0.0)), quad(0.3, (0.0, 0.0, 1.0), 0.2)
    image = render(View("", (near, far), FRONT), 80)
    np.testing.assert_array_equal(image, render(View("", (far, near), FRONT), 80))
    assert image[40, 40, 2] == 255 and image[40, 40, 0] == 0
    assert image[25, 40, 0] == 255 and image[5, 5, 3] == 0
    # A bias that makes up for the difference turns the order round.
    image = render(View("", (near, quad(0.0, (1.0, 0.0, 0.0), bias=0.4)), FRONT), 80)
    assert image[40, 40, 0] == 255


def test_a_triangle_covers_its_area():
    points = np.array([[-0.5, -0.5, 0.0], [0.7, -0.3, 0.0], [0.1, 0.6, 0.0]])
    layer = Layer(points, np.tile([0.0, 0.0, 1.0], (3, 1)), np.zeros((3, 3)), np.array([[0, 1, 2]]))
    area = 0.5 * np.linalg.norm(np.cross(points[1] - points[0], points[2] - points[0]))
    share = render(View("", (layer,), FRONT), 200)[..., 3].mean() / 255.0
    assert share == pytest.approx(area / 4.0, abs=2e-3)
    # Right is right and up is up.
    row, column = np.nonzero(render(View("", (layer,), FRONT), 200)[..., 3])
    assert column.mean() / 100 - 1 == pytest.approx(points[:, 0].mean(), abs=0.02)
    assert 1 - row.mean() / 100 == pytest.approx(points[:, 1].mean(), abs=0.02)


def test_glyphs_are_not_seen_from_behind_unless_on_a_sheet():
    back = Camera(np.diag([-1.0, 1.0, -1.0]), np.zeros(3), 1.0)
    for camera, two_sided, seen in ((FRONT, False, True), (back, False, False), (back, True, True)):
        image = render(View("", (quad(0.0, (1.0, 0.0, 0.0), two_sided=two_sided),), camera), 40)
        assert (image[..., 3] > 0).any() == seen
    assert (render(View("", (quad(0.0, (1.0, 0.0, 0.0), lit=True),), back), 40)[..., 3] > 0).any()


def test_cells_have_sharp_borders_at_the_middles_of_edges():
    points = np.array([[-0.8, -0.8, 0.0], [0.8, -0.8, 0.0], [-0.8, 0.8, 0.0]])
    colors = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    layer = Layer(points, np.tile([0.0, 0.0, 1.0], (3, 1)), colors, np.array([[0, 1, 2]]), lit=False)
    flat = render(View("", (Layer(**{**vars(layer), "cells": True}),), FRONT), 100)
    inside = flat[flat[..., 3] == 255][:, :3].astype(int)
    pure = (inside[:, 2] == 0), (inside[:, 0] == 0)  # the outline is darker
    assert (pure[0] | pure[1]).mean() > 0.95
    # The red corner's triangle has a quarter of the area.
    assert pure[0].mean() == pytest.approx(0.25, abs=0.02)
    smooth = render(View("", (layer,), FRONT), 100)
    assert len(np.unique(smooth.reshape(-1, 4), axis=0)) > 10 * len(np.unique(flat.reshape(-1, 4), axis=0))


def test_edges_are_drawn_where_asked():
    plain, wired = (render(View("", (quad(0.0, (0.8, 0.8, 0.8), wire=w),), FRONT), 100) for w in (0.0, 0.5))
    darker = (wired[..., :3].astype(int) < plain[..., :3]).any(-1)
    assert darker[50, 50] and not darker[40, 40] and 0 < darker.sum() < 0.3 * (plain[..., 3] > 0).sum()


def test_locate():
    rng = np.random.default_rng(0)
    corners = np.array([[[0.0, 0], [1, 0], [0, 1]], [[1, 0], [0, 1], [1, 1]]])  # the second the other way round
    points = rng.random((50, 2))
    face, weight = locate(points, corners)
    np.testing.assert_array_equal(face, (points.sum(1) > 1).astype(int))
    np.testing.assert_allclose(np.einsum("kc,kci->ki", weight, corners[face]), points, atol=1e-12)
    assert locate(np.array([[1.5, 0.5]]), corners)[0][0] == -1
