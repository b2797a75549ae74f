"""Data for examples whose own is not there: the same files, small and made here, so that every example runs for everyone.

What is learnt from them says nothing about the published data sets; the examples print which they took.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import netcdf_file

FOLDER = Path("runs") / "stand_ins"


def digits() -> Path:
    """scikit-learn's digits under the names of our files of MNIST: 1297 to train on, 500 to test."""
    from sklearn.datasets import load_digits

    FOLDER.mkdir(parents=True, exist_ok=True)
    known = load_digits()
    order = np.random.default_rng(0).permutation(len(known.target))
    images, labels = (known.images * (255 / 16)).round().astype(np.uint8)[order], known.target[order]
    np.savez(FOLDER / "mnist_train10k.npz", x=images[:1297], y=labels[:1297])
    np.savez(FOLDER / "mnist_t10k_even.npz", x=images[1297:], y=labels[1297:])
    return FOLDER


def winds() -> Path:
    """Random geopotentials of low degree with the winds that would balance them on a globe of one Coriolis parameter."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    latitude, longitude = np.linspace(90, -90, 61), np.arange(120) * 3.0 - 180
    months, levels = np.array([1, 7]), np.array([200, 500, 850])
    b, a = np.meshgrid(np.radians(latitude), np.radians(longitude), indexing="ij")
    x = np.stack([np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)])
    east = np.stack([-np.sin(a), np.cos(a), 0 * a])
    north = np.stack([-np.sin(b) * np.cos(a), -np.sin(b) * np.sin(a), np.cos(b)])
    rng, shape = np.random.default_rng(0), (len(months), len(levels), *b.shape)
    fields = {name: np.zeros(shape) for name in "zuv"}
    for place in np.ndindex(shape[:2]):
        for _ in range(6):  # waves c sin(k x) in space
            k, c = rng.normal(size=3) * 2, rng.normal()
            phase = np.tensordot(k, x, 1)
            slope = c * np.cos(phase) * k[:, None, None]
            fields["z"][place] += 2e3 * c * np.sin(phase)
            fields["u"][place] -= 5 * (slope * north).sum(0)
            fields["v"][place] += 5 * (slope * east).sum(0)
    axes = {"month": months, "level": levels, "latitude": latitude, "longitude": longitude}
    with netcdf_file(FOLDER / "eraint_uvz.nc", "w", version=2) as out:
        for name, values in axes.items():
            out.createDimension(name, len(values))
            out.createVariable(name, "i4" if values.dtype.kind == "i" else "f4", (name,))[:] = values
        for name, values in fields.items():
            out.createVariable(name, "f4", tuple(axes))[:] = values
    return FOLDER


def volumes() -> Path:
    """Bodies of one to two balls (0) and of three in a bent row (1), turned at random, under the name of AdrenalMNIST3D."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rng, arrays = np.random.default_rng(0), {}
    place = np.stack(np.meshgrid(*[np.arange(28) - 13.5] * 3, indexing="ij"), -1)
    for part, count in (("train", 300), ("val", 60)):
        labels, images = rng.integers(0, 2, (count, 1)), np.zeros((count, 28, 28, 28), np.uint8)
        for image, (label,) in zip(images, labels):
            turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            middles = [[-6, 0, 0], [0, 0, 0], [4, 4, 0]] if label else [[-3, 0, 0], [3, 0, 0]]
            for middle in middles:
                image[np.linalg.norm(place - turn @ middle, axis=-1) < rng.uniform(3, 4.5)] = 1
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    np.savez_compressed(FOLDER / "adrenal28_train_val.npz", **arrays)
    return FOLDER
