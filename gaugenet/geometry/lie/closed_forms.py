"""Exponential maps and logarithms of matrix Lie groups in closed form, exact to rounding at every angle."""

from __future__ import annotations

import numpy as np

#: a turn within this of half a turn has two logarithms, of opposite axes
CUT = 1e-9
# Below this angle the quotients are summed as series, to the last bit.
_SERIES = 0.3


def exp_translation(a: np.ndarray) -> np.ndarray:
    """(..., d) -> (..., d + 1, d + 1)."""
    return affine(np.broadcast_to(np.eye(a.shape[-1]), (*a.shape[:-1], a.shape[-1], a.shape[-1])), a)


def log_translation(u: np.ndarray) -> np.ndarray:
    return u[..., :-1, -1].copy()


def exp_turn(a: np.ndarray) -> np.ndarray:
    """(..., 1), an angle -> (..., 2, 2)."""
    cos, sin = np.cos(a[..., 0]), np.sin(a[..., 0])
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def log_turn(u: np.ndarray) -> np.ndarray:
    """The angle in (-pi, pi]; half a turn, up to rounding, is +pi."""
    angle = np.arctan2(u[..., 1, 0] - u[..., 0, 1], u[..., 0, 0] + u[..., 1, 1])
    return np.where(np.pi - np.abs(angle) <= CUT, np.abs(angle), angle)[..., None]


def exp_scaled_turn(a: np.ndarray) -> np.ndarray:
    """(..., 2), logarithm of the factor and angle -> (..., 2, 2)."""
    return np.exp(a[..., :1, None]) * exp_turn(a[..., 1:])


def log_scaled_turn(u: np.ndarray) -> np.ndarray:
    factor = np.hypot(u[..., 0, 0] + u[..., 1, 1], u[..., 1, 0] - u[..., 0, 1]) / 2
    return np.concatenate([np.log(factor)[..., None], log_turn(u)], -1)


def exp_planar_motion(a: np.ndarray) -> np.ndarray:
    r"""(..., 3), angle and velocity v -> (..., 3, 3) with the translation V v, :math:`V = \int_0^1 R(s \theta)\, ds`."""
    half = a[..., :1] / 2
    return affine(exp_turn(a[..., :1]), sinc(half) * _times(exp_turn(half), a[..., 1:]))


def log_planar_motion(u: np.ndarray) -> np.ndarray:
    angle = log_turn(u[..., :2, :2])[..., 0]
    # V turns by half the angle and shrinks by sinc of it, which is nowhere 0 up to half a turn.
    half = angle / 2
    cos, sin, x, y = np.cos(half), np.sin(half), u[..., 0, 2], u[..., 1, 2]
    return np.stack([angle, (cos * x + sin * y) / sinc(half), (cos * y - sin * x) / sinc(half)], -1)


def exp_rotation(a: np.ndarray) -> np.ndarray:
    """(..., 3), axis times angle -> (..., 3, 3), by Rodrigues' formula."""
    angle = np.linalg.norm(a, axis=-1)[..., None, None]
    k = cross(a)
    return np.eye(3) + sinc(angle) * k + sinc(angle / 2) ** 2 / 2 * (k @ k)


def log_rotation(u: np.ndarray) -> np.ndarray:
    """Axis times angle in [0, pi]. Of half a turn, up to rounding, the axis whose first component beyond 0.31 is positive."""
    w = np.stack([u[..., 2, 1] - u[..., 1, 2], u[..., 0, 2] - u[..., 2, 0], u[..., 1, 0] - u[..., 0, 1]], -1) / 2
    sin, cos = np.linalg.norm(w, axis=-1), (np.trace(u, axis1=-2, axis2=-1) - 1) / 2
    angle = np.arctan2(sin, cos)
    # Beyond a quarter turn the symmetric part, cos + (1 - cos) n n^T, tells the axis n better than w = sin n.
    square = (u + np.swapaxes(u, -1, -2)) / 2 - cos[..., None, None] * np.eye(3)
    largest = np.diagonal(square, axis1=-2, axis2=-1).argmax(-1)
    axis = np.take_along_axis(square, largest[..., None, None], -1)[..., 0]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-300)
    first = np.take_along_axis(axis, (np.abs(axis) > 0.31).argmax(-1)[..., None], -1)[..., 0]
    side = np.where(sin > CUT, (axis * w).sum(-1), first)
    axis = np.where(side < 0, -1.0, 1.0)[..., None] * axis
    return np.where((cos < 0)[..., None], angle[..., None] * axis, w / sinc(np.where(cos < 0, 0.0, angle))[..., None])


