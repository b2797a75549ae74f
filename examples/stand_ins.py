"""Data for examples whose own is not there: the same files, small and made here, so that every example runs for everyone.

What is learnt from them says nothing about the published data sets; the examples print which they took.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import trimesh
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


#: directions of the limbs of a body, and their lengths: a head, a belly, and two arms that differ in their side alone
LIMBS = ([0, 0, 1], [0, 1, 0], [1, 0, -0.2], [-1, 0, -0.2]), (0.9, 0.4, 0.7, 0.7)


def body(number: int, detail: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and labels of a body, stretched and turned at random: 0 trunk, 1 head, 2 belly, 3 right, 4 left arm."""
    rng = np.random.default_rng(number)
    ball = trimesh.creation.icosphere(detail)
    away, lengths = np.array(LIMBS[0]) / np.linalg.norm(LIMBS[0], axis=1, keepdims=True), LIMBS[1] * rng.uniform(0.8, 1.2, 4)
    close = np.exp(-((1 - ball.vertices @ away.T) / 0.08))
    vertices = ball.vertices * (1 + close @ lengths)[:, None] * rng.uniform(0.85, 1.15, 3)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn = turn * np.linalg.det(turn)  # a motion: no mirror image
    labels = np.where(close.max(1) > 0.3, 1 + close.argmax(1), 0)
    return vertices @ turn.T, np.asarray(ball.faces, np.int64), labels


def molecules() -> Path:
    """12 bodies to train on and 4 to test, in the layout of the RNA surfaces."""
    folder = FOLDER / "molecules"
    for number in range(16):
        part = folder / ("train" if number < 12 else "test")
        part.mkdir(parents=True, exist_ok=True)
        vertices, faces, labels = body(number)
        np.savez(part / f"body{number}.npz", vertices=vertices.astype(np.float32), faces=faces, labels=labels - 1)
    return folder


def parts() -> Path:
    """Two categories of 12 bodies, coarse and fine, with labels at the faces, in the layout of the Princeton meshes."""
    folder = FOLDER / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    made = [body(number, 2 + number % 2) for number in range(24)]
    vertices, faces = [v.astype(np.float32) for v, _, _ in made], [f for _, f, _ in made]
    np.savez(
        folder / "psb_2k.npz",
        V=np.concatenate(vertices),
        F=np.concatenate(faces),
        face_label=np.concatenate([np.median(labels[f], axis=1).astype(np.int64) for _, f, labels in made]),
        v_ptr=np.cumsum([0, *map(len, vertices)]),
        f_ptr=np.cumsum([0, *map(len, faces)]),
        category=np.arange(24) % 2,
        mesh_id=np.arange(24) // 2 + 1,
    )
    names = ["trunk", "head", "belly", "right arm", "left arm"]
    facts = {"categories": ["coarse", "fine"], "parts": {"coarse": names, "fine": names}}
    (folder / "index.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def bodies() -> Path:
    """12 bodies whose vertices correspond, in the layout of the animals: their order must not be looked at."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = [body(number) for number in range(12)]
    vertices, faces = [v.astype(np.float32) for v, _, _ in made], [f.astype(np.int32) for _, f, _ in made]
    pointers = {"v_ptr": np.cumsum([0, *map(len, vertices)]), "f_ptr": np.cumsum([0, *map(len, faces)])}
    corres = np.tile(np.arange(len(vertices[0])), (12, 1))
    names = np.array([f"body{number}" for number in range(12)])
    file = FOLDER / "bodies.npz"
    np.savez(file, V=np.concatenate(vertices), F=np.concatenate(faces), corres=corres, names=names, **pointers)
    return file


def vessels() -> Path:
    """12 small and coarse vessels of datasets/vessels, half a minute."""
    from datasets.vessels.record import Settings, make, write_manifest

    folder, settings = FOLDER / "vessels", Settings(segments=8, spacing=1.0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(12):
        if not (folder / f"vessel_{number:04d}.npz").is_file():
            make(number, settings, folder)
    write_manifest(folder, settings)
    return folder
