"""Which closed components of a mesh lie inside of which others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

# Faces whose solid angles are summed at a time.
_PIECE = 2**18


def containers(
    vertices: np.ndarray, faces: np.ndarray, part: np.ndarray, closed: np.ndarray, wanted: Iterable[int]
) -> dict[int, np.ndarray]:
    """For each wanted component the closed ones that it lies inside of, by winding numbers (Jacobson et al. 2013).

    It lies inside of another one when the six vertices that reach farthest along the axes do; components that cross each other
    have some of them outside.

    Args:
        vertices: (V, 3). faces: (F, 3).
        part: (F,) component of each face. closed: (P,) bool.
        wanted: components.

    Returns:
        component -> numbers of the closed components around it.
    """
    order = np.argsort(part, kind="stable")
    pieces = np.split(faces[order], np.cumsum(np.bincount(part, minlength=len(closed)))[:-1])
    low = np.array([vertices[f].min(axis=(0, 1)) if len(f) else np.full(3, np.inf) for f in pieces])
    high = np.array([vertices[f].max(axis=(0, 1)) if len(f) else np.full(3, -np.inf) for f in pieces])
    found = {}
    for c in wanted:
        used = vertices[np.unique(pieces[c])]
        points = used[np.concatenate([used.argmin(axis=0), used.argmax(axis=0)])]
        around = closed & (low <= low[c]).all(axis=1) & (high >= high[c]).all(axis=1)
        around[c] = False
        found[c] = np.array([k for k in np.flatnonzero(around) if _inside(points, vertices, pieces[k])], dtype=np.int64)
    return found


def _inside(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether a closed surface winds round all the points, either way."""
    return all(abs(winding_number(point, vertices, faces)) > 0.5 for point in points)


def winding_number(point: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> float:
    """Sum of the solid angles of the faces seen from a point (3,), over 4 pi (Van Oosterom, Strackee 1983)."""
    total = 0.0
    for start in range(0, len(faces), _PIECE):
        a, b, c = np.moveaxis(vertices[faces[start : start + _PIECE]] - point, 1, 0)
        x, y, z = (np.linalg.norm(side, axis=1) for side in (a, b, c))
        dot = [np.einsum("fi,fi->f", p, q) for p, q in ((b, c), (c, a), (a, b))]
        volume = np.einsum("fi,fi->f", a, np.cross(b, c))
        total += float(np.arctan2(volume, x * y * z + dot[0] * x + dot[1] * y + dot[2] * z).sum())
    return total / (2.0 * np.pi)
