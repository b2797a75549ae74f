"""Fields written for other programs come back: in memory, and in every kind of file."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from gaugenet import geometry
from gaugenet.errors import GeometryError, MissingDependencyError
from gaugenet.geometry import Feature, load_mesh
from gaugenet.io.libraries.brain import read_vertex_values
from tests.helpers.corpus import torus
from tests.helpers.extras import library

VERTICES, FACES = torus()
LABELS, PARTS = np.arange(len(VERTICES)) % 3, np.arange(len(FACES)) % 5
PRESSURE = np.random.default_rng(0).normal(size=len(VERTICES))
WSS = np.random.default_rng(1).normal(size=(len(VERTICES), 3))
STRESS = WSS[:, :, None] * WSS[:, None, :]


@pytest.fixture(scope="module")
def geom():
    return geometry.mesh(VERTICES, FACES, rings=1, vertex_data={"label": LABELS}, face_data={"part": PARTS})


def fields(geom):
    return {
        "p": torch.tensor(PRESSURE),
        "wss": geometry.to_frames(WSS, geom),
        "stress": tuple(geometry.to_frames(STRESS, geom)),
    }


def test_pyvista(geom):
    library("pyvista")
    mesh = geom.to_pyvista(fields(geom))
    assert np.array_equal(mesh.points, VERTICES) and np.array_equal(mesh.regular_faces, FACES)
    assert np.array_equal(mesh["label"], LABELS) and np.array_equal(mesh.cell_data["part"], PARTS)
    assert np.array_equal(mesh["p"], PRESSURE) and np.abs(mesh["wss"] - WSS).max() < 1e-14
    assert np.abs(mesh["stress"].reshape(-1, 3, 3) - STRESS).max() < 1e-13
    # Back as it was: the round trip of a mesh with labels and fields.
    again = geometry.mesh(mesh, rings=1)
    assert np.array_equal(again.log, geom.log) and np.array_equal(again.vertex_data["wss"], mesh["wss"])
    assert np.array_equal(again.face_data["part"], PARTS)


def test_channels_of_vectors(geom):
    library("pyvista")
    values = np.random.default_rng(2).normal(size=(len(VERTICES), 6))
    mesh = geom.to_pyvista({"v": (values, "3x1"), "s": Feature(values[:, :1], "1x0"), "many": (values, "6x0")})
    for c in range(3):
        assert np.allclose(mesh[f"v_{c}"], geometry.from_frames(values[:, [c, 3 + c]], geom, "1x1"), atol=1e-15)
    assert mesh["s"].shape == (len(VERTICES),) and np.array_equal(mesh["many"], values)


@pytest.mark.parametrize("extension", [".vtp", ".vtu", ".vtk"])
def test_vtk_files(tmp_path, geom, extension):
    library("pyvista")
    path = tmp_path / f"torus{extension}"
    geometry.save_fields(path, geom, fields(geom))
    mesh = load_mesh(path)
    assert np.array_equal(mesh.vertices, VERTICES) and np.array_equal(mesh.faces, FACES)
    assert np.array_equal(mesh.vertex_data["label"], LABELS) and np.array_equal(mesh.face_data["part"], PARTS)
    assert np.array_equal(mesh.vertex_data["p"], PRESSURE) and np.abs(mesh.vertex_data["wss"] - WSS).max() < 1e-14


def test_ply_and_glb(tmp_path, geom):
    for name in ("torus.ply", "torus.glb"):
        geometry.save_fields(tmp_path / name, geom, fields(geom))
    ply, glb = load_mesh(tmp_path / "torus.ply"), load_mesh(tmp_path / "torus.glb")
    assert np.array_equal(ply.vertices, VERTICES) and np.array_equal(ply.faces, FACES) and np.array_equal(glb.faces, FACES)
    assert np.array_equal(ply.vertex_data["label"], LABELS) and np.array_equal(ply.face_data["part"], PARTS)
    assert np.allclose(np.stack([ply.vertex_data[f"wss_{c}"] for c in range(3)], 1), WSS, atol=1e-6)
    assert np.array_equal(glb.vertex_data["p"].ravel(), PRESSURE.astype(np.float32))
    assert np.allclose(glb.vertex_data["wss"], WSS, atol=1e-6)
    assert np.allclose(glb.vertex_data["stress_1"], STRESS[:, :, 1], atol=1e-5)


def test_gifti(tmp_path):
    nibabel = library("nibabel")
    vertices = np.concatenate([VERTICES, [[9.0, 9, 9]]])  # one that no face uses
    with pytest.warns(UserWarning, match="no face uses"):
        geom = geometry.mesh(vertices, FACES, rings=1)
    geometry.save_fields(tmp_path / "a.surf.gii", geom, {"p": PRESSURE, "label": LABELS})
    mesh = load_mesh(tmp_path / "a.surf.gii")
    assert np.array_equal(mesh.vertices, VERTICES.astype(np.float32)) and np.array_equal(mesh.faces, FACES)
    assert np.array_equal(mesh.vertex_data["p"], PRESSURE.astype(np.float32))
    assert np.array_equal(mesh.vertex_data["label"], LABELS)
    geometry.save_fields(tmp_path / "a.func.gii", geom, {"p": PRESSURE})
    (array,) = nibabel.load(tmp_path / "a.func.gii").darrays
    assert np.array_equal(array.data[:-1], PRESSURE.astype(np.float32)) and np.isnan(array.data[-1])


def test_cifti(tmp_path):
    library("nibabel")
    vertices = np.concatenate([[[9.0, 9, 9]], VERTICES])  # one that no face uses
    with pytest.warns(UserWarning, match="no face uses"):
        geom = geometry.mesh(vertices, FACES + 1, rings=1)
    wind = geometry.to_frames(WSS, geom)
    path = tmp_path / "a.dscalar.nii"
    geometry.save_fields(path, geom, {"p": PRESSURE, "wind": wind}, structure="cortex_right")
    found, _ = read_vertex_values(path, len(vertices))
    assert list(found) == [f"cortex_right_{name}" for name in ("p", "wind_0", "wind_1", "wind_2")]
    assert np.isnan(found["cortex_right_p"][0]) and np.array_equal(found["cortex_right_p"][1:], PRESSURE.astype(np.float32))
    ambient = geometry.from_frames(wind.values, geom, wind.type)
    assert np.array_equal(found["cortex_right_wind_1"][1:], ambient[:, 1].astype(np.float32))
    # Labels keep their names; those without one have their number.
    geom.metadata["names"] = {"area": ["???", "V1"]}
    path = tmp_path / "a.dlabel.nii"
    labels = np.arange(len(VERTICES)) % 3
    geometry.save_fields(path, geom, {"area": labels}, structure="cortex_left")
    found, names = read_vertex_values(path, len(vertices))
    assert np.array_equal(found["cortex_left"][1:], labels) and names["cortex_left"] == ["???", "V1", "2"]
    for fields, options, message in (
        ({"p": labels}, {}, "expected structure='cortex_left'"),
        ({"p": labels}, {"structure": "left ear"}, "one that it knows"),
        ({}, {"structure": "cortex_left"}, "expected fields"),
        ({"p": PRESSURE}, {"structure": "cortex_left"}, "labels expected whole numbers from 0 on, field 'p' has float64"),
    ):
        with pytest.raises(GeometryError, match=message):
            geometry.save_fields(path, geom, fields, **options)
    with pytest.raises(GeometryError, match="structure= is for CIFTI files"):
        geometry.save_fields(tmp_path / "a.ply", geom, {"p": PRESSURE}, structure="cortex_left")


def test_wrong_arguments(tmp_path, geom):
    with pytest.raises(GeometryError, match=r"ends in \.vtp.*got 'a\.xyz'"):
        geometry.save_fields("a.xyz", geom)
    with pytest.raises(GeometryError, match="field 'p' expected a row for each of 96 nodes"):
        geometry.save_fields(tmp_path / "a.ply", geom, {"p": PRESSURE[:-1]})
    with pytest.raises(GeometryError, match="from_frames expected a type"):
        geometry.save_fields(tmp_path / "a.ply", geom, {"p": (WSS, "1x0 + 1x3")})
    with pytest.raises(GeometryError, match="with faces"):
        geometry.save_fields(tmp_path / "a.ply", geom.replace(faces=None))
    with pytest.raises(GeometryError, match="positions in space"):
        geometry.save_fields(tmp_path / "a.ply", geom.replace(positions=None))


def test_polyscope(geom, monkeypatch):
    polyscope = library("polyscope")
    polyscope.set_use_prefs_file(False)
    polyscope.init("openGL_mock")  # the backend that draws nothing
    kept = {}
    for kind in ("scalar", "vector"):
        add = getattr(polyscope.SurfaceMesh, f"add_{kind}_quantity")

        def keep(self, name, values, add=add, **options):
            kept[name] = np.asarray(values)
            return add(self, name, values, **options)

        monkeypatch.setattr(polyscope.SurfaceMesh, f"add_{kind}_quantity", keep)
    surface = geom.to_polyscope("torus", fields(geom))
    assert polyscope.has_surface_mesh("torus") and (surface.n_vertices(), surface.n_faces()) == (len(VERTICES), len(FACES))
    assert np.array_equal(kept["label"], LABELS) and np.array_equal(kept["part"], PARTS) and np.array_equal(kept["p"], PRESSURE)
    assert np.abs(kept["wss"] - WSS).max() < 1e-14
    # The tensor is w w^T: |w|^2, and w again up to its sign.
    square = (WSS**2).sum(1)
    assert np.allclose(kept["stress"], square) and np.allclose(np.linalg.norm(kept["stress, principal"], axis=1), square)
    assert np.allclose(np.abs((kept["stress, principal"] * WSS).sum(1)), square**1.5)
    with pytest.raises(GeometryError, match="expected a geometry with faces"):
        geom.replace(faces=None, face_data={}).to_polyscope("a")


def test_polyscope_is_an_extra(geom, monkeypatch):
    monkeypatch.setitem(sys.modules, "polyscope", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gaugenet\[viewers\]'"):
        geom.to_polyscope("torus")
