"""Maps of the sphere: projections go both ways, and what is drawn is what is there."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

matplotlib.use("Agg")

from gaugenet import geometry, viz
from gaugenet.errors import GeometryError, MissingDependencyError
from gaugenet.viz.maps.projections import PROJECTIONS, view_rotation
from gaugenet.viz.maps.sphere_maps import interpolate

EQUAL_AREA = ("mollweide", "hammer", "lambert")


@pytest.fixture(scope="module")
def globe():
    return geometry.icosphere(3)


def random_unit(n: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def draw(values, sphere, **options):
    axes = Figure(figsize=(5, 4)).subplots()
    assert viz.plot_map(values, sphere, axes, **{"pixels": 120, **options}) is axes
    return axes


def colors_at(axes, longitude: float, latitude: float, projection: str) -> np.ndarray:
    """Colour of the picture at a place of an unturned map."""
    lon, lat = np.radians([longitude, latitude])
    unit = np.array([[np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]])
    shape = PROJECTIONS[projection]
    x, y = shape.forward(unit)[0]
    image = np.asarray(axes.images[0].get_array())
    column = int((x / shape.half[0] + 1) / 2 * image.shape[1])
    row = int((1 - y / shape.half[1]) / 2 * image.shape[0])
    return image[row, column]


@pytest.mark.parametrize("name", PROJECTIONS)
def test_projections_go_both_ways(name):
    shape = PROJECTIONS[name]
    unit = np.concatenate([random_unit(500), [[1, 0, 0], [0, 0.6, 0.8]]])
    place = shape.forward(unit)
    shown = np.isfinite(place[:, 0])
    assert (np.abs(place[shown]) <= np.array(shape.half) + 1e-12).all()
    np.testing.assert_allclose(shape.inverse(place[shown]), unit[shown], atol=1e-7)
    assert shown.all() if name != "orthographic" else 0.4 < shown.mean() < 0.6
    outside = np.array([[1.01 * shape.half[0], 0], [0, -1.01 * shape.half[1]]])
    assert np.isnan(shape.inverse(outside)).all()
    # middle, north up, east to the right
    np.testing.assert_allclose(shape.forward(np.array([[1.0, 0, 0]])), [[0, 0]], atol=1e-12)
    north, east = shape.forward(np.array([[np.cos(0.1), 0, np.sin(0.1)], [np.cos(0.1), np.sin(0.1), 0]]))
    assert north[1] > 0.05 and abs(north[0]) < 1e-9 and east[0] > 0.05 and abs(east[1]) < 1e-9


@pytest.mark.parametrize("name", EQUAL_AREA)
def test_equal_areas(name):
    shape = PROJECTIONS[name]
    unit = random_unit(50)[:, [1, 2, 0]]
    east = np.cross([0, 0, 1], unit)
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    north = np.cross(unit, east)
    step = 1e-5
    slopes = []
    for tangent in (east, north):
        there, back = (shape.forward(np.cos(step) * unit + s * np.sin(step) * tangent) for s in (1, -1))
        slopes.append((there - back) / (2 * step))
    area = slopes[0][:, 0] * slopes[1][:, 1] - slopes[0][:, 1] * slopes[1][:, 0]
    np.testing.assert_allclose(area, 1, rtol=1e-5)


def test_the_poles():
    for name, shape in PROJECTIONS.items():
        x, y = shape.forward(np.array([[0.0, 0, 1]]))[0]
        assert y == pytest.approx(np.sqrt(2) if name == "lambert" else shape.half[1], abs=1e-6), name
        assert x == pytest.approx(0, abs=1e-6)


def test_view_rotation():
    lon, lat = np.radians([40, 30])
    there = view_rotation(40, 30) @ [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
    np.testing.assert_allclose(there, [1, 0, 0], atol=1e-12)
    north = view_rotation(40, 0) @ [0, 0, 1]
    np.testing.assert_allclose(north, [0, 0, 1], atol=1e-12)
    # a quarter turn counter-clockwise: north is where west was
    np.testing.assert_allclose(view_rotation(0, 0, 90) @ [0, 0, 1], [0, -1, 0], atol=1e-12)


@pytest.mark.parametrize("points", [random_unit(400), geometry.icosphere(3).positions])
def test_interpolation(points):
    """Exact at the points; linear between them for what is linear on the faces; nearest gives values of points."""
    values = np.arange(len(points), dtype=float)
    np.testing.assert_allclose(interpolate(values, points, points), values, atol=1e-9)
    places = random_unit(1000, 1)
    smooth = points @ [0.3, -0.5, 0.8]
    found = interpolate(smooth, points, places)
    assert np.abs(found - places @ [0.3, -0.5, 0.8]).max() < 0.1
    nearest = interpolate(values, points, places, "nearest")
    np.testing.assert_array_equal(nearest, np.argmax(places @ points.T, 1))
    assert (nearest != interpolate(values, points, places)).any()
    # a constant is a constant everywhere, so every place was found in some triangle or has its nearest value
    np.testing.assert_allclose(interpolate(np.ones(len(points)), points, places), 1)


def test_interpolation_of_few_points_and_where_nothing_is_known():
    places = random_unit(50)
    for points in (np.eye(3)[:1], np.eye(3), random_unit(4), np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])):
        found = interpolate(np.ones(len(points)), points, places)
        assert np.isfinite(found).any() and np.nanmax(np.abs(found - 1)) < 1e-12
    half = random_unit(2000)
    half = half[half[:, 2] > 0]
    found = interpolate(np.ones(len(half)), half, places)
    assert np.isnan(found[places[:, 2] < -0.5]).all() and np.isfinite(found[places[:, 2] > 0.1]).all()
    missing = np.where(half[:, 0] > 0, np.nan, 1)
    assert np.isnan(interpolate(missing, half, np.array([[0.6, 0.0, 0.8]]))).all()


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_colours_are_where_the_values_are(globe, projection):
    """Positive to the east of the middle, negative to the west."""
    axes = draw(globe.positions[:, 1], globe, projection=projection)
    red, blue = colors_at(axes, 60, 20, projection), colors_at(axes, -60, 20, projection)
    assert red[0] > red[2] + 0.2 and blue[2] > blue[0] + 0.2 and red[3] == blue[3] == 1
    mirrored = draw(globe.positions[:, 1], globe, projection=projection, east="left")
    np.testing.assert_allclose(colors_at(mirrored, -60, 20, projection), red, atol=0.05)
    turned = draw(globe.positions[:, 1], globe, projection=projection, center=(180, 0))
    np.testing.assert_allclose(colors_at(turned, 60, 20, projection), blue, atol=0.05)


def test_arrows_point_where_the_vectors_point(globe):
    """Eastward ones, in space, in frames, and in other frames."""
    x, y, _ = globe.positions.T
    eastward = np.stack([-y, x, 0 * x], 1)
    components = np.einsum("nia,ni->na", globe.frame, eastward)
    turned = globe.replace(frame=np.stack([globe.frame[..., 1], -globe.frame[..., 0]], -1))
    shown = []
    for vectors, sphere, options in (
        (eastward, globe.positions, {}),
        (components, globe, {}),
        (components, globe.positions, {}),
        (np.stack([components[:, 1], -components[:, 0]], 1), turned, {}),
        (components, turned, {"frames": globe.frame}),
    ):
        axes = draw(None, sphere, vectors=vectors, projection="equirectangular", **options)
        (arrows,) = (c for c in axes.collections if isinstance(c, Quiver))
        shown.append(np.stack([arrows.U, arrows.V], 1))
        assert not axes.images
    assert (shown[0][:, 0] >= 0).all() and shown[0][:, 0].max() > 0.1
    np.testing.assert_allclose(shown[0][:, 1], 0, atol=1e-4)
    for other in shown[1:]:
        np.testing.assert_allclose(other, shown[0], atol=1e-9)
    left = draw(None, globe, vectors=components, projection="equirectangular", east="left")
    (arrows,) = (c for c in left.collections if isinstance(c, Quiver))
    np.testing.assert_allclose(arrows.U, -shown[0][:, 0], atol=1e-9)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_bars_and_stars(globe, order):
    """Arms at angles t with exp(i m t) = a + ib; near the middle of the map they are those of (east, north)."""
    angle = 0.4
    vectors = np.tile([np.cos(order * angle), np.sin(order * angle)], (globe.num_nodes, 1))
    axes = draw(None, globe, vectors=vectors, order=order, projection="orthographic", count=400)
    segments = np.array(next(c for c in axes.collections if isinstance(c, LineCollection)).get_segments())
    middle = segments[np.linalg.norm(segments[:, 0], axis=1) < 0.12]
    arms = middle[:, 1] - middle[:, 0]
    assert len(middle) >= order
    found = np.exp(1j * order * np.arctan2(arms[:, 1], arms[:, 0]))
    np.testing.assert_allclose(found, np.exp(1j * order * angle), atol=0.15)


def test_options_change_the_picture(globe):
    values = globe.positions[:, 2] + 0.2

    def picture(**options):
        axes = draw(values, globe, **options)
        canvas = FigureCanvasAgg(axes.figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba()).copy()

    first = picture()
    np.testing.assert_array_equal(first, picture())
    noise = np.random.default_rng(0).normal(size=(globe.num_nodes, 2))
    changes = [
        {"projection": "hammer"},
        {"center": (20, 10)},
        {"roll": 20},
        {"east": "left", "center": (20, 0)},
        {"interpolation": "nearest"},
        {"colors": "viridis"},
        {"limits": (-3, 3)},
        {"label": "height"},
        {"title": "A globe"},
        {"graticule": False},
        {"pixels": 300},
        {"vectors": noise},
        {"vectors": noise, "order": 2},
        {"vectors": noise, "count": 50},
    ]
    pictures = [first, *(picture(**change) for change in changes)]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert not np.array_equal(one, other)


def test_default_axes_and_many_samplings():
    import matplotlib.pyplot as plt

    lat, lon = np.meshgrid(np.radians(np.linspace(-90, 90, 20)), np.radians(np.arange(0, 360, 9)), indexing="ij")
    grid = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1).reshape(-1, 3)
    graph = SimpleNamespace(pos=2 * random_unit(300))
    for sphere, points in ((SimpleNamespace(points=grid), grid), (3 * random_unit(100), random_unit(100)), (graph, graph.pos)):
        axes = viz.plot_map(points[:, 2], sphere, pixels=200)
        raster = np.asarray(axes.images[0].get_array())
        ellipse = raster[..., 3].mean()
        assert ellipse == pytest.approx(np.pi / 4, abs=0.02)  # nothing left empty inside of the map
    plt.close("all")


def test_errors(globe, monkeypatch):
    z = globe.positions[:, 2]
    for options, message in (
        ({"projection": "mercator"}, "unknown projection"),
        ({"east": "up"}, "east must be"),
        ({"interpolation": "cubic"}, "interpolation must be"),
        ({"colors": "jet"}, "colors must be"),
        ({"limits": (1, 0)}, "ascending"),
        ({"vectors": z}, "vectors expected shape"),
        ({"vectors": globe.positions, "order": 2}, "order 1"),
        ({"vectors": globe.positions[:, :2], "order": 0}, "order must be"),
        ({"vectors": globe.positions[:, :2], "frames": z}, "frames expected shape"),
    ):
        with pytest.raises(ValueError, match=message):
            draw(z, globe, **options)
    with pytest.raises(ValueError, match="values expected shape"):
        draw(z[1:], globe)
    with pytest.raises(ValueError, match=r"\(N, 3\)"):
        draw(z, globe.positions[:, :2])
    with pytest.raises(GeometryError, match="ids"):
        draw(z, globe.positions * 0)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"gaugenet\[viz\]"):
        viz.plot_map(z, globe)
