"""Turned digits: direction, centre, quarter turns, reproducibility."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet.data import RotatedDigits, turn_image


def blobs(count=3, size=12):
    """Smooth pictures, each with a bright place of its own to the right of the centre."""
    c = np.arange(size) - (size - 1) / 2
    x, y = c[None], -c[:, None]
    return np.stack([np.exp(-((x - 1 - k) ** 2 + y**2) / 4) for k in range(count)])


def centre_of_mass(image):
    c = np.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2
    return np.array([(image * c).sum(), (image * -c[:, None]).sum()]) / image.sum()


@pytest.mark.parametrize("angle", [0.3, 2.0, 4.5])
def test_turns_counter_clockwise_about_the_centre(angle):
    for image in blobs():
        before, after = centre_of_mass(image), centre_of_mass(turn_image(image, angle))
        expected = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ before
        assert np.allclose(after, expected, atol=0.05)


@pytest.mark.parametrize("size", [12, 13])
def test_quarter_turns_are_those_of_the_array(size):
    image = np.random.default_rng(0).random((size, size))
    for k in range(4):
        assert np.allclose(turn_image(image, k * np.pi / 2), np.rot90(image, k), rtol=1e-9, atol=1e-9)
    assert np.allclose(turn_image(image, 0.4 + np.pi / 2), np.rot90(turn_image(image, 0.4)), atol=1e-6)


def test_scale_and_size():
    image = blobs(1)[0]
    large = turn_image(image, 0.0, 25, 2.0)
    assert large.shape == (25, 25) and np.allclose(centre_of_mass(large), 2 * centre_of_mass(image), atol=0.1)
    data = RotatedDigits(blobs(), np.arange(3), scale=1.5)
    assert data.images.shape == (3, 1, 18, 18) and RotatedDigits(blobs(), np.arange(3), size=20).images.shape[2:] == (20, 20)


def test_data_set():
    labels = np.array([4, 5, 6])
    one, same, other = (RotatedDigits(blobs(), labels, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.images, same.images) and not torch.equal(one.images, other.images)
    assert len(one) == 3 and one[1][1] == 5 and one[[0, 2]][0].shape == (2, 1, 12, 12)
    assert one.images.dtype == torch.float32 and one.images.min() >= 0 and one.images.max() <= 1
    upright = RotatedDigits(blobs(), labels, rotated=False)
    assert np.allclose(upright.images[:, 0].numpy(), blobs(), atol=1e-6)
    bytes_ = RotatedDigits((255 * blobs()).round().astype(np.uint8), labels, rotated=False)
    assert np.allclose(bytes_.images, upright.images, atol=0.01)
    chosen = RotatedDigits(blobs(), labels, angles=np.full(3, np.pi / 2))
    assert np.allclose(chosen.images[:, 0].numpy(), np.rot90(blobs(), 1, (1, 2)), atol=1e-6)
    assert len(RotatedDigits(np.zeros((0, 8, 8)), np.zeros(0, int))) == 0


def test_refuses():
    for arguments, options in (
        ((blobs()[0], np.arange(3)), {}),
        ((blobs(), np.arange(2)), {}),
        ((blobs(), np.zeros(3)), {}),
        ((blobs(), np.arange(3)), {"scale": 0.0}),
        ((blobs(), np.arange(3)), {"size": 0}),
        ((blobs(), np.arange(3)), {"angles": np.zeros(2)}),
    ):
        with pytest.raises(ValueError):
            RotatedDigits(*arguments, **options)
