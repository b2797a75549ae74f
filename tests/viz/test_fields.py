"""Fields on a surface: colours are their size, arrows and crosses lie where they point."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
import torch

from gaugenet import geometry, viz
from gaugenet.errors import GeometryError
from gaugenet.viz.colors import BLUE, RED, SURFACE, label_colors
from gaugenet.viz.fields import field_view, labels_view
from gaugenet.viz.raster import render


def stored(page) -> list[dict]:
    """The views of a page."""
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])["views"]


def test_scalars(ball):
    z = ball.positions[:, 2]
    view = field_view(ball, z, label="height (m)")
    (layer,) = view.layers
    assert view.scale.label == "height (m)" and view.scale.name == "diverging" and view.scale.low == -view.scale.high
    np.testing.assert_allclose(layer.colors, view.scale(z))
    assert field_view(ball, np.abs(z)).scale.name == "viridis"
    unknown = field_view(ball, np.where(z > 0, z, np.nan))
    assert np.isfinite(unknown.scale.high) and (unknown.layers[0].colors[z <= 0] == SURFACE).all()
    assert field_view(ball, (z[:, None], "1x0")).layers[0].colors.tolist() == layer.colors.tolist()


@pytest.mark.parametrize("in_frames", [False, True])
def test_vectors(ball, in_frames):
    """The wind about the z axis: arrows along it, the longest at the equator; the normal part is size and no direction."""
    wind = np.cross([0.0, 0.0, 2.0], ball.positions)
    field = geometry.to_frames(wind, ball) if in_frames else wind
    view = field_view(ball, field, count=100)
    assert view.title == "Vector field" and view.scale.high == pytest.approx(2.0, rel=1e-6)
    points = view.layers[-1].positions.reshape(-1, 7, 3)
    base, tip = 0.5 * (points[:, 0] + points[:, 1]), points[:, 5]
    expected = np.cross([0.0, 0.0, 1.0], base)
    assert 40 < len(base) <= 130
    cosine = ((tip - base) * expected).sum(1) / np.linalg.norm(tip - base, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.99
    ratio = np.linalg.norm(tip - base, axis=1) / np.linalg.norm(expected, axis=1)
    assert np.ptp(ratio) < 0.02 * ratio.mean()  # lengths are those of the vectors
    normal = field_view(ball, ball.positions)
    assert len(normal.layers) == 1 or np.isfinite(normal.layers[-1].positions).all()
    assert normal.scale.low == pytest.approx(1.0)


def test_tensors(ball):
    """Stretched along the circles of latitude, pressed along the meridians."""
    x, y, z = ball.positions.T
    east = np.stack([-y, x, 0 * z], 1) / np.maximum(np.hypot(x, y), 1e-9)[:, None]
    north = np.cross(ball.positions, east)
    tensor = east[:, :, None] * east[:, None] - 0.5 * north[:, :, None] * north[:, None]
    view = field_view(ball, tensor, count=80)
    stretched = [layer for layer in view.layers[1:] if np.allclose(layer.colors[-1], RED)]
    pressed = [layer for layer in view.layers[1:] if np.allclose(layer.colors[-1], BLUE)]
    assert stretched and pressed and view.title == "Tensor field"
    for layer, size in ((stretched[0], 1.0), (pressed[0], 0.5)):
        assert np.isfinite(layer.positions).all() and len(layer.positions) > 100 * size / 2
    feature = geometry.to_frames(tensor, ball)
    again = field_view(ball, feature, count=80)
    np.testing.assert_allclose(again.layers[0].colors, view.layers[0].colors, atol=1e-6)


def test_pages_and_pictures(ball, ring, tmp_path):
    fields = {"height": ball.positions[:, 2], "wind": np.cross([0, 0, 1.0], ball.positions)}
    viz.save_html(ball, tmp_path / "a.html", (), fields=fields)
    views = stored(tmp_path / "a.html")
    assert [view["title"] for view in views] == ["height", "wind"] and views[1]["scale"]["label"] == "wind"
    viz.save_html(ball, tmp_path / "b.html", ("frames",), fields=fields)
    assert len(stored(tmp_path / "b.html")) == 3
    assert render(field_view(ring, ring.positions[:, 0]), 100)[..., 3].any()
    pytest.importorskip("matplotlib", reason="pictures come with the extra: pip install 'gaugenet[viz]'")
    axes = viz.plot_field(ball, fields["wind"], label="wind (m/s)", count=50)
    assert axes.get_title() == "Vector field"


def test_wrong_fields(ball):
    values = np.zeros((ball.num_nodes, 6))
    for field in (values, values[:, :2], (values, "3x1"), (values[:, :3], "1x0 + 1x1")):
        if isinstance(field, tuple) and field[1] == "1x0 + 1x1":
            assert field_view(ball, field).title == "Vector field"
            continue
        with pytest.raises(ValueError, match=r"field expected \(N,\), \(N, 3\)"):
            field_view(ball, field)
    with pytest.raises(GeometryError, match="a row for each of"):
        field_view(ball, np.zeros(3))


def test_labels_of_vertices_and_faces(ball):
    count = ball.num_nodes
    labels = np.arange(count) % 40 - 1
    (layer,) = labels_view(ball, torch.tensor(labels)).layers
    assert (layer.colors[labels == -1] == SURFACE).all() and layer.colors.min() >= 0 and layer.colors.max() <= 1
    every = np.unique(layer.colors, axis=0)
    assert len(every) == 40 and min(np.abs(a - b).max() for a, b in itertools.combinations(every, 2)) > 0.02
    # Of faces: all three corners in the colour of the face.
    of_faces = np.arange(len(ball.faces)) % 3
    view = labels_view(ball, of_faces, title="Parts")
    (layer,) = view.layers
    assert view.title == "Parts" and len(layer.positions) == 3 * len(ball.faces)
    assert np.array_equal(layer.positions[layer.triangles], ball.positions[ball.faces])
    assert np.array_equal(layer.colors[layer.triangles], np.repeat(label_colors(of_faces)[:, None], 3, 1))
    pytest.importorskip("matplotlib", reason="pictures come with the extra: pip install 'gaugenet[viz]'")
    assert viz.plot_labels(ball, labels, title="Mine").get_title() == "Mine"


def test_labels_that_are_none(ball):
    with pytest.raises(ValueError, match=r"whole numbers of one axis, got float64 of shape \(3,\)"):
        labels_view(ball, np.zeros(3))
    with pytest.raises(GeometryError, match=r"one for each of \d+ vertices or \d+ faces, got 3"):
        labels_view(ball, np.zeros(3, int))


@pytest.mark.parametrize(("source", "axis"), [("a.obj", 1), ("a.glb", 1), ("", 1), ("a.stl", 2), ("a.VTP", 2), ("lh.white", 2)])
def test_up_is_guessed_from_the_file(ball, source, axis):
    from gaugenet.viz.scene import Camera, guessed_up

    given = ball.replace(metadata={**ball.metadata, "source": source} if source else {})
    assert np.array_equal(guessed_up(given), np.eye(3)[axis])
    assert np.array_equal(Camera.of(given).rotation, Camera.of(ball, up=np.eye(3)[axis]).rotation)
