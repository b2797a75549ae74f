"""Spin-weighted spherical harmonics, and what they are to tangent fields in frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import GeometryError
from .small_d import small_d
from .wigner import textbook_basis

# Points may lie this far (relative) from one sphere; frames may be this far from orthonormal.
_TOLERANCE = 1e-6


def spin_weighted_harmonics(points: np.ndarray | Tensor, lmax: int, spin: int = 0) -> Tensor:
    r"""Complex harmonics sY_lm at points of the sphere: complex128 (N, (lmax + 1)^2), at l^2 + l + m; 0 where l < \|s\|.

    :math:`{}_sY_{lm} = (-1)^s \sqrt{(2l+1)/4\pi}\; d^l_{m,-s}(\theta)\, e^{im\varphi}` (Goldberg et al. 1967), orthonormal on
    the unit sphere, with the Condon-Shortley phase; spin 0 are the harmonics of scipy. Spin s > 0 is
    :math:`\sqrt{(l-s)!/(l+s)!}\; \eth^s Y_{lm}`; of a scalar
    :math:`\eth f = -(\partial_\theta + i \partial_\varphi / \sin\theta) f`.

    A field of order s with components (a, b) (the irrep of SO(2) that turns a + ib to exp(-i s t)(a + ib) when its frame turns
    by t) has spin weight s, if its frame is (south, east) = (e_theta, e_phi). In gaugenet's (east, north) frames, which are
    turned by a right angle, :math:`a + ib = (-i)^s \eta` for the same field :math:`\eta`. See `tangent_harmonics` for harmonics
    in these frames.

    Args:
        points: (N, 3), of any norm but 0.
    """
    theta, phi = polar_angles(unit_points(points))
    rows = []
    for l, d in enumerate(small_d(lmax, -spin, theta)):
        phase = np.exp(1j * np.arange(-l, l + 1)[:, None] * phi)
        rows.append((-1) ** spin * np.sqrt((2 * l + 1) / (4 * np.pi)) * d * phase)
    return torch.from_numpy(np.concatenate(rows).T.copy())


def tangent_harmonics(points: np.ndarray | Tensor, lmax: int, spin: int = 0, frames: np.ndarray | None = None) -> Tensor:
    r"""Real harmonics of scalars, (N, K), or of fields of SO(2) order s > 0, (N, K, 2); float64, K = (lmax + 1)^2.

    Orthonormal on the unit sphere. Scalars: sqrt((2l + 1) / 4 pi) times `kernels.spherical_harmonics`, the components of
    `groups.SO3`. Order s: :math:`\sqrt{(l-s)!/(l+s)!}\,(\nabla_1 + i \nabla_2)^s` of these, as components (a, b) of a + ib, so
    that order 1 is the gradient; the complex harmonics become :math:`i^s\,{}_sY_{lm}`. All of them turn by the same D_l. Every
    field has one real coefficient for each, and one for each multiplied by i (for s = 1 the gradient turned by a right angle).

    Args:
        points: (N, 3). spin: s >= 0.
        frames: (N, 3, 2) tangent frames, right-handed with the outward normal. Default: (east, north) about the z axis.

    Raises:
        GeometryError: points at the origin, frames that are not orthonormal, tangent and right-handed (with the ids).
    """
    if spin < 0:
        raise ValueError(f"fields have an order of at least 0, got spin={spin}; of a negative one take the conjugate (a, -b)")
    unit = unit_points(points)
    # About the y axis the components of the textbook's recursion are those of SO(3): its (x, y, z) are our (z, x, y).
    theta, phi = polar_angles(unit[:, [2, 0, 1]])
    columns = []
    for l, d in enumerate(small_d(lmax, -spin, theta)):
        phase = np.exp(1j * np.arange(-l, l + 1)[:, None] * phi)
        raised = (-1j) ** spin * np.sqrt((2 * l + 1) / (4 * np.pi)) * d * phase  # (-1)^s i^s
        # real harmonics = S^H complex ones, for every spin
        columns.append(textbook_basis(l).conj().T @ raised)
    values = np.concatenate(columns).T
    if spin == 0:
        return torch.from_numpy(np.ascontiguousarray(values.real))
    own = polar_frames(theta, phi)[:, [1, 2, 0]]
    frames = polar_frames(*polar_angles(unit)) if frames is None else checked_frames(frames, unit)
    values = values * frame_phase(own, frames, spin)[:, None]
    return torch.view_as_real(torch.from_numpy(np.ascontiguousarray(values)))


def frame_phase(old: np.ndarray, new: np.ndarray, spin: int) -> np.ndarray:
    """(N,) complex factors that take a + ib of order s from old frames (N, 3, 2) to new ones."""
    cos = np.einsum("ni,ni->n", new[..., 0], old[..., 0])
    sin = np.einsum("ni,ni->n", new[..., 0], old[..., 1])
    return ((cos - 1j * sin) / np.hypot(cos, sin)) ** spin


def polar_angles(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colatitude in [0, pi] and longitude (0 at the poles) of unit vectors (N, 3)."""
    horizontal = np.hypot(unit[:, 0], unit[:, 1])
    phi = np.where(horizontal > 0, np.arctan2(unit[:, 1], unit[:, 0]), 0.0)
    return np.arctan2(horizontal, unit[:, 2]), phi


def polar_frames(theta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """(N, 3, 2): (east, north) of the z axis."""
    east = np.stack([-np.sin(phi), np.cos(phi), np.zeros_like(phi)], -1)
    north = np.stack([-np.cos(theta) * np.cos(phi), -np.cos(theta) * np.sin(phi), np.sin(theta)], -1)
    return np.stack([east, north], -1)


def unit_points(points: np.ndarray | Tensor) -> np.ndarray:
    """Points (N, 3) as float64 unit vectors."""
    points = as_array(points)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f"points on the sphere have shape (N, 3) with N >= 1, got {points.shape}")
    norm = np.linalg.norm(points, axis=1)
    bad = np.flatnonzero(~(np.isfinite(norm) & (norm > 0)))
    if bad.size:
        raise GeometryError(f"points without a direction (zero, NaN or infinite): {format_ids(bad)}")
    return points / norm[:, None]


def checked_frames(frames: np.ndarray | Tensor, unit: np.ndarray) -> np.ndarray:
    """Frames (N, 3, 2) as float64, orthonormal and tangent to 1e-6."""
    frames = as_array(frames)
    if frames.shape != (len(unit), 3, 2):
        raise ValueError(f"frames expected shape {(len(unit), 3, 2)}, got {frames.shape}")
    full = np.concatenate([frames, unit[:, :, None]], -1)
    error = np.abs(np.swapaxes(full, 1, 2) @ full - np.eye(3)).max((1, 2))
    bad = np.flatnonzero(~(error <= _TOLERANCE) | ~(np.linalg.det(full) > 0))
    if bad.size:
        raise GeometryError(f"frames must be orthonormal, tangent and right-handed with the outward normal: {format_ids(bad)}")
    return frames


def as_array(x: np.ndarray | Tensor) -> np.ndarray:
    """Anything like an array, on any device, as float64."""
    return np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x, dtype=np.float64)


def format_ids(ids: np.ndarray) -> str:
    """The first of them, and how many there are."""
    return f"ids {', '.join(map(str, ids[:8].tolist()))}{', ...' if len(ids) > 8 else ''} ({len(ids)} in all)"
