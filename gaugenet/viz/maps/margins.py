"""What a map says of itself: coastlines, names of the meridians and parallels, the scale of its arrows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import GaugenetError, MissingDependencyError
from ..colors import INK, PAPER
from .projections import Projection

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_coastlines(axes: Axes, shape: Projection, turn: np.ndarray, mirror: float) -> None:
    """Natural Earth's coastlines, on any projection.

    Raises:
        MissingDependencyError: without cartopy. GaugenetError: cartopy has not got them yet, and cannot fetch them.
    """
    for line in _coastlines():
        place = on_map(line, shape, turn, mirror)
        axes.plot(*place.T, color=INK, alpha=0.7, linewidth=0.7, zorder=0.7)


def on_map(degrees: np.ndarray, shape: Projection, turn: np.ndarray, mirror: float) -> np.ndarray:
    """Places (N, 2) of longitudes and latitudes (N, 2), NaN where a line leaves the map over its rim or is behind."""
    lon, lat = np.radians(np.asarray(degrees, float)).T
    unit = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
    place = shape.forward(unit @ turn.T) * (mirror, 1)
    jump = np.linalg.norm(np.diff(place, axis=0), axis=1) > 0.3 * shape.half[0]
    place[1:][jump] = np.nan
    return place


def draw_labels(axes: Axes, shape: Projection, turn: np.ndarray, mirror: float, step: int) -> None:
    """Latitudes at the left rim, longitudes along the parallel that is nearest to the middle of the map."""
    options: dict[str, Any] = {"fontsize": 7, "color": INK, "zorder": 3, "ha": "center", "va": "center", "clip_on": False}
    middle = np.linspace(-180, 180, 721)
    for latitude in range(-90 + step, 90, step):
        place = on_map(np.stack([middle, 0 * middle + latitude], 1), shape, turn, mirror)
        if np.isfinite(place[:, 0]).any():
            left = place[np.nanargmin(place[:, 0])]
            axes.text(left[0] - 0.05 * shape.half[0], left[1], latitude_name(latitude), **options)
    centre = np.degrees(np.arcsin(np.clip(turn[0, 2], -1, 1)))
    parallel = float(np.clip(step * np.rint(centre / step), -90 + step, 90 - step))
    for longitude in range(-180 + step, 181, step):
        (place,) = on_map(np.array([[longitude, parallel]]), shape, turn, mirror)
        if np.isfinite(place).all():
            box = {"boxstyle": "round,pad=0.1", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.6}
            axes.text(*place, longitude_name(longitude), bbox=box, **options)


def latitude_name(degrees: float) -> str:
    return f"{abs(degrees):g}°{'N' if degrees > 0 else 'S' if degrees < 0 else ''}"


def longitude_name(degrees: float) -> str:
    degrees = (degrees + 180) % 360 - 180
    return f"{abs(degrees):g}°{'' if degrees in (0, -180) else 'E' if degrees > 0 else 'W'}"


def draw_scale(axes: Axes, longest: float, reach: float, unit: str, shape: Projection, order: int) -> None:
    """An arrow (or a bar) of a round length below the map, at the right, with the number and its unit."""
    value = round_length(longest)
    length = reach * value / longest
    right, low = shape.half[0], -1.02 * shape.half[1]
    style = {"arrowstyle": "-|>" if order == 1 else "-", "color": INK, "lw": 1.3, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (right, low), (right - length, low), arrowprops=style, annotation_clip=False)
    text = f"{value:g} {unit}".strip()
    axes.text(right - length - 0.02 * right, low, text, fontsize=8, color=INK, ha="right", va="center")


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not longer."""
    power = 10.0 ** np.floor(np.log10(longest))
    return float(power * max(k for k in (1.0, 2.0, 5.0) if k * power <= longest * (1 + 1e-9)))


def _coastlines() -> list[np.ndarray]:
    """(K, 2) longitudes and latitudes in degrees, a list of lines."""
    try:
        from cartopy.io import shapereader
    except ImportError:
        text = "coastlines need cartopy, which is not installed: pip install 'gaugenet[maps]'"
        raise MissingDependencyError(text) from None
    try:
        file = shapereader.natural_earth(resolution="110m", category="physical", name="coastline")
        found = list(shapereader.Reader(file).geometries())
    # URLError and what else a fetch without a network raises: the answer is the same.
    except Exception as error:
        where = os.environ.get("CARTOPY_DATA_DIR", "cartopy's own folder")
        text = f"cartopy could not fetch the coastlines, and they are not in {where}: {type(error).__name__}"
        raise GaugenetError(f"{text}; with a network it keeps them") from None
    return [np.asarray(part.coords)[:, :2] for line in found for part in getattr(line, "geoms", [line])]
