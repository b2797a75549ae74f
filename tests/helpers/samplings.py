"""Samplings of the sphere for tests."""

from __future__ import annotations

import numpy as np
import torch

from gaugenet.geometry.spheres.icospheres import icosphere_mesh


def random_points(n: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def icosphere_points(level: int) -> np.ndarray:
    return icosphere_mesh(level)[0]


def reduced_rings(offset: float = 0.3) -> np.ndarray:
    """24 Gauss latitudes with 12 to 48 points, each ring turned by another angle, in a shuffled order."""
    z, _ = np.polynomial.legendre.leggauss(24)
    counts = np.clip(np.round(48 * np.sqrt(1 - z * z) / 4).astype(int) * 4, 12, None)
    rings = []
    for k, (height, n) in enumerate(zip(z, counts)):
        phi = offset * k + 2 * np.pi * np.arange(n) / n
        r = np.sqrt(1 - height * height)
        rings.append(np.stack([r * np.cos(phi), r * np.sin(phi), np.full(n, height)], 1))
    points = np.concatenate(rings)
    return points[np.random.default_rng(1).permutation(len(points))]


def random_frames(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """Frames (N, 3, 2), each turned by a random angle."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(frames))
    turn = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], -2)
    return frames @ turn


def coefficients(lmax: int, spin: int, *lead: int, seed: int = 0) -> torch.Tensor:
    """Random ones; none below the spin."""
    generator = torch.Generator().manual_seed(seed)
    size = (lmax + 1) ** 2
    shape = (*lead, size, 2) if spin else (*lead, size)
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    (values if spin == 0 else values.transpose(-1, -2))[..., : spin * spin] = 0
    return values
