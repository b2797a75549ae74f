"""Fields on latitude-longitude grids at any points of the sphere."""

from __future__ import annotations

import numpy as np

from ..errors import GaugenetError


def unit_points(points: np.ndarray) -> np.ndarray:
    """Points (N, 3) scaled to length 1, float64.

    Raises:
        ValueError: another shape, a point at the origin, NaN or infinity.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"expected points of shape (N, 3), got {points.shape}")
    norm = np.linalg.norm(points, axis=1, keepdims=True)
    if not (np.isfinite(norm) & (norm > 0)).all():
        raise ValueError("expected points away from the origin, without NaN and infinity")
    return points / norm


def east_north(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """(..., 3, 2) unit vectors to the east and to the north at angles in radians; at a pole those of that longitude."""
    latitude, longitude = np.broadcast_arrays(latitude, longitude)
    sin_lat, cos_lat, sin_lon, cos_lon = np.sin(latitude), np.cos(latitude), np.sin(longitude), np.cos(longitude)
    east = np.stack([-sin_lon, cos_lon, np.zeros_like(sin_lon)], -1)
    north = np.stack([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat], -1)
    return np.stack([east, north], -1)


def angles(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude in radians of unit vectors (N, 3); poles have longitude 0."""
    x, y, z = points.T
    horizontal = np.hypot(x, y)
    return np.arctan2(z, horizontal), np.where(horizontal == 0, 0.0, np.arctan2(y, x))


class LatLonInterpolation:
    """Bilinear interpolation in latitude and longitude, from a grid that goes all round the globe.

    A grid without rows at the poles has there the mean of its last row.

    Args:
        latitude: (H,) degrees, monotonic, H >= 2. longitude: (W,) degrees, ascending in equal steps of 360 / W.

    Raises:
        GaugenetError: other latitudes or longitudes.
    """

    def __init__(self, latitude: np.ndarray, longitude: np.ndarray) -> None:
        latitude, longitude = np.asarray(latitude, dtype=np.float64), np.asarray(longitude, dtype=np.float64)
        step = np.diff(latitude)
        if latitude.ndim != 1 or not len(step) or not ((step > 0).all() or (step < 0).all()) or abs(latitude).max() > 90 + 1e-6:
            raise GaugenetError("expected at least two latitudes between -90 and 90 degrees, all ascending or all descending")
        width = len(longitude)
        if longitude.ndim != 1 or not np.allclose(longitude, longitude[0] + 360 / width * np.arange(width), atol=1e-3):
            raise GaugenetError(f"expected longitudes in {width} equal steps round the globe")
        self.latitude, self.longitude = latitude, longitude

    @property
    def area(self) -> np.ndarray:
        """(H, W) areas of the cells, which add up to 1: from halfway to the one row to halfway to the next."""
        edges = np.concatenate([[0.0], (self.latitude[1:] + self.latitude[:-1]) / 2, [0.0]])
        edges[0], edges[-1] = (-90, 90) if self.latitude[0] < self.latitude[-1] else (90, -90)
        band = np.abs(np.diff(np.sin(np.radians(edges)))) / 2
        return np.repeat(band[:, None] / len(self.longitude), len(self.longitude), axis=1)

    def scalars(self, values: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Values (..., H, W) at points (N, 3): (..., N) float64."""
        values = self._checked(values)
        latitude, longitude = angles(unit_points(points))
        rows = self.latitude
        if abs(rows[0]) < 90 - 1e-6:
            values = np.concatenate([_row_mean(values[..., :1, :]), values], -2)
            rows = np.concatenate([[np.copysign(90, rows[0])], rows])
        if abs(rows[-1]) < 90 - 1e-6:
            values = np.concatenate([values, _row_mean(values[..., -1:, :])], -2)
            rows = np.concatenate([rows, [np.copysign(90, rows[-1])]])
        if rows[0] > rows[-1]:
            rows, values = rows[::-1], values[..., ::-1, :]
        latitude = np.clip(np.degrees(latitude), rows[0], rows[-1])
        low = np.clip(np.searchsorted(rows, latitude, side="right") - 1, 0, len(rows) - 2)
        up = (latitude - rows[low]) / (rows[low + 1] - rows[low])
        width = len(self.longitude)
        column = np.mod(np.degrees(longitude) - self.longitude[0], 360) * (width / 360)
        left = np.minimum(column.astype(np.int64), width - 1)
        right, beyond = (left + 1) % width, column - left
        below = values[..., low, left] * (1 - beyond) + values[..., low, right] * beyond
        above = values[..., low + 1, left] * (1 - beyond) + values[..., low + 1, right] * beyond
        return below * (1 - up) + above * up

    def vectors(self, east: np.ndarray, north: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Tangent vectors with components (..., H, W) at points (N, 3): ambient vectors (..., N, 3), tangent.

        A vector is interpolated by its three ambient components, then projected, so that the poles are points like any other:
        a row at a pole holds one vector by its components in the frames of the different longitudes.
        """
        unit = unit_points(points)
        frame = east_north(np.radians(self.latitude)[:, None], np.radians(self.longitude)[None, :])
        components = np.stack([self._checked(east), self._checked(north)], -1)
        ambient = np.moveaxis(np.einsum("hwxc,...hwc->...hwx", frame, components), -1, 0)
        at_points = np.moveaxis(self.scalars(ambient, unit), 0, -1)
        return at_points - (at_points * unit).sum(-1, keepdims=True) * unit

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Means (...) over the sphere of values (..., H, W)."""
        return (self._checked(values) * self.area).sum((-2, -1))

    def _checked(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        shape = (len(self.latitude), len(self.longitude))
        if values.shape[-2:] != shape:
            raise GaugenetError(f"expected values of shape (..., {shape[0]}, {shape[1]}), got {values.shape}")
        return values


def _row_mean(row: np.ndarray) -> np.ndarray:
    return np.broadcast_to(row.mean(-1, keepdims=True), row.shape)
