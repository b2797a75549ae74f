from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.data import load_fsaverage5, load_wmap
from gaugenet.errors import GaugenetError


def write_maps(path, nside=4, **changes):
    rng = np.random.default_rng(0)
    n = 12 * nside**2
    maps = {name: rng.standard_normal(n).astype(np.float32) for name in "IQU"}
    maps["mask"] = (rng.random(n) > 0.3).astype(np.float32)
    np.savez(path, **{**maps, **changes})
    return maps


def test_sky(tmp_path):
    maps = write_maps(tmp_path / "wmap_W_iqu_nside32.npz")
    sky = load_wmap(tmp_path)
    assert sky.nside == 4 and sky.temperature.shape == (192, 1) and sky.mask.dtype == bool
    assert np.array_equal(sky.temperature[:, 0], maps["I"]) and np.array_equal(sky.mask, maps["mask"] > 0.5)
    sphere = sky.sphere()
    height = sphere.positions[:, 2]
    assert (np.diff(height) < 1e-9).all() and np.isclose(height[0], 1 - 1 / (3 * 16))  # rings from north to south
    with pytest.raises(TypeError):
        sky.sphere(nest=True)


@pytest.mark.parametrize("convention", ["COSMO", "IAU"])
def test_polarisation_points_the_same_way(tmp_path, convention):
    """The direction at angle psi in the file's axes is the direction that the order-2 field has in (east, north)."""
    psi = np.random.default_rng(1).uniform(0, np.pi, 192)
    write_maps(tmp_path / "a.npz", Q=2 * np.cos(2 * psi), U=2 * np.sin(2 * psi))
    got = load_wmap(tmp_path / "a.npz", convention).polarization
    east, north = np.array([1.0, 0]), np.array([0, 1.0])
    # COSMO: from south towards east. IAU: from north towards east.
    start = -north if convention == "COSMO" else north
    direction = np.cos(psi)[:, None] * start + np.sin(psi)[:, None] * east
    angle = np.arctan2(direction[:, 1], direction[:, 0])
    assert np.allclose(got, 2 * np.stack([np.cos(2 * angle), np.sin(2 * angle)], -1), atol=1e-5)


def test_bad_maps(tmp_path):
    with pytest.raises(ValueError, match="convention"):
        load_wmap(tmp_path, "other")
    for name, changes in {
        "short": {"I": np.zeros(191)},
        "nan": {"Q": np.full(192, np.nan)},
        "square": {"mask": np.ones((2, 96))},
    }.items():
        write_maps(tmp_path / f"{name}.npz", **changes)
        with pytest.raises(GaugenetError, match=name):
            load_wmap(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "odd.npz", **{name: np.zeros(12 * 9) for name in ("I", "Q", "U", "mask")})  # nside 3
    with pytest.raises(GaugenetError, match="12 nside"):
        load_wmap(tmp_path / "odd.npz")


def test_wmap(shared):
    sky = load_wmap(shared / "data" / "wmap_iqu_nside32")
    assert sky.nside == 32 and 0.5 < sky.mask.mean() < 0.75


def write_cortex(path, inward=False, **changes):
    ball = geometry.icosphere(2)
    n = ball.num_nodes
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(n).astype(np.float32) for name in ("sulc", "curv", "thickness")}
    for name, size in {"sphere": 100, "white": 40, "pial": 45, "inflated": 60}.items():
        arrays[name] = (size * ball.positions).astype(np.float32)
    arrays["faces"] = (ball.faces[:, ::-1] if inward else ball.faces).astype(np.uint16)
    arrays["aparc_label"] = rng.integers(-1, 4, n).astype(np.int16)
    arrays["aparc_names"] = np.array(["unknown", "bankssts", "corpuscallosum", "cuneus"])
    arrays.update(changes)
    np.savez(path, **arrays)
    return arrays


@pytest.mark.parametrize("inward", [False, True])
def test_cortex(tmp_path, inward):
    arrays = write_cortex(tmp_path / "fsaverage5_left.npz", inward)
    cortex = load_fsaverage5(tmp_path)
    assert np.allclose(np.linalg.norm(cortex.unit, axis=1), 1) and cortex.labels.min() == 0
    assert np.array_equal(cortex.measures[:, 2], arrays["thickness"])
    assert np.array_equal(cortex.cortex, np.isin(arrays["aparc_label"], [1, 3]))
    ball = cortex.sphere(rings=1)
    assert np.allclose(ball.area.sum(), 4 * np.pi)
    a, b, c = np.moveaxis(ball.positions[ball.faces], 1, 0)
    assert (np.einsum("fi,fi->f", np.cross(b - a, c - a), a) > 0).all()
    assert cortex.surface("pial", rings=1).num_nodes == len(cortex.unit)
    with pytest.raises(ValueError, match="no surface"):
        cortex.surface("grey")


def test_bad_cortex(tmp_path):
    bad = {
        "label": {"aparc_label": np.full(162, 9)},
        "face": {"faces": np.array([[0, 1, 162]])},
        "sphere": {"sphere": np.random.default_rng(0).standard_normal((162, 3))},
        "sulc": {"sulc": np.zeros(3)},
    }
    for name, changes in bad.items():
        write_cortex(tmp_path / "a.npz", **changes)
        with pytest.raises(GaugenetError, match=name):
            load_fsaverage5(tmp_path / "a.npz")


def test_fsaverage5(shared):
    cortex = load_fsaverage5(shared / "data" / "fsaverage5")
    assert len(cortex.faces) == 2 * len(cortex.unit) - 4
    thickness = cortex.measures[:, 2]
    assert thickness[cortex.cortex].mean() > 2 * thickness[~cortex.cortex].mean()
