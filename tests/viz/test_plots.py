"""Pictures with matplotlib: they are there to be seen, and every option changes them."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

matplotlib.use("Agg")

from gaugenet import viz
from gaugenet.errors import GeometryError, MissingDependencyError
from gaugenet.viz.scene import Camera


def colored(image: np.ndarray) -> float:
    """Share of the pixels with something, that is neither white nor grey."""
    rgb = image[..., :3].astype(int)
    return float(((rgb.max(-1) - rgb.min(-1) > 40) & (image[..., 3] > 0)).mean())


def pixels(figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


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
