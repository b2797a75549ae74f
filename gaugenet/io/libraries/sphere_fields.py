"""Fields on spheres of other programs: latitude-longitude data of xarray, HEALPix maps."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...checks import as_array
from ...errors import GeometryError
from ...geometry.local_geometry import LocalGeometry, parse_orders
from ...geometry.spheres.healpix_pixels import nest_to_ring, ring_to_nest
from ...geometry.spheres.latlon_grids import latlon_nodes, latlon_rings
from . import needed

_NAMES = {"latitude": ("latitude", "lat"), "longitude": ("longitude", "lon")}
_UNITS = {"latitude": ("degrees_north", "degree_north", "degrees_N"), "longitude": ("degrees_east", "degree_east", "degrees_E")}
# Of a step of the grid: coordinates are stored in few digits.
_TOLERANCE = 0.02


def from_xarray(data: Any, geom: LocalGeometry, type: str | None = None) -> np.ndarray:
    """Values at the nodes of :func:`gaugenet.geometry.latlon` of a DataArray or a Dataset with a latitude and a longitude.

    The orientation is that of the coordinates, whatever it is: latitudes may go up or down, longitudes from 0 or from -180, the
    two axes may stand anywhere. The longitudes must be those of the geometry and the latitudes its rings. A row at a pole is
    one node: its scalars are averaged, and so are vectors, turned from (east, north) at their longitude into the frame of the
    node, if ``type`` says that they are some. A UserWarning says so where values of a row differ that are taken for scalars.

    Args:
        data: an ``xarray.DataArray`` with coordinates in degrees, named ``lat``, ``latitude``, ``lon``, ``longitude`` or with
            the units of the CF conventions; or an ``xarray.Dataset`` of such arrays with the same axes.
        geom: of :func:`gaugenet.geometry.latlon`, whose frames are (east, north) unless others were given: "1x1" is the wind
            (u, v).
        type: of a Dataset, the field type of its arrays, in their order: "1x1" for (u, v). By default all are scalars; it
            makes a difference at poles alone.

    Returns:
        (..., N), the other axes first, in their order; of a Dataset (..., N, C), its C arrays in their order.

    Raises:
        GeometryError: no such axes, another grid, another number of arrays than ``type`` has.
    """
    whole = hasattr(data, "data_vars")
    arrays = list(data.data_vars.values()) if whole else [data]
    if not arrays or any(dict(array.sizes) != dict(arrays[0].sizes) for array in arrays):
        shapes = {str(name): dict(array.sizes) for name, array in data.data_vars.items()}
        raise GeometryError(f"from_xarray expected a Dataset of one or more arrays with the same axes, got {shapes}")
    orders = _orders(type, len(arrays))
    rows, columns, (lat, lon), nodes = _matched(arrays[0], geom)
    grids = [array.transpose(*arrays[0].dims).transpose(..., lat, lon).values[..., rows, :][..., columns] for array in arrays]
    values = np.stack(grids, -1)
    first = np.unique(nodes, return_index=True)[1]
    out = values.reshape(*values.shape[:-3], -1, len(arrays))[..., first, :]
    for row, side in _poles(nodes):
        here = values[..., row, :, :]
        if type is None:
            _warn_of_directions(here, values)
        out[..., nodes[row, 0], :] = _turned(here, orders, side * _longitudes(geom)).mean(-2)
    return out if whole else out[..., 0]


def to_xarray(values: Any, geom: LocalGeometry, like: Any, type: str | None = None) -> Any:
    """Values (..., N) at the nodes as a DataArray with the coordinates of another, in its orientation.

    Args:
        values: (..., N), numbers or a torch tensor; axes before the last are those of ``like`` if they are as many and as long,
            else they are called ``dim_0``, ...
        geom: of :func:`gaugenet.geometry.latlon`.
        like: a DataArray on the grid, as for :func:`from_xarray`; or a Dataset, of which values (..., N, C) become another.
        type: of a Dataset, as for :func:`from_xarray`: vectors at a pole are written as (east, north) at every longitude.
    """
    xarray = needed("xarray", "data sets on grids")
    if hasattr(like, "data_vars"):
        array = as_array(values)
        if array.ndim < 2 or array.shape[-1] != len(like.data_vars):
            raise GeometryError(f"to_xarray expected values (..., N, {len(like.data_vars)}), got shape {array.shape}")
        own = list(like.data_vars.items())
        grid = _on_grid(array, _orders(type, len(own)), geom, own[0][1])
        return xarray.Dataset({name: _written(grid[..., c], geom, a) for c, (name, a) in enumerate(own)}, attrs=like.attrs)
    return _written(_on_grid(as_array(values)[..., None], _orders(type, 1), geom, like)[..., 0], geom, like)


def _on_grid(values: np.ndarray, orders: list[tuple[int, int]], geom: LocalGeometry, like: Any) -> np.ndarray:
    """(..., nlat, nlon, C) of values (..., N, C), in the order of the geometry."""
    nodes = _matched(like, geom)[3]
    if values.ndim < 2 or values.shape[-2] != geom.num_nodes:
        raise GeometryError(f"to_xarray expected values (..., {geom.num_nodes}), got shape {values.shape[:-1]}")
    whole = values[..., nodes, :]
    for row, side in _poles(nodes):
        whole[..., row, :, :] = _turned(whole[..., row, :, :], orders, -side * _longitudes(geom))
    return whole


def _written(grid: np.ndarray, geom: LocalGeometry, like: Any) -> Any:
    """Values (..., nlat, nlon) as a DataArray like another, in its orientation."""
    xarray = needed("xarray", "data sets on grids")
    rows, columns, (lat, lon), _ = _matched(like, geom)
    grid = grid[..., np.argsort(rows), :][..., np.argsort(columns)]
    others = [name for name in like.dims if name not in (lat, lon)]
    same = grid.shape[:-2] == tuple(like.sizes[name] for name in others)
    names = others if same else [f"dim_{k}" for k in range(grid.ndim - 2)]
    coords = {k: v for k, v in like.coords.items() if set(v.dims) <= {*names, lat, lon}}
    made = xarray.DataArray(grid, coords, [*names, lat, lon], name=like.name)
    return made.transpose(*like.dims) if same else made


def _orders(type: str | None, count: int) -> list[tuple[int, int]]:
    blocks = [(count, 0)] if type is None else parse_orders(type)
    size = sum(mul * (2 if order else 1) for mul, order in blocks)
    if size != count:
        raise GeometryError(f"expected an array for each of {size} components of type={type!r}, got {count}")
    return blocks


def _poles(nodes: np.ndarray) -> list[tuple[int, int]]:
    """Rows of the grid that are one node, and the side: 1 in the north, -1 in the south."""
    return [(row, 1 if row == 0 else -1) for row in range(len(nodes)) if (nodes[row] == nodes[row, 0]).all()]


def _longitudes(geom: LocalGeometry) -> np.ndarray:
    count = int(geom.metadata["nlon"])
    return geom.metadata["first_longitude"] + 2 * np.pi / count * np.arange(count)


def _turned(values: np.ndarray, orders: list[tuple[int, int]], angle: np.ndarray) -> np.ndarray:
    """Components (..., nlon, C) turned by angles (nlon,).

    At the north pole east and north at the longitude l are the axes of the node, those of the longitude 0, turned by l; at the
    south pole by -l.
    """
    out, at = np.array(values), 0
    for mul, order in orders:
        if order:
            cos, sin = np.cos(order * angle)[:, None], np.sin(order * angle)[:, None]
            a, b = values[..., at : at + mul], values[..., at + mul : at + 2 * mul]
            out[..., at : at + mul], out[..., at + mul : at + 2 * mul] = cos * a - sin * b, sin * a + cos * b
        at += mul * (2 if order else 1)
    return out


def _warn_of_directions(row: np.ndarray, values: np.ndarray) -> None:
    """What differs along the row of a pole can be no scalar."""
    if np.ptp(row, axis=-2).max() > 0.05 * np.nanstd(values):
        warnings.warn(
            "from_xarray: a row at a pole has different values, whose mean is taken; for vectors give a Dataset and "
            'type=, such as from_xarray(data[["u", "v"]], geom, "1x1")',
            stacklevel=3,
        )


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
