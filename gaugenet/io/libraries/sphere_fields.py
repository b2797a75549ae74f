"""Fields on spheres of other programs: latitude-longitude data of xarray, HEALPix maps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import GeometryError
from ...geometry.local_geometry import LocalGeometry
from ...geometry.spheres.healpix_pixels import nest_to_ring, ring_to_nest
from ...geometry.spheres.latlon_grids import latlon_nodes, latlon_rings
from . import needed
from .objects import as_array

_NAMES = {"latitude": ("latitude", "lat"), "longitude": ("longitude", "lon")}
_UNITS = {"latitude": ("degrees_north", "degree_north", "degrees_N"), "longitude": ("degrees_east", "degree_east", "degrees_E")}
# Of a step of the grid: coordinates are stored in few digits.
_TOLERANCE = 0.02


def from_xarray(data: Any, geom: LocalGeometry) -> np.ndarray:
    """Values at the nodes of :func:`gaugenet.geometry.latlon` of a DataArray or a Dataset with a latitude and a longitude.

    The orientation is that of the coordinates, whatever it is: latitudes may go up or down, longitudes from 0 or from -180, the
    two axes may stand anywhere. The longitudes must be those of the geometry and the latitudes its rings. Values of a row at a
    pole, which is one node, are averaged: components of vectors there have no meaning one by one.

    Args:
        data: an ``xarray.DataArray`` with coordinates in degrees, named ``lat``, ``latitude``, ``lon``, ``longitude`` or with
            the units of the CF conventions; or an ``xarray.Dataset`` of such arrays with the same axes.
        geom: of :func:`gaugenet.geometry.latlon`, whose frames are (east, north) unless others were given: "1x1" is the wind
            (u, v).

    Returns:
        (..., N), the other axes first, in their order; of a Dataset (..., N, C), its C arrays in their order.

    Raises:
        GeometryError: no such axes, or another grid.
    """
    if hasattr(data, "data_vars"):
        parts = [from_xarray(array, geom) for array in data.data_vars.values()]
        if not parts or any(part.shape != parts[0].shape for part in parts):
            shapes = {str(name): dict(array.sizes) for name, array in data.data_vars.items()}
            raise GeometryError(f"from_xarray expected a Dataset of one or more arrays with the same axes, got {shapes}")
        return np.stack(parts, -1)
    rows, columns, (lat, lon), nodes = _matched(data, geom)
    values = data.transpose(..., lat, lon).values[..., rows, :][..., columns]
    first = np.unique(nodes, return_index=True)[1]
    out = values.reshape(*values.shape[:-2], -1)[..., first]
    for row in np.flatnonzero([len(set(row.tolist())) == 1 for row in nodes]):  # at the poles
        out[..., nodes[row, 0]] = values[..., row, :].mean(-1)
    return out


def to_xarray(values: Any, geom: LocalGeometry, like: Any) -> Any:
    """Values (..., N) at the nodes as a DataArray with the coordinates of another, in its orientation.

    Args:
        values: (..., N), numbers or a torch tensor; axes before the last are those of ``like`` if they are as many and as long,
            else they are called ``dim_0``, ...
        geom: of :func:`gaugenet.geometry.latlon`.
        like: a DataArray on the grid, as for :func:`from_xarray`; or a Dataset, of which values (..., N, C) become another.
    """
    xarray = needed("xarray", "data sets on grids")
    if hasattr(like, "data_vars"):
        array = as_array(values)
        if array.ndim < 2 or array.shape[-1] != len(like.data_vars):
            raise GeometryError(f"to_xarray expected values (..., N, {len(like.data_vars)}), got shape {array.shape}")
        parts = {name: to_xarray(array[..., c], geom, own) for c, (name, own) in enumerate(like.data_vars.items())}
        return xarray.Dataset(parts, attrs=like.attrs)
    rows, columns, (lat, lon), nodes = _matched(like, geom)
    array = as_array(values)
    if not array.ndim or array.shape[-1] != geom.num_nodes:
        raise GeometryError(f"to_xarray expected values (..., {geom.num_nodes}), got shape {array.shape}")
    # The places of the grid in the order of the data.
    grid = array[..., nodes[np.argsort(rows)][:, np.argsort(columns)]]
    others = [name for name in like.dims if name not in (lat, lon)]
    same = grid.shape[:-2] == tuple(like.sizes[name] for name in others)
    names = others if same else [f"dim_{k}" for k in range(grid.ndim - 2)]
    coords = {k: v for k, v in like.coords.items() if set(v.dims) <= {*names, lat, lon}}
    made = xarray.DataArray(grid, coords, [*names, lat, lon], name=like.name)
    return made.transpose(*like.dims) if same else made


def from_healpix(values: Any, geom: LocalGeometry, *, nest: bool = False) -> np.ndarray:
    """Values at the nodes of :func:`gaugenet.geometry.healpix` of a HEALPix map in ring or nested order.

    Args:
        values: (..., 12 nside^2), or the path of a FITS file (read by healpy, in the order it names). healpy's mark of a pixel
            without a value becomes NaN.
        geom: of :func:`gaugenet.geometry.healpix`, whichever its order.
        nest: the order of the values; the default is healpy's. A file says its own.

    Raises:
        GeometryError: another number of pixels, another geometry, a file that healpy cannot read.
    """
    if isinstance(values, (str, os.PathLike)):
        values, nest = _read_map(Path(values)), False
    array = as_array(values)
    _check_map(array, geom, "from_healpix")
    array = np.where(np.isclose(array, -1.6375e30, rtol=1e-5), np.nan, array) if array.dtype.kind == "f" else array
    return array[..., _order(geom, nest)]


def to_healpix(values: Any, geom: LocalGeometry, *, nest: bool = False) -> np.ndarray:
    """Values (..., N) at the nodes as a map in ring (healpy's default) or nested order: the inverse of :func:`from_healpix`."""
    array = as_array(values)
    _check_map(array, geom, "to_healpix")
    return array[..., np.argsort(_order(geom, nest))]


def _order(geom: LocalGeometry, nest: bool) -> np.ndarray:
    """(N,) of every node its number in the order of the map."""
    pixels, own = np.arange(geom.num_nodes), bool(geom.metadata["nest"])
    if own == nest:
        return pixels
    nside = int(geom.metadata["nside"])
    return nest_to_ring(nside, pixels) if own else ring_to_nest(nside, pixels)


def _check_map(array: np.ndarray, geom: LocalGeometry, caller: str) -> None:
    if geom.metadata.get("manifold") != "healpix":
        raise GeometryError(f"{caller} expected a geometry.healpix, got {geom.metadata.get('manifold')!r}")
    if not array.ndim or array.shape[-1] != geom.num_nodes:
        raise GeometryError(f"{caller} expected (..., {geom.num_nodes}) values, got shape {array.shape}")


def _read_map(file: Path) -> np.ndarray:
    """The first map of a FITS file, in ring order."""
    healpy = needed("healpy", "FITS files of HEALPix maps")
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        return healpy.read_map(os.fspath(file), dtype=np.float64)
    # astropy's errors and healpy's: the answer is the same.
    except Exception as error:
        raise GeometryError(f"{file}: not a HEALPix map that healpy can read: {type(error).__name__}") from None


def _axis(data: Any, which: str) -> str:
    """The name of the axis of latitudes or longitudes."""
    found = [
        str(name)
        for name in getattr(data, "dims", ())
        if name in data.coords and (data[name].attrs.get("units") in _UNITS[which] or str(name).lower() in _NAMES[which])
    ]
    if len(found) != 1:
        raise GeometryError(
            f"expected a DataArray with one axis of {which}s in degrees, got {tuple(getattr(data, 'dims', ()))}"
        )
    return found[0]


def _matched(data: Any, geom: LocalGeometry) -> tuple[np.ndarray, np.ndarray, tuple[str, str], np.ndarray]:
    """Rows and columns of the data in the order of the geometry, the names of the axes, and the nodes (nlat, nlon)."""
    facts = geom.metadata
    if facts.get("manifold") != "latlon":
        raise GeometryError(f"expected a geometry.latlon, got {facts.get('manifold')!r}")
    names = _axis(data, "latitude"), _axis(data, "longitude")
    lat, lon = (np.asarray(data[name].values, np.float64) for name in names)
    nlat, nlon, grid = int(facts["nlat"]), int(facts["nlon"]), facts["grid"]
    if (len(lat), len(lon)) != (nlat, nlon):
        raise GeometryError(f"the geometry has {nlat} latitudes and {nlon} longitudes, the data {len(lat)} and {len(lon)}")
    rings = 90 - np.degrees(latlon_rings(nlat, grid)[0])
    rows, off = np.argsort(-lat), np.abs(-np.sort(-lat) - rings)
    if not off.max() < _TOLERANCE * 180 / nlat:
        text = f"latitudes that are not those of the grid {grid!r}: expected {rings[off.argmax()]:.6g}"
        raise GeometryError(f"{text}, got {lat[rows[off.argmax()]]:.6g} degrees")
    step = 360 / nlon
    place = (lon - np.degrees(facts["first_longitude"])) / step
    near = np.rint(place)
    if not np.abs(place - near).max() < _TOLERANCE or len(set((near % nlon).tolist())) != nlon:
        text = f"longitudes that are not those of the geometry, {nlon} in steps of {step:.6g} degrees from"
        raise GeometryError(f"{text} {np.degrees(facts['first_longitude']):.6g}; got {lon[0]:.6g} to {lon[-1]:.6g}")
    return rows, np.argsort(near % nlon), names, latlon_nodes(nlat, nlon, grid)