def exp_motion(a: np.ndarray) -> np.ndarray:
    """(..., 6), axis times angle and velocity -> (..., 4, 4)."""
    turn, v = a[..., :3], a[..., 3:]
    angle, k = np.linalg.norm(turn, axis=-1)[..., None, None], cross(turn)
    moved = np.eye(3) + sinc(angle / 2) ** 2 / 2 * k + _one_less_sinc(angle) * (k @ k)
    return affine(exp_rotation(turn), _times(moved, v))


def log_motion(u: np.ndarray) -> np.ndarray:
    turn = log_rotation(u[..., :3, :3])
    angle, k = np.linalg.norm(turn, axis=-1)[..., None, None], cross(turn)
    moved = np.eye(3) - k / 2 + _one_less_cot(angle) * (k @ k)
    return np.concatenate([turn, _times(moved, u[..., :3, 3])], -1)


def exp_scaling(a: np.ndarray) -> np.ndarray:
    """(..., 3), velocity and logarithm of the factor -> (..., 3, 3)."""
    log = a[..., 2:]
    factor = np.exp(log)[..., None] * np.eye(2)
    return affine(factor, a[..., :2] * growth(log))


def log_scaling(u: np.ndarray) -> np.ndarray:
    log = np.log((u[..., :1, 0] + u[..., 1:2, 1]) / 2)
    return np.concatenate([u[..., :2, 2] / growth(log), log], -1)


def affine(linear: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """The matrix of x -> linear x + translation in homogeneous coordinates."""
    d = translation.shape[-1]
    out = np.zeros((*np.broadcast_shapes(linear.shape[:-2], translation.shape[:-1]), d + 1, d + 1))
    out[..., :d, :d], out[..., :d, d], out[..., d, d] = linear, translation, 1
    return out


def cross(a: np.ndarray) -> np.ndarray:
    """The matrix of the cross product with a: (..., 3) -> (..., 3, 3)."""
    x, y, z = np.moveaxis(a, -1, 0)
    nought = np.zeros_like(x)
    return np.stack([nought, -z, y, z, nought, -x, -y, x, nought], -1).reshape(*a.shape, 3)


def sinc(x: np.ndarray) -> np.ndarray:
    """sin x / x."""
    return np.sinc(x / np.pi)


def _one_less_sinc(x: np.ndarray) -> np.ndarray:
    """(1 - sin x / x) / x^2."""
    z = x * x
    series = 1 / 6 - z / 120 * (1 - z / 42 * (1 - z / 72 * (1 - z / 110 * (1 - z / 156))))
    large = np.where(x < _SERIES, 1.0, x)
    return np.where(x < _SERIES, series, (1 - np.sin(large) / large) / large**2)


def _one_less_cot(x: np.ndarray) -> np.ndarray:
    """(1 - (x / 2) cot(x / 2)) / x^2."""
    z = x * x
    series = 1 / 12 + z / 720 * (1 + z / 42 * (1 + z / 40 * (1 + z * (5 / 198) * (1 + z * 691 / 27300))))
    large = np.where(x < _SERIES, 1.0, x)
    return np.where(x < _SERIES, series, (1 - large / 2 / np.tan(large / 2)) / large**2)


def growth(x: np.ndarray) -> np.ndarray:
    """(exp x - 1) / x."""
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, np.expm1(safe) / safe)


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return (matrix @ vector[..., None])[..., 0]
