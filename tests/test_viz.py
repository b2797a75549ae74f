"""Pictures: what they show is what the geometry says, and they are there to be seen."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

matplotlib.use("Agg")

from gaugenet import geometry, viz
from gaugenet.errors import GeometryError, MissingDependencyError
from gaugenet.viz.colors import ColorScale, adjacent_colors, table
from gaugenet.viz.glyphs import ribbons
from gaugenet.viz.html import page
from gaugenet.viz.neighbourhood import LogPatch, carried_along, edge_path, neighbourhood
from gaugenet.viz.placing import default_radius, default_vertex, evenly_spaced
from gaugenet.viz.raster import locate, render
from gaugenet.viz.scene import Camera, Layer, View, is_closed, is_oriented
from gaugenet.viz.selection import principal_directions
from gaugenet.viz.views import (
    cross_field_view,
    levels_view,
    log_map_view,
    representative_angle,
    transport_view,
)

from .corpus import moebius, octahedron, plate, sphere, tetrahedron, torus

FRONT = Camera(np.eye(3), np.zeros(3), 1.0)


@pytest.fixture(scope="module")
def ball():
    return geometry.mesh(*sphere(3), rings=2, levels=2)


@pytest.fixture(scope="module")
def ring():
    return geometry.mesh(*torus(32, 20), rings=1)


def colored(image: np.ndarray) -> float:
    """Share of the pixels with something, that is neither white nor grey."""
    rgb = image[..., :3].astype(int)
    return float(((rgb.max(-1) - rgb.min(-1) > 40) & (image[..., 3] > 0)).mean())


def pixels(figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


# The renderer.


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


# What is drawn.


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


def test_log_lines_are_geodesic_circles_and_rays(ball):
    """On the unit sphere a circle of radius r lies at height cos r over the pole, and a ray in a plane through the axis."""
    vertex = int(np.argmax(ball.positions[:, 2]))
    around = neighbourhood(ball, vertex, 1.0)
    patch = LogPatch(ball, around, ball.positions)
    assert np.nanmax(patch.distance) <= 1.0 and patch.faces.mean() > 0.15
    angle = np.linspace(0.0, 2 * np.pi, 100)
    (line,), (normal,) = patch.carry(0.5 * np.stack([np.cos(angle), np.sin(angle)], -1))
    assert len(line) == 100
    # The mesh lies below the sphere by about an eighth of the edge's square.
    sag = np.linalg.norm(ball.log, axis=1).max() ** 2 / 8
    np.testing.assert_allclose(np.arccos(line[:, 2] / np.linalg.norm(line, axis=1)), 0.5, atol=sag)
    np.testing.assert_allclose(normal, line / np.linalg.norm(line, axis=1, keepdims=True), atol=0.05)
    direction = np.array([0.6, 0.8])
    (ray,), _ = patch.carry(np.linspace(0.05, 0.8, 50)[:, None] * direction)
    across = np.cross([0.0, 0.0, 1.0], ball.frame[vertex] @ direction)
    np.testing.assert_allclose(ray @ across, 0.0, atol=sag)
    # A line that leaves the neighbourhood is cut there, one outside of it is not drawn.
    pieces, _ = patch.carry(np.linspace(0.0, 3.0, 50)[:, None] * direction)
    assert len(pieces) == 1 and len(pieces[0]) < 20
    assert patch.carry(np.full((5, 2), 9.0)) == ([], [])


def test_neighbourhoods(ball):
    stored = neighbourhood(ball, 5)
    edges = ball.edge_index[1] == 5
    np.testing.assert_array_equal(stored.nodes, ball.edge_index[0, edges])
    np.testing.assert_array_equal(stored.log, ball.log[edges])
    # Of a radius: computed anew in the same frames. Where both have a node they agree.
    anew = neighbourhood(ball, 5, 1.3 * float(ball.radius[5]))
    assert len(anew.nodes) > len(stored.nodes)
    at = np.searchsorted(anew.nodes, stored.nodes)
    np.testing.assert_allclose(anew.log[at], stored.log, atol=1e-9)
    # Stored transport is the mean of both ends' answers; from one end alone it differs a little.
    np.testing.assert_allclose(anew.transport[at], stored.transport, atol=1e-2)
    with pytest.raises(ValueError, match="between 0 and"):
        neighbourhood(ball, ball.num_nodes)
    with pytest.raises(ValueError, match="radius"):
        neighbourhood(ball, 0, -1.0)
    with pytest.raises(GeometryError, match="no neighbours"):
        neighbourhood(ball, 0, 1e-6)


def test_records_are_enough(ball, tmp_path):
    ball.save(tmp_path / "ball.safetensors")
    again = geometry.LocalGeometry.load(tmp_path / "ball.safetensors")
    views = viz.select_views(again, vertex=5, radius=0.8)
    assert [v.title for v in views] == [v.title for v in viz.select_views(ball, vertex=5, radius=0.8)]
    np.testing.assert_allclose(views[1].layers[1].positions, viz.select_views(ball, vertex=5)[1].layers[1].positions, atol=1e-6)


def test_transport_around_an_octant_turns_by_its_area():
    """Gauss-Bonnet: around the octant of the unit sphere by pi / 2, counter-clockwise for a counter-clockwise loop."""
    v, f = sphere(4)
    g = geometry.mesh(v, f, rings=1)
    corners = [int(np.argmax(v @ axis)) for axis in np.eye(3)]
    path = edge_path(g, [*corners, corners[0]])
    assert path[0] == path[-1] == corners[0] and set(corners) <= set(path)
    np.testing.assert_allclose(v[path].min(axis=1), 0.0, atol=1e-12)  # along the great circles
    carried = carried_along(g, path, np.array([1.0, 0.0]))
    np.testing.assert_allclose(np.linalg.norm(carried, axis=1), 1.0, atol=1e-12)
    assert np.arctan2(carried[-1, 1], carried[-1, 0]) == pytest.approx(np.pi / 2, abs=0.01)
    assert "turned by 90" in transport_view(g, path=[*corners, corners[0]]).title
    strip = geometry.mesh(*moebius(24, 4), rings=1, structure="O2")
    assert transport_view(strip, path=[0, 32, 64, 0]).title.endswith("mirrored")
    with pytest.raises(ValueError, match="two or more"):
        edge_path(g, [3])
    with pytest.raises(GeometryError, match="no neighbours"):
        carried_along(g, [corners[0], corners[1]], np.array([1.0, 0.0]))


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


def test_strips_without_orientation_and_tiny_meshes_are_drawn():
    strip = geometry.mesh(*moebius(24, 4), rings=1, structure="O2", levels=1)
    views = viz.select_views(strip, vertex=default_vertex(strip, Camera.of(strip)), radius=0.3)
    assert len(views) == 5 and all((render(v, 60)[..., 3] > 0).any() for v in views)
    for make in (tetrahedron, lambda: (np.eye(3), np.array([[0, 1, 2]]))):
        small = geometry.mesh(*make(), rings=1, levels=1)
        for view in viz.select_views(small, viz.VIEWS, vertex=1, radius=default_radius(small, 1)):
            assert (render(view, 60)[..., 3] > 0).any()


# Matplotlib.


@pytest.mark.parametrize(
    "plot",
    [
        viz.plot_frames,
        viz.plot_log_map,
        viz.plot_transport,
        viz.plot_curvature,
        viz.plot_levels,
        lambda g, **k: viz.plot_cross_field(g, np.zeros(g.num_nodes), **k),
    ],
)
def test_plots_take_and_return_axes(plot, ball):
    figure = Figure(figsize=(3, 3))
    axes = figure.subplots()
    assert plot(ball, axes=axes) is axes
    image = pixels(figure)
    white = (image[..., :3] == 255).all(-1).mean()
    assert 0.1 < white < 0.7 and colored(image) > 1e-3
    assert axes.get_title() and axes.get_aspect() == 1


def test_plot_without_axes_makes_some(ball):
    import matplotlib.pyplot as plt

    axes = viz.plot_curvature(ball)
    assert colored(pixels(axes.figure)) > 0.1
    plt.close("all")


def test_options_change_the_picture(ball):
    def image(plot, *arguments, **options):
        (picture,) = plot(ball, *arguments, axes=Figure().subplots(), **options).images
        return np.asarray(picture.get_array())

    camera = Camera.of(ball, direction=[1.0, 0.0, 0.0])
    for plot, changes in (
        (viz.plot_frames, [{"count": 20}, {"camera": camera}]),
        (viz.plot_log_map, [{"vertex": 3}, {"radius": 0.9}, {"camera": camera}]),
        (viz.plot_transport, [{"vertex": 3}, {"radius": 0.9}, {"path": [0, 1, 2]}, {"count": 5}, {"camera": camera}]),
        (viz.plot_curvature, [{"limit": 9.0}]),
        (viz.plot_levels, [{"level": 2}, {"camera": camera}]),
    ):
        first = image(plot)
        np.testing.assert_array_equal(first, image(plot))
        for change in changes:
            assert not np.array_equal(image(plot, **change), first), (plot, change)
    field = np.zeros(ball.num_nodes)
    first = image(viz.plot_cross_field, field)
    for change in ({"n": 1}, {"n": 6}, {"count": 50}):
        assert not np.array_equal(image(viz.plot_cross_field, field, **change), first), change
    assert not np.array_equal(image(viz.plot_cross_field, field + 0.3), first)


def test_overview(ball):
    figure = viz.plot_overview(ball, ("log", "curvature", "levels"), vertex=5)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == 4 and titles[0].startswith("Log map at vertex 5")
    assert pixels(figure).shape[1] == pytest.approx(1200, abs=2)
    with pytest.raises(ValueError, match="unknown view"):
        viz.plot_overview(ball, ("logs",))
    with pytest.raises(ValueError, match="nothing to show"):
        viz.plot_overview(ball, ())
    with pytest.raises(GeometryError, match="levels"):
        viz.plot_overview(ball.replace(coarse=None), ("levels",))


def test_what_is_missing_is_said(ball):
    for change, text in (({"faces": None}, "faces"), ({"positions": None}, "positions"), ({"frame": None}, "frames")):
        with pytest.raises(GeometryError, match=text):
            viz.plot_frames(ball.replace(**change))
    with pytest.raises(GeometryError, match="curvature"):
        viz.plot_curvature(ball.replace(curvature=None))


def test_without_matplotlib(ball, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"gaugenet\[viz\]"):
        viz.plot_frames(ball)
    viz.save_html(ball, tmp_path / "ball.html", ["frames"])
    assert (tmp_path / "ball.html").stat().st_size > 1000


def test_import_is_cheap():
    code = "import sys, gaugenet.viz; sys.exit(any(m in sys.modules for m in ('matplotlib', 'numba', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# HTML.


class Reader(HTMLParser):
    """Scripts by id, and every address that a page would fetch."""

    def __init__(self, text: str):
        super().__init__()
        self.scripts, self.addresses, self.open, self.stack, self.title = {}, [], None, [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.addresses += [attributes[k] for k in ("src", "href") if k in attributes]
        if tag not in ("meta", "link"):
            self.stack.append(tag)
        self.open = attributes.get("id", "program") if tag == "script" else None

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag
        self.open = None

    def handle_data(self, data):
        if self.open:
            self.scripts[self.open] = self.scripts.get(self.open, "") + data
        if self.stack[-1:] == ["title"]:
            self.title += data


def unpacked(text: str) -> dict:
    """The data of a page with its arrays decoded."""
    reader = Reader(text)
    assert not reader.stack and not reader.addresses and not re.search(r"https?://", text)
    data = json.loads(reader.scripts["data"])
    data["arrays"] = [np.frombuffer(base64.b64decode(a["data"]), a["type"]) for a in data["arrays"]]
    return data


def test_page_holds_the_data(ball):
    views = viz.select_views(ball, vertex=5)
    data = unpacked(page(views, "ball"))
    assert [v["title"] for v in data["views"]] == [v.title for v in views]
    for stored, view in zip(data["views"], views):
        np.testing.assert_array_equal(stored["rotation"], view.camera.rotation)
        for parts, layer in zip(stored["layers"], view.layers):
            arrays = {k: data["arrays"][parts[k]] for k in ("positions", "normals", "colors", "triangles")}
            triangles = arrays["triangles"].reshape(-1, 3)
            assert triangles.shape == layer.triangles.shape
            assert triangles.max() < len(arrays["positions"]) // 3
            np.testing.assert_allclose(
                arrays["positions"].reshape(-1, 3)[triangles], layer.positions[layer.triangles], rtol=1e-6, atol=1e-6
            )
            np.testing.assert_allclose(
                arrays["colors"].reshape(-1, 3)[triangles] / 255.0, layer.colors[layer.triangles], atol=0.003
            )
            np.testing.assert_allclose(
                arrays["normals"].reshape(-1, 3)[triangles] / 127.0, layer.normals[layer.triangles], atol=0.005
            )
    # What views share is there once.
    first, transport = data["views"][0]["layers"][0], data["views"][2]["layers"][0]
    assert first["positions"] == transport["positions"] and first["triangles"] == transport["triangles"]


def test_page_is_safe_and_small(ball, tmp_path):
    text = page(viz.select_views(ball, ["frames"]), "</script><b>&")
    assert "&lt;/script&gt;&lt;b&gt;&amp;" in text and unpacked(text)["views"]
    assert Reader(text).title == "</script><b>&"
    viz.save_html(ball, tmp_path / "a.html")
    viz.save_html(ball, tmp_path / "b.html", ["log"], vertex=7)
    assert (tmp_path / "a.html").read_bytes() != (tmp_path / "b.html").read_bytes()
    assert len(unpacked((tmp_path / "a.html").read_text())["views"]) == 6


def test_view_of_a_log_map_has_its_scale(ball):
    view = log_map_view(ball, 5, radius=0.7)
    (stored,) = unpacked(page([view], ""))["views"]
    assert stored["scale"]["low"] == 0.0 and 0.5 < stored["scale"]["high"] <= 0.7
    assert unpacked(page(viz.select_views(ball, ["frames"]), ""))["views"][0]["scale"] is None


def test_documented_commands_parse_and_pictures_exist():
    from gaugenet.cli import _parser

    docs = Path(__file__).resolve().parents[1] / "docs"
    text = (docs / "pictures.md").read_text(encoding="utf-8")
    commands = re.findall(r"^gaugenet (view [^#\n\[]*)$", text, re.MULTILINE)
    pictures = re.findall(r"\]\((images/.*?)\)", text)
    assert len(commands) == len(pictures) >= 3
    for command, picture in zip(commands, pictures):
        options = _parser().parse_args(command.split())
        assert Path(options.output).name == Path(picture).name and (docs / picture).stat().st_size < 200_000
