"""Posed chains of round cones: limbs, tails, necks, fingers, handles."""

from __future__ import annotations

import numpy as np

from .implicit import RoundCone


def rotation(vector) -> np.ndarray:
    """Rodrigues: the rotation by |vector| about vector."""
    vector = np.asarray(vector, float)
    angle = np.linalg.norm(vector)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def random_rotation(rng) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def unit(v) -> np.ndarray:
    v = np.asarray(v, float)
    return v / np.linalg.norm(v)


def chain(start, direction, lengths, radii, bends=()) -> tuple[list[RoundCone], np.ndarray, np.ndarray]:
    """Segments one after another; `bends[i]` is the rotation vector (world axes) put in before segment i.

    Returns the cones, the end point and the last direction. radii has one entry more than lengths.
    """
    point, turn, direction = np.asarray(start, float), np.eye(3), unit(direction)
    cones = []
    for i, length in enumerate(lengths):
        if i < len(bends):
            turn = rotation(bends[i]) @ turn
        end = point + length * (turn @ direction)
        cones.append(RoundCone(point, end, float(radii[i]), float(radii[i + 1])))
        point = end
    return cones, point, turn @ direction


def curl(start, direction, length: float, radii, rng, bend: float, pieces: int = 6, mean=(0, 0, 0)):
    """A limb that bends smoothly: `pieces` segments, total bending about `bend` rad in random directions plus `mean`."""
    plane = rng.normal(size=3)
    plane = bend * rng.uniform(0.3, 1) * plane / np.linalg.norm(plane)
    second = rng.normal(size=3) * 0.35 * bend / np.sqrt(3)
    steps = [(plane + np.asarray(mean) + second * np.sin(np.pi * i / pieces)) / pieces for i in range(pieces)]
    profile = np.interp(np.linspace(0, 1, pieces + 1), np.linspace(0, 1, len(radii)), radii)
    return chain(start, direction, [length / pieces] * pieces, profile, steps)


def tube(points: np.ndarray, radius: float, closed: bool) -> list[RoundCone]:
    """A tube of constant radius along a polyline."""
    following = np.roll(points, -1, axis=0) if closed else points[1:]
    return [RoundCone(a, b, radius, radius) for a, b in zip(points, following)]
