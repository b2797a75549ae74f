"""The microwave background: temperature and linear polarisation, a scalar and a spin-2 field on the sphere (WMAP)."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from ...errors import GaugenetError
from ...geometry import LocalGeometry, healpix
from .array_files import existing_file, read_npz


class SkyMap(NamedTuple):
    """Maps at HEALPix pixels in RING order, in the (east, north) frames of :meth:`sphere`.

    Attributes:
        temperature: (N, 1) float32, type "1x0".
        polarization: (N, 2) float32, type "1x2".
        mask: (N,) bool, pixels to be used.
        nside: of the HEALPix pixelisation, N = 12 nside^2.
    """

    temperature: np.ndarray
    polarization: np.ndarray
    mask: np.ndarray
    nside: int

    def sphere(
        self,
        *,
        radius: float | np.ndarray | None = None,
        rings: int | None = None,
        count: int | None = None,
        sphere_radius: float = 1.0,
        frames: np.ndarray | None = None,
        structure: str = "SO2",
        levels: int = 0,
    ) -> LocalGeometry:
        """The pixel centres in the order of the maps; arguments of :func:`gaugenet.geometry.healpix`."""
        near: dict[str, Any] = {"radius": radius, "rings": rings, "count": count}
        options: dict[str, Any] = {"sphere_radius": sphere_radius, "frames": frames, "structure": structure, "levels": levels}
        return healpix(self.nside, nest=False, **near, **options)


def load_wmap(path: str | os.PathLike, convention: str = "COSMO") -> SkyMap:
    r"""Stokes I, Q, U as fields of orders 0 and 2.

    Linear polarisation at angle :math:`\psi` has :math:`Q + iU = P e^{2 i \psi}`. HEALPix ("COSMO") counts :math:`\psi` from
    south towards east, and our frames count :math:`\varphi` from east towards north; both turn counter-clockwise as seen from
    outside, :math:`\varphi = \psi - \pi/2`, so :math:`P e^{2 i \varphi} = -(Q + iU)` and the field of order 2 is (-Q, -U).
    The IAU convention counts from north through east, clockwise from outside, :math:`\varphi = \pi/2 - \psi`: (-Q, U).

    Args:
        path: folder with wmap_W_iqu_nside32.npz, or the file: I, Q, U, mask, each (12 nside^2,) in RING order.
        convention: "COSMO" or "IAU", that of the file.

    Raises:
        FileNotFoundError: no such file.
        GaugenetError: a damaged file, or maps that are no HEALPix maps.
        ValueError: an unknown convention.
    """
    if convention not in ("COSMO", "IAU"):
        raise ValueError(f'convention must be "COSMO" or "IAU", got {convention!r}')
    file = existing_file(path, "wmap_W_iqu_nside32.npz")
    maps = read_npz(file, {"I": 1, "Q": 1, "U": 1, "mask": 1})
    n = len(maps["I"])
    nside = round((n / 12) ** 0.5)
    if 12 * nside**2 != n or nside & (nside - 1) or {len(m) for m in maps.values()} != {n}:
        raise GaugenetError(f"{file}: expected four maps of 12 nside^2 pixels, got {[len(m) for m in maps.values()]}")
    q, u = maps["Q"], maps["U"] if convention == "COSMO" else -maps["U"]
    return SkyMap(
        temperature=maps["I"].astype(np.float32)[:, None],
        polarization=-np.stack([q, u], -1).astype(np.float32),
        mask=maps["mask"] > 0.5,
        nside=nside,
    )
