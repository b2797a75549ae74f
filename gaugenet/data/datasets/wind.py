"""Wind from geopotential: a scalar field and a tangent vector field on the sphere (ERA-Interim)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...errors import GaugenetError
from ..sphere_sampling import LatLonInterpolation, unit_points
from .array_files import check_shapes, existing_file, read_netcdf

#: Angular velocity of the Earth (rad/s) and its mean radius (m).
OMEGA, EARTH_RADIUS = 7.292e-5, 6.3712e6


class WindScale(NamedTuple):
    """Units of the network's inputs and outputs, from the training fields alone.

    Attributes:
        geopotential: standard deviation of z about the mean of each field (m^2/s^2). wind: root mean square of |(u, v)| (m/s).
    """

    geopotential: float
    wind: float


class GeopotentialWind:
    r"""Monthly means of geopotential z and wind (u, v) at pressure levels, at any points of the sphere.

    The task: from the scalars "2x0", the geopotential and :math:`\sin(\mathrm{latitude})`, to the tangent vector "1x1", the
    wind. The second scalar is the Coriolis parameter :math:`f = 2 \Omega \sin(\mathrm{latitude})` in units of
    :math:`2 \Omega`; a rotation-equivariant network has no other information about the axis of the globe. Both turn with a
    rotation of the globe, and so must the answer. Away from the equator the wind is nearly geostrophic (:meth:`geostrophic`).

    The level of z differs between pressure levels and says nothing about the wind, so inputs are anomalies from the mean of
    each field over the sphere. Vectors are interpolated in space, so that pole rows (one vector by its components in the
    rotating frames of all longitudes) are read as what they are.

    Args:
        path: folder with eraint_uvz.nc, or the file (netCDF, read by xarray: the extra ``weather``): z, u, v (month, level,
            latitude, longitude), with their axes.

    Attributes:
        months, levels: (F,) of each field, level in hPa. in_type, out_type: "2x0", "1x1".

    Raises:
        FileNotFoundError: no such file.
        GaugenetError: a damaged file, or another layout. MissingDependencyError: xarray is not installed.
    """

    in_type, out_type = "2x0", "1x1"

    def __init__(self, path: str | os.PathLike) -> None:
        file = existing_file(path, "eraint_uvz.nc")
        ndim = {"z": 4, "u": 4, "v": 4, "month": 1, "level": 1, "latitude": 1, "longitude": 1}
        data = read_netcdf(file, ndim)
        shape = tuple(len(data[name]) for name in ("month", "level", "latitude", "longitude"))
        check_shapes(file, data, dict.fromkeys("zuv", shape))
        try:
            self.grid = LatLonInterpolation(data["latitude"], data["longitude"])
        except GaugenetError as error:
            raise GaugenetError(f"{file}: {error}") from None
        self._z, self._u, self._v = (data[name].reshape(-1, *shape[2:]) for name in "zuv")
        self._z = self._z - self.grid.mean(self._z)[:, None, None]
        month, level = np.meshgrid(data["month"], data["level"], indexing="ij")
        self.months, self.levels = month.ravel().astype(int), level.ravel().astype(int)

    def __len__(self) -> int:
        return len(self.months)

    def split(self, *, month: int | None = None, level: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Indices of training and test fields, with one month or one pressure level held out for the test.

        Raises:
            ValueError: not exactly one of them given, or not there, or nothing left to train on.
        """
        if (month is None) == (level is None):
            raise ValueError("give either the month or the level to hold out")
        name, held = ("month", self.months == month) if level is None else ("level", self.levels == level)
        if not held.any() or held.all():
            values = sorted({int(v) for v in (self.months if level is None else self.levels)})
            raise ValueError(f"cannot hold out {name} {month if level is None else level}: the file has {values}")
        return np.flatnonzero(~held), np.flatnonzero(held)

    def scale(self, indices: Sequence[int] | np.ndarray) -> WindScale:
        """Units from the given (training) fields, by area over the whole grid."""
        z, u, v = (a[np.asarray(indices)] for a in (self._z, self._u, self._v))
        return WindScale(*(float(np.sqrt(self.grid.mean(a).mean())) for a in (z**2, u**2 + v**2)))

    def inputs(self, points: np.ndarray, scale: WindScale, rotation: np.ndarray | None = None) -> np.ndarray:
        """(F, N, 2): geopotential in its unit, and sin(latitude).

        Args:
            points: (N, 3). rotation: (3, 3), of the globe: field values at p are those of the unturned globe at R^-1 p.
                A reflection gives the mirror image, in which everything that turns turns the other way: the Coriolis parameter
                is a pseudoscalar. A mirror image with north and south exchanged is again a globe that turns as ours does.
        """
        turned = _turned_back(points, rotation)
        z = self.grid.scalars(self._z, turned) / scale.geopotential
        sine = turned[:, 2] * (1.0 if rotation is None else np.sign(np.linalg.det(rotation)))
        return np.stack([z, np.broadcast_to(sine, z.shape)], -1).astype(np.float32)

    def winds(
        self, points: np.ndarray, frame: np.ndarray, scale: WindScale | None = None, rotation: np.ndarray | None = None
    ) -> np.ndarray:
        """(F, N, 2): components of the wind in tangent frames (N, 3, 2), for (east, north) frames u and v; m/s without a scale.

        Raises:
            ValueError: frames of another shape.
        """
        unit = _turned_back(points, rotation)
        return self._components(self.grid.vectors(self._u, self._v, unit), frame, rotation, scale, len(unit))

    def geostrophic(
        self,
        points: np.ndarray,
        frame: np.ndarray,
        scale: WindScale | None = None,
        rotation: np.ndarray | None = None,
        smallest: float = 0.2,
    ) -> np.ndarray:
        r"""(F, N, 2): the geostrophic wind, :math:`f\, k \times v = -\nabla z`; arguments as for :meth:`winds`. No learning.

        :math:`v = k \times \nabla z / f` with k the outward normal and :math:`f = 2 \Omega \sin(\mathrm{latitude})`, whose
        reciprocal is replaced by :math:`f / (f^2 + (2 \Omega\, \mathrm{smallest})^2)`: the balance fails at the equator.
        Gradients are centred differences on the grid.

        Raises:
            ValueError: smallest is not positive, or frames of another shape.
        """
        if not smallest > 0:
            raise ValueError(f"smallest must be positive, got {smallest!r}")
        unit = _turned_back(points, rotation)
        latitude = np.radians(self.grid.latitude)
        d_lat = np.gradient(self._z, latitude, axis=1) / EARTH_RADIUS
        step = 2 * np.pi / len(self.grid.longitude)
        cosine = np.maximum(np.cos(latitude), 1e-3)[:, None]
        d_lon = (np.roll(self._z, -1, 2) - np.roll(self._z, 1, 2)) / (2 * step * cosine * EARTH_RADIUS)
        f = 2 * OMEGA * np.sin(latitude)[:, None]
        over_f = f / (f**2 + (2 * OMEGA * smallest) ** 2)
        east, north = -d_lat * over_f, d_lon * over_f
        # Rows at poles have no neighbours on one side: the rows before them serve.
        inner = np.abs(self.grid.latitude) < 90 - 1e-6
        grid = LatLonInterpolation(self.grid.latitude[inner], self.grid.longitude)
        return self._components(grid.vectors(east[:, inner], north[:, inner], unit), frame, rotation, scale, len(unit))

    @staticmethod
    def _components(
        ambient: np.ndarray, frame: np.ndarray, rotation: np.ndarray | None, scale: WindScale | None, n: int
    ) -> np.ndarray:
        frame = np.asarray(frame, dtype=np.float64)
        if frame.shape != (n, 3, 2):
            raise ValueError(f"frames expected shape {(n, 3, 2)}, got {frame.shape}")
        if rotation is not None:
            ambient = ambient @ np.asarray(rotation, dtype=np.float64).T
        out = np.einsum("...nx,nxc->...nc", ambient, frame)
        return (out if scale is None else out / scale.wind).astype(np.float32)


def _turned_back(points: np.ndarray, rotation: np.ndarray | None) -> np.ndarray:
    """R^-1 p."""
    unit = unit_points(points)
    if rotation is None:
        return unit
    rotation = np.asarray(rotation, dtype=np.float64)
    if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6):
        raise ValueError("rotation expected an orthogonal (3, 3) matrix")
    return unit @ rotation
