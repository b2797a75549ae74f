"""Samplings of the sphere for tests."""

from __future__ import annotations

import numpy as np
import torch
from scipy.io import netcdf_file

from gaugenet import FieldType, groups
from gaugenet.data.sphere_sampling import east_north
from gaugenet.geometry.spheres.icospheres import icosphere_mesh
from gaugenet.spectral import FieldTransform

FIELDS = FieldType(groups.SO2(), "2x0 + 3x1 + 1x2 + 1x4")


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


def healpy_coefficients(alm: np.ndarray, lmax: int) -> torch.Tensor:
    """From the order of healpy, l fastest for m = 0, 1, ..., of real fields, to (lmax + 1)^2 complex ones."""
    full = np.zeros((lmax + 1) ** 2, complex)
    start = 0
    for m in range(lmax + 1):
        l = np.arange(m, lmax + 1)
        part = alm[start : start + len(l)]
        full[l * l + l - m] = (-1) ** m * part.conj()
        full[l * l + l + m] = part
        start += len(l)
    return torch.from_numpy(full)


def band_limited(sampling, field_type: FieldType = FIELDS, lmax: int = 6, **options) -> tuple[torch.Tensor, FieldTransform]:
    """Random features of degrees up to lmax, and their transform."""
    t = FieldTransform(sampling, lmax, field_type, **options).double()
    n = next(iter(t.transforms.values())).num_points
    noise = torch.randn(2, n, field_type.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return t.synthesis(t.analysis(noise)), t


def polynomial(points: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A scalar and a vector field in space, both turned by R, at points: R f(R^-1 p), the vectors tangent."""
    q = points @ rotation  # R^-1 p
    scalar = q[:, 0] ** 2 * q[:, 2] - 0.3 * q[:, 1]
    vector = np.stack([q[:, 1] * q[:, 2], q[:, 0] + 0.2, q[:, 0] * q[:, 1] - q[:, 2]], 1) @ rotation.T
    return scalar, vector - points * (vector * points).sum(1, keepdims=True)


def grid_points(latitude, longitude):
    """Points (H, W, 3) of a grid in degrees, and their latitudes and longitudes in radians."""
    lat, lon = np.meshgrid(np.radians(latitude), np.radians(longitude), indexing="ij")
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1), lat, lon


def write_wind(path, u_of, z_of, levels=(200, 500, 850), months=(1, 7), drop=()):
    """A packed netCDF-3 file like ERA-Interim's; u_of(x, field) ambient wind (H, W, 3), z_of(x, field) (H, W)."""
    latitude, longitude = np.linspace(90, -90, 61), np.arange(120) * 3.0 - 180
    x, lat, lon = grid_points(latitude, longitude)
    frame = east_north(lat, lon)
    fields = {"u": [], "v": [], "z": []}
    for number in range(len(months) * len(levels)):
        u, v = np.einsum("hwx,hwxc->chw", u_of(x, number), frame)
        for name, value in zip("uvz", (u, v, z_of(x, number))):
            fields[name].append(value)
    with netcdf_file(path, "w", version=2) as out:
        axes = {"month": np.array(months), "level": np.array(levels), "latitude": latitude, "longitude": longitude}
        for name, values in axes.items():
            out.createDimension(name, len(values))
            out.createVariable(name, "i4" if values.dtype.kind == "i" else "f4", (name,))[:] = values
        for name, values in fields.items():
            if name in drop:
                continue
            values = np.reshape(values, (len(months), len(levels), 61, 120))
            variable = out.createVariable(name, "i2", tuple(axes))
            variable.scale_factor = float(np.abs(values).max() / 32000 + 1e-9)
            variable.add_offset = float(values.mean())
            variable[:] = np.rint((values - variable.add_offset) / variable.scale_factor).astype("i2")
    return path


def solid_rotation(x, number):
    """The wind of a sphere that turns, the faster the larger the number of the field."""
    return 10 * (number + 1) * np.cross([0.3, 0.2, 0.9], x)
