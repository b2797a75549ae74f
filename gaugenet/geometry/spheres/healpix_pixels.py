r"""HEALPix pixels: centres, ring and nested numbers, neighbours (Gorski et al. 2005, astro-ph/0409513, sections 4 and 5).

A pixel is (face, x, y): one of the 12 base pixels, and its position 0..nside-1 along the face's north-east and north-west edges
from its southern corner. Faces 0-3 lie round the north pole, 4-7 on the equator (face 4 at longitude 0), 8-11 round the
south pole. In the plane of the projection, in units of pi/4 (Calabretta & Roukema 2007, astro-ph/0412607), the centre of
face f has the column (2 (f mod 4) + 1, or 2 (f mod 4) on the equator) and the row 1, 0, -1, and the pixel's centre is

    u = column + (x - y) / nside,    v = row + (x + y + 1) / nside - 1.
"""

from __future__ import annotations

import numpy as np

from .checks import checked_int

#: largest nside: as for the nested numbers of healpy
MAX_NSIDE = 1 << 29
# Step (dx, dy) to the neighbours in the order SW, W, NW, N, NE, E, SE, S.
_STEPS = np.array([(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)])


def healpix_centers(nside: int, *, nest: bool = True) -> np.ndarray:
    """(12 nside^2, 3) unit vectors to the centres of the pixels, in nested or ring order.

    Raises:
        ValueError: nside is not a positive integer, or with `nest` not a power of two.
    """
    return _centers(*_all_pixels(nside, nest), nside)


def nest_to_ring(nside: int, pixel: int | np.ndarray) -> np.ndarray:
    """Ring numbers of pixels with these nested numbers; ValueError outside of 0..12 nside^2 - 1."""
    return _ring_number(*_from_nest(_checked(nside, pixel), nside), nside)


def ring_to_nest(nside: int, pixel: int | np.ndarray) -> np.ndarray:
    """Nested numbers of pixels with these ring numbers; ValueError outside of 0..12 nside^2 - 1."""
    return _nest_number(*_from_ring(_checked(nside, pixel), nside), nside)


def healpix_neighbours(nside: int, *, nest: bool = True) -> np.ndarray:
    """(12 nside^2, 8) pixels to the SW, W, NW, N, NE, E, SE and S of every pixel, -1 where there is none.

    A pixel lacks a neighbour where three base pixels meet (8 corners): to the west or east on faces round the poles, to the
    north or south on the equator.
    """
    face, x, y = (np.repeat(t[:, None], 8, 1) for t in _all_pixels(nside, nest))
    x, y = x + _STEPS[:, 0], y + _STEPS[:, 1]
    polar = face // 4 != 1
    below, above = (x < 0, y < 0), (x >= nside, y >= nside)
    side = (below[0] & above[1]) | (above[0] & below[1])
    tip = (below[0] & below[1]) | (above[0] & above[1])
    missing = np.where(polar, side, tip)
    for _ in range(2):  # past a corner two edges are crossed
        face, x, y = _cross(face, x, y, nside)
    face, x, y = (np.where(missing, 0, t) for t in (face, x, y))
    number = _nest_number(face, x, y, nside) if nest else _ring_number(face, x, y, nside)
    return np.where(missing, -1, number)


