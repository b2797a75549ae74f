"""Arrows, lines and dots that lie on a surface, as flat triangles in its tangent planes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .colors import PAPER
from .scene import Layer

_DISC = 16


def arrows(
    base: np.ndarray, vector: np.ndarray, normal: np.ndarray, color: np.ndarray, width: float, bias: float
) -> list[Layer]:
    """Flat arrows with white rims.

    Args:
        base, vector, normal: (K, 3), with unit normals; the vectors are tangent.
        color: (3,) or (K, 3). width: of the shafts (unit of length).
    """
    length = np.linalg.norm(vector, axis=1, keepdims=True)
    along = vector / np.where(length > 0, length, 1.0)
    side = np.cross(normal, along)
    head = np.minimum(5.0 * width, 0.6 * length)

    def outline(grow: float) -> np.ndarray:
        half, neck, wing = 0.5 * width + grow, length - head - grow, 0.32 * head + 1.6 * grow
        # (along, across): the shaft's corners, then the head's.
        places = [
            (-grow, half),
            (-grow, -half),
            (neck, -half),
            (neck, half),
            (neck, -wing),
            (length + 2.2 * grow, 0),
            (neck, wing),
        ]
        return np.stack([base + a * along + b * side for a, b in places], axis=1)

    shape = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6]])
    return _rimmed(outline(0.45 * width), outline(0.0), shape, color, normal, bias)


def dots(center: np.ndarray, normal: np.ndarray, color: np.ndarray, radius: float, bias: float) -> list[Layer]:
    """Discs (K, 3) with white rims in the planes orthogonal to the normals."""
    axis = np.zeros_like(normal)
    np.put_along_axis(axis, np.abs(normal).argmin(axis=1)[:, None], 1.0, axis=1)
    u = np.cross(normal, axis)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(normal, u)
    angle = 2 * np.pi * np.arange(_DISC) / _DISC
    fan = np.array([[0, 1 + k, 1 + (k + 1) % _DISC] for k in range(_DISC)])
    around = np.cos(angle)[None, :, None] * u[:, None] + np.sin(angle)[None, :, None] * v[:, None]

    def disc(r: float) -> np.ndarray:
        return np.concatenate([center[:, None], center[:, None] + r * around], axis=1)

    return _rimmed(disc(1.35 * radius), disc(radius), fan, color, normal, bias)


def crosses(center: np.ndarray, arms: np.ndarray, normal: np.ndarray, color: np.ndarray, width: float, bias: float) -> Layer:
    """Stars of ``arms`` (K, n, 3), tangent vectors from the centres, as bars."""
    count, n, _ = arms.shape
    base, up = np.repeat(center, n, axis=0), np.repeat(normal, n, axis=0)
    vector = arms.reshape(-1, 3)
    size = np.linalg.norm(vector, axis=1, keepdims=True)
    side = np.cross(up, vector / np.where(size > 0, size, 1.0)) * (0.5 * width)
    points = np.stack([base - side, base + vector - side, base + vector + side, base + side], axis=1)
    colors = np.repeat(np.broadcast_to(color, (count, 3)), n, axis=0)
    return _stamped(points, np.array([[0, 1, 2], [0, 2, 3]]), colors, up, bias)


def ribbons(
    lines: Sequence[np.ndarray], normals: Sequence[np.ndarray], color: np.ndarray, width: float, bias: float
) -> Layer | None:
    """Polylines (K, 3) on the surface, with normals (K, 3) at their points, as bands; None when there is no line."""
    positions, ups, triangles, start = [], [], [], 0
    for line, up in zip(lines, normals):
        if len(line) < 2:
            continue
        step = np.gradient(line, axis=0)
        side = np.cross(up, step)
        size = np.linalg.norm(side, axis=1, keepdims=True)
        side = side / np.where(size > 0, size, 1.0) * (0.5 * width)
        positions.append(np.stack([line - side, line + side], axis=1).reshape(-1, 3))
        ups.append(np.repeat(up, 2, axis=0))
        pair = start + 2 * np.arange(len(line) - 1)[:, None]
        triangles += [pair + np.array([0, 2, 3]), pair + np.array([0, 3, 1])]
        start += 2 * len(line)
    if not positions:
        return None
    points = np.concatenate(positions)
    return Layer(
        points, np.concatenate(ups), np.broadcast_to(color, points.shape), np.concatenate(triangles), lit=False, bias=bias
    )


def _rimmed(outer: np.ndarray, inner: np.ndarray, shape: np.ndarray, color, normal: np.ndarray, bias: float) -> list[Layer]:
    """The inner shapes over white outer ones: nearer by the bias, not in space, so that it is so from both sides."""
    return [_stamped(outer, shape, PAPER, normal, bias), _stamped(inner, shape, color, normal, 1.1 * bias)]


def _stamped(points: np.ndarray, shape: np.ndarray, color: np.ndarray, normal: np.ndarray, bias: float) -> Layer:
    """Copies of a small mesh: points (K, P, 3), triangles (T, 3), colours (K, 3) or (3,), normals (K, 3)."""
    count, size = points.shape[:2]
    color = np.repeat(np.broadcast_to(color, (count, 3)), size, axis=0)
    triangles = (size * np.arange(count)[:, None, None] + shape).reshape(-1, 3)
    return Layer(points.reshape(-1, 3), np.repeat(normal, size, axis=0), color, triangles, lit=False, bias=bias)
