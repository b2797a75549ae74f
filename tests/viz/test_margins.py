"""What stands beside a map: the scale of the arrows, names of latitudes and longitudes, coastlines."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

matplotlib.use("Agg")

from gaugenet import geometry, viz
from gaugenet.errors import GaugenetError, MissingDependencyError
from gaugenet.viz.maps import margins
from gaugenet.viz.maps.margins import latitude_name, longitude_name, on_map, round_length
from gaugenet.viz.maps.projections import PROJECTIONS, view_rotation

GLOBE = geometry.icosphere(3)
WIND = np.cross([0.0, 0.0, 3.7], GLOBE.positions)


def draw(**options):
    axes = Figure(figsize=(5, 4)).subplots()
    viz.plot_map(None, GLOBE, axes, **{"vectors": WIND, "pixels": 60, **options})
    return axes


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_scale_arrow():
    """2 m/s is drawn as long as an arrow of the map of that length."""
    axes = draw(arrow_label="m/s", count=200)
    assert texts(axes) == ["2 m/s"]
    (arrow,) = [text for text in axes.texts if hasattr(text, "arrow_patch") and text.arrow_patch is not None]
    length = arrow.xy[0] - arrow.xyann[0]
    (quiver,) = [c for c in axes.collections if isinstance(c, Quiver)]
    drawn = np.hypot(quiver.U, quiver.V)
    assert length == pytest.approx(np.sqrt(4 * np.pi / 200) * 2.0 / np.linalg.norm(WIND, axis=1).max(), rel=0.02)
    assert length < drawn.max()
    assert texts(draw(arrow_label=None)) == [] and texts(draw()) == ["2"] and texts(draw(vectors=0 * WIND)) == []
    assert texts(draw(vectors=WIND[:, :2], order=2, frames=GLOBE.frame)) != []


@pytest.mark.parametrize(("longest", "expected"), [(3.7, 2.0), (5.0, 5.0), (0.0199, 0.01), (99.0, 50.0), (1e-12, 1e-12)])
def test_round_lengths(longest, expected):
    assert round_length(longest) == pytest.approx(expected)


def test_names():
    assert [latitude_name(d) for d in (-30, 0, 60)] == ["30°S", "0°", "60°N"]
    assert [longitude_name(d) for d in (-180, -30, 0, 90, 180, 270)] == ["180°", "30°W", "0°", "90°E", "180°", "90°W"]


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_labels_stand_at_their_places(projection):
    axes = draw(vectors=None, labels=True, projection=projection)
    found = {text.get_text(): text.get_position() for text in axes.texts}
    assert {"30°N", "30°S", "60°N", "90°E", "90°W", "0°"} <= found.keys()
    shape, turn = PROJECTIONS[projection], view_rotation(0, 0)
    np.testing.assert_allclose(found["90°E"], on_map(np.array([[90.0, 0.0]]), shape, turn, 1.0)[0], atol=1e-9)
    assert found["60°N"][1] > found["30°N"][1] > 0 > found["30°S"][1]
    # Turned maps have them, too; on those of the sky east is on the left.
    mirrored = {text.get_text(): text.get_position() for text in draw(vectors=None, labels=True, east="left").texts}
    assert mirrored["90°E"][0] < 0 < mirrored["90°W"][0]
    assert "60°N" in texts(draw(vectors=None, labels=True, center=(100, 50), projection=projection))


def test_coastlines(monkeypatch, tmp_path):
    """Lines of longitudes and latitudes are drawn where they are, and not across the map where they leave it."""
    line = np.array([[170.0, 10.0], [178.0, 12.0], [-178.0, 12.0], [-170.0, 10.0]])
    monkeypatch.setattr(margins, "_coastlines", lambda: [line])
    axes, without = draw(vectors=None, coastlines=True, graticule=False), draw(vectors=None, graticule=False)
    assert len(axes.lines) == len(without.lines) + 1
    x, y = axes.lines[-1].get_data()
    assert np.isnan(x).sum() == 1 and x[0] > 2 and np.nanmin(x) < -2
    shape = PROJECTIONS["mollweide"]
    np.testing.assert_allclose([x[0], y[0]], on_map(line[:1], shape, np.eye(3), 1.0)[0])


def test_coastlines_of_cartopy(monkeypatch):
    """Its files become lines, several of one shape too; what is missing is said."""

    class Reader:
        def __init__(self, file):
            one, other = (SimpleNamespace(coords=[(k, 2.0 * k, 0.0) for k in range(3)]) for _ in range(2))
            self.shapes = [one, SimpleNamespace(geoms=[one, other])]

        def geometries(self):
            return iter(self.shapes)

    asked = {}
    reader = SimpleNamespace(natural_earth=lambda **options: asked.update(options), Reader=Reader)
    monkeypatch.setitem(sys.modules, "cartopy", SimpleNamespace(io=SimpleNamespace(shapereader=reader)))
    monkeypatch.setitem(sys.modules, "cartopy.io", SimpleNamespace(shapereader=reader))
    lines = margins._coastlines()
    assert len(lines) == 3 and all(line.shape == (3, 2) for line in lines) and asked["name"] == "coastline"

    def offline(**options):
        raise OSError("no network")

    reader.natural_earth = offline
    with pytest.raises(GaugenetError, match="could not fetch the coastlines"):
        draw(coastlines=True)
    monkeypatch.setitem(sys.modules, "cartopy.io", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gaugenet\[maps\]'"):
        draw(coastlines=True)
