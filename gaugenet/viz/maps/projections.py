"""Map projections of the sphere, both ways (formulas of Snyder 1987, Map projections: a working manual)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Projection:
    """A map of the unit sphere whose middle is the x axis, north (z) up, east (y) to the right.

    Attributes:
        name: of `PROJECTIONS`. half: (half width, half height) of the map.
        forward: unit vectors (N, 3) -> map coordinates (N, 2), NaN where the map does not show them.
        inverse: map coordinates (N, 2) -> unit vectors (N, 3), NaN outside of the map.
    """

    name: str
    half: tuple[float, float]
    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]


def view_rotation(longitude: float, latitude: float, roll: float = 0.0) -> np.ndarray:
    """The rotation (3, 3) that brings a point of the globe to the middle of a map, its north up, turned by roll (degrees,
    counter-clockwise as seen on the map)."""
    lon, lat, turn = np.radians([longitude, latitude, roll])
    about_z = _turn(0, 1, -lon)
    about_y = _turn(0, 2, -lat)
    about_x = _turn(1, 2, turn)
    return about_x @ about_y @ about_z


def _turn(i: int, j: int, angle: float) -> np.ndarray:
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


def _angles(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude in radians."""
    return np.arctan2(unit[:, 1], unit[:, 0]), np.arctan2(unit[:, 2], np.hypot(unit[:, 0], unit[:, 1]))


def _unit(lon: np.ndarray, lat: np.ndarray, inside: np.ndarray) -> np.ndarray:
    unit = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
    return np.where(inside[:, None], unit, np.nan)


def _mollweide(unit: np.ndarray) -> np.ndarray:
    lon, lat = _angles(unit)
    t = 2 * np.arcsin(2 * lat / np.pi)  # Newton's method for t + sin t = pi sin(lat), whose root is double at the poles
    for _ in range(50):
        t = t - (t + np.sin(t) - np.pi * np.sin(lat)) / np.maximum(1 + np.cos(t), 1e-12)
        t = np.clip(t, -np.pi, np.pi)
    return np.stack([2 * np.sqrt(2) / np.pi * lon * np.cos(t / 2), np.sqrt(2) * np.sin(t / 2)], 1)


def _mollweide_inverse(place: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.arcsin(place[:, 1] / np.sqrt(2))
        lon = np.pi * place[:, 0] / (2 * np.sqrt(2) * np.cos(half))
        lat = np.arcsin((2 * half + np.sin(2 * half)) / np.pi)
    return _unit(lon, lat, np.abs(lon) <= np.pi)


def _hammer(unit: np.ndarray) -> np.ndarray:
    lon, lat = _angles(unit)
    scale = np.sqrt(2 / (1 + np.cos(lat) * np.cos(lon / 2)))
    return np.stack([2 * scale * np.cos(lat) * np.sin(lon / 2), scale * np.sin(lat)], 1)


def _hammer_inverse(place: np.ndarray) -> np.ndarray:
    x, y = place.T
    inside = x * x / 8 + y * y / 2 <= 1
    z = np.sqrt(np.maximum(1 - x * x / 16 - y * y / 4, 0))
    lon = 2 * np.arctan2(z * x, 2 * (2 * z * z - 1))
    return _unit(lon, np.arcsin(np.clip(z * y, -1, 1)), inside)


def _equirectangular(unit: np.ndarray) -> np.ndarray:
    return np.stack(_angles(unit), 1)


def _equirectangular_inverse(place: np.ndarray) -> np.ndarray:
    lon, lat = place.T
    return _unit(lon, lat, (np.abs(lon) <= np.pi) & (np.abs(lat) <= np.pi / 2))


def _orthographic(unit: np.ndarray) -> np.ndarray:
    return np.where(unit[:, :1] >= 0, unit[:, 1:], np.nan)


def _orthographic_inverse(place: np.ndarray) -> np.ndarray:
    depth = 1 - (place**2).sum(1)
    unit = np.concatenate([np.sqrt(np.maximum(depth, 0))[:, None], place], 1)
    return np.where(depth[:, None] >= 0, unit, np.nan)


def _lambert(unit: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.where(unit[:, :1] > -1, unit[:, 1:] * np.sqrt(2 / np.maximum(1 + unit[:, :1], 1e-300)), np.nan)


def _lambert_inverse(place: np.ndarray) -> np.ndarray:
    square = (place**2).sum(1, keepdims=True)
    unit = np.concatenate([1 - square / 2, place * np.sqrt(np.maximum(1 - square / 4, 0))], 1)
    return np.where(square <= 4, unit, np.nan)


_ROOT = float(np.sqrt(2))
PROJECTIONS = {
    p.name: p
    for p in (
        Projection("mollweide", (2 * _ROOT, _ROOT), _mollweide, _mollweide_inverse),
        Projection("hammer", (2 * _ROOT, _ROOT), _hammer, _hammer_inverse),
        Projection("equirectangular", (np.pi, np.pi / 2), _equirectangular, _equirectangular_inverse),
        Projection("orthographic", (1.0, 1.0), _orthographic, _orthographic_inverse),
        Projection("lambert", (2.0, 2.0), _lambert, _lambert_inverse),
    )
}