def healpix_parents(nside: int, *, nest: bool = True) -> np.ndarray:
    """(12 nside^2,) the pixel of nside / 2 that each pixel lies in; ValueError when nside is odd."""
    face, x, y = _all_pixels(nside, nest)
    if nside % 2:
        raise ValueError(f"pixels have parents when nside is even, got nside={nside}")
    half = nside // 2
    return _nest_number(face, x // 2, y // 2, half) if nest else _ring_number(face, x // 2, y // 2, half)


def _cross(face, x, y, nside: int):
    """Coordinates on the next face, of points beyond one edge of theirs; the others stay."""
    row, k = face // 4, face % 4
    last = 2 * nside - 1
    out = [x >= nside, y >= nside, x < 0, y < 0]
    east, west = (k + 1) % 4, (k - 1) % 4
    # Over the edges NE, NW, SW, SE. Round a pole the next face is turned by 90 degrees.
    north = [(east, y, last - x), (west, last - y, x), (4 + k, x + nside, y), (4 + east, x, y + nside)]
    equator = [(k, x - nside, y), (west, x, y - nside), (8 + west, x + nside, y), (8 + k, x, y + nside)]
    south = [(4 + east, x - nside, y), (4 + k, x, y - nside), (8 + west, y, -1 - x), (8 + east, -1 - y, x)]
    conditions = [(row == i) & edge for i in range(3) for edge in out]
    choices = [*north, *equator, *south]
    return tuple(np.select(conditions, [choice[i] for choice in choices], (face, x, y)[i]) for i in range(3))


def _all_pixels(nside: int, nest: bool):
    nside = _checked_nside(nside, nest)
    pixel = np.arange(12 * nside**2)
    return _from_nest(pixel, nside) if nest else _from_ring(pixel, nside)


def _column(face):
    return 2 * (face % 4) + (face // 4 != 1)


def _centers(face, x, y, nside: int) -> np.ndarray:
    u, v = _column(face) + (x - y) / nside, 1 - face // 4 + (x + y + 1) / nside - 1
    cap = np.abs(v) > 1
    sigma = np.where(cap, 2 - np.abs(v), 1)
    u = _column(face) + np.where(cap, (x - y) / nside / sigma, u - _column(face))
    z = np.where(cap, np.sign(v) * (1 - sigma**2 / 3), 2 / 3 * v)
    # 1 - |z| = sigma^2 / 3 near the poles, without cancellation.
    rho = np.where(cap, sigma * np.sqrt((2 - sigma**2 / 3) / 3), np.sqrt(1 - z**2))
    return np.stack([rho * np.cos(np.pi / 4 * u), rho * np.sin(np.pi / 4 * u), z], -1)


def _ring_number(face, x, y, nside: int):
    ring = nside * (face // 4 + 2) - (x + y + 1)  # 1..4 nside - 1, from the north
    length = np.minimum(np.minimum(ring, 4 * nside - ring), nside)  # pixels in a quarter of the ring
    in_cap = face % 4 * length + (x - y + length - 1) // 2
    in_belt = (_column(face) * nside + x - y) // 2 % (4 * nside)
    south = 12 * nside**2 - 2 * length * (length + 1)
    belt = 2 * nside * (nside - 1) + (ring - nside) * 4 * nside
    start = np.select([ring < nside, ring <= 3 * nside], [2 * length * (length - 1), belt], south)
    return start + np.where(length < nside, in_cap, in_belt)


def _from_ring(pixel, nside: int):
    total, cap = 12 * nside**2, 2 * nside * (nside - 1)
    from_pole = np.minimum(pixel, total - 1 - pixel)
    # The ring of length n starts at 2 n (n - 1).
    length = ((1 + np.sqrt(1 + 2 * from_pole)) / 2).astype(np.int64)
    length -= 2 * length * (length - 1) > from_pole
    length += 2 * length * (length + 1) <= from_pole
    in_cap, south = from_pole < cap, pixel >= total - cap
    ring = np.where(in_cap, np.where(south, 4 * nside - length, length), nside + (pixel - cap) // (4 * nside))
    length = np.where(in_cap, length, 1)
    place = np.where(south, pixel - (total - 2 * length * (length + 1)), pixel - 2 * length * (length - 1))
    quarter, across = place // length, 2 * (place % length) - length + 1
    up = nside * (np.where(south, 2, 0) + 2) - ring - 1
    polar = np.where(south, 8, 0) + quarter, (up + across) // 2, (up - across) // 2
    # On the belt the lines u + v and u - v number the faces; u and v in units of 1 / nside.
    u = 2 * ((pixel - cap) % (4 * nside)) + (ring - nside + 1) % 2
    v = 2 * nside - ring
    p, x = np.divmod(u + v - 1 + nside, 2 * nside)
    m, y = np.divmod(v - u - 1 - nside, 2 * nside)
    row, column = -m - p, p - m - 1
    face = np.where(row == 1, 4 + column // 2 % 4, 4 * row + column // 2 % 4)
    return tuple(np.where(in_cap, a, b) for a, b in zip(polar, (face, x // 2, y // 2)))


def _from_nest(pixel, nside: int):
    face, place = np.divmod(pixel, nside**2)
    x, y = np.zeros_like(place), np.zeros_like(place)
    for bit in range(nside.bit_length() - 1):
        x |= (place >> (2 * bit) & 1) << bit
        y |= (place >> (2 * bit + 1) & 1) << bit
    return face, x, y


def _nest_number(face, x, y, nside: int):
    place = np.zeros_like(face)
    for bit in range(nside.bit_length() - 1):
        place |= (x >> bit & 1) << (2 * bit) | (y >> bit & 1) << (2 * bit + 1)
    return face * nside**2 + place


def _checked_nside(nside, nest: bool) -> int:
    nside = checked_int("nside", nside, 1, MAX_NSIDE)
    if nest and nside & (nside - 1):
        raise ValueError(f"nested numbers need nside to be a power of two, got {nside}: take one, or nest=False")
    return nside


def _checked(nside, pixel) -> np.ndarray:
    nside = _checked_nside(nside, nest=True)
    pixel = np.asarray(pixel)
    total = 12 * nside**2
    if not np.issubdtype(pixel.dtype, np.integer) or ((pixel < 0) | (pixel >= total)).any():
        raise ValueError(f"pixels of nside={nside} are integers from 0 to {total - 1}, got {pixel}")
    return pixel.astype(np.int64)
