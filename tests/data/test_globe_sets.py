"""Data sets on latitude-longitude grids: interpolation, wind, topography, climate runs."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gaugenet import geometry
from gaugenet.data import ClimateRuns, GeopotentialWind, LatLonInterpolation, load_topography, load_topography_coefficients
from gaugenet.data.sphere_sampling import angles, east_north
from gaugenet.errors import GaugenetError
from tests.helpers.extras import library
from tests.helpers.samplings import grid_points, solid_rotation, write_wind

TURN = Rotation.random(random_state=5).as_matrix()


@pytest.fixture(scope="module")
def sphere():
    return geometry.icosphere(3)


GRIDS = {
    "poles": (np.linspace(90, -90, 61), np.arange(120) * 3.0 - 180),
    "cells": (np.linspace(-88.5, 88.5, 60), np.arange(120) * 3.0),
}


@pytest.mark.parametrize("latitude, longitude", GRIDS.values(), ids=GRIDS)
def test_scalars_and_vectors_of_smooth_fields(sphere, latitude, longitude):
    grid = LatLonInterpolation(latitude, longitude)
    x, lat, lon = grid_points(latitude, longitude)
    points = np.concatenate([sphere.positions, [[0, 0, 1.0], [0, 0, -1.0]], x[::7, ::11].reshape(-1, 3)])
    # Linear functions have errors of step^2 / 8; of a rotation about an axis off the pole the poles are points like any other.
    step = np.radians(3)
    assert np.abs(grid.scalars(x @ [1.0, 2.0, 3.0], points) - points @ [1.0, 2.0, 3.0]).max() < 4 * step**2
    flow = np.cross([0.5, -1.0, 0.3], x)
    components = np.einsum("hwx,hwxc->chw", flow, east_north(lat, lon))
    got = grid.vectors(*components, points)
    assert np.abs(got - np.cross([0.5, -1.0, 0.3], points)).max() < 4 * step**2
    assert np.abs((got * points).sum(-1)).max() < 1e-12
    inside = grid.scalars(lat, x[1:-1].reshape(-1, 3))
    assert np.allclose(inside, lat[1:-1].ravel(), rtol=1e-9, atol=1e-9)  # exact on the grid


@pytest.mark.parametrize("latitude, longitude", GRIDS.values(), ids=GRIDS)
def test_areas(latitude, longitude):
    grid = LatLonInterpolation(latitude, longitude)
    assert np.isclose(grid.area.sum(), 1)
    x, *_ = grid_points(latitude, longitude)
    assert np.abs(grid.mean(np.moveaxis(x**2, -1, 0)) - 1 / 3).max() < 1e-3


def test_frames_are_those_of_the_geometry(sphere):
    assert np.allclose(east_north(*angles(sphere.positions)), sphere.frame, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "latitude, longitude",
    [([0, 0, 1], [0, 180]), ([0.0], [0, 180]), ([0, 95], [0, 180]), ([0, 10], [0, 90]), ([0, 10], [0, 10, 180])],
)
def test_grids_that_do_not_go_round(latitude, longitude):
    with pytest.raises(GaugenetError, match="expected"):
        LatLonInterpolation(np.array(latitude, float), np.array(longitude, float))


# --------------------------------------------------------------------------------------------------------- wind


@pytest.fixture(scope="module")
def wind(tmp_path_factory):
    library("xarray")
    folder = tmp_path_factory.mktemp("wind")
    write_wind(folder / "eraint_uvz.nc", solid_rotation, lambda x, n: 1e5 * (n + 1) + 1e3 * (n + 1) * x @ [1.0, 2.0, 2.0])
    return GeopotentialWind(folder)


def test_wind_values(wind, sphere):
    train, _ = wind.split(level=500)
    scale = wind.scale(train)
    inputs = wind.inputs(sphere.positions, scale)
    assert inputs.shape == (6, sphere.num_nodes, 2) and inputs.dtype == np.float32
    assert np.allclose(inputs[..., 1], sphere.positions[:, 2], atol=1e-6)
    expected = 1e3 * np.arange(1, 7)[:, None] * (sphere.positions @ [1.0, 2.0, 2.0])  # without the mean of the level
    assert np.abs(inputs[..., 0] * scale.geopotential - expected).max() < 0.01 * np.abs(expected).max()
    got = wind.winds(sphere.positions, sphere.frame)
    expected = np.stack([np.einsum("nx,nxc->nc", solid_rotation(sphere.positions, n), sphere.frame) for n in range(6)])
    assert np.abs(got - expected).max() < 0.01 * np.abs(expected).max()
    assert np.allclose(wind.winds(sphere.positions, sphere.frame, scale) * scale.wind, got, atol=1e-3)


def test_wind_of_a_turned_globe(wind, sphere):
    """Turned points with turned frames see the same numbers; so do the same points on a globe turned back."""
    scale = wind.scale([0])
    turned_points, turned_frame = sphere.positions @ TURN.T, TURN @ sphere.frame
    for function in (wind.winds, wind.geostrophic):
        plain = function(sphere.positions, sphere.frame)
        assert np.abs(plain).max() > 1
        assert np.allclose(
            function(turned_points, turned_frame, rotation=TURN), plain, atol=0.01
        )  # pole rows are rounded to 16 bits
    assert np.allclose(wind.inputs(turned_points, scale, TURN), wind.inputs(sphere.positions, scale), atol=1e-5)


def test_wind_of_the_mirror_image(wind, sphere):
    """North and south exchanged: the wind is mirrored, the geopotential moves along, and the Coriolis parameter stays."""
    mirror = np.diag([1.0, 1.0, -1.0])
    scale, there = wind.scale([0]), sphere.positions @ mirror
    plain, image = wind.inputs(there, scale), wind.inputs(sphere.positions, scale, mirror)
    assert np.allclose(image[..., 0], plain[..., 0], atol=1e-5)
    assert np.allclose(image[..., 1], sphere.positions[:, 2], atol=1e-6)
    # In mirrored frames the components stay; those have (east, south) where the frames have (east, north).
    for function in (wind.winds, wind.geostrophic):
        components = function(there, mirror @ sphere.frame)
        assert np.allclose(function(sphere.positions, sphere.frame, rotation=mirror), components, atol=0.01)


def test_units_come_from_the_training_fields_alone(wind):
    fields = np.arange(1, 7)
    for held in ({"level": 500}, {"month": 7}):
        train, test = wind.split(**held)
        scale = wind.scale(train)
        # Of a linear function with slope 3 the mean square is 9/3; of a rotation, |w|^2 2/3.
        size = np.sqrt((fields[train] ** 2).mean())
        assert np.isclose(scale.geopotential, 1e3 * np.sqrt(3) * size, rtol=2e-3)
        assert np.isclose(scale.wind, 10 * np.sqrt(0.94 * 2 / 3) * size, rtol=2e-3)
        assert sorted([*train, *test]) == list(range(6)) and len(test) == (2 if "level" in held else 3)
    assert wind.levels[wind.split(level=500)[1]].tolist() == [500, 500]
    assert wind.months[wind.split(month=7)[1]].tolist() == [7, 7, 7]


def test_geostrophic_wind(tmp_path, sphere):
    """z = c sin^2(latitude) is in balance with the solid rotation u = -c cos(latitude) / (Omega a)."""
    library("xarray")
    c = 2e4
    path = write_wind(
        tmp_path / "a.nc",
        lambda x, n: np.cross([0, 0, -c / (7.292e-5 * 6.3712e6)], x),
        lambda x, n: c * x[..., 2] ** 2,
        levels=(500,),
        months=(1,),
    )
    wind = GeopotentialWind(path)
    off = np.abs(sphere.positions[:, 2]) > 0.1
    true = wind.winds(sphere.positions, sphere.frame)[0, off]
    got = wind.geostrophic(sphere.positions, sphere.frame, smallest=1e-3)[0, off]
    assert np.abs(got - true).max() < 0.02 * np.abs(true).max()
    damped = wind.geostrophic(sphere.positions, sphere.frame, smallest=0.3)[0, off]
    assert (np.linalg.norm(damped, axis=1) < np.linalg.norm(got, axis=1) + 1e-6).all()


def test_wind_arguments(wind, sphere):
    for arguments in ({}, {"month": 1, "level": 500}, {"month": 3}, {"level": 100}):
        with pytest.raises(ValueError, match="hold out"):
            wind.split(**arguments)
    with pytest.raises(ValueError, match="frames expected"):
        wind.winds(sphere.positions, sphere.frame[:3])
    with pytest.raises(ValueError, match="smallest"):
        wind.geostrophic(sphere.positions, sphere.frame, smallest=0.0)
    with pytest.raises(ValueError, match="orthogonal"):
        wind.winds(sphere.positions, sphere.frame, rotation=2 * np.eye(3))


def test_bad_wind_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="eraint"):
        GeopotentialWind(tmp_path)
    smooth = solid_rotation, lambda x, n: x[..., 2]
    with pytest.raises(GaugenetError, match="no variable z"):
        GeopotentialWind(write_wind(tmp_path / "a.nc", *smooth, drop="z"))
    whole = write_wind(tmp_path / "b.nc", *smooth).read_bytes()
    for content in (whole[:3000], whole[: len(whole) // 2], b"CDF\x02" + b"\xff" * 200, b"", b"text"):
        (tmp_path / "c.nc").write_bytes(content)
        with pytest.raises(GaugenetError, match=r"c\.nc"):
            GeopotentialWind(tmp_path / "c.nc")


def test_era_interim(shared, sphere):
    wind = GeopotentialWind(shared / "data" / "wind_erainterim")
    true, balanced = (f(sphere.positions, sphere.frame) for f in (wind.winds, wind.geostrophic))
    middle = np.abs(sphere.positions[:, 2]) > 0.5
    # Balance holds off the equator: most of the wind, and the signs of both components.
    assert ((true - balanced)[:, middle] ** 2).sum() < 0.25 * (true[:, middle] ** 2).sum()
    # Pole rows hold one vector: on a small circle round the pole the wind is nearly constant in space.
    angle = np.arange(0, 2 * np.pi, 0.5)
    near = np.stack([1e-3 * np.cos(angle), 1e-3 * np.sin(angle), np.sqrt(1 - 1e-6) * np.ones_like(angle)], -1)
    ambient = wind.grid.vectors(wind._u, wind._v, near)
    assert np.abs(ambient - ambient.mean(1, keepdims=True)).max() < 0.2


# ------------------------------------------------------------------------------------- topography, climate runs


def test_topography(tmp_path, sphere):
    latitude, longitude = GRIDS["cells"]
    x, *_ = grid_points(latitude, longitude)
    np.savez(tmp_path / "earth_topo_2deg_lmax180.npz", elev_m=x[..., 0], lat=latitude, lon=longitude)
    grid, heights = load_topography(tmp_path)
    assert np.abs(grid.scalars(heights, sphere.positions) - sphere.positions[:, 0]).max() < 0.01
    np.savez(tmp_path / "bad.npz", elev_m=x[:5, :, 0], lat=latitude, lon=longitude)
    with pytest.raises(GaugenetError, match="elev_m expected shape"):
        load_topography(tmp_path / "bad.npz")


def test_topography_coefficients(tmp_path):
    rows = [(l, m, 10.0 * l + m, -1.0 * m) for l in range(4) for m in range(l + 1)]
    text = "\n".join(f" {l} {m} {c} {s:.3e}".replace("e", "D") for l, m, c, s in rows)
    with gzip.open(tmp_path / "srtmp300.msl.gz", "wt") as out:
        out.write(text)
    (tmp_path / "plain.txt").write_text(text)
    for path in (tmp_path, tmp_path / "plain.txt"):
        got = load_topography_coefficients(path)
        assert got.shape == (2, 4, 4) and got[0, 3, 2] == 32 and got[1, 3, 2] == -2 and not np.triu(got[0], 1).any()
        assert np.array_equal(load_topography_coefficients(path, 2), got[:, :3, :3])
    with pytest.raises(ValueError, match="lmax"):
        load_topography_coefficients(tmp_path, 4)
    (tmp_path / "cut.gz").write_bytes((tmp_path / "srtmp300.msl.gz").read_bytes()[:40])
    bad = {"gap": text[:-20], "words": "a b c d", "empty": "", "twice": text.replace(" 1 1 ", " 1 0 ")}
    for name, content in bad.items():
        (tmp_path / name).write_text(content)
    for name in (*bad, "cut.gz"):
        with pytest.raises(GaugenetError, match=name):
            load_topography_coefficients(tmp_path / name)


def test_shared_topography(shared):
    grid, heights = load_topography(shared / "data" / "topography_sh")
    coefficients = load_topography_coefficients(shared / "data" / "topography_sh")
    # "4 pi" normalisation: C_00 is the mean, and the sum of squares is the mean square (Parseval; the grid ends at degree 180).
    assert abs(grid.mean(heights) - coefficients[0, 0, 0]) < 10
    assert np.isclose(grid.mean(heights**2), (coefficients**2).sum(), rtol=0.01)


def write_runs(path, numbers=(57, 59, 66, 67), years=40):
    rng = np.random.default_rng(0)
    runs = {f"run_{n}": (280 + n + rng.standard_normal((years, 16, 32))).astype(np.float32) for n in numbers}
    lat, lon, year = np.linspace(-84, 84, 16), np.arange(32) * 11.25, 1890 + np.arange(years)
    np.savez(path, **runs, lat=lat, lon=lon, year=year)
    return path


def test_climate_runs(tmp_path, sphere):
    write_runs(tmp_path / "trefht_annual_1890_1999.npz")
    runs = ClimateRuns(tmp_path)
    assert len(runs) == 160 and {(r, l) for r, l in zip(runs.run, runs.label)} == {(57, 1), (59, 1), (66, 0), (67, 0)}
    train, test = runs.split([59, 67])
    assert sorted([*train, *test]) == list(range(160)) and not set(runs.run[train]) & set(runs.run[test])
    for wrong in ([57, 59], [58, 66], [57, 59, 66, 67], []):
        with pytest.raises(ValueError):
            runs.split(wrong)
    points = sphere.positions
    raw, anomaly = runs.signals(points, base=None), runs.signals(points)
    assert raw.shape == anomaly.shape == (160, sphere.num_nodes) and raw.dtype == anomaly.dtype == np.float32
    for run in (57, 66):
        own = runs.run == run
        assert np.abs(anomaly[own & (runs.year <= 1919)].mean(0)).max() < 1e-3
        difference = raw[own] - anomaly[own]
        assert np.abs(difference - difference[0]).max() < 1e-3
    with pytest.raises(ValueError, match="has no years"):
        runs.signals(points, base=(1800, 1810))


def test_bad_runs(tmp_path):
    with pytest.raises(GaugenetError, match="run_12"):
        ClimateRuns(write_runs(tmp_path / "a.npz", (57, 12)))
    with pytest.raises(GaugenetError, match="expected arrays run"):
        ClimateRuns(write_runs(tmp_path / "b.npz", ()))


def test_shared_runs(shared):
    runs = ClimateRuns(shared / "data" / "climate_sphere")
    warm = runs.grid.mean(runs.temperature)
    late, early = runs.year >= 1970, runs.year <= 1919
    rise = {run: warm[(runs.run == run) & late].mean() - warm[(runs.run == run) & early].mean() for run in set(runs.run)}
    label = dict(zip(runs.run, runs.label))
    assert min(r for run, r in rise.items() if label[run]) > max(r for run, r in rise.items() if not label[run])
