from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gaugenet import geometry
from gaugenet.data import SphericalDigits
from gaugenet.errors import GaugenetError


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, x=rng.integers(0, 256, (20, 28, 28), dtype=np.uint8), y=np.arange(20, dtype=np.uint8) // 2)
    return path


@pytest.fixture(scope="module")
def points():
    return geometry.icosphere(2).positions


def at_pixel(row, column, extent, height=28, width=28):
    """The point of the sphere whose projection is the centre of a pixel."""
    x, y = (column + 0.5) / (width / 2) - 1, 1 - (row + 0.5) / (height / 2)
    angle = 2 * np.arctan(np.hypot(x, y) * np.tan(np.radians(extent) / 2))
    azimuth = np.arctan2(y, x)
    return np.array([[np.sin(angle) * np.cos(azimuth), np.sin(angle) * np.sin(azimuth), np.cos(angle)]])


@pytest.mark.parametrize("extent", [60.0, 90.0, 130.0])
def test_pixel_centres_keep_their_values(file, extent):
    digits = SphericalDigits(file, extent=extent)
    for row, column in [(0, 0), (3, 20), (14, 14), (27, 5)]:
        value = digits.signals(at_pixel(row, column, extent))[:, 0]
        assert np.allclose(value, digits.images[:, row, column] / 255, atol=1e-5)


def test_between_pixels_it_is_bilinear(file):
    digits = SphericalDigits(file)
    value = digits.signals(at_pixel(10.25, 7.5, 90))[:, 0]
    corners = digits.images[:, 10:12, 7:9].astype(float) / 255
    assert np.allclose(value, 0.75 * corners[:, 0].mean(1) + 0.25 * corners[:, 1].mean(1), atol=1e-5)


def test_nothing_beyond_the_image(file):
    digits = SphericalDigits(file, extent=40)
    angle = np.radians(60)
    ring = np.array([[np.sin(angle) * np.cos(a), np.sin(angle) * np.sin(a), np.cos(angle)] for a in np.arange(6)])
    assert not digits.signals(np.concatenate([ring, [[0, 0, -1.0]]])).any()


def test_images_need_not_be_square(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (1, 10, 20), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=image, y=np.zeros(1, np.int64))
    assert np.allclose(
        SphericalDigits(tmp_path / "a.npz").signals(at_pixel(2, 15, 90, 10, 20)), image[0, 2, 15] / 255, atol=1e-5
    )


def test_a_turned_digit_is_the_function_of_the_turned_back_points(file, points):
    digits = SphericalDigits(file, seed=3)
    turned, turns = digits.signals(points, rotated=True), digits.rotations()
    for i in (0, 7):
        assert np.allclose(turned[i], digits.signals(points @ turns[i], indices=[i])[0], atol=1e-6)
    own = Rotation.random(2, random_state=0).as_matrix()
    assert np.allclose(digits.signals(points, rotated=own, indices=[4, 5])[1], digits.signals(points @ own[1])[5], atol=1e-6)


def test_rotations_are_uniform_and_belong_to_the_image(file, tmp_path, points):
    digits = SphericalDigits(file, seed=1)
    some = digits.signals(points, rotated=True, indices=[11, 2])
    assert np.array_equal(some, digits.signals(points, rotated=True)[[11, 2]])
    for other in (SphericalDigits(file, seed=2).rotations(), digits.rotations(draw=1)):
        assert not np.isclose(digits.rotations(), other).all((1, 2)).any()
    np.savez(tmp_path / "many.npz", x=np.zeros((40000, 1, 1), np.uint8), y=np.zeros(40000, np.uint8))
    turns = SphericalDigits(tmp_path / "many.npz").rotations()
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), rtol=1e-12, atol=1e-12) and (np.linalg.det(turns) > 0).all()
    # Uniform: the entries have mean 0 and mean square 1/3; five standard errors.
    assert np.abs(turns.mean(0)).max() < 5 * np.sqrt(1 / 3 / 40000)
    assert np.abs((turns**2).mean(0) - 1 / 3).max() < 5 * np.sqrt(4 / 45 / 40000)


def test_blur_is_the_gaussian_mean(file):
    """Against a fine sum over the tangent plane, for an image that is a quadratic function where the Gaussian reaches."""
    sharp, blurred = SphericalDigits(file, extent=60), SphericalDigits(file, extent=60, blur=10.0)
    x, y = np.meshgrid(np.arange(28) - 13.5, np.arange(28) - 13.5)
    image = 20 + 0.7 * x**2 - 0.3 * x * y + 0.9 * y**2 + 2 * x
    sharp.images = blurred.images = np.rint(np.clip(image, 0, 255)).astype(np.uint8)[None]
    s = np.radians(10.0)
    a, b = np.meshgrid(np.linspace(-4, 4, 81) * s, np.linspace(-4, 4, 81) * s)
    radius = np.hypot(a, b)
    around = np.stack([np.sinc(radius / np.pi) * a, np.sinc(radius / np.pi) * b, np.cos(radius)], -1).reshape(-1, 3)
    weight = np.exp(-(radius**2) / (2 * s**2)).ravel()
    mean = (sharp.signals(around, indices=[0])[0] * weight).sum() / weight.sum()
    pole = np.array([[0, 0, 1.0]])
    plain, got = (d.signals(pole, indices=[0])[0, 0] for d in (sharp, blurred))
    assert abs(got - mean) < 0.1 * abs(plain - mean)


def test_split_is_a_shuffled_partition(file):
    digits = SphericalDigits(file)
    train, validation = digits.split(5, seed=1)
    assert sorted([*train, *validation]) == list(range(20)) and len(validation) == 5
    assert not np.array_equal(np.sort(train), train)
    assert not np.array_equal(digits.split(5, seed=2)[0], train)
    with pytest.raises(ValueError, match="nothing to train"):
        digits.split(20)


def test_arguments_are_checked(file, points):
    for wrong in ({"extent": 180}, {"extent": 0}, {"blur": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SphericalDigits(file, **wrong)
    digits = SphericalDigits(file)
    with pytest.raises(ValueError, match="rotations expected shape"):
        digits.signals(points, rotated=np.eye(3))
    with pytest.raises(ValueError, match=r"\(N, 3\)"):
        digits.signals(points[:, :2])
    with pytest.raises(ValueError, match="origin"):
        digits.signals(np.zeros((1, 3)))


def test_bad_files(file, tmp_path):
    with pytest.raises(FileNotFoundError, match="mnist_train10k"):
        SphericalDigits(tmp_path)
    x, y = np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64)
    bad = {
        "pixels": {"x": x.astype(float), "y": y},
        "labels": {"x": x, "y": y[:1]},
        "flat": {"x": x[0], "y": y},
        "missing": {"x": x},
        "pickled": {"x": x, "y": np.array([{}, {}], dtype=object)},
    }
    for name, arrays in bad.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(GaugenetError, match=name):
            SphericalDigits(tmp_path / f"{name}.npz")
    whole = file.read_bytes()
    for name, content in {"cut": whole[: len(whole) // 2], "text": b"no archive", "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(GaugenetError, match=name):
            SphericalDigits(tmp_path / name)


def test_mnist(shared, points):
    digits = SphericalDigits(shared / "data" / "mnist")
    assert len(digits) == len(digits.labels) and set(digits.labels) == set(range(10))
    signals = digits.signals(points, rotated=True, indices=slice(0, 200))
    assert signals.dtype == np.float32 and signals.shape == (200, len(points)) and 0 <= signals.min() < signals.max() < 1.001
