"""Samplings of the sphere as geometries: Fibonacci points, HEALPix pixels, latitude-longitude grids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...deprecation import formerly_positional
from ..local_geometry import LocalGeometry
from .cells import delaunay
from .checks import checked_int
from .healpix_pixels import healpix_centers, healpix_neighbours, healpix_parents
from .latlon_grids import has_poles, latlon_rings
from .neighbourhoods import coarser_radius
from .pooling import pool_to
from .spherical import sphere


def fibonacci_points(n: int) -> np.ndarray:
    r"""(n, 3) unit vectors on a spiral from north to south (Swinbank & Purser 2006, doi:10.1256/qj.05.227).

    :math:`z_i = 1 - (2 i + 1) / n`, longitude :math:`2 \pi i / \varphi` with the golden ratio :math:`\varphi`: equal areas
    between neighbouring latitudes, nearly equal cells everywhere.
    """
    n = checked_int("n", n)
    i = np.arange(n)
    z = 1 - (2 * i + 1) / n
    angle = 2 * np.pi * (i * (2 / (1 + 5**0.5)) % 1)
    rho = np.sqrt((1 - z) * (1 + z))
    return np.stack([rho * np.cos(angle), rho * np.sin(angle), z], -1)


@formerly_positional("radius", "count")
def fibonacci_sphere(
    n: int,
    *,
    radius: float | np.ndarray | None = None,
    rings: int | None = None,
    count: int | None = None,
    sphere_radius: float = 1.0,
    frames: np.ndarray | None = None,
    structure: str = "SO2",
    levels: int = 0,
) -> LocalGeometry:
    """:func:`sphere` on the n points of :func:`fibonacci_points`, n >= 4, with their Voronoi areas.

    Args:
        radius, rings, count, sphere_radius, frames, structure: of :func:`sphere`.
        levels: number of coarser levels, of n / 4, n / 16, ... points, with twice, four times, ... the radius and the same
            count or rings; every point belongs to the nearest coarse one.
    """
    n, levels = checked_int("n", n, 4), checked_int("levels", levels, 0)
    if round(n / 4**levels) < 4:
        raise ValueError(f"levels={levels} leaves fewer than 4 of {n} points; take fewer levels")
    options = {"rings": rings, "count": count, "sphere_radius": sphere_radius, "structure": structure}

    def make(level: int, reach, frames) -> LocalGeometry:
        local = sphere(fibonacci_points(round(n / 4**level)), radius=reach, frames=frames, **options)
        return local.replace(metadata={**local.metadata, "manifold": "fibonacci_sphere"})

    return _with_levels(make, radius, levels, frames, structure, sphere_radius)


@formerly_positional("radius", "count")
def healpix(
    nside: int,
    *,
    radius: float | np.ndarray | None = None,
    rings: int | None = None,
    count: int | None = None,
    nest: bool = True,
    sphere_radius: float = 1.0,
    frames: np.ndarray | None = None,
    structure: str = "SO2",
    levels: int = 0,
) -> LocalGeometry:
    r"""The centres of the 12 nside^2 HEALPix pixels (Gorski et al. 2005, astro-ph/0409513), all of area pi a^2 / (3 nside^2).

    Args:
        nside: a power of two, or with ``nest=False`` any positive integer.
        radius, count: of :func:`sphere`.
        rings: all pixels within that many steps to one of the 8 pixels around (7 at eight corners; 1 is the usual HEALPix
            neighbourhood), with the radius as for the rings of a mesh.
        nest: nested order of the pixels, in which the four children of a pixel i are 4 i .. 4 i + 3; False is the ring order
            (the default of healpy).
        sphere_radius, frames, structure: of :func:`sphere`.
        levels: number of coarser levels nside / 2, nside / 4, ..., with twice, four times, ... the radius and the same count or
            rings; every pixel belongs to the pixel that it lies in.

    Raises:
        ValueError: nside is no power of two (nest), or 2^levels does not divide it.
    """
    nside = checked_int("nside", nside)
    levels = checked_int("levels", levels, 0)
    if nside % 2**levels:
        raise ValueError(f"levels={levels} needs nside to be a multiple of {2**levels}, got {nside}")

    def make(level: int, reach, frames) -> LocalGeometry:
        side = nside // 2**level
        points = healpix_centers(side, nest=nest)
        adjacency = None
        if rings is not None:
            around = healpix_neighbours(side, nest=nest)
            pairs = np.stack([np.repeat(np.arange(len(points)), 8), around.ravel()], 1)
            adjacency = pairs[pairs[:, 1] >= 0]
        local = sphere(
            points,
            radius=reach,
            rings=rings,
            count=count,
            adjacency=adjacency,
            faces=delaunay(points),
            area=np.full(len(points), np.pi / 3 * (sphere_radius / side) ** 2),
            sphere_radius=sphere_radius,
            frames=frames,
            structure=structure,
        )
        facts = {"manifold": "healpix", "nside": side, "nest": bool(nest)}
        return local.replace(metadata={**local.metadata, **facts})

    def parents(level: int) -> np.ndarray:
        return healpix_parents(nside // 2**level, nest=nest)

    return _with_levels(make, radius, levels, frames, structure, sphere_radius, parents)


@formerly_positional("radius", "count")
def latlon(
    nlat: int,
    nlon: int,
    *,
    radius: float | np.ndarray | None = None,
    count: int | None = None,
    grid: str = "gauss-legendre",
    sphere_radius: float = 1.0,
    frames: np.ndarray | None = None,
    structure: str = "SO2",
    levels: int = 0,
) -> LocalGeometry:
    r"""A latitude-longitude grid with its quadrature weights as areas: :math:`a^2 w_j\, 2\pi / nlon`.

    Nodes are numbered row by row from the north, in a row from longitude 0 to the east in steps of 2 pi / nlon. A row at a
    pole ("equiangular", "lobatto") is *one* node with the area of the whole row; :func:`latlon_nodes` gives the node of every
    cell of a grid of values.

    Args:
        nlat, nlon: rows and points in a row.
        radius, count: of :func:`sphere`. A neighbourhood near a pole holds very many points of the crowded rows.
        grid: of :func:`latlon_rings`.
        sphere_radius, frames, structure: of :func:`sphere`. "e" carries features by a copy between (east, north) frames, as
            a convolution on the grid does; docs/spheres.md explains what that means at the poles.
        levels: number of coarser levels with half of the rows and of the longitudes (rounded up), the same kind of grid,
            twice, four times, ... the radius and the same count; every point belongs to the nearest coarse one. Their
            longitudes lie midway between those of the level before.
    """
    latlon_rings(nlat, grid)
    nlon = checked_int("nlon", nlon, 3)
    options = {"sphere_radius": sphere_radius, "structure": structure}

    def make(level: int, reach, frames) -> LocalGeometry:
        rows, columns = -(-nlat // 2**level), -(-nlon // 2**level)
        first = np.pi / nlon * (2**level - 1)  # midway between the longitudes of the cluster
        points, area = _latlon_points(rows, columns, grid, first)
        area = area * sphere_radius**2
        local = sphere(points, radius=reach, count=count, area=area, faces=delaunay(points), frames=frames, **options)
        facts = {"manifold": "latlon", "grid": grid, "nlat": rows, "nlon": columns, "first_longitude": first}
        return local.replace(metadata={**local.metadata, **facts})

    return _with_levels(make, radius, levels, frames, structure, sphere_radius)


def _latlon_points(nlat: int, nlon: int, grid: str, first: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (N, 3) and areas (N,); rows begin at the longitude `first`."""
    theta, weight = latlon_rings(nlat, grid)
    nlon = checked_int("nlon", nlon, 3)
    angle = first + 2 * np.pi * np.arange(nlon) / nlon
    sin, cos = np.sin(theta)[:, None], np.cos(theta)[:, None]
    points = np.stack(np.broadcast_arrays(sin * np.cos(angle), sin * np.sin(angle), cos), -1)
    area = np.repeat(weight * (2 * np.pi / nlon), nlon)
    if not has_poles(grid):
        return points.reshape(-1, 3), area
    inner = slice(nlon, -nlon)
    ends = np.array([[0.0, 0.0, 1.0]]), np.array([[0.0, 0.0, -1.0]])
    caps = 2 * np.pi * weight[[0, -1]]
    return (
        np.concatenate([ends[0], points.reshape(-1, 3)[inner], ends[1]]),
        np.concatenate([caps[:1], area[inner], caps[1:]]),
    )


def _with_levels(
    make: Callable[..., LocalGeometry],
    radius: float | None,
    levels: int,
    frames,
    structure: str,
    a: float,
    parents: Callable[[int], np.ndarray] | None = None,
) -> LocalGeometry:
    """make(level, radius, frames) for every level, chained from the coarsest; radii double, but stay within pi a / 2."""
    levels = checked_int("levels", levels, 0)
    if levels and np.ndim(radius):
        raise ValueError("levels need one radius for all points; chain spheres by sphere(coarse=) instead")
    if levels and frames is not None and structure == "e":
        raise ValueError('structure "e" with levels has (east, north) frames only; chain spheres by sphere(coarse=) instead')
    geometry = None
    for level in range(levels, -1, -1):
        finer = make(level, coarser_radius(radius, level, a), None if level else frames)
        cluster = None if geometry is None or parents is None else parents(level)
        geometry = finer if geometry is None else pool_to(finer, geometry, cluster)
    return geometry
