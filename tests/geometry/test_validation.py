from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.errors import GeometryError
from gaugenet.geometry import Feature
from tests.helpers.meshes import bumpy


@pytest.fixture(scope="module")
def geom():
    return geometry.mesh(*bumpy(2), rings=1, levels=1, features="curvature")


def changed(geom, name, edit):
    array = getattr(geom, name).copy()
    array = edit(array)
    return geom.replace(**{name: array})


def put(index, value):
    def edit(array):
        array[index] = value
        return array

    return edit


CASES = [
    ("log", put(3, np.nan), "log must be finite"),
    ("log", lambda a: a * 10, "longer than the radius"),
    ("log", put(0, [1e-3, 0]), "lengths must be symmetric"),
    ("log", lambda a: a[:-1], "must have shape"),
    ("transport", put(5, 2 * np.eye(2)), "transport must be orthogonal"),
    ("transport", put(5, np.diag([1.0, -1.0])), "reverse edges must be inverse"),
    ("edge_index", lambda a: a[:, ::-1].copy(), "sorted"),
    ("edge_index", put((0, 0), 10**6), "must lie in"),
    ("edge_index", put((0, 0), 0), "self-loops"),
    ("edge_index", lambda a: a.astype(np.int32), "int64"),
    ("weight", put(0, -1.0), "weight must not be negative"),
    ("radius", put(0, 0.0), "radius must be positive"),
    ("area", put(0, -1.0), "area must not be negative"),
    ("frame", put(0, 1.0), "frame must be orthogonal"),
    ("frame", lambda a: a[:-1], "frame must have shape"),
    ("positions", put(0, np.inf), "positions must be finite"),
    ("positions", lambda a: a[:-1], "positions must have"),
    ("faces", put((0, 0), -1), "faces must lie in"),
]


@pytest.mark.parametrize("name, edit, text", CASES, ids=[c[2] for c in CASES])
def test_every_violation_is_named(geom, name, edit, text):
    geom.validate()
    with pytest.raises(GeometryError, match=text):
        changed(geom, name, edit).validate()


def test_features_and_pooling(geom):
    with pytest.raises(GeometryError, match="feature 'x'"):
        geom.replace(features={"x": Feature(np.zeros((3, 2)), "2x0")}).validate()
    with pytest.raises(GeometryError, match="must be finite"):
        geom.replace(features={"x": Feature(np.full((geom.num_nodes, 2), np.nan), "2x0")}).validate()
    for change, text in (
        ({"cluster": geom.coarse.cluster * 0}, "needs a member"),
        ({"cluster": geom.coarse.cluster + 1000}, "must lie in"),
        ({"cluster": geom.coarse.cluster[:-1]}, "shape"),
        ({"transport": geom.coarse.transport * 2}, "orthogonal"),
        ({"transport": geom.coarse.transport[:-1]}, "shape"),
    ):
        with pytest.raises(GeometryError, match=text):
            geom.replace(coarse=dataclasses.replace(geom.coarse, **change)).validate()
    broken = geom.coarse.geometry.replace(radius=-geom.coarse.geometry.radius)
    with pytest.raises(GeometryError, match="level 1: radius"):
        geom.replace(coarse=dataclasses.replace(geom.coarse, geometry=broken)).validate()


def test_tolerance(geom):
    noisy = geom.replace(transport=geom.transport * (1 + 1e-6))
    with pytest.raises(GeometryError, match="orthogonal"):
        noisy.validate()
    noisy.validate(1e-4)
