"""Pictures with matplotlib, the optional extra ``viz``: one panel for each function, or several in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import MissingDependencyError
from ..geometry.local_geometry import LocalGeometry
from .colors import ColorScale, table
from .fields import field_view, labels_view
from .scene import Camera, View
from .selection import select_views
from .views import cross_field_view, curvature_view, frames_view, levels_view, log_map_view, transport_view

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Pixels of a panel's image.
_SIZE = 700


def plot_frames(geometry: LocalGeometry, axes: Axes | None = None, *, count: int = 100, camera: Camera | None = None) -> Axes:
    """The frames at about ``count`` evenly spaced vertices: first vectors red, second blue.

    Args:
        geometry: with positions, faces and frames. axes: of matplotlib; by default new ones.
        camera: what is seen from where, by default :meth:`Camera.of`.

    Returns:
        the axes, in units of length from the middle of the picture.

    Raises (as all the functions here):
        GeometryError: for a geometry that lacks what is to be drawn.
        MissingDependencyError: without matplotlib.
    """
    return draw(frames_view(geometry, count=count, camera=camera), axes)


def plot_log_map(
    geometry: LocalGeometry,
    vertex: int | None = None,
    axes: Axes | None = None,
    *,
    radius: float | None = None,
    camera: Camera | None = None,
) -> Axes:
    """Geodesic circles and rays (30 degrees apart) around a vertex, over the geodesic distance as colour.

    Args:
        vertex: by default one in front. radius: of a neighbourhood computed anew; by default the one that the geometry has.
        The others as in :func:`plot_frames`.

    Raises:
        ValueError: for a vertex that is not there, or a radius that is not positive.
    """
    return draw(log_map_view(geometry, vertex, radius=radius, camera=camera), axes)


def plot_transport(
    geometry: LocalGeometry,
    vertex: int | None = None,
    axes: Axes | None = None,
    *,
    radius: float | None = None,
    path: Sequence[int] | None = None,
    count: int = 70,
    camera: Camera | None = None,
) -> Axes:
    """The first frame vector of a vertex (red), carried to about ``count`` of its neighbours, or along a path (blue).

    Args:
        path: two or more vertices, joined along edges. Around a loop the last vector is orange: the angle is the holonomy.
        The others as in :func:`plot_log_map`.
    """
    return draw(transport_view(geometry, vertex, radius=radius, path=path, count=count, camera=camera), axes)


def plot_curvature(
    geometry: LocalGeometry, axes: Axes | None = None, *, limit: float | None = None, camera: Camera | None = None
) -> Axes:
    """Gaussian curvature as colour over [-limit, limit], by default a limit of which 90 % of the vertices stay below 70 %."""
    return draw(curvature_view(geometry, limit=limit, camera=camera), axes)


def plot_levels(geometry: LocalGeometry, level: int = 1, axes: Axes | None = None, *, camera: Camera | None = None) -> Axes:
    """The nodes of a coarser level as dots, and as coloured regions the vertices that pool to each.

    Raises:
        ValueError: for a level that the geometry does not have.
    """
    return draw(levels_view(geometry, level, camera=camera), axes)


def plot_cross_field(
    geometry: LocalGeometry,
    field: np.ndarray,
    n: int = 4,
    axes: Axes | None = None,
    *,
    count: int = 900,
    camera: Camera | None = None,
) -> Axes:
    r"""An N-RoSy field as small crosses (n = 4), lines (2) or arrows (1).

    Args:
        field: (N,) real, the angle of one representative in the frame of every vertex (radians); (N,) complex or (N, 2), the
            representation vector :math:`e^{i n \theta}` (any length); or (N, 3), one representative in space.

    Raises:
        ValueError: for another shape, or n below 1.
    """
    return draw(cross_field_view(geometry, field, n, count=count, camera=camera), axes)


def plot_field(
    geometry: LocalGeometry,
    field: Any,
    axes: Axes | None = None,
    *,
    label: str = "",
    count: int = 300,
    camera: Camera | None = None,
) -> Axes:
    """A field of order 0, 1 or 2: its size as colour, vectors as arrows, tensors as crosses of their principal directions.

    Args:
        field: (N,) scalars, (N, 3) vectors or (N, 3, 3) symmetric tensors of space, or (values, type) of one field in the
            frames, such as ``(values, "1x1")`` or a Feature. See :func:`gaugenet.viz.fields.field_view`.
        label: of the colours. count: about how many glyphs.

    Raises:
        ValueError: another shape, more than one field.
    """
    return draw(field_view(geometry, field, label=label, count=count, camera=camera), axes)


def plot_labels(
    geometry: LocalGeometry, labels: Any, axes: Axes | None = None, *, title: str = "Labels", camera: Camera | None = None
) -> Axes:
    """Classes of the vertices (N,) or of the faces (F,), a colour for each; negative ones are unknown, and grey.

    Args:
        labels: whole numbers, such as the answer of a network. title: of the panel.

    Raises:
        GeometryError: another number of labels. ValueError: no whole numbers.
    """
    return draw(labels_view(geometry, labels, title=title, camera=camera), axes)


def plot_overview(
    geometry: LocalGeometry,
    show: Sequence[str] | None = None,
    *,
    vertex: int | None = None,
    radius: float | None = None,
    path: Sequence[int] | None = None,
    field: np.ndarray | None = None,
    n: int = 4,
    camera: Camera | None = None,
) -> Figure:
    """Several views in one figure, 1200 pixels wide; arguments as for :func:`gaugenet.viz.select_views`."""
    require_matplotlib()
    # Not through pyplot, which would keep the figure and pick a backend.
    from matplotlib.figure import Figure

    views = select_views(geometry, show, vertex=vertex, radius=radius, path=path, field=field, n=n, camera=camera)
    columns = {1: 1, 2: 2, 4: 2}.get(len(views), 3 if len(views) <= 6 else 4)
    rows = -(-len(views) // columns)
    width = min(12.0 / columns, 8.0)
    pictures = [_Picture.of(view) for view in views]
    heights = []
    for row in range(rows):
        part = pictures[row * columns : (row + 1) * columns]
        heights.append(width * max(p.aspect for p in part) + (0.9 if any(p.view.scale for p in part) else 0.4))
    figure = Figure(figsize=(width * columns, sum(heights)), layout="constrained", dpi=100)
    panels = figure.subplots(rows, columns, squeeze=False, height_ratios=heights).reshape(-1)
    for axes, picture in zip(panels, pictures):
        picture.draw(axes)
    for axes in panels[len(views) :]:
        axes.set_axis_off()
    return figure


def draw(view: View, axes: Axes | None = None) -> Axes:
    """A view on matplotlib axes (new ones by default), with a colour bar where colours mean numbers."""
    require_matplotlib()
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots(figsize=(7, 7), layout="constrained")[1]
    return _Picture.of(view).draw(axes)


class _Picture(NamedTuple):
    """A rendered view without the empty rows above and below.

    Attributes:
        image: (H, W, 4) uint8. extent: left, right, bottom, top, in units of length from the middle.
    """

    view: View
    image: np.ndarray
    extent: tuple[float, float, float, float]

    @staticmethod
    def of(view: View) -> _Picture:
        from .raster import render

        image = render(view, _SIZE)
        used = np.flatnonzero(image[..., 3].any(axis=1))
        top, bottom = (used[0], used[-1] + 1) if used.size else (0, _SIZE)
        half = view.camera.extent
        extent = (-half, half, half * (1 - 2 * bottom / _SIZE), half * (1 - 2 * top / _SIZE))
        return _Picture(view, image[top:bottom], extent)

    @property
    def aspect(self) -> float:
        """Height over width."""
        return self.image.shape[0] / self.image.shape[1]

    def draw(self, axes: Axes) -> Axes:
        axes.imshow(self.image, extent=self.extent, interpolation="antialiased")
        axes.set_axis_off()
        axes.set_anchor("N")  # titles of one row stand in line
        axes.set_title(self.view.title, fontsize=10)
        if self.view.scale is not None:
            colorbar(axes, self.view.scale)
        return axes


def colorbar(axes: Axes, scale: ColorScale) -> None:
    """A horizontal colour bar below the panel."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.ticker import MaxNLocator

    colors = LinearSegmentedColormap.from_list(scale.name, table(scale.name))
    mapped = ScalarMappable(Normalize(scale.low, scale.high), colors)
    # In the panel's own room, so that panels of one row stay alike.
    height = 0.025 * abs(np.ptp(axes.get_xlim()) / np.ptp(axes.get_ylim()))
    inset = axes.inset_axes((0.2, -3 * height, 0.6, height))
    bar = axes.figure.colorbar(mapped, cax=inset, orientation="horizontal", format="{x:.4g}")
    bar.set_label(scale.label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()


def require_matplotlib() -> None:
    """Raise MissingDependencyError, with what to do, unless matplotlib is there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        text = "pictures need matplotlib: pip install 'gaugenet[viz]' (an .html page needs nothing more)"
        raise MissingDependencyError(text) from None
