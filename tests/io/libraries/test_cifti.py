"""CIFTI: values, labels and parcels of both hemispheres arrive at their vertices; a bad file gets one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.errors import MeshError
from gaugenet.io.libraries.brain import read_vertex_values
from tests.helpers.corpus import torus
from tests.helpers.extras import library

VERTICES, FACES = torus()
COUNT = len(VERTICES)
LEFT = np.arange(5, COUNT)  # the first five are the medial wall
RIGHT = np.arange(0, COUNT, 2)
STRUCTURES = {"left": "CIFTI_STRUCTURE_CORTEX_LEFT", "right": "CIFTI_STRUCTURE_CORTEX_RIGHT"}


def dense(axes):
    cortex = [axes.BrainModelAxis.from_surface(own, COUNT, name=f"Cortex{side.title()}") for side, own in _sides()]
    volume = axes.BrainModelAxis.from_mask(np.ones((2, 2, 2)), name="thalamus_left", affine=np.eye(4))
    return cortex[0] + volume + cortex[1]


def parcels(axes):
    """Two in the left hemisphere, one in both."""
    vertices = [{STRUCTURES["left"]: LEFT[:4]}, {STRUCTURES["left"]: LEFT[4:9]}]
    vertices.append({STRUCTURES["left"]: LEFT[20:22], STRUCTURES["right"]: RIGHT[:3]})
    voxels = [np.zeros((0, 3), int)] * 3
    return axes.ParcelsAxis(
        ["V1", "V2", "MT"], voxels, vertices, np.eye(4), (2, 2, 2), dict.fromkeys(STRUCTURES.values(), COUNT)
    )


def _sides():
    return (("left", LEFT), ("right", RIGHT))


def save(path, matrix, *axes):
    nibabel = library("nibabel")
    nibabel.Cifti2Image(np.asarray(matrix, np.float32), nibabel.cifti2.Cifti2Header.from_axes(axes)).to_filename(path)
    return path


@pytest.fixture
def axes():
    return library("nibabel").cifti2.cifti2_axes


def test_scalars_and_series(axes, tmp_path):
    brain = dense(axes)
    matrix = np.random.default_rng(0).normal(size=(2, len(brain))).astype(np.float32)
    path = save(tmp_path / "a.dscalar.nii", matrix, axes.ScalarAxis(["myelin", "depth"]), brain)
    found, names = read_vertex_values(path, COUNT)
    assert not names and list(found) == [f"cortex_{side}_{name}" for side in ("left", "right") for name in ("myelin", "depth")]
    assert np.array_equal(found["cortex_left_depth"][LEFT], matrix[1, : len(LEFT)].astype(float))
    assert np.array_equal(found["cortex_right_myelin"][RIGHT], matrix[0, len(LEFT) + 8 :].astype(float))
    assert np.isnan(found["cortex_left_depth"][:5]).all() and np.isnan(found["cortex_right_depth"][1::2]).all()
    path = save(tmp_path / "a.dtseries.nii", matrix, axes.SeriesAxis(0, 1, 2), brain)
    series, _ = read_vertex_values(path, COUNT)
    assert np.array_equal(series["cortex_left"][LEFT], matrix[:, : len(LEFT)].T.astype(float))


def test_labels_of_a_mesh(axes, tmp_path):
    brain = dense(axes)
    keys = np.arange(len(brain))[None] % 3
    colour = (1, 0, 0, 1)
    labels = axes.LabelAxis(["areas"], {0: ("???", colour), 1: ("V1", colour), 2: ("MT", colour)})
    path = save(tmp_path / "a.dlabel.nii", keys, labels, brain)
    geom = geometry.mesh(VERTICES, FACES, rings=1, vertex_data={"area": path})
    left = geom.vertex_data["area_cortex_left"]
    assert np.array_equal(left[LEFT], keys[0, : len(LEFT)]) and not left[:5].any()
    assert geom.metadata["names"]["area_cortex_right"] == ["???", "V1", "MT"]


def test_parcels(axes, tmp_path):
    path = save(tmp_path / "a.pscalar.nii", [[1.5, 2.5, 3.5]], axes.ScalarAxis(["thickness"]), parcels(axes))
    found, names = read_vertex_values(path, COUNT)
    left, right = found["cortex_left"], found["cortex_right"]
    assert (left[LEFT[:4]] == 1.5).all() and (left[LEFT[4:9]] == 2.5).all() and (left[LEFT[20:22]] == 3.5).all()
    assert np.isnan(left).sum() == COUNT - 11 and (right[RIGHT[:3]] == 3.5).all() and np.isnan(right).sum() == COUNT - 3
    number = found["cortex_left_parcel"]
    assert np.array_equal(np.bincount(number), [COUNT - 11, 4, 5, 2]) and names["cortex_left_parcel"] == ["", "V1", "V2", "MT"]
    assert found["cortex_right_parcel"].max() == 3


def test_bad_files(axes, tmp_path):
    nibabel, brain = library("nibabel"), dense(axes)
    path = save(tmp_path / "a.dscalar.nii", np.zeros((1, len(brain))), axes.ScalarAxis(["x"]), brain)
    with pytest.raises(
        MeshError, match=rf"a\.dscalar\.nii: .*surface of 7 vertices, the file has cortex_left {COUNT}, cortex_"
    ):
        read_vertex_values(path, 7)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MeshError, match=r"a\.dscalar\.nii: values of vertices that nibabel cannot read"):
        read_vertex_values(path, COUNT)
    save(tmp_path / "a.pconn.nii", np.zeros((3, 3)), parcels(axes), parcels(axes))
    with pytest.raises(MeshError, match=r"a\.pconn\.nii: .*got ParcelsAxis by ParcelsAxis"):
        read_vertex_values(tmp_path / "a.pconn.nii", COUNT)
    nibabel.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)).to_filename(tmp_path / "v.nii")
    with pytest.raises(MeshError, match=r"v\.nii: .*got Nifti1Image: volumes have no vertices"):
        read_vertex_values(tmp_path / "v.nii", COUNT)
