"""Maps of the sphere from xarray and healpy: orientations come from the coordinates, and everything goes back."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.errors import GeometryError
from tests.helpers.extras import library

GRIDS = ("gauss-legendre", "equiangular", "cell-centred")


def truth(xyz):
    return xyz[..., 2] + 2 * xyz[..., 0] * xyz[..., 1] + 0.3 * xyz[..., 0]


def dataset(grid, up=False, west=False, nlat=9, nlon=12, names=("lat", "lon"), order=("time", "lat", "lon")):
    """A field of three times on a grid, in any orientation of its axes."""
    xarray = library("xarray")
    lat = 90 - np.degrees(geometry.latlon_rings(nlat, grid)[0])
    lon = np.arange(nlon) * (360 / nlon) - (180 if west else 0)
    lat = (lat[::-1] if up else lat).astype(np.float32)
    a, b = np.meshgrid(np.radians(lat.astype(float)), np.radians(lon), indexing="ij")
    xyz = np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)], -1)
    values = np.stack([truth(xyz) * k for k in (1, 2, 3)])
    array = xarray.DataArray(values, {"time": [0, 1, 2], "lat": lat, "lon": lon}, ["time", "lat", "lon"], name="z")
    return array.transpose(*order).rename(dict(zip(("lat", "lon"), names)))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("west", [False, True])
def test_any_orientation(grid, up, west):
    geom = geometry.latlon(9, 12, grid=grid)
    for names, order in ((("lat", "lon"), ("time", "lat", "lon")), (("latitude", "longitude"), ("lon", "time", "lat"))):
        data = dataset(grid, up, west, names=names, order=order)
        values = geometry.from_xarray(data, geom)
        assert np.abs(values - truth(geom.positions) * np.array([[1], [2], [3]])).max() < 1e-5  # float32 latitudes
        back = geometry.to_xarray(values, geom, data)
        assert back.dims == data.dims and back.name == "z" and np.abs(back - data).max() < 1e-6
        assert all(back[name].identical(data[name]) for name in data.dims)
        assert geometry.to_xarray(values[0], geom, data).dims == names


def test_axes_by_their_units():
    data = dataset("cell-centred").rename(lat="y", lon="x")
    geom = geometry.latlon(9, 12, grid="cell-centred")
    with pytest.raises(GeometryError, match=r"one axis of latitudes in degrees, got \('time', 'y', 'x'\)"):
        geometry.from_xarray(data, geom)
    data["y"].attrs["units"], data["x"].attrs["units"] = "degrees_north", "degrees_east"
    assert geometry.from_xarray(data, geom).shape == (3, 108)


def test_files(tmp_path):
    xarray = library("xarray")
    data, geom = dataset("equiangular", up=True, west=True), geometry.latlon(9, 12, grid="equiangular")
    expected = geometry.from_xarray(data, geom)
    for needed, write, read in (
        ("netCDF4", lambda p: data.to_netcdf(p, engine="netcdf4"), lambda p: xarray.open_dataarray(p)),
        ("zarr", lambda p: data.to_dataset().to_zarr(p), lambda p: xarray.open_zarr(p)["z"]),
    ):
        library(needed)
        write(tmp_path / needed)
        assert np.array_equal(geometry.from_xarray(read(tmp_path / needed), geom), expected)


def test_other_grids_are_refused():
    geom = geometry.latlon(9, 12, grid="equiangular")
    cases = [
        (dataset("cell-centred"), "latitudes that are not those of the grid 'equiangular': expected 90"),
        (dataset("equiangular", nlat=8), "9 latitudes and 12 longitudes, the data 8 and 12"),
        (dataset("equiangular").assign_coords(lon=np.arange(12) * 30 + 15.0), "longitudes that are not .* from 0; got 15"),
        (dataset("equiangular").assign_coords(lon=np.linspace(0, 360, 12)), "longitudes that are not"),
    ]
    for data, words in cases:
        with pytest.raises(GeometryError, match=words):
            geometry.from_xarray(data, geom)
    with pytest.raises(GeometryError, match=r"expected a geometry.latlon, got 'fibonacci_sphere'"):
        geometry.from_xarray(cases[0][0], geometry.fibonacci_sphere(20))
    with pytest.raises(GeometryError, match=r"expected values \(\.\.\., 86\), got shape \(5,\)"):
        geometry.to_xarray(np.zeros(5), geom, dataset("equiangular"))


@pytest.mark.parametrize("own", [True, False])
def test_healpix_orders(own, tmp_path):
    healpy = library("healpy")
    geom = geometry.healpix(4, nest=own)
    for nest in (True, False):
        xyz = np.stack(healpy.pix2vec(4, np.arange(192), nest=nest), -1)
        values = geometry.from_healpix(truth(xyz), geom, nest=nest)
        assert np.abs(values - truth(geom.positions)).max() < 1e-12
        assert np.array_equal(geometry.to_healpix(values, geom, nest=nest), truth(xyz))
        path = tmp_path / f"{nest}.fits"
        healpy.write_map(path, truth(xyz), nest=nest, dtype=np.float64)
        assert np.array_equal(geometry.from_healpix(path, geom), values)


def test_pixels_without_a_value_and_bad_files(tmp_path):
    healpy = library("healpy")
    geom = geometry.healpix(2)
    values = np.arange(48.0)
    values[7] = healpy.UNSEEN
    assert np.isnan(geometry.from_healpix(values, geom, nest=True)).nonzero()[0].tolist() == [7]
    with pytest.raises(GeometryError, match=r"expected \(\.\.\., 48\) values, got shape \(12,\)"):
        geometry.from_healpix(np.zeros(12), geom)
    with pytest.raises(GeometryError, match=r"expected a geometry\.healpix, got 'fibonacci_sphere'"):
        geometry.to_healpix(np.zeros(20), geometry.fibonacci_sphere(20))
    (tmp_path / "a.fits").write_bytes(b"no map")
    with pytest.raises(GeometryError, match="not a HEALPix map that healpy can read"):
        geometry.from_healpix(tmp_path / "a.fits", geom)
    with pytest.raises(FileNotFoundError):
        geometry.from_healpix(tmp_path / "b.fits", geom)


def test_vectors_at_the_poles():
    """A constant vector of space, its tangential part: at the poles it is one vector, seen from many longitudes."""
    xarray, geom = library("xarray"), geometry.latlon(9, 12, grid="equiangular")
    lat, lon = np.linspace(-90, 90, 9), np.arange(12) * 30.0 - 180
    b, a = np.meshgrid(np.radians(lat), np.radians(lon), indexing="ij")
    east = np.stack([-np.sin(a), np.cos(a), 0 * a], -1)
    north = np.stack([-np.sin(b) * np.cos(a), -np.sin(b) * np.sin(a), np.cos(b)], -1)
    given = np.array([0.3, -0.7, 0.5])
    axes = {"lat": lat, "lon": lon}
    wind = {name: (("lat", "lon"), frame @ given) for name, frame in (("u", east), ("v", north))}
    days = xarray.Dataset(wind, axes)
    values = geometry.from_xarray(days, geom, "1x1")
    wanted = given - geom.positions * (geom.positions @ given)[:, None]
    assert np.allclose(geometry.from_frames(values, geom, "1x1"), wanted, atol=1e-12)
    assert np.allclose(geometry.to_xarray(values, geom, days, "1x1").to_array(), days.to_array(), atol=1e-12)
    # Order 2 turns by twice the angle.
    twice = xarray.Dataset({"a": days.u**2 - days.v**2, "b": 2 * days.u * days.v})
    z, w = (geometry.from_xarray(d, geom, t) @ [1, 1j] for d, t in ((days, "1x1"), (twice, "1x2")))
    assert np.allclose(w, z**2, atol=1e-12)
    with pytest.warns(UserWarning, match=r'a row at a pole has different values.*"1x1"'):
        alone = geometry.from_xarray(days, geom)
    assert np.allclose(alone[1:-1], values[1:-1]) and np.abs(alone[[0, -1]]).max() < 1e-12
    with pytest.raises(GeometryError, match="expected an array for each of 3 components of type='1x0 \\+ 1x1', got 2"):
        geometry.from_xarray(days, geom, "1x0 + 1x1")


def test_data_sets_of_many_arrays():
    """The arrays of a Dataset are the channels, and come back as they were; on the frames (u, v) is the wind."""
    data, geom = dataset("cell-centred", up=True), geometry.latlon(9, 12, grid="cell-centred")
    both = library("xarray").Dataset({"u": data, "v": 2 * data}, attrs={"source": "test"})
    values = geometry.from_xarray(both, geom)
    assert values.shape == (3, 108, 2) and np.array_equal(values[..., 1], geometry.from_xarray(2 * data, geom))
    assert geometry.to_xarray(values, geom, both).identical(both)
    x, y, _ = geom.positions.T
    east = np.stack([-y, x, 0 * x], 1) / np.hypot(x, y)[:, None]
    assert np.allclose(geometry.from_frames(np.eye(2)[[0] * 108], geom, "1x1"), east, atol=1e-12)
    with pytest.raises(GeometryError, match=r"expected values \(\.\.\., N, 2\), got shape \(3, 108\)"):
        geometry.to_xarray(values[..., 0], geom, both)
    both["u"] = both["u"][0]
    with pytest.raises(GeometryError, match="one or more arrays with the same axes"):
        geometry.from_xarray(both, geom)
