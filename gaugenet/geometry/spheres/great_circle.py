"""Closed forms on the unit sphere: frames of the globe, log maps and transport along great circles."""

from __future__ import annotations

import numpy as np

# Points closer than this (in units of the sphere's radius) are the same point.
DUPLICATE = 1e-9


def east_north(unit: np.ndarray) -> np.ndarray:
    """(N, 3, 2): the unit vectors to the east and to the north, with z the axis of the globe.

    At a pole they are the limit along the meridian through +x: east is +y at both, north is -x at the north pole and +x at
    the south pole.
    """
    x, y = unit[:, 0], unit[:, 1]
    horizontal = np.hypot(x, y)
    pole = horizontal == 0
    horizontal = np.where(pole, 1, horizontal)
    east = np.stack([-y / horizontal, np.where(pole, 1, x / horizontal), np.zeros_like(x)], -1)
    return np.stack([east, np.cross(unit, east)], -1)


def great_circle(
    unit: np.ndarray, frame: np.ndarray, source: np.ndarray, target: np.ndarray, hand: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Log maps (E, 2) and transporters (E, 2, 2) on the unit sphere along the shorter great-circle arcs.

    Args:
        unit: (N, 3) unit vectors. frame: (N, 3, 2) orthonormal tangent frames; between frames of different hands the
            transporter has determinant -1. source, target: (E,) ids of q and p.
            Antipodal and equal pairs have no direction; their results are NaN.
        hand: (N,) handedness of the frames, when it is known.
    """
    q, p = unit[source], unit[target]
    cosine = np.einsum("ei,ei->e", p, q)
    # q - p, or q + p on the far side, is nearly free of rounding; adding a multiple of p or q changes no tangential part.
    sign = np.where(cosine >= 0, 1.0, -1.0)[:, None]
    short = q - sign * p
    at_p = np.einsum("eid,ei->ed", frame[target], short)
    at_q = np.einsum("eid,ei->ed", frame[source], sign * short)
    with np.errstate(invalid="ignore"):
        at_p /= np.linalg.norm(at_p, axis=1, keepdims=True)
        at_q /= np.linalg.norm(at_q, axis=1, keepdims=True)
    angle = np.arctan2(np.linalg.norm(np.cross(p, short), axis=1), cosine)
    # The direction goes to the direction, and its left to its left as seen from outside.
    hand = handedness(unit, frame) if hand is None else hand
    left_p = hand[target, None] * np.stack([-at_p[:, 1], at_p[:, 0]], -1)
    left_q = hand[source, None] * np.stack([-at_q[:, 1], at_q[:, 0]], -1)
    transport = at_p[:, :, None] * at_q[:, None, :] + left_p[:, :, None] * left_q[:, None, :]
    return angle[:, None] * at_p, transport


def handedness(unit: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """(N,): 1 where a frame is right-handed with the outward normal, -1 where not."""
    return np.sign(np.einsum("ni,ni->n", np.cross(frame[:, :, 0], frame[:, :, 1]), unit))
