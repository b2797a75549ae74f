"""The Earth's topography, as spherical-harmonic coefficients and on a grid (SRTMP2160 as shipped with SHTOOLS)."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np

from ...errors import GaugenetError
from ..sphere_sampling import LatLonInterpolation
from .array_files import check_shapes, existing_file, read_npz

# The table of degree 300 has 45451 rows of about 50 characters; ten times as much is no such table.
_MOST_CHARACTERS = 1 << 25


def load_topography(path: str | os.PathLike) -> tuple[LatLonInterpolation, np.ndarray]:
    """The grid of cell centres and heights in metres (H, W), sea floor negative; ``grid.scalars(heights, points)`` reads them.

    Args:
        path: folder with earth_topo_2deg_lmax180.npz, or the file: elev_m (H, W), lat (H,), lon (W,).

    Raises:
        FileNotFoundError: no such file.
        GaugenetError: a damaged file, or another layout.
    """
    file = existing_file(path, "earth_topo_2deg_lmax180.npz")
    data = read_npz(file, {"elev_m": 2, "lat": 1, "lon": 1})
    check_shapes(file, data, {"elev_m": (len(data["lat"]), len(data["lon"]))})
    try:
        return LatLonInterpolation(data["lat"], data["lon"]), data["elev_m"].astype(np.float64)
    except GaugenetError as error:
        raise GaugenetError(f"{file}: {error}") from None


def load_topography_coefficients(path: str | os.PathLike, lmax: int | None = None) -> np.ndarray:
    r"""Coefficients (2, L + 1, L + 1) in metres: [0, l, m] of the cosines C_lm, [1, l, m] of the sines S_lm, 0 for m > l.

    .. math:: h = \sum_{l \le L} \sum_{m \le l} (C_{lm} \cos m\varphi + S_{lm} \sin m\varphi)\, \bar P_{lm}(\cos \theta)

    at colatitude :math:`\theta` and longitude :math:`\varphi`, with Legendre functions normalised so that every harmonic has
    mean square 1 over the sphere ("4 pi"), without the Condon-Shortley phase. Orthonormal harmonics have coefficients larger
    by the factor :math:`\sqrt{4 \pi}`.

    Args:
        path: folder with srtmp300.msl.gz, or the file (text or gzip): rows "l m C S".
        lmax: largest degree L to keep, by default all.

    Raises:
        FileNotFoundError: no such file.
        GaugenetError: a damaged file, or rows that are no table of coefficients up to one degree.
        ValueError: lmax beyond the table.
    """
    file = existing_file(path, "srtmp300.msl.gz")
    try:
        lines = [line.replace("D", "E").split() for line in _text(file).splitlines()]
        rows = np.array([line for line in lines if line], dtype=np.float64)
        l, m = rows[:, 0].astype(int), rows[:, 1].astype(int)
        table = rows[:, 2:4]
        degree = int(l.max())
        if rows.shape != ((degree + 1) * (degree + 2) // 2, 4) or (m < 0).any() or (m > l).any() or (l < 0).any():
            raise ValueError("expected one row for every 0 <= m <= l")
        if len({*zip(l.tolist(), m.tolist())}) != len(rows) or not np.isfinite(rows).all():
            raise ValueError("repeated rows, NaN or infinity")
    except (ValueError, IndexError, EOFError, OSError, zlib.error, OverflowError) as error:
        raise GaugenetError(f"{file}: no table of coefficients l m C S: {error}") from None
    if lmax is None:
        lmax = degree
    if not 0 <= lmax <= degree:
        raise ValueError(f"lmax must lie between 0 and {degree}, got {lmax}")
    out = np.zeros((2, degree + 1, degree + 1))
    out[:, l, m] = table.T
    return out[:, : lmax + 1, : lmax + 1].copy()


def _text(file: Path) -> str:
    with open(file, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(file, "rt", encoding="ascii") if zipped else open(file, encoding="ascii") as text:
        out = text.read(_MOST_CHARACTERS + 1)
    if len(out) > _MOST_CHARACTERS:
        raise ValueError("too long")
    return out
